//! One client connection as its shard sees it: where it stands in the protocol, what it has sent that is not yet
//! a whole frame, and what it is still owed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use super::input::Input;
use super::long::Long;
use crate::protocol::{Identity, OpCode, Zxid};
use crate::reactor::ConnId;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing but a handshake or a four-letter word is accepted.
    Handshake,
    /// The `ConnectRequest` is with the ensemble core; what comes meanwhile waits in the input buffer.
    Connecting,
    /// Attached to a session.
    Live,
    /// The last bytes are leaving; nothing more is read.
    Closing,
}

/// A request that has not been answered yet. The front of the queue is always one that is with the core:
/// others at the front are answered at once.
#[derive(Debug)]
pub enum Pending {
    /// With the ensemble core; its answer comes through the commit ring.
    Ordered {
        /// The client's xid, to check that answers come in the order of the requests.
        cxid: i32,
        /// The opcode, for the statistics.
        op: i32,
        /// When the request arrived (monotonic).
        since_ns: u64,
        /// Bytes of the request: a large one takes room until it is answered.
        bytes: u32,
    },
    /// A read that waits for the answer of a write before it; the frame's bytes behind the length prefix.
    Held(Box<[u8]>, u64),
    /// A request that waited in the throttle for too long; it is answered THROTTLEDOP in its turn.
    Throttled {
        /// The client's xid.
        cxid: i32,
        /// For the statistics.
        op: OpCode,
        /// When the request arrived (monotonic).
        since_ns: u64,
    },
}

/// What `cons` and `stat` tell of a connection.
#[derive(Debug, Clone, Default)]
pub struct ConnStats {
    /// Requests received.
    pub received: u64,
    /// Replies sent.
    pub sent: u64,
    /// When the connection was accepted, wall clock milliseconds since 1970.
    pub established_ms: i64,
    /// The last request's operation.
    pub last_op: &'static str,
    /// The last request's xid.
    pub last_cxid: i32,
    /// The zxid of the last reply.
    pub last_zxid: Zxid,
    /// When the last reply was made (monotonic).
    pub last_response_ns: u64,
    /// Latency of the last request.
    pub last_latency_us: u64,
    /// Smallest latency, `u64::MAX` before the first reply.
    pub min_latency_us: u64,
    /// Largest latency.
    pub max_latency_us: u64,
    /// Sum of all latencies, for the mean.
    pub total_latency_us: u64,
}

/// One client connection.
#[derive(Debug)]
pub(crate) struct Conn {
    /// The reactor's name for it.
    pub id: ConnId,
    /// The client's address.
    pub peer: SocketAddr,
    /// Where it stands.
    pub phase: Phase,
    /// Bytes received that are not yet a whole frame, or that wait for room downstream.
    pub input: Input,
    /// What it is owed, oldest first.
    pub pending: VecDeque<Pending>,
    /// How many of `pending` are held reads.
    pub held: usize,
    /// Bytes of their requests, and of those that wait in the throttle.
    pub held_bytes: usize,
    /// Requests that wait in the throttle, oldest first, with the time when each arrived (monotonic). All came behind
    /// those of `pending`.
    pub waiting: VecDeque<(Box<[u8]>, u64)>,
    /// Memory of `input` and of the held reads that is in the shard's sum.
    pub weighed: usize,
    /// When bytes last arrived (monotonic).
    pub fed_ns: u64,
    /// It is read although it is in the midst of a large request, while others have to wait.
    pub has_turn: bool,
    /// Its place among those that go on when all together hold less, 0 if it has none.
    pub ticket: u64,
    /// What the client had taken of its output when a tick last looked, and since when it has taken nothing; `None`
    /// while its output is in nobody's way.
    pub unread: Option<(u64, u64)>,
    /// It had taken nothing of its output from the tick before the last one to the last. Not seen from the time alone:
    /// a tick may be late, and who was noted once, with an answer on its way, is no slow reader.
    pub stands_still: bool,
    /// The session it is attached to, 0 before that.
    pub session_id: i64,
    /// The session's negotiated timeout.
    pub timeout_ms: i32,
    /// The slot in which the shard marks that it heard from the session.
    pub slot: u32,
    /// The session's generation, for the requests.
    pub generation: u32,
    /// Whether the client's `ConnectRequest` had the read-only byte (clients before 3.4 have none).
    pub knows_read_only: bool,
    /// Who the connection has shown itself to be.
    pub identities: Arc<[Identity]>,
    /// The list's number in the identity table; requests carry it.
    pub identities_number: u32,
    /// Reading the socket is paused: its output or the way to the core is full.
    pub paused: bool,
    /// What it sends stays in `input` while too many requests are under way in all.
    pub held_back: bool,
    /// An answer that is being made in slices, or waits for its turn; no request behind it is taken meanwhile.
    pub long: Option<Box<Long>>,
    /// Its connect request is with the core.
    pub connecting: bool,
    /// One of `pending` may turn out such an answer: no request behind it is taken.
    pub barrier: bool,
    /// In the list of connections that go on when the way to the core has room again.
    pub stalled: bool,
    /// When it was accepted (monotonic); the handshake has a deadline.
    pub accepted_ns: u64,
    /// For `cons` and `stat`.
    pub stats: ConnStats,
}

