//! Reads request bodies, at most three mebibytes of them.

use apimachinery::status::ApiError;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::body::Body;

/// Bytes of a request body, at most.
pub const LIMIT: usize = 3 * 1024 * 1024;

/// Bytes beyond the limit that are read and thrown away: a client that is still sending would not hear the answer.
const DISCARDED: usize = 16 * 1024 * 1024;

/// The whole body.
///
/// # Errors
/// 413 if it is larger than the limit; 400 if the connection breaks.
pub async fn read(mut body: Body) -> Result<Bytes, ApiError> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ApiError::bad_request(format!("cannot read the request body: {e}")))?;
        let Some(data) = frame.data_ref() else { continue };
        if all.len() + data.len() > LIMIT {
            discard(body).await;
            return Err(ApiError::too_large(&format!("limit is {LIMIT}")));
        }
        all.extend_from_slice(data);
    }
    Ok(all.freeze())
}

async fn discard(mut body: Body) {
    let mut seen = 0;
    while seen < DISCARDED
        && let Some(Ok(frame)) = body.frame().await
    {
        seen += frame.data_ref().map_or(0, Bytes::len);
    }
}
