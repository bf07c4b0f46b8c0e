//! The project's own tasks, one file each: `cargo run -p e2e-xtask -- <task>`. It leaves building and testing to cargo.

use std::path::Path;
use std::process::ExitCode;

mod codegen;
mod merge_table;
mod schemas;
mod tidy;

const USAGE: &str = "usage: cargo run -p e2e-xtask -- TASK
  tidy [ROOT]                  the project's rules about itself; with ROOT those about the tree there
  codegen [--check]            the Rust code of the wire format, from the .proto files
  merge-table [--check]        the lists that hub/kustomize joins, from kustomize's schema; needs e2e/oracle/setup.sh
  schemas [--check] [FOLDER]   the JSON Schemas of the fleet language, in docs/schemas or FOLDER";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["tidy"] => tidy::check_project(),
        ["tidy", root] => tidy::check_tree(Path::new(root)),
        ["codegen"] => codegen::write(),
        ["codegen", "--check"] => codegen::check(),
        ["merge-table"] => merge_table::write(),
        ["merge-table", "--check"] => merge_table::check(),
        ["schemas"] => schemas::write(&schemas::directory()),
        ["schemas", "--check"] => schemas::check(&schemas::directory()),
        ["schemas", "--check", folder] => schemas::check(Path::new(folder)),
        ["schemas", folder] => schemas::write(Path::new(folder)),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
