//! A server: a process over a disk. The process is driven as a real one would be: the core's actions
//! are carried out in order, what they ask for is answered in its own time.
//!
//! - [`state`]: a log and the memory over it
//! - [`process`]: the process: what it is made of, how it starts
//! - [`input`]: what comes in, and when the process next wants to be asked
//! - [`actions`]: carrying out the core's actions
//! - [`links`]: connections to other servers; [`supply`]: what a leader gives learners of its history
//! - [`log_queue`]: the log's and memory's actions, each in its turn; [`disk`]: writes, epochs, spares
//! - [`stutter`]: a driver that says things twice; [`garbage`]: illegal messages
//! - [`requests`]: what clients ask for; [`leading`]: what a leader makes of it

mod actions;
mod disk;
mod garbage;
mod input;
mod leading;
mod links;
mod log_queue;
mod process;
mod requests;
pub mod state;
mod stutter;
mod supply;

pub use process::{Clocks, Death, Machine, Process};
