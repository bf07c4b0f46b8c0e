//! The benchmarks as a program: `cargo run --release -p e2e-bench -- BENCHMARK`. Each subcommand is one benchmark and prints its tables.

use clap::{Parser, Subcommand};

use e2e_bench::{agent, helm, kustomize};

/// Measures Capstan beside what people use today.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// The agent as a process against a real API server: rate, healing, quiet, memory, restart, and the workload of Flux and Argo CD.
    Agent(agent::Options),
    /// Rendering charts: as a process, in process, variants, memory.
    Helm(helm::Options),
    /// Building kustomizations: as a process, in process, memory, YAML, caches.
    Kustomize(kustomize::Options),
    /// Builds what standard input names and prints the peak of memory: a part of `kustomize` that needs a process of its own.
    #[command(hide = true)]
    KustomizeResident(kustomize::Resident),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().benchmark {
        Benchmark::Agent(options) => agent::run(&options),
        Benchmark::Helm(options) => helm::run(&options),
        Benchmark::Kustomize(options) => kustomize::run(&options),
        Benchmark::KustomizeResident(resident) => kustomize::run_resident(&resident),
    }
}
