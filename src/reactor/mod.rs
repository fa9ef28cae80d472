//! The reactor: the one loop of a pinned thread, over a raw io_uring ring inside a glommio executor.
//!
//! Owns: the ring, the listeners, the connections' sockets and unsent bytes, the log writes in
//! flight, waking and parking. Steps one [`Resident`], a state machine that knows it only as an
//! [`Io`]. Never knows what the bytes mean, never blocks on anything but its own park, never holds
//! a buffer for a connection that is idle.
//!
//! A pass: reap all completions (`opened`, `bytes`, `drained`, `closed`, `disk_done`), then `step`,
//! then gather what every connection has to send, then one `enter` for all of it.

mod aligned;
mod api;
mod buffers;
mod clock;
mod config;
mod conn;
mod disk;
mod driver;
mod park;
mod pass;
mod ring;
mod send;
pub mod testing;
#[cfg(test)]
mod tests;
mod wake;

pub use aligned::{ALIGN, AlignedBuf, AlignedPool};
pub use api::{ConnId, Io, Resident, Turn};
pub use clock::{PassClock, monotonic_ns};
pub use config::{ReactorConfig, ReactorStats};
pub use disk::LogFile;
pub use park::{Handle, spawn};
pub use wake::Waker;
