//! Mistakes in CEL expressions that show without an engine: nothing at all, an unknown name, a stray `!`, a value of the
//! wrong type. Everything else is taken as it is; nothing is ever compiled or run.
//! upstream: the words are those of cel-go's parser and checker

use std::sync::LazyLock;

use regex::Regex;

/// What an expression has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A condition.
    Bool,
    /// A condition on a device.
    DeviceBool,
    /// A message.
    Text,
    /// Not known here.
    Anything,
}

/// Names that mean something everywhere, or that the parser keeps for itself.
const KNOWN: [&str; 41] = [
    "any",
    "as",
    "bool",
    "break",
    "bytes",
    "cidr",
    "const",
    "continue",
    "double",
    "duration",
    "dyn",
    "else",
    "false",
    "for",
    "function",
    "google",
    "if",
    "import",
    "in",
    "int",
    "ip",
    "kubernetes",
    "let",
    "list",
    "loop",
    "map",
    "namespace",
    "null",
    "null_type",
    "optional",
    "optional_type",
    "package",
    "return",
    "string",
    "timestamp",
    "true",
    "type",
    "uint",
    "var",
    "void",
    "while",
];
/// Names whose type is not known to the checker.
const DYNAMIC: [&str; 3] = ["object", "oldObject", "params"];

static CHAIN: LazyLock<Regex> = LazyLock::new(|| {
    const NAME: &str = "[A-Za-z_][A-Za-z0-9_]*";
    const COMPARED: &str = r#"(?:==|!=|<=|>=|<|>) *(?:-?[0-9]+|"[^"\\\n]*"|'[^'\\\n]*'|true|false) *"#;
    Regex::new(&format!(r"^ *({NAME})(?:\.{NAME})* *({COMPARED})?$")).expect("the pattern is valid")
});
static STRAY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^ *[A-Za-z_][A-Za-z0-9_]*!$").expect("the pattern is valid"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^ *-?[0-9]{1,18} *$").expect("the pattern is valid"));
static TEXT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"^ *"[^"\\\n]*" *$"#).expect("the pattern is valid"));

/// What is wrong with the expression, if it can be told. `declared` are the names it may use.
pub fn mistake(text: &str, declared: &[&str], wanted: Wanted) -> Option<String> {
    const NOTHING: &str = "mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', \
                           NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
    if text.is_empty() {
        return Some(format!("compilation failed: ERROR: <input>:1:0: Syntax error: {NOTHING}"));
    }
    if NUMBER.is_match(text) {
        return wrong_type("int", wanted);
    }
    if TEXT.is_match(text) && wanted != Wanted::Text {
        return wrong_type("string", wanted);
    }
    if STRAY.is_match(text) {
        return Some(at(text, text.len(), "Syntax error: extraneous input '!' expecting <EOF>"));
    }
    let parts = CHAIN.captures(text)?;
    let root = parts.get(1)?;
    let name = root.as_str();
    if !declared.contains(&name) {
        let unknown = || at(text, root.start() + 1, &format!("undeclared reference to '{name}' (in container '')"));
        return (!KNOWN.contains(&name)).then(unknown);
    }
    if DYNAMIC.contains(&name) && parts.get(2).is_none() { wrong_type("dyn", wanted) } else { None }
}

fn wrong_type(got: &str, wanted: Wanted) -> Option<String> {
    match wanted {
        Wanted::Bool => Some(format!("must evaluate to bool but got {got}")),
        Wanted::Text => Some(format!("must evaluate to string but got {got}")),
        Wanted::DeviceBool => Some(format!("must evaluate to bool or the unknown type, not {got}")),
        Wanted::Anything => None,
    }
}

/// An error of the compiler with the line and a mark below the column, which counts from 1.
fn at(text: &str, column: usize, what: &str) -> String {
    let dots = ".".repeat(column - 1);
    format!("compilation failed: ERROR: <input>:1:{column}: {what}\n | {text}\n | {dots}^")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes() {
        let unknown =
            "compilation failed: ERROR: <input>:1:2: undeclared reference to 'x' (in container '')\n |  x\n | .^";
        let stray = "compilation failed: ERROR: <input>:1:10: Syntax error: extraneous input '!' expecting <EOF>\n | Bad_Value!\n | .........^";
        let cases = [
            ("true", None),
            ("object.x == 1", None),
            ("int", None),
            (" x", Some(unknown)),
            ("Bad_Value!", Some(stray)),
            ("1", Some("must evaluate to bool but got int")),
            ("\"a\"", Some("must evaluate to bool but got string")),
            ("object.x.y", Some("must evaluate to bool but got dyn")),
            ("request.name", None),
            ("object.x == \"a\"", None),
        ];
        for (text, expected) in cases {
            assert_eq!(mistake(text, &["object", "request"], Wanted::Bool).as_deref(), expected, "{text}");
        }
    }
}
