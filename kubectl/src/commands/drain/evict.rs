//! Getting the pods off a node.

use std::time::Duration;

use apimachinery::value::Value;
use http::Method;
use tokio::time::Instant;

use super::filter::{overdue, sort};
use crate::cli::Invocation;
use crate::cli::duration::GoDuration;
use crate::cli::quote::quote;
use crate::client::{Request, Rest};
use crate::failure::{aggregate, has_reason, is_not_found, status_of};
use crate::options::DryRun;
use crate::printers::name_line;
use crate::resource::TIMED_OUT;

/// How long a refused eviction waits.
const RETRY: Duration = Duration::from_secs(5);
/// How often it is looked whether a pod is gone.
const POLL: Duration = Duration::from_secs(1);

async fn pods(inv: &Invocation, rest: &Rest, node: &str) -> anyhow::Result<super::filter::Sorted> {
    let request = Request::get("/api/v1/pods")
        .query("fieldSelector", format!("spec.nodeName={node}"))
        .maybe("labelSelector", inv.flags.str("pod-selector"));
    let list = rest.value(request).await?;
    Ok(sort(rest, &inv.flags, list.get("items").items().to_vec()).await)
}

/// Empties one node.
pub(super) async fn drain(inv: &Invocation, node: &str, dry_run: DryRun) -> anyhow::Result<()> {
    let rest = inv.ctx.rest().await?;
    let sorted = pods(inv, &rest, node).await?;
    aggregate(sorted.errors())?;
    let warnings = sorted.warnings();
    if !warnings.is_empty() {
        inv.ctx.err(&format!("Warning: {warnings}\n"));
    }
    if dry_run.is_client() {
        for pod in &sorted.leaving {
            inv.ctx.out(&format!("evicting pod {} (dry run)\n", Leaving::new(pod).full_name()));
        }
        return Ok(());
    }
    let Err(error) = remove(inv, &rest, &sorted.leaving, dry_run).await else {
        return Ok(());
    };
    if let Ok(pending) = pods(inv, &rest, node).await {
        if pending.errors().is_empty() && !pending.leaving.is_empty() {
            inv.ctx.err(&format!("There are pending pods in node {} when an error occurred: {error}\n", quote(node)));
            for pod in &pending.leaving {
                inv.ctx.err(&format!("pod/{}\n", Leaving::new(pod).name));
            }
        }
        if let Err(errors) = aggregate(pending.errors()) {
            inv.ctx.err(&format!("Following errors occurred while getting the list of pods to delete:\n{errors}"));
        }
    }
    Err(error)
}

/// A pod on its way out.
struct Leaving<'p> {
    pod: &'p Value,
    name: &'p str,
    namespace: &'p str,
}

impl<'p> Leaving<'p> {
    fn new(pod: &'p Value) -> Self {
        let meta = pod.get("metadata");
        Self { pod, name: meta.get("name").str_or_empty(), namespace: meta.get("namespace").str_or_empty() }
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, self.name)
    }
}

/// What all removals share.
struct Removal<'a> {
    inv: &'a Invocation,
    rest: &'a Rest,
    options: Value,
    dry_run: DryRun,
    deadline: Option<Instant>,
    timeout: GoDuration,
}

async fn remove(inv: &Invocation, rest: &Rest, pods: &[Value], dry_run: DryRun) -> anyhow::Result<()> {
    if pods.is_empty() {
        return Ok(());
    }
    let mut options = Value::map();
    let grace = inv.flags.get_int("grace-period");
    if grace >= 0 {
        options.set("gracePeriodSeconds", grace);
    }
    if dry_run.is_server() {
        options.set("dryRun", vec!["All"]);
    }
    let timeout = inv.flags.get_duration("timeout");
    let deadline = (timeout.0 > 0).then(|| Instant::now() + timeout.to_std());
    let removal = Removal { inv, rest, options, dry_run, deadline, timeout };
    let mapper = inv.ctx.mapper().await?;
    let evictable = |g: &crate::client::ApiGroup| {
        g.name.is_empty() && g.versions.iter().any(|v| v.resources.iter().any(|r| r.name == "pods/eviction"))
    };
    if inv.flags.get_bool("disable-eviction") || !mapper.discovery().groups.iter().any(evictable) {
        return removal.delete(pods).await;
    }
    let each = futures::future::join_all(pods.iter().map(|pod| removal.evict(Leaving::new(pod)))).await;
    aggregate(each.into_iter().filter_map(Result::err).collect())
}

