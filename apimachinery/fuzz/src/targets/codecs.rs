//! JSON, YAML and protobuf.

use apimachinery::codec::json::{self, DecodeOptions};
use apimachinery::codec::protobuf::{self, Envelope, scan as scanner};
use apimachinery::codec::transcode::{self, Head};
use apimachinery::codec::yaml as yaml_codec;
use apimachinery::schema::{Shape, Type};
use apimachinery::value::Value;

use super::{KINDS, MESSAGES, check_bounds, choose, measure};

fn as_json(value: &Value, ty: &Type) -> String {
    let mut out = Vec::new();
    json::encode(value, ty, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn as_protobuf(value: &Value, ty: &Type) -> Vec<u8> {
    let mut out = Vec::new();
    protobuf::encode(value, ty, &mut out);
    out
}

/// JSON of a kind: strict and lenient agree, and what is written reads as what was read.
pub fn json_strict(data: &[u8]) {
    let Some(((_, _, ty), text)) = choose(&KINDS, data) else { return };
    let _ = json::type_meta(text);
    let lenient = json::decode(text, ty, &DecodeOptions::default());
    let strict = json::decode(text, ty, &DecodeOptions::STRICT);
    assert_eq!(lenient.is_ok(), strict.is_ok(), "{lenient:?} {strict:?}");
    let Ok(strict) = strict else { return };
    check_bounds(&strict.value, text.len());
    let written = as_json(&strict.value, ty);
    let again = json::decode(written.as_bytes(), ty, &DecodeOptions::STRICT).expect("what is written can be read");
    assert_eq!(again.strict_errors, Vec::<String>::new(), "{written}");
    assert_eq!(as_json(&again.value, ty), written);
}

/// JSON without a schema.
pub fn json_untyped(data: &[u8]) {
    let syntax = json::check_syntax(data);
    let decoded = json::decode_untyped(data);
    let _ = json::decode_strict_untyped(data);
    let _ = json::indent(data);
    let Ok(value) = decoded else { return };
    assert_eq!(syntax, Ok(()));
    check_bounds(&value, data.len());
    let written = json::to_string(&value);
    let again = json::decode_untyped(written.as_bytes()).expect("what is written can be read");
    assert_eq!(json::to_string(&again), written);
    if let Ok(indented) = std::str::from_utf8(&json::indent(written.as_bytes())) {
        assert_eq!(json::decode_untyped(indented.as_bytes()).as_ref(), Ok(&again));
    }
}

/// YAML, with and without a schema.
pub fn yaml(data: &[u8]) {
    /// Aliases may blow a document up, within the bounds of upstream's parser.
    const VALUES_MAX: usize = 10_000_000;
    let Some(((_, _, ty), text)) = choose(&KINDS, data) else { return };
    let _ = yaml_codec::documents(text).map(|document| document.map(<[u8]>::len)).collect::<Vec<_>>();
    let _ = yaml_codec::decode(text, ty, &DecodeOptions::STRICT);
    let Ok(value) = yaml_codec::decode_untyped(text) else { return };
    let (count, depth) = measure(&value);
    assert!(count <= VALUES_MAX && depth <= 10_000, "{count} values, {depth} levels");
    if count <= text.len() + 1 {
        let written = yaml_codec::encode(&value);
        let again = yaml_codec::decode_untyped(written.as_bytes());
        let again = again.unwrap_or_else(|error| panic!("what is written can be read: {error}\n{written}"));
        assert_eq!(json::to_string(&again), json::to_string(&value), "{written}");
    }
}

/// Messages of every kind: decoded ones are written to a fixed point, and survive JSON.
pub fn protobuf(data: &[u8]) {
    let Some(((_, _, ty), raw)) = choose(&MESSAGES, data) else { return };
    let Ok(value) = protobuf::decode(raw, ty) else { return };
    // An empty message is two bytes and may be a map entry: a key and a value.
    let (count, depth) = measure(&value);
    assert!(count <= 2 * raw.len() + 2 && depth <= 1_000, "{count} values of {} bytes, {depth} levels", raw.len());
    let bytes = as_protobuf(&value, ty);
    let again = protobuf::decode(&bytes, ty).expect("what is written can be read");
    assert_eq!(as_protobuf(&again, ty), bytes);
    let _ = as_json(&value, ty);
}

/// Envelopes, and what is done to messages in them without decoding.
pub fn envelope(data: &[u8]) {
    let Ok(envelope) = Envelope::parse(data) else { return };
    let mut written = Vec::new();
    protobuf::write_envelope(envelope.api_version, envelope.kind, envelope.raw, &mut written);
    let again = Envelope::parse(&written).expect("what is written can be read");
    assert_eq!((again.api_version, again.kind, again.raw), (envelope.api_version, envelope.kind, envelope.raw));
}

/// Straight from protobuf to JSON: whatever decodes is transcoded, to the same text.
pub fn transcoder(data: &[u8]) {
    let Some(((api_version, kind, ty), raw)) = choose(&MESSAGES, data) else { return };
    let mut direct = Vec::new();
    let transcoded = transcode::json_from_protobuf(raw, ty, "", "", &mut direct);
    match protobuf::decode(raw, ty) {
        Ok(value) => {
            transcoded.expect("what can be decoded can be transcoded");
            let direct = String::from_utf8(direct).expect("JSON is UTF-8");
            assert_eq!(without_null_fields(&direct), without_null_fields(&as_json(&value, ty)));
        }
        Err(_) => assert!(direct.is_empty() || transcoded.is_ok()),
    }
    let head = Head { api_version, kind, resource_version: Some("1") };
    let mut out = Vec::new();
    let _ = transcode::json_with_head(raw, ty, head, &mut out);
    out.clear();
    let _ = transcode::partial_metadata_json(raw, head, &mut out);
}

/// An empty FieldsV1 message, which no writer makes, is null to the transcoder as it is to Go; a tree has no such null.
fn without_null_fields(json: &str) -> String {
    json.replace(",\"fieldsV1\":null", "").replace("\"fieldsV1\":null", "")
}

/// Reading and replacing single fields of a message.
pub fn scan(data: &[u8]) {
    let Some(((_, _, ty), raw)) = choose(&MESSAGES, data) else { return };
    for path in
        [&["metadata", "name"][..], &["spec", "nodeName"], &["status", "phase"], &["metadata", "ownerReferences"]]
    {
        let _ = scanner::find(raw, ty, path);
        scanner::each(raw, ty, path, &mut |_| ());
    }
    let _ = protobuf::partial_metadata(raw);
    if let Ok(meta) = protobuf::object_meta(raw) {
        let _ = (meta.labels().count(), meta.annotations().count(), meta.finalizers().count(), meta.label("a"));
    }
    let spliced = protobuf::with_resource_version(raw, "7");
    // What is stored was written by an encoder: metadata occurs once. Of other bytes it is enough that they do no harm.
    let Ok(mut value) = protobuf::decode(raw, ty) else { return };
    let has_metadata = matches!(ty.field("metadata").map(|field| &field.shape), Some(Shape::Struct(meta)) if meta.go_name() == "ObjectMeta");
    if has_metadata && ty.field("metadata").is_some_and(|field| field.tag == 1) && as_protobuf(&value, ty) == raw {
        value.set_path(&["metadata", "resourceVersion"], "7".into());
        assert_eq!(spliced, Ok(as_protobuf(&value, ty)));
    }
}
