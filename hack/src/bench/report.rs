//! The figures of a run, in the order in which they were measured, beside those of a baseline.

use std::fmt::Write;

/// Named figures with their units.
#[derive(Default)]
pub struct Report {
    rows: Vec<(String, f64, &'static str)>,
}

impl Report {
    /// Adds a figure and says it at once, so that a long run shows how far it is.
    pub fn add(&mut self, name: &str, value: f64, unit: &'static str) {
        eprintln!("  {name}: {} {unit}", number(value));
        self.rows.push((name.to_owned(), value, unit));
    }

    /// A table; with a baseline each row has the baseline's figure and the ratio of the two (baseline / ours).
    pub fn render(&self, baseline: Option<&Self>) -> String {
        let width = self.rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value, unit) in &self.rows {
            let padding = width - name.chars().count();
            let _ = write!(text, "{name}{:padding$}  {:>10} {unit:<4}", "", number(*value));
            let other = baseline.and_then(|b| b.rows.iter().find(|(other, ..)| other == name));
            if let Some((_, other, _)) = other {
                let _ = write!(text, "  {:>10} {unit:<4}  {:>7.1}", number(*other), other / value);
            }
            text.push('\n');
        }
        text
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
