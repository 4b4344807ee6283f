//! A custom resource: its schemas, columns and subresources, and how its objects are decoded, defaulted and checked.
//!
//! upstream: apiextensions-apiserver/pkg/apiserver/customresource_handler.go, pkg/registry/customresource

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use apimachinery::codec::json;
use apimachinery::field::{BadValue, Error, Errors, Path};
use apimachinery::jsonpath::{self, JsonPath};
use apimachinery::names;
use apimachinery::resources;
use apimachinery::status::ApiError;
use apimachinery::structural::{self, Structural};
use apimachinery::value::{Cursor, Value};
use jiff::Timestamp;

use super::rules::Rules;
use crate::registry::resource::{Encoding, Resource, Served};
use crate::registry::strategy::{RequestContext, Strategy};

/// A column of the table form.
#[derive(Clone, Debug)]
pub struct CustomColumn {
    /// Heading.
    pub name: String,
    /// OpenAPI type.
    pub ty: String,
    /// OpenAPI format.
    pub format: String,
    /// What the cells say.
    pub description: String,
    /// 0 is always shown.
    pub priority: i32,
    /// None: a path that is none shows nothing.
    path: Option<JsonPath>,
}

/// Where objects of a version have what their scale shows; paths are keys, and empty where there is none.
#[derive(Clone, Debug, Default)]
pub struct ScalePlaces {
    /// Wanted replicas.
    pub spec: Vec<String>,
    /// Replicas that there are.
    pub status: Vec<String>,
    /// The selector, as text.
    pub selector: Vec<String>,
}

/// What one version of a custom resource has.
#[derive(Clone, Debug, Default)]
struct Version {
    schema: Structural,
    /// What every request to a deprecated version is told.
    warning: Option<String>,
    scale: Option<ScalePlaces>,
    columns: Vec<CustomColumn>,
    rules: Option<Arc<Rules>>,
}

impl Version {
    fn of(version: &Value, schema: Structural, api_version: &str, kind: &str) -> Self {
        let warning = (version.get("deprecated").as_bool() == Some(true)).then(|| {
            match version.get("deprecationWarning").str_or_empty() {
                "" => format!("{api_version} {kind} is deprecated"),
                text => text.to_owned(),
            }
        });
        Self {
            warning,
            scale: scale(version),
            columns: version.get("additionalPrinterColumns").items().iter().map(column).collect(),
            rules: Rules::compile(version.path(&["schema", "openAPIV3Schema"]), &schema).map(Arc::new),
            schema,
        }
    }
}

/// What a resource has that comes out of a definition.
#[derive(Clone, Debug, Default)]
pub struct Custom {
    versions: HashMap<Box<str>, Version>,
    /// Kind of lists.
    pub list_kind: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories such as `all`.
    pub categories: Vec<String>,
    /// UID and generation of the definition.
    pub made_from: (String, i64),
}

impl Custom {
    fn version(&self, api_version: &str) -> Option<&Version> {
        self.versions.get(api_version)
    }

    /// The scale of a version, if it has one.
    pub fn scale(&self, api_version: &str) -> Option<&ScalePlaces> {
        self.version(api_version)?.scale.as_ref()
    }

    /// The warning that every request to a deprecated version gets.
    pub fn deprecation(&self, api_version: &str) -> Option<String> {
        self.version(api_version)?.warning.clone()
    }

    /// The schema of a version.
    pub fn schema(&self, api_version: &str) -> Option<&Structural> {
        self.version(api_version).map(|v| &v.schema)
    }

    /// Brings an object of another version into the form of this one: what it does not know is not shown. Conversion
    /// sets no defaults.
    pub fn show(&self, api_version: &str, object: &mut Value) {
        if let Some(schema) = self.schema(api_version) {
            structural::prune(object, schema, true);
        }
    }

    /// Brings an object that was stored or changed by admission into the form of its version, with defaults.
    pub fn complete(&self, api_version: &str, object: &mut Value) {
        if let Some(schema) = self.schema(api_version) {
            structural::prune(object, schema, true);
            default(object, schema);
        }
    }

