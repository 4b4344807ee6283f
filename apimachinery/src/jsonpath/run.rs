//! What a template finds in a value.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Found, JsonPathError, Node, Param, fail};
use crate::gofmt::sprint;
use crate::value::Value;

/// A template at work. Ranges are kept count of, since one ends at another part than it begins.
#[derive(Default)]
pub(super) struct Run<'n> {
    nodes: &'n [Node],
    allow_missing: bool,
    begin_range: usize,
    in_range: usize,
    end_range: usize,
    last_end: Option<usize>,
}

impl<'n> Run<'n> {
    pub(super) fn new(nodes: &'n [Node], allow_missing: bool) -> Self {
        Run { nodes, allow_missing, ..Run::default() }
    }

    pub(super) fn find<'v>(
        &mut self,
        data: Option<Cow<'v, Value>>,
        start: usize,
    ) -> Result<Vec<Found<'v>>, JsonPathError> {
        let current: Found<'v> = vec![data.unwrap_or(Cow::Owned(Value::Null))];
        let mut full = Vec::new();
        let mut i = start;
        while i < self.nodes.len() {
            let nodes = self.nodes;
            let results = self.walk(current.clone(), &nodes[i])?;
            if self.end_range > 0 && self.end_range <= self.in_range {
                self.end_range -= 1;
                self.last_end = Some(i);
                break;
            }
            if self.begin_range > 0 {
                self.begin_range -= 1;
                self.in_range += 1;
                if results.is_empty() {
                    self.find(None, i + 1)?;
                }
                for value in results {
                    full.extend(self.find(Some(value), i + 1)?);
                }
                self.in_range -= 1;
                if let Some(end) = self.last_end.filter(|end| *end > i) {
                    i = end;
                }
                i += 1;
                continue;
            }
            full.push(results);
            i += 1;
        }
        Ok(full)
    }

    fn list<'v>(&mut self, mut input: Found<'v>, nodes: &[Node]) -> Result<Found<'v>, JsonPathError> {
        for node in nodes {
            input = self.walk(input, node)?;
        }
        Ok(input)
    }

    fn walk<'v>(&mut self, input: Found<'v>, node: &Node) -> Result<Found<'v>, JsonPathError> {
        match node {
            Node::List(nodes) => self.list(input, nodes),
            Node::Text(text) => Ok(vec![Cow::Owned(Value::str(text.as_str()))]),
            Node::Literal(value) => Ok(input.iter().map(|_| Cow::Owned(value.clone())).collect()),
            Node::Field(name) => self.field(input, name),
            Node::Array(params) => array(input, params),
            Node::Filter(left, right, operator) => self.filter(input, left, right, operator),
            Node::Wildcard => Ok(input.into_iter().flat_map(children).collect()),
            Node::Recursive => Ok(recursive(input)),
            Node::Union(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(self.list(input.clone(), part)?);
                }
                Ok(all)
            }
            Node::Identifier(name) => self.identifier(input, name),
        }
    }

    fn identifier<'v>(&mut self, input: Found<'v>, name: &str) -> Result<Found<'v>, JsonPathError> {
        match name {
            "range" => {
                self.begin_range += 1;
                Ok(input)
            }
            "end" if self.in_range > 0 => {
                self.end_range += 1;
                Ok(Vec::new())
            }
            "end" => fail("not in range, nothing to end"),
            _ => fail(format!("unrecognized identifier {name}")),
        }
    }

    fn field<'v>(&self, input: Found<'v>, name: &str) -> Result<Found<'v>, JsonPathError> {
        if input.is_empty() {
            return Ok(input);
        }
        let results: Found<'v> = input.into_iter().filter_map(|value| member(value, name)).collect();
        if results.is_empty() && !self.allow_missing {
            return fail(format!("{name} is not found"));
        }
        Ok(results)
    }

    fn filter<'v>(
        &mut self,
        input: Found<'v>,
        left: &[Node],
        right: &[Node],
        operator: &str,
    ) -> Result<Found<'v>, JsonPathError> {
        let mut results = Vec::new();
        for value in input {
            if value.as_list().is_none() {
                return fail(format!("{} is not array or slice and cannot be filtered", sprint(&value)));
            }
            for item in elements(value) {
                let lefts = self.list(vec![item.clone()], left);
                if operator == "exists" {
                    if lefts.is_ok_and(|l| !l.is_empty()) {
                        results.push(item);
                    }
                    continue;
                }
                let lefts = lefts?;
                let rights = self.list(vec![item.clone()], right)?;
                if lefts.is_empty() || rights.is_empty() {
                    continue;
                }
                if lefts.len() > 1 || rights.len() > 1 {
                    return fail("can only compare one element at a time");
                }
                if compare(&lefts[0], &rights[0], operator)? {
                    results.push(item);
                }
            }
        }
        Ok(results)
    }
}

