//! `capstan`, the operator's command: reads its arguments, asks the hub (or renders and builds offline), prints. What is true of the fleet is the
//! hub's business; how a manifest is rendered that of the pure crates.
//!
//! Data goes to standard output, talk to standard error; the [`Exit`] code says how it went. There is no colour and no animation, so
//! `NO_COLOR` has nothing to switch off.

mod age;
mod args;
mod command;
mod console;
mod exit;
mod failure;
mod output;
mod tables;
mod text;

use std::ffi::OsString;

use clap::Parser;

pub use console::Console;
pub use exit::Exit;

/// Runs one command. `args` begin with the name of the program, as `std::env::args_os` gives them; `CAPSTAN_HUB`, `CAPSTAN_CA_FILE` and
/// `CAPSTAN_TOKEN` are read from the environment.
pub async fn run(args: impl IntoIterator<Item = OsString> + Send, console: &mut Console<'_>) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(exit) = run_at_once(&args, console) {
        return exit;
    }
    let outcome = match args::Capstan::try_parse_from(args) {
        Ok(args) => command::run(args, console).await,
        Err(refused) => console.explain(&refused),
    };
    ended(outcome, console)
}

/// Runs the command if it is one that waits for nothing: `build` or `template`. They need no event loop, and are often over before one is set up.
/// `None` if it is another.
pub fn run_at_once(args: &[OsString], console: &mut Console<'_>) -> Option<Exit> {
    let outcome = match args.get(1)?.to_str()? {
        "build" => command::build::run(&args[1..], console),
        "template" => command::template::run(&args[1..], console),
        "help" if args.get(2)? == "template" => command::template::run(&["template", "--help"].map(OsString::from), console),
        "help" if args.get(2)? == "build" => command::build::run(&["build", "--help"].map(OsString::from), console),
        _ => return None,
    };
    Some(ended(outcome, console))
}

fn ended(outcome: Result<Exit, failure::Failure>, console: &mut Console<'_>) -> Exit {
    match outcome {
        Ok(exit) => exit,
        Err(failure) => {
            // If standard error is gone too, the exit code is all that is left to say it.
            let _ = console.say(&failure.to_string());
            failure.exit
        }
    }
}
