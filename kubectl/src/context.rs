//! What the commands of one run share: global flags, kubeconfig, client, mapper, output.
//! Corresponds to cli-runtime/pkg/genericclioptions/config_flags.go and kubectl/pkg/cmd/util (factory).

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::rc::Rc;

use crate::cli::FlagSet;
use crate::cli::duration::GoDuration;
use crate::cli::quote::quote;
use crate::client::{Discovery, Mapper, Rest};
use crate::config::{AuthInfo, Cluster, ConfigAccess, KubeConfig, Overrides};
use crate::failure::Failure;

/// Shared by everything a command does.
pub struct Context {
    flags: FlagSet,
    access: ConfigAccess,
    config: OnceCell<KubeConfig>,
    rest: tokio::sync::OnceCell<Rc<Rest>>,
    mapper: tokio::sync::OnceCell<Rc<Mapper>>,
}

/// Declares the flags that every command has.
pub fn global_flags(flags: &mut FlagSet) {
    flags.string("as", "", "", "User to act as for this operation, a regular user or a service account");
    flags.array("as-group", "", "Group to act as for this operation; may be given several times");
    flags.string("as-uid", "", "", "UID to act as for this operation");
    flags.array(
        "as-user-extra",
        "",
        "User extras to act with for this operation, as key=value; may be given several times",
    );
    flags.string("cache-dir", "", &cache_dir(), "Default cache directory");
    flags.string("certificate-authority", "", "", "File with the certificate of the certificate authority");
    flags.string("client-certificate", "", "", "File with a client certificate for TLS");
    flags.string("client-key", "", "", "File with a client key for TLS");
    flags.string("cluster", "", "", "Name of the kubeconfig cluster to use");
    flags.string("context", "", "", "Name of the kubeconfig context to use");
    flags.bool("disable-compression", "", false, "Do not ask the server for compressed answers");
    flags.bool(
        "insecure-skip-tls-verify",
        "",
        false,
        "Do not check the server's certificate; this makes the connection insecure",
    );
    flags.string("kubeconfig", "", "", "Path of the kubeconfig file to use for this command");
    flags.string("kuberc", "", "", "Path of the kuberc file to use for preferences");
    flags.int("log-flush-frequency", 64, 0, "Maximum time between log flushes").hide();
    flags.bool("match-server-version", "", false, "Require the server's version to be this client's version");
    flags.string("namespace", "n", "", "Namespace to work in");
    flags.string("password", "", "", "Password for basic authentication to the API server");
    flags.string("profile", "", "none", "Name of a profile to capture");
    flags.string("profile-output", "", "profile.pprof", "Name of the file to write the profile to");
    flags.string(
        "request-timeout",
        "",
        "0",
        "Time to wait for a single server request, as 1s, 2m or 3h; 0 means no limit",
    );
    flags.string("server", "s", "", "Address and port of the Kubernetes API server");
    flags.string("tls-server-name", "", "", "Name to check the server's certificate against, instead of the host name");
    flags.string("token", "", "", "Bearer token for authentication to the API server");
    flags.string("user", "", "", "Name of the kubeconfig user to use");
    flags.string("username", "", "", "Username for basic authentication to the API server");
    flags.int("v", 64, 0, "Number for the log level verbosity").letter('v');
    flags.string("vmodule", "", "", "Comma-separated list of pattern=N settings for file-filtered logging");
    flags.bool(
        "warnings-as-errors",
        "",
        false,
        "Treat warnings from the server as errors and exit with a non-zero exit code",
    );
}

fn cache_dir() -> String {
    if let Ok(dir) = std::env::var("KUBECACHEDIR")
        && !dir.is_empty()
    {
        return dir;
    }
    format!("{}/.kube/cache", std::env::var("HOME").unwrap_or_default())
}

impl Context {
    /// From the parsed flags. Reads nothing yet.
    pub fn new(flags: FlagSet) -> Self {
        let access = ConfigAccess::new(flags.str("kubeconfig"));
        Self {
            flags,
            access,
            config: OnceCell::new(),
            rest: tokio::sync::OnceCell::new(),
            mapper: tokio::sync::OnceCell::new(),
        }
    }

    /// The kubeconfig files.
    pub fn access(&self) -> &ConfigAccess {
        &self.access
    }

