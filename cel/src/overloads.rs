//! Every function with the types it takes. Upstream: cel-go common/stdlib, ext; apiserver/pkg/cel/library

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::types::Type;

/// One way to call a function.
#[derive(Clone, Debug)]
pub(crate) struct Overload {
    /// The first argument is written before the dot.
    pub member: bool,
    pub args: Vec<Type>,
    pub result: Type,
    pub params: Vec<Arc<str>>,
}

/// `name target.(args) result`; several separated by `|`. Capital letters are type parameters, `U I D …` opaque types below.
const DECLARATIONS: &str = "
_?_:_ (bool,A,A) A
_&&_ (bool,bool) bool
_||_ (bool,bool) bool
!_ (bool) bool
@not_strictly_false (bool) bool
_==_ (A,A) bool
_!=_ (A,A) bool
_+_ (bytes,bytes) bytes | (double,double) double | (duration,duration) duration | (duration,timestamp) timestamp | (timestamp,duration) timestamp | (int,int) int | (list(A),list(A)) list(A) | (string,string) string | (uint,uint) uint
_/_ (double,double) double | (int,int) int | (uint,uint) uint
_%_ (int,int) int | (uint,uint) uint
_*_ (double,double) double | (int,int) int | (uint,uint) uint
-_ (double) double | (int) int
_-_ (double,double) double | (duration,duration) duration | (int,int) int | (timestamp,duration) timestamp | (timestamp,timestamp) duration | (uint,uint) uint
_[_] (list(A),int) A | (map(A,B),A) B | (optional(list(V)),int) optional(V) | (optional(map(K,V)),K) optional(V)
_[?_] (list(V),int) optional(V) | (optional(list(V)),int) optional(V) | (map(K,V),K) optional(V) | (optional(map(K,V)),K) optional(V)
@in (A,list(A)) bool | (A,map(A,B)) bool
size (bytes) int | bytes.() int | (list(A)) int | list(A).() int | (map(A,B)) int | map(A,B).() int | (string) int | string.() int
type (A) type(A)
bool (bool) bool | (string) bool
bytes (bytes) bytes | (string) bytes
double (double) double | (int) double | (string) double | (uint) double
duration (duration) duration | (int) duration | (string) duration
dyn (A) dyn
int (int) int | (double) int | (duration) int | (string) int | (timestamp) int | (uint) int
string (string) string | (bool) string | (bytes) string | (double) string | (duration) string | (int) string | (timestamp) string | (uint) string | (ip) string | (cidr) string
timestamp (timestamp) timestamp | (int) timestamp | (string) timestamp
uint (uint) uint | (double) uint | (int) uint | (string) uint
contains string.(string) bool
endsWith string.(string) bool
startsWith string.(string) bool
matches (string,string) bool | string.(string) bool
getFullYear timestamp.() int | timestamp.(string) int
getMonth timestamp.() int | timestamp.(string) int
getDayOfYear timestamp.() int | timestamp.(string) int
getDayOfMonth timestamp.() int | timestamp.(string) int
getDate timestamp.() int | timestamp.(string) int
getDayOfWeek timestamp.() int | timestamp.(string) int
getHours timestamp.() int | timestamp.(string) int | duration.() int
getMinutes timestamp.() int | timestamp.(string) int | duration.() int
getSeconds timestamp.() int | timestamp.(string) int | duration.() int
getMilliseconds timestamp.() int | timestamp.(string) int | duration.() int
optional.of (V) optional(V)
optional.ofNonZeroValue (V) optional(V)
optional.none () optional(V)
value optional(V).() V
hasValue optional(V).() bool
or optional(V).(optional(V)) optional(V)
orValue optional(V).(V) V
optional.unwrap (list(optional(V))) list(V)
unwrapOpt list(optional(V)).() list(V)
first list(V).() optional(V)
last list(V).() optional(V)
cel.@mapInsert (map(K,V),K,V) map(K,V) | (map(K,V),map(K,V)) map(K,V)
charAt string.(int) string
indexOf string.(string) int | string.(string,int) int | list(A).(A) int
lastIndexOf string.(string) int | string.(string,int) int | list(A).(A) int
lowerAscii string.() string
replace string.(string,string) string | string.(string,string,int) string
split string.(string) list(string) | string.(string,int) list(string)
substring string.(int) string | string.(int,int) string
trim string.() string
upperAscii string.() string
format string.(list(dyn)) string
strings.quote (string) string
join list(string).() string | list(string).(string) string
sets.contains (list(T),list(T)) bool
sets.equivalent (list(T),list(T)) bool
sets.intersects (list(T),list(T)) bool
slice list(T).(int,int) list(T)
flatten list(list(T)).() list(T) | list(dyn).(int) list(dyn)
lists.range (int) list(int)
reverse list(T).() list(T)
distinct list(T).() list(T)
sort list(int).() list(int) | list(uint).() list(uint) | list(double).() list(double) | list(bool).() list(bool) | list(duration).() list(duration) | list(timestamp).() list(timestamp) | list(string).() list(string) | list(bytes).() list(bytes)
@sortByAssociatedKeys list(T).(list(int)) list(T) | list(T).(list(uint)) list(T) | list(T).(list(double)) list(T) | list(T).(list(bool)) list(T) | list(T).(list(duration)) list(T) | list(T).(list(timestamp)) list(T) | list(T).(list(string)) list(T) | list(T).(list(bytes)) list(T)
isSorted list(int).() bool | list(uint).() bool | list(double).() bool | list(bool).() bool | list(duration).() bool | list(timestamp).() bool | list(string).() bool | list(bytes).() bool
sum list(int).() int | list(uint).() uint | list(double).() double | list(duration).() duration
max list(int).() int | list(uint).() uint | list(double).() double | list(bool).() bool | list(duration).() duration | list(timestamp).() timestamp | list(string).() string | list(bytes).() bytes
min list(int).() int | list(uint).() uint | list(double).() double | list(bool).() bool | list(duration).() duration | list(timestamp).() timestamp | list(string).() string | list(bytes).() bytes
find string.(string) string
findAll string.(string) list(string) | string.(string,int) list(string)
url (string) url
isURL (string) bool
getScheme url.() string
getHost url.() string
getHostname url.() string
getPort url.() string
getEscapedPath url.() string
getQuery url.() map(string,list(string))
ip (string) ip | cidr.() ip
isIP (string) bool
ip.isCanonical (string) bool
family ip.() int
isUnspecified ip.() bool
isLoopback ip.() bool
isLinkLocalMulticast ip.() bool
isLinkLocalUnicast ip.() bool
isGlobalUnicast ip.() bool
cidr (string) cidr
isCIDR (string) bool
containsIP cidr.(string) bool | cidr.(ip) bool
containsCIDR cidr.(string) bool | cidr.(cidr) bool
prefixLength cidr.() int
masked cidr.() cidr
quantity (string) quantity
isQuantity (string) bool
sign quantity.() int
isInteger quantity.() bool
asInteger quantity.() int
asApproximateFloat quantity.() double
isGreaterThan quantity.(quantity) bool | semver.(semver) bool
isLessThan quantity.(quantity) bool | semver.(semver) bool
compareTo quantity.(quantity) int | semver.(semver) int
add quantity.(quantity) quantity | quantity.(int) quantity
sub quantity.(quantity) quantity | quantity.(int) quantity
semver (string) semver | (string,bool) semver
isSemver (string) bool | (string,bool) bool
major semver.() int
minor semver.() int
patch semver.() int
format.named (string) optional(format)
validate format.(string) optional(list(string))
path authorizer.(string) pathcheck
group authorizer.(string) groupcheck
serviceAccount authorizer.(string,string) authorizer
resource groupcheck.(string) resourcecheck
subresource resourcecheck.(string) resourcecheck
namespace resourcecheck.(string) resourcecheck
name resourcecheck.(string) resourcecheck
fieldSelector resourcecheck.(string) resourcecheck
labelSelector resourcecheck.(string) resourcecheck
check pathcheck.(string) decision | resourcecheck.(string) decision
errored decision.() bool
error decision.() string
allowed decision.() bool
reason decision.() string
";

