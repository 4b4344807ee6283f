//! Texts of the events about resizes: a summary of what the pod's containers shall have, as JSON.
//!
//! upstream: pkg/kubelet/events/resize.go

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::Serialize;

use crate::pod::view::PodView;

/// Fields in the order in which Go writes them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    init_containers: Vec<Allotment<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<Allotment<'a>>,
    generation: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
}

#[derive(Serialize)]
struct Allotment<'a> {
    name: &'a str,
    resources: Amounts<'a>,
}

#[derive(Default, Serialize)]
struct Amounts<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<&'a BTreeMap<String, Quantity>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<&'a BTreeMap<String, Quantity>>,
}

fn allotment(container: &Container) -> Allotment<'_> {
    let resources = container.resources.as_ref();
    let filled = |list: Option<&'_ BTreeMap<String, Quantity>>| list.is_some_and(|list| !list.is_empty());
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    Allotment {
        name: &container.name,
        resources: Amounts {
            limits: limits.filter(|_| filled(limits)),
            requests: requests.filter(|_| filled(requests)),
        },
    }
}

/// `headline`, then the resources of `pod` at `generation`, and the error if there is one.
pub fn resize_message(headline: &str, pod: &Pod, generation: i64, error: &str) -> String {
    let summary = Summary {
        init_containers: pod.init_containers().iter().map(allotment).collect(),
        containers: pod.spec().containers.iter().map(allotment).collect(),
        generation,
        error,
    };
    match serde_json::to_string(&summary) {
        Ok(json) => format!("{headline}: {json}"),
        Err(_never) => headline.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_upstreams_form() {
        let pod: Pod = serde_json::from_str(
            r#"{"spec":{"containers":[{"name":"c","resources":{"requests":{"memory":"1Gi","cpu":"1"},"limits":{"cpu":"2"}}}]}}"#,
        )
        .expect("valid");
        assert_eq!(
            resize_message("Pod resize started", &pod, 2, ""),
            r#"Pod resize started: {"containers":[{"name":"c","resources":{"limits":{"cpu":"2"},"requests":{"cpu":"1","memory":"1Gi"}}}],"generation":2}"#
        );
    }
}