    /// The merged kubeconfig.
    pub fn config(&self) -> anyhow::Result<&KubeConfig> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = self.access.load()?;
        Ok(self.config.get_or_init(|| config))
    }

    /// What the global flags override.
    pub fn overrides(&self) -> Overrides {
        let text = |name: &str| {
            let flag = self.flags.lookup(name).filter(|f| f.changed && !f.shadows);
            flag.map_or(String::new(), |_| self.flags.str(name).to_owned())
        };
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in self.flags.list("as-user-extra") {
            if let Some((key, value)) = pair.split_once('=') {
                extra.entry(key.to_owned()).or_default().push(value.to_owned());
            }
        }
        Overrides {
            context: text("context"),
            cluster_name: text("cluster"),
            user_name: text("user"),
            namespace: text("namespace"),
            cluster: Cluster {
                server: text("server"),
                tls_server_name: text("tls-server-name"),
                insecure_skip_tls_verify: self.flags.get_bool("insecure-skip-tls-verify"),
                certificate_authority: text("certificate-authority"),
                disable_compression: self.flags.get_bool("disable-compression"),
                ..Cluster::default()
            },
            user: AuthInfo {
                client_certificate: text("client-certificate"),
                client_key: text("client-key"),
                token: text("token"),
                impersonate: text("as"),
                impersonate_uid: text("as-uid"),
                impersonate_groups: self.flags.list("as-group"),
                impersonate_user_extra: extra,
                username: text("username"),
                password: text("password"),
                ..AuthInfo::default()
            },
        }
    }

    /// The namespace to work in, and whether `--namespace` said so.
    pub fn namespace(&self) -> anyhow::Result<(String, bool)> {
        Ok(self.overrides().namespace(self.config()?)?)
    }

    /// The client.
    pub async fn rest(&self) -> anyhow::Result<Rc<Rest>> {
        let make = || async {
            let resolved = self.overrides().resolve(self.config()?)?;
            let timeout = request_timeout(self.flags.str("request-timeout"))?;
            Rest::new(&resolved, timeout).await.map(Rc::new)
        };
        self.rest.get_or_try_init(make).await.cloned()
    }

    /// The mapping of names to resources.
    pub async fn mapper(&self) -> anyhow::Result<Rc<Mapper>> {
        self.mapper_within(1).await
    }

    /// As [`Self::mapper`], where upstream asks so many times and logs each failure.
    pub async fn mapper_within(&self, tries: usize) -> anyhow::Result<Rc<Mapper>> {
        let mapper = self.discovered().await;
        if let Err(error) = &mapper
            && matches!(error.downcast_ref::<Failure>(), Some(Failure::Connection { .. }))
        {
            let text = quote(&format!("couldn't get current server API group list: {error}"));
            for _ in 0..tries {
                crate::klog::error("memcache.go:265", &format!("\"Unhandled Error\" err={text}"));
            }
        }
        mapper
    }

    async fn discovered(&self) -> anyhow::Result<Rc<Mapper>> {
        let make = || async {
            let rest = self.rest().await?;
            Ok(Rc::new(Mapper::new(Discovery::fetch(&rest).await?)))
        };
        self.mapper.get_or_try_init(make).await.cloned()
    }

    /// How many warnings the server sent.
    pub fn warning_count(&self) -> usize {
        self.rest.get().map_or(0, |r| r.warning_count())
    }

    /// Writes to standard output at once. Ends the process when nobody reads, as a Go program does.
    pub fn out(&self, text: &str) {
        self.out_bytes(text.as_bytes());
    }

    /// Writes bytes to standard output at once.
    pub fn out_bytes(&self, bytes: &[u8]) {
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
            std::process::exit(141);
        }
    }

    /// Writes to standard error.
    pub fn err(&self, text: &str) {
        // Nothing can be told when standard error is gone.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

fn request_timeout(text: &str) -> anyhow::Result<Option<std::time::Duration>> {
    let duration = match text.parse::<i64>() {
        Ok(seconds) => GoDuration(seconds * 1_000_000_000),
        Err(_) => GoDuration::parse(text).map_err(|_| {
            anyhow::anyhow!("Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a corresponding time unit (e.g. 1s | 2m | 3h)")
        })?,
    };
    Ok((duration.0 > 0).then(|| duration.to_std()))
}
