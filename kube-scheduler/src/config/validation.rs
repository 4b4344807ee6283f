//! What may not stand in a KubeSchedulerConfiguration. upstream: pkg/scheduler/apis/config/validation

use std::collections::{HashMap, HashSet};

use apimachinery::field::{Errors, Path};
use apimachinery::names::qualified_name;
use apimachinery::value::Value;
use component_base::flags::parse_duration;

use super::args::PluginArgs;
use super::file::{Extender, KubeSchedulerConfiguration, LeaderElection, PluginSet, ProfileConfig};

/// Plugins of earlier versions.
const REMOVED: [&str; 4] = ["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"];

/// Everything that is wrong, in upstream's order.
pub(super) fn validate(config: &KubeSchedulerConfiguration) -> Errors {
    let mut errors = Errors::new();
    let root = Path::root;
    if config.client_connection.burst < 0 {
        let burst = i64::from(config.client_connection.burst);
        errors.invalid(root("clientConnection").child("burst"), burst, "must be non-negative");
    }
    leader_election(&config.leader_election, &root("leaderElection"), &mut errors);
    if config.parallelism <= 0 {
        let detail = "should be an integer value greater than zero";
        errors.invalid(root("parallelism"), i64::from(config.parallelism), detail);
    }
    profiles(&config.profiles, &root("profiles"), &mut errors);
    percentage(Some(config.percentage_of_nodes_to_score), root("percentageOfNodesToScore"), &mut errors);
    let (first, longest) = (config.pod_initial_backoff_seconds, config.pod_max_backoff_seconds);
    if first <= 0 {
        errors.invalid(root("podInitialBackoffSeconds"), first, "must be greater than 0");
    }
    if longest < first {
        let detail = "must be greater than or equal to PodInitialBackoffSeconds";
        errors.invalid(root("podMaxBackoffSeconds"), longest, detail);
    }
    extenders(&config.extenders, &root("extenders"), &mut errors);
    errors
}

fn leader_election(election: &LeaderElection, path: &Path, errors: &mut Errors) {
    if !election.leader_elect {
        return;
    }
    let nanos = |text: &str| parse_duration(text).unwrap_or_default();
    for (name, text) in [
        ("leaseDuration", &election.lease_duration),
        ("renewDeadline", &election.renew_deadline),
        ("retryPeriod", &election.retry_period),
    ] {
        if nanos(text) <= 0 {
            errors.invalid(path.child(name), text.as_str(), "must be greater than zero");
        }
    }
    if nanos(&election.lease_duration) <= nanos(&election.renew_deadline) {
        let deadline = election.renew_deadline.as_str();
        errors.invalid(path.child("leaseDuration"), deadline, "must be greater than `RenewDeadline`");
    }
    for (name, text) in [
        ("resourceLock", &election.resource_lock),
        ("resourceNamespace", &election.resource_namespace),
        ("resourceName", &election.resource_name),
    ] {
        if text.is_empty() {
            errors.required(path.child(name), "");
        }
    }
    if election.resource_lock != "leases" {
        let detail = "resourceLock value must be \"leases\"";
        errors.invalid(path.child("resourceLock"), election.resource_lock.as_str(), detail);
    }
}

fn percentage(value: Option<i32>, path: Path, errors: &mut Errors) {
    if let Some(value) = value.filter(|value| !(0..=100).contains(value)) {
        errors.invalid(path, i64::from(value), "not in valid range [0-100]");
    }
}

fn profiles(profiles: &[ProfileConfig], path: &Path, errors: &mut Errors) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, profile) in profiles.iter().enumerate() {
        let path = path.index(index);
        let name = profile.scheduler_name.as_deref().unwrap_or_default();
        if name.is_empty() {
            errors.required(path.child("schedulerName"), "");
        }
        percentage(profile.percentage_of_nodes_to_score, path.child("percentageOfNodesToScore"), errors);
        plugin_sets(profile, &path.child("plugins"), errors);
        plugin_config(profile, &path.child("pluginConfig"), errors);
        if seen.insert(name, index).is_some() {
            // The first profile's path, which upstream prints as an empty object.
            errors.duplicate(path.child("schedulerName"), &Value::map());
        }
    }
    queue_sort(profiles, path, errors);
}

fn removed(name: &str, path: Path, errors: &mut Errors) -> bool {
    let is_removed = REMOVED.contains(&name);
    if is_removed {
        let version = super::FORMAT.versions[0];
        let detail = format!("was invalid in version {version:?} (KubeSchedulerConfiguration is version {version:?})");
        errors.invalid(path, name, detail);
    }
    is_removed
}

fn plugin_sets(profile: &ProfileConfig, path: &Path, errors: &mut Errors) {
    for (point, set) in profile.plugins.by_point() {
        for (index, plugin) in set.enabled.iter().enumerate() {
            removed(&plugin.name, path.child(point).child("enabled").index(index), errors);
        }
    }
}

fn plugin_config(profile: &ProfileConfig, path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, config) in profile.plugin_config.iter().enumerate() {
        let path = path.index(index);
        if !seen.insert(&config.name) {
            errors.duplicate(&path, config.name.as_str());
        }
        // Upstream looks at the arguments of NodeResourcesFit only when it builds the plugin.
        if removed(&config.name, path.clone(), errors) || config.name == "NodeResourcesFit" {
            continue;
        }
        let mut args = PluginArgs::default();
        if args.set(&config.name, &config.args).is_ok() {
            errors.extend(args.problems(&config.name, &path.child("args")));
        }
    }
}

