//! One request of a live connection: answered here, held behind a write, or forwarded to the ensemble core.
//!
//! The order rules (R1): the front of a connection's queue is always a request that the core has. A read that
//! comes while the queue is empty is answered at once; behind an ordered request it is held, and answered at the
//! zxid of that request's answer, before anything later of the same connection is. Pings and authentication are
//! answered at once, as ZooKeeper's servers do.

use crate::jute::Decoder;
use crate::lanes::request::{Request, RequestKind};
use crate::metrics::{Counter, Gauge};
use crate::planted::{self, Planted};
use crate::protocol::{
    ErrorCode, OpCode, ReplyHeader, RequestHeader, SaslResponse, begin_frame, end_frame, xid,
};
use crate::reactor::{Io, monotonic_ns};
use crate::tree::WARM_PATHS_MAX;

use super::State;
use super::commits::REPLY_HEADER_BYTES;
use super::conn::{Conn, Frame, Pending, Phase, split_frame};

/// Bytes of a `RequestHeader`.
const HEADER_BYTES: usize = 8;

/// How the connection goes on after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// With the next frame.
    Next,
    /// Not before there is room; this frame was not taken.
    Full,
    /// Nothing more is read.
    Close,
}

impl State {
    /// Works through the whole frames at the front of `input`; returns how many bytes it took.
    pub(super) fn frames<I: Io>(&mut self, io: &mut I, conn: &mut Conn, input: &[u8]) -> usize {
        let (mut used, mut warmed) = (0, 0);
        while !conn.paused && matches!(conn.phase, Phase::Live | Phase::Handshake) {
            if self.output.is_full() && conn.phase == Phase::Live {
                self.pause(io, conn);
                break;
            }
            let rest = &input[used..];
            if conn.phase == Phase::Handshake {
                match self.handshake(io, conn, rest) {
                    0 => break,
                    taken => used += taken,
                }
                continue;
            }
            if self.must_hold_back(conn) {
                if !rest.is_empty() {
                    self.hold_back(conn);
                }
                break;
            }
            let (frame, taken) = match split_frame(rest, self.limits.frame_bytes_max) {
                Frame::Whole(frame, taken) => (frame, taken),
                Frame::Partial => {
                    conn.held_back = false;
                    self.announced(io, conn, rest);
                    break;
                }
                Frame::BadLength(length) => {
                    self.refuse_length(io, conn, length);
                    break;
                }
            };
            // One that is held back is let go on request by request.
            if rest.len() > taken && used >= warmed && !conn.held_back {
                warmed = used + self.warm(rest);
            }
            let flow = self.request(io, conn, frame);
            self.weigh_output(io);
            match flow {
                Flow::Next => {
                    used += taken;
                    self.end_turn(conn);
                }
                Flow::Close => {
                    used = input.len();
                    conn.phase = Phase::Closing;
                }
                Flow::Full => {
                    if !conn.stalled {
                        conn.stalled = true;
                        self.stalled.push(conn.id);
                    }
                    self.pause(io, conn);
                }
            }
            if conn.phase == Phase::Live && self.congested(io, conn) {
                self.pause(io, conn);
            }
        }
        if conn.phase == Phase::Closing { input.len() } else { used }
    }

    /// Has the processor fetch what the next reads will look at: in a large tree each would wait for memory several
    /// times. Returns how many bytes of the input it has looked at.
    fn warm(&self, input: &[u8]) -> usize {
        if !self.reader.is_worth_warming() {
            return usize::MAX / 2;
        }
        let (mut paths, mut count, mut requests, mut used) = ([""; WARM_PATHS_MAX], 0, 0, 0);
        while requests < paths.len()
            && let Frame::Whole(frame, taken) =
                split_frame(&input[used..], self.limits.frame_bytes_max)
        {
            used += taken;
            requests += 1;
            let mut d = Decoder::new(frame);
            if let Ok(header) = RequestHeader::decode(&mut d)
                && OpCode::from_i32(header.op_raw).is_some_and(begins_with_path)
                && let Ok(path) = d.str()
            {
                paths[count] = path;
                count += 1;
            }
        }
        if count > 1 {
            self.reader.warm(paths[..count].iter().copied());
        }
        used
    }

