//! From the merged kubeconfig and the global flags to one cluster, one user and a namespace, validated.
//! Corresponds to clientcmd client_config.go and validation.go.

use super::{AuthInfo, Cluster, Context, KubeConfig};
use crate::cli::quote::quote;
use crate::failure::Failure;

/// What the global flags say.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--context`.
    pub context: String,
    /// `--cluster`.
    pub cluster_name: String,
    /// `--user`.
    pub user_name: String,
    /// `--namespace`.
    pub namespace: String,
    /// `--server`, `--certificate-authority`, `--insecure-skip-tls-verify`, `--tls-server-name` …
    pub cluster: Cluster,
    /// `--token`, `--as`, `--client-certificate` …
    pub user: AuthInfo,
}

/// The settings for one client.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// Where.
    pub cluster: Cluster,
    /// Who.
    pub user: AuthInfo,
}

impl Overrides {
    /// Whether no flag changes cluster or user.
    fn is_empty(&self) -> bool {
        self.context.is_empty()
            && self.cluster_name.is_empty()
            && self.user_name.is_empty()
            && self.cluster == Cluster::default()
            && self.user == AuthInfo::default()
    }

    fn context_name<'a>(&'a self, config: &'a KubeConfig) -> &'a str {
        if self.context.is_empty() { &config.current_context } else { &self.context }
    }

    fn effective_context(&self, config: &KubeConfig) -> Result<Context, Failure> {
        let name = self.context_name(config);
        let mut context = match config.contexts.get(name) {
            Some(context) => context.clone(),
            None if !name.is_empty() => {
                let text = format!("context was not found for specified context: {name}");
                return Err(Failure::Configuration(vec![text]));
            }
            None => Context::default(),
        };
        if !self.cluster_name.is_empty() {
            context.cluster.clone_from(&self.cluster_name);
        }
        if !self.user_name.is_empty() {
            context.user.clone_from(&self.user_name);
        }
        if !self.namespace.is_empty() {
            context.namespace.clone_from(&self.namespace);
        }
        Ok(context)
    }

    /// The default namespace and whether a flag set it.
    pub fn namespace(&self, config: &KubeConfig) -> Result<(String, bool), Failure> {
        if !self.namespace.is_empty() {
            return Ok((self.namespace.clone(), true));
        }
        let context = self.effective_context(config)?;
        if !context.namespace.is_empty() {
            return Ok((context.namespace, false));
        }
        if config.is_empty()
            && let Ok(text) = std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
            && in_cluster_server().is_some()
        {
            return Ok((text.trim().to_owned(), false));
        }
        Ok(("default".to_owned(), false))
    }

    /// The cluster and the user, checked.
    pub fn resolve(&self, config: &KubeConfig) -> Result<Resolved, Failure> {
        if config.is_empty()
            && self.is_empty()
            && let Some(resolved) = in_cluster()
        {
            return Ok(resolved);
        }
        let context = self.effective_context(config).map_err(|error| match self.context.as_str() {
            "" => error,
            name => Failure::Configuration(vec![format!("context {} does not exist", quote(name))]),
        })?;
        let mut cluster = match config.clusters.get(&context.cluster) {
            Some(cluster) => cluster.clone(),
            None if !self.cluster_name.is_empty() && self.cluster.server.is_empty() => {
                let name = quote(&self.cluster_name);
                let text = match self.namespace.is_empty() {
                    true => format!("no server found for cluster {name}"),
                    false => format!("cluster {name} does not exist"),
                };
                return Err(Failure::Configuration(vec![text]));
            }
            None => Cluster::default(),
        };
        let mut user = match config.users.get(&context.user) {
            Some(user) => user.clone(),
            None if !self.user_name.is_empty() => {
                let text = format!("auth info {} does not exist", quote(&self.user_name));
                return Err(Failure::Configuration(vec![text]));
            }
            None => AuthInfo::default(),
        };
        self.overlay_cluster(&mut cluster);
        self.overlay_user(&mut user);
        if cluster.server.is_empty() {
            cluster.server = default_server();
        }
        check_context(self.context_name(config), &context, config, self)?;
        check_user(&context.user, &user)?;
        check_cluster(&context.cluster, &cluster)?;
        Ok(Resolved { cluster, user })
    }

    fn overlay_cluster(&self, cluster: &mut Cluster) {
        let over = &self.cluster;
        if !over.server.is_empty() {
            cluster.server.clone_from(&over.server);
        }
        if over.disable_compression {
            cluster.disable_compression = true;
        }
        if over.insecure_skip_tls_verify || !over.certificate_authority.is_empty() {
            cluster.insecure_skip_tls_verify = over.insecure_skip_tls_verify;
            cluster.certificate_authority.clone_from(&over.certificate_authority);
            cluster.certificate_authority_data = over.certificate_authority_data.clone();
        }
        if !over.tls_server_name.is_empty() || !over.server.is_empty() {
            cluster.tls_server_name.clone_from(&over.tls_server_name);
        }
    }

