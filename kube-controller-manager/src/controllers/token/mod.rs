//! serviceaccount-token-controller: fills Secrets of type kubernetes.io/service-account-token with a token, and deletes
//! those whose ServiceAccount is gone (upstream: pkg/controller/serviceaccount/tokens_controller.go).

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use component_base::informer::{Object as _, Options};
use component_base::pki::PrivateKey;
use component_base::{Chain, ObjectKey, Reader};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::StartError;
use crate::api;
use crate::context::{Context, Shared};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};

const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
const ISSUER: &str = "kubernetes/serviceaccount";

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let path = shared.flags.str("service-account-private-key-file");
    if path.is_empty() {
        return Ok(false);
    }
    let failed = |error: &dyn std::error::Error| {
        StartError::Setup(format!("error reading key for service account token controller: {}", Chain(error)))
    };
    let pem = std::fs::read(path).map_err(|error| failed(&error))?;
    let key = PrivateKey::from_pem(&pem).map_err(|error| failed(&error))?;
    let root_ca = match shared.flags.str("root-ca-file") {
        "" => None,
        path => Some(
            std::fs::read(path)
                .map_err(|error| StartError::Setup(format!("error reading root-ca-file at {path}: {error}")))?,
        ),
    };
    let context = shared.context("tokens-controller", "serviceaccount-token-controller")?;
    // It makes what the others authenticate with, so it acts as the daemon itself.
    let context = Context { client: shared.informers.client().clone(), ..context };
    let controller = Tokens {
        accounts: context.informers.reader(),
        secrets: context.informers.reader_with(Options::fields(format!("type={TYPE}"))),
        key,
        root_ca,
        context: context.clone(),
    };
    runner::start(controller, &context, shared.flags.int("concurrent-serviceaccount-token-syncs"));
    Ok(true)
}

struct Tokens {
    context: Context,
    accounts: Reader<ServiceAccount>,
    secrets: Reader<Secret>,
    key: PrivateKey,
    root_ca: Option<Vec<u8>>,
}

#[async_trait]
impl Controller for Tokens {
    const NAME: &'static str = "serviceaccount-token-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.secrets, queue);
        let (secrets, queue) = (self.secrets.clone(), queue.clone());
        self.accounts.on_event(move |event| {
            let account = event.object();
            let named = secrets
                .list_ns(account.namespace())
                .into_iter()
                .filter(|secret| secret.annotation(ACCOUNT_NAME) == Some(account.name()));
            named.for_each(|secret| queue.add(ObjectKey::of(&*secret)));
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(secret) = self.secrets.get_key(key).filter(|secret| !secret.is_deleting()) else {
            return Ok(Next::OnChange);
        };
        let Some(name) = secret.annotation(ACCOUNT_NAME).filter(|name| !name.is_empty()) else {
            return Ok(Next::OnChange);
        };
        let Some(account) = self.account(&secret, name).await? else { return self.delete(&secret).await };
        let mut filled = (*secret).clone();
        if !self.fill(&mut filled, &account)? {
            return Ok(Next::OnChange);
        }
        let client: Api<Secret> = Api::namespaced(self.context.client.clone(), &key.namespace);
        client
            .replace(&key.name, &PostParams::default(), &filled)
            .await
            .doing(|| "cannot write the token".to_owned())?;
        Ok(Next::OnChange)
    }
}

impl Tokens {
    /// The Secret's account; one that the informer does not show is asked for before a Secret is deleted.
    async fn account(&self, secret: &Secret, name: &str) -> Result<Option<ServiceAccount>, ReconcileError> {
        let wanted = secret.annotation(ACCOUNT_UID).unwrap_or_default();
        let fits = |account: &ServiceAccount| wanted.is_empty() || account.uid() == wanted;
        if let Some(known) = self.accounts.get(secret.namespace(), name).filter(|account| fits(account)) {
            return Ok(Some((*known).clone()));
        }
        let client: Api<ServiceAccount> = Api::namespaced(self.context.client.clone(), secret.namespace());
        let live = client.get_opt(name).await.doing(|| "cannot get the ServiceAccount".to_owned())?;
        Ok(live.filter(|account| fits(account)))
    }

    async fn delete(&self, secret: &Secret) -> Result<Next, ReconcileError> {
        let client: Api<Secret> = Api::namespaced(self.context.client.clone(), secret.namespace());
        let preconditions = Preconditions { uid: secret.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match client.delete(secret.name(), &params).await {
            Err(error) if !api::has_code(&error, 404) && !api::has_code(&error, 409) => {
                Err(error).doing(|| "cannot delete the Secret".to_owned())
            }
            _ => Ok(Next::OnChange),
        }
    }

    /// Puts in what is missing; tells whether anything was.
    fn fill(&self, secret: &mut Secret, account: &ServiceAccount) -> Result<bool, ReconcileError> {
        let data = secret.data.clone().unwrap_or_default();
        let is_empty = |key: &str| data.get(key).is_none_or(|value| value.0.is_empty());
        let needs_ca = self.root_ca.as_ref().is_some_and(|ca| data.get("ca.crt").map(|known| &known.0) != Some(ca));
        let (needs_namespace, needs_token) = (is_empty("namespace"), is_empty("token"));
        if !needs_ca && !needs_namespace && !needs_token {
            return Ok(false);
        }
        let namespace = secret.namespace().to_owned();
        let token = if needs_token { Some(self.token(secret.name(), account)?) } else { None };
        let filled = secret.data.get_or_insert_default();
        if let Some(ca) = self.root_ca.clone().filter(|_| needs_ca) {
            filled.insert("ca.crt".to_owned(), ByteString(ca));
        }
        filled.entry("namespace".to_owned()).or_insert_with(|| ByteString(namespace.into_bytes()));
        filled.extend(token.map(|token| ("token".to_owned(), ByteString(token.into_bytes()))));
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.insert(ACCOUNT_NAME.to_owned(), account.name().to_owned());
        annotations.insert(ACCOUNT_UID.to_owned(), account.uid().to_owned());
        Ok(true)
    }

    /// A token without an end, bound to the Secret's existence.
    fn token(&self, secret: &str, account: &ServiceAccount) -> Result<String, ReconcileError> {
        let failed = |error: component_base::pki::PkiError| {
            ReconcileError::Invalid(format!("cannot sign a token: {}", Chain(&error)))
        };
        let public = self.key.public_key_der().map_err(failed)?;
        let (algorithm, _) = self.key.sign_jws(&[]).map_err(failed)?;
        let head = json!({ "alg": algorithm, "kid": URL_SAFE_NO_PAD.encode(Sha256::digest(&public)) });
        let claims = json!({
            "iss": ISSUER,
            "kubernetes.io/serviceaccount/namespace": account.namespace(),
            "kubernetes.io/serviceaccount/secret.name": secret,
            "kubernetes.io/serviceaccount/service-account.name": account.name(),
            "kubernetes.io/serviceaccount/service-account.uid": account.uid(),
            "sub": format!("system:serviceaccount:{}:{}", account.namespace(), account.name()),
        });
        let text =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let (_, signature) = self.key.sign_jws(text.as_bytes()).map_err(failed)?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
