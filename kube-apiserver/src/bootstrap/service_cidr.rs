//! The ServiceCIDR `kubernetes`, made of `--service-cluster-ip-range`, and its Ready condition.
//!
//! upstream: pkg/controlplane/controller/defaultservicecidr

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use jiff::Timestamp;

use super::created;
use crate::loopback::{Loopback, Options as Call};
use crate::objects::Kind;
use crate::options::Options;

const CIDRS: Kind = Kind::new("networking.k8s.io", "servicecidrs");
const NAME: &str = "kubernetes";
const READY: &str = "Kubernetes default Service CIDR is ready";

/// Makes the object and its condition if missing; a range that differs from the flags is only reported.
///
/// # Errors
/// What storage says.
pub async fn ensure(api: &Loopback, options: &Options) -> Result<(), ApiError> {
    let wanted: Vec<Value> = options.service_ranges.iter().map(|r| r.to_string().into()).collect();
    let existing = match api.cached(CIDRS, "", NAME) {
        Some(existing) => existing,
        None => {
            created(
                api.create(
                    CIDRS,
                    "",
                    &object([("spec", [("cidrs", Value::List(wanted.clone()))].into())]),
                    Call::default(),
                )
                .await,
            )?;
            api.get(CIDRS, "", NAME).await?
        }
    };
    if existing.path(&["spec", "cidrs"]).items() != wanted.as_slice() {
        tracing::warn!(name = NAME, "the ServiceCIDR differs from --service-cluster-ip-range");
        return Ok(());
    }
    let ready =
        existing.path(&["status", "conditions"]).items().iter().any(|c| c.get("type").str_or_empty() == "Ready");
    if ready {
        return Ok(());
    }
    let condition: Value = [
        ("type", Value::from("Ready")),
        ("status", "True".into()),
        ("lastTransitionTime", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()),
        ("message", READY.into()),
    ]
    .into();
    let status: Value = [("conditions", Value::List(vec![condition]))].into();
    let call = Call { field_manager: Some("kubernetes-service-cidr-controller"), force: true };
    api.apply(CIDRS, "", NAME, "status", &object([("status", status)]), call).await.map(|_| ())
}

fn object<const N: usize>(parts: [(&'static str, Value); N]) -> Value {
    let meta: Value = [("name", NAME)].into();
    let mut out: Value =
        [("apiVersion", Value::from("networking.k8s.io/v1")), ("kind", "ServiceCIDR".into()), ("metadata", meta)]
            .into();
    for (key, value) in parts {
        out.set(key, value);
    }
    out
}
