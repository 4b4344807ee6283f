//! Go templates over objects. Corresponds to cli-runtime/pkg/printers/template.go.

use std::collections::BTreeMap;
use std::sync::Arc;

use apimachinery::value::Value;
use base64::Engine as _;
use gotmpl::{MissingKey, Template, TemplateError};

/// A parsed Go template.
pub struct GoTemplate {
    text: String,
    template: Template,
}

impl GoTemplate {
    /// Parses a template.
    pub fn parse(text: &str, allow_missing: bool) -> anyhow::Result<Self> {
        let missing = if allow_missing { MissingKey::Invalid } else { MissingKey::Error };
        let template = Template::new("output")
            .missing_key(missing)
            .func("exists", exists)
            .func("base64decode", base64decode)
            .parse(text)
            .map_err(|e| anyhow::anyhow!("error parsing template {text}, {e}"))?;
        Ok(Self { text: text.to_owned(), template })
    }

    /// The template's text for an object.
    pub fn execute(&self, object: &Value) -> anyhow::Result<String> {
        let data = convert(object);
        self.template
            .execute_to_string(&data)
            .map_err(|e| anyhow::anyhow!("error executing template {}: {e}", crate::cli::quote::quote(&self.text)))
    }
}

/// JSON as Go's decoder gives it to templates: every number is a float.
fn convert(value: &Value) -> gotmpl::Value {
    match value {
        Value::Bool(b) => gotmpl::Value::Bool(*b),
        Value::Int(i) => gotmpl::Value::Float(*i as f64),
        Value::Float(f) => gotmpl::Value::Float(*f),
        Value::Str(s) => gotmpl::Value::String(Arc::from(&**s)),
        Value::List(items) => gotmpl::Value::List(items.iter().map(convert).collect()),
        Value::Map(map) => {
            let entries: BTreeMap<Arc<str>, gotmpl::Value> =
                map.iter().map(|(k, v)| (Arc::from(k), convert(v))).collect();
            gotmpl::Value::Map(Arc::new(entries))
        }
        _ => gotmpl::Value::Nil,
    }
}

/// Whether the path of indices exists in the first argument.
fn exists(args: &[gotmpl::Value]) -> gotmpl::Result<gotmpl::Value> {
    let mut current = args.first();
    for index in args.iter().skip(1) {
        current = match (current, index) {
            (Some(gotmpl::Value::Map(map)), gotmpl::Value::String(key)) => map.get(key),
            (Some(gotmpl::Value::List(list)), gotmpl::Value::Int(at)) => {
                usize::try_from(*at).ok().and_then(|at| list.get(at))
            }
            _ => None,
        };
    }
    Ok(gotmpl::Value::Bool(!matches!(current, None | Some(gotmpl::Value::Nil))))
}

fn base64decode(args: &[gotmpl::Value]) -> gotmpl::Result<gotmpl::Value> {
    let failed = |text: String| TemplateError::Exec(format!("base64 decode failed: {text}"));
    let Some(gotmpl::Value::String(text)) = args.first() else {
        return Err(failed("not a string".to_owned()));
    };
    let data = base64::engine::general_purpose::STANDARD.decode(text.as_bytes()).map_err(|e| failed(e.to_string()))?;
    Ok(gotmpl::Value::String(Arc::from(String::from_utf8_lossy(&data).as_ref())))
}
