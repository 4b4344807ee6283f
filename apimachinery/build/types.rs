//! data/types.txt → `static TYPES`, `static KINDS`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

/// A `key=value` or bare word of a line.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }
    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
    }
}

struct FieldLine<'a> {
    name: &'a str,
    ty: String,
    words: Words<'a>,
}

struct TypeLine<'a> {
    group: &'a str,
    version: &'a str,
    form: &'a str,
    words: Words<'a>,
    package: &'a str,
    fields: Vec<FieldLine<'a>>,
}

/// A field after inlining: where it came from and its tag in the outer message (0 if it lies in an inlined one).
struct Flat<'a, 'b> {
    field: &'b FieldLine<'a>,
    package: &'a str,
    own_tag: bool,
    embedded: String,
}

struct Table<'a> {
    types: BTreeMap<String, TypeLine<'a>>,
    index: HashMap<String, usize>,
    aliases: HashMap<&'a str, &'a str>,
    metas: Vec<String>,
    meta_index: HashMap<String, usize>,
    extras: Vec<String>,
    extra_index: HashMap<String, usize>,
    shapes: Vec<String>,
    shape_index: HashMap<String, usize>,
}

fn undash(text: &str) -> &str {
    if text == "-" { "" } else { text }
}

fn intern(text: String, list: &mut Vec<String>, index: &mut HashMap<String, usize>) -> usize {
    *index.entry(text.clone()).or_insert_with(|| {
        list.push(text);
        list.len() - 1
    })
}

impl<'a> Table<'a> {
    fn full(&self, reference: &str, package: &str) -> String {
        if let Some(name) = reference.strip_prefix('.') {
            return format!("{package}.{name}");
        }
        let (alias, name) = reference.rsplit_once('.').unwrap_or(("", reference));
        format!("{}.{name}", self.aliases.get(alias).unwrap_or_else(|| panic!("unknown package in {reference:?}")))
    }

    fn type_index(&self, reference: &str, package: &str) -> usize {
        let id = self.full(reference, package);
        *self.index.get(&id).unwrap_or_else(|| panic!("unknown type {id}"))
    }

    /// The expression for a shape.
    fn shape(&mut self, ty: &str, package: &str) -> String {
        for (prefix, function) in [("[]", "l"), ("map[]", "m"), ("*", "n")] {
            if let Some(inner) = ty.strip_prefix(prefix) {
                let inner = self.shape(inner, package);
                let at = intern(inner, &mut self.shapes, &mut self.shape_index);
                return format!("{function}(&S[{at}])");
            }
        }
        let simple = match ty {
            "bool" => "Bool",
            "int32" => "Int32",
            "int64" | "int" => "Int64",
            "uint32" => "Uint32",
            "uint64" => "Uint64",
            "float32" => "Float32",
            "float64" => "Float64",
            "string" => "String",
            "bytes" => "Bytes",
            "any" => "Any",
            "JSON" => "Json",
            "Time" | "MicroTime" | "Duration" | "Quantity" | "IntOrString" | "RawExtension" | "Unknown"
            | "FieldsV1" => ty,
            _ => return self.reference(ty, package),
        };
        format!("Shape::{simple}")
    }

    /// The shape of a reference: a struct, or what stands behind another name.
    fn reference(&mut self, ty: &str, package: &str) -> String {
        let id = self.full(ty, package);
        let at = self.type_index(ty, package);
        let line = &self.types[&id];
        if line.form == "struct" && !line.words.has("special") {
            return format!("s(&TYPES[{at}])");
        }
        self.named_form(&id).unwrap_or_else(|| format!("s(&TYPES[{at}])"))
    }

