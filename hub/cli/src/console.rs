//! The three streams of a command. Nothing else of this crate touches them, so that a test can hold them.

use std::io::{self, BufRead, BufWriter, ErrorKind, Write};

use crate::Exit;
use crate::failure::Failure;

/// How much is collected of data that comes in pieces: as much as a pipe holds.
const BUFFERED_BYTES: usize = 64 << 10;

/// Where a command reads answers, prints data and talks.
pub struct Console<'a> {
    /// Where answers to questions come from.
    pub input: &'a mut (dyn BufRead + Send),
    /// For data.
    pub out: &'a mut (dyn Write + Send),
    /// For talk.
    pub err: &'a mut (dyn Write + Send),
    /// Whether somebody is there to answer.
    pub interactive: bool,
}

impl Console<'_> {
    /// Prints data as it is.
    pub(crate) fn print(&mut self, data: &str) -> Result<(), Failure> {
        written(self.out.write_all(data.as_bytes()).and_then(|()| self.out.flush()))
    }

    /// Prints data that `print` hands out in pieces; what `print` comes to is handed back.
    pub(crate) fn print_pieces<T>(&mut self, print: impl FnOnce(&mut dyn FnMut(&str)) -> T) -> Result<T, Failure> {
        let mut out = BufWriter::with_capacity(BUFFERED_BYTES, &mut *self.out);
        let mut outcome = Ok(());
        let given = print(&mut |piece| {
            if outcome.is_ok() {
                outcome = out.write_all(piece.as_bytes());
            }
        });
        written(outcome.and_then(|()| out.flush()))?;
        Ok(given)
    }

    /// Says something to whoever runs the command.
    pub(crate) fn say(&mut self, talk: &str) -> Result<(), Failure> {
        writeln!(self.err, "{talk}").map_err(|error| Failure::local(format!("standard error cannot be written: {error}")))
    }

    /// Says what is wrong with the arguments, or prints the help that they ask for.
    pub(crate) fn explain(&mut self, refused: &clap::Error) -> Result<Exit, Failure> {
        let text = refused.render().to_string();
        if refused.use_stderr() {
            self.say(text.trim_end())?;
            return Ok(Exit::Error);
        }
        self.print(&text)?;
        Ok(Exit::Ok)
    }

    /// Asks for a yes. Without anybody to ask, `yes` must have been given.
    pub(crate) fn confirm(&mut self, question: &str, yes: bool) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if !self.interactive {
            return Err(Failure::usage("nobody is here to confirm this", "add --yes after reading what it does"));
        }
        let unreadable = |error| Failure::local(format!("the answer cannot be read: {error}"));
        write!(self.err, "{question} [y/N] ").and_then(|()| self.err.flush()).map_err(unreadable)?;
        let mut answer = String::new();
        self.input.read_line(&mut answer).map_err(unreadable)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Failure::usage("not confirmed", "nothing was changed")) }
    }
}

fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome {
        // `capstan get apps | head` has what it wanted.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(|error| Failure::local(format!("standard output cannot be written: {error}"))),
    }
}
