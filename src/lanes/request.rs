//! What a shard asks of the ensemble core: the messages of a request lane.
//!
//! A batch of a lane is a run of messages, each a fixed header and a body. They live in memory only and never
//! leave the process, so their bytes are little-endian and have no version. The body of a client's request is
//! the bytes that the client sent behind its request header, copied once.

use crate::reactor::ConnId;

/// What kind of message this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RequestKind {
    /// A client's request that the core must order: every write, `sync`, `getEphemerals`, `closeSession`.
    Client = 0,
    /// A `ConnectRequest`; the body is its bytes.
    Connect = 1,
    /// The connection is gone. Its session lives on until it expires or is attached elsewhere; the identity list
    /// that the message carries is no longer used by it.
    Disconnect = 2,
    /// The connection uses another identity list from here on: this one goes.
    Release = 3,
}

impl RequestKind {
    fn from_u8(v: u8) -> Option<RequestKind> {
        Some(match v {
            0 => RequestKind::Client,
            1 => RequestKind::Connect,
            2 => RequestKind::Disconnect,
            3 => RequestKind::Release,
            _ => return None,
        })
    }
}

/// One message of a request lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What kind of message this is.
    pub kind: RequestKind,
    /// The client's opcode as it stood on the wire; 0 where the kind has none.
    pub op: i32,
    /// The client's xid; 0 where the kind has none.
    pub cxid: i32,
    /// Number of the connection's identities in the identity table.
    pub identities: u32,
    /// The connection that asks; answers are routed by it.
    pub conn: ConnId,
    /// The session that the connection is attached to, or 0.
    pub session_id: i64,
    /// Where the registry finds the session.
    pub slot: u32,
    /// The session's generation when the connection was attached: a newer one means that it has moved on.
    pub generation: u32,
    /// The request's bytes behind its header.
    pub body: &'a [u8],
}

const HEAD_BYTES: usize = 44;

impl<'a> Request<'a> {
    /// Appends the message to the batch of a lane.
    pub fn put(&self, out: &mut Vec<u8>) {
        let mut head = [0u8; HEAD_BYTES];
        head[0..4].copy_from_slice(&(self.body.len() as u32).to_le_bytes());
        head[4] = self.kind as u8;
        head[8..12].copy_from_slice(&self.op.to_le_bytes());
        head[12..16].copy_from_slice(&self.cxid.to_le_bytes());
        head[16..20].copy_from_slice(&self.identities.to_le_bytes());
        head[20..24].copy_from_slice(&self.conn.index.to_le_bytes());
        head[24..28].copy_from_slice(&self.conn.generation.to_le_bytes());
        head[28..32].copy_from_slice(&self.slot.to_le_bytes());
        head[32..40].copy_from_slice(&self.session_id.to_le_bytes());
        head[40..44].copy_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(self.body);
    }

    /// Takes the message at the front of `batch` and the bytes behind it; `None` at the end of the batch.
    ///
    /// # Panics
    /// If the batch was not made by [`Request::put`]: both ends are in this process, so that is a defect.
    pub fn take(batch: &'a [u8]) -> Option<(Request<'a>, &'a [u8])> {
        if batch.is_empty() {
            return None;
        }
        let (head, rest) = batch.split_at(HEAD_BYTES);
        let i32_at = |at: usize| i32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes"));
        let u32_at = |at: usize| i32_at(at) as u32;
        let (body, rest) = rest.split_at(u32_at(0) as usize);
        let request = Request {
            kind: RequestKind::from_u8(head[4]).expect("a kind that put() wrote"),
            op: i32_at(8),
            cxid: i32_at(12),
            identities: u32_at(16),
            conn: ConnId { index: u32_at(20), generation: u32_at(24) },
            session_id: i64::from_le_bytes(head[32..40].try_into().expect("8 bytes")),
            slot: u32_at(28),
            generation: u32_at(40),
            body,
        };
        Some((request, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_its_messages_in_order() {
        let first = Request {
            kind: RequestKind::Client,
            op: 5,
            cxid: -7,
            identities: 3,
            conn: ConnId { index: 9, generation: 2 },
            session_id: i64::MIN,
            slot: 11,
            generation: 12,
            body: b"body",
        };
        let second = Request { kind: RequestKind::Disconnect, op: 0, body: b"", ..first };
        let mut batch = Vec::new();
        first.put(&mut batch);
        second.put(&mut batch);
        let (got, rest) = Request::take(&batch).expect("the first");
        assert_eq!(got, first);
        let (got, rest) = Request::take(rest).expect("the second");
        assert_eq!(got, second);
        assert!(Request::take(rest).is_none());
    }
}