impl Removal<'_> {
    fn late(&self) -> bool {
        self.deadline.is_some_and(|d| Instant::now() >= d)
    }

    async fn evict(&self, pod: Leaving<'_>) -> anyhow::Result<()> {
        let mut eviction = Value::from([("kind", "Eviction"), ("apiVersion", "policy/v1")]);
        eviction.set_path(&["metadata", "name"], Value::from(pod.name));
        eviction.set_path(&["metadata", "namespace"], Value::from(pod.namespace));
        eviction.set("deleteOptions", self.options.clone());
        let what = format!("pods/{} -n {}", quote(pod.name), quote(pod.namespace));
        loop {
            let server = if self.dry_run.is_server() { " (server dry run)" } else { "" };
            self.inv.ctx.out(&format!("evicting pod {}{server}\n", pod.full_name()));
            anyhow::ensure!(!self.late(), "error when evicting {what}: global timeout reached: {}", self.timeout);
            let request = Request::new(Method::POST, format!("{}/eviction", pod.path())).json(&eviction);
            let Err(error) = self.rest.value(request).await else {
                break;
            };
            let terminating = has_reason(&error, "Forbidden")
                && status_of(&error).is_some_and(|s| s.causes.iter().any(|c| c.reason == "NamespaceTerminating"));
            if is_not_found(&error) {
                return Ok(());
            }
            if status_of(&error).is_some_and(|s| s.code == 429) {
                self.inv.ctx.err(&format!("error when evicting {what} (will retry after 5s): {error}\n"));
            } else if terminating {
                if !pod.pod.path(&["metadata", "deletionTimestamp"]).is_zero() {
                    break;
                }
                let (name, namespace) = (quote(pod.name), quote(pod.namespace));
                self.inv.ctx.err(&format!(
                    "error when evicting pod {name} from terminating namespace {namespace} (will retry after 5s): {error}\n"
                ));
            } else {
                anyhow::bail!("error when evicting {what}: {error}");
            }
            tokio::time::sleep(RETRY).await;
        }
        if self.dry_run.is_server() {
            return Ok(());
        }
        self.wait(&pod, "evicted", "eviction failed").await.map_err(|e| {
            let (name, namespace) = (quote(pod.name), quote(pod.namespace));
            anyhow::anyhow!("error when waiting for pod {name} in namespace {namespace} to terminate: {e}")
        })
    }

    async fn delete(&self, pods: &[Value]) -> anyhow::Result<()> {
        for pod in pods.iter().map(Leaving::new) {
            let request = Request::new(Method::DELETE, pod.path()).json(&self.options);
            match self.rest.value(request).await {
                Err(error) if !is_not_found(&error) => return Err(error),
                _ => {}
            }
        }
        for pod in pods.iter().map(Leaving::new) {
            self.wait(&pod, "deleted", "deletion failed").await?;
        }
        Ok(())
    }

    /// Waits until the pod is gone and tells so.
    async fn wait(&self, pod: &Leaving<'_>, done: &str, failed: &str) -> anyhow::Result<()> {
        let uid = |pod: &Value| pod.path(&["metadata", "uid"]).str_or_empty().to_owned();
        let skip = self.inv.flags.get_int("skip-wait-for-delete-timeout");
        let tell = |word: &str| self.inv.ctx.out(&name_line(pod.pod, &self.dry_run.operation(word)));
        loop {
            match self.rest.value(Request::get(pod.path())).await {
                Err(error) if is_not_found(&error) => break,
                Err(error) => {
                    tell(failed);
                    return Err(error);
                }
                Ok(now) if uid(&now) != uid(pod.pod) => break,
                Ok(now) if overdue(&now, skip) => {
                    let name = quote(pod.name);
                    self.inv
                        .ctx
                        .out(&format!("pod {name} has DeletionTimestamp older than {skip} seconds, skipping\n"));
                    return Ok(());
                }
                Ok(_) => {}
            }
            if self.late() {
                let eviction = done == "evicted";
                let why =
                    if eviction { format!("global timeout reached: {}", self.timeout) } else { TIMED_OUT.to_owned() };
                anyhow::bail!(why);
            }
            tokio::time::sleep(POLL).await;
        }
        tell(done);
        Ok(())
    }
}