    pub(super) fn refuse_length<I: Io>(&mut self, io: &mut I, conn: &mut Conn, length: i32) {
        let max = self.limits.frame_bytes_max;
        let kind = if length < 0 { Counter::RefusedBadFrame } else { Counter::RefusedOversize };
        self.complain(kind, format_args!(
            "closed {}: it announced a frame of {length} bytes; 0 to {max} (jute.maxbuffer) are accepted{}",
            conn.peer, other_protocol(length)
        ));
        conn.phase = Phase::Closing;
        io.close(conn.id, true);
    }

    /// Takes one request of a live connection.
    fn request<I: Io>(&mut self, io: &mut I, conn: &mut Conn, frame: &[u8]) -> Flow {
        let mut d = Decoder::new(frame);
        let Ok(header) = RequestHeader::decode(&mut d) else {
            self.complain(
                Counter::RefusedBadFrame,
                format_args!(
                    "closed {}: a frame of {} bytes holds no request header",
                    conn.peer,
                    frame.len()
                ),
            );
            io.close(conn.id, true);
            return Flow::Close;
        };
        let body = d.remaining();
        let op = OpCode::from_i32(header.op_raw);
        if !matches!(op, Some(OpCode::Auth | OpCode::Sasl))
            && !self.links.auth.may_request(&conn.identities)
        {
            return self.unauthenticated(io, conn, &header);
        }
        let Some(op) = op else {
            return self.unimplemented(io, conn, &header);
        };
        match op {
            OpCode::Ping => {
                self.received(conn);
                self.pong(io, conn);
                Flow::Next
            }
            // It sends the core a message that may not be lost, so it needs room in the lane like a write.
            OpCode::Auth if self.lane.is_full() => Flow::Full,
            OpCode::Auth => {
                self.received(conn);
                self.authenticate(io, conn, header.xid, body)
            }
            OpCode::Sasl => {
                self.received(conn);
                self.no_sasl(io, conn, header.xid);
                Flow::Next
            }
            _ if !is_read(op) && !is_ordered(op) => self.unimplemented(io, conn, &header),
            _ => self.take_in(io, conn, op, &header, frame),
        }
    }

