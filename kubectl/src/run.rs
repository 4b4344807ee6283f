//! From the command line to the exit code.

use std::rc::Rc;

use crate::cli::{self, Command, FlagError, FlagSet, Invocation};
use crate::commands::{GROUPS, ROOT};
use crate::context::{Context, global_flags};
use crate::failure::{Failure, report};

/// Runs kubectl with these words (without the program's name); the result is the exit code.
pub fn run(words: Vec<String>) -> i32 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return 1;
        }
    };
    let local = tokio::task::LocalSet::new();
    let result = runtime.block_on(local.run_until(dispatch(words)));
    // Blocking reads of standard input must not hold the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => 0,
        Err(error) => {
            let (text, code) = report(&error);
            if !text.is_empty() {
                eprint!("{text}{}", if text.ends_with('\n') { "" } else { "\n" });
            }
            code
        }
    }
}

async fn dispatch(words: Vec<String>) -> anyhow::Result<()> {
    let mut globals = FlagSet::default();
    global_flags(&mut globals);
    if let Some(code) = crate::commands::plugin::try_plugin(&ROOT, &globals, &words) {
        return Err(Failure::Exit(code).into());
    }
    let resolved = cli::resolve(&ROOT, &globals, &words).map_err(anyhow::Error::msg)?;
    let command = *resolved.path.last().expect("the root at least");
    let mut flags = globals;
    (command.flags)(&mut flags);
    match flags.parse(&resolved.rest) {
        Ok(()) => {}
        Err(FlagError::Help) => {
            print!("{}", cli::help_text(&resolved.path, GROUPS));
            return Ok(());
        }
        Err(error) => {
            let path: Vec<&str> = resolved.path.iter().map(|c| c.name).collect();
            anyhow::bail!("{error}\nSee '{} --help' for usage.", path.join(" "));
        }
    }
    flags.check_required().map_err(anyhow::Error::msg)?;
    let warnings_are_errors = flags.get_bool("warnings-as-errors");
    let args = flags.args().to_vec();
    let ctx = Rc::new(Context::new(flags.clone()));
    let invocation = Invocation { ctx: Rc::clone(&ctx), path: resolved.path, flags, args };
    start(command, invocation).await?;
    match ctx.warning_count() {
        0 => Ok(()),
        _ if !warnings_are_errors => Ok(()),
        1 => anyhow::bail!("1 warning received"),
        count => anyhow::bail!("{count} warnings received"),
    }
}

async fn start(command: &'static Command, invocation: Invocation) -> anyhow::Result<()> {
    if let Some(run) = command.run {
        return run(invocation).await;
    }
    if invocation.path.len() > 1 && !invocation.args.is_empty() {
        let words = crate::cli::quote::quote(&invocation.args.join(" "));
        return Err(invocation.usage_error(format!("unknown command {words}")));
    }
    let help = cli::help_text(&invocation.path, GROUPS);
    // A group without a subcommand shows its help and fails; the root and a few others differ.
    match invocation.path.last().map_or("", |c| c.name) {
        "kubectl" | "certificate" => {
            print!("{help}");
            return Ok(());
        }
        "rollout" => print!("{help}"),
        _ => eprint!("{help}"),
    }
    Err(Failure::Exit(1).into())
}
