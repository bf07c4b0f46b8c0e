//! The process around [`hub_cli::run`]: its streams and its exit code.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::process::ExitCode;

use hub_cli::{Console, Exit};

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the system gives this process no event loop: {error}");
            return Exit::Error.into();
        }
    };
    let (mut input, mut out, mut err) = (std::io::BufReader::new(stdin()), stdout(), stderr());
    let interactive = stdin().is_terminal() && stderr().is_terminal();
    let mut console = Console { input: &mut input, out: &mut out, err: &mut err, interactive };
    runtime.block_on(hub_cli::run(std::env::args_os().collect::<Vec<_>>(), &mut console)).into()
}
