//! Which API versions are served: the defaults of the table, changed by `--runtime-config`.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/server/{resourceconfig, options/api_enablement.go}

use std::collections::BTreeMap;

use apimachinery::resources::{self, GroupInfo, ResourceInfo};

/// Stability of a version, by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stability {
    Ga,
    Beta,
    Alpha,
}

/// The served API versions.
#[derive(Clone, Debug, Default)]
pub struct Enabled {
    /// `group/version` (or the version of the core group) to on or off.
    versions: BTreeMap<String, bool>,
    /// `api/all`, `api/ga`, `api/beta`, `api/alpha`.
    classes: BTreeMap<String, bool>,
}

impl Enabled {
    /// Reads the pairs of `--runtime-config`.
    ///
    /// # Errors
    /// Upstream's message about values, unknown groups, or nothing left to serve.
    pub fn from_runtime_config<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut out = Self::default();
        for (key, value) in pairs {
            let on = match value {
                "" | "true" | "1" | "t" | "T" | "TRUE" | "True" => true,
                "false" | "0" | "f" | "F" | "FALSE" | "False" => false,
                other => {
                    return Err(format!("invalid value {key}={other}"));
                }
            };
            let into = if key.starts_with("api/") && key != "api/v1" { &mut out.classes } else { &mut out.versions };
            into.insert(key.trim_start_matches("apis/").to_owned(), on);
        }
        if out.versions.is_empty() && out.classes.len() == 1 && out.classes.get("api/all") == Some(&false) {
            return Err("invalid runtime-config with only api/all=false".to_owned());
        }
        out.check_groups()?;
        Ok(out)
    }

    /// True if the version is served at all.
    pub fn has_version(&self, group: &str, version: &str) -> bool {
        resources::group(group).is_some_and(|g| g.versions.contains(&version))
            && resources::all().iter().any(|r| r.group == group && self.serves(r, version))
    }

    /// True if this resource is served in this version.
    pub fn serves(&self, info: &ResourceInfo, version: &str) -> bool {
        if !info.versions.contains(&version) {
            return false;
        }
        let default = info.default_versions.contains(&version);
        let key = info.api_version(version);
        if let Some(on) = self.versions.get(&key) {
            return *on;
        }
        let class = match stability(version) {
            Stability::Ga => "api/ga",
            Stability::Beta => "api/beta",
            Stability::Alpha => "api/alpha",
        };
        self.classes.get(class).or_else(|| self.classes.get("api/all")).copied().unwrap_or(default)
    }

    /// Groups with anything to serve, in the order of `/apis`.
    pub fn groups(&self) -> impl Iterator<Item = &'static GroupInfo> {
        resources::groups().iter().filter(|g| g.versions.iter().any(|v| self.has_version(g.name, v)))
    }

    /// Served versions of a group, in the order of discovery.
    pub fn versions<'a>(&'a self, group: &'a GroupInfo) -> impl Iterator<Item = &'static str> + 'a {
        group.versions.iter().copied().filter(|v| self.has_version(group.name, v))
    }

    /// Served resources of a version.
    pub fn resources<'a>(
        &'a self,
        group: &'a str,
        version: &'a str,
    ) -> impl Iterator<Item = &'static ResourceInfo> + 'a {
        resources::all().iter().filter(move |r| r.group == group && self.serves(r, version))
    }

    fn check_groups(&self) -> Result<(), String> {
        let group = |key: &str| key.split_once('/').map_or("", |(group, _)| group).to_owned();
        let is_unknown = |key: &&str| resources::group(&group(key)).is_none() && group(key) != "api";
        let unknown: Vec<&str> = self.versions.keys().map(String::as_str).filter(is_unknown).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(format!("unknown api groups {}", unknown.join(",")))
    }
}

fn stability(version: &str) -> Stability {
    if version.contains("alpha") {
        Stability::Alpha
    } else if version.contains("beta") {
        Stability::Beta
    } else {
        Stability::Ga
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_config_switches_versions() {
        let on = Enabled::from_runtime_config([("autoscaling/v1", "false")]).unwrap();
        assert!(!on.has_version("autoscaling", "v1"));
        assert!(on.has_version("autoscaling", "v2"));
        assert!(Enabled::from_runtime_config([("none/v1", "true")]).is_err());
        assert!(Enabled::from_runtime_config([("api/all", "false")]).is_err());
    }
}
