//! `-o` and its companions: which printer a command uses.
//! Corresponds to cli-runtime/pkg/genericclioptions/print_flags.go and kubectl/pkg/cmd/get/get_flags.go.

use apimachinery::value::Value;

use super::custom_columns::CustomColumns;
use super::gotemplate::GoTemplate;
use super::json::{indent4, typed_json};
use super::jsonpath::{JsonPath, execute_json};
use super::name::name_line;
use crate::cli::FlagSet;
use crate::cli::quote::quote;

const GENERIC_FORMATS: &str =
    "go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,kyaml,name,template,templatefile,yaml";
const GET_FORMATS: &str = "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,kyaml,name,template,templatefile,wide,yaml";

/// Declares `-o`, `--template`, `--allow-missing-template-keys`, `--show-managed-fields`.
pub fn print_flags(flags: &mut FlagSet) {
    flags.bool("allow-missing-template-keys", "", true, "If true, ignore errors in templates when a field or map key is missing. Only for golang and jsonpath output formats.");
    flags.string("output", "o", "", "Output format. One of: (json, yaml, kyaml, name, go-template, go-template-file, template, templatefile, jsonpath, jsonpath-as-json, jsonpath-file).");
    flags.bool(
        "show-managed-fields",
        "",
        false,
        "If true, keep the managedFields when printing objects in JSON or YAML format.",
    );
    flags.string(
        "template",
        "",
        "",
        "Template string or path to template file to use when -o=go-template, -o=go-template-file.",
    );
}

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct PrintFlags {
    /// `-o`.
    pub output: String,
    template: String,
    allow_missing: bool,
    show_managed: bool,
    no_headers: bool,
}

/// An object to print.
#[derive(Clone, Copy)]
pub struct Printed<'v> {
    /// The object.
    pub object: &'v Value,
    /// Whether kubectl made it out of a Go type, which writes more fields.
    pub typed: bool,
}

/// Whether `-o` leaves tables to print.
pub fn human_output(output: &str) -> bool {
    output.is_empty() || output == "wide"
}

/// A printer for single objects and lists.
pub enum GenericPrinter {
    /// `-o json`.
    Json {
        /// Keeps managed fields.
        managed: bool,
    },
    /// `-o yaml`.
    Yaml {
        /// Keeps managed fields.
        managed: bool,
        /// Whether a document has been printed.
        more: bool,
    },
    /// `-o kyaml`.
    Kyaml {
        /// Keeps managed fields.
        managed: bool,
    },
    /// Names with what was done; `None` prints bare names.
    Name(Option<String>),
    /// `-o jsonpath=…`.
    Path {
        /// Parsed.
        path: JsonPath,
        /// As written.
        text: String,
        /// `jsonpath-as-json`.
        json: bool,
    },
    /// `-o go-template=…`.
    Template(GoTemplate),
    /// `-o custom-columns=…`.
    Columns(CustomColumns),
}

impl PrintFlags {
    /// From the flags of a command.
    pub fn from_flags(flags: &FlagSet) -> Self {
        Self {
            output: flags.str("output").to_owned(),
            template: flags.str("template").to_owned(),
            allow_missing: flags.lookup("allow-missing-template-keys").is_none()
                || flags.get_bool("allow-missing-template-keys"),
            show_managed: flags.get_bool("show-managed-fields"),
            no_headers: flags.get_bool("no-headers"),
        }
    }

    /// The printer of commands that say what they did; `operation` goes after the name.
    pub fn printer(&self, operation: &str) -> anyhow::Result<GenericPrinter> {
        let mut output = self.output.clone();
        if !self.template.is_empty() && output.is_empty() {
            "go-template".clone_into(&mut output);
        }
        if let Some(printer) = self.data_printer(&output) {
            return Ok(printer);
        }
        match output.to_lowercase().as_str() {
            "" => return Ok(GenericPrinter::Name(Some(operation.to_owned()))),
            "name" => return Ok(GenericPrinter::Name(None)),
            _ => {}
        }
        self.template_printer(&output)?.ok_or_else(|| unsuitable(&self.output, GENERIC_FORMATS))
    }

    /// The printer of `get`, when it is not a table.
    pub fn get_printer(&self) -> anyhow::Result<GenericPrinter> {
        let mut output = self.output.clone();
        if !self.template.is_empty() && output.is_empty() {
            "go-template".clone_into(&mut output);
        }
        if let Some(printer) = self.template_printer(&output)? {
            return Ok(printer);
        }
        if let Some(printer) = self.data_printer(&output) {
            return Ok(printer);
        }
        if let Some(columns) = self.columns_printer(&output)? {
            return Ok(GenericPrinter::Columns(columns));
        }
        if output.eq_ignore_ascii_case("name") {
            return Ok(GenericPrinter::Name(None));
        }
        Err(unsuitable(&output, GET_FORMATS))
    }

    fn data_printer(&self, output: &str) -> Option<GenericPrinter> {
        let managed = self.show_managed;
        match output.to_lowercase().as_str() {
            "json" => Some(GenericPrinter::Json { managed }),
            "yaml" => Some(GenericPrinter::Yaml { managed, more: false }),
            "kyaml" => Some(GenericPrinter::Kyaml { managed }),
            _ => None,
        }
    }

