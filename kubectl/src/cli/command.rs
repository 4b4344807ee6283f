//! What a command is: names, help, flags, subcommands, and the function that runs it.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::FlagSet;
use crate::context::Context;

/// The future of a running command.
pub type RunFuture = Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// A command of the tree. All of it is static data.
pub struct Command {
    /// The word that selects it.
    pub name: &'static str,
    /// Other words that select it.
    pub aliases: &'static [&'static str],
    /// Words of other tools that should lead here in suggestions.
    pub suggest_for: &'static [&'static str],
    /// What follows the name in the usage line.
    pub args: &'static str,
    /// One line for the list of commands.
    pub short: &'static str,
    /// Paragraphs at the head of the help; `short` if empty.
    pub long: &'static str,
    /// Examples, shown indented.
    pub example: &'static str,
    /// Declares the command's own flags.
    pub flags: fn(&mut FlagSet),
    /// Nested commands.
    pub subcommands: &'static [&'static Command],
    /// Runs it; `None` for a group, which shows its help.
    pub run: Option<fn(Invocation) -> RunFuture>,
    /// Left out of the help.
    pub hidden: bool,
}

impl Command {
    /// A command with nothing set, the base for struct update.
    pub const EMPTY: Self = Self {
        name: "",
        aliases: &[],
        suggest_for: &[],
        args: "",
        short: "",
        long: "",
        example: "",
        flags: |_| {},
        subcommands: &[],
        run: None,
        hidden: false,
    };

    /// Whether `word` selects this command.
    pub fn matches(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }
}

/// A command about to run.
pub struct Invocation {
    /// What commands share: configuration, client, mapper, streams.
    pub ctx: Rc<Context>,
    /// The chain of commands from the root to this one.
    pub path: Vec<&'static Command>,
    /// The parsed flags, the global ones included.
    pub flags: FlagSet,
    /// The arguments.
    pub args: Vec<String>,
}

impl Invocation {
    /// `kubectl create deployment`.
    pub fn command_path(&self) -> String {
        self.path.iter().map(|c| c.name).collect::<Vec<_>>().join(" ")
    }

    /// An error that points at the help, as cmdutil.UsageErrorf.
    pub fn usage_error(&self, message: impl std::fmt::Display) -> anyhow::Error {
        anyhow::anyhow!("{message}\nSee '{} -h' for help and examples", self.command_path())
    }

    /// How many arguments came before `--`.
    pub fn args_before_dash(&self) -> Option<usize> {
        self.flags.args_before_dash()
    }
}
