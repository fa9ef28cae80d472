//! The bytes of the election port and the quorum port: [`Packet`](super::Packet), [`Notification`](super::Notification)
//! and [`Hello`](super::Hello) to and from what ZooKeeper 3.9 sends.
//!
//! Owns: where a message ends in a stream without lengths ([`QuorumReader`], [`ElectionReader`]), what its bytes mean,
//! the snapshot that follows SNAP ([`SnapshotPiece`]), the text of a configuration ([`Members`]), the packets of
//! SASL ([`sasl`]), and how much of each is taken ([`Limits`]).
//! Never does I/O, decides nothing about a message, never panics on its input, and keeps no more of it than one
//! message. Alone in `zab/` it knows other rooms: `jute`, the header of a `txn`, and Java's properties syntax.
//!
//! Bytes that the recorded Apache ZooKeeper servers sent (`tests/transcripts/`) come out of a round trip unchanged. What
//! older servers left out (a learner's info, a notification's version) is read, and written in today's form.

mod election;
mod error;
mod limits;
mod measure;
mod members;
mod notification;
mod packet;
mod quorum;
mod raw;
pub mod sasl;
mod snapshot;
mod stream;
mod strings;
#[cfg(test)]
mod tests;

pub use election::{ElectionItem, ElectionReader, encode_hello};
pub use error::{Side, WireError};
pub use limits::{
    FRAME_BYTES_MAX, HELLO_ADDRESS_BYTES_MAX, Limits, NOTIFICATION_BYTES_28, NOTIFICATION_BYTES_40,
    NOTIFICATION_BYTES_44, REQUEST_BYTES_MAX,
};
pub use members::{Member, Members, MembersError, PeerAddress, read_config};
pub use notification::{decode_notification, encode_notification};
pub use packet::encode_packet;
pub use quorum::QuorumReader;
pub use raw::kind;
pub use snapshot::{AclEntry, NodeStat, SIGNATURE, SnapshotPiece};
