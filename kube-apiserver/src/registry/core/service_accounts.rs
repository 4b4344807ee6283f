//! Service accounts.
//! upstream: pkg/registry/core/serviceaccount

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::{Cursor, Value};

use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::metadata;

/// The strategy of ServiceAccounts.
pub struct ServiceAccounts;

impl Strategy for ServiceAccounts {
    fn prepare_create(&self, _cx: &RequestContext, obj: &mut Value) {
        clean_secrets(obj);
    }

    fn prepare_update(&self, _cx: &RequestContext, obj: &mut Value, _old: &Value) {
        clean_secrets(obj);
    }

    /// A change is checked as one, by the generic code, and as a whole.
    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        metadata(obj.field("metadata"), true, names::dns1123_subdomain, errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        warnings(obj, Cursor::default())
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
        warnings(obj, old)
    }
}

fn warnings(obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
    const ANNOTATION: &str = "kubernetes.io/enforce-mountable-secrets";
    let place = |obj: Cursor<'_>| obj.value().path(&["metadata", "annotations", ANNOTATION]).is_null();
    let message = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
    let is_new = !place(obj) && place(old);
    is_new.then(|| format!("metadata.annotations[{ANNOTATION}]: {message}")).into_iter().collect()
}

/// Of references to secrets only the name counts.
fn clean_secrets(obj: &mut Value) {
    if let Some(Value::List(secrets)) = obj.get_mut("secrets") {
        for secret in secrets {
            let name = secret.get("name").clone();
            *secret = Value::map();
            if !name.is_null() {
                secret.set("name", name);
            }
        }
    }
}
