//! What an evaluation may use up: charts are untrusted. One budget is shared by all executions for one render.

use std::cell::Cell;

/// The budget that was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// Nodes evaluated, functions called, and bytes that functions looked at.
    #[error("more than {0} steps")]
    Steps(u64),
    /// Templates within templates, or values within values.
    #[error("nested deeper than {0}")]
    Depth(u32),
    /// Bytes of all that was printed or made.
    #[error("more than {0} bytes of output")]
    Output(u64),
}

/// How much an evaluation may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nodes evaluated, functions called, and bytes that functions looked at.
    pub steps: u64,
    /// Templates within templates, by `template`, `include` or `tpl`.
    pub depth: u32,
    /// Bytes of all that was printed or made, also of what was thrown away.
    pub output: u64,
}

impl Default for Limits {
    /// Sixteen million steps are two thirds of a second of calls, or a quarter of a second of empty loops; the largest of 200 public charts takes
    /// 1.4 million with its own values, and what kube-prometheus-stack needs to read all its definitions is within. Helm itself stops at 1000 nested includes of one template, so 2048 levels leave room for two templates
    /// that include each other. 512 MiB of text are a hundred times the largest manifest that an API server would take, for each of what a large
    /// chart renders.
    fn default() -> Self {
        Self { steps: 16_000_000, depth: 2048, output: 512 << 20 }
    }
}

/// What is left of [`Limits`].
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    steps: Cell<u64>,
    output: Cell<u64>,
    depth: Cell<u32>,
}

impl Budget {
    /// A budget of which nothing is used yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, steps: Cell::new(limits.steps), output: Cell::new(limits.output), depth: Cell::new(limits.depth) }
    }

    /// What it was.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How many steps were taken.
    pub fn steps_used(&self) -> u64 {
        self.limits.steps - self.steps.get()
    }

    /// Takes `steps` of it.
    #[inline]
    pub fn spend(&self, steps: usize) -> Result<(), Exceeded> {
        match self.steps.get().checked_sub(steps as u64) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(Exceeded::Steps(self.limits.steps)),
        }
    }

    /// Takes `bytes` of output of it.
    #[inline]
    pub fn write(&self, bytes: usize) -> Result<(), Exceeded> {
        match self.output.get().checked_sub(bytes as u64) {
            Some(left) => {
                self.output.set(left);
                Ok(())
            }
            None => Err(Exceeded::Output(self.limits.output)),
        }
    }

    /// How many bytes of output are left.
    pub fn output_left(&self) -> usize {
        usize::try_from(self.output.get()).unwrap_or(usize::MAX)
    }

    /// Goes one template deeper.
    pub(crate) fn enter(&self) -> Result<(), Exceeded> {
        match self.depth.get().checked_sub(1) {
            Some(left) => {
                self.depth.set(left);
                Ok(())
            }
            None => Err(Exceeded::Depth(self.limits.depth)),
        }
    }

    /// Comes back from [`Self::enter`].
    pub(crate) fn leave(&self) {
        self.depth.set(self.depth.get() + 1);
    }
}
