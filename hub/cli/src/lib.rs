//! `capstan`, the operator's command: reads its arguments, asks the hub (or renders offline), prints. What is true of the fleet is the
//! hub's business; how a manifest is rendered that of the pure crates.
//!
//! Data goes to standard output, talk to standard error; the [`Exit`] code says how it went. There is no colour and no animation, so
//! `NO_COLOR` has nothing to switch off.

mod age;
mod args;
mod command;
mod console;
mod directory_tree;
mod exit;
mod failure;
mod output;
mod tables;
mod text;

use std::ffi::OsString;

use clap::Parser;

pub use console::Console;
pub use directory_tree::{DirectoryTree, NotADirectory};
pub use exit::Exit;

/// Runs one command. `args` begin with the name of the program, as `std::env::args_os` gives them; `CAPSTAN_HUB`, `CAPSTAN_CA_FILE` and
/// `CAPSTAN_TOKEN` are read from the environment.
pub async fn run(args: impl IntoIterator<Item = OsString> + Send, console: &mut Console<'_>) -> Exit {
    let args = match args::Capstan::try_parse_from(args) {
        Ok(args) => args,
        Err(refused) => {
            let exit = if refused.use_stderr() { Exit::Error } else { Exit::Ok };
            let text = refused.render().to_string();
            let wrote = if refused.use_stderr() { console.say(text.trim_end()) } else { console.print(&text) };
            return wrote.map_or_else(|failure| failure.exit, |()| exit);
        }
    };
    match command::run(args, console).await {
        Ok(exit) => exit,
        Err(failure) => {
            // If standard error is gone too, the exit code is all that is left to say it.
            let _ = console.say(&failure.to_string());
            failure.exit
        }
    }
}
