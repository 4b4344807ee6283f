//! Reading a daemon's kubeconfig, and what must hold before it is used. Upstream: client-go/tools/clientcmd/validation.go.

use std::fs::{self, File};
use std::path::Path;

use apimachinery::codec::yaml;
use apimachinery::field::aggregate;
use kube::config::{AuthInfo, Cluster, Kubeconfig};

use super::ClientError;
use crate::error::{PathError, read_file};

const NOTHING_PROVIDED: &str = "no configuration has been provided, try setting KUBERNETES_MASTER environment variable";
const EMPTY_CLUSTER: &str = "cluster has no server defined";

/// The file with its relative paths made absolute.
pub(super) fn read(path: &Path) -> Result<Kubeconfig, ClientError> {
    fs::metadata(path).map_err(|error| PathError::new("stat", path, &error))?;
    let text = read_file(path)?;
    let failed = |reason: String| ClientError::Kubeconfig { path: path.display().to_string(), reason };
    let parsed = yaml::parse(&text).map_err(|error| failed(error.to_string()))?;
    if parsed.value.is_null() {
        return Ok(Kubeconfig::default());
    }
    Kubeconfig::read_from(path).map_err(|error| failed(crate::Chain(&error).to_string()))
}

/// That the current context leads to a server and to credentials that can be read. `master` stands for the server.
pub(super) fn check_usable(config: &Kubeconfig, master: &str) -> Result<(), ClientError> {
    let mut problems = Vec::new();
    let name = config.current_context.as_deref().unwrap_or_default();
    let context = config.contexts.iter().find(|entry| entry.name == name);
    if !name.is_empty() && context.is_none() {
        problems.push(format!("context was not found for specified context: {name}"));
    }
    let context = context.and_then(|entry| entry.context.as_ref());
    let user = context.and_then(|context| context.user.as_deref()).unwrap_or_default();
    let user_entry = config.auth_infos.iter().find(|entry| entry.name == user);
    problems.extend(user_problems(user, user_entry.and_then(|entry| entry.auth_info.as_ref())));
    let cluster = context.map_or("", |context| context.cluster.as_str());
    let cluster_entry = config.clusters.iter().find(|entry| entry.name == cluster);
    problems.extend(cluster_problems(cluster, cluster_entry.and_then(|entry| entry.cluster.as_ref()), master));
    if problems == [EMPTY_CLUSTER] {
        return Err(ClientError::Invalid(NOTHING_PROVIDED.to_owned()));
    }
    if problems.is_empty() { Ok(()) } else { Err(ClientError::Invalid(aggregate(problems))) }
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn unreadable(what: &str, file: Option<&str>, of: &str) -> Option<String> {
    let path = Path::new(file?);
    let error = PathError::reading(path, &File::open(path).err()?);
    Some(format!("unable to read {what} {} for {of} due to {error}", path.display()))
}

fn user_problems(name: &str, user: Option<&AuthInfo>) -> Vec<String> {
    let Some(user) = user else { return Vec::new() };
    let (file, data) = (given(&user.client_certificate), given(&user.client_certificate_data));
    if file.is_none() && data.is_none() {
        return Vec::new();
    }
    let mut problems = Vec::new();
    if file.is_some() && data.is_some() {
        problems.push(format!(
            "client-cert-data and client-cert are both specified for {name}. client-cert-data will override."
        ));
    }
    let (key, key_data) = (given(&user.client_key), user.client_key_data.as_ref());
    if key.is_some() && key_data.is_some() {
        problems.push(format!(
            "client-key-data and client-key are both specified for {name}; client-key-data will override"
        ));
    }
    if key.is_none() && key_data.is_none() {
        problems.push(format!(
            "client-key-data or client-key must be specified for {name} to use the clientCert authentication method."
        ));
    }
    problems.extend(unreadable("client-cert", file, name));
    problems.extend(unreadable("client-key", key, name));
    problems
}

fn cluster_problems(name: &str, cluster: Option<&Cluster>, master: &str) -> Vec<String> {
    let says = |cluster: &Cluster| serde_json::to_value(cluster).unwrap_or_default();
    let cluster = cluster.cloned().unwrap_or_default();
    if master.is_empty() && says(&cluster) == says(&Cluster::default()) {
        return vec![EMPTY_CLUSTER.to_owned()];
    }
    let mut problems = Vec::new();
    if master.is_empty() && given(&cluster.server).is_none() {
        problems.push(match name {
            "" => "default cluster has no server defined".to_owned(),
            name => format!("no server found for cluster {name:?}"),
        });
    }
    let authority = given(&cluster.certificate_authority);
    if authority.is_some() && given(&cluster.certificate_authority_data).is_some() {
        problems.push(format!(
            "certificate-authority-data and certificate-authority are both specified for {name}. certificate-authority-data will override."
        ));
    }
    problems.extend(unreadable("certificate-authority", authority, name));
    problems
}

#[cfg(test)]
mod tests {
    use super::super::ClientConfig;

    #[test]
    fn bad_kubeconfigs_in_upstreams_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let head = "apiVersion: v1\nkind: Config\n";
        let one = |cluster: &str, user: &str| {
            format!(
                "{head}clusters: [{{name: c, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n\
                 contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\n"
            )
        };
        let nothing = "invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable";
        for (text, message) in [
            (String::new(), nothing.to_owned()),
            (head.to_owned(), nothing.to_owned()),
            (
                format!("{head}current-context: c\n"),
                "invalid configuration: [context was not found for specified context: c, cluster has no server defined]"
                    .to_owned(),
            ),
            (
                one("certificate-authority: /nope, server: \"http://x\"", ""),
                "invalid configuration: unable to read certificate-authority /nope for c due to open /nope: no such file or directory".to_owned(),
            ),
            (
                one("server: \"http://x\"", "client-certificate: /a, client-key: /b"),
                "invalid configuration: [unable to read client-cert /a for u due to open /a: no such file or directory, unable to read client-key /b for u due to open /b: no such file or directory]".to_owned(),
            ),
            (one("insecure-skip-tls-verify: true", ""), "invalid configuration: no server found for cluster \"c\"".to_owned()),
        ] {
            let path = folder.path().join("kubeconfig");
            std::fs::write(&path, &text).expect("written");
            let error = ClientConfig::from_kubeconfig(&path, "").err().expect("refused");
            assert_eq!(crate::Chain(&error).to_string(), message, "{text}");
        }
        let path = folder.path().join("broken");
        std::fs::write(&path, "a: [\n").expect("written");
        let error = ClientConfig::from_kubeconfig(&path, "").err().expect("refused").to_string();
        assert_eq!(
            error,
            format!("error loading config file {path:?}: yaml: line 1: did not find expected node content")
        );
        let error = ClientConfig::from_kubeconfig("/nope", "").err().expect("refused").to_string();
        assert_eq!(error, "stat /nope: no such file or directory");
    }
}
