//! A flag set with pflag's syntax and error texts. Never reads the environment.
//!
//! `--name value`, `--name=value`, `-n value`, `-nvalue`, `-n=value`, grouped short booleans, flags whose value is
//! optional, flags between arguments, `--` ends the flags. Corresponds to spf13/pflag `flag.go`.

use super::duration::GoDuration;
use super::quote::quote;

/// The type of a flag's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`; alone it means true.
    Bool,
    /// Any text.
    String,
    /// A signed integer of this many bits.
    Int(u8),
    /// Go duration text.
    Duration,
    /// Repeatable; each occurrence is one element.
    StringArray,
    /// Repeatable; each occurrence is a CSV record.
    StringSlice,
}

/// One flag.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Long name without dashes.
    pub name: &'static str,
    /// Short letter.
    pub short: Option<char>,
    /// Value type.
    pub kind: Kind,
    /// Default in text form; lists in CSV form.
    pub default: String,
    /// The value that the bare flag stands for; `None` when a value is required.
    pub bare: Option<&'static str>,
    /// Help text.
    pub usage: &'static str,
    /// Left out of the help.
    pub hidden: bool,
    /// Must be given.
    pub required: bool,
    /// Set by the user.
    pub changed: bool,
    /// Takes the place of a flag of the same name that was there before: a command's own `--user` is not the global one.
    pub shadows: bool,
    values: Vec<String>,
}

impl Flag {
    /// Lets the flag appear without a value, meaning `value`.
    pub fn bare(&mut self, value: &'static str) -> &mut Self {
        self.bare = Some(value);
        self
    }

    /// Makes the flag mandatory.
    pub fn require(&mut self) -> &mut Self {
        self.required = true;
        self
    }

    /// Gives the flag a letter.
    pub fn letter(&mut self, short: char) -> &mut Self {
        self.short = Some(short);
        self
    }

    /// Hides the flag from help.
    pub fn hide(&mut self) -> &mut Self {
        self.hidden = true;
        self
    }

    /// pflag's name of the type, as shown by type-dependent help.
    pub fn is_text(&self) -> bool {
        self.kind == Kind::String
    }
}

/// Why a command line was refused. The text is pflag's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FlagError {
    /// A long flag that does not exist.
    #[error("unknown flag: --{0}")]
    Unknown(String),
    /// A short flag that does not exist.
    #[error("unknown shorthand flag: '{short}' in -{rest}")]
    UnknownShort {
        /// The letter.
        short: char,
        /// The letters from it on.
        rest: String,
    },
    /// A value is missing after a long flag.
    #[error("flag needs an argument: --{0}")]
    NeedsValue(String),
    /// A value is missing after a short flag.
    #[error("flag needs an argument: '{short}' in -{rest}")]
    ShortNeedsValue {
        /// The letter.
        short: char,
        /// The letters from it on.
        rest: String,
    },
    /// `--=x` or `---x`.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// The value does not have the flag's type.
    #[error("invalid argument {} for {} flag: {reason}", quote(.value), quote(.flag))]
    Value {
        /// The refused value.
        value: String,
        /// `-s, --name` or `--name`.
        flag: String,
        /// Go's text.
        reason: String,
    },
    /// `-h` or `--help`.
    #[error("help requested")]
    Help,
}

/// The flags of one command, with the values given so far.
#[derive(Clone, Debug, Default)]
pub struct FlagSet {
    flags: Vec<Flag>,
    args: Vec<String>,
    dash: Option<usize>,
}

impl FlagSet {
    fn add(&mut self, name: &'static str, short: &str, kind: Kind, default: String, usage: &'static str) -> &mut Flag {
        let earlier = self.flags.iter().position(|f| f.name == name);
        if let Some(at) = earlier {
            self.flags.remove(at);
        }
        self.flags.push(Flag {
            name,
            short: short.chars().next(),
            kind,
            default,
            bare: (kind == Kind::Bool).then_some("true"),
            usage,
            hidden: false,
            required: false,
            changed: false,
            shadows: earlier.is_some(),
            values: Vec::new(),
        });
        self.flags.last_mut().expect("just pushed")
    }

