//! What is allowed in a pod spec, but is hardly meant.
//! upstream: pkg/api/pod/warnings.go

use std::collections::{HashMap, HashSet};

use apimachinery::field::Path;
use apimachinery::names;
use apimachinery::quote::quote;
use apimachinery::value::Cursor;

use super::{all_containers, quantity_of};

/// Labels of nodes that have others in their place.
const DEPRECATED_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

const DEPRECATED_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

const DEPRECATED_VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// The message about a label of nodes, if it is deprecated.
pub fn deprecated_label(label: &str) -> Option<&'static str> {
    DEPRECATED_LABELS.iter().find(|(old, _)| *old == label).map(|(_, message)| *message)
}

/// Warnings about a term of a node selector.
/// upstream: pkg/api/node/util.go: GetWarningsForNodeSelectorTerm
pub fn node_selector_term(term: Cursor<'_>, check_values: bool) -> Vec<String> {
    let mut out = Warnings(Vec::new());
    out.node_term(term, check_values);
    out.0
}

/// Warnings about a pod.
pub fn of_pod(pod: Cursor<'_>) -> Vec<String> {
    all(pod, false)
}

/// Warnings about a template; those about fields that were there before as well.
pub fn of_template(template: Cursor<'_>, _old: Cursor<'_>) -> Vec<String> {
    if template.exists() { all(template, true) } else { Vec::new() }
}

fn all(holder: Cursor<'_>, is_template: bool) -> Vec<String> {
    let (meta, spec) = (holder.field("metadata"), holder.field("spec"));
    let mut out = Warnings(Vec::new());
    out.labels(spec);
    for (annotation, message) in DEPRECATED_ANNOTATIONS {
        if meta.field("annotations").field(annotation).exists() {
            out.add(meta.field("annotations").key(annotation), message);
        }
    }
    out.volumes(spec);
    out.repeated(spec.field("hostAliases"), "ip");
    out.repeated(spec.field("imagePullSecrets"), "name");
    for name in spec.field("imagePullSecrets").list().map(|s| s.field("name")).filter(|name| name.is_empty()) {
        out.add(name, "invalid empty name \"\"");
    }
    out.fractions(spec.field("overhead"));
    out.containers(meta, spec, is_template);
    out.ports(spec);
    let grace = spec.field("terminationGracePeriodSeconds");
    if grace.i64() < 0 {
        out.add(grace, "must be >= 0; negative values are invalid and will be treated as 1");
    }
    for kind in ["podAffinity", "podAntiAffinity"].map(|kind| spec.field("affinity").field(kind)) {
        let required = kind.field("requiredDuringSchedulingIgnoredDuringExecution").list();
        let preferred = kind.field("preferredDuringSchedulingIgnoredDuringExecution").list();
        for term in required.chain(preferred.map(|term| term.field("podAffinityTerm"))) {
            out.selector(term);
        }
    }
    let addresses = spec.field("dnsConfig").field("nameservers").list();
    for address in addresses.chain(spec.field("hostAliases").list().map(|alias| alias.field("ip"))) {
        out.0.extend(names::ip_warnings(&address.path(), address.str()));
    }
    out.0
}

struct Warnings(Vec<String>);

impl Warnings {
    fn add(&mut self, place: impl Into<Path>, message: impl AsRef<str>) {
        self.0.push(format!("{}: {}", place.into(), message.as_ref()));
    }

    fn selector(&mut self, holder: Cursor<'_>) {
        if !holder.field("labelSelector").exists() {
            self.add(holder.field("labelSelector"), NO_SELECTOR);
        }
    }

    /// Deprecated labels of nodes.
    fn labels(&mut self, spec: Cursor<'_>) {
        let selector = spec.field("nodeSelector");
        for (label, _) in selector.map() {
            if let Some(message) = deprecated_label(label) {
                self.add(selector.key(label), message);
            }
        }
        let affinity = spec.field("affinity").field("nodeAffinity");
        let required = affinity.field("requiredDuringSchedulingIgnoredDuringExecution").field("nodeSelectorTerms");
        required.list().for_each(|term| self.node_term(term, false));
        for term in affinity.field("preferredDuringSchedulingIgnoredDuringExecution").list() {
            self.node_term(term.field("preference"), true);
        }
        for constraint in spec.field("topologySpreadConstraints").list() {
            self.label(constraint.field("topologyKey"));
            self.selector(constraint);
        }
    }

    fn label(&mut self, place: Cursor<'_>) {
        if let Some(message) = deprecated_label(place.str()) {
            self.add(place, format!("{} is {message}", place.str()));
        }
    }

