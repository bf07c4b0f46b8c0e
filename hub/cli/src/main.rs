//! The process around [`hub_cli::run`]: its streams and its exit code.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::process::ExitCode;

use hub_cli::{Console, Exit};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let (mut input, mut out, mut err) = (std::io::BufReader::new(stdin()), stdout(), stderr());
    let interactive = stdin().is_terminal() && stderr().is_terminal();
    let mut console = Console { input: &mut input, out: &mut out, err: &mut err, interactive };
    if let Some(exit) = hub_cli::run_at_once(&args, &mut console) {
        return exit.into();
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the system gives this process no event loop: {error}");
            return Exit::Error.into();
        }
    };
    runtime.block_on(hub_cli::run(args, &mut console)).into()
}
