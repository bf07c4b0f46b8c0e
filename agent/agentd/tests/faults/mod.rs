//! What networks, busy API servers and broken extensions do to an agent, on a real API server. `docs/faults.md` lists them.

mod broken;
mod kills;
mod network;
mod outages;
