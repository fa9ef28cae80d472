//! The transaction log: segments of frames, each frame one group commit.
//!
//! Owns: the format of segments and frames (`docs/design/log.md`), where each frame goes, which
//! frames count after a crash, the segments that are made ahead, recycled and purged.
//! Never does: the writes on the way of a transaction (the [`Writer`] says what is to be written
//! where, the reactor writes it), retry a failed write, look into a transaction's bytes, or decide
//! what is committed.
//!
//! The order of calls: [`recover()`] replays what is there and finds the end, [`open`] cuts a torn
//! tail and begins a new incarnation; then for each batch [`Writer::frame`], the writes submitted
//! in any number and order, [`Writer::completed`] for each, [`Writer::seal_due`] once a pass.
//! Everything but [`RealDir`] and the thread of [`SpareMaker::spawn`] is free of I/O of its own:
//! it works on any [`LogDir`], a failing one in tests, a virtual one in the simulator.

mod beyond;
mod body;
mod cut;
mod disk;
mod error;
mod flights;
pub mod frame;
#[allow(warnings, clippy::all, missing_docs, unsafe_op_in_unsafe_fn)]
#[rustfmt::skip]
#[path = "log_generated.rs"]
mod generated;
#[cfg(test)]
mod lives;
mod lock;
mod open;
mod priority;
mod recover;
pub mod segment;
mod spares;
pub mod testing;
#[cfg(test)]
mod tests;
mod unwanted;
mod writer;

pub use body::{Batch, BatchBuilder, Start, StartReason};
pub use disk::{LogDir, RealDir, SegmentFile, free_bytes};
pub use error::{BoxError, Fatal, LogError};
pub use lock::DirLock;
pub use open::open;
pub use priority::lower_priority;
pub use recover::{
    CutReport, LogTail, Recovered, Visit, id_in, read_back, recover, recover_in, restarted_at,
};
pub use spares::{SpareMaker, SpareThread};
pub use unwanted::{is_unwanted, remove_gently, remove_leftover};
pub use writer::{Durable, LogOptions, Room, Seal, Write, Writer};

use crate::protocol::Zxid;
use crate::reactor::{AlignedBuf, LogFile};
