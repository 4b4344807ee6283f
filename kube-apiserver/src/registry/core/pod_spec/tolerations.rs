//! Tolerations of taints.

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::selector::label::validate_label_name;
use apimachinery::value::{Cursor, Value};

use super::Rules;
use crate::registry::validation::one_of;

/// upstream: ValidateTolerations
pub fn tolerations(list: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    for toleration in list.list() {
        let (key, operator) = (toleration.field("key"), toleration.field("operator"));
        let (value, effect) = (toleration.field("value").str(), toleration.field("effect"));
        if !key.is_empty() {
            validate_label_name(key, errs);
        } else if operator.str() != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errs.invalid(operator, operator.str(), why);
        }
        if toleration.field("tolerationSeconds").exists() && effect.str() != "NoExecute" {
            errs.invalid(effect, effect.str(), "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match operator.str() {
            "Equal" | "" => {
                let wrong = names::label_value(value);
                if !wrong.is_empty() {
                    errs.invalid(operator, value, wrong.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                errs.invalid(operator, value, "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            "Lt" | "Gt" if rules.compared_tolerations => {
                if value.parse::<i64>().is_err() {
                    errs.invalid(toleration.field("value"), value, "must be a valid decimal integer in canonical form");
                }
            }
            other @ ("Lt" | "Gt") => errs.not_supported(operator, other, ["Equal", "Exists", "Lt", "Gt"]),
            other => errs.not_supported(operator, other, ["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            one_of(effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"], errs);
        }
    }
}

/// Tolerations of a pod may be added, and last longer or shorter; nothing else about them may change.
/// upstream: validateOnlyAddedTolerations
pub fn kept_tolerations(new: Cursor<'_>, old: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    let lasting = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.remove("tolerationSeconds");
        toleration
    };
    let kept: Vec<Value> = new.value().items().iter().map(lasting).collect();
    if old.value().items().iter().any(|toleration| !kept.contains(&lasting(toleration))) {
        return errs.forbidden(new, "existing toleration can not be modified except its tolerationSeconds");
    }
    tolerations(new, rules, errs);
}
