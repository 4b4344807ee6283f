//! PodSecurity: pods must keep the Pod Security Standard that labels of their namespace choose.
//!
//! upstream: staging/src/k8s.io/pod-security-admission/admission/admission.go

mod checks;
mod level;

use std::collections::BTreeMap;
use std::sync::Arc;

use apimachinery::field::{Errors, Path};
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use self::level::{Level, Policies, Policy};
use super::{Attributes, Context, Operation, Plugin, forbidden, is_main, is_resource};
use crate::objects::{NAMESPACES, Objects, PODS};

/// Where pods are described in objects of other kinds.
const TEMPLATES: [(&str, &str, &[&str]); 8] = [
    ("", "podtemplates", &["template"]),
    ("", "replicationcontrollers", &["spec", "template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
];
/// How many pods of a namespace are looked at when its level changes.
const MAX_PODS: usize = 3000;

/// Makes the plugin.
pub fn new(context: &Context) -> Box<dyn Plugin> {
    Box::new(PodSecurity { objects: context.objects.clone() })
}

struct PodSecurity {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        if is_main(a, "", "namespaces") {
            return self.namespace(a, object);
        }
        if is_resource(a, "", "pods") {
            return match a.subresource {
                "" | "ephemeralcontainers" => self.pod(a, object).await,
                _ => Ok(()),
            };
        }
        let template = TEMPLATES.iter().find(|(group, plural, _)| is_main(a, group, plural));
        if let Some((_, _, path)) = template {
            let template = object.path(path);
            let policies = self.policies(a.namespace).await;
            if !template.is_null() && !policies.is_privileged() {
                warn(a, policies.warn, template);
            }
        }
        Ok(())
    }
}

impl PodSecurity {
    async fn policies(&self, namespace: &str) -> Policies {
        let found = match self.objects.cached(NAMESPACES, "", namespace) {
            Some(found) => Some(found),
            None => self.objects.get(NAMESPACES, "", namespace).await.ok(),
        };
        Policies::of(found.unwrap_or_default().path(&["metadata", "labels"]))
    }

    async fn pod(&self, a: &Attributes<'_>, pod: &Value) -> Result<(), ApiError> {
        if a.operation == Operation::Update && !is_significant(a.old, pod) {
            return Ok(());
        }
        let policies = self.policies(a.namespace).await;
        if policies.is_privileged() {
            return Ok(());
        }
        if let Some(why) = violations(policies.enforce, pod) {
            return Err(forbidden(a, pod, format!("violates PodSecurity \"{}\": {why}", policies.enforce)));
        }
        warn(a, policies.warn, pod);
        Ok(())
    }

    /// Labels of a namespace must be readable; a stricter level warns of pods that already break it.
    fn namespace(&self, a: &Attributes<'_>, namespace: &Value) -> Result<(), ApiError> {
        let labels = namespace.path(&["metadata", "labels"]);
        let mut errors = Errors::new();
        for (key, value, why) in level::invalid(labels) {
            errors.invalid(Path::root("metadata").child("labels").key(&key), value, why);
        }
        let name = namespace.path(&["metadata", "name"]).str_or_empty();
        if !errors.is_empty() {
            if a.operation == Operation::Update && !level::invalid(a.old.path(&["metadata", "labels"])).is_empty() {
                return Ok(());
            }
            return Err(ApiError::invalid("", "Namespace", name, &errors));
        }
        if a.operation != Operation::Update {
            return Ok(());
        }
        let old = Policies::of(a.old.path(&["metadata", "labels"])).enforce;
        let new = Policies::of(labels).enforce;
        if new == old || new.level == Level::Privileged {
            return Ok(());
        }
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pod in self.objects.list(PODS, name).iter().take(MAX_PODS) {
            if let Some(why) = violations(new, pod) {
                found.entry(why).or_default().push(pod.path(&["metadata", "name"]).str_or_empty().to_owned());
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        a.warnings
            .add(format!("existing pods in namespace \"{name}\" violate the new PodSecurity enforce level \"{new}\""));
        for (why, mut pods) in found {
            pods.sort();
            let first = pods.first().map_or("", String::as_str);
            let others = match pods.len() - 1 {
                0 => String::new(),
                1 => " (and 1 other pod)".to_owned(),
                more => format!(" (and {more} other pods)"),
            };
            a.warnings.add(format!("{first}{others}: {why}"));
        }
        Ok(())
    }
}

fn violations(policy: Policy, pod: &Value) -> Option<String> {
    checks::evaluate(policy.level, policy.version, pod.get("metadata"), pod.get("spec"))
}

fn warn(a: &Attributes<'_>, policy: Policy, pod: &Value) {
    if let Some(why) = violations(policy, pod) {
        a.warnings.add(format!("would violate PodSecurity \"{policy}\": {why}"));
    }
}

/// Most of a pod cannot change; what can and matters are images, debug containers and profiles.
fn is_significant(old: &Value, new: &Value) -> bool {
    let containers = |pod: &Value| -> Vec<(String, String)> {
        ["initContainers", "containers", "ephemeralContainers"]
            .iter()
            .flat_map(|key| pod.path(&["spec", key]).items())
            .map(|c| (c.get("name").str_or_empty().to_owned(), c.get("image").str_or_empty().to_owned()))
            .collect()
    };
    let profiles = |pod: &Value| -> Vec<(String, String)> {
        pod.path(&["metadata", "annotations"])
            .entries()
            .filter(|(key, _)| key.starts_with("container.apparmor") || key.contains("seccomp"))
            .map(|(key, value)| (key.to_owned(), value.str_or_empty().to_owned()))
            .collect()
    };
    containers(old) != containers(new) || profiles(old) != profiles(new)
}
