//! Admission plugins and the chain that calls them in upstream's order.
//!
//! A plugin is one file. It sees every write of the operations it handles, first `admit` of all plugins,
//! then (after validation by the strategy) `validate` of all.
//! upstream: pkg/kubeapiserver/options/plugins.go: AllOrderedPlugins

pub mod certificates;
pub mod default_ingress_class;
pub mod default_storage_class;
pub mod default_toleration_seconds;
pub mod limit_ranger;
pub mod namespace_lifecycle;
pub mod node_restriction;
pub mod pod_resources;
pub mod pod_security;
pub mod policy;
pub mod priority;
pub mod rbac_escalation;
pub mod resource_quota;
pub mod rounds;
pub mod runtime_class;
pub mod service_account;
pub mod simple;
pub mod storage_in_use;
pub mod taint_nodes;
pub mod volume_claim_resize;
pub mod webhook;

use std::sync::Arc;

use apimachinery::codec::json;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use self::rounds::Rounds;
use crate::authorization::Authorizer;
use crate::objects::Objects;
pub use crate::registry::admit::{AdmissionChain, Attributes, Operation};
use crate::registry::defaulting;

/// One admission plugin.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Upstream's name, as `--enable-admission-plugins` takes it.
    fn name(&self) -> &'static str;

    /// True if the plugin wants to see writes of this operation.
    fn handles(&self, operation: Operation) -> bool;

    /// Changes or refuses the object.
    ///
    /// # Errors
    /// What the client gets.
    async fn admit(&self, _a: &Attributes<'_>, _object: &mut Value) -> Result<(), ApiError> {
        Ok(())
    }

    /// As `admit`, for plugins that treat the second round of a request differently.
    ///
    /// # Errors
    /// What the client gets.
    async fn admit_round(&self, a: &Attributes<'_>, object: &mut Value, _rounds: &mut Rounds) -> Result<(), ApiError> {
        self.admit(a, object).await
    }

    /// Refuses the object.
    ///
    /// # Errors
    /// What the client gets.
    async fn validate(&self, _a: &Attributes<'_>, _object: &Value) -> Result<(), ApiError> {
        Ok(())
    }
}

/// What plugins are made with.
#[derive(Clone, Debug)]
pub struct Context {
    /// Objects they look up.
    pub objects: Arc<dyn Objects>,
    /// Permissions they check.
    pub authorizer: Arc<Authorizer>,
    /// `--default-not-ready-toleration-seconds`
    pub not_ready_toleration_seconds: i64,
    /// `--default-unreachable-toleration-seconds`
    pub unreachable_toleration_seconds: i64,
}

/// How a plugin of the list is made; `None`: known, but not implemented here.
type Make = Option<fn(&Context) -> Box<dyn Plugin>>;

