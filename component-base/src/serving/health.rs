//! Named health checks behind `/healthz`, `/livez` and `/readyz` (upstream: apiserver/pkg/server/healthz).

use std::sync::Arc;

use http::{Response, StatusCode};
use parking_lot::RwLock;

use super::{ResponseBody, responses};

type Probe = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// One check.
#[derive(Clone)]
pub struct Check {
    name: String,
    probe: Probe,
    live: bool,
    ready: bool,
}

/// The checks of a daemon; more may be added while it runs.
pub struct HealthChecks {
    checks: RwLock<Vec<Check>>,
}

impl Default for HealthChecks {
    fn default() -> Self {
        let checks = Self { checks: RwLock::default() };
        checks.add("ping", || Ok(()));
        checks
    }
}

impl HealthChecks {
    /// The check `ping` alone.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Adds a check to all three paths. It must not block.
    pub fn add(&self, name: &str, probe: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.checks.write().push(Check { name: name.to_owned(), probe: Arc::new(probe), live: true, ready: true });
    }

    /// Adds a check to `/readyz` and `/healthz` alone.
    pub fn add_ready(&self, name: &str, probe: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.checks.write().push(Check { name: name.to_owned(), probe: Arc::new(probe), live: false, ready: true });
    }

    pub(super) fn answer(&self, path: &str, query: &str) -> Option<Response<ResponseBody>> {
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let group = parts.next().filter(|group| matches!(*group, "healthz" | "livez" | "readyz"))?;
        let checks: Vec<Check> = self.checks.read().iter().filter(|check| check.serves(group)).cloned().collect();
        Some(match parts.next().filter(|name| !name.is_empty()) {
            Some(name) => one(checks.iter().find(|check| check.name == name)?),
            None => all(group, &checks, query),
        })
    }
}

impl Check {
    fn serves(&self, group: &str) -> bool {
        match group {
            "livez" => self.live,
            "readyz" => self.ready,
            _ => true,
        }
    }
}

fn one(check: &Check) -> Response<ResponseBody> {
    match (check.probe)() {
        Ok(()) => responses::text(StatusCode::OK, "ok"),
        Err(reason) => {
            responses::text(StatusCode::INTERNAL_SERVER_ERROR, &format!("internal server error: {reason}\n"))
        }
    }
}

fn all(group: &str, checks: &[Check], query: &str) -> Response<ResponseBody> {
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let excluded = |name: &str| query.iter().any(|(key, value)| key == "exclude" && value == name);
    let mut lines = String::new();
    let mut failed = Vec::new();
    for check in checks {
        if excluded(&check.name) {
            lines.push_str(&format!("[+]{} excluded: ok\n", check.name));
            continue;
        }
        match (check.probe)() {
            Ok(()) => lines.push_str(&format!("[+]{} ok\n", check.name)),
            Err(reason) => {
                lines.push_str(&format!("[-]{} failed: reason withheld\n", check.name));
                failed.push(format!("{}: {reason}", check.name));
            }
        }
    }
    if !failed.is_empty() {
        tracing::info!(group, failed = failed.join(", "), "Health check failed");
        return responses::text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{lines}{group} check failed\n"));
    }
    if query.iter().any(|(key, _)| key == "verbose") {
        return responses::text(StatusCode::OK, &format!("{lines}{group} check passed\n"));
    }
    responses::text(StatusCode::OK, "ok")
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn ask(checks: &HealthChecks, path: &str, query: &str) -> Option<(u16, String)> {
        let answer = checks.answer(path, query)?;
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("in memory").to_bytes();
        Some((code, String::from_utf8_lossy(&body).into_owned()))
    }

    #[tokio::test]
    async fn paths() {
        let checks = HealthChecks::new();
        checks.add_ready("informers", || Err("not synced".into()));
        assert_eq!(ask(&checks, "/livez", "").await, Some((200, "ok".into())));
        assert_eq!(ask(&checks, "/livez", "verbose").await, Some((200, "[+]ping ok\nlivez check passed\n".into())));
        let failed = "[+]ping ok\n[-]informers failed: reason withheld\nreadyz check failed\n";
        assert_eq!(ask(&checks, "/readyz", "").await, Some((500, failed.into())));
        assert_eq!(ask(&checks, "/readyz", "exclude=informers").await, Some((200, "ok".into())));
        assert_eq!(
            ask(&checks, "/readyz/informers", "").await,
            Some((500, "internal server error: not synced\n".into()))
        );
        assert_eq!(ask(&checks, "/metrics", "").await, None);
        assert_eq!(ask(&checks, "/healthz/nope", "").await, None);
    }
}