    fn node_term(&mut self, term: Cursor<'_>, check_values: bool) {
        for expression in term.field("matchExpressions").list() {
            self.label(expression.field("key"));
            for value in expression.field("values").list().filter(|_| check_values) {
                for message in names::label_value(value.str()) {
                    self.add(value, format!("{} is invalid, {message}", value.str()));
                }
            }
        }
    }

    fn volumes(&mut self, spec: Cursor<'_>) {
        for volume in spec.field("volumes").list() {
            for (field, shown, message) in DEPRECATED_VOLUMES {
                if volume.field(field).exists() {
                    self.add(volume.field(shown), message);
                }
            }
            let resources = volume.field("ephemeral").field("volumeClaimTemplate").field("spec").field("resources");
            for list in ["requests", "limits"].map(|list| resources.field(list)) {
                self.fraction(list, "storage");
            }
        }
        for volume in spec.field("volumes").list() {
            self.overlaps(volume);
        }
    }

    /// Entries of a list that say the same in a field.
    fn repeated(&mut self, list: Cursor<'_>, field: &'static str) {
        let mut seen = HashSet::new();
        for place in list.list().map(|entry| entry.field(field)) {
            if !seen.insert(place.str()) {
                self.add(place, format!("duplicate {field} {}", quote(place.str())));
            }
        }
    }

