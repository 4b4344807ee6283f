//! The tasks that write events to the API.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event as CoreEvent, EventSource};
use k8s_openapi::api::events::v1::{Event as NewEvent, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::debug;

use super::correlate::{Correlator, Known, Verdict};
use super::{Record, Reporter};
use crate::client::is_not_found;
use crate::error::Chain;

const TRIES: u32 = 4;
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// A series that was quiet this long is over.
const SERIES_SECONDS: i64 = 360;
const SERIES_MAX: usize = 4096;

fn namespace_of(record: &Record) -> String {
    record.regarding.namespace.clone().filter(|namespace| !namespace.is_empty()).unwrap_or_else(|| "default".to_owned())
}

fn event_meta(record: &Record, now: Timestamp) -> ObjectMeta {
    let object = record.regarding.name.as_deref().unwrap_or_default();
    ObjectMeta {
        name: Some(format!("{object}.{:x}", now.as_nanosecond())),
        namespace: Some(namespace_of(record)),
        ..ObjectMeta::default()
    }
}

/// Tries a write a few times; an answer of the server that more tries will not change ends it.
async fn with_retries<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match attempt().await {
            Err(error) if tries < TRIES && !matches!(&error, kube::Error::Api(status) if status.code < 500) => {
                tokio::time::sleep(RETRY_DELAY).await;
            }
            result => return result,
        }
    }
}

pub(super) async fn core(client: kube::Client, reporter: Reporter, mut records: mpsc::Receiver<Record>) {
    let mut correlator = Correlator::default();
    while let Some(record) = records.recv().await {
        let now = crate::clock::now();
        let Verdict::Send { key, message, known } = correlator.judge(&record, now) else { continue };
        let api: Api<CoreEvent> = Api::namespaced(client.clone(), &namespace_of(&record));
        match write_core(&api, &reporter, &record, &message, known, now).await {
            Ok(written) => correlator.sent(key, written, now),
            Err(error) => {
                correlator.forget(&key);
                debug!(reason = record.reason, err = %Chain(&error), "Failed to write an event");
            }
        }
    }
}

async fn write_core(
    api: &Api<CoreEvent>,
    reporter: &Reporter,
    record: &Record,
    message: &str,
    known: Option<Known>,
    now: Timestamp,
) -> Result<Known, kube::Error> {
    if let Some(known) = known {
        let count = known.count + 1;
        let patch = json!({ "count": count, "lastTimestamp": Time(now), "message": message });
        let params = PatchParams::default();
        match with_retries(|| async { api.patch(&known.name, &params, &Patch::Strategic(&patch)).await }).await {
            Ok(_) => return Ok(Known { count, ..known }),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let event = core_event(reporter, record, message, now);
    let made = with_retries(|| async { api.create(&PostParams::default(), &event).await }).await?;
    Ok(Known { name: made.metadata.name.unwrap_or_default(), count: 1, first: now })
}

fn core_event(reporter: &Reporter, record: &Record, message: &str, now: Timestamp) -> CoreEvent {
    CoreEvent {
        metadata: event_meta(record, now),
        involved_object: record.regarding.clone(),
        related: record.related.clone(),
        reason: Some(record.reason.clone()),
        message: Some(message.to_owned()),
        type_: Some(record.event_type.as_str().to_owned()),
        action: (!record.action.is_empty()).then(|| record.action.clone()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        reporting_component: Some(reporter.component.clone()),
        reporting_instance: Some(reporter.instance.clone()),
        source: Some(EventSource {
            component: Some(reporter.component.clone()),
            host: Some(reporter.instance.clone()).filter(|host| !host.is_empty()),
        }),
        ..CoreEvent::default()
    }
}

/// A running series of equal events.
struct Series {
    name: String,
    count: i32,
    last: Timestamp,
}

pub(super) async fn events_v1(client: kube::Client, reporter: Reporter, mut records: mpsc::Receiver<Record>) {
    let mut series: HashMap<String, Series> = HashMap::new();
    while let Some(record) = records.recv().await {
        let now = crate::clock::now();
        if series.len() >= SERIES_MAX {
            series.retain(|_, known| now.as_second() - known.last.as_second() < SERIES_SECONDS);
        }
        let key = format!(
            "{:?}{:?}{:?}{}{}",
            record.regarding, record.related, record.event_type, record.reason, record.action
        );
        let api: Api<NewEvent> = Api::namespaced(client.clone(), &namespace_of(&record));
        match write_new(&api, &reporter, &record, series.remove(&key), now).await {
            Ok(known) if series.len() < SERIES_MAX => {
                series.insert(key, known);
            }
            Ok(_) => {}
            Err(error) => debug!(reason = record.reason, err = %Chain(&error), "Failed to write an event"),
        }
    }
}

async fn write_new(
    api: &Api<NewEvent>,
    reporter: &Reporter,
    record: &Record,
    known: Option<Series>,
    now: Timestamp,
) -> Result<Series, kube::Error> {
    if let Some(known) = known.filter(|known| now.as_second() - known.last.as_second() < SERIES_SECONDS) {
        let count = known.count + 1;
        let patch = json!({ "series": EventSeries { count, last_observed_time: MicroTime(now) } });
        match with_retries(|| async {
            api.patch(&known.name, &PatchParams::default(), &Patch::Strategic(&patch)).await
        })
        .await
        {
            Ok(_) => return Ok(Series { name: known.name, count, last: now }),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let event = NewEvent {
        metadata: event_meta(record, now),
        event_time: Some(MicroTime(now)),
        regarding: Some(record.regarding.clone()),
        related: record.related.clone(),
        reason: Some(record.reason.clone()),
        note: Some(record.message.clone()),
        action: Some(record.action.clone()),
        type_: Some(record.event_type.as_str().to_owned()),
        reporting_controller: Some(reporter.component.clone()),
        reporting_instance: Some(reporter.instance.clone()),
        ..NewEvent::default()
    };
    let made = with_retries(|| async { api.create(&PostParams::default(), &event).await }).await?;
    Ok(Series { name: made.metadata.name.unwrap_or_default(), count: 1, last: now })
}
