//! Command-line flags with pflag's syntax, driven by a table per daemon (`flags.tsv` in the daemon's folder).
//!
//! Every flag of upstream parses; a flag that the user sets and that does nothing yet is named once at start by
//! [`Flags::acts`]. Upstream: spf13/pflag, component-base/cli/flag.

mod duration;
mod feature_gates;
mod parse;
mod spec;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

pub use duration::{format_duration, parse_duration};
pub use feature_gates::{FeatureGates, GateError, Stage};
pub use parse::FlagError;
pub use spec::{Kind, Spec, Table};
pub use value::{ValueError, parse_bool};

use value::Value;

/// The flags of one run of a daemon.
#[derive(Debug, Clone)]
pub struct Flags {
    daemon: String,
    table: Table,
    values: BTreeMap<String, Value>,
    changed: Vec<String>,
    /// Arguments that are no flags.
    pub args: Vec<String>,
    /// What to print on stderr about deprecated flags, in order.
    pub warnings: Vec<String>,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Request {
    /// To run with these flags.
    Run(Box<Flags>),
    /// To print this text and end with status 0 (`--help`, `--version`).
    Print(String),
}

impl Flags {
    /// Parses arguments (the first is the program's name) by the table text of a daemon.
    ///
    /// # Errors
    /// pflag's error.
    pub fn parse<I>(daemon: &str, table: &str, args: I) -> Result<Request, FlagError>
    where
        I: IntoIterator<Item = OsString>,
    {
        let mut flags = Self::defaults(daemon, table);
        let args: Vec<String> = args.into_iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
        match parse::run(&mut flags, &args)? {
            parse::Outcome::Help => return Ok(Request::Print(flags.help())),
            parse::Outcome::Done => {}
        }
        if flags.table.find("version").is_some()
            && !matches!(flags.values.get("version"), Some(Value::Str(text)) if text == "false")
        {
            return Ok(Request::Print(format!("Kubernetes {}\n", crate::version::GIT_VERSION)));
        }
        if flags.args.iter().any(|arg| !arg.is_empty()) {
            return Err(FlagError::Arguments { daemon: daemon.to_owned(), args: flags.args });
        }
        Ok(Request::Run(Box::new(flags)))
    }

    /// Parses this process' arguments. Prints help, version or the error and ends the process where that is what is asked.
    #[must_use]
    pub fn from_env(daemon: &str, table: &str) -> Self {
        match Self::parse(daemon, table, std::env::args_os()) {
            Ok(Request::Run(flags)) => {
                for warning in &flags.warnings {
                    eprintln!("{warning}");
                }
                *flags
            }
            Ok(Request::Print(text)) => {
                print!("{text}");
                std::process::exit(0);
            }
            Err(error) => {
                eprintln!("Error: {error}");
                std::process::exit(1);
            }
        }
    }

    /// All flags at their defaults.
    #[must_use]
    pub fn defaults(daemon: &str, table: &str) -> Self {
        let table = Table::parse(table);
        let values = table.iter().map(|spec| (spec.name.clone(), Value::default_of(spec))).collect();
        Self { daemon: daemon.to_owned(), table, values, changed: Vec::new(), args: Vec::new(), warnings: Vec::new() }
    }

    /// The daemon's name.
    #[must_use]
    pub fn daemon(&self) -> &str {
        &self.daemon
    }

    /// Whether the command line set the flag.
    #[must_use]
    pub fn changed(&self, name: &str) -> bool {
        self.changed.iter().any(|changed| changed == name)
    }

    /// Names of the flags that the command line set, in order of first use.
    #[must_use]
    pub fn all_changed(&self) -> &[String] {
        &self.changed
    }

    /// Declares the flags that act in this build. Every other flag that was set to something else than its default is
    /// warned about, once.
    pub fn acts(&self, names: &[&str]) {
        let asks_for_nothing = |name: &str| {
            self.table.find(name).is_some_and(|spec| self.values.get(name) == Some(&Value::default_of(spec)))
        };
        for name in self.changed.iter().filter(|name| {
            !names.contains(&name.as_str()) && !["version", "help"].contains(&name.as_str()) && !asks_for_nothing(name)
        }) {
            tracing::warn!(flag = format!("--{name}"), "Flag is accepted but has no effect in this build");
        }
    }

    /// A flag's text (string, ip, quantity … flags); empty if unset or unknown.
    #[must_use]
    pub fn str(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(Value::Str(text)) => text,
            _ => "",
        }
    }

    /// A bool flag.
    #[must_use]
    pub fn bool(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Value::Bool(true)))
    }

    /// An integer flag of any width.
    #[must_use]
    pub fn int(&self, name: &str) -> i64 {
        match self.values.get(name) {
            Some(Value::Int(number)) => *number,
            _ => 0,
        }
    }

    /// A float flag.
    #[must_use]
    pub fn float(&self, name: &str) -> f64 {
        match self.values.get(name) {
            Some(Value::Float(number)) => *number,
            _ => 0.0,
        }
    }

    /// A duration flag; zero if negative.
    #[must_use]
    pub fn duration(&self, name: &str) -> Duration {
        u64::try_from(self.duration_nanos(name)).map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// A duration flag in nanoseconds, with its sign.
    #[must_use]
    pub fn duration_nanos(&self, name: &str) -> i64 {
        match self.values.get(name) {
            Some(Value::Duration(nanos)) => *nanos,
            _ => 0,
        }
    }

    /// A list flag.
    #[must_use]
    pub fn list(&self, name: &str) -> &[String] {
        match self.values.get(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// A map flag, in order of keys.
    #[must_use]
    pub fn map(&self, name: &str) -> BTreeMap<String, String> {
        match self.values.get(name) {
            Some(Value::Map(map)) => map.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// An IP address flag; None if unset.
    #[must_use]
    pub fn ip(&self, name: &str) -> Option<IpAddr> {
        self.str(name).parse().ok()
    }

    /// The flag's value as text, as pflag would print it.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.values.get(name).map(Value::to_string).unwrap_or_default()
    }

    /// Feature gates of `--feature-gates`.
    ///
    /// # Errors
    /// Unknown, locked or malformed gates, in upstream's words.
    pub fn feature_gates(&self) -> Result<FeatureGates, GateError> {
        let mut gates = FeatureGates::defaults();
        match self.values.get("feature-gates") {
            Some(Value::Map(map)) => gates.set(map.iter().map(|(gate, value)| (gate.as_str(), value.as_str())))?,
            Some(Value::List(list)) => gates.set_texts(list)?,
            _ => {}
        }
        Ok(gates)
    }

    fn help(&self) -> String {
        let mut text = format!("Usage:\n  {} [flags]\n\nFlags:\n", self.daemon);
        for spec in self.table.iter().filter(|spec| !spec.hidden) {
            let short = spec.short.map_or_else(|| "      ".to_owned(), |short| format!("  -{short}, "));
            let kind = if spec.kind == Kind::Bool { String::new() } else { format!(" {}", spec.type_name) };
            let default =
                if spec.has_visible_default() { format!(" (default {})", spec.default) } else { String::new() };
            text.push_str(&format!("{short}--{}{kind}{default}\n", spec.name));
        }
        text
    }
}
