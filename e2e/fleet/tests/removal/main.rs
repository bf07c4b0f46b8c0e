//! Taking things out, as an operator does it: an app whose removal has hooks, and an agent that goes. Real Git, a real control plane, processes, and
//! the commands of `docs/removal.md`; what came before what is read from the API server's audit log.

mod hooks;
mod leaving;
mod scene;
