//! What the ensemble core tells the shards: the entries of the commit ring.
//!
//! An entry holds all that a shard needs to act on one committed transaction (or on an answer that rides in the
//! order of transactions): the watch events it causes and the reply it owes, with the connection that the reply
//! goes to. A batch is a run of entries in zxid order. The bytes live in memory only.

use crate::protocol::{EventType, Zxid};
use crate::reactor::ConnId;
use crate::tree::{AclId, NodeNumber};

/// What the addressed shard does with the entry's reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// Nothing is owed to anyone but watchers.
    Silent = 0,
    /// The answer to a client's request: `cxid`, `err`, and the reply's body.
    Reply = 1,
    /// As `Reply`; the connection is closed once the reply has left.
    ReplyAndClose = 2,
    /// A session was created or attached: the body is an [`Attached`].
    Attached = 3,
    /// The session asked for is unknown, expired, or its password is wrong.
    Refused = 4,
    /// The connection must go: its session moved to another connection, expired, or was closed elsewhere.
    Kick = 5,
    /// Text for a four-letter word, sent as it is; the connection is closed once it has left.
    Text = 6,
    /// The connect request is dropped without an answer (its `lastZxidSeen` is ahead of this server).
    Drop = 7,
    /// The answer to getEphemerals: the body is what [`put_ephemerals`] makes.
    Ephemerals = 8,
}

impl EntryKind {
    fn from_u8(v: u8) -> Option<EntryKind> {
        use EntryKind::*;
        let all = [Silent, Reply, ReplyAndClose, Attached, Refused, Kick, Text, Drop, Ephemerals];
        all.get(v as usize).copied()
    }
}

/// The fixed half of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryHead {
    /// The transaction's zxid, or that of the newest transaction before an answer that took none.
    pub zxid: Zxid,
    /// What the addressed shard does.
    pub kind: EntryKind,
    /// Index of the shard that the reply is for.
    pub shard: u16,
    /// The connection that the reply is for.
    pub conn: ConnId,
    /// The client's xid.
    pub cxid: i32,
    /// The error code of the reply header.
    pub err: i32,
}

impl EntryHead {
    /// An entry that owes nobody a reply.
    pub fn silent(zxid: Zxid) -> EntryHead {
        let conn = ConnId { index: u32::MAX, generation: u32::MAX };
        EntryHead { zxid, kind: EntryKind::Silent, shard: u16::MAX, conn, cxid: 0, err: 0 }
    }
}

const HEAD_BYTES: usize = 44;
const EVENT_HEAD_BYTES: usize = 12;

/// Appends one entry to a batch: head, then events, then the reply's body.
#[derive(Debug)]
pub struct EntryWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    events_end: usize,
}

impl<'a> EntryWriter<'a> {
    /// Starts an entry at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> EntryWriter<'a> {
        let start = out.len();
        out.resize(start + HEAD_BYTES, 0);
        EntryWriter { out, start, events_end: start + HEAD_BYTES }
    }

    /// Adds a watch event; only before the reply's body is begun.
    pub fn event(&mut self, kind: EventType, path: &str, acl: AclId) {
        debug_assert_eq!(self.out.len(), self.events_end, "events go before the reply");
        self.out.extend_from_slice(&(path.len() as u32).to_le_bytes());
        self.out.extend_from_slice(&(kind as i32).to_le_bytes());
        self.out.extend_from_slice(&acl.number().to_le_bytes());
        self.out.extend_from_slice(path.as_bytes());
        self.events_end = self.out.len();
    }

    /// The buffer to append the reply's body to.
    pub fn body(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Completes the entry.
    pub fn finish(self, head: &EntryHead) {
        let total = (self.out.len() - self.start) as u32;
        let events = (self.events_end - self.start - HEAD_BYTES) as u32;
        let h = &mut self.out[self.start..self.start + HEAD_BYTES];
        h[0..4].copy_from_slice(&total.to_le_bytes());
        h[4..8].copy_from_slice(&events.to_le_bytes());
        h[8..16].copy_from_slice(&head.zxid.to_le_bytes());
        h[16] = head.kind as u8;
        h[18..20].copy_from_slice(&head.shard.to_le_bytes());
        h[20..24].copy_from_slice(&head.conn.index.to_le_bytes());
        h[24..28].copy_from_slice(&head.conn.generation.to_le_bytes());
        h[28..32].copy_from_slice(&head.cxid.to_le_bytes());
        h[32..36].copy_from_slice(&head.err.to_le_bytes());
    }
}

/// One entry of a commit batch.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The fixed half.
    pub head: EntryHead,
    events: &'a [u8],
    /// The reply's body.
    pub body: &'a [u8],
}

/// A watch event as the core caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// What happened.
    pub kind: EventType,
    /// To which node.
    pub path: &'a str,
    /// The node's ACL at that moment: a watcher is told only if it allows READ.
    pub acl: AclId,
}