    fn overlay_user(&self, user: &mut AuthInfo) {
        let over = &self.user;
        let set = |to: &mut String, from: &String| {
            if !from.is_empty() {
                to.clone_from(from);
            }
        };
        set(&mut user.client_certificate, &over.client_certificate);
        set(&mut user.client_key, &over.client_key);
        if !over.client_certificate.is_empty() {
            user.client_certificate_data.0.clear();
        }
        if !over.client_key.is_empty() {
            user.client_key_data.0.clear();
        }
        if !over.token.is_empty() {
            user.token.clone_from(&over.token);
            user.token_file.clear();
        }
        set(&mut user.username, &over.username);
        set(&mut user.password, &over.password);
        set(&mut user.impersonate, &over.impersonate);
        set(&mut user.impersonate_uid, &over.impersonate_uid);
        if !over.impersonate_groups.is_empty() {
            user.impersonate_groups.clone_from(&over.impersonate_groups);
        }
        if !over.impersonate_user_extra.is_empty() {
            user.impersonate_user_extra.clone_from(&over.impersonate_user_extra);
        }
    }
}

fn default_server() -> String {
    std::env::var("KUBERNETES_MASTER")
        .ok()
        .filter(|s| !s.is_empty())
        .unwrap_or_else(|| "http://localhost:8080".to_owned())
}

fn in_cluster_server() -> Option<String> {
    let host = std::env::var("KUBERNETES_SERVICE_HOST").ok().filter(|s| !s.is_empty())?;
    let port = std::env::var("KUBERNETES_SERVICE_PORT").ok().filter(|s| !s.is_empty())?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Some(format!("https://{host}:{port}"))
}

/// The identity that a pod is given.
fn in_cluster() -> Option<Resolved> {
    const DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    let server = in_cluster_server()?;
    std::fs::metadata(format!("{DIR}/token")).ok()?;
    let cluster = Cluster { server, certificate_authority: format!("{DIR}/ca.crt"), ..Cluster::default() };
    let user = AuthInfo { token_file: format!("{DIR}/token"), ..AuthInfo::default() };
    Some(Resolved { cluster, user })
}

fn check_context(name: &str, context: &Context, config: &KubeConfig, over: &Overrides) -> Result<(), Failure> {
    let mut errors = Vec::new();
    if name.is_empty() {
        return Ok(());
    }
    if context.user.is_empty() && over.user == AuthInfo::default() {
        errors.push(format!("user was not specified for context {}", quote(name)));
    } else if !context.user.is_empty() && !config.users.contains_key(&context.user) {
        errors.push(format!("user {} was not found for context {}", quote(&context.user), quote(name)));
    }
    if context.cluster.is_empty() && over.cluster.server.is_empty() {
        errors.push(format!("cluster was not specified for context {}", quote(name)));
    } else if !context.cluster.is_empty() && !config.clusters.contains_key(&context.cluster) {
        errors.push(format!("cluster {} was not found for context {}", quote(&context.cluster), quote(name)));
    }
    finish(errors)
}

fn check_cluster(name: &str, cluster: &Cluster) -> Result<(), Failure> {
    let mut errors = Vec::new();
    if cluster.server.is_empty() {
        errors.push(format!("no server found for cluster {}", quote(name)));
    }
    if !cluster.certificate_authority.is_empty() && cluster.certificate_authority_data.0.is_empty() {
        readable(&cluster.certificate_authority, "certificate-authority", name, &mut errors);
    }
    finish(errors)
}

fn check_user(name: &str, user: &AuthInfo) -> Result<(), Failure> {
    let mut errors = Vec::new();
    let has_cert = !user.client_certificate.is_empty() || !user.client_certificate_data.0.is_empty();
    let has_key = !user.client_key.is_empty() || !user.client_key_data.0.is_empty();
    if has_cert && !has_key {
        errors.push(format!(
            "client-key-data or client-key must be specified for {name} to use the clientCert authentication method."
        ));
    }
    if has_cert && user.client_certificate_data.0.is_empty() {
        readable(&user.client_certificate, "client-cert", name, &mut errors);
    }
    if has_cert && !user.client_key.is_empty() && user.client_key_data.0.is_empty() {
        readable(&user.client_key, "client-key", name, &mut errors);
    }
    if let Some(exec) = &user.exec {
        if exec.command.is_empty() {
            errors.push(format!("command must be specified for {name} to use exec authentication plugin"));
        }
        if exec.api_version.is_empty() {
            errors.push(format!("apiVersion must be specified for {name} to use exec authentication plugin"));
        }
    }
    let mut methods = Vec::new();
    if !user.token.is_empty() {
        methods.push("token");
    }
    if !user.username.is_empty() || !user.password.is_empty() {
        methods.push("basicAuth");
    }
    if methods.len() > 1 {
        errors.push(format!(
            "more than one authentication method found for {name}; found [{}], only one is allowed",
            methods.join(" ")
        ));
    }
    let wants = !user.impersonate_uid.is_empty()
        || !user.impersonate_groups.is_empty()
        || !user.impersonate_user_extra.is_empty();
    if wants && user.impersonate.is_empty() {
        errors.push(format!("requesting uid, groups or user-extra for {name} without impersonating a user"));
    }
    finish(errors)
}

fn readable(path: &str, what: &str, name: &str, errors: &mut Vec<String>) {
    if let Err(error) = std::fs::File::open(path) {
        errors.push(format!(
            "unable to read {what} {path} for {name} due to open {path}: {}",
            crate::files::go_error(&error)
        ));
    }
}

fn finish(errors: Vec<String>) -> Result<(), Failure> {
    if errors.is_empty() { Ok(()) } else { Err(Failure::Configuration(errors)) }
}
