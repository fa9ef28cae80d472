//! The request throttle (ZooKeeper's `RequestThrottler`): with `requestThrottleLimit` requests under way, further ones
//! wait in the order in which they came, and go on as answers make room. Off, it costs a comparison a request.
//!
//! A request that waits is kept with its connection and goes with it. Sessions are opened and renewed, and pings and
//! authentication answered, past the throttle. A shard that has nothing under way lets one request go whatever the
//! others have, so that none starves.

use std::collections::VecDeque;

use crate::jute::Decoder;
use crate::metrics::{Counter, Summary};
use crate::protocol::{ErrorCode, OpCode, ReplyHeader, RequestHeader, begin_frame, end_frame};
use crate::reactor::{ConnId, Io};

use super::State;
use super::commits::REPLY_HEADER_BYTES;
use super::conn::{Conn, Pending, Phase, op_name};
use super::serve::Flow;

/// The settings of the throttle, as the configuration's keys name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestThrottle {
    /// `requestThrottleLimit`.
    pub requests_max: u64,
    /// `requestThrottleStallTime`: how long a shard may go without a look at what the others have under way.
    pub stall_ns: u64,
    /// `requestThrottleDropStale`: a stale request is dropped, and its connection closed.
    pub drops_stale: bool,
    /// `requestStaleLatencyCheck`: a request older than its session's timeout is stale.
    pub checks_latency: bool,
    /// `throttledOpWaitTime`: who waited longer is answered THROTTLEDOP; 0 for nobody.
    pub op_wait_ns: u64,
}

/// The requests of this shard that wait.
#[derive(Debug)]
pub(super) struct Throttle {
    settings: RequestThrottle,
    /// The connection of each, oldest first; the request is the oldest of its `waiting`.
    queue: VecDeque<ConnId>,
    /// How many of these connections are gone.
    gone: usize,
}

impl Throttle {
    pub(super) fn new(settings: RequestThrottle) -> Throttle {
        Throttle { settings, queue: VecDeque::new(), gone: 0 }
    }

    /// When the shard is to look again.
    pub(super) fn deadline_ns(&self, now_ns: u64) -> u64 {
        if self.queue.is_empty() { u64::MAX } else { now_ns + self.settings.stall_ns }
    }
}

impl State {
    /// Requests that wait in the throttle.
    pub(super) fn throttled(&self) -> usize {
        self.throttle.as_ref().map_or(0, |t| t.queue.len())
    }

    /// Whether a request that comes now has to wait.
    pub(super) fn must_wait(&self) -> bool {
        let Some(throttle) = &self.throttle else { return false };
        !throttle.queue.is_empty() || self.is_throttling(throttle.settings.requests_max)
    }

    fn is_throttling(&self, requests_max: u64) -> bool {
        self.load.own() > 0 && self.load.all() >= requests_max
    }

    /// Puts a request at the end of the queue.
    pub(super) fn wait(&mut self, conn: &mut Conn, frame: &[u8], now_ns: u64) {
        let Some(throttle) = &mut self.throttle else { return };
        throttle.queue.push_back(conn.id);
        conn.waiting.push_back((frame.into(), now_ns));
        conn.held_bytes += frame.len();
        self.metrics.count(Counter::RequestsThrottled);
    }

    /// Once a pass: those at the front go on as far as there is room.
    pub(super) fn let_go<I: Io>(&mut self, io: &mut I) {
        // Each is looked at once, for some may go to the end of the queue.
        for _ in 0..self.throttled() {
            let Some(throttle) = &mut self.throttle else { return };
            let Some(&id) = throttle.queue.front() else { return };
            let settings = throttle.settings;
            let Some(mut conn) = self.take(id) else {
                self.forget_front();
                continue;
            };
            // Behind a long answer nothing of its connection is taken, and its client may take its time to read it:
            // nobody else waits for that.
            if conn.phase == Phase::Live && (conn.long.is_some() || conn.barrier) {
                self.put_back(conn);
                self.front_to_back();
                continue;
            }
            let went = self.let_one_go(io, &mut conn, &settings);
            self.put_back(conn);
            if !went {
                return;
            }
        }
    }

