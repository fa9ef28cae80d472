//! The agreement protocol (ZAB, as ZooKeeper speaks it), as a state machine.
//!
//! It decides who leads, what a server's log may hold, and what is committed. It owns no disk, socket, clock or
//! thread, makes no random choice, and does not know what a transaction means: [`Zab`] takes messages, completions and
//! the time, and gives out [`Action`]s that its driver carries out in order.
//! It never does I/O, never blocks, and never panics on what a peer sends.
//!
//! - [`types`], [`message`], [`ensemble`], [`settings`], [`action`]: the vocabulary
//! - [`core`]: the type, its inputs and the roles
//! - [`election`], [`discovery`], [`sync`], [`broadcast`], [`leader`], [`learner`],
//!   [`catch_up`], [`way_back`]: the protocol's parts
//! - [`quorum`], [`reconfig`], [`history`], [`passed_over`], [`common`]: arithmetic, membership, the log, who is not
//!   elected for a while, what the parts share
//! - [`mistake`]: mistakes planted to prove the simulator
//! - [`wire`]: the bytes of the messages

pub mod action;
mod broadcast;
mod catch_up;
mod common;
pub mod core;
mod discovery;
mod election;
pub mod ensemble;
mod history;
mod leader;
mod learner;
pub mod message;
pub mod mistake;
mod passed_over;
pub mod quorum;
mod reconfig;
pub mod settings;
pub mod sync;
#[cfg(test)]
mod tests;
pub mod types;
mod way_back;
pub mod wire;

pub use action::{Action, CloseReason, LookUpAnswer, Refusal, Role};
pub use core::Zab;
pub use ensemble::{EnsembleConfig, Server, ServerKind};
pub use message::{
    AuthInfo, Hello, LearnerInfo, LearnerRequest, Notification, Packet, PeerState, Touched,
};
pub use mistake::{Mistake, Mistakes};
pub use settings::{Durable, ZabConfig};
pub use types::{ConnId, Epoch, Generation, Sid, Txn, Zxid, counter_of, epoch_of, make_zxid};
