//! What must hold for any bytes at all: each target turns an input into values of the product and claims something about them. libFuzzer
//! searches for inputs that break a claim (`run.sh`); on stable Rust without instrumentation, `cargo test` replays all inputs that are kept.
//!
//! An input breaks a claim by a panic. Whether it takes too long or too much memory is libFuzzer's to judge.

mod archive;
mod build;
mod chart;
mod corpus;
mod kustomization;
mod patch;
mod reading_back;
mod sections;
mod substitute;
mod template;
mod yaml;

use std::fmt;
use std::str::FromStr;

pub use corpus::{Input, inputs, write_seeds};

/// What is fuzzed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A text, read as YAML in every way and written again.
    Yaml,
    /// An object and a patch for it.
    Patch,
    /// A tree of files with a kustomization.
    Kustomization,
    /// An object with expressions, and variables.
    Substitute,
    /// A template of a chart, and values.
    Template,
    /// A tree of files that is a chart.
    Chart,
    /// The archive of a chart.
    Archive,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Yaml, Self::Patch, Self::Kustomization, Self::Substitute, Self::Template, Self::Chart, Self::Archive];

    /// The name, which is also that of its folders and of its program after `fuzz-`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Patch => "patch",
            Self::Kustomization => "kustomization",
            Self::Substitute => "substitute",
            Self::Template => "template",
            Self::Chart => "chart",
            Self::Archive => "archive",
        }
    }

    /// Checks the target's claims for one input.
    ///
    /// # Panics
    /// If a claim does not hold.
    pub fn run(self, input: &[u8]) {
        match self {
            Self::Yaml => yaml::check(input),
            Self::Patch => patch::check(input),
            Self::Kustomization => kustomization::check(input),
            Self::Substitute => substitute::check(input),
            Self::Template => template::check(input),
            Self::Chart => chart::check_input(input),
            Self::Archive => archive::check(input),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|target| target.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.into_iter().map(Self::name).collect();
            anyhow::anyhow!("there is no target {name}; there are {}", names.join(", "))
        })
    }
}