/// Only expressions that make JSON patches have it.
const PATCH_DECLARATIONS: &str = "jsonpatch.escapeKey (string) string\n";

/// Names of formats that `format.NAME()` gives.
pub(crate) const FORMATS: [&str; 13] = [
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
];

/// The name of the type of JSON patch operations.
pub(crate) const JSON_PATCH: &str = "JSONPatch";

/// The types whose names are the same in declarations and in expressions.
fn plain(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        _ => return None,
    })
}

fn named(word: &str) -> Type {
    match word {
        "dyn" => Type::Dyn,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "url" => Type::object("kubernetes.URL"),
        "ip" => Type::opaque("net.IP"),
        "cidr" => Type::opaque("net.CIDR"),
        "quantity" => Type::object("kubernetes.Quantity"),
        "semver" => Type::object("kubernetes.Semver"),
        "format" => Type::object("kubernetes.NamedFormat"),
        "authorizer" => Type::object("kubernetes.authorization.Authorizer"),
        "pathcheck" => Type::object("kubernetes.authorization.PathCheck"),
        "groupcheck" => Type::object("kubernetes.authorization.GroupCheck"),
        "resourcecheck" => Type::object("kubernetes.authorization.ResourceCheck"),
        "decision" => Type::object("kubernetes.authorization.Decision"),
        other => plain(other).unwrap_or_else(|| Type::Param(other.into())),
    }
}

