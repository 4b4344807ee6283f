//! ServiceAccount: every pod has an account, its token mounted, and the account's image pull secrets.
//!
//! upstream: plugin/pkg/admission/serviceaccount/admission.go

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::quote::quote;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;
use rand::Rng;

use super::{Attributes, Context, Operation, Plugin, forbidden, is_resource};
use crate::objects::{Objects, SERVICE_ACCOUNTS};

const DEFAULT_ACCOUNT: &str = "default";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
const ENFORCE_ANNOTATION: &str = "kubernetes.io/enforce-mountable-secrets";
/// Projected tokens live a little longer than an hour, so that old clients can be told from new ones.
const TOKEN_SECONDS: i64 = 3607;
/// Characters of generated names: no vowels, nothing that looks like another.
const SUFFIX_CHARACTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Makes the plugin.
pub fn new(context: &Context) -> Box<dyn Plugin> {
    Box::new(ServiceAccount { objects: context.objects.clone() })
}

struct ServiceAccount {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        if a.operation != Operation::Create || !is_resource(a, "", "pods") || !a.subresource.is_empty() {
            return Ok(());
        }
        if is_mirror(object) {
            return check_mirror(a, object);
        }
        let mut name = object.path(&["spec", "serviceAccountName"]).str_or_empty().to_owned();
        if name.is_empty() {
            name = DEFAULT_ACCOUNT.to_owned();
            let spec = object.field_mut("spec");
            spec.set("serviceAccountName", DEFAULT_ACCOUNT);
            spec.set("serviceAccount", DEFAULT_ACCOUNT);
        }
        let account = self.account(a, object, &name).await?;
        if automounts(&account, object) {
            mount_token(object);
        }
        let secrets = account.get("imagePullSecrets");
        if object.path(&["spec", "imagePullSecrets"]).items().is_empty() && !secrets.items().is_empty() {
            object.set_path(&["spec", "imagePullSecrets"], secrets.clone());
        }
        check_secrets(a, object, &account)
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        if !is_resource(a, "", "pods") {
            return Ok(());
        }
        let ephemeral = a.operation == Operation::Update && a.subresource == "ephemeralcontainers";
        let created = a.operation == Operation::Create && a.subresource.is_empty();
        if !ephemeral && !created {
            return Ok(());
        }
        if is_mirror(object) {
            return if created { check_mirror(a, object) } else { Ok(()) };
        }
        let name = object.path(&["spec", "serviceAccountName"]).str_or_empty();
        if name.is_empty() {
            let pod = object.path(&["metadata", "name"]).str_or_empty();
            return Err(forbidden(a, object, format!("no service account specified for pod {}/{pod}", a.namespace)));
        }
        let account = self.account(a, object, name).await?;
        check_secrets(a, object, &account)
    }
}

impl ServiceAccount {
    /// The account; the default one is waited for a little, because a controller makes it.
    async fn account(&self, a: &Attributes<'_>, object: &Value, name: &str) -> Result<Value, ApiError> {
        if let Some(account) = self.objects.cached(SERVICE_ACCOUNTS, a.namespace, name) {
            return Ok(account);
        }
        let attempts = if name == DEFAULT_ACCOUNT { 10 } else { 1 };
        let pause = Duration::from_millis(rand::rng().random_range(100..200));
        for attempt in 0..attempts {
            if attempt > 0 {
                tokio::time::sleep(pause).await;
            }
            match self.objects.get(SERVICE_ACCOUNTS, a.namespace, name).await {
                Ok(account) => return Ok(account),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(looking_up(a, object, name, error.message())),
            }
        }
        Err(looking_up(a, object, name, &format!("serviceaccount {} not found", quote(name))))
    }
}

fn looking_up(a: &Attributes<'_>, object: &Value, name: &str, why: &str) -> ApiError {
    forbidden(a, object, format!("error looking up service account {}/{name}: {why}", a.namespace))
}

fn is_mirror(pod: &Value) -> bool {
    pod.path(&["metadata", "annotations"]).has(MIRROR_ANNOTATION)
}