    /// Columns after the name; the age if the definition has none.
    pub fn columns(&self, api_version: &str) -> Vec<CustomColumn> {
        match self.version(api_version) {
            Some(version) if !version.columns.is_empty() => version.columns.clone(),
            _ => vec![CustomColumn {
                name: "Age".into(),
                ty: "date".into(),
                format: String::new(),
                description: resources::column_text("Age").to_owned(),
                priority: 0,
                path: parse_path(".metadata.creationTimestamp"),
            }],
        }
    }

    /// Cells of a row.
    pub fn cells(&self, api_version: &str, object: &Value, now: Timestamp) -> Vec<Value> {
        let mut cells = vec![object.path(&["metadata", "name"]).clone()];
        for column in self.columns(api_version) {
            let found = column.path.as_ref().and_then(|path| path.find(object).ok());
            let first = found.as_ref().and_then(|parts| parts.first()?.first());
            cells.push(first.map_or(Value::Null, |value| cell(&column.ty, value, now)));
        }
        cells
    }
}

/// Decodes JSON of a custom resource: metadata in form, unknown fields removed and reported, nothing defaulted.
///
/// # Errors
/// Go's message for text that is no object.
pub fn decode(text: &[u8], schema: &Structural) -> Result<(Value, Vec<String>), String> {
    let decoded = json::decode_strict_untyped(text).map_err(|e| e.to_string())?;
    let mut value = decoded.value;
    if value.as_map().is_none() {
        return Err("json: cannot unmarshal into an object".to_owned());
    }
    let mut strict = decoded.strict_errors;
    let unknown = structural::coerce(&mut value, schema, true, false).map_err(|e| {
        // that of the object itself is told without its place
        if e.field.to_string() == "metadata" { e.detail } else { e.to_string() }
    })?;
    strict.extend(unknown.into_iter().map(|path| format!("unknown field \"{path}\"")));
    let pruned = structural::prune(&mut value, schema, true);
    strict.extend(pruned.into_iter().map(|path| format!("unknown field \"{path}\"")));
    Ok((value, strict))
}

/// An object may not say that it is of another type.
/// upstream: customresource/validator.go: ValidateTypeMeta
///
/// # Errors
/// 422 in the name of the type that it says it is of.
pub fn check_type(object: &Value, api_version: &str, kind: &str) -> Result<(), ApiError> {
    let says = |field: &str| object.get(field).str_or_empty();
    let mut errs = Errors::new();
    for (field, wanted) in [("kind", kind), ("apiVersion", api_version)] {
        if says(field) != wanted {
            errs.invalid(Path::root(field), says(field), format!("must be {wanted}"));
        }
    }
    if errs.is_empty() {
        return Ok(());
    }
    let group = says("apiVersion").split_once('/').map_or("", |(group, _)| group);
    let name = object.path(&["metadata", "name"]).str_or_empty();
    Err(ApiError::invalid(group, says("kind"), name, &errs))
}

/// Fills in what the schema defaults.
pub fn default(value: &mut Value, schema: &Structural) {
    structural::prune_nulls(value, Some(schema));
    structural::default(value, schema);
}

/// The strategy of all custom resources.
pub struct CustomResources;

/// The one strategy.
pub static CUSTOM: CustomResources = CustomResources;

impl Strategy for CustomResources {
    fn default(&self, _obj: &mut Value) {}

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        finalizer_warnings(obj, Cursor::default())
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
        finalizer_warnings(obj, old)
    }

    fn validate_create(&self, cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        if let Some(schema) = schema(cx) {
            errs.extend(structural::validate(obj.value(), schema).iter().cloned());
            errs.extend(extra_checks(obj.value(), schema));
            check_rules(cx, obj.value(), None, errs);
            check_scale(cx, obj.value(), errs);
        }
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        if let Some(schema) = schema(cx) {
            errs.extend(structural::validate_update(obj.value(), old.value(), schema).iter().cloned());
            errs.extend(extra_checks(obj.value(), schema));
            check_rules(cx, obj.value(), Some(old.value()), errs);
            check_scale(cx, obj.value(), errs);
        }
    }

    fn validate_status_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        self.validate_update(cx, obj, old, errs);
    }
}

