//! Turns configuration into profiles: which plugin runs at which point, in which order, with which weight.
//! upstream: apis/config/v1/default_plugins.go (mergePluginSet), framework/runtime/framework.go (expandMultiPointPlugins)

use std::collections::{HashMap, HashSet};

use apimachinery::field::{Errors, Path};
use component_base::config::DecodeError;

use crate::framework::{Extensions, Handle, Interest, Point, Profile, Weighted};
use crate::plugins::{BuildError, registry};

use super::{KubeSchedulerConfiguration, PluginArgs, PluginRef, PluginSet, Plugins, ProfileConfig};

/// Configuration that does not make profiles.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// A plugin that does not exist.
    #[error("{0}Plugin {1:?} does not exist")]
    Unknown(&'static str, String),
    /// A plugin at a point that it does not implement.
    #[error("plugin {plugin:?} does not extend {point:?}Plugin plugin")]
    NotAtPoint {
        /// The plugin.
        plugin: String,
        /// The point.
        point: Point,
    },
    /// Not exactly one queue sort plugin.
    #[error("only one queue sort plugin required for profile with scheduler name {1:?}, but got {0}")]
    QueueSort(usize, String),
    /// No bind plugin.
    #[error("at least one bind plugin is needed for profile {0:?}")]
    NoBind(String),
    /// A score plugin of weight 0.
    #[error("score plugin {0:?} is not configured with weight")]
    Weight(String),
    /// Arguments that a plugin does not take.
    #[error("initializing plugin {0:?}")]
    Args(String, #[source] ArgsError),
    /// A profile that cannot be built.
    #[error("creating profile for scheduler name {0}")]
    Profile(String, #[source] Box<ProfileError>),
    /// A plugin that refuses to be built.
    #[error("a plugin could not be built")]
    Build(#[source] BuildError),
}

/// Why a plugin does not take its arguments.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// They cannot be read.
    #[error(transparent)]
    Type(#[from] DecodeError),
    /// They are not acceptable.
    #[error(transparent)]
    Invalid(#[from] Errors),
}

/// Builds all profiles.
///
/// # Errors
/// See [`ProfileError`].
pub fn build_profiles(config: &KubeSchedulerConfiguration, handle: &Handle) -> Result<Vec<Profile>, ProfileError> {
    let named = |profile: &ProfileConfig, error| {
        ProfileError::Profile(profile.scheduler_name.clone().unwrap_or_default(), Box::new(error))
    };
    config.profiles.iter().map(|profile| build(profile, handle).map_err(|error| named(profile, error))).collect()
}

fn build(config: &ProfileConfig, handle: &Handle) -> Result<Profile, ProfileError> {
    let mut args = PluginArgs::default();
    for given in &config.plugin_config {
        let refused = |error| ProfileError::Args(given.name.clone(), error);
        args.set(&given.name, &given.args).map_err(|error| refused(error.into()))?;
        let problems = args.problems(&given.name, &Path::default());
        if !problems.is_empty() {
            return Err(refused(problems.into()));
        }
    }
    let multi_point = merged(&default_set(), &config.plugins.multi_point);
    let names = named(&config.plugins, &multi_point);
    let mut built: HashMap<&'static str, Extensions> = HashMap::new();
    for entry in registry().into_iter().filter(|e| names.contains(e.name)) {
        let mut extensions = Extensions::default();
        (entry.build)(&args, handle).map_err(ProfileError::Build)?.register(&mut extensions);
        built.insert(entry.name, extensions);
    }
    if let Some(unknown) = names.iter().find(|name| !built.contains_key(name.as_str())) {
        return Err(ProfileError::Unknown(point_of(&config.plugins, unknown), unknown.clone()));
    }
    let composer = Composer { built: &built, multi_point: &multi_point };
    let mut profile = composer.compose(config)?;
    if profile.bind.is_empty() {
        return Err(ProfileError::NoBind(profile.name));
    }
    let enqueue = multi_point.iter().map(|p| p.name.as_str()).chain(names.iter().map(String::as_str));
    let mut seen = HashSet::new();
    let active: HashSet<&str> = profile_plugins(&profile);
    profile.interests = enqueue
        .filter(|name| seen.insert(*name) && active.contains(name))
        .filter_map(|name| built[name].enqueue.clone())
        .map(|plugin| Interest { events: plugin.events(), plugin })
        .collect();
    Ok(profile)
}

/// Where a plugin is named first, as upstream writes it.
fn point_of(plugins: &Plugins, name: &str) -> &'static str {
    let at = plugins.by_point().into_iter().find(|(_, set)| set.enabled.iter().any(|plugin| plugin.name == name));
    match at.map(|(point, _)| point) {
        Some("preEnqueue") => "PreEnqueue",
        Some("queueSort") => "QueueSort",
        Some("preFilter") => "PreFilter",
        Some("filter") => "Filter",
        Some("postFilter") => "PostFilter",
        Some("preScore") => "PreScore",
        Some("score") => "Score",
        Some("reserve") => "Reserve",
        Some("permit") => "Permit",
        Some("preBind") => "PreBind",
        Some("bind") => "Bind",
        Some("postBind") => "PostBind",
        _ => "MultiPoint",
    }
}

/// Names of plugins that run at some point.
fn profile_plugins(profile: &Profile) -> HashSet<&'static str> {
    let mut names: HashSet<&'static str> = HashSet::new();
    names.extend(profile.pre_enqueue.iter().map(|p| p.name()));
    names.extend(profile.pre_filter.iter().map(|p| p.name()));
    names.extend(profile.filter.iter().map(|p| p.name()));
    names.extend(profile.post_filter.iter().map(|p| p.name()));
    names.extend(profile.reserve.iter().map(|p| p.name()));
    names.extend(profile.permit.iter().map(|p| p.name()));
    names
}

fn default_set() -> Vec<PluginRef> {
    let weight = |w: i32| (w > 0).then_some(w);
    registry()
        .iter()
        .filter(|e| e.default)
        .map(|e| PluginRef { name: e.name.into(), weight: weight(e.weight) })
        .collect()
}

/// Defaults less the disabled ones, reconfigured ones in their place, then the additional ones.
fn merged(defaults: &[PluginRef], custom: &PluginSet) -> Vec<PluginRef> {
    let disabled = |name: &str| custom.disabled.iter().any(|d| d.name == name || d.name == "*");
    let custom_of = |name: &str| custom.enabled.iter().find(|e| e.name == name);
    let mut result: Vec<PluginRef> =
        defaults.iter().filter(|d| !disabled(&d.name)).map(|d| custom_of(&d.name).unwrap_or(d).clone()).collect();
    for added in &custom.enabled {
        if !result.iter().any(|known| known.name == added.name) {
            result.push(added.clone());
        }
    }
    result
}

fn sets(plugins: &Plugins) -> [(Point, &PluginSet); 12] {
    [
        (Point::PreEnqueue, &plugins.pre_enqueue),
        (Point::QueueSort, &plugins.queue_sort),
        (Point::PreFilter, &plugins.pre_filter),
        (Point::Filter, &plugins.filter),
        (Point::PostFilter, &plugins.post_filter),
        (Point::PreScore, &plugins.pre_score),
        (Point::Score, &plugins.score),
        (Point::Reserve, &plugins.reserve),
        (Point::Permit, &plugins.permit),
        (Point::PreBind, &plugins.pre_bind),
        (Point::Bind, &plugins.bind),
        (Point::PostBind, &plugins.post_bind),
    ]
}

fn named(plugins: &Plugins, multi_point: &[PluginRef]) -> HashSet<String> {
    let sets = sets(plugins);
    let specific = sets.iter().flat_map(|(_, set)| &set.enabled);
    specific.chain(multi_point).map(|p| p.name.clone()).collect()
}

struct Composer<'a> {
    built: &'a HashMap<&'static str, Extensions>,
    multi_point: &'a [PluginRef],
}

impl Composer<'_> {
    /// The plugins of a point with their weights: those named at the point that also come from multiPoint first, then the
    /// rest of multiPoint, then the others named at the point.
    fn list<T: Clone>(
        &self,
        point: Point,
        set: &PluginSet,
        pick: impl Fn(&Extensions) -> Option<T>,
    ) -> Result<Vec<(T, Option<i32>, String)>, ProfileError> {
        let disabled = |name: &str| set.disabled.iter().any(|d| d.name == name || d.name == "*");
        let from_multi: Vec<&PluginRef> = self
            .multi_point
            .iter()
            .filter(|p| pick(&self.built[p.name.as_str()]).is_some() && !disabled(&p.name))
            .collect();
        let specific = |p: &&PluginRef| set.enabled.iter().any(|e| e.name == p.name);
        let multi = |e: &&PluginRef| from_multi.iter().any(|p| p.name == e.name);
        let first = set.enabled.iter().filter(multi);
        let middle = from_multi.iter().copied().filter(|p| !specific(p));
        let last = set.enabled.iter().filter(|e| !multi(e));
        let ordered: Vec<&PluginRef> = first.chain(middle).chain(last).collect();
        let resolve = |plugin: &PluginRef| {
            let found = self.built.get(plugin.name.as_str()).and_then(&pick);
            let found = found.ok_or_else(|| ProfileError::NotAtPoint { plugin: plugin.name.clone(), point });
            found.map(|found| (found, plugin.weight, plugin.name.clone()))
        };
        ordered.into_iter().map(resolve).collect()
    }

    fn compose(&self, config: &ProfileConfig) -> Result<Profile, ProfileError> {
        let p = &config.plugins;
        fn plain<T>(list: Vec<(T, Option<i32>, String)>) -> Vec<T> {
            list.into_iter().map(|(plugin, ..)| plugin).collect()
        }
        let name = config.scheduler_name.clone().unwrap_or_default();
        let mut queue_sort = plain(self.list(Point::QueueSort, &p.queue_sort, |e| e.queue_sort.clone())?);
        if queue_sort.len() != 1 {
            return Err(ProfileError::QueueSort(queue_sort.len(), name));
        }
        let score = self.list(Point::Score, &p.score, |e| e.score.clone())?;
        let mut pre_score = plain(self.list(Point::PreScore, &p.pre_score, |e| e.pre_score.clone())?);
        for (_, _, scoring) in &score {
            // Scoring needs the plugin's own PreScore, also when only its Score was switched on.
            let own = self.built[scoring.as_str()].pre_score.clone();
            pre_score.extend(own.filter(|own| !pre_score.iter().any(|known| known.name() == own.name())));
        }
        let weighted = |(plugin, weight, name): (_, Option<i32>, String)| match weight.unwrap_or(1) {
            0 => Err(ProfileError::Weight(name)),
            weight => Ok(Weighted { plugin, weight: i64::from(weight) }),
        };
        Ok(Profile {
            name,
            percentage_of_nodes_to_score: config.percentage_of_nodes_to_score,
            queue_sort: queue_sort.pop(),
            pre_enqueue: plain(self.list(Point::PreEnqueue, &p.pre_enqueue, |e| e.pre_enqueue.clone())?),
            interests: Vec::new(),
            pre_filter: plain(self.list(Point::PreFilter, &p.pre_filter, |e| e.pre_filter.clone())?),
            filter: plain(self.list(Point::Filter, &p.filter, |e| e.filter.clone())?),
            post_filter: plain(self.list(Point::PostFilter, &p.post_filter, |e| e.post_filter.clone())?),
            pre_score,
            score: score.into_iter().map(weighted).collect::<Result<_, _>>()?,
            reserve: plain(self.list(Point::Reserve, &p.reserve, |e| e.reserve.clone())?),
            permit: plain(self.list(Point::Permit, &p.permit, |e| e.permit.clone())?),
            pre_bind: plain(self.list(Point::PreBind, &p.pre_bind, |e| e.pre_bind.clone())?),
            bind: plain(self.list(Point::Bind, &p.bind, |e| e.bind.clone())?),
            post_bind: plain(self.list(Point::PostBind, &p.post_bind, |e| e.post_bind.clone())?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FixedListers, handle};

    fn profile(yaml: &str) -> Result<Profile, ProfileError> {
        let mut config: ProfileConfig = serde_saphyr::from_str(yaml).unwrap();
        config.scheduler_name.get_or_insert_with(|| "x".into());
        build(&config, &handle(FixedListers::default()))
    }

    fn scores(profile: &Profile) -> Vec<(&'static str, i64)> {
        profile.score.iter().map(|w| (w.plugin.name(), w.weight)).collect()
    }

    #[test]
    fn defaults_are_upstreams() {
        let profile = profile("{}").unwrap();
        let score = scores(&profile);
        assert!(score.contains(&("TaintToleration", 3)) && score.contains(&("NodeAffinity", 2)));
        assert!(score.contains(&("NodeResourcesFit", 1)) && score.contains(&("PodTopologySpread", 2)));
        let filters: Vec<_> = profile.filter.iter().map(|p| p.name()).collect();
        assert_eq!(filters[..4], ["NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity"]);
    }

    #[test]
    fn points_override_multi_point() {
        let p = profile(
            "plugins:\n  multiPoint: {disabled: [{name: ImageLocality}]}\n  score:\n    disabled: [{name: NodeAffinity}]\n    \
             enabled: [{name: TaintToleration, weight: 7}]\n",
        )
        .unwrap();
        assert_eq!(scores(&p)[0], ("TaintToleration", 7));
        assert!(scores(&p).iter().all(|(name, _)| !["NodeAffinity", "ImageLocality"].contains(name)));
        assert!(p.filter.iter().any(|f| f.name() == "NodeAffinity"));
        let only = profile("plugins: {score: {disabled: [{name: '*'}], enabled: [{name: ImageLocality, weight: 1}]}}")
            .unwrap();
        assert_eq!(scores(&only), [("ImageLocality", 1)]);
    }

    #[test]
    fn bad_configuration_is_named() {
        let cases = [
            ("plugins: {multiPoint: {enabled: [{name: Nope}]}}", "MultiPointPlugin \"Nope\" does not exist"),
            (
                "plugins: {filter: {enabled: [{name: ImageLocality}]}}",
                "plugin \"ImageLocality\" does not extend FilterPlugin plugin",
            ),
            ("plugins: {bind: {disabled: [{name: '*'}]}}", "at least one bind plugin is needed for profile \"x\""),
            (
                "pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]",
                "initializing plugin \"InterPodAffinity\": hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]",
            ),
        ];
        for (yaml, expected) in cases {
            assert_eq!(
                profile(yaml).err().map(|e| component_base::Chain(&e).to_string()).as_deref(),
                Some(expected),
                "{yaml}"
            );
        }
    }
}
