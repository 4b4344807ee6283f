//! pflag's grammar: `--name=value`, `--name value`, bare booleans, `-v=3`, `-v 3`, `-v3`, `--` ends the flags.

use apimachinery::quote::quote_slice;

use super::Flags;
use super::spec::Spec;
use super::value::ValueError;

/// pflag's and cobra's errors, in their words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// No such flag.
    #[error("unknown flag: --{0}")]
    Unknown(String),
    /// No such letter.
    #[error("unknown shorthand flag: {letter:?} in -{group}")]
    UnknownShort {
        /// The letter.
        letter: char,
        /// The letters it was among.
        group: String,
    },
    /// A flag without its value.
    #[error("flag needs an argument: --{0}")]
    Missing(String),
    /// A letter without its value.
    #[error("flag needs an argument: {letter:?} in -{group}")]
    MissingShort {
        /// The letter.
        letter: char,
        /// The letters it was among.
        group: String,
    },
    /// `--=x`, `---x`.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// A value that the flag does not take.
    #[error("invalid argument {value:?} for {flag:?} flag: {source}")]
    Invalid {
        /// The value.
        value: String,
        /// The flag as pflag names it.
        flag: String,
        /// Why.
        source: ValueError,
    },
    /// Arguments where none are taken.
    #[error("{daemon:?} does not take any arguments, got {}", quote_slice(args))]
    Arguments {
        /// The command.
        daemon: String,
        /// What was given.
        args: Vec<String>,
    },
}

pub(super) enum Outcome {
    Done,
    Help,
}

pub(super) fn run(flags: &mut Flags, args: &[String]) -> Result<Outcome, FlagError> {
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg == "--" {
            flags.args.extend(rest.by_ref().cloned());
            break;
        }
        let help = if let Some(long) = arg.strip_prefix("--") {
            long_flag(flags, arg, long, &mut rest)?
        } else if arg.len() > 1 && arg.starts_with('-') {
            short_flags(flags, &arg[1..], &mut rest)?
        } else {
            flags.args.push(arg.clone());
            false
        };
        if help {
            return Ok(Outcome::Help);
        }
    }
    Ok(Outcome::Done)
}

type Rest<'a> = std::slice::Iter<'a, String>;

/// True if help was asked for.
fn long_flag(flags: &mut Flags, arg: &str, long: &str, rest: &mut Rest<'_>) -> Result<bool, FlagError> {
    if long.starts_with(['-', '=']) {
        return Err(FlagError::Syntax(arg.to_owned()));
    }
    let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
    let Some(spec) = flags.table.find(name).cloned() else {
        return if name == "help" { Ok(true) } else { Err(FlagError::Unknown(name.to_owned())) };
    };
    let value = match (value, spec.bare_value()) {
        (Some(value), _) => value,
        (None, Some(bare)) => bare,
        (None, None) => rest.next().ok_or_else(|| FlagError::Missing(name.to_owned()))?,
    };
    set(flags, &spec, value)?;
    Ok(spec.name == "help" && flags.bool("help"))
}

fn short_flags(flags: &mut Flags, group: &str, rest: &mut Rest<'_>) -> Result<bool, FlagError> {
    for (at, letter) in group.char_indices() {
        let Some(spec) = flags.table.find_short(letter).cloned() else {
            let group = group.to_owned();
            return if letter == 'h' { Ok(true) } else { Err(FlagError::UnknownShort { letter, group }) };
        };
        let tail = &group[at + letter.len_utf8()..];
        if let Some(value) = tail.strip_prefix('=') {
            set(flags, &spec, value)?;
            return Ok(false);
        }
        if let Some(bare) = spec.bare_value() {
            set(flags, &spec, bare)?;
            if spec.name == "help" {
                return Ok(true);
            }
            continue;
        }
        if !tail.is_empty() {
            set(flags, &spec, tail)?;
            return Ok(false);
        }
        let value = rest.next().ok_or_else(|| FlagError::MissingShort { letter, group: group.to_owned() })?;
        set(flags, &spec, value)?;
    }
    Ok(false)
}

