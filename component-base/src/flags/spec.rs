//! The table of a daemon's flags: tab-separated lines of flag, short, type, default, hidden, deprecated.

/// What a flag's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `--x`, `--x=false`.
    Bool,
    /// `--version`: a bare use asks for the version.
    Version,
    /// Signed integer of so many bits.
    Int(u32),
    /// Unsigned integer.
    Uint(u32),
    /// Float.
    Float,
    /// Go duration.
    Duration,
    /// Text without rules.
    Text,
    /// Comma-separated and repeatable.
    List,
    /// Repeatable, commas are part of the value.
    Array,
    /// `a=b,c=d`, repeatable.
    Map,
    /// `a=true,b=false`, repeatable.
    BoolMap,
    /// IP address.
    Ip,
}

/// One flag.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Name without dashes.
    pub name: String,
    /// One-letter form.
    pub short: Option<char>,
    /// What its value is.
    pub kind: Kind,
    /// The type as help prints it.
    pub type_name: String,
    /// Default as text.
    pub default: String,
    /// Left out of help.
    pub hidden: bool,
    /// What to tell who uses it.
    pub deprecated: Option<String>,
}

impl Spec {
    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap_or_default();
        let (name, short, type_name, default, hidden, deprecated) = (next(), next(), next(), next(), next(), next());
        if name.is_empty() || name == "flag" {
            return None;
        }
        Some(Self {
            name: name.to_owned(),
            short: short.chars().next(),
            kind: kind_of(type_name),
            type_name: type_name.to_owned(),
            default: default.to_owned(),
            hidden: hidden == "hidden",
            deprecated: (!deprecated.is_empty()).then(|| deprecated.to_owned()),
        })
    }

    /// Value of a bare `--x`.
    pub(super) fn bare_value(&self) -> Option<&'static str> {
        matches!(self.kind, Kind::Bool | Kind::Version).then_some("true")
    }

    pub(super) fn has_visible_default(&self) -> bool {
        !matches!(self.default.as_str(), "" | "false" | "0" | "0s" | "[]" | "<nil>")
    }
}

fn kind_of(type_name: &str) -> Kind {
    match type_name {
        "bool" => Kind::Bool,
        "version" => Kind::Version,
        "int" | "int64" => Kind::Int(64),
        "int32" => Kind::Int(32),
        "uint" | "uint64" => Kind::Uint(64),
        "uint32" | "Level" => Kind::Uint(32),
        "float32" | "float64" => Kind::Float,
        "duration" => Kind::Duration,
        "stringSlice" | "strings" | "int32Slice" => Kind::List,
        "stringArray" | "namedCertKey" | "[]v1.Taint" | "reserved-memory" | "colonSeparatedMultimapStringString" => {
            Kind::Array
        }
        "mapStringString" | "stringToString" => Kind::Map,
        "mapStringBool" => Kind::BoolMap,
        "ip" => Kind::Ip,
        _ => Kind::Text,
    }
}

/// All flags of a daemon, ordered by name.
#[derive(Debug, Clone)]
pub struct Table {
    specs: Vec<Spec>,
}

impl Table {
    /// Reads the table's text; a heading line is skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut specs: Vec<Spec> = text.lines().filter_map(Spec::parse).collect();
        specs.sort_by(|left, right| left.name.cmp(&right.name));
        Self { specs }
    }

    /// A flag by name; underscores count as dashes.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Spec> {
        let name = name.replace('_', "-");
        self.specs.binary_search_by(|spec| spec.name.as_str().cmp(name.as_str())).ok().map(|index| &self.specs[index])
    }

    /// A flag by its letter.
    #[must_use]
    pub fn find_short(&self, letter: char) -> Option<&Spec> {
        self.specs.iter().find(|spec| spec.short == Some(letter))
    }

    /// All flags.
    pub fn iter(&self) -> impl Iterator<Item = &Spec> {
        self.specs.iter()
    }
}
