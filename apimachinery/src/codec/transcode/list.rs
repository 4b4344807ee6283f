//! What stands around the items of a list in JSON.

use super::member;

/// The metadata of a list.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListMeta<'a> {
    /// metadata.resourceVersion
    pub resource_version: &'a str,
    /// metadata.continue; "" for none
    pub continue_token: &'a str,
    /// metadata.remainingItemCount
    pub remaining_item_count: Option<i64>,
}

/// Appends the start of a list. Then come the items, with commas between them, then [`list_end`].
pub fn list_start(api_version: &str, kind: &str, meta: &ListMeta<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    member("kind", kind, true, out);
    member("apiVersion", api_version, false, out);
    out.extend_from_slice(b",\"metadata\":{");
    let mut first = true;
    for (key, text) in [("resourceVersion", meta.resource_version), ("continue", meta.continue_token)] {
        if !text.is_empty() {
            member(key, text, first, out);
            first = false;
        }
    }
    if let Some(n) = meta.remaining_item_count {
        out.extend_from_slice(if first { b"\"remainingItemCount\":" } else { b",\"remainingItemCount\":" });
        out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
    }
    out.extend_from_slice(b"},\"items\":[");
}

/// Appends the end of a list, without a final newline.
pub fn list_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"]}");
}
