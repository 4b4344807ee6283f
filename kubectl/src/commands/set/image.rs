//! `kubectl set image`.

use super::{change_all, common_flags, each_container, objects, with_pod_spec};
use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::failure::{Failure, aggregate};
use crate::options::{self, DryRun};
use crate::resource::FilenameOptions;

/// The command.
pub static COMMAND: Command = Command {
    name: "image",
    args: "(-f FILENAME | TYPE NAME) CONTAINER_NAME_1=CONTAINER_IMAGE_1 ... CONTAINER_NAME_N=CONTAINER_IMAGE_N",
    short: "Update the image of a pod template",
    long: "Update existing container image(s) of resources.\n\nPossible resources include (case insensitive): pod (po), replicationcontroller (rc), deployment (deploy), daemonset (ds), statefulset (sts), cronjob (cj), replicaset (rs)",
    example: "# One container\nkubectl set image deployment/nginx busybox=busybox nginx=nginx:1.9.1\n\n# All containers\nkubectl set image daemonset abc *=nginx:1.9.1",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    common_flags(flags, "identifying the resource to get from a server.");
    options::selector_flag(flags);
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let (resources, pairs) = options::resources_and_pairs(&inv.args, "image")?;
    let (images, _) = options::parse_pairs(&pairs, "image", false)?;
    let infos = objects(&inv, &resources).await?;
    validate(&inv, &resources, images.keys())?;
    change_all(&inv, infos, "image updated", "failed to patch image update to pod template: ", |object, errors| {
        with_pod_spec(object, |spec| {
            for (name, image) in &images {
                let pattern = name.as_str();
                let count = each_container(spec, pattern, |c| c.set("image", image.as_str()));
                if count == 0 {
                    errors.push(anyhow::anyhow!("error: unable to find container named {}", quote(name)));
                }
            }
        })?;
        Ok(true)
    })
    .await
}

fn validate<'a>(
    inv: &Invocation,
    resources: &[String],
    names: impl ExactSizeIterator<Item = &'a String> + Clone,
) -> anyhow::Result<()> {
    let mut errors: Vec<anyhow::Error> = Vec::new();
    if inv.flags.get_bool("all") && !inv.flags.str("selector").is_empty() {
        errors.push(anyhow::anyhow!("cannot set --all and --selector at the same time"));
    }
    if resources.is_empty() && FilenameOptions::from_flags(&inv.flags).is_empty() {
        errors
            .push(anyhow::anyhow!("one or more resources must be specified as <resource> <name> or <resource>/<name>"));
    }
    if names.len() == 0 {
        errors.push(anyhow::anyhow!("at least one image update is required"));
    } else if names.len() > 1 && names.clone().any(|n| n == "*") {
        errors.push(anyhow::anyhow!(
            "all containers are already specified by *, but saw more than one container_name=container_image pairs"
        ));
    }
    if inv.flags.get_bool("local") && DryRun::from_flags(&inv.flags)?.is_server() {
        errors.push(anyhow::anyhow!("cannot specify --local and --dry-run=server - did you mean --dry-run=client?"));
    }
    match errors.len() {
        0 | 1 => aggregate(errors),
        _ => Err(Failure::Many(errors).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::each_container;

    #[test]
    fn patterns() {
        let mut spec = apimachinery::value::Value::from(serde_json::json!({
            "containers": [{"name": "web", "image": "a"}, {"name": "side", "image": "b"}]
        }));
        assert_eq!(each_container(&mut spec, "web", |c| c.set("image", "x")), 1);
        assert_eq!(spec.get("containers").index(0).get("image").as_str(), Some("x"));
        assert_eq!(each_container(&mut spec, "*", |c| c.set("image", "y")), 2);
        assert_eq!(each_container(&mut spec, "none", |_| {}), 0);
    }
}
