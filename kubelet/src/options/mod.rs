//! What the command line and the configuration file say, merged: flags that were given win over the file.
//!
//! upstream: cmd/kubelet/app/options, cmd/kubelet/app/server.go

mod config;
mod flags;
mod validation;

use apimachinery::field::aggregate;
use component_base::Flags;
use component_base::config::{ConfigError, Format};
use component_base::error::{PathError, read_file};
use component_base::flags::GateError;

use crate::sys::{CgroupDriver, CgroupVersion, Kernel as _, Linux};

pub use config::Configuration;
pub use flags::FlagValueError;

/// The table of all flags.
pub const FLAGS: &str = include_str!("../flags.tsv");
const FORMAT: Format = Format {
    versions: &["kubelet.config.k8s.io/v1beta1"],
    kind: "KubeletConfiguration",
    scheme: "k8s.io/kubernetes/pkg/kubelet/apis/config/scheme/scheme.go:33",
    lenient: true,
};

/// Options that are not acceptable.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The configuration file cannot be read.
    #[error(
        "failed to load kubelet config file, path: {0}, error: failed to load Kubelet config file {0}, error failed to read kubelet config file {0:?}, error: {1}"
    )]
    Read(String, PathError),
    /// The configuration file holds nothing.
    #[error(
        "failed to load kubelet config file, path: {0}, error: failed to load Kubelet config file {0}, error kubelet config file {0:?} was empty"
    )]
    Empty(String),
    /// The configuration file is none.
    #[error(
        "failed to load kubelet config file, path: {0}, error: failed to load Kubelet config file {0}, error failed to decode: {1}"
    )]
    Decode(String, ConfigError),
    /// Gates that cannot be set.
    #[error("failed to set feature gates from initial flags-based config: {0}")]
    Gates(#[from] GateError),
    /// A flag's value.
    #[error(transparent)]
    Flag(#[from] FlagValueError),
    /// Values that cannot be used.
    #[error(
        "failed to validate kubelet configuration, error: {}, path: &TypeMeta{{Kind:,APIVersion:,}}",
        aggregate(.0.iter().cloned())
    )]
    Invalid(Vec<String>),
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
        let mut config = if path.is_empty() { Configuration::legacy() } else { read(path)? };
        flags::apply(&flags, &mut config)?;
        let cgroup_v1 = Linux::new(CgroupDriver::Cgroupfs).cgroup_version() == CgroupVersion::V1;
        config.complete();
        let problems = validation::problems(&config, cgroup_v1)?;
        if !problems.is_empty() {
            return Err(OptionsError::Invalid(problems));
        }
        // Only now, since validation tells a root that was not given, as upstream's.
        config.fill_cgroup_root();
        Ok(Self { config, flags })
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

fn read(path: String) -> Result<Configuration, OptionsError> {
    match read_file(&path) {
        Err(error) => Err(OptionsError::Read(path, error)),
        Ok(text) if text.is_empty() => Err(OptionsError::Empty(path)),
        Ok(text) => component_base::config::parse(&text, &FORMAT).map_err(|error| OptionsError::Decode(path, error)),
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
        assert!(Options::load(flags(&["--container-runtime=remote", "--fail-cgroupv1=false"])).is_ok());
        assert!(Options::load(flags(&["--container-runtime=docker"])).is_err());
    }

    #[test]
    fn without_a_file_the_old_defaults_hold() {
        let config = Options::load(flags(&["--fail-cgroupv1=false"])).expect("valid").config;
        assert_eq!(config.authorization.mode, "AlwaysAllow");
        assert!(config.authentication.anonymous.enabled);
        assert_eq!(config.read_only_port, 10255);
    }

    #[test]
    fn unknown_fields_are_passed_over() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("kubelet.yaml");
        let text = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nporrt: 11\nport: 12\n";
        std::fs::write(&path, text).expect("written");
        let options = Options::load(flags(&[&format!("--config={}", path.display()), "--fail-cgroupv1=false"]));
        assert_eq!(options.expect("lenient").config.port, 12);
    }

    #[test]
    fn bad_files_are_told_as_upstream_does() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("kubelet.yaml");
        let shown = path.display().to_string();
        let text = |content: &str| {
            std::fs::write(&path, content).expect("written");
            let error = Options::load(flags(&[&format!("--config={shown}"), "--fail-cgroupv1=false"])).err();
            error.expect("refused").to_string().replace(&shown, "F")
        };
        let head = "failed to load kubelet config file, path: F, error: failed to load Kubelet config file F, error ";
        let kubelet = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
        assert_eq!(text(""), format!("{head}kubelet config file \"F\" was empty"));
        assert_eq!(
            text(&format!("{kubelet}maxPods: a\n")),
            format!(
                "{head}failed to decode: json: cannot unmarshal string into Go struct field KubeletConfiguration.maxPods of type int32"
            )
        );
        assert_eq!(
            text(&format!("{kubelet}maxPods: -1\nregistryPullQPS: -1\n")),
            "failed to validate kubelet configuration, error: [invalid configuration: maxPods (--max-pods) -1 must not be a negative number, invalid configuration: registryPullQPS (--registry-qps) -1 must not be a negative number], path: &TypeMeta{Kind:,APIVersion:,}"
        );
        let missing = Options::load(flags(&["--config=/nope"])).expect_err("refused").to_string();
        assert_eq!(
            missing,
            "failed to load kubelet config file, path: /nope, error: failed to load Kubelet config file /nope, error failed to read kubelet config file \"/nope\", error: open /nope: no such file or directory"
        );
    }
}
