//! Admission policies that change objects and refuse them, with parameters of built-in and of custom kinds.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tests::{Answer, Api, ControlPlane, eventually};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const LIMIT: Duration = Duration::from_secs(30);

fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// Rules for ConfigMaps whose name does not begin with `param`.
fn constraints() -> Value {
    json!({"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
        "resources": ["configmaps"]}]})
}

fn conditions() -> Value {
    json!([{"name": "no-params", "expression": "!object.metadata.name.startsWith('param')"}])
}

async fn bind(api: &Api, kind: &str, name: &str, mut spec: Value, mut binding: Value) -> anyhow::Result<()> {
    spec["matchConstraints"] = constraints();
    spec["matchConditions"] = conditions();
    spec["failurePolicy"] = "Fail".into();
    let policy = json!({"metadata": {"name": name}, "spec": spec});
    api.post(&format!("{POLICIES}/{kind}admissionpolicies"), &policy).await?.expect(201)?;
    binding["policyName"] = name.into();
    let binding = json!({"metadata": {"name": name}, "spec": binding});
    api.post(&format!("{POLICIES}/{kind}admissionpolicybindings"), &binding).await?.expect(201)?;
    Ok(())
}

/// Creates a ConfigMap for show, until the answer is as wanted.
async fn dry_run(api: &Api, name: &str, data: Value, wanted: impl Fn(&Answer) -> bool) -> anyhow::Result<Answer> {
    let object = config_map(name, data);
    let path = format!("{CONFIG_MAPS}?dryRun=All");
    eventually(LIMIT, "the policies are in force", || async {
        let answer = api.post(&path, &object).await?;
        ensure!(wanted(&answer), "{} {}", answer.status, answer.text);
        Ok(answer)
    })
    .await
    .with_context(|| format!("ConfigMap {name}"))
}

#[tokio::test]
async fn policies_change_objects() -> anyhow::Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let api = plane.api("admin").await?;
    api.post(CONFIG_MAPS, &config_map("param", json!({"team": "red"}))).await?.expect(201)?;
    // sees the object once more after the second policy changed it
    let sees = "Object{metadata: Object.metadata{annotations: {\"team\": \
                object.metadata.?labels[?\"team\"].orValue(\"none\")}}}";
    let first = json!({"reinvocationPolicy": "IfNeeded",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": sees}}]});
    bind(&api, "mutating", "first", first, json!({})).await?;
    let adds = "object.metadata.name == \"plain\" ? [JSONPatch{op: \"test\", path: \"/data\", value: \"other\"}] \
                : [JSONPatch{op: \"add\", path: \"/metadata/labels\", value: {\"team\": variables.team}}]";
    let second = json!({"reinvocationPolicy": "Never", "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "variables": [{"name": "team", "expression": "params.data.team"}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": adds}}]});
    let reference = json!({"paramRef": {"name": "param", "parameterNotFoundAction": "Deny"}});
    bind(&api, "mutating", "second", second, reference).await?;

    let team = |answer: &Answer| answer.text_at("/metadata/annotations/team");
    let changed = dry_run(&api, "x", json!({}), |answer| team(answer) == "red").await?;
    ensure!(changed.text_at("/metadata/labels/team") == "red", "{}", changed.text);
    let plain = dry_run(&api, "plain", json!({"a": "b"}), |answer| team(answer) == "none").await?;
    ensure!(plain.body["metadata"].get("labels").is_none(), "a patch whose test fails changes nothing: {}", plain.text);

    api.delete(&format!("{CONFIG_MAPS}/param")).await?.expect(200)?;
    let refused = dry_run(&api, "x", json!({}), |answer| answer.status == 403).await?;
    let message = refused.text_at("/message");
    ensure!(
        message
            == "policy 'second' with binding 'second' denied request: failed to configure binding: no params found for \
                policy binding with `Deny` parameterNotFoundAction",
        "{message}"
    );
    Ok(())
}

#[tokio::test]
async fn parameters_may_be_of_custom_kinds() -> anyhow::Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let api = plane.api("admin").await?;
    let schema = json!({"type": "object", "properties": {"most": {"type": "integer"}}});
    let definition = json!({"metadata": {"name": "limits.example.com"}, "spec": {"group": "example.com", "scope": "Cluster",
        "names": {"plural": "limits", "kind": "Limit"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await?.expect(201)?;
    let limit = json!({"apiVersion": "example.com/v1", "kind": "Limit", "metadata": {"name": "param"}, "most": 1});
    eventually(LIMIT, "the custom resource is served", || async {
        api.post("/apis/example.com/v1/limits", &limit).await?.expect(201)
    })
    .await?;
    let spec = json!({"paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"},
        "validations": [{"expression": "size(object.data) <= params.most", "messageExpression": "'most ' + string(params.most)"}]});
    let binding =
        json!({"paramRef": {"name": "param", "parameterNotFoundAction": "Deny"}, "validationActions": ["Deny"]});
    bind(&api, "validating", "few", spec, binding).await?;
    let refused = dry_run(&api, "x", json!({"a": "b", "c": "d"}), |answer| answer.status == 422).await?;
    let message = refused.text_at("/message");
    ensure!(message.ends_with("denied request: most 1"), "{message}");
    dry_run(&api, "x", json!({"a": "b"}), |answer| answer.status == 201).await?;
    Ok(())
}
