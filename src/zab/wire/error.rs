//! What can be wrong with bytes from a peer.

use std::fmt;

use thiserror::Error;

use super::members::MembersError;
use crate::jute::DecodeError;

/// Which end of a quorum port's connection sends. The same packet type means different things from either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that leads (or an observer master).
    Leader,
    /// The one that follows or observes.
    Learner,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Leader => "a leader",
            Side::Learner => "a learner",
        })
    }
}

/// Why bytes from a peer are not the message they should be. `at` counts from the first byte of the connection (of the
/// input, where there is none). After one of these a stream is of no use: close the connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// A length beyond what is taken.
    #[error("{what} at byte {at} announces {length}, where at most {limit} is taken")]
    TooLong {
        /// The field.
        what: &'static str,
        /// Where its length stands.
        at: u64,
        /// What it says: bytes, or items of a list.
        length: u64,
        /// What is taken.
        limit: u64,
    },
    /// A length or count below −1, or −1 or 0 where there has to be something.
    #[error("{what} at byte {at} announces a length of {length}")]
    BadLength {
        /// The field.
        what: &'static str,
        /// Where its length stands.
        at: u64,
        /// What it says.
        length: i32,
    },
    /// A value that the field does not allow.
    #[error("{what} of the message at byte {at} is {value}, which means nothing")]
    Invalid {
        /// The field.
        what: &'static str,
        /// Where the message begins.
        at: u64,
        /// What was found.
        value: i64,
    },
    /// A message of a known kind whose content cannot be read.
    #[error("{what} at byte {at}: {error}")]
    Content {
        /// The message.
        what: &'static str,
        /// Where it begins.
        at: u64,
        /// What is wrong; its offset counts within the message's data.
        error: DecodeError,
    },
    /// A packet type that this side does not send, or that nobody does.
    #[error("the packet at byte {at} is of type {kind}, which {sender} does not send")]
    Unexpected {
        /// Where it begins.
        at: u64,
        /// Its type.
        kind: i32,
        /// Who sent it.
        sender: Side,
    },
    /// A proposal in a packet of another zxid.
    #[error(
        "the packet at byte {at} is of zxid 0x{packet:x}, the transaction in it of zxid 0x{txn:x}"
    )]
    OtherZxid {
        /// Where the packet begins.
        at: u64,
        /// The packet's zxid.
        packet: i64,
        /// The transaction's.
        txn: i64,
    },
    /// A configuration that cannot be read.
    #[error("the configuration in the message at byte {at}: {error}")]
    Members {
        /// Where the message begins.
        at: u64,
        /// What is wrong with it.
        error: MembersError,
    },
    /// An address of a hello that is none.
    #[error("the hello at byte {at} has the address {address:?}, which is not host:port")]
    Address {
        /// Where the hello begins.
        at: u64,
        /// What was found.
        address: String,
    },
    /// A snapshot that does not end as it should.
    #[error("the snapshot ends at byte {at} with {found:?} instead of {expected:?}")]
    Signature {
        /// Where the end begins.
        at: u64,
        /// What stands there.
        found: String,
        /// What should.
        expected: &'static str,
    },
}