/// One queue serves all profiles.
fn queue_sort(profiles: &[ProfileConfig], path: &Path, errors: &mut Errors) {
    let Some((first, others)) = profiles.split_first() else { return };
    let canon = &first.plugins.queue_sort;
    if canon.enabled.len() > 1 {
        let path = path.index(0).child("plugins").child("queueSort").child("Enabled");
        let count = i64::try_from(canon.enabled.len()).unwrap_or(i64::MAX);
        errors.invalid(path, count, "only one queue sort plugin can be enabled");
    }
    for (index, profile) in others.iter().enumerate().filter(|(_, profile)| profile.plugins.queue_sort != *canon) {
        let path = path.index(index + 1).child("plugins").child("queueSort");
        errors.invalid(path, &in_go(&profile.plugins.queue_sort), "must be the same for all profiles");
    }
}

/// A set as Go prints its internal form.
fn in_go(set: &PluginSet) -> Value {
    let list = |plugins: &[super::PluginRef]| {
        let shown = |plugin: &super::PluginRef| serde_json::json!({ "Name": plugin.name, "Weight": plugin.weight.unwrap_or_default() });
        if plugins.is_empty() { serde_json::Value::Null } else { plugins.iter().map(shown).collect() }
    };
    // Go writes Enabled first; keys here are sorted, which only matters where both are set.
    serde_json::json!({ "Enabled": list(&set.enabled), "Disabled": list(&set.disabled) }).into()
}

fn extenders(extenders: &[Extender], path: &Path, errors: &mut Errors) {
    let mut resources = HashSet::new();
    for (index, extender) in extenders.iter().enumerate() {
        let path = path.index(index);
        if !extender.prioritize_verb.is_empty() && extender.weight <= 0 {
            let detail = "must have a positive weight applied to it";
            errors.invalid(path.child("weight"), extender.weight, detail);
        }
        for (index, resource) in extender.managed_resources.iter().enumerate() {
            let path = path.child("managedResources").index(index).child("name");
            let name = resource.name.as_str();
            let malformed = qualified_name(name);
            for problem in &malformed {
                errors.invalid(&path, name, problem.as_str());
            }
            if malformed.is_empty() && !crate::model::is_extended_resource(name) {
                errors.invalid(&path, name, "is an invalid extended resource name");
            }
            if !resources.insert(name) {
                errors.invalid(&path, name, "duplicate extender managed resource name");
            }
        }
    }
    let binders = extenders.iter().filter(|extender| !extender.bind_verb.is_empty()).count();
    if binders > 1 {
        let found = format!("found {binders} extenders implementing bind");
        errors.invalid(path, found, "only one extender can implement bind");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_upstreams() {
        for (text, message) in [
            ("", ""),
            ("parallelism: -1", "parallelism: Invalid value: -1: should be an integer value greater than zero"),
            (
                "leaderElection: {leaseDuration: 1s, renewDeadline: 2s}",
                "leaderElection.leaseDuration: Invalid value: \"2s\": must be greater than `RenewDeadline`",
            ),
            (
                "leaderElection: {resourceLock: foo}",
                "leaderElection.resourceLock: Invalid value: \"foo\": resourceLock value must be \"leases\"",
            ),
            (
                "profiles: [{schedulerName: a}, {schedulerName: a, percentageOfNodesToScore: -1}, {}]",
                "[profiles[1].percentageOfNodesToScore: Invalid value: -1: not in valid range [0-100], profiles[1].schedulerName: Duplicate value: {}, profiles[2].schedulerName: Required value]",
            ),
            (
                "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]",
                "profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]",
            ),
            (
                "profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultingType: Foo, defaultConstraints: [{maxSkew: 0, topologyKey: \"\", whenUnsatisfiable: Foo}]}}]}]",
                "[profiles[0].pluginConfig[0].args.defaultingType: Unsupported value: \"Foo\": supported values: \"System\", \"List\", profiles[0].pluginConfig[0].args.defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf), profiles[0].pluginConfig[0].args.defaultConstraints[0].topologyKey: Required value: can not be empty, profiles[0].pluginConfig[0].args.defaultConstraints[0].whenUnsatisfiable: Unsupported value: \"Foo\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"]",
            ),
            (
                "profiles: [{pluginConfig: [{name: NodeName}, {name: NodeName}]}]",
                "profiles[0].pluginConfig[1]: Duplicate value: \"NodeName\"",
            ),
            (
                "extenders: [{prioritizeVerb: x}, {bindVerb: b, managedResources: [{name: foo}]}, {bindVerb: b}]",
                "[extenders[0].weight: Invalid value: 0: must have a positive weight applied to it, extenders[1].managedResources[0].name: Invalid value: \"foo\": is an invalid extended resource name, extenders: Invalid value: \"found 2 extenders implementing bind\": only one extender can implement bind]",
            ),
        ] {
            let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
            let config = super::super::file::parse(format!("{head}{text}").as_bytes()).unwrap();
            assert_eq!(validate(&config).to_string(), message, "{text}");
        }
    }

    #[test]
    fn arguments_are_read_strictly() {
        let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
        let text = format!(
            "{head}foo: bar\nprofiles: [{{foo: 1, pluginConfig: [{{name: NodeResourcesFit, args: {{kk: 1}}}}]}}]\n"
        );
        assert_eq!(
            super::super::file::parse(text.as_bytes()).err().unwrap().to_string(),
            "strict decoding error: unknown field \"foo\", unknown field \"profiles[0].foo\", decoding .profiles[0].pluginConfig[0]: strict decoding error: decoding args for plugin NodeResourcesFit: strict decoding error: unknown field \"kk\""
        );
    }
}