fn member<'v>(value: Cow<'v, Value>, name: &str) -> Option<Cow<'v, Value>> {
    match value {
        Cow::Borrowed(value) => value.as_map()?.get(name).map(Cow::Borrowed),
        Cow::Owned(mut value) => value.get_mut(name).map(|v| Cow::Owned(v.take())),
    }
}

fn elements(value: Cow<'_, Value>) -> Vec<Cow<'_, Value>> {
    match value {
        Cow::Borrowed(value) => value.items().iter().map(Cow::Borrowed).collect(),
        Cow::Owned(value) => value.items().iter().cloned().map(Cow::Owned).collect(),
    }
}

/// Members of a map or list.
fn children(value: Cow<'_, Value>) -> Vec<Cow<'_, Value>> {
    match value {
        Cow::Borrowed(Value::Map(map)) => map.values().map(Cow::Borrowed).collect(),
        Cow::Owned(Value::Map(map)) => map.values().cloned().map(Cow::Owned).collect(),
        other => elements(other),
    }
}

fn recursive(input: Found<'_>) -> Found<'_> {
    let mut results = Vec::new();
    for value in input {
        let below = children(value.clone());
        if !below.is_empty() {
            results.push(value);
            results.extend(recursive(below));
        }
    }
    results
}

fn array<'v>(input: Found<'v>, params: &[Param; 3]) -> Result<Found<'v>, JsonPathError> {
    let mut results = Vec::new();
    for value in input {
        if value.is_null() {
            continue;
        }
        let Some(list) = value.as_list() else {
            return fail(format!("{} is not array or slice", go_type(&value)));
        };
        let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
        let mut first = if params[0].known { params[0].value } else { 0 };
        if first < 0 {
            first += length;
        }
        let mut end = if params[1].known { params[1].value } else { length };
        if end < 0 || (end == 0 && params[1].derived) {
            end += length;
        }
        if end == first {
            return Ok(results);
        }
        if first >= length || first < 0 {
            return fail(format!("array index out of bounds: index {first}, length {length}"));
        }
        if end > length || end < 0 {
            return fail(format!("array index out of bounds: index {}, length {length}", end - 1));
        }
        if first > end {
            return fail(format!("starting index {first} is greater than ending index {end}"));
        }
        let step = if params[2].known { params[2].value } else { 1 };
        if step <= 0 {
            return fail("step must be > 0");
        }
        let wanted = |i: usize| {
            let i = i64::try_from(i).unwrap_or(i64::MAX);
            i >= first && i < end && (i - first) % step == 0
        };
        let items = elements(value).into_iter().enumerate();
        results.extend(items.filter(|(i, _)| wanted(*i)).map(|(_, v)| v));
    }
    Ok(results)
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Map(_) => "map[string]interface {}",
        Value::Str(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        _ => "interface {}",
    }
}

fn compare(left: &Value, right: &Value, operator: &str) -> Result<bool, JsonPathError> {
    let order = match (left, right) {
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) if matches!(operator, "==" | "!=") => Some(a.cmp(b)),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Int(_), Value::Float(_)) | (Value::Float(_), Value::Int(_)) => {
            left.as_f64().partial_cmp(&right.as_f64())
        }
        _ => None,
    };
    let Some(order) = order else {
        return fail("incompatible types for comparison");
    };
    match operator {
        "==" => Ok(order == Ordering::Equal),
        "!=" => Ok(order != Ordering::Equal),
        "<" => Ok(order == Ordering::Less),
        ">" => Ok(order == Ordering::Greater),
        "<=" => Ok(order != Ordering::Greater),
        ">=" => Ok(order != Ordering::Less),
        other => fail(format!("unrecognized filter operator {other}")),
    }
}
