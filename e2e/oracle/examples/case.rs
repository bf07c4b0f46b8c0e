//! Shows cases: `case SEED...` prints the files of each and what kustomize makes of them; `case FROM..TO` only the refusals, one a line.

use e2e_oracle::{Answer, Oracle, case, show};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut oracle = Oracle::start(&Oracle::program()?)?;
    for argument in std::env::args().skip(1) {
        if let Some((from, to)) = argument.split_once("..") {
            let (from, to): (u64, u64) = (from.parse()?, to.parse()?);
            let mut built = 0;
            for seed in from..to {
                let case = case(seed);
                match oracle.build(&case.files, &case.dir)? {
                    Answer::Built(_) => built += 1,
                    Answer::Refused(message) => println!("{seed}: {}", message.replace('\n', " ")),
                }
            }
            println!("kustomize builds {built} of {}", to - from);
        } else {
            let case = case(argument.parse()?);
            println!("{}", show(&case.files));
            println!(
                "==> {}\n{}",
                case.dir,
                match oracle.build(&case.files, &case.dir)? {
                    Answer::Built(text) => text,
                    Answer::Refused(message) => format!("refused: {message}"),
                }
            );
        }
    }
    Ok(())
}