    /// A request that is answered in its turn.
    fn take_in<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        op: OpCode,
        header: &RequestHeader,
        frame: &[u8],
    ) -> Flow {
        if frame.len() > self.limits.large_request_bytes {
            match self.begin_large(io, conn, frame.len()) {
                Flow::Next => {}
                other => return other,
            }
        }
        let now_ns = io.now_ns();
        let flow = match self.must_wait() {
            true => {
                self.wait(conn, frame, now_ns);
                Flow::Next
            }
            false => self.run(io, conn, op, header, frame, now_ns),
        };
        if flow == Flow::Next {
            self.received(conn);
        }
        flow
    }

    /// Carries out a request whose turn has come.
    pub(super) fn run<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        op: OpCode,
        header: &RequestHeader,
        frame: &[u8],
        since_ns: u64,
    ) -> Flow {
        if !is_read(op) {
            return self.forward_request(conn, header, frame, since_ns);
        }
        if conn.pending.is_empty() || planted::is(Planted::ReadPastWrite) {
            self.answer(io, conn, op, header.xid, &frame[HEADER_BYTES..], since_ns);
            self.end_large(frame.len());
        } else {
            conn.barrier |= self.may_be_long(op, &frame[HEADER_BYTES..]);
            conn.pending.push_back(Pending::Held(frame.into(), since_ns));
            conn.held += 1;
            conn.held_bytes += frame.len();
            self.held += 1;
            self.under_way(1);
        }
        Flow::Next
    }

    pub(super) fn received(&mut self, conn: &mut Conn) {
        conn.stats.received += 1;
        self.metrics.count(Counter::PacketsReceived);
    }

    fn forward_request(
        &mut self,
        conn: &mut Conn,
        header: &RequestHeader,
        frame: &[u8],
        since_ns: u64,
    ) -> Flow {
        let message = Request {
            kind: RequestKind::Client,
            op: header.op_raw,
            cxid: header.xid,
            identities: conn.identities_number,
            conn: conn.id,
            session_id: conn.session_id,
            slot: conn.slot,
            generation: conn.generation,
            body: &frame[HEADER_BYTES..],
        };
        if !self.forward(&message) {
            return Flow::Full;
        }
        // Its answer may be made in slices.
        conn.barrier |= header.op_raw == OpCode::GetEphemerals.code();
        let (cxid, op, bytes) = (header.xid, header.op_raw, frame.len() as u32);
        conn.pending.push_back(Pending::Ordered { cxid, op, since_ns, bytes });
        self.under_way(1);
        Flow::Next
    }

    /// So many more requests are with the core, or held behind one that is.
    pub(super) fn under_way(&mut self, requests: usize) {
        self.load.add(requests);
        self.metrics.change(Gauge::Outstanding, requests as i64);
    }

    /// So many fewer.
    pub(super) fn no_longer_under_way(&mut self, requests: usize) {
        self.load.subtract(requests);
        self.metrics.change(Gauge::Outstanding, -(requests as i64));
    }

    /// An opcode that ZooKeeper has not: answered at once with −6 and no zxid, and the connection is closed
    /// (`UnimplementedRequestProcessor`).
    fn unimplemented<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        header: &RequestHeader,
    ) -> Flow {
        let why = format_args!("closed {}: it sent opcode {}", conn.peer, header.op_raw);
        self.complain(Counter::RefusedUnknownOp, why);
        if let Some(out) = io.out(conn.id) {
            let frame = begin_frame(out);
            let err = ErrorCode::Unimplemented.code();
            ReplyHeader { xid: header.xid, zxid: -1, err }.encode(out);
            end_frame(out, frame);
        }
        io.close(conn.id, true);
        Flow::Close
    }

    /// The connection has no identity of a scheme that `enforce.auth.schemes` asks for: it is told so and closed, the
    /// session lives on (`AuthenticationHelper`).
    fn unauthenticated<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        header: &RequestHeader,
    ) -> Flow {
        let why = format_args!(
            "closed {}: it sent a request before it authenticated with a scheme of enforce.auth.schemes",
            conn.peer
        );
        self.complain(Counter::RefusedUnauthenticated, why);
        if let Some(out) = io.out(conn.id) {
            let frame = begin_frame(out);
            let err = ErrorCode::SessionClosedRequireSaslAuth.code();
            ReplyHeader { xid: header.xid, zxid: 0, err }.encode(out);
            end_frame(out, frame);
        }
        io.close(conn.id, true);
        Flow::Close
    }

    /// Answers the held reads at the front of the queue, at the shard's present zxid. Stops at the bound at which
    /// the connection is closed, which [`go_on`](Self::go_on) does.
    pub(super) fn serve_held<I: Io>(&mut self, io: &mut I, conn: &mut Conn) {
        while conn.long.is_none()
            && let Some(pending) =
                conn.pending.pop_front_if(|p| !matches!(p, Pending::Ordered { .. }))
        {
            self.no_longer_under_way(1);
            match pending {
                Pending::Held(frame, since_ns) => self.serve_one_held(io, conn, &frame, since_ns),
                Pending::Throttled { cxid, op, since_ns } => {
                    self.answer_throttled(io, conn, cxid, op, since_ns);
                }
                Pending::Ordered { .. } => unreachable!("it stays in the queue"),
            }
            if io.backlog(conn.id) > self.limits.output_close_bytes {
                return;
            }
        }
    }

    fn serve_one_held<I: Io>(&mut self, io: &mut I, conn: &mut Conn, frame: &[u8], since_ns: u64) {
        conn.held -= 1;
        conn.held_bytes -= frame.len();
        self.held -= 1;
        let mut d = Decoder::new(frame);
        let Ok(header) = RequestHeader::decode(&mut d) else { return };
        if let Some(op) = OpCode::from_i32(header.op_raw) {
            self.answer(io, conn, op, header.xid, d.remaining(), since_ns);
        }
        self.end_large(frame.len());
    }

    /// SASL is not configured: ZooKeeper answers with a null token and goes on.
    fn no_sasl<I: Io>(&mut self, io: &mut I, conn: &mut Conn, cxid: i32) {
        if let Some(out) = io.out(conn.id) {
            let frame = begin_frame(out);
            ReplyHeader { xid: cxid, zxid: 0, err: 0 }.encode(out);
            SaslResponse { token: None }.encode(out);
            end_frame(out, frame);
        }
    }

    /// The answer to a ping: a header at the shard's present zxid.
    fn pong<I: Io>(&mut self, io: &mut I, conn: &mut Conn) {
        let zxid = self.zxid;
        let now_ns = io.now_ns();
        if let Some(out) = io.out(conn.id) {
            let frame = begin_frame(out);
            ReplyHeader { xid: xid::PING, zxid, err: 0 }.encode(out);
            end_frame(out, frame);
            self.sent(REPLY_HEADER_BYTES);
        }
        self.answered(conn, "PING", xid::PING, zxid, now_ns, now_ns);
    }

    /// Counts what was refused, and says so at most once a second and kind.
    pub(super) fn complain(&mut self, kind: Counter, what: std::fmt::Arguments<'_>) {
        match self.metrics.complain(kind, monotonic_ns()) {
            Some(0) => tracing::warn!("{what}"),
            Some(left_out) => tracing::warn!("{what} (and {left_out} like it)"),
            None => {}
        }
    }
}

