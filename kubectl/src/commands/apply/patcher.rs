//! The three-way patch between what was applied last, what is wanted and what there is.
//! Corresponds to kubectl/pkg/cmd/apply/patcher.go.

use std::time::Duration;

use apimachinery::patch::{merge, strategic};
use apimachinery::schema;
use apimachinery::value::Value;

use super::is_conflict;
use crate::client::Mapping;
use crate::commands::create::LAST_APPLIED;
use crate::commands::delete::delete_options;
use crate::failure::{has_reason, is_not_found, with_source};
use crate::resource::{Helper, Info};

const RETRIES: usize = 5;
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const MERGE: &str = "application/merge-patch+json";

/// How to replace an object that cannot be patched.
pub(crate) struct Force {
    pub(crate) cascade: &'static str,
    pub(crate) grace_period: i64,
    pub(crate) timeout: Duration,
}

/// Patches one object.
pub(crate) struct Patcher<'a> {
    pub(crate) mapping: &'a Mapping,
    pub(crate) helper: &'a Helper,
    pub(crate) overwrite: bool,
    pub(crate) force: Option<Force>,
}

/// A failure, with the patch as far as it was made.
pub(crate) struct Failed {
    pub(crate) patch: Vec<u8>,
    pub(crate) error: anyhow::Error,
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self { patch: Vec::new(), error }
    }
}

struct Computed {
    media_type: &'static str,
    patch: Value,
}

impl Patcher<'_> {
    fn compute(&self, current: &Value, modified: &str) -> anyhow::Result<Computed> {
        let original = current.path(&["metadata", "annotations", LAST_APPLIED]).str_or_empty();
        let parse = |text: &str| -> anyhow::Result<Value> {
            if text.trim().is_empty() { Ok(Value::map()) } else { crate::codec::decode_json(text.as_bytes()) }
        };
        let explain = |error: String| {
            let current = String::from_utf8_lossy(&crate::codec::encode_json(current)).into_owned();
            anyhow::anyhow!(
                "creating patch with:\noriginal:\n{original}\nmodified:\n{modified}\ncurrent:\n{current}\nfor: {error}"
            )
        };
        let before = parse(original).map_err(|e| explain(e.to_string()))?;
        let wanted = parse(modified).map_err(|e| explain(e.to_string()))?;
        match schema::kind(&self.mapping.api_version(), &self.mapping.kind) {
            Some(ty) => {
                let patch = strategic::create_three_way(&before, &wanted, current, ty, self.overwrite, &[])
                    .map_err(|e| explain(e.to_string()))?;
                Ok(Computed { media_type: STRATEGIC, patch })
            }
            None => {
                let patch = merge::create_three_way(&before, &wanted, current);
                for path in [&["apiVersion"][..], &["kind"], &["metadata", "name"]] {
                    let (last, parents) = path.split_last().expect("not empty");
                    if patch.path(parents).has(last) {
                        return Err(explain("At least one of apiVersion, kind and name was changed".to_owned()));
                    }
                }
                Ok(Computed { media_type: MERGE, patch })
            }
        }
    }

    /// The patch and the object as it would be, without the server.
    pub(crate) fn patch_local(
        &self,
        current: &Value,
        _desired: &mut Value,
        modified: &str,
    ) -> Result<(Vec<u8>, Value), Failed> {
        let computed = self.compute(current, modified)?;
        let bytes = crate::codec::encode_json(&computed.patch);
        if bytes == b"{}" {
            return Ok((bytes, current.clone()));
        }
        let object = match schema::kind(&self.mapping.api_version(), &self.mapping.kind) {
            Some(ty) => strategic::apply(current, &computed.patch, ty)
                .map_err(|e| anyhow::anyhow!("applying patch locally: {e}"))?,
            None => merge::apply_value(current, &computed.patch),
        };
        Ok((bytes, object))
    }

    async fn once(&self, current: &Value, modified: &str, info: &Info) -> Result<(Vec<u8>, Value), Failed> {
        let computed = self.compute(current, modified)?;
        let patch = crate::codec::encode_json(&computed.patch);
        if patch == b"{}" {
            return Ok((patch, current.clone()));
        }
        let sent = self.helper.patch(&info.namespace, &info.name, computed.media_type, patch.clone()).await;
        match sent {
            Ok(object) => Ok((patch, object)),
            Err(error) => Err(Failed { patch, error }),
        }
    }

    /// Sends the patch, again when the object has changed in between. The result is the patch and the new object.
    pub(crate) async fn patch(
        &self,
        info: &Info,
        desired: &mut Value,
        modified: &str,
    ) -> Result<(Vec<u8>, Value), Failed> {
        let mut current = info.object.clone();
        let mut outcome = self.once(&current, modified, info).await;
        for attempt in 1..=RETRIES {
            if !outcome.as_ref().is_err_and(|f| is_conflict(&f.error)) {
                break;
            }
            if attempt > 1 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            current = self.helper.get(&info.namespace, &info.name).await?;
            outcome = self.once(&current, modified, info).await;
        }
        let failed = match outcome {
            Ok(done) => return Ok(done),
            Err(failed) => failed,
        };
        let replaceable = is_conflict(&failed.error) || has_reason(&failed.error, "Invalid");
        match &self.force {
            Some(force) if replaceable => {
                let object = self.delete_and_create(force, info, &current, desired, modified).await?;
                Ok((modified.as_bytes().to_vec(), object))
            }
            _ => Err(Failed { error: with_source("patching", &info.source, failed.error), patch: failed.patch }),
        }
    }

    async fn delete_and_create(
        &self,
        force: &Force,
        info: &Info,
        original: &Value,
        desired: &mut Value,
        modified: &str,
    ) -> anyhow::Result<Value> {
        let options = delete_options(force.grace_period, force.cascade);
        self.helper.delete(&info.namespace, &info.name, &options).await?;
        let limit = if force.timeout.is_zero() { Duration::from_secs(300) } else { force.timeout };
        let deadline = tokio::time::Instant::now() + limit;
        while !self.helper.get(&info.namespace, &info.name).await.is_err_and(|e| is_not_found(&e)) {
            anyhow::ensure!(tokio::time::Instant::now() < deadline, crate::resource::TIMED_OUT);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        desired.set_path(&["metadata", "annotations", LAST_APPLIED], Value::from(modified));
        match self.helper.create(&info.namespace, desired).await {
            Ok(created) => Ok(created),
            Err(error) => {
                if let Err(again) = self.helper.create(&info.namespace, original).await {
                    anyhow::bail!(
                        "An error occurred force-replacing the existing object with the newly provided one:\n\n{error}.\n\nAdditionally, an error occurred attempting to restore the original object:\n\n{again}"
                    );
                }
                Err(error)
            }
        }
    }
}
