//! What the client is told when somebody else owns what it applies.

use std::collections::BTreeMap;

use super::set::path_text;
use super::updater::Conflict;
use crate::status::{ApiError, Cause};

/// 409 with a cause for each field.
pub(super) fn error(conflicts: &[Conflict]) -> ApiError {
    let cause = |c: &Conflict| Cause {
        type_: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {}", c.manager.shown()),
        field: path_text(&c.path),
    };
    ApiError::apply_conflict(conflicts.iter().map(cause).collect(), message(conflicts))
}

fn message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            one.manager.shown(),
            path_text(&one.path)
        );
    }
    let mut by_manager: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for conflict in conflicts {
        let entry = by_manager.entry(conflict.manager.key()).or_insert_with(|| (conflict.manager.shown(), Vec::new()));
        entry.1.push(format!("- {}", path_text(&conflict.path)));
    }
    let lines: Vec<String> = by_manager
        .into_values()
        .flat_map(|(manager, paths)| std::iter::once(format!("conflicts with {manager}:")).chain(paths))
        .collect();
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