/// Answered by the shard itself.
fn is_read(op: OpCode) -> bool {
    use OpCode::*;
    matches!(
        op,
        Exists
            | GetData
            | GetAcl
            | GetChildren
            | GetChildren2
            | GetAllChildrenNumber
            | MultiRead
            | WhoAmI
            | SetWatches
            | SetWatches2
            | AddWatch
            | CheckWatches
            | RemoveWatches
    )
}

/// Reads of one node, whose request begins with its path.
fn begins_with_path(op: OpCode) -> bool {
    use OpCode::*;
    matches!(op, Exists | GetData | GetAcl | GetChildren | GetChildren2)
}

/// Ordered by the ensemble core.
fn is_ordered(op: OpCode) -> bool {
    use OpCode::*;
    matches!(
        op,
        Create
            | Create2
            | CreateContainer
            | CreateTtl
            | Delete
            | DeleteContainer
            | SetData
            | SetAcl
            | Multi
            | Sync
            | Reconfig
            | GetEphemerals
            | CloseSession
    )
}

/// What those who come to the wrong port begin with, read as a length.
fn other_protocol(length: i32) -> &'static str {
    match &length.to_be_bytes() {
        [0x16, 3, ..] => {
            " (it begins as TLS does, which this port does not speak: see secureClientPort)"
        }
        b"GET " | b"POST" | b"HEAD" | b"PUT " => " (it begins as HTTP does)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::other_protocol;

    #[test]
    fn who_came_to_the_wrong_port_is_told_so() {
        let said = |bytes: &[u8; 4]| other_protocol(i32::from_be_bytes(*bytes));
        assert!(said(&[0x16, 3, 1, 2]).contains("TLS"));
        assert!(said(b"GET ").contains("HTTP"));
        assert_eq!(said(&[0x7f, 0xff, 0xff, 0xff]), "");
        assert_eq!(said(&[0xff, 0xff, 0xff, 0xfe]), "");
    }
}