    /// The shape of a type that is not a plain struct.
    fn named_form(&mut self, id: &str) -> Option<String> {
        let line = &self.types[id];
        let (package, form) = (line.package, line.form);
        let elem = line.words.get("elem");
        let schema = || format!("r(&TYPES[{}])", self.index[&format!("{package}.JSONSchemaProps")]);
        let name = id.rsplit('.').next().unwrap_or(id);
        Some(match (form, name) {
            ("struct", "JSONSchemaPropsOrBool") => format!("Shape::SchemaOrBool({})", schema()),
            ("struct", "JSONSchemaPropsOrArray") => format!("Shape::SchemaOrArray({})", schema()),
            ("struct", "JSONSchemaPropsOrStringArray") => format!("Shape::SchemaOrStrings({})", schema()),
            ("struct", "TimeOrMetaDuration") => "Shape::TimeOrMetaDuration".to_owned(),
            ("struct", _) => return None,
            ("list", _) if line.words.has("wrap") => "Shape::WrappedStrings".to_owned(),
            ("list", _) => return Some(self.shape(&format!("[]{}", elem.expect("a list has elements")), package)),
            ("map", _) => return Some(self.shape(&format!("map[]{}", elem.expect("a map has elements")), package)),
            _ => self.shape(form, package),
        })
    }

    /// Members of a type with inlined ones in their place, and its wire entries.
    fn flatten<'b>(
        &'b self,
        id: &str,
        own_tag: bool,
        embedded: &str,
        fields: &mut Vec<Flat<'a, 'b>>,
        wire: &mut Vec<(u32, String)>,
    ) {
        let line = &self.types[id];
        for field in &line.fields {
            if field.words.has("nojson") {
                continue;
            }
            let tag = field.words.get("pb").map(|pb| pb.split(':').next().unwrap_or(pb).parse::<u32>().expect("a tag"));
            if !field.words.has("inline") {
                if let (Some(tag), true) = (tag, own_tag) {
                    wire.push((tag, format!("w({tag}, {})", fields.len())));
                }
                let (package, embedded) = (line.package, embedded.to_owned());
                fields.push(Flat { field, package, own_tag: own_tag && tag.is_some(), embedded });
                continue;
            }
            let inner = self.full(&field.ty, line.package);
            if let (Some(tag), true) = (tag, own_tag) {
                wire.push((tag, format!("i({tag}, {}, &TYPES[{}])", fields.len(), self.index[&inner])));
            }
            let name = inner.rsplit('.').next().unwrap_or(&inner);
            let path = if embedded.is_empty() { name.to_owned() } else { format!("{embedded}.{name}") };
            self.flatten(&inner, false, &path, fields, wire);
        }
    }

    fn meta(&mut self, words: &Words<'_>, package: &str, embedded: &str) -> usize {
        let mut text = String::from("FieldMeta { ");
        if !embedded.is_empty() {
            write!(text, "embedded: {embedded:?}, ").expect("writing to a string");
        }
        if let Some(default) = words.get("def") {
            write!(text, "default: Cow::Borrowed({default:?}), ").expect("writing to a string");
        }
        let strings = [
            ("fmt", "format"),
            ("ifmt", "items_format"),
            ("vfmt", "values_format"),
            ("ps", "patch_strategy"),
            ("pk", "patch_merge_key"),
        ];
        for (key, name) in strings {
            if let Some(value) = words.get(key) {
                write!(text, "{name}: {value:?}, ").expect("writing to a string");
            }
        }
        if let Some(kind) = words.get("lt") {
            write!(text, "list_type: ListType::{}, ", capitalised(kind)).expect("writing to a string");
        }
        if let Some(kind) = words.get("mt") {
            write!(text, "map_type: Some(MapType::{}), ", capitalised(kind)).expect("writing to a string");
        }
        if let Some(keys) = words.get("lk") {
            let keys: Vec<String> = keys.split(',').map(|k| format!("Cow::Borrowed({k:?})")).collect();
            write!(text, "list_map_keys: Cow::Borrowed(&[{}]), ", keys.join(", ")).expect("writing to a string");
        }
        for (key, name) in [("as", "named"), ("askey", "key_named"), ("alias", "alias")] {
            if let Some(reference) = words.get(key) {
                write!(text, "{name}: Some(&TYPES[{}]), ", self.type_index(reference, package))
                    .expect("writing to a string");
            }
        }
        text.push_str("..M }");
        intern(text, &mut self.metas, &mut self.meta_index)
    }

    fn extra(&mut self, id: &str) -> usize {
        let words = &self.types[id].words;
        let mut text = String::from("TypeExtra { ");
        if words.has("pb") {
            text.push_str("proto: true, ");
        }
        if let Some(place) = words.get("a") {
            write!(text, "openapi: OpenApi::{}, ", capitalised(place)).expect("writing to a string");
        }
        if let Some(values) = words.get("enum") {
            let values: Vec<String> = values.split(',').map(|v| v.replace("\\s", " ")).collect();
            write!(text, "enum_values: &{values:?}, ").expect("writing to a string");
        }
        if words.has("closed") {
            text.push_str("closed_enum: true, ");
        }
        if let Some(kind) = words.get("mt") {
            write!(text, "map_type: Some(MapType::{}), ", capitalised(kind)).expect("writing to a string");
        }
        for key in ["unions", "schema"] {
            if let Some(json) = words.get(key) {
                write!(text, "{key}: {json:?}, ").expect("writing to a string");
            }
        }
        text.push_str("..X }");
        intern(text, &mut self.extras, &mut self.extra_index)
    }
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

