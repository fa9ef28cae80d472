//! ZooKeeper's client protocol as typed records: opcodes, errors, requests, replies, events, paths, ACLs.
//!
//! Owns what a number or a byte means on the client port. Requests borrow from the input they are
//! decoded from; everything is written at the end of a caller's `Vec<u8>`. Never does I/O, holds no
//! state, and decides nothing about a request beyond whether its bytes are one.

mod acl;
mod connect;
mod create_mode;
mod ephemeral;
mod error_code;
mod event;
mod frame;
mod header;
mod multi;
mod opcode;
pub mod path;
pub mod request;
mod response;
mod stat;
#[cfg(test)]
mod tests;

pub use acl::{Acl, AclRef, Identity, perms};
pub use connect::{ConnectRequest, ConnectResponse, PASSWORD_BYTES};
pub use create_mode::CreateMode;
pub use ephemeral::{CONTAINER_OWNER, EphemeralType, TTL_MS_MAX, ttl_owner};
pub use error_code::ErrorCode;
pub use event::{AddWatchMode, EventType, KeeperState, WatcherEvent, WatcherType};
pub use frame::{FrameMark, begin_frame, end_frame};
pub use header::{ReplyHeader, RequestHeader, xid};
pub use multi::{MultiHeader, MultiOp, MultiOps, MultiResult, MultiResults, end_multi};
pub use opcode::OpCode;
pub use request::*;
pub use response::*;
pub use stat::Stat;

/// A transaction's number: the epoch in the upper 32 bits, a counter in the lower. Signed, as on the wire.
pub type Zxid = i64;