/// Static pods may not use what only the API can give.
fn check_mirror(a: &Attributes<'_>, pod: &Value) -> Result<(), ApiError> {
    if !pod.path(&["spec", "serviceAccountName"]).str_or_empty().is_empty() {
        return Err(forbidden(a, pod, "a mirror pod may not reference service accounts"));
    }
    if !secret_names(pod).is_empty() {
        return Err(forbidden(a, pod, "a mirror pod may not reference secrets"));
    }
    let projects_token = pod
        .path(&["spec", "volumes"])
        .items()
        .iter()
        .any(|v| v.path(&["projected", "sources"]).items().iter().any(|s| s.has("serviceAccountToken")));
    if projects_token {
        return Err(forbidden(a, pod, "a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

fn automounts(account: &Value, pod: &Value) -> bool {
    pod.path(&["spec", "automountServiceAccountToken"])
        .as_bool()
        .or(account.get("automountServiceAccountToken").as_bool())
        .unwrap_or(true)
}

/// Mounts the token into every container that has nothing at its place yet.
fn mount_token(pod: &mut Value) {
    let existing = pod
        .path(&["spec", "volumes"])
        .items()
        .iter()
        .map(|v| v.get("name").str_or_empty())
        .find(|name| name.starts_with(VOLUME_PREFIX))
        .map(str::to_owned);
    let name = existing.clone().unwrap_or_else(generated_name);
    let mut mounted = false;
    let spec = pod.field_mut("spec");
    for list in ["initContainers", "containers"] {
        let Some(containers) = spec.get_mut(list).and_then(Value::as_list_mut) else { continue };
        for container in containers {
            let taken = |m: &Value| m.get("mountPath").str_or_empty() == MOUNT_PATH;
            if container.get("volumeMounts").items().iter().any(taken) {
                continue;
            }
            let mount: Value =
                [("name", Value::from(name.as_str())), ("readOnly", true.into()), ("mountPath", MOUNT_PATH.into())]
                    .into();
            container.field_mut("volumeMounts").list_mut().push(mount);
            mounted = true;
        }
    }
    if mounted && existing.is_none() {
        spec.field_mut("volumes").list_mut().push(token_volume(&name));
    }
}

fn token_volume(name: &str) -> Value {
    let one = |key: &'static str, value: Value| -> Value { [(key, value)].into() };
    let token: Value = [("expirationSeconds", Value::from(TOKEN_SECONDS)), ("path", "token".into())].into();
    let ca_item: Value = [("key", "ca.crt"), ("path", "ca.crt")].into();
    let ca: Value = [("name", Value::from("kube-root-ca.crt")), ("items", Value::List(vec![ca_item]))].into();
    let field: Value = [("apiVersion", "v1"), ("fieldPath", "metadata.namespace")].into();
    let namespace: Value = [("path", Value::from("namespace")), ("fieldRef", field)].into();
    let sources = vec![
        one("serviceAccountToken", token),
        one("configMap", ca),
        one("downwardAPI", one("items", Value::List(vec![namespace]))),
    ];
    let projected: Value = [("sources", Value::List(sources)), ("defaultMode", 420i64.into())].into();
    [("name", Value::from(name)), ("projected", projected)].into()
}

fn generated_name() -> String {
    let mut random = rand::rng();
    let suffix: String =
        (0..5).map(|_| char::from(SUFFIX_CHARACTERS[random.random_range(0..SUFFIX_CHARACTERS.len())])).collect();
    format!("{VOLUME_PREFIX}{suffix}")
}

/// Accounts with the annotation limit pods to the secrets they list.
fn check_secrets(a: &Attributes<'_>, pod: &Value, account: &Value) -> Result<(), ApiError> {
    let enforced = account.path(&["metadata", "annotations", ENFORCE_ANNOTATION]).str_or_empty();
    if !matches!(enforced, "true" | "1" | "t" | "T" | "TRUE" | "True") {
        return Ok(());
    }
    let names = |field: &str| -> BTreeSet<String> {
        account.get(field).items().iter().map(|s| s.get("name").str_or_empty().to_owned()).collect()
    };
    let mountable = names("secrets");
    let owner = account.path(&["metadata", "name"]).str_or_empty();
    for secret in secret_names(pod) {
        if !mountable.contains(&secret) {
            let why = format!("secret {} is not allowed to be mounted by service account {owner}", quote(&secret));
            return Err(forbidden(a, pod, why));
        }
    }
    let pull = names("imagePullSecrets");
    for (index, reference) in pod.path(&["spec", "imagePullSecrets"]).items().iter().enumerate() {
        let name = reference.get("name").str_or_empty();
        if !pull.contains(name) {
            let why = format!(
                "imagePullSecrets[{index}].name=\"{name}\" is not allowed because service account {owner} does not reference that imagePullSecret"
            );
            return Err(forbidden(a, pod, why));
        }
    }
    Ok(())
}

/// Secrets that volumes and containers' environments name.
fn secret_names(pod: &Value) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut add = |value: &Value| {
        if let Some(name) = value.as_str() {
            out.insert(name.to_owned());
        }
    };
    for volume in pod.path(&["spec", "volumes"]).items() {
        add(volume.path(&["secret", "secretName"]));
        for source in volume.path(&["projected", "sources"]).items() {
            add(source.path(&["secret", "name"]));
        }
        for driver in ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"] {
            add(volume.path(&[driver, "secretRef", "name"]));
        }
        add(volume.path(&["azureFile", "secretName"]));
        add(volume.path(&["csi", "nodePublishSecretRef", "name"]));
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in pod.path(&["spec", list]).items() {
            for env in container.get("env").items() {
                add(env.path(&["valueFrom", "secretKeyRef", "name"]));
            }
            for from in container.get("envFrom").items() {
                add(from.path(&["secretRef", "name"]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_the_token_once_per_container() {
        let container = |name: &str| -> Value { [("name", name)].into() };
        let mut pod: Value =
            [("spec", Value::from([("containers", Value::List(vec![container("a"), container("b")]))]))].into();
        mount_token(&mut pod);
        mount_token(&mut pod);
        assert_eq!(pod.path(&["spec", "volumes"]).items().len(), 1);
        let volume = pod.path(&["spec", "volumes"]).index(0).get("name").str_or_empty().to_owned();
        for container in pod.path(&["spec", "containers"]).items() {
            assert_eq!(container.get("volumeMounts").items().len(), 1);
            assert_eq!(container.get("volumeMounts").index(0).get("name").str_or_empty(), volume);
        }
    }
}