/// Kind and type.
type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// The lines about kinds: `metakinds …` and `kinds GV meta=N …`.
#[derive(Default)]
struct KindLines<'a> {
    meta: Pairs<'a>,
    kinds: Vec<(&'a str, bool, Pairs<'a>)>,
}

fn pairs<'a>(words: &[&'a str]) -> Pairs<'a> {
    words.iter().filter_map(|w| w.split_once(':')).collect()
}

fn parse(text: &str) -> (Table<'_>, KindLines<'_>) {
    let mut types: BTreeMap<String, TypeLine<'_>> = BTreeMap::new();
    let mut aliases = HashMap::new();
    let mut kinds = KindLines::default();
    let mut package = ["", "", "", ""];
    let mut current = String::new();
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            _ if line.starts_with(' ') => {
                let field =
                    FieldLine { name: undash(words[0]), ty: words[1].to_owned(), words: Words(words[2..].to_vec()) };
                types.get_mut(&current).expect("a field follows a type").fields.push(field);
            }
            "package" => {
                package = [words[1], words[2], undash(words[3]), undash(words[4])];
                aliases.insert(words[1], words[2]);
            }
            "type" => {
                current = format!("{}.{}", package[1], words[1]);
                let (group, version, form) = (package[2], package[3], words[2]);
                let line = TypeLine {
                    group,
                    version,
                    form,
                    words: Words(words[3..].to_vec()),
                    package: package[1],
                    fields: Vec::new(),
                };
                types.insert(current.clone(), line);
            }
            "metakinds" => kinds.meta = pairs(&words[1..]),
            "kinds" => kinds.kinds.push((words[1], words[2] == "meta=1", pairs(&words[3..]))),
            other => panic!("unknown line {other}"),
        }
    }
    let index = types.keys().enumerate().map(|(i, id)| (id.clone(), i)).collect();
    let table = Table {
        types,
        index,
        aliases,
        metas: Vec::new(),
        meta_index: HashMap::new(),
        extras: Vec::new(),
        extra_index: HashMap::new(),
        shapes: Vec::new(),
        shape_index: HashMap::new(),
    };
    (table, kinds)
}

/// One flattened member, with what is needed to render it after the borrow of the table ended.
struct Member<'a> {
    name: &'a str,
    ty: String,
    package: &'a str,
    flags: u8,
    tag: u32,
    words: Words<'a>,
    embedded: String,
}

fn members<'a>(table: &Table<'a>, id: &str) -> (Vec<Member<'a>>, Vec<(u32, String)>) {
    let (mut fields, mut wire) = (Vec::new(), Vec::new());
    table.flatten(id, true, "", &mut fields, &mut wire);
    wire.sort();
    let fields = fields.iter().map(|flat| {
        let words = &flat.field.words;
        let flag = |word: &str, bit: u8| if words.has(word) { bit } else { 0 };
        let tag = words
            .get("pb")
            .filter(|_| flat.own_tag)
            .map_or(0, |pb| pb.split(':').next().unwrap_or(pb).parse().expect("a tag"));
        Member {
            name: flat.field.name,
            ty: flat.field.ty.clone(),
            package: flat.package,
            flags: flag("ptr", 1) | flag("omit", 2) | flag("omitzero", 4) | flag("req", 8),
            tag,
            words: Words(words.0.clone()),
            embedded: flat.embedded.clone(),
        }
    });
    (fields.collect(), wire)
}

