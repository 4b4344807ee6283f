//! Developer tools: one subcommand per file.

mod bench;
mod bench_transcode;
mod generate;

pub use bench_transcode::bench_transcode;
pub use generate::{generate_api_tables, generate_column_texts};

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};

fn cli() -> Command {
    let path = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_parser(value_parser!(PathBuf)).default_value(default).help(help)
    };
    Command::new("hack")
        .about("Developer tools of the workspace")
        .subcommand_required(true)
        .subcommand(
            Command::new("generate-api-tables")
                .about("Writes apimachinery/data from the API facts")
                .arg(path("facts", "../shared/facts", "folder with api-types.json and resources.json"))
                .arg(path("out", "apimachinery/data", "folder to write into")),
        )
        .subcommand(
            Command::new("generate-column-texts")
                .about("Writes the descriptions of table columns from recorded answers")
                .arg(path("golden", "../shared/golden/api", "folder of recorded answers"))
                .arg(path("out", "apimachinery/data", "folder to write into")),
        )
        .subcommand(Command::new("bench-transcode").about("Prints how fast the codecs are (build with --release)"))
        .subcommand(bench::Options::augment_args(
            Command::new("bench").about("Measures a cluster (run it by hack/bench.sh)"),
        ))
}

fn path<'a>(args: &'a ArgMatches, name: &str) -> &'a PathBuf {
    args.get_one(name).expect("the argument has a default")
}

/// Parses the command line and runs the subcommand.
pub fn run() -> anyhow::Result<()> {
    match cli().get_matches().subcommand() {
        Some(("generate-api-tables", args)) => generate_api_tables(path(args, "facts"), path(args, "out")),
        Some(("generate-column-texts", args)) => generate_column_texts(path(args, "golden"), path(args, "out")),
        Some(("bench", args)) => {
            // The process-wide provider is not installed yet: this is the first thing that speaks TLS.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let options = bench::Options::from_arg_matches(args)?;
            tokio::runtime::Runtime::new()?.block_on(bench::run(&options))?;
            bench_transcode()
        }
        Some(("bench-transcode", _)) => bench_transcode(),
        _ => Ok(()),
    }
}