    /// Files of one volume that would be in each other's place.
    fn overlaps(&mut self, volume: Cursor<'_>) {
        let name = quote(volume.field("name").str());
        let warn = |kind: &str, what: String| format!("volume {name} ({kind}): overlapping paths: {what}");
        let named = |kind: &str, source: Cursor<'_>, field: &'static str| {
            format!("{kind} {}", quote(source.field(field).str()))
        };
        for (field, kind, name) in
            [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"), ("downwardAPI", "DownwardAPI", "")]
        {
            let source = volume.field(field);
            let kind = if name.is_empty() { kind.to_owned() } else { named(kind, source, name) };
            let found = collisions(paths(source.field("items"), ""), &mut Vec::new());
            self.0.extend(found.into_iter().map(|what| warn(&kind, what)));
        }
        let mut seen = Vec::new();
        for source in volume.field("projected").field("sources").list() {
            if source.map().all(|(_, kind)| !kind.exists()) {
                self.0.push(format!("volume {name} (Projected) has no sources provided"));
                continue;
            }
            let (map, secret, token) =
                (source.field("configMap"), source.field("secret"), source.field("serviceAccountToken"));
            let (bundle, certificate) = (source.field("clusterTrustBundle"), source.field("podCertificate"));
            let of = |place: Cursor<'_>, kind: &str| (place.str().to_owned(), kind.to_owned());
            let mut all = paths(map.field("items"), &named("ConfigMap", map, "name"));
            all.extend(paths(secret.field("items"), &named("Secret", secret, "name")));
            all.extend(paths(source.field("downwardAPI").field("items"), "DownwardAPI"));
            all.extend(token.exists().then(|| of(token.field("path"), "ServiceAccountToken")));
            let bundle_name = if bundle.field("name").exists() { "name" } else { "signerName" };
            all.extend(
                bundle.exists().then(|| of(bundle.field("path"), &named("ClusterTrustBundle", bundle, bundle_name))),
            );
            for (field, kind) in
                [("certificateChainPath", "chain"), ("keyPath", "key"), ("credentialBundlePath", "credential bundle")]
            {
                let path = certificate.field(field);
                all.extend((!path.is_empty()).then(|| of(path, &format!("PodCertificate {kind}"))));
            }
            let found = collisions(all, &mut seen);
            self.0.extend(found.into_iter().map(|what| warn("Projected", what)));
        }
    }

    /// Parts of bytes.
    fn fraction(&mut self, list: Cursor<'_>, name: &'static str) {
        let quantity = quantity_of(list.field(name));
        if quantity.milli_value() % 1000 != 0 {
            let value = quote(&quantity.to_string());
            self.add(list.key(name), format!("fractional byte value {value} is invalid, must be an integer"));
        }
    }

    fn fractions(&mut self, list: Cursor<'_>) {
        ["memory", "ephemeral-storage"].into_iter().for_each(|name| self.fraction(list, name));
    }

    fn containers(&mut self, meta: Cursor<'_>, spec: Cursor<'_>, is_template: bool) {
        const SECCOMP: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
        const APP_ARMOR: &str = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
        let annotations = meta.field("annotations");
        let mut annotated = |holder: Cursor<'_>, field: &'static str, key: &str, message: &str| {
            if annotations.value().has(key) && !holder.field("securityContext").field(field).exists() {
                self.add(annotations.path().key(key), message);
            }
        };
        annotated(spec, "seccompProfile", "seccomp.security.alpha.kubernetes.io/pod", SECCOMP);
        for container in all_containers(spec) {
            let name = container.field("name").str();
            let key = format!("container.seccomp.security.alpha.kubernetes.io/{name}");
            annotated(container, "seccompProfile", &key, SECCOMP);
            let key = format!("container.apparmor.security.beta.kubernetes.io/{name}");
            let of_pod = spec.field("securityContext").field("appArmorProfile");
            let same = of_pod.exists() && super::annotations::app_armor_agrees(of_pod, annotations.value().get(&key));
            if is_template && !same {
                annotated(container, "appArmorProfile", &key, APP_ARMOR);
            }
        }
        for container in all_containers(spec) {
            let resources = container.field("resources");
            for name in ["memory", "ephemeral-storage"] {
                ["limits", "requests"].into_iter().for_each(|list| self.fraction(resources.field(list), name));
            }
            let mut seen = HashSet::new();
            for variable in container.field("env").list() {
                let (name, value) = (variable.field("name").str(), variable.field("value").str());
                let reference = format!("$({name})");
                let hides = variable.field("valueFrom").exists() || value == reference || !value.contains(&reference);
                if !seen.insert(name) && hides {
                    let name = quote(name);
                    let message = format!("hides previous definition of {name}, which may be dropped when using apply");
                    self.add(variable, message);
                }
            }
        }
    }

    fn ports(&mut self, spec: Cursor<'_>) {
        let ports: Vec<Cursor<'_>> = all_containers(spec).flat_map(|c| c.field("ports").list()).collect();
        let host = |port: Cursor<'_>| (port.field("hostIP").str().to_owned(), port.field("hostPort").i64());
        for (index, port) in ports.iter().enumerate() {
            let (address, number) = host(*port);
            let (own, protocol) = (port.field("containerPort").i64(), port.field("protocol").str());
            if !address.is_empty() && number == 0 {
                let name = port.field("name").str();
                let shown =
                    format!("{{Name:{name} HostPort:0 ContainerPort:{own} Protocol:{protocol} HostIP:{address}}}");
                self.add(*port, format!("hostIP set without hostPort: {shown}"));
            }
            let same = |other: &&Cursor<'_>| {
                other.field("containerPort").i64() == own && other.field("protocol").str() == protocol
            };
            for other in ports[..index].iter().filter(same) {
                let (other_address, other_number) = host(*other);
                let what = if address == other_address && number == other_number {
                    "duplicate"
                } else if number == 0 || other_number == 0 {
                    "overlapping"
                } else if number == other_number && address.is_empty() != other_address.is_empty() {
                    "dangerously ambiguous"
                } else {
                    continue;
                };
                self.add(*port, format!("{what} port definition with {}", other.path()));
            }
        }
        let mut named: HashMap<&str, Path> = HashMap::new();
        for port in ports.iter().filter(|port| !port.field("name").is_empty()) {
            let name = port.field("name").str();
            match named.get(name) {
                None => drop(named.insert(name, port.path())),
                Some(other) => {
                    let shown = quote(name);
                    self.0.push(format!("{}: duplicate port name {shown} with {other}, services and probes that select ports by name will use {other}", port.path()));
                }
            }
        }
    }
}

/// Paths, and what they come from.
type Paths = Vec<(String, String)>;

fn paths(items: Cursor<'_>, source: &str) -> Paths {
    items.list().map(|item| (item.field("path").str().to_owned(), source.to_owned())).collect()
}

/// Pairs of paths where one is or contains the other.
fn collisions(new: Paths, seen: &mut Paths) -> Vec<String> {
    let shown = |(path, source): &(String, String)| match source.is_empty() {
        true => quote(path),
        false => format!("{} ({source})", quote(path)),
    };
    let within = |a: &str, b: &str| format!("{a}/").starts_with(&format!("{b}/"));
    let mut found = Vec::new();
    for (path, source) in new {
        let entry = (path.trim_end_matches('/').to_owned(), source);
        for other in seen.iter().filter(|other| !other.0.is_empty() && !entry.0.is_empty()) {
            if within(&other.0, &entry.0) || within(&entry.0, &other.0) {
                found.push(format!("{} with {}", shown(&entry), shown(other)));
            }
        }
        seen.push(entry);
    }
    found
}