    /// The oldest request of this connection is the oldest of all. False: it has to wait on.
    fn let_one_go<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        settings: &RequestThrottle,
    ) -> bool {
        let Some((frame, since_ns)) = conn.waiting.pop_front() else {
            unreachable!("a connection is in the queue once for each of its requests");
        };
        let header = RequestHeader::decode(&mut Decoder::new(&frame)).ok();
        let op = header.as_ref().and_then(|header| OpCode::from_i32(header.op_raw));
        let (Some(header), Some(op)) = (header, op) else {
            unreachable!("only requests of known operations are made to wait");
        };
        let waited_ns = io.now_ns().saturating_sub(since_ns);
        let timeout_ns = conn.timeout_ms.max(0) as u64 * 1_000_000;
        let stale = settings.checks_latency && op != OpCode::CloseSession && waited_ns > timeout_ns;
        if conn.phase != Phase::Live || stale && settings.drops_stale {
            self.drop_stale(io, conn, frame.len());
            return true;
        }
        // A message to the core must find room, or it would have to wait here again.
        if self.is_throttling(settings.requests_max) || self.lane.is_full() {
            conn.waiting.push_front((frame, since_ns));
            return false;
        }
        if let Some(throttle) = &mut self.throttle {
            throttle.queue.pop_front();
        }
        conn.held_bytes -= frame.len();
        if stale {
            self.metrics.count(Counter::StaleRequests);
        }
        self.metrics.record(Summary::ThrottleQueueTime, waited_ns);
        self.links.heard.touch(conn.slot, io.now_ns() / 1_000_000);
        let throttled = settings.op_wait_ns > 0 && waited_ns > settings.op_wait_ns;
        if throttled && op != OpCode::CloseSession {
            self.throttle_op(io, conn, &header, op, since_ns);
            self.end_large(frame.len());
        } else if self.run(io, conn, op, &header, &frame, since_ns) == Flow::Close {
            conn.phase = Phase::Closing;
        }
        if conn.phase == Phase::Live {
            self.go_on(io, conn);
        }
        true
    }

    /// Drops the front request: its connection is closing, or is closed for it, since nothing behind it may be done
    /// if it is not.
    fn drop_stale<I: Io>(&mut self, io: &mut I, conn: &mut Conn, bytes: usize) {
        if let Some(throttle) = &mut self.throttle {
            throttle.queue.pop_front();
        }
        conn.held_bytes -= bytes;
        self.end_large(bytes);
        if conn.phase == Phase::Live {
            let why = format_args!(
                "closed {}: its request waited in the throttle for longer than its session's timeout",
                conn.peer
            );
            self.complain(Counter::StaleRequestsDropped, why);
            conn.phase = Phase::Closing;
            io.close(conn.id, true);
        } else {
            self.metrics.count(Counter::StaleRequestsDropped);
        }
    }

    /// Answers THROTTLEDOP, behind the answers to what came before.
    fn throttle_op<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        header: &RequestHeader,
        op: OpCode,
        since_ns: u64,
    ) {
        self.metrics.count(Counter::ThrottledOps);
        if conn.pending.is_empty() {
            self.answer_throttled(io, conn, header.xid, op, since_ns);
        } else {
            conn.pending.push_back(Pending::Throttled { cxid: header.xid, op, since_ns });
            self.under_way(1);
        }
    }

    pub(super) fn answer_throttled<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        cxid: i32,
        op: OpCode,
        since_ns: u64,
    ) {
        let (zxid, now_ns) = (self.zxid, io.now_ns());
        if let Some(out) = io.out(conn.id) {
            let frame = begin_frame(out);
            let err = ErrorCode::ThrottledOp.code();
            ReplyHeader { xid: cxid, zxid, err }.encode(out);
            end_frame(out, frame);
            self.sent(REPLY_HEADER_BYTES);
        }
        self.answered(conn, op_name(op), cxid, zxid, since_ns, now_ns);
    }

    /// A connection's places in the queue are alike: its requests stay in their order.
    fn front_to_back(&mut self) {
        if let Some(throttle) = &mut self.throttle {
            throttle.queue.rotate_left(1);
        }
    }

    /// The connection at the front is gone, and its requests with it.
    fn forget_front(&mut self) {
        if let Some(throttle) = &mut self.throttle {
            throttle.queue.pop_front();
            throttle.gone = throttle.gone.saturating_sub(1);
        }
    }

    /// A connection has ended with requests that wait. Their places in the queue go when they come to its front, or
    /// when they are the greater part of it, so that no number of connections that come and go makes it long.
    pub(super) fn drop_waiting(&mut self, conn: &Conn) {
        let Some(throttle) = self.throttle.as_mut().filter(|_| !conn.waiting.is_empty()) else {
            return;
        };
        self.metrics.add(Counter::StaleRequestsDropped, conn.waiting.len() as u64);
        throttle.gone += conn.waiting.len();
        if throttle.gone * 2 > throttle.queue.len() {
            let conns = &self.conns;
            let is_there = |id: &ConnId| {
                let there = conns.get(id.index as usize).and_then(|c| c.as_deref());
                there.is_some_and(|c| c.id == *id)
            };
            throttle.queue.retain(is_there);
            throttle.gone = 0;
        }
    }
}
