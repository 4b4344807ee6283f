//! Makes the compact tables in `apimachinery/data` out of the API facts (api-types.json, resources.json).
//! The output is text, one type, field or resource per line, so that a change of the API reads well as a diff.

mod columns;
mod resources;
mod types;

pub use columns::generate_column_texts;

use std::path::Path;

use anyhow::Context;

/// Writes `types.txt` and `resources.txt` into `out`.
pub fn generate_api_tables(facts: &Path, out: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out)?;
    for (input, output, render) in [
        ("api-types.json", "types.txt", types::render as fn(&serde_json::Value) -> anyhow::Result<String>),
        ("resources.json", "resources.txt", resources::render),
    ] {
        let path = facts.join(input);
        let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let json = serde_json::from_slice(&text).with_context(|| format!("parsing {}", path.display()))?;
        std::fs::write(out.join(output), render(&json)?)?;
    }
    Ok(())
}