/// Finalizers that are new and have no domain.
/// upstream: customresource/strategy.go: generateWarningsFromObj
fn finalizer_warnings(obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
    let of = |object: Cursor<'_>| -> BTreeSet<String> {
        object.fields(&["metadata", "finalizers"]).list().map(|f| f.str().to_owned()).collect()
    };
    let (now, before) = (of(obj), of(old));
    let mut warnings = Vec::new();
    for name in now.difference(&before) {
        let mut texts = names::qualified_name(name);
        if !name.contains('/') && !matches!(name.as_str(), "kubernetes" | "orphan" | "foregroundDeletion") {
            let with_path = if name.contains('.') { " including a path (/)" } else { "" };
            texts.push(format!(
                "prefer a domain-qualified finalizer name{with_path} to avoid accidental conflicts with other finalizer writers"
            ));
        }
        let shown = apimachinery::quote::quote(name);
        warnings.extend(texts.into_iter().map(|text| format!("metadata.finalizers: {shown}: {text}")));
    }
    warnings
}

fn schema(cx: &RequestContext) -> Option<&Structural> {
    let custom = cx.resource.custom.as_ref()?;
    custom.schema(&cx.resource.hub.api_version)
}

/// The validation rules, unless the object is too wrong for them.
fn check_rules(cx: &RequestContext, value: &Value, old: Option<&Value>, errs: &mut Errors) {
    let custom = cx.resource.custom.as_ref();
    let version = custom.and_then(|custom| custom.version(&cx.resource.hub.api_version));
    let Some(rules) = version.and_then(|version| version.rules.as_ref()) else { return };
    if let Some(blocked) = Rules::blocked(errs.iter()) {
        return errs.push(blocked);
    }
    let checked = rules.check(value, old);
    checked.warnings.into_iter().for_each(|warning| cx.warnings.add(warning));
    errs.extend(checked.errors);
}

/// What the scale of an object shows must be there in the right form, or not at all.
/// upstream: customresource/validator.go: ValidateScaleSpec, ValidateScaleStatus
fn check_scale(cx: &RequestContext, object: &Value, errs: &mut Errors) {
    let custom = cx.resource.custom.as_ref();
    let Some(places) = custom.and_then(|custom| custom.scale(&cx.resource.hub.api_version)) else { return };
    let numbers: &[&Vec<String>] = match cx.subresource.as_str() {
        "status" => &[&places.status],
        _ => &[&places.spec, &places.status],
    };
    for keys in numbers {
        let path = Path::root(&format!(".{}", keys.join(".")));
        match nested(object, keys) {
            Err(why) => errs.invalid(path, 0, why),
            Ok(None) => {}
            Ok(Some(Value::Int(number))) if *number < 0 => {
                errs.invalid(path, *number, "should be a non-negative integer");
            }
            Ok(Some(Value::Int(number))) if *number > i64::from(i32::MAX) => {
                errs.invalid(path, *number, format!("should be less than or equal to {}", i32::MAX));
            }
            Ok(Some(Value::Int(_))) => {}
            Ok(Some(other)) => errs.invalid(path, 0, not_of_type(keys, other, "int64")),
        }
    }
    if places.selector.is_empty() {
        return;
    }
    let path = Path::root(&format!(".{}", places.selector.join(".")));
    match nested(object, &places.selector) {
        Err(why) => errs.invalid(path, "", why),
        Ok(None | Some(Value::Str(_))) => {}
        Ok(Some(other)) => errs.invalid(path, "", not_of_type(&places.selector, other, "string")),
    }
}

/// What is at a path; an error if there is something else than an object on the way.
fn nested<'a>(object: &'a Value, keys: &[String]) -> Result<Option<&'a Value>, String> {
    let mut here = object;
    for (depth, key) in keys.iter().enumerate() {
        match here {
            Value::Null => return Ok(None),
            Value::Map(map) => match map.get(key) {
                Some(value) => here = value,
                None => return Ok(None),
            },
            other => return Err(not_of_type(&keys[..depth + 1], other, "map[string]interface{}")),
        }
    }
    Ok(Some(here))
}

