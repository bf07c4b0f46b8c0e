//! The parts of the benchmarks: a corpus, what is measured on it, and tables of it. A benchmark measures Capstan beside what people use today,
//! in the same run, and says which versions and which machine it was.

pub mod agent;
pub mod corpus;
pub mod helm;
pub mod kustomize;
mod machine;
mod memory;
mod snapshot;
mod stopwatch;
mod table;

pub use snapshot::Snapshot;