/// Reads a type off the front of `text`.
fn read_type<'t>(text: &'t str, params: &mut Vec<Arc<str>>) -> (Type, &'t str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if matches!(word, "list" | "map" | "optional" | "type") {
        let (first, rest) = read_type(&rest[1..], params);
        let (second, rest) = match rest.strip_prefix(',') {
            Some(rest) => {
                let (ty, rest) = read_type(rest, params);
                (Some(ty), rest)
            }
            None => (None, rest),
        };
        let ty = match (word, second) {
            ("list", _) => Type::list(first),
            ("map", Some(second)) => Type::map(first, second),
            ("type", _) => Type::Type(Some(Arc::new(first))),
            _ => Type::optional(first),
        };
        return (ty, &rest[1..]);
    }
    let ty = named(word);
    if let Type::Param(name) = &ty
        && !params.contains(name)
    {
        params.push(name.clone());
    }
    (ty, rest)
}

fn read_overload(text: &str) -> Overload {
    let mut params = Vec::new();
    let mut args = Vec::new();
    let member = !text.starts_with('(');
    let mut rest = text;
    if member {
        let (target, after) = read_type(rest, &mut params);
        args.push(target);
        rest = &after[1..];
    }
    rest = &rest[1..];
    while !rest.starts_with(')') {
        let (arg, after) = read_type(rest, &mut params);
        args.push(arg);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    let (result, _) = read_type(rest[1..].trim_start(), &mut params);
    Overload { member, args, result, params }
}

type Table = HashMap<Box<str>, Vec<Overload>>;

fn read(text: &str, out: &mut Table) {
    for line in text.lines() {
        let Some((name, overloads)) = line.split_once(' ') else { continue };
        out.insert(name.into(), overloads.split(" | ").map(read_overload).collect());
    }
}

/// Comparisons: within a type, and between numbers.
fn add_orders(out: &mut Table) {
    let numbers = ["int", "uint", "double"];
    let mut overloads = Vec::new();
    for ty in ["bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration"] {
        overloads.push(read_overload(&format!("({ty},{ty}) bool")));
    }
    for a in numbers {
        for b in numbers.iter().filter(|b| **b != a) {
            overloads.push(read_overload(&format!("({a},{b}) bool")));
        }
    }
    for name in ["_<_", "_<=_", "_>_", "_>=_"] {
        out.insert(name.into(), overloads.clone());
    }
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut out = Table::new();
    read(DECLARATIONS, &mut out);
    add_orders(&mut out);
    for name in FORMATS {
        out.insert(format!("format.{name}").into(), vec![read_overload("() format")]);
    }
    out
});

static PATCH_TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut out = Table::new();
    read(PATCH_DECLARATIONS, &mut out);
    out
});

/// The ways to call a function; `None` if there is none of the name.
pub(crate) fn overloads(name: &str, patching: bool) -> Option<&'static [Overload]> {
    let more = || if patching { PATCH_TABLE.get(name) } else { None };
    TABLE.get(name).or_else(more).map(Vec::as_slice)
}

/// The type that a name of a type stands for.
pub fn struct_type(name: &str) -> Option<Type> {
    Some(match name {
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "null_type" => Type::Null,
        "type" => Type::Type(None),
        "optional_type" => Type::optional(Type::Dyn),
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        "net.IP" | "net.CIDR" => Type::opaque(name),
        "kubernetes.URL" | "kubernetes.Quantity" | "kubernetes.Semver" | "kubernetes.NamedFormat" => Type::object(name),
        _ => return plain(name),
    })
}