/// Every plugin of upstream in its order: name, on by default, constructor.
const PLUGINS: [(&str, bool, Make); 41] = [
    ("AlwaysAdmit", false, Some(simple::always_admit)),
    ("NamespaceAutoProvision", false, None),
    ("NamespaceLifecycle", true, Some(namespace_lifecycle::new)),
    ("NamespaceExists", false, Some(simple::namespace_exists)),
    ("LimitPodHardAntiAffinityTopology", false, None),
    ("LimitRanger", true, Some(limit_ranger::new)),
    ("ServiceAccount", true, Some(service_account::new)),
    ("NodeRestriction", false, Some(node_restriction::new)),
    ("TaintNodesByCondition", true, Some(taint_nodes::new)),
    ("AlwaysPullImages", false, Some(simple::always_pull_images)),
    ("ImagePolicyWebhook", false, None),
    ("PodSecurity", true, Some(pod_security::new)),
    ("PodNodeSelector", false, None),
    ("Priority", true, Some(priority::new)),
    ("DefaultTolerationSeconds", true, Some(default_toleration_seconds::new)),
    ("PodTolerationRestriction", false, None),
    ("EventRateLimit", false, None),
    ("ExtendedResourceToleration", false, None),
    ("DefaultStorageClass", true, Some(default_storage_class::new)),
    ("StorageObjectInUseProtection", true, Some(storage_in_use::new)),
    // behind a gate that is off: upstream's plugin does nothing
    ("PodGroupProtection", true, Some(simple::always_admit)),
    ("OwnerReferencesPermissionEnforcement", false, None),
    ("PersistentVolumeClaimResize", true, Some(volume_claim_resize::new)),
    ("RuntimeClass", true, Some(runtime_class::new)),
    ("CertificateApproval", true, Some(certificates::approval)),
    ("CertificateSigning", true, Some(certificates::signing)),
    ("ClusterTrustBundleAttest", true, Some(simple::always_admit)),
    ("CertificateSubjectRestriction", true, Some(certificates::subject_restriction)),
    ("DefaultIngressClass", true, Some(default_ingress_class::new)),
    ("DenyServiceExternalIPs", false, Some(simple::deny_external_ips)),
    ("PodTopologyLabels", true, Some(simple::pod_topology_labels)),
    ("PodGroupWorkloadExists", true, Some(simple::always_admit)),
    ("NodeDeclaredFeatureValidator", true, None),
    ("JobValidation", true, Some(simple::always_admit)),
    ("PodResizeValidator", true, None),
    ("MutatingAdmissionPolicy", true, Some(policy::mutating)),
    ("MutatingAdmissionWebhook", true, Some(webhook::mutating)),
    ("ValidatingAdmissionPolicy", true, Some(policy::validating)),
    ("ValidatingAdmissionWebhook", true, Some(webhook::validating)),
    ("ResourceQuota", true, Some(resource_quota::new)),
    ("AlwaysDeny", false, Some(simple::always_deny)),
];

/// Why the plugins could not be set up.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AdmissionError {
    /// A flag names no plugin.
    #[error("{flag} plugin {name:?} is unknown")]
    Unknown {
        /// The flag.
        flag: &'static str,
        /// What it names.
        name: String,
    },
    /// On and off at once.
    #[error("{0} in enable-admission-plugins and disable-admission-plugins overlapped")]
    Overlap(String),
}

/// The enabled plugins in their order.
pub struct Chain {
    plugins: Vec<Box<dyn Plugin>>,
}

impl Chain {
    /// The default plugins, plus those enabled, minus those disabled.
    ///
    /// # Errors
    /// A name is unknown or on both lists.
    pub fn new(enable: &[String], disable: &[String], context: &Context) -> Result<Self, AdmissionError> {
        check_names("enable-admission-plugins", enable)?;
        check_names("disable-admission-plugins", disable)?;
        overlap(enable, disable).map_or(Ok(()), Err)?;
        let mut plugins: Vec<Box<dyn Plugin>> = Vec::new();
        let mut missing = Vec::new();
        for (name, default, make) in PLUGINS {
            if !(default || enable.iter().any(|e| e == name)) || disable.iter().any(|d| d == name) {
                continue;
            }
            match make {
                Some(make) => plugins.push(make(context)),
                None => missing.push(name),
            }
        }
        if !missing.is_empty() {
            tracing::warn!(plugins = missing.join(","), "admission plugins that are enabled but not implemented yet");
        }
        // after all mutations, as in upstream where the RBAC registry checks what it is about to store
        plugins.push(Box::new(rbac_escalation::RbacEscalation::new(context)));
        Ok(Self { plugins })
    }

    /// Names of the enabled plugins.
    pub fn names(&self) -> Vec<&'static str> {
        self.plugins.iter().map(|p| p.name()).collect()
    }
}

