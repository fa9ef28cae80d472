//! One server as it is: shards and the ensemble core, each thread with an [`Io`](ringkeeper::reactor::Io)
//! of its own on virtual time, stepped in an order that the seed draws; real lanes, commit ring, tree,
//! watches, sessions, log writer and recovery; a simulated disk; and clients that speak the client
//! protocol's bytes and whose whole reply streams are checked.
//!
//! Owns the server's threads, what lies between them and the kernel, and the clients. Never decides what
//! is right: that is [`stream`]'s, by the history that [`model`] makes of what was logged.
//!
//! - [`plan`]: what a seed stands for
//! - [`io`]: what a thread asks of its reactor; [`thread`]: a pass, sleeping and waking
//! - [`process`]: a server made of what its disk kept
//! - [`disk`]: the log's writes, and what of them is durable
//! - [`link`]: bytes between clients and server
//! - [`client`]: what clients do; [`draw`], [`request`]: what they ask
//! - [`model`]: the state at every zxid; [`watches`]: the events that a connection is owed
//! - [`stream`]: the rules that a connection's replies keep; [`answer`]: those of one answer
//! - [`world`]: one event after the other; [`command`]: what a person starts

pub mod answer;
pub mod client;
pub mod command;
pub mod disk;
pub mod draw;
pub mod io;
pub mod link;
pub mod mistake;
pub mod model;
pub mod plan;
pub mod process;
pub mod report;
pub mod request;
pub mod stream;
pub mod thread;
pub mod watches;
pub mod world;

pub use mistake::Mistake;
pub use report::Report;
pub use world::{Outcome, run};

/// A rule that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `R1` to `R6`, `R10`, or what else must hold.
    pub rule: &'static str,
    /// What was seen.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}

/// A violation, to be returned.
pub(crate) fn broken<T>(rule: &'static str, detail: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { rule, detail: detail.into() })
}