impl<'a> Entry<'a> {
    /// Takes the entry at the front of `batch` and the bytes behind it; `None` at the end of the batch.
    ///
    /// # Panics
    /// If the batch was not made by [`EntryWriter`]: both ends are in this process, so that is a defect.
    pub fn take(batch: &'a [u8]) -> Option<(Entry<'a>, &'a [u8])> {
        if batch.is_empty() {
            return None;
        }
        let i32_at = |at: usize| i32::from_le_bytes(batch[at..at + 4].try_into().expect("4 bytes"));
        let (entry, rest) = batch.split_at(i32_at(0) as u32 as usize);
        let (events, body) = entry[HEAD_BYTES..].split_at(i32_at(4) as u32 as usize);
        let head = EntryHead {
            zxid: i64::from_le_bytes(entry[8..16].try_into().expect("8 bytes")),
            kind: EntryKind::from_u8(entry[16]).expect("a kind that finish() wrote"),
            shard: u16::from_le_bytes([entry[18], entry[19]]),
            conn: ConnId { index: i32_at(20) as u32, generation: i32_at(24) as u32 },
            cxid: i32_at(28),
            err: i32_at(32),
        };
        Some((Entry { head, events, body }, rest))
    }

    /// Whether the entry has watch events.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The watch events, in the order in which they happened.
    pub fn events(&self) -> impl Iterator<Item = Event<'a>> + use<'a> {
        let mut rest = self.events;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (head, tail) = rest.split_at(EVENT_HEAD_BYTES);
            let i32_at =
                |at: usize| i32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes"));
            let (path, tail) = tail.split_at(i32_at(0) as u32 as usize);
            rest = tail;
            Some(Event {
                kind: EventType::from_i32(i32_at(4)).expect("an event type that event() wrote"),
                path: std::str::from_utf8(path).expect("a path that event() wrote"),
                acl: AclId::from_number(i32_at(8) as u32),
            })
        })
    }
}

/// Appends the body of an [`EntryKind::Ephemerals`] entry: the prefix of the paths that are asked for, and the numbers
/// of the session's ephemerals at the entry's zxid. The shard makes their paths, in slices if they are many.
pub fn put_ephemerals(out: &mut Vec<u8>, prefix: &str, numbers: impl Iterator<Item = NodeNumber>) {
    out.extend_from_slice(&(prefix.len() as u32).to_le_bytes());
    out.extend_from_slice(prefix.as_bytes());
    out.extend(numbers.flat_map(|number| number.number().to_le_bytes()));
}

impl<'a> Entry<'a> {
    /// The body of an [`EntryKind::Ephemerals`] entry.
    pub fn ephemerals(&self) -> (impl Iterator<Item = NodeNumber> + use<'a>, &'a str) {
        let (len, rest) = self.body.split_first_chunk::<4>().expect("put_ephemerals made it");
        let (prefix, numbers) = rest.split_at(u32::from_le_bytes(*len) as usize);
        let (numbers, _) = numbers.as_chunks::<4>();
        let numbers = numbers.iter().map(|n| NodeNumber::from_number(u32::from_le_bytes(*n)));
        (numbers, std::str::from_utf8(prefix).expect("put_ephemerals made it"))
    }
}

/// The body of an [`EntryKind::Attached`] entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    /// The session.
    pub session_id: i64,
    /// Its negotiated timeout.
    pub timeout_ms: i32,
    /// The slot in which the shard marks that it heard from the session; goes on every request.
    pub slot: u32,
    /// Goes on every request.
    pub generation: u32,
}

impl Attached {
    /// Appends the body.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.session_id.to_le_bytes());
        out.extend_from_slice(&self.timeout_ms.to_le_bytes());
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
    }

    /// Reads the body.
    pub fn take(body: &[u8]) -> Attached {
        Attached {
            session_id: i64::from_le_bytes(body[0..8].try_into().expect("8 bytes")),
            timeout_ms: i32::from_le_bytes(body[8..12].try_into().expect("4 bytes")),
            slot: u32::from_le_bytes(body[12..16].try_into().expect("4 bytes")),
            generation: u32::from_le_bytes(body[16..20].try_into().expect("4 bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_its_entries_with_events_and_body() {
        let mut batch = Vec::new();
        let head = EntryHead {
            zxid: 77,
            kind: EntryKind::Reply,
            shard: 3,
            conn: ConnId { index: 5, generation: 6 },
            cxid: 8,
            err: -101,
        };
        let mut w = EntryWriter::new(&mut batch);
        w.event(EventType::NodeCreated, "/a", AclId::OPEN);
        w.event(EventType::NodeChildrenChanged, "/", AclId::from_number(4));
        w.body().extend_from_slice(b"xyz");
        w.finish(&head);
        EntryWriter::new(&mut batch).finish(&EntryHead::silent(78));

        let (first, rest) = Entry::take(&batch).expect("the first");
        assert_eq!((first.head, first.body), (head, &b"xyz"[..]));
        let events: Vec<_> = first.events().map(|e| (e.kind, e.path, e.acl)).collect();
        let want = [
            (EventType::NodeCreated, "/a", AclId::OPEN),
            (EventType::NodeChildrenChanged, "/", AclId::from_number(4)),
        ];
        assert_eq!(events, want);
        let (second, rest) = Entry::take(rest).expect("the second");
        assert_eq!(second.head, EntryHead::silent(78));
        assert!(!second.has_events() && second.body.is_empty());
        assert!(Entry::take(rest).is_none());
    }

    #[test]
    fn attached_reads_back() {
        let a = Attached { session_id: -5, timeout_ms: 30_000, slot: 12, generation: 4 };
        let mut body = Vec::new();
        a.put(&mut body);
        assert_eq!(Attached::take(&body), a);
    }
}