impl Chain {
    async fn round(&self, a: &Attributes<'_>, object: &mut Value, rounds: &mut Rounds) -> Result<(), ApiError> {
        for plugin in self.plugins.iter().filter(|p| p.handles(a.operation)) {
            plugin.admit_round(a, object, rounds).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl AdmissionChain for Chain {
    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        let mut rounds = Rounds::default();
        self.round(a, object, &mut rounds).await?;
        if rounds.start_second() {
            self.round(a, object, &mut rounds).await?;
        }
        Ok(())
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        for plugin in self.plugins.iter().filter(|p| p.handles(a.operation)) {
            plugin.validate(a, object).await?;
        }
        Ok(())
    }
}

/// The complaint about each name of a flag's list that is no plugin.
pub fn unknown_names(flag: &'static str, names: &[String]) -> Vec<String> {
    names.iter().filter_map(|name| check_names(flag, std::slice::from_ref(name)).err()).map(|e| e.to_string()).collect()
}

/// The complaint about plugins that are switched on and off at once.
pub fn overlap(enable: &[String], disable: &[String]) -> Option<AdmissionError> {
    let mut both: Vec<&str> = enable.iter().filter(|name| disable.contains(name)).map(String::as_str).collect();
    both.sort_unstable();
    (!both.is_empty()).then(|| AdmissionError::Overlap(format!("[{}]", both.join(" "))))
}

fn check_names(flag: &'static str, names: &[String]) -> Result<(), AdmissionError> {
    match names.iter().find(|name| !PLUGINS.iter().any(|(known, ..)| known == name)) {
        Some(name) => Err(AdmissionError::Unknown { flag, name: name.clone() }),
        None => Ok(()),
    }
}

/// True if the write is of this resource (of its main object, not a subresource).
pub fn is_main(a: &Attributes<'_>, group: &str, plural: &str) -> bool {
    a.subresource.is_empty() && is_resource(a, group, plural)
}

/// True if the write is of this resource or one of its subresources.
pub fn is_resource(a: &Attributes<'_>, group: &str, plural: &str) -> bool {
    &*a.resource.group == group && &*a.resource.plural == plural
}

/// An object as a client would see it, where structs are shown even if they are empty: what patches and expressions work on.
fn text_of(a: &Attributes<'_>, object: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    if a.subresource.is_empty() && !object.is_null() {
        json::encode(object, &a.resource.hub.schema, &mut text);
    } else {
        json::encode_untyped(object, &mut text);
    }
    text
}

/// The object that a plugin made, out of its JSON: in normal form and with defaults.
///
/// # Errors
/// What does not fit the type.
fn made(a: &Attributes<'_>, text: &[u8]) -> Result<Value, String> {
    let mut out = if a.subresource.is_empty() {
        let decoded = json::decode(text, &a.resource.hub.schema, &json::DecodeOptions::default());
        decoded.map_err(|error| error.to_string())?.value
    } else {
        json::decode_untyped(text).map_err(|error| error.to_string())?
    };
    with_defaults(a, &mut out);
    Ok(out)
}

/// Fills in the defaults of an object that a plugin changed.
fn with_defaults(a: &Attributes<'_>, object: &mut Value) {
    let version = &a.resource.hub.api_version;
    match &a.resource.custom {
        None => defaulting::apply_to_object(object),
        Some(custom) => match (a.subresource, custom.schema(version)) {
            ("", _) => custom.complete(version, object),
            ("status", Some(schema)) => crate::extensions::custom::default(object, schema),
            _ => {}
        },
    }
}

/// The 403 of a plugin: names the object even before its name was generated.
/// upstream: staging/src/k8s.io/apiserver/pkg/admission/errors.go
pub fn forbidden(a: &Attributes<'_>, object: &Value, why: impl std::fmt::Display) -> ApiError {
    let text = |key| object.path(&["metadata", key]).str_or_empty();
    let name = [a.name, text("name"), text("generateName")].into_iter().find(|n| !n.is_empty());
    ApiError::forbidden(&a.resource.group, &a.resource.plural, name.unwrap_or("Unknown"), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(
            check_names("enable-admission-plugins", &["Nope".to_owned()]).map_err(|e| e.to_string()),
            Err(r#"enable-admission-plugins plugin "Nope" is unknown"#.to_owned())
        );
        assert!(check_names("x", &["ResourceQuota".to_owned()]).is_ok());
    }
}
