//! Taints and tolerations. upstream: component-helpers/scheduling/corev1/helpers.go, api/core/v1/toleration.go

use serde::Deserialize;

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Effect {
    /// Running pods are evicted and new ones kept away.
    NoExecute,
    /// New pods are kept away.
    NoSchedule,
    /// New pods go elsewhere if they can.
    PreferNoSchedule,
}

/// A node's taint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Taint {
    /// Label-like key.
    pub key: Box<str>,
    /// May be empty.
    #[serde(default)]
    pub value: Box<str>,
    /// The effect.
    pub effect: Effect,
}

/// A pod's toleration. An absent effect tolerates every effect, an empty key with `exists` every taint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "RawToleration")]
pub struct Toleration {
    /// The key, or empty.
    pub key: Box<str>,
    /// The effect tolerated; `None` means all.
    pub effect: Option<Effect>,
    operator: Operator,
    value: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Exists,
    /// Alpha comparison operators and unknown ones: they tolerate nothing, as upstream with the gate off.
    Unsupported,
}

#[derive(Deserialize)]
struct RawToleration {
    #[serde(default)]
    key: Box<str>,
    #[serde(default)]
    operator: Box<str>,
    #[serde(default)]
    value: Box<str>,
    #[serde(default)]
    effect: Option<Box<str>>,
}

impl From<RawToleration> for Toleration {
    fn from(raw: RawToleration) -> Self {
        let mut operator = match &*raw.operator {
            "" | "Equal" => Operator::Equal,
            "Exists" => Operator::Exists,
            _ => Operator::Unsupported,
        };
        let effect = match raw.effect.as_deref() {
            None | Some("") => None,
            Some("NoExecute") => Some(Effect::NoExecute),
            Some("NoSchedule") => Some(Effect::NoSchedule),
            Some("PreferNoSchedule") => Some(Effect::PreferNoSchedule),
            Some(_) => {
                operator = Operator::Unsupported;
                None
            }
        };
        Self { key: raw.key, effect, operator, value: raw.value }
    }
}

impl Toleration {
    /// Whether this toleration covers the taint.
    pub fn covers(&self, taint: &Taint) -> bool {
        if self.effect.is_some_and(|effect| effect != taint.effect) {
            return false;
        }
        if !self.key.is_empty() && self.key != taint.key {
            return false;
        }
        match self.operator {
            Operator::Equal => self.value == taint.value,
            Operator::Exists => true,
            Operator::Unsupported => false,
        }
    }
}

/// Whether any toleration covers the taint.
pub fn tolerates<'a>(tolerations: impl IntoIterator<Item = &'a Toleration>, taint: &Taint) -> bool {
    tolerations.into_iter().any(|toleration| toleration.covers(taint))
}

/// The first taint that keeps new pods away (NoSchedule, NoExecute) and is not tolerated.
pub fn first_untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> Option<&'a Taint> {
    taints.iter().find(|taint| taint.effect != Effect::PreferNoSchedule && !tolerates(tolerations, taint))
}
