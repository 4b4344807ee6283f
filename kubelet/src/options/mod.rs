//! What the command line and the configuration file say, merged: flags that were given win over the file.
//!
//! upstream: cmd/kubelet/app/options, cmd/kubelet/app/server.go

mod config;
mod duration;
mod flags;
mod validation;

use component_base::Flags;
use component_base::config::ConfigError;

pub use config::Configuration;
pub use flags::FlagValueError;

/// The table of all flags.
pub const FLAGS: &str = include_str!("../flags.tsv");
const API_VERSIONS: [&str; 1] = ["kubelet.config.k8s.io/v1beta1"];

/// Options that are not acceptable.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The configuration file.
    #[error("failed to load kubelet config file, path: {path}")]
    Config {
        /// Which file.
        path: String,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// A flag's value.
    #[error(transparent)]
    Flag(#[from] FlagValueError),
    /// A value that cannot be used.
    #[error("failed to validate kubelet configuration: {0}")]
    Invalid(String),
}

/// Everything that a run of the kubelet depends on.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration.
    pub config: Configuration,
    /// The flags, for what is no part of the configuration.
    pub flags: Flags,
}

impl Options {
    /// Reads the configuration file that the flags name and applies the flags over it.
    ///
    /// # Errors
    /// See [`OptionsError`].
    pub fn load(flags: Flags) -> Result<Self, OptionsError> {
        let path = flags.str("config").to_owned();
        let mut config: Configuration = if path.is_empty() {
            Configuration::legacy()
        } else {
            component_base::config::load_lenient(&path, &API_VERSIONS, "KubeletConfiguration")
                .map_err(|source| OptionsError::Config { path, source })?
        };
        flags::apply(&flags, &mut config)?;
        config.complete();
        let problems = validation::problems(&config);
        match problems.as_slice() {
            [] => Ok(Self { config, flags }),
            [only] => Err(OptionsError::Invalid(only.clone())),
            several => Err(OptionsError::Invalid(format!("[{}]", several.join(", ")))),
        }
    }

    /// The root folder.
    pub fn root_dir(&self) -> &str {
        self.flags.str("root-dir")
    }

    /// Name of this node: given, or the host's in small letters.
    pub fn node_name(&self) -> String {
        let given = self.flags.str("hostname-override").trim();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = if given.is_empty() { host } else { given.to_owned() };
        name.trim().to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(args: &[&str]) -> Flags {
        let all = ["kubelet"].into_iter().chain(args.iter().copied()).map(Into::into);
        match Flags::parse("kubelet", FLAGS, all).expect("valid flags") {
            component_base::flags::Request::Run(flags) => *flags,
            component_base::flags::Request::Print(text) => panic!("unexpected: {text}"),
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("kubelet.yaml");
        let text = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nport: 11\nmaxPods: 12\n\
                    clusterDNS: [10.0.0.10]\nevictionHard: {memory.available: 100Mi}\nruntimeRequestTimeout: 15m0s\n";
        std::fs::write(&path, text).expect("written");
        let config = format!("--config={}", path.display());
        let options = Options::load(flags(&[&config, "--port=22", "--fail-cgroupv1=false"])).expect("valid");
        let config = options.config;
        assert_eq!((config.port, config.max_pods, config.fail_cgroup_v1), (22, 12, false));
        assert_eq!(config.cluster_dns, ["10.0.0.10"]);
        assert_eq!(config.runtime_request_timeout.0.as_secs(), 900);
        assert_eq!(config.authorization.mode, "Webhook");
    }

    #[test]
    fn the_only_runtime_is_a_remote_one() {
        assert!(Options::load(flags(&["--container-runtime=remote"])).is_ok());
        assert!(Options::load(flags(&["--container-runtime=docker"])).is_err());
    }

    #[test]
    fn without_a_file_the_old_defaults_hold() {
        let config = Options::load(flags(&[])).expect("valid").config;
        assert_eq!(config.authorization.mode, "AlwaysAllow");
        assert!(config.authentication.anonymous.enabled);
        assert_eq!(config.read_only_port, 10255);
    }

    #[test]
    fn unknown_fields_are_passed_over_and_wrong_ones_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let load = |fields: &str| {
            let path = folder.path().join("kubelet.yaml");
            let text = format!("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n{fields}\n");
            std::fs::write(&path, text).expect("written");
            Options::load(flags(&[&format!("--config={}", path.display())])).map(|options| options.config)
        };
        let config =
            load("porrt: 11\nmaxPods: 7\nauthentication: {x509: {wrong: 1, clientCAFile: /ca}}\nevictionHard: {a: b}")
                .expect("usable");
        assert_eq!((config.port, config.max_pods), (10250, 7));
        assert_eq!(config.authentication.x509.client_ca_file, "/ca");
        assert_eq!(config.eviction_hard.expect("set")["a"], "b");
        assert!(load("maxPods: x").is_err());
        let error = load("maxPods: -1\npodsPerCore: -1").expect_err("negative").to_string();
        assert!(
            error.starts_with(
                "failed to validate kubelet configuration: [invalid configuration: maxPods (--max-pods) -1"
            )
        );
    }
}