impl Conn {
    /// A connection that has just been accepted.
    pub fn new(
        id: ConnId,
        peer: SocketAddr,
        (identities_number, identities): (u32, Arc<[Identity]>),
        now_ns: u64,
        now_ms: i64,
    ) -> Conn {
        Conn {
            id,
            peer,
            phase: Phase::Handshake,
            input: Input::default(),
            pending: VecDeque::new(),
            connecting: false,
            held: 0,
            held_bytes: 0,
            waiting: VecDeque::new(),
            weighed: 0,
            fed_ns: now_ns,
            has_turn: false,
            ticket: 0,
            unread: None,
            stands_still: false,
            session_id: 0,
            timeout_ms: 0,
            slot: 0,
            generation: 0,
            knows_read_only: true,
            identities,
            identities_number,
            paused: false,
            held_back: false,
            long: None,
            barrier: false,
            stalled: false,
            accepted_ns: now_ns,
            stats: ConnStats {
                established_ms: now_ms,
                last_op: "NA",
                min_latency_us: u64::MAX,
                ..ConnStats::default()
            },
        }
    }

    /// Whether the client has taken nothing of its output for a whole session timeout. While it does not, it is not
    /// read either, so its pings do not count: without an end to that a client that hangs would hold its ephemerals
    /// for ever. One that takes a byte now and then is alive. Asked at every tick; `taken` is what it
    /// has taken since it was accepted, `None` if its output is in nobody's way.
    pub fn reads_nothing(&mut self, taken: Option<u64>, now_ns: u64) -> bool {
        match (taken, self.unread) {
            (Some(taken), Some((before, since_ns))) if taken <= before => {
                self.stands_still = true;
                now_ns.saturating_sub(since_ns) >= self.timeout_ms.max(0) as u64 * 1_000_000
            }
            (taken, _) => {
                self.unread = taken.map(|taken| (taken, now_ns));
                self.stands_still = false;
                false
            }
        }
    }

    /// Notes that a request of `op` was answered.
    pub fn answered(
        &mut self,
        op: &'static str,
        cxid: i32,
        zxid: Zxid,
        since_ns: u64,
        now_ns: u64,
    ) {
        let us = now_ns.saturating_sub(since_ns) / 1_000;
        let s = &mut self.stats;
        s.sent += 1;
        s.last_op = op;
        s.last_cxid = cxid;
        s.last_zxid = zxid;
        s.last_response_ns = now_ns;
        s.last_latency_us = us;
        s.min_latency_us = s.min_latency_us.min(us);
        s.max_latency_us = s.max_latency_us.max(us);
        s.total_latency_us += us;
    }
}

