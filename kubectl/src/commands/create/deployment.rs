//! `kubectl create deployment`.

use apimachinery::value::Value;
use rand::Rng as _;
use serde_json::json;

use super::generate::{command, finish, generator_flags, name, object};
use crate::cli::{Command, FlagSet, Invocation};

/// The command.
pub static COMMAND: Command = Command {
    name: "deployment",
    args: "NAME --image=image -- [COMMAND] [args...]",
    aliases: &["deploy"],
    short: "Create a deployment with the specified name",
    example: "# A deployment that runs the busybox image\nkubectl create deployment my-dep --image=busybox\n\n# With a command\nkubectl create deployment my-dep --image=busybox -- date\n\n# With three replicas and a port\nkubectl create deployment my-dep --image=nginx --replicas=3 --port=80",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    generator_flags(flags);
    flags
        .slice(
            "image",
            "",
            "",
            "Image names to run. A deployment can have multiple images set for multi-container pod.",
        )
        .require();
    flags.int("port", 32, -1, "The containerPort that this deployment exposes.");
    flags.int("replicas", 32, 1, "Number of replicas to create. Default is 1.").letter('r');
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let images = inv.flags.list("image");
    let command = command(&inv);
    anyhow::ensure!(images.len() < 2 || command.is_empty(), "cannot specify multiple --image options and command");
    let mut containers: Vec<serde_json::Value> = Vec::new();
    for image in &images {
        let mut container = json!({"name": container_name(image), "image": image});
        if !command.is_empty() {
            container["command"] = json!(command);
        }
        containers.push(container);
    }
    let port = inv.flags.get_int("port");
    if port >= 0
        && let Some(first) = containers.first_mut()
    {
        first["ports"] = json!([{"containerPort": port}]);
    }
    let mut deployment = object(&inv, "apps/v1", "Deployment", &name)?;
    deployment.set_path(&["metadata", "labels", "app"], Value::from(name.as_str()));
    let spec = json!({
        "replicas": inv.flags.get_int("replicas"),
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}},
    });
    deployment.set("spec", Value::from(spec));
    finish(&inv, deployment, "failed to create deployment: ").await
}

/// A container's name out of its image.
fn container_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let name = last.split(':').next().unwrap_or(last);
    let name = name.split('@').next().unwrap_or(name);
    if !name.contains(['_', '.']) {
        return name.to_owned();
    }
    format!("{}-{}", name.replace(['_', '.'], "-"), random_suffix())
}

/// Five letters that form no words.
fn random_suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rng = rand::rng();
    (0..5).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect()
}
