//! Logs of containers.
//!
//! upstream: pkg/kubelet/server/server.go: getContainerLogs, pkg/kubelet/kubelet_pods.go: validateContainerLogStatus

use bytes::Bytes;
use component_base::serving::ResponseBody;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::target::{Query, Target};
use super::{Context, Refusal};
use crate::logs::{LogOptions, LogReader, StreamChoice};
use crate::pod::view::PodView;

/// Chunks that wait for a slow reader.
const CHUNKS_MAX: usize = 8;

/// Answers `/containerLogs/namespace/pod/container`.
pub async fn serve(cx: Context, request: Request<Incoming>) -> Response<ResponseBody> {
    match try_serve(cx, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.response(),
    }
}

async fn try_serve(cx: Context, request: Request<Incoming>) -> Result<Response<ResponseBody>, Refusal> {
    let path = request.uri().path();
    let target = Target::of_container(path).ok_or_else(|| Refusal::bad_request("Missing container name."))?;
    let query = Query::read(request.uri().query());
    let options = options(&query)?;
    let pod = target
        .find(&cx)
        .map_err(|_| Refusal::not_found(format!("pod \"{}/{}\" not found", target.namespace, target.pod)))?;
    if pod.container(&target.container).is_none() {
        let message = format!("container {:?} not found in pod {:?}", target.container, target.pod);
        return Err(Refusal::not_found(message));
    }
    let id = container_id(&cx, &pod, &target.container, query.flag("previous"))?;
    let runtime = cx.workers.machinery().runtime.clone();
    let status = runtime.container_status(&id).await.map_err(|error| Refusal::internal(error.to_string()))?;
    let (sender, mut chunks) = mpsc::channel::<Bytes>(CHUNKS_MAX);
    let reader = LogReader::open(status.log_path.into(), id, runtime, options)
        .map_err(|error| Refusal::internal(error.to_string()))?;
    component_base::task::spawn("container-log", async move { reader.run(sender).await });
    let stream = futures::stream::poll_fn(move |context| {
        chunks.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok::<_, tower::BoxError>(Frame::data(chunk))))
    });
    Response::builder()
        .status(StatusCode::OK)
        .header(header::CONTENT_TYPE, "text/plain")
        .body(StreamBody::new(stream).boxed_unsync())
        .map_err(|error| Refusal::internal(error.to_string()))
}

fn options(query: &Query) -> Result<LogOptions, Refusal> {
    let now = component_base::clock::now();
    let since_seconds = query.number("sinceSeconds")?;
    let since = match (since_seconds, query.get("sinceTime").filter(|text| !text.is_empty())) {
        (Some(seconds), _) => now.checked_sub(SignedDuration::from_secs(seconds)).ok(),
        (None, Some(text)) => Some(
            text.parse::<Timestamp>().map_err(|_| Refusal::bad_request(format!("unable to decode query: {text:?}")))?,
        ),
        (None, None) => None,
    };
    let unsigned = |name: &str| -> Result<Option<u64>, Refusal> {
        match query.number(name)? {
            None => Ok(None),
            Some(number) => u64::try_from(number).map(Some).map_err(|_| {
                Refusal(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    format!("{name}: Invalid value: {number}: must be greater than or equal to 0"),
                )
            }),
        }
    };
    Ok(LogOptions {
        follow: query.flag("follow"),
        timestamps: query.flag("timestamps"),
        tail_lines: unsigned("tailLines")?,
        limit_bytes: unsigned("limitBytes")?,
        since,
        stream: match query.get("stream") {
            Some("Stdout") => StreamChoice::Stdout,
            Some("Stderr") => StreamChoice::Stderr,
            _ => StreamChoice::All,
        },
        cancelled: CancellationToken::new(),
    })
}

fn container_id(cx: &Context, pod: &Pod, name: &str, previous: bool) -> Result<String, Refusal> {
    let status = cx.workers.machinery().statuses.get(pod.uid()).unwrap_or_else(|| pod.status().clone());
    let all = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses)
        .chain(&status.ephemeral_container_statuses)
        .flatten();
    let (container, of_pod) = (name, pod.name());
    let Some(found) = all.into_iter().find(|one| one.name == name) else {
        return Err(Refusal::bad_request(format!("container {container:?} in pod {of_pod:?} is not available")));
    };
    let id = choose_id(found, previous, of_pod).map_err(Refusal::bad_request)?;
    Ok(id.split_once("://").map_or(id.clone(), |(_, id)| id.to_owned()))
}

fn choose_id(status: &ContainerStatus, previous: bool, pod: &str) -> Result<String, String> {
    let container = &status.name;
    let state = status.state.clone().unwrap_or_default();
    let last = status.last_state.as_ref().and_then(|last| last.terminated.clone());
    let last_id = last.and_then(|last| last.container_id).filter(|id| !id.is_empty());
    if previous {
        return last_id.ok_or_else(|| format!("previous terminated container {container:?} in pod {pod:?} not found"));
    }
    if state.running.is_some() {
        return Ok(status.container_id.clone().unwrap_or_default());
    }
    if let Some(ended) = state.terminated {
        let own = ended.container_id.filter(|id| !id.is_empty());
        return own.or(last_id).ok_or_else(|| format!("container {container:?} in pod {pod:?} is terminated"));
    }
    if let Some(id) = last_id {
        return Ok(id);
    }
    let waiting = state.waiting.unwrap_or_default();
    let reason = waiting.reason.unwrap_or_default();
    Err(match reason.as_str() {
        "ErrImagePull" => format!("container {container:?} in pod {pod:?} is waiting to start: image can't be pulled"),
        "ImagePullBackOff" => {
            format!("container {container:?} in pod {pod:?} is waiting to start: trying and failing to pull image")
        }
        reason => format!("container {container:?} in pod {pod:?} is waiting to start: {reason}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_the_run_that_is_meant() {
        let status = |json: &str| -> ContainerStatus { serde_json::from_str(json).expect("valid") };
        let base = r#""name":"c","image":"","imageID":"","ready":false,"restartCount":0"#;
        let running = status(&format!(
            r#"{{{base},"containerID":"x://2","state":{{"running":{{}}}},"lastState":{{"terminated":{{"exitCode":1,"containerID":"x://1"}}}}}}"#
        ));
        assert_eq!(choose_id(&running, false, "p"), Ok("x://2".to_owned()));
        assert_eq!(choose_id(&running, true, "p"), Ok("x://1".to_owned()));
        let waiting = status(&format!(r#"{{{base},"state":{{"waiting":{{"reason":"ContainerCreating"}}}}}}"#));
        assert_eq!(
            choose_id(&waiting, false, "p"),
            Err("container \"c\" in pod \"p\" is waiting to start: ContainerCreating".to_owned())
        );
        assert_eq!(
            choose_id(&waiting, true, "p"),
            Err("previous terminated container \"c\" in pod \"p\" not found".to_owned())
        );
    }
}