/// What the front of an input buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole frame's body and how many bytes it took with its prefix.
    Whole(&'a [u8], usize),
    /// More bytes are needed.
    Partial,
    /// A length prefix that no client may send.
    BadLength(i32),
}

/// Splits off the frame at the front of `input`. A length of `0..=max_bytes` is accepted, as
/// `NIOServerCnxn.readLength` does.
pub fn split_frame(input: &[u8], max_bytes: usize) -> Frame<'_> {
    let Some((prefix, rest)) = input.split_first_chunk::<4>() else {
        return Frame::Partial;
    };
    let length = i32::from_be_bytes(*prefix);
    if length < 0 || length as usize > max_bytes {
        return Frame::BadLength(length);
    }
    match rest.get(..length as usize) {
        Some(body) => Frame::Whole(body, 4 + length as usize),
        None => Frame::Partial,
    }
}

/// The short names that `cons` shows, as `FinalRequestProcessor` gives them.
pub fn op_name(op: OpCode) -> &'static str {
    use OpCode::*;
    match op {
        Create | Create2 | CreateContainer | CreateTtl => "CREA",
        Delete | DeleteContainer => "DELE",
        SetData => "SETD",
        SetAcl => "SETA",
        Check => "CHEC",
        Multi => "MULT",
        Sync => "SYNC",
        Reconfig => "RECO",
        CloseSession => "CLOS",
        Exists => "EXIS",
        GetData => "GETD",
        GetAcl => "GETA",
        GetChildren | GetChildren2 => "GETC",
        GetAllChildrenNumber => "GETACN",
        GetEphemerals => "GETE",
        MultiRead => "MLTR",
        WhoAmI => "HOMI",
        SetWatches => "SETW",
        SetWatches2 => "STW2",
        AddWatch => "ADDW",
        CheckWatches => "CHKW",
        RemoveWatches => "REMW",
        _ => "NA",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_stuck_after_a_timeout_without_progress() {
        let peer = "10.0.0.1:1".parse().unwrap();
        let id = ConnId { index: 0, generation: 0 };
        let mut c = Conn::new(id, peer, (0, Arc::from([])), 0, 0);
        c.timeout_ms = 10;
        let ms = |n: u64| n * 1_000_000;
        assert!(!c.reads_nothing(Some(500), ms(1)) && !c.stands_still, "looked at once");
        assert!(!c.reads_nothing(Some(500), ms(10)), "9 ms");
        assert!(c.reads_nothing(Some(500), ms(11)) && c.stands_still);
        assert!(!c.reads_nothing(Some(501), ms(12)), "it has read something");
        assert!(!c.stands_still);
        assert!(!c.reads_nothing(Some(501), ms(21)));
        assert!(!c.reads_nothing(None, ms(22)), "paused for another reason");
        assert!(!c.reads_nothing(Some(501), ms(40)), "a new spell");
        assert!(
            !c.reads_nothing(Some(400), ms(45)),
            "what is on the way may be counted as not taken"
        );
        assert!(c.reads_nothing(Some(501), ms(50)));
    }

    #[test]
    fn frames_are_split_at_their_length() {
        let bytes = [0, 0, 0, 2, 7, 8, 0, 0];
        assert_eq!(split_frame(&bytes, 10), Frame::Whole(&[7, 8], 6));
        assert_eq!(split_frame(&bytes[..5], 10), Frame::Partial);
        assert_eq!(split_frame(&bytes[..3], 10), Frame::Partial);
        assert_eq!(split_frame(&bytes, 1), Frame::BadLength(2));
        assert_eq!(split_frame(&[0xff; 4], 10), Frame::BadLength(-1));
        assert_eq!(split_frame(&[0; 4], 10), Frame::Whole(&[], 4));
    }
}