fn set(flags: &mut Flags, spec: &Spec, text: &str) -> Result<(), FlagError> {
    let first = !flags.changed(&spec.name);
    let value = flags.values.get_mut(&spec.name).expect("every flag of the table has a value");
    value.set(spec.kind, text, first).map_err(|source| FlagError::Invalid {
        value: text.to_owned(),
        flag: spec.short.map_or_else(|| format!("--{}", spec.name), |short| format!("-{short}, --{}", spec.name)),
        source,
    })?;
    if first {
        flags.changed.push(spec.name.clone());
    }
    if let Some(message) = &spec.deprecated {
        flags.warnings.push(format!("Flag --{} has been deprecated, {message}", spec.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Flags, Request};

    const TABLE: &str = "flag\tshort\ttype\tdefault\thidden\tdeprecated\n\
        allow-all\t\tbool\tfalse\t\t\n\
        help\th\tbool\tfalse\t\t\n\
        v\tv\tLevel\t0\t\t\n\
        version\t\tversion\tfalse\t\t\n\
        port\t\tint32\t10\t\t\n\
        period\t\tduration\t1m0s\t\t\n\
        paths\t\tstringSlice\t[/a,/b]\t\t\n\
        labels\t\tmapStringString\t\t\t\n\
        feature-gates\t\tmapStringBool\t\t\t\n\
        bind-address\t\tip\t0.0.0.0\t\t\n\
        old\t\tstring\t\thidden\tuse the new one\n";

    fn run(args: &[&str]) -> Result<Flags, String> {
        let args = std::iter::once("x").chain(args.iter().copied()).map(Into::into);
        match Flags::parse("kube-test", TABLE, args) {
            Ok(Request::Run(flags)) => Ok(*flags),
            Ok(Request::Print(text)) => Err(text),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn pflag_syntax() {
        let flags = run(&["--allow_all", "-v", "3", "--port=0x10", "--period", "2h", "--paths=/c,/d", "--paths", "/e"])
            .expect("parses");
        assert!(flags.bool("allow-all") && flags.changed("allow-all"));
        assert_eq!((flags.int("v"), flags.int("port")), (3, 16));
        assert_eq!(flags.duration("period"), Duration::from_secs(7200));
        assert_eq!(flags.list("paths"), ["/c", "/d", "/e"]);
        assert_eq!(run(&["-v=4"]).expect("parses").int("v"), 4);
        assert_eq!(run(&["-v5"]).expect("parses").int("v"), 5);
        assert_eq!(run(&[]).expect("parses").list("paths"), ["/a", "/b"]);
        let map = run(&["--labels=a=b", "--labels=c=d,e=f"]).expect("parses").map("labels");
        assert_eq!(map.len(), 3);
        let old = run(&["--old=x"]).expect("parses");
        assert_eq!(old.warnings, ["Flag --old has been deprecated, use the new one"]);
    }

    #[test]
    fn pflag_errors() {
        for (args, message) in [
            (&["--nope"][..], "unknown flag: --nope"),
            (&["-z"], "unknown shorthand flag: 'z' in -z"),
            (&["--port"], "flag needs an argument: --port"),
            (&["-v"], "flag needs an argument: 'v' in -v"),
            (&["--=x"], "bad flag syntax: --=x"),
            (
                &["--port=x"],
                "invalid argument \"x\" for \"--port\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                &["-v=x"],
                "invalid argument \"x\" for \"-v, --v\" flag: strconv.ParseUint: parsing \"x\": invalid syntax",
            ),
            (
                &["--allow-all=maybe"],
                "invalid argument \"maybe\" for \"--allow-all\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            (&["--period=5"], "invalid argument \"5\" for \"--period\" flag: time: missing unit in duration \"5\""),
            (&["--bind-address=x"], "invalid argument \"x\" for \"--bind-address\" flag: failed to parse IP: \"x\""),
            (&["run"], "\"kube-test\" does not take any arguments, got [\"run\"]"),
            (&["run", "b c"], "\"kube-test\" does not take any arguments, got [\"run\" \"b c\"]"),
            (&["--version"], "Kubernetes v1.36.2\n"),
        ] {
            assert_eq!(run(args).expect_err(message), message);
        }
    }
}