    /// Adds a boolean flag.
    pub fn bool(&mut self, name: &'static str, short: &str, default: bool, usage: &'static str) -> &mut Flag {
        self.add(name, short, Kind::Bool, default.to_string(), usage)
    }

    /// Adds a text flag.
    pub fn string(&mut self, name: &'static str, short: &str, default: &str, usage: &'static str) -> &mut Flag {
        self.add(name, short, Kind::String, default.to_owned(), usage)
    }

    /// Adds an integer flag of `bits` bits.
    pub fn int(&mut self, name: &'static str, bits: u8, default: i64, usage: &'static str) -> &mut Flag {
        self.add(name, "", Kind::Int(bits), default.to_string(), usage)
    }

    /// Adds a duration flag; the default is Go's duration text.
    pub fn duration(&mut self, name: &'static str, default: &str, usage: &'static str) -> &mut Flag {
        self.add(name, "", Kind::Duration, default.to_owned(), usage)
    }

    /// Adds a repeatable text flag.
    pub fn array(&mut self, name: &'static str, short: &str, usage: &'static str) -> &mut Flag {
        self.add(name, short, Kind::StringArray, String::new(), usage)
    }

    /// Adds a repeatable, comma-separated text flag.
    pub fn slice(&mut self, name: &'static str, short: &str, default: &str, usage: &'static str) -> &mut Flag {
        self.add(name, short, Kind::StringSlice, default.to_owned(), usage)
    }

    /// The error for mandatory flags that were not given.
    pub fn check_required(&self) -> Result<(), String> {
        let missing: Vec<String> =
            self.sorted().iter().filter(|f| f.required && !f.changed).map(|f| quote(f.name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!("required flag(s) {} not set", missing.join(", ")))
    }

    /// Finds a flag.
    pub fn lookup(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().find(|f| f.name == name)
    }

    /// Finds a flag for changing it.
    pub fn lookup_mut(&mut self, name: &str) -> Option<&mut Flag> {
        self.flags.iter_mut().find(|f| f.name == name)
    }

    /// Finds a flag by its letter.
    pub fn lookup_short(&self, short: char) -> Option<&Flag> {
        self.flags.iter().find(|f| f.short == Some(short))
    }

    /// All flags, sorted by name.
    pub fn sorted(&self) -> Vec<&Flag> {
        let mut all: Vec<&Flag> = self.flags.iter().collect();
        all.sort_by_key(|f| f.name);
        all
    }

    /// The arguments that are not flags.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// How many arguments came before `--`, if it was given.
    pub fn args_before_dash(&self) -> Option<usize> {
        self.dash
    }

    /// The last value given, or the default; empty if the command has no such flag.
    pub fn str(&self, name: &str) -> &str {
        self.lookup(name).map_or("", |f| f.values.last().map_or(f.default.as_str(), String::as_str))
    }

    /// The value of a boolean flag; false if the command has no such flag.
    pub fn get_bool(&self, name: &str) -> bool {
        self.str(name) == "true"
    }

    /// The value of an integer flag; 0 if the command has no such flag.
    pub fn get_int(&self, name: &str) -> i64 {
        parse_int(self.str(name)).unwrap_or(0)
    }

    /// The value of a duration flag; 0 if the command has no such flag.
    pub fn get_duration(&self, name: &str) -> GoDuration {
        GoDuration::parse(self.str(name)).unwrap_or_default()
    }

    /// All elements of a repeatable flag.
    pub fn list(&self, name: &str) -> Vec<String> {
        let Some(flag) = self.lookup(name) else {
            return Vec::new();
        };
        if flag.changed {
            return flag.values.clone();
        }
        if flag.default.is_empty() {
            return Vec::new();
        }
        flag.default.split(',').map(str::to_owned).collect()
    }

    /// Whether the user gave the flag.
    pub fn changed(&self, name: &str) -> bool {
        self.lookup(name).is_some_and(|f| f.changed)
    }

    /// Sets a flag as if the user had given it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), FlagError> {
        let flag = self.lookup_mut(name).ok_or_else(|| FlagError::Unknown(name.to_owned()))?;
        let shown = match flag.short {
            Some(short) => format!("-{short}, --{}", flag.name),
            None => format!("--{}", flag.name),
        };
        let values = parse_value(flag.kind, value).map_err(|reason| FlagError::Value {
            value: value.to_owned(),
            flag: shown,
            reason,
        })?;
        match flag.kind {
            Kind::StringArray | Kind::StringSlice => flag.values.extend(values),
            _ => flag.values = values,
        }
        flag.changed = true;
        Ok(())
    }

