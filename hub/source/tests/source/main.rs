//! Sources against real Git: repositories made by git, served over HTTP, `git://` and a stand-in for ssh, or read where they lie; and chart
//! sources against servers that misbehave.

mod charts;
mod local;
mod remote;
mod support;
