//! Roles and their bindings.

use apimachinery::value::Value;

use super::document::Document;

pub(super) fn binding(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, false);
    doc.labels_and_annotations(object);
    doc.write(0, "Role:\n");
    for (title, key) in [("Kind", "kind"), ("Name", "name")] {
        doc.field(1, title, object.path(&["roleRef", key]).str_or_empty());
    }
    doc.write(0, "Subjects:\n");
    doc.write(1, "Kind\tName\tNamespace\n");
    doc.write(1, "----\t----\t---------\n");
    for subject in object.get("subjects").items() {
        let text = |key: &str| subject.get(key).str_or_empty();
        doc.write(1, &format!("{}\t{}\t{}\n", text("kind"), text("name"), text("namespace")));
    }
    false
}

/// A rule for one resource (or path), with the verbs of all rules that agree in the rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    resource: String,
    group: String,
    urls: Vec<String>,
    names: Vec<String>,
    verbs: Vec<String>,
}

pub(super) fn role(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, false);
    doc.labels_and_annotations(object);
    doc.write(0, "PolicyRule:\n");
    doc.write(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs\n");
    doc.write(1, "---------\t-----------------\t--------------\t-----\n");
    for line in rule_lines(object.get("rules")) {
        doc.write(1, &line);
    }
    false
}

/// The rules as lines of cells: resource, paths, names, verbs.
pub(crate) fn rule_lines(rules: &Value) -> Vec<String> {
    let list = |items: &[String]| format!("[{}]", items.join(" "));
    let line = |rule: Rule| {
        let resource = qualified(&rule.resource, &rule.group);
        format!("{resource}\t{}\t{}\t{}\n", list(&rule.urls), list(&rule.names), list(&rule.verbs))
    };
    compact(rules).into_iter().map(line).collect()
}

/// `deployments.apps/scale`: the group follows the resource, the subresource comes last.
fn qualified(resource: &str, group: &str) -> String {
    let (plural, subresource) = resource.split_at(resource.find('/').unwrap_or(resource.len()));
    if group.is_empty() { resource.to_owned() } else { format!("{plural}.{group}{subresource}") }
}

fn strings(list: &Value) -> Vec<String> {
    list.items().iter().map(|v| v.str_or_empty().to_owned()).collect()
}

/// Takes rules apart and joins those that differ only in verbs; sorted as upstream sorts their text.
fn compact(rules: &Value) -> Vec<Rule> {
    let mut out: Vec<Rule> = Vec::new();
    let mut add = |rule: Rule| {
        let same = |r: &&mut Rule| {
            r.resource == rule.resource && r.group == rule.group && r.names == rule.names && r.urls == rule.urls
        };
        match out.iter_mut().find(same).filter(|_| rule.urls.is_empty()) {
            Some(present) => {
                for verb in &rule.verbs {
                    if !present.verbs.contains(verb) {
                        present.verbs.push(verb.clone());
                    }
                }
            }
            None => out.push(rule),
        }
    };
    for rule in rules.items() {
        let verbs = strings(rule.get("verbs"));
        let names = strings(rule.get("resourceNames"));
        for group in strings(rule.get("apiGroups")) {
            for resource in strings(rule.get("resources")) {
                let names: Vec<Vec<String>> =
                    if names.is_empty() { vec![Vec::new()] } else { names.iter().map(|n| vec![n.clone()]).collect() };
                for names in names {
                    let (resource, group) = (resource.clone(), group.clone());
                    add(Rule { resource, group, urls: Vec::new(), names, verbs: verbs.clone() });
                }
            }
        }
        for url in strings(rule.get("nonResourceURLs")) {
            for verb in &verbs {
                let (resource, group) = (String::new(), String::new());
                let (urls, verbs) = (vec![url.clone()], vec![verb.clone()]);
                add(Rule { resource, group, urls, names: Vec::new(), verbs });
            }
        }
    }
    out.sort_by_key(sort_key);
    out
}

/// The text that upstream compares: the rule in the notation of its Go type.
fn sort_key(rule: &Rule) -> String {
    let list = |items: &[String]| items.join(" ");
    format!(
        "&PolicyRule{{Verbs:[{}],APIGroups:[{}],Resources:[{}],ResourceNames:[{}],NonResourceURLs:[{}],}}",
        list(&rule.verbs),
        rule.group,
        rule.resource,
        list(&rule.names),
        list(&rule.urls)
    )
}

#[cfg(test)]
mod tests {
    use super::qualified;

    #[test]
    fn the_group_stands_between_resource_and_subresource() {
        assert_eq!(qualified("deployments/scale", "apps"), "deployments.apps/scale");
        assert_eq!(qualified("pods/log", ""), "pods/log");
        assert_eq!(qualified("*", "*"), "*.*");
    }
}
