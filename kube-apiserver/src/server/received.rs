//! Request bodies that nobody reads to their end.
//!
//! A request may be answered before its body is read: no such path, not allowed. If its stream were reset then, some
//! clients (curl) would drop the answer with it. So a little of what is left is read behind the answer's back.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use component_base::task;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use crate::body::Body;

/// Bytes that are read and thrown away, as Go's server does.
const DISCARDED: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// The body of a request that hyper received.
pub fn body(incoming: Incoming) -> Body {
    if incoming.is_end_stream() { Body::empty() } else { Body::wrap(Received(Some(incoming))) }
}

/// `None` once it is handed to the task that reads the rest.
struct Received(Option<Incoming>);

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.0.as_mut() {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let Some(rest) = self.0.take().filter(|incoming| !incoming.is_end_stream()) else { return };
        if tokio::runtime::Handle::try_current().is_ok() {
            task::spawn("request-rest", async move {
                let mut rest = Limited::new(rest, DISCARDED);
                let read = async { while let Some(Ok(_)) = rest.frame().await {} };
                let _ = tokio::time::timeout(PATIENCE, read).await;
            });
        }
    }
}
