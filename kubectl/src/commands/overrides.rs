//! `--overrides`: a patch that the user lays over a generated object.
//! Corresponds to kubectl/pkg/cmd/util/override_options.go.

use apimachinery::patch::{json_patch, merge, strategic};
use apimachinery::schema;
use apimachinery::value::Value;

use crate::cli::FlagSet;

/// Declares `--overrides` and `--override-type`.
pub(super) fn override_flags(flags: &mut FlagSet) {
    flags.string("overrides", "", "", "An inline JSON override for the generated object. If this is non-empty, it is used to override the generated object. Requires that the object supply a valid apiVersion field.");
    flags.string(
        "override-type",
        "",
        "merge",
        "The method used to override the generated object: json, merge, or strategic.",
    );
}

/// The object with the user's patch.
pub(super) fn overridden(flags: &FlagSet, object: Value) -> anyhow::Result<Value> {
    let text = flags.str("overrides");
    let kind = flags.str("override-type");
    if text.is_empty() {
        return Ok(object);
    }
    anyhow::ensure!(matches!(kind, "json" | "merge" | "strategic" | ""), "invalid override type: {kind}");
    let patch = crate::codec::decode_yaml(text.as_bytes());
    let patch = patch.map_err(|error| match kind {
        "merge" | "" => anyhow::anyhow!("Invalid JSON Patch"),
        _ => error,
    })?;
    match kind {
        "json" => {
            let patched = json_patch::apply(&crate::codec::encode_json(&object), &crate::codec::encode_json(&patch))?;
            crate::codec::decode_json(&patched)
        }
        "strategic" => {
            let api_version = object.get("apiVersion").str_or_empty();
            let ty = schema::kind(api_version, object.get("kind").str_or_empty());
            let ty = ty.ok_or_else(|| anyhow::anyhow!("no built-in type for the object to override"))?;
            Ok(strategic::apply(&object, &patch, ty)?)
        }
        _ => Ok(merge::apply_value(&object, &patch)),
    }
}