/// Renders the table.
pub fn render(text: &str) -> String {
    let (mut table, kinds) = parse(text);
    let ids: Vec<String> = table.types.keys().cloned().collect();
    let (mut out, mut rows) = (String::new(), String::new());
    for (n, id) in ids.iter().enumerate() {
        let (fields, wire) = members(&table, id);
        let is_struct = table.types[id].form == "struct";
        let members = if is_struct && !fields.is_empty() {
            render_members(&mut out, &mut table, n, &fields, &wire);
            format!("(&F{n}, &N{n}, &W{n})")
        } else {
            "(&[], &[], &[])".to_owned()
        };
        let form = if is_struct && !table.types[id].words.has("special") {
            "Form::Struct".to_owned()
        } else {
            format!("Form::Named({})", table.named_form(id).expect("not a struct"))
        };
        let extra = table.extra(id);
        let line = &table.types[id];
        let item = line
            .words
            .get("list")
            .filter(|i| i.contains('.'))
            .map_or("None".to_owned(), |i| format!("Some(r(&TYPES[{}]))", table.type_index(i, line.package)));
        let kind = line.words.get("k").unwrap_or("");
        writeln!(
            rows,
            "t([{id:?}, {:?}, {:?}, {kind:?}], {form}, {members}, {item}, &E[{extra}]),",
            line.group, line.version
        )
        .expect("writing to a string");
    }
    let mut array = |name: &str, ty: &str, rows: &str, n: usize| {
        writeln!(out, "static {name}: [{ty}; {n}] = [\n{rows}];").expect("writing to a string");
    };
    array("TYPES", "Type", &rows, ids.len());
    array("E", "TypeExtra", &(table.extras.join(",\n") + ","), table.extras.len());
    array("S", "Shape", &(table.shapes.join(",\n") + ","), table.shapes.len());
    array("D", "FieldMeta", &(table.metas.join(",\n") + ","), table.metas.len());
    let kinds = render_kinds(&table, &kinds);
    array("KINDS", "(&str, &str, usize)", &(kinds.join(",\n") + ","), kinds.len());
    out
}

fn render_members(out: &mut String, table: &mut Table<'_>, n: usize, fields: &[Member<'_>], wire: &[(u32, String)]) {
    let mut rows = String::new();
    for m in fields {
        let shape = table.shape(&m.ty, m.package);
        let meta = table.meta(&m.words, m.package, &m.embedded);
        write!(rows, "f({:?}, {shape}, {}, {}, &D[{meta}]),", m.name, m.flags, m.tag).expect("writing to a string");
    }
    let mut order: Vec<usize> = (0..fields.len()).collect();
    order.sort_by_key(|&i| fields[i].name);
    assert!(order.windows(2).all(|w| fields[w[0]].name != fields[w[1]].name), "two fields of one name in type {n}");
    let wire: Vec<&str> = wire.iter().map(|(_, w)| w.as_str()).collect();
    writeln!(out, "static F{n}: [Field; {}] = [{rows}];", fields.len()).expect("writing to a string");
    writeln!(out, "static N{n}: [u16; {}] = {order:?};", order.len()).expect("writing to a string");
    writeln!(out, "static W{n}: [Wire; {}] = [{}];", wire.len(), wire.join(", ")).expect("writing to a string");
}

fn render_kinds(table: &Table<'_>, lines: &KindLines<'_>) -> Vec<String> {
    let mut rows: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (api_version, meta, kinds) in &lines.kinds {
        for (kind, reference) in lines.meta.iter().filter(|_| *meta).chain(kinds) {
            rows.insert((api_version, kind), table.type_index(reference, ""));
        }
    }
    rows.into_iter().map(|((api_version, kind), at)| format!("({api_version:?}, {kind:?}, {at})")).collect()
}