    /// Parses a command line, leaving the arguments in [`FlagSet::args`].
    pub fn parse(&mut self, line: &[String]) -> Result<(), FlagError> {
        let mut rest = line.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                self.dash = Some(self.args.len());
                self.args.extend(rest.cloned());
                return Ok(());
            }
            match word.strip_prefix("--") {
                Some(long) => self.parse_long(word, long, &mut rest)?,
                None if word.len() > 1 && word.starts_with('-') => self.parse_short(&word[1..], &mut rest)?,
                None => self.args.push(word.clone()),
            }
        }
        Ok(())
    }

    fn parse_long(&mut self, word: &str, long: &str, rest: &mut std::slice::Iter<'_, String>) -> Result<(), FlagError> {
        if long.is_empty() || long.starts_with('-') || long.starts_with('=') {
            return Err(FlagError::Syntax(word.to_owned()));
        }
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let name = name.replace('_', "-");
        let Some(flag) = self.lookup(&name) else {
            return Err(if name == "help" { FlagError::Help } else { FlagError::Unknown(name) });
        };
        let value = match (value, flag.bare) {
            (Some(value), _) => value.to_owned(),
            (None, Some(bare)) => bare.to_owned(),
            (None, None) => rest.next().cloned().ok_or_else(|| FlagError::NeedsValue(name.clone()))?,
        };
        self.set(&name, &value)
    }

    fn parse_short(&mut self, cluster: &str, rest: &mut std::slice::Iter<'_, String>) -> Result<(), FlagError> {
        let mut left = cluster;
        while let Some(short) = left.chars().next() {
            let after = &left[short.len_utf8()..];
            let Some(flag) = self.lookup_short(short) else {
                return Err(if short == 'h' {
                    FlagError::Help
                } else {
                    FlagError::UnknownShort { short, rest: left.to_owned() }
                });
            };
            let name = flag.name;
            if let Some(value) = after.strip_prefix('=').filter(|_| after.len() > 1) {
                return self.set(name, value);
            }
            if let Some(bare) = flag.bare {
                self.set(name, bare)?;
                left = after;
                continue;
            }
            let value = if after.is_empty() {
                rest.next().cloned().ok_or_else(|| FlagError::ShortNeedsValue { short, rest: left.to_owned() })?
            } else {
                after.to_owned()
            };
            return self.set(name, &value);
        }
        Ok(())
    }
}

fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let number = match digits.get(..2) {
        Some("0x" | "0X") => i64::from_str_radix(&digits[2..], 16).ok()?,
        Some("0b" | "0B") => i64::from_str_radix(&digits[2..], 2).ok()?,
        Some("0o" | "0O") => i64::from_str_radix(&digits[2..], 8).ok()?,
        _ if digits.len() > 1 && digits.starts_with('0') => i64::from_str_radix(digits, 8).ok()?,
        _ => digits.parse().ok()?,
    };
    Some(if negative { -number } else { number })
}

