//! The load generator: many sessions driven by one thread that does as little as it can.
//!
//! Owns the sockets and the event loop ([`pool`]), the ways to offer load (closed: a fixed number
//! outstanding, [`closed`]; open: a fixed rate, [`open`]), and a blocking client for preparations
//! ([`client`]). Never starts servers, never reads their CPU time: it calls a probe for that.

pub mod client;
pub mod closed;
pub mod open;
pub mod pool;

#[cfg(test)]
mod tests;
