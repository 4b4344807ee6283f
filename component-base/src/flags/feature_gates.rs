//! Feature gates: the table of all gates with stage, default and lock, and `--feature-gates`.
//!
//! Upstream: component-base/featuregate.

use std::collections::BTreeMap;

use super::value::parse_bool;

const TABLE: &str = include_str!("feature_gates.tsv");

/// Maturity of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Off unless asked for.
    Alpha,
    /// Mostly on.
    Beta,
    /// On for good.
    Ga,
    /// On its way out.
    Deprecated,
}

/// Why gates are refused, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// No such gate.
    #[error("unrecognized feature gate: {0}")]
    Unknown(String),
    /// No value.
    #[error("missing bool value for {0}")]
    MissingValue(String),
    /// Not a bool.
    #[error("invalid value of {gate}={value}, err: {reason}")]
    Invalid {
        /// The gate.
        gate: String,
        /// What was given.
        value: String,
        /// Why not.
        reason: String,
    },
    /// Cannot be changed.
    #[error("cannot set feature gate {gate} to {value}, feature is locked to {locked}")]
    Locked {
        /// The gate.
        gate: String,
        /// What was given.
        value: bool,
        /// What it is.
        locked: bool,
    },
}

#[derive(Debug, Clone)]
struct Gate {
    stage: Stage,
    locked: bool,
    default: bool,
    enabled: bool,
    explicit: bool,
}

/// The state of all gates.
#[derive(Debug, Clone)]
pub struct FeatureGates {
    gates: BTreeMap<&'static str, Gate>,
}

impl FeatureGates {
    /// Every gate at its default.
    #[must_use]
    pub fn defaults() -> Self {
        let gates = TABLE.lines().skip(1).filter_map(parse_line).collect();
        Self { gates }
    }

    /// Whether the gate is on; false for a gate that does not exist.
    #[must_use]
    pub fn enabled(&self, gate: &str) -> bool {
        self.gates.get(gate).is_some_and(|gate| gate.enabled)
    }

    /// All gates: name, stage, on or off.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Stage, bool)> {
        self.gates.iter().map(|(name, gate)| (*name, gate.stage, gate.enabled))
    }

    /// Gates that were set and what they are, for the one log line at start.
    pub fn explicit(&self) -> impl Iterator<Item = (&'static str, bool)> {
        self.gates.iter().filter(|(_, gate)| gate.explicit).map(|(name, gate)| (*name, gate.enabled))
    }

    /// Sets gates from texts such as `A=true,B=false` or `kube:A=true`.
    ///
    /// # Errors
    /// See [`GateError`].
    pub fn set_texts(&mut self, texts: &[String]) -> Result<(), GateError> {
        let mut pairs = Vec::new();
        for pair in texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|pair| !pair.is_empty()) {
            let pair = pair.strip_prefix("kube:").unwrap_or(pair);
            let (gate, value) = pair.split_once('=').ok_or_else(|| GateError::MissingValue(pair.to_owned()))?;
            pairs.push((gate.trim(), value.trim()));
        }
        self.set(pairs.into_iter())
    }

    /// Sets gates. AllAlpha and AllBeta change the gates of their stage that are not named.
    ///
    /// # Errors
    /// See [`GateError`].
    pub fn set<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), GateError> {
        let mut groups = Vec::new();
        for (name, text) in pairs {
            let value = parse_bool(text).map_err(|error| GateError::Invalid {
                gate: name.to_owned(),
                value: text.to_owned(),
                reason: error.to_string(),
            })?;
            match name {
                "AllAlpha" => groups.push((Stage::Alpha, value)),
                "AllBeta" => groups.push((Stage::Beta, value)),
                _ => self.set_one(name, value)?,
            }
        }
        for (stage, value) in groups {
            for gate in self.gates.values_mut().filter(|gate| gate.stage == stage && !gate.explicit && !gate.locked) {
                gate.enabled = value;
            }
        }
        Ok(())
    }

    fn set_one(&mut self, name: &str, value: bool) -> Result<(), GateError> {
        let gate = self.gates.get_mut(name).ok_or_else(|| GateError::Unknown(name.to_owned()))?;
        if gate.locked && gate.default != value {
            return Err(GateError::Locked { gate: name.to_owned(), value, locked: gate.default });
        }
        gate.enabled = value;
        gate.explicit = true;
        Ok(())
    }
}

impl Default for FeatureGates {
    fn default() -> Self {
        Self::defaults()
    }
}

fn parse_line(line: &'static str) -> Option<(&'static str, Gate)> {
    let mut columns = line.split('\t');
    let (name, stage, default, locked) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
    let stage = match stage {
        "ALPHA" => Stage::Alpha,
        "BETA" => Stage::Beta,
        "GA" => Stage::Ga,
        _ => Stage::Deprecated,
    };
    let default = default.eq_ignore_ascii_case("true");
    Some((
        name,
        Gate { stage, locked: locked.eq_ignore_ascii_case("true"), default, enabled: default, explicit: false },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<FeatureGates, String> {
        let mut gates = FeatureGates::defaults();
        gates.set_texts(&[text.to_owned()]).map_err(|error| error.to_string())?;
        Ok(gates)
    }

    #[test]
    fn gates() {
        assert!(set("").expect("ok").enabled("APIResponseCompression"));
        assert!(set("AllAlpha=true").expect("ok").enabled("APIServingWithRoutine"));
        assert!(!set("AllAlpha=true,APIServingWithRoutine=false").expect("ok").enabled("APIServingWithRoutine"));
        assert!(!set("AllBeta=false").expect("ok").enabled("APIResponseCompression"));
        assert_eq!(set("Nope=true").expect_err("unknown"), "unrecognized feature gate: Nope");
        assert_eq!(
            set("APIServerTracing=false").expect_err("locked"),
            "cannot set feature gate APIServerTracing to false, feature is locked to true"
        );
        assert_eq!(set("APIServerTracing").expect_err("no value"), "missing bool value for APIServerTracing");
    }
}