/// Go's words for booleans.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn parse_value(kind: Kind, value: &str) -> Result<Vec<String>, String> {
    match kind {
        Kind::String | Kind::StringArray => Ok(vec![value.to_owned()]),
        Kind::Bool => match parse_bool(value) {
            Some(parsed) => Ok(vec![parsed.to_string()]),
            None => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", quote(value))),
        },
        Kind::Int(bits) => {
            let Some(number) = parse_int(value) else {
                return Err(format!("strconv.ParseInt: parsing {}: invalid syntax", quote(value)));
            };
            if bits == 32 && i32::try_from(number).is_err() {
                return Err(format!("strconv.ParseInt: parsing {}: value out of range", quote(value)));
            }
            Ok(vec![number.to_string()])
        }
        Kind::Duration => GoDuration::parse(value).map(|_| vec![value.to_owned()]),
        Kind::StringSlice => csv_record(value),
    }
}

/// Reads one CSV record with Go's quoting rules.
fn csv_record(line: &str) -> Result<Vec<String>, String> {
    if line.is_empty() {
        return Ok(Vec::new());
    }
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (field, after) = quoted_field(quoted)?;
            fields.push(field);
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None if after.is_empty() => return Ok(fields),
                None => return Err(csv_error(line, "extraneous or missing \" in quoted-field")),
            }
            continue;
        }
        let (field, more) = match rest.split_once(',') {
            Some((field, more)) => (field, Some(more)),
            None => (rest, None),
        };
        if field.contains('"') {
            return Err(csv_error(line, "bare \" in non-quoted-field"));
        }
        fields.push(field.to_owned());
        match more {
            Some(more) => rest = more,
            None => return Ok(fields),
        }
    }
}

fn csv_error(line: &str, what: &str) -> String {
    let column = line.find('"').unwrap_or(0) + 1;
    format!("parse error on line 1, column {column}: {what}")
}

fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        field.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, rest)),
        }
    }
    Err(csv_error(text, "extraneous or missing \" in quoted-field"))
}

#[cfg(test)]
mod tests {
    use super::{FlagError, FlagSet};

    fn set() -> FlagSet {
        let mut flags = FlagSet::default();
        flags.string("output", "o", "", "");
        flags.bool("stdin", "i", false, "");
        flags.bool("tty", "t", false, "");
        flags.int("replicas", 32, 1, "");
        flags.slice("filename", "f", "", "");
        flags.string("dry-run", "", "none", "").bare("unchanged");
        flags
    }

    fn parse(line: &str) -> Result<FlagSet, FlagError> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let mut flags = set();
        flags.parse(&words).map(|()| flags)
    }

    #[test]
    fn spellings() {
        for line in ["a -o json", "-ojson a", "-o=json a", "--output=json a", "a --output json"] {
            let flags = parse(line).map_err(|e| e.to_string()).expect(line);
            assert_eq!((flags.str("output"), flags.args()), ("json", &["a".to_owned()][..]), "{line}");
        }
        let flags = parse("-it pod --dry-run -f a,b -f c -- -x").expect("valid");
        assert!(flags.get_bool("stdin") && flags.get_bool("tty"));
        assert_eq!(flags.str("dry-run"), "unchanged");
        assert_eq!(flags.list("filename"), ["a", "b", "c"]);
        assert_eq!((flags.args(), flags.args_before_dash()), (&["pod".to_owned(), "-x".to_owned()][..], Some(1)));
    }

    #[test]
    fn errors() {
        for (line, text) in [
            ("--foo", "unknown flag: --foo"),
            ("-z", "unknown shorthand flag: 'z' in -z"),
            ("-iz", "unknown shorthand flag: 'z' in -z"),
            ("--output", "flag needs an argument: --output"),
            ("-o", "flag needs an argument: 'o' in -o"),
            ("--=x", "bad flag syntax: --=x"),
            (
                "--replicas=x",
                "invalid argument \"x\" for \"--replicas\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                "-i=x",
                "invalid argument \"x\" for \"-i, --stdin\" flag: strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
        ] {
            assert_eq!(parse(line).err().map(|e| e.to_string()).as_deref(), Some(text), "{line}");
        }
    }
}
