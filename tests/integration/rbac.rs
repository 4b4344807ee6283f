//! Authentication and authorization as a client sees them.

use anyhow::ensure;
use kube::Client;
use serde_json::{Value, json};
use tests::ControlPlane;

async fn send(client: &Client, method: &str, path: &str, body: Value) -> Result<Value, kube::Error> {
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request =
        http::Request::builder().method(method).uri(path).header("content-type", "application/json").body(bytes);
    client.request(request.unwrap()).await
}

fn status(result: Result<Value, kube::Error>) -> (u16, String) {
    match result {
        Ok(_) => (200, String::new()),
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        Err(other) => (0, other.to_string()),
    }
}

#[tokio::test]
async fn a_user_may_do_what_its_roles_say_and_no_more() -> anyhow::Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let admin = plane.client("admin").await?;
    let scheduler = plane.client("scheduler").await?;

    let (code, _) = status(send(&scheduler, "GET", "/api/v1/pods", Value::Null).await);
    ensure!(code == 200, "the scheduler lists pods: {code}");
    let (code, message) = status(send(&scheduler, "GET", "/api/v1/namespaces/default/secrets", Value::Null).await);
    let expected = "secrets is forbidden: User \"system:kube-scheduler\" cannot list resource \"secrets\" in API group \"\" \
                    in the namespace \"default\"";
    ensure!((code, message.as_str()) == (403, expected), "{code} {message}");

    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "secrets"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "secrets"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "secrets"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-scheduler"}]});
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    send(&admin, "POST", &format!("{rbac}/roles"), role).await?;
    send(&admin, "POST", &format!("{rbac}/rolebindings"), binding).await?;
    let granted = plane.until(std::time::Duration::from_secs(10), "the binding takes effect", async |_| {
        let (code, message) = status(send(&scheduler, "GET", "/api/v1/namespaces/default/secrets", Value::Null).await);
        ensure!(code == 200, "{code} {message}");
        Ok(())
    });
    granted.await?;
    let (code, _) = status(send(&scheduler, "GET", "/api/v1/namespaces/kube-system/secrets", Value::Null).await);
    ensure!(code == 403, "a role holds in its own namespace only: {code}");
    Ok(())
}

#[tokio::test]
async fn a_service_account_token_is_an_identity() -> anyhow::Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let admin = plane.client("admin").await?;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    send(&admin, "POST", accounts, account).await?;
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}});
    let token = send(&admin, "POST", &format!("{accounts}/robot/token"), request).await?;
    let token = token["status"]["token"].as_str().unwrap_or_default().to_owned();
    ensure!(token.split('.').count() == 3, "a JWT: {token}");

    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let reviewed = send(&admin, "POST", reviews, review.clone()).await?;
    ensure!(reviewed["status"]["authenticated"] == true, "{}", reviewed["status"]);
    ensure!(reviewed["status"]["user"]["username"] == "system:serviceaccount:default:robot", "{}", reviewed["status"]);

    send(&admin, "DELETE", &format!("{accounts}/robot"), Value::Null).await?;
    plane
        .until(std::time::Duration::from_secs(20), "the token of a deleted account is refused", async |_| {
            let again = send(&admin, "POST", reviews, review.clone()).await?;
            ensure!(again["status"]["authenticated"] != true, "{}", again["status"]);
            Ok(())
        })
        .await
}