fn not_of_type(keys: &[String], value: &Value, wanted: &str) -> String {
    let is = match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
        _ => "string",
    };
    let shown = apimachinery::quote::go_value(value);
    format!(".{} accessor error: {shown} is of the type {is}, expected {wanted}", keys.join("."))
}

fn extra_checks(value: &Value, schema: &Structural) -> Vec<Error> {
    let mut errs = Errors::new();
    structural::validate_metadata(value, schema, &Path::root(""), &mut errs);
    structural::validate_lists(value, schema, &Path::root(""), &mut errs);
    errs.iter().cloned().collect()
}

/// The resource that a definition describes, or why it cannot be served.
///
/// # Errors
/// If no version is stored or served.
pub fn resource(definition: &Value, prefix: &str) -> Result<Resource, Errors> {
    let spec = definition.get("spec");
    let names = definition.path(&["status", "acceptedNames"]);
    let group = spec.get("group").str_or_empty();
    let (kind, plural) = (names.get("kind").str_or_empty(), names.get("plural").str_or_empty());
    let mut custom = Custom::default();
    let strings = |field: &str| names.get(field).items().iter().map(|s| s.str_or_empty().to_owned()).collect();
    names.get("listKind").str_or_empty().clone_into(&mut custom.list_kind);
    custom.short_names = strings("shortNames");
    custom.categories = strings("categories");
    let meta = definition.get("metadata");
    custom.made_from = (meta.get("uid").str_or_empty().to_owned(), meta.get("generation").as_i64().unwrap_or_default());
    let mut selectable_fields: Vec<Box<str>> = Vec::new();
    let (mut served, mut storage) = (Vec::new(), None);
    let mut subresources = Vec::new();
    for version in spec.get("versions").items() {
        let name = version.get("name").str_or_empty();
        let schema = Structural::parse(version.path(&["schema", "openAPIV3Schema"]));
        let this = Served {
            group: group.into(),
            version: name.into(),
            api_version: format!("{group}/{name}").into(),
            schema: structural::to_type(&schema, group, name, kind),
        };
        custom.versions.insert(this.api_version.clone(), Version::of(version, schema, &this.api_version, kind));
        for field in version.get("selectableFields").items() {
            let path: Box<str> = field.get("jsonPath").str_or_empty().trim_start_matches('.').into();
            if !selectable_fields.contains(&path) {
                selectable_fields.push(path);
            }
        }
        if version.get("storage").as_bool() == Some(true) {
            storage = Some(this.clone());
            subresources = subresources_of(version);
        }
        if version.get("served").as_bool() == Some(true) {
            served.push(this);
        }
    }
    let Some(storage) = storage.filter(|_| !served.is_empty()) else {
        let mut errs = Errors::new();
        errs.invalid(Path::root("spec").child("versions"), BadValue::null(), "no version is stored and served");
        return Err(errs);
    };
    Ok(Resource {
        group: group.into(),
        plural: plural.into(),
        singular: names.get("singular").str_or_empty().into(),
        kind: kind.into(),
        namespaced: spec.get("scope").as_str() == Some("Namespaced"),
        hub: storage.clone(),
        served,
        storage,
        encoding: Encoding::Json,
        key_prefix: format!("{prefix}/{group}/{plural}/").into(),
        has_status: subresources.iter().any(|(name, _)| &**name == "status"),
        has_generation: true,
        info: None,
        unconditional_update: false,
        create_on_update: false,
        returns_deleted: false,
        orphans_by_default: false,
        ttl_seconds: None,
        selectable_fields,
        subresources,
        custom: Some(std::sync::Arc::new(custom)),
    })
}

/// Status and scale, as the stored version has them, with their verbs.
fn subresources_of(version: &Value) -> Vec<(Box<str>, &'static [&'static str])> {
    let has = |name: &&str| !version.path(&["subresources", name]).is_null();
    let named = |name: &str| (name.into(), &["get", "patch", "update"] as &[&str]);
    ["status", "scale"].into_iter().filter(has).map(named).collect()
}

