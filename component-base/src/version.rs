//! The version that the daemons report (upstream: k8s.io/component-base/version).

/// The released version, as `--version` and `/version` print it.
pub const GIT_VERSION: &str = "v1.36.2";
/// Major version.
pub const MAJOR: &str = "1";
/// Minor version.
pub const MINOR: &str = "36";
/// Commit that this build was made of; unknown builds say so.
pub const GIT_COMMIT: &str = match option_env!("KUBE_GIT_COMMIT") {
    Some(commit) => commit,
    None => "0000000000000000000000000000000000000000",
};
/// State of the tree when built.
pub const GIT_TREE_STATE: &str = "clean";
/// When it was built, RFC 3339.
pub const BUILD_DATE: &str = match option_env!("KUBE_BUILD_DATE") {
    Some(date) => date,
    None => "1970-01-01T00:00:00Z",
};

/// Platform in Go's spelling, for example `linux/amd64`.
#[must_use]
pub fn platform() -> String {
    format!("linux/{}", go_arch())
}

/// The processor architecture in Go's spelling.
#[must_use]
pub fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// The User-Agent of a daemon, in client-go's form: `kube-scheduler/v1.36.2 (linux/amd64) kubernetes/0000000`.
#[must_use]
pub fn user_agent(daemon: &str) -> String {
    format!("{daemon}/{GIT_VERSION} ({}) kubernetes/{}", platform(), &GIT_COMMIT[..7])
}

/// The answer of `/version` as a JSON object.
#[must_use]
pub fn info() -> serde_json::Value {
    serde_json::json!({
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": GIT_COMMIT,
        "gitTreeState": GIT_TREE_STATE,
        "buildDate": BUILD_DATE,
        "goVersion": "none (Rust)",
        "compiler": "rustc",
        "platform": platform(),
    })
}