    fn split<'a>(&'a self, output: &'a str, formats: &[&str]) -> Option<(&'a str, &'a str)> {
        let (format, text) = match output.split_once('=') {
            Some((format, text)) if self.template.is_empty() => (format, text),
            _ => (output, self.template.as_str()),
        };
        formats.contains(&format).then_some((format, text))
    }

    fn template_printer(&self, output: &str) -> anyhow::Result<Option<GenericPrinter>> {
        const GO: [&str; 4] = ["template", "go-template", "go-template-file", "templatefile"];
        const PATH: [&str; 3] = ["jsonpath", "jsonpath-as-json", "jsonpath-file"];
        let read = |format: &str, text: &str| -> anyhow::Result<String> {
            anyhow::ensure!(!text.is_empty(), "template format specified but no template given");
            if !format.ends_with("file") {
                return Ok(text.to_owned());
            }
            let content =
                crate::files::read(text).map_err(|e| anyhow::anyhow!("error reading --template {text}, {e}"))?;
            Ok(String::from_utf8_lossy(&content).into_owned())
        };
        if let Some((format, text)) = self.split(output, &GO) {
            let text = read(format, text)?;
            return Ok(Some(GenericPrinter::Template(GoTemplate::parse(&text, self.allow_missing)?)));
        }
        if let Some((format, text)) = self.split(output, &PATH) {
            let text = read(format, text)?;
            let path = JsonPath::parse(&text).map_err(|e| anyhow::anyhow!("error parsing jsonpath {text}, {e}"))?;
            let path = path.allow_missing(self.allow_missing);
            return Ok(Some(GenericPrinter::Path { path, text, json: format == "jsonpath-as-json" }));
        }
        Ok(None)
    }

    fn columns_printer(&self, output: &str) -> anyhow::Result<Option<CustomColumns>> {
        let Some((format, text)) = self.split(output, &["custom-columns", "custom-columns-file"]) else {
            return Ok(None);
        };
        anyhow::ensure!(!text.is_empty(), "custom-columns format specified but no custom columns given");
        if format == "custom-columns" {
            return CustomColumns::from_spec(text, self.no_headers).map(Some);
        }
        let content = crate::files::read(text).map_err(|e| anyhow::anyhow!("error reading template {text}, {e}\n"))?;
        CustomColumns::from_template(&String::from_utf8_lossy(&content)).map(Some)
    }
}

fn unsuitable(output: &str, formats: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "unable to match a printer suitable for the output format {}, allowed formats are: {formats}",
        quote(output)
    )
}

impl GenericPrinter {
    /// Whether the printer shows only what was done, not the object.
    pub fn is_name(&self) -> bool {
        matches!(self, Self::Name(_))
    }

    /// The text for an object that came from the server or a file.
    pub fn print(&mut self, object: &Value) -> anyhow::Result<String> {
        self.print_as(Printed { object, typed: false })
    }

    /// The text for an object.
    pub fn print_as(&mut self, printed: Printed<'_>) -> anyhow::Result<String> {
        let object = printed.object;
        match self {
            Self::Json { managed } => {
                let object = without_managed(object, *managed);
                Ok(format!("{}\n", indent4(&compact(&object, printed.typed))))
            }
            Self::Yaml { managed, more } => {
                let object = wire(&without_managed(object, *managed), printed.typed);
                let separator = if std::mem::replace(more, true) { "---\n" } else { "" };
                Ok(format!("{separator}{}", crate::codec::encode_yaml(&object)))
            }
            Self::Kyaml { managed } => {
                let object = wire(&without_managed(object, *managed), printed.typed);
                Ok(super::kyaml::encode(&object))
            }
            Self::Name(operation) => Ok(names(object, operation.as_deref().unwrap_or_default())),
            Self::Path { path, text, json } => {
                let object = wire(object, printed.typed);
                let result = if *json { execute_json(path, &object) } else { path.execute(&object) };
                result.map_err(|error| path_error(text, &error.to_string(), &object))
            }
            Self::Template(template) => template.execute(&wire(object, printed.typed)),
            Self::Columns(columns) => {
                let mut out = super::tabwriter::TabWriter::table();
                columns.print(&wire(object, printed.typed), &mut out)?;
                Ok(out.flush())
            }
        }
    }
}

fn names(object: &Value, operation: &str) -> String {
    if crate::resource::is_list(object) {
        return object.get("items").items().iter().map(|item| names(item, operation)).collect();
    }
    name_line(object, operation)
}

fn compact(object: &Value, typed: bool) -> Vec<u8> {
    if typed {
        return typed_json(object);
    }
    crate::codec::encode_json(object)
}

fn wire(object: &Value, typed: bool) -> Value {
    if typed { super::json::typed_value(object) } else { object.clone() }
}

fn without_managed(object: &Value, keep: bool) -> Value {
    let mut object = object.clone();
    if keep {
        return object;
    }
    object.remove_path(&["metadata", "managedFields"]);
    if let Some(items) = object.get_mut("items").and_then(Value::as_list_mut) {
        for item in items {
            item.remove_path(&["metadata", "managedFields"]);
        }
    }
    object
}

fn path_error(template: &str, error: &str, object: &Value) -> anyhow::Error {
    let debug = format!(
        "Error executing template: {error}. Printing more information for debugging the template:\n\ttemplate was:\n\t\t{template}\n\tobject given to jsonpath engine was:\n\t\t{}\n\n",
        super::gosyntax::go_syntax(object)
    );
    anyhow::anyhow!("error executing jsonpath {}: {debug}\n", quote(template))
}
