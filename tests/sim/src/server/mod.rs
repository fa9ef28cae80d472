//! A server: a process over a disk. The process is driven as a real one would be: the core's actions
//! are carried out in order, what they ask for is answered in its own time.
//!
//! - [`state`]: a log and the memory over it
//! - [`process`]: the process, what comes in, and the log's queue
//! - [`actions`]: carrying out the core's actions
//! - [`requests`]: what clients and learners ask for

mod actions;
mod process;
mod requests;
pub mod state;

pub use process::{Clocks, Death, Machine, Process};
