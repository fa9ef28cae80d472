//! `QuorumPacket` as it stands in the stream: type, zxid, data, identities. No length says where it ends.

use super::error::WireError;
use super::limits::Limits;
use super::measure::{Measure, Part};
use super::strings::java_text;
use crate::jute::{DecodeError, Decoder, Encode};
use crate::zab::AuthInfo;

/// The types of packets (`Leader.java`).
pub mod kind {
    #![allow(missing_docs)]
    pub const REQUEST: i32 = 1;
    pub const PROPOSAL: i32 = 2;
    pub const ACK: i32 = 3;
    pub const COMMIT: i32 = 4;
    pub const PING: i32 = 5;
    pub const REVALIDATE: i32 = 6;
    pub const SYNC: i32 = 7;
    pub const INFORM: i32 = 8;
    pub const COMMITANDACTIVATE: i32 = 9;
    pub const NEWLEADER: i32 = 10;
    pub const FOLLOWERINFO: i32 = 11;
    pub const UPTODATE: i32 = 12;
    pub const DIFF: i32 = 13;
    pub const TRUNC: i32 = 14;
    pub const SNAP: i32 = 15;
    pub const OBSERVERINFO: i32 = 16;
    pub const LEADERINFO: i32 = 17;
    pub const ACKEPOCH: i32 = 18;
    pub const INFORMANDACTIVATE: i32 = 19;
}

/// A packet whose data has not been looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawPacket<'a> {
    pub kind: i32,
    pub zxid: i64,
    pub data: Option<&'a [u8]>,
    pub auth: Vec<AuthInfo>,
}

/// The length of the packet that `input` begins with, or `None` as long as it is not whole.
pub(super) fn end(
    measure: &mut Measure,
    limits: &Limits,
    input: &[u8],
    base: u64,
) -> Result<Option<usize>, WireError> {
    let parts = [
        Part::Fixed(4 + 8),
        Part::Buffer { what: "data of a packet", bytes_max: limits.data_bytes_max },
        Part::List {
            what: "identities of a packet",
            fixed: 0,
            buffers: 2,
            bytes_max: limits.auth_bytes_max,
        },
    ];
    measure.end(&parts, input, base)
}

impl<'a> RawPacket<'a> {
    /// Reads a packet from exactly its bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(bytes);
        let (kind, zxid, data) = (input.i32()?, input.i64()?, input.buffer()?);
        let count = input.count(8)?.unwrap_or_default();
        let mut auth = Vec::with_capacity(count);
        for _ in 0..count {
            let scheme = java_text(input.buffer()?.unwrap_or_default()).into_owned();
            let id = java_text(input.buffer()?.unwrap_or_default()).into_owned();
            auth.push(AuthInfo { scheme, id });
        }
        Ok(RawPacket { kind, zxid, data, auth })
    }
}

/// Appends a packet whose data, if it has any, `data` appends.
pub(super) fn put(
    out: &mut Vec<u8>,
    kind: i32,
    zxid: i64,
    data: Option<impl FnOnce(&mut Vec<u8>)>,
    auth: Option<&[AuthInfo]>,
) {
    out.put_i32(kind);
    out.put_i64(zxid);
    match data {
        None => out.put_buffer(None),
        Some(data) => {
            let mark = crate::protocol::begin_frame(out);
            data(out);
            crate::protocol::end_frame(out, mark);
        }
    }
    match auth {
        None => out.put_i32(-1),
        Some(auth) => {
            out.put_count(auth.len());
            for identity in auth {
                out.put_str(&identity.scheme);
                out.put_str(&identity.id);
            }
        }
    }
}
