//! Metrics: counters, gauges and distributions that cost the serving threads a plain store each.
//!
//! Every thread that counts has a [`Writer`] with cells of its own on cache lines of its own; it
//! is their only writer, so an increment is a relaxed load and a relaxed store, never a locked
//! instruction and never a line that two threads write. Reading ([`Registry::read`]) adds the
//! threads up. A reset (`srst`) does not touch the cells, which are not the reader's to write: it
//! remembers what they were and subtracts that from then on.
//!
//! This room knows no other; it never formats for a protocol (`shard/words` does) and never logs.

mod cells;
mod complaints;
pub mod document;
mod names;
mod process;
mod registry;

pub use cells::Distribution;
pub use complaints::Complaints;
pub use names::{Counter, Gauge, Summary};
pub use process::{open_file_descriptors, open_file_descriptors_max};
pub use registry::{Reading, Registry, Writer};
