//! Entry point of the developer tools.

fn main() -> anyhow::Result<()> {
    hack::run()
}