/// The first result of a column's path as a cell of its type; null if it does not have that type.
fn cell(ty: &str, value: &Value, now: Timestamp) -> Value {
    match (ty, value) {
        (_, Value::Null) => Value::Null,
        ("string", value) => jsonpath::text_of(value).into(),
        ("integer" | "number", Value::Int(_)) | ("number", Value::Float(_)) | ("boolean", Value::Bool(_)) => {
            value.clone()
        }
        ("integer", Value::Float(number)) => Value::Int(number.trunc() as i64),
        ("date", Value::Str(time)) if time.parse::<Timestamp>().is_err() => "<invalid>".into(),
        ("date", Value::Str(time)) => crate::registry::columns::since_text(time, now).into(),
        _ => Value::Null,
    }
}

fn scale(version: &Value) -> Option<ScalePlaces> {
    let scale = version.path(&["subresources", "scale"]);
    let keys = |field: &str| {
        let path = scale.get(field).str_or_empty();
        path.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    (!scale.is_null()).then(|| ScalePlaces {
        spec: keys("specReplicasPath"),
        status: keys("statusReplicasPath"),
        selector: keys("labelSelectorPath"),
    })
}

fn parse_path(path: &str) -> Option<JsonPath> {
    JsonPath::parse(&format!("{{{path}}}")).ok().map(|path| path.allow_missing(true))
}

fn column(column: &Value) -> CustomColumn {
    let path = column.get("jsonPath").str_or_empty();
    CustomColumn {
        name: column.get("name").str_or_empty().to_owned(),
        ty: column.get("type").str_or_empty().to_owned(),
        format: column.get("format").str_or_empty().to_owned(),
        description: match column.get("description").str_or_empty() {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            description => description.to_owned(),
        },
        priority: i32::try_from(column.get("priority").as_i64().unwrap_or(0)).unwrap_or(0),
        path: parse_path(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apimachinery::value;

    #[test]
    fn replicas_are_looked_for_as_upstream_does() {
        let keys = |path: &str| path.split('.').map(str::to_owned).collect::<Vec<_>>();
        let object = value!({"spec": {"replicas": 3, "text": "x", "list": [], "none": null}});
        for (path, expected) in [
            ("spec.replicas", Ok(Some("3"))),
            ("spec.absent", Ok(None)),
            ("absent.replicas", Ok(None)),
            ("spec.none.replicas", Ok(None)),
            (
                "spec.text.replicas",
                Err(".spec.text.replicas accessor error: x is of the type string, expected map[string]interface{}"),
            ),
        ] {
            let found = nested(&object, &keys(path));
            let found = found.as_ref().map(|v| v.map(|v| v.as_i64().unwrap_or_default().to_string()));
            let found = found.as_ref().map(Option::as_deref).map_err(|e| e.as_str());
            assert_eq!(found, expected, "{path}");
        }
        let shown = not_of_type(&keys("spec.list"), object.path(&["spec", "list"]), "int64");
        assert_eq!(shown, ".spec.list accessor error: [] is of the type []interface {}, expected int64");
    }

    #[test]
    fn another_type_is_refused_in_its_own_name() {
        let object = value!({"apiVersion": "x/v1", "kind": "Other", "metadata": {"name": "n"}});
        let error = check_type(&object, "x/v1", "Widget").expect_err("another kind");
        assert_eq!(error.message(), "Other.x \"n\" is invalid: kind: Invalid value: \"Other\": must be Widget");
        assert!(check_type(&object, "x/v1", "Other").is_ok());
    }

    #[test]
    fn new_finalizers_without_a_domain() {
        let (now, before) = (
            value!({"metadata": {"finalizers": ["bad", "a.example.com", "a/b", "orphan", "old"]}}),
            value!({"metadata": {"finalizers": ["old"]}}),
        );
        let text = |name: &str, path: &str| {
            format!(
                "metadata.finalizers: \"{name}\": prefer a domain-qualified finalizer name{path} to avoid accidental \
                 conflicts with other finalizer writers"
            )
        };
        assert_eq!(
            finalizer_warnings(Cursor::root(&now), Cursor::root(&before)),
            [text("a.example.com", " including a path (/)"), text("bad", "")]
        );
    }
}
