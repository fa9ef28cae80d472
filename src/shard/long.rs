//! Answers that take long, made in slices: the listing of a node with very many children, the count of a large
//! subtree, a multiRead of such, the ephemerals of a session with very many.
//!
//! Such an answer is of one zxid (R5), which is pinned while it is made, and holds back only its own connection: no
//! further request of it is taken, and events owed to it wait behind the answer. One answer a shard is made at a time,
//! the others wait in line without a pin, so what pins keep is bounded. The pin goes when the answer is made, whether
//! its client reads it or not.

use std::sync::Arc;

use crate::jute::{Decoder, Encode};
use crate::lanes::entry::Entry;
use crate::metrics::{Counter, Summary};
use crate::protocol::{
    ErrorCode, FrameMark, GetAllChildrenNumberRequest, GetChildren2Request, GetChildrenRequest,
    MultiHeader, MultiOp, MultiOps, OpCode, ReplyHeader, Stat, begin_frame, end_frame, end_multi,
    patch_count, put_children, put_stat,
};
use crate::reactor::Io;
use crate::tree::{Listing, NodeNumber, Pin, Walker};
use crate::watch::WatchKind;

use super::State;
use super::conn::{Conn, Pending, Phase, op_name};
use super::reads::Refusal;

/// Znodes, or pieces of data of [`ITEM_BYTES`], from which on an answer is made in slices.
pub(super) const LONG_ITEMS: usize = 2048;
/// Bytes of data that take about as long as a znode.
pub(super) const ITEM_BYTES: usize = 64;
/// Of these one slice goes through at the most.
const SLICE_ITEMS: usize = 4096;
/// How long a slice goes on at the most. A pass has two of them where a shard shares its thread with the core.
const SLICE_NS: u64 = 200_000;
/// The clock is looked at after so many items.
const LOOK_ITEMS: usize = 64;
/// Bytes that a child's name is expected to take.
const NAME_BYTES: usize = 24;
/// Lists of ephemerals that wait in line, each with a pin, for they are of a zxid that the core has fixed. One more is
/// answered with THROTTLEDOP.
const EPHEMERALS_MAX: usize = 8;

/// A long answer of one connection, being made or waiting for its turn.
#[derive(Debug)]
pub(crate) struct Long {
    op: OpCode,
    cxid: i32,
    since_ns: u64,
    body: Box<[u8]>,
    making: Option<Making>,
}

#[derive(Debug)]
struct Making {
    pin: Arc<Pin>,
    /// The whole frame.
    answer: Vec<u8>,
    frame: FrameMark,
    /// Events that may not leave before the answer.
    behind: Vec<u8>,
    work: Work,
}

/// What is being gone through, and how far.
#[derive(Debug)]
enum Work {
    Children { children: Children, stat: Option<Stat> },
    Count { walker: Walker<Arc<Pin>>, count: i32 },
    Multi { offset: usize, children: Option<Children> },
    Ephemerals { list: Ephemerals, at: usize, count: usize },
}

#[derive(Debug)]
struct Children {
    listing: Listing,
    /// Where the count of them stands in the answer.
    at: usize,
    count: usize,
}

/// The body of an entry of [`crate::lanes::entry::EntryKind::Ephemerals`]: numbers of nodes, and a prefix.
#[derive(Debug)]
struct Ephemerals {
    nodes: Vec<NodeNumber>,
    prefix: Box<str>,
    count_at: usize,
}

/// What is left of a slice.
struct Budget<'a, I> {
    items: usize,
    look: usize,
    until_ns: u64,
    io: &'a I,
}

impl<I: Io> Budget<'_, I> {
    fn slice(io: &I) -> Budget<'_, I> {
        let until_ns = io.clock_ns() + SLICE_NS;
        Budget { items: SLICE_ITEMS, look: LOOK_ITEMS, until_ns, io }
    }

    /// Takes `items` from it; false when it is used up.
    fn take(&mut self, items: usize) -> bool {
        self.items = self.items.saturating_sub(items);
        if self.look > items {
            self.look -= items;
            return self.items > 0;
        }
        self.look = LOOK_ITEMS;
        self.items > 0 && self.io.clock_ns() < self.until_ns
    }
}

impl Long {
    /// Where events have to wait; `None` if they may leave, the answer not being begun.
    pub(super) fn behind(&mut self) -> Option<&mut Vec<u8>> {
        self.making.as_mut().map(|making| &mut making.behind)
    }

    /// Bytes made that the connection has not got yet.
    pub(super) fn bytes(&self) -> usize {
        self.making.as_ref().map_or(0, |m| m.answer.len() + m.behind.len())
    }
}

impl State {
    /// Whether a read that is to be held may turn out long. Then nothing behind it is taken, for it could not be told
    /// before: if what it asks for grows until it is answered, by what is created in that time, it is still answered
    /// in one go.
    pub(super) fn may_be_long(&self, op: OpCode, body: &[u8]) -> bool {
        let mut d = Decoder::new(body);
        let node = |path| self.node(path);
        match op {
            OpCode::GetChildren | OpCode::GetChildren2 => {
                let node = GetChildrenRequest::decode(&mut d).ok().and_then(|r| node(r.path));
                node.is_some_and(|node| node.num_children() as usize > LONG_ITEMS / 2)
            }
            OpCode::GetAllChildrenNumber => {
                let r = GetAllChildrenNumberRequest::decode(&mut d).ok();
                let node = r.and_then(|r| node(r.path));
                node.is_some_and(|node| node.subtree().nth(LONG_ITEMS / 2).is_some())
            }
            OpCode::MultiRead => true,
            _ => false,
        }
    }

    /// Puts a read in line to be answered in slices.
    pub(super) fn put_off<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        op: OpCode,
        cxid: i32,
        body: &[u8],
        since_ns: u64,
    ) {
        debug_assert!(conn.long.is_none() && conn.pending.is_empty());
        let long = Long { op, cxid, since_ns, body: body.into(), making: None };
        self.under_way(1);
        self.line_up(io, conn, long);
    }

    fn line_up<I: Io>(&mut self, io: &mut I, conn: &mut Conn, long: Long) {
        conn.long = Some(Box::new(long));
        self.longs.push_back(conn.id);
        self.metrics.count(Counter::LongAnswers);
        self.pause(io, conn);
    }

    /// A slice of the answer at the front of the line.
    pub(super) fn slice<I: Io>(&mut self, io: &mut I) {
        while let Some(&id) = self.longs.front() {
            let Some(mut conn) = self.take(id) else {
                self.longs.pop_front();
                continue;
            };
            let long = conn.long.take().filter(|_| conn.phase == Phase::Live);
            let Some(mut long) = long else {
                self.longs.pop_front();
                self.put_back(conn);
                continue;
            };
            match self.go_further(&conn, &mut long, Budget::slice(io)) {
                Ok(false) => conn.long = Some(long),
                made => {
                    self.longs.pop_front();
                    self.send_long(io, &mut conn, *long, made.map(|_| ()));
                    self.go_on(io, &mut conn);
                }
            }
            return self.put_back(conn);
        }
    }

    /// Goes on with an answer for a slice; true when it is made.
    fn go_further<I: Io>(
        &mut self,
        conn: &Conn,
        long: &mut Long,
        mut budget: Budget<'_, I>,
    ) -> Result<bool, Refusal> {
        let making = match &mut long.making {
            Some(making) => making,
            None => {
                let making = self.begin(conn, long)?;
                long.making.insert(making)
            }
        };
        let Making { pin, answer, work, .. } = making;
        let made = match work {
            Work::Children { children, stat } => {
                let done = self.list(children, answer, &mut budget);
                if let Some(stat) = stat.as_ref().filter(|_| done) {
                    put_stat(answer, stat);
                }
                done
            }
            Work::Count { walker, count } => loop {
                if walker.next(&mut self.reader).is_none() {
                    answer.put_i32(*count);
                    break true;
                }
                *count = count.saturating_add(1);
                if !budget.take(1) {
                    break false;
                }
            },
            Work::Multi { offset, children } => {
                let pin = Arc::clone(pin);
                self.read_on_in_multi(
                    conn,
                    &long.body,
                    &pin,
                    offset,
                    children,
                    answer,
                    &mut budget,
                )?
            }
            Work::Ephemerals { list, at, count } => {
                self.name(pin, list, at, count, answer, &mut budget)
            }
        };
        if answer.len() > self.limits.output_close_bytes {
            return Err(self.too_long(conn, long.op));
        }
        Ok(made)
    }

    /// Pins the shard's zxid, checks what is asked for, and sets the watch.
    fn begin(&mut self, conn: &Conn, long: &Long) -> Result<Making, Refusal> {
        let mut d = Decoder::new(&long.body);
        let (pin, mut answer, frame) = self.pinned_answer(long.cxid);
        let work = match long.op {
            OpCode::GetChildren => {
                let r = GetChildrenRequest::decode(&mut d)?;
                self.begin_listing(conn, &pin, r.path, r.watch, false, &mut answer)?
            }
            OpCode::GetChildren2 => {
                let r = GetChildren2Request::decode(&mut d)?;
                self.begin_listing(conn, &pin, r.path, r.watch, true, &mut answer)?
            }
            OpCode::GetAllChildrenNumber => {
                let r = GetAllChildrenNumberRequest::decode(&mut d)?;
                self.readable(conn, r.path, self.zxid)?;
                // As in `count_descendants`.
                let (top, count) = if r.path.is_empty() { ("/", 0) } else { (r.path, -1) };
                let walker = Walker::under(&self.reader, Arc::clone(&pin), top);
                Work::Count { walker: walker.ok_or(ErrorCode::NoNode)?, count }
            }
            OpCode::MultiRead => Work::Multi { offset: 0, children: None },
            op => unreachable!("{op:?} is not answered in slices"),
        };
        Ok(Making { pin, answer, frame, behind: Vec::new(), work })
    }

    fn pinned_answer(&self, cxid: i32) -> (Arc<Pin>, Vec<u8>, FrameMark) {
        let pin = self.reader.pin_at(self.zxid).expect("a shard holds the zxid that it reads at");
        let mut answer = Vec::new();
        let frame = begin_frame(&mut answer);
        ReplyHeader { xid: cxid, zxid: self.zxid, err: 0 }.encode(&mut answer);
        (Arc::new(pin), answer, frame)
    }

    fn begin_listing(
        &mut self,
        conn: &Conn,
        pin: &Arc<Pin>,
        path: &str,
        watch: bool,
        with_stat: bool,
        answer: &mut Vec<u8>,
    ) -> Result<Work, Refusal> {
        let node = self.readable(conn, path, self.zxid)?;
        let stat = with_stat.then(|| node.stat());
        let expected = node.num_children() as usize * NAME_BYTES;
        answer.reserve(expected.min(self.limits.output_close_bytes));
        let children = self.children(pin, path, answer).ok_or(ErrorCode::NoNode)?;
        if watch {
            self.watch(conn, path, WatchKind::Child)?;
        }
        Ok(Work::Children { children, stat })
    }

    fn children(&self, pin: &Arc<Pin>, path: &str, answer: &mut Vec<u8>) -> Option<Children> {
        let path = if path.is_empty() { "/" } else { path };
        let listing = Listing::new(&self.reader, Arc::clone(pin), path)?;
        let at = answer.len();
        answer.put_count(0);
        Some(Children { listing, at, count: 0 })
    }

    /// Appends names of children; true when there are no more.
    fn list<I: Io>(
        &self,
        children: &mut Children,
        answer: &mut Vec<u8>,
        budget: &mut Budget<'_, I>,
    ) -> bool {
        while let Some(name) = children.listing.next(&self.reader) {
            answer.put_str(name);
            children.count += 1;
            if !budget.take(1) {
                return false;
            }
        }
        patch_count(answer, children.at, children.count);
        true
    }

    /// Goes on with a multiRead behind `offset` of its body; as in `multi_read`.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of one `Making`, apart so that each can be borrowed"
    )]
    fn read_on_in_multi<I: Io>(
        &mut self,
        conn: &Conn,
        body: &[u8],
        pin: &Arc<Pin>,
        offset: &mut usize,
        children: &mut Option<Children>,
        answer: &mut Vec<u8>,
        budget: &mut Budget<'_, I>,
    ) -> Result<bool, Refusal> {
        if let Some(listing) = children {
            if !self.list(listing, answer, budget) {
                return Ok(false);
            }
            *children = None;
        }
        let mut ops = MultiOps::reads_from(body, *offset);
        while let Some(op) = ops.next() {
            let (_, op) = op?;
            *offset = ops.offset();
            let start = answer.len();
            MultiHeader { kind: op.op().code(), done: false, err: 0 }.encode(answer);
            let result = match op {
                MultiOp::GetData(r) => self.readable(conn, r.path, pin.zxid()).map(|node| {
                    answer.put_buffer(node.data());
                    put_stat(answer, &node.stat());
                }),
                MultiOp::GetChildren(r) => match self.readable(conn, r.path, pin.zxid()) {
                    Ok(node) if node.num_children() as usize > LOOK_ITEMS => {
                        *children = self.children(pin, r.path, answer);
                        Ok(())
                    }
                    Ok(node) => {
                        put_children(answer, node.children());
                        Ok(())
                    }
                    Err(code) => Err(code),
                },
                _ => return Err(Refusal::NotReads),
            };
            if let Err(code) = result {
                answer.truncate(start);
                let kind = OpCode::Error.code();
                MultiHeader { kind, done: false, err: code.code() }.encode(answer);
                answer.put_i32(code.code());
            }
            if let Some(listing) = children {
                if !self.list(listing, answer, budget) {
                    return Ok(false);
                }
                *children = None;
            }
            let too_long = answer.len() > self.limits.output_close_bytes;
            if !budget.take(1 + (answer.len() - start) / ITEM_BYTES) || too_long {
                return Ok(false);
            }
        }
        end_multi(answer);
        Ok(true)
    }

    /// The core's answer to getEphemerals: which nodes they are at the entry's zxid.
    pub(super) fn deliver_ephemerals<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        entry: &Entry<'_>,
    ) {
        if conn.phase != Phase::Live {
            return;
        }
        let Some(Pending::Ordered { cxid, since_ns, .. }) = conn.pending.pop_front() else {
            unreachable!("an answer of the core finds its request at the front of the queue (R1)");
        };
        assert_eq!(cxid, entry.head.cxid, "answers come in the order of the requests (R1)");
        let (numbers, prefix) = entry.ephemerals();
        let (pin, mut answer, frame) = self.pinned_answer(cxid);
        let list =
            Ephemerals { nodes: numbers.collect(), prefix: prefix.into(), count_at: answer.len() };
        answer.put_count(0);
        let many = list.nodes.len() > LONG_ITEMS;
        let work = Work::Ephemerals { list, at: 0, count: 0 };
        let making = Some(Making { pin, answer, frame, behind: Vec::new(), work });
        let mut long =
            Long { op: OpCode::GetEphemerals, cxid, since_ns, body: Box::default(), making };
        if many && self.longs.len() >= EPHEMERALS_MAX {
            self.metrics.count(Counter::ThrottledOps);
            return self.send_long(io, conn, long, Err(ErrorCode::ThrottledOp.into()));
        }
        if many {
            return self.line_up(io, conn, long);
        }
        let all = Budget { items: usize::MAX, look: usize::MAX, until_ns: u64::MAX, io };
        let made = self.go_further(conn, &mut long, all).map(|_| ());
        self.send_long(io, conn, long, made);
    }

    /// Appends paths of ephemerals; true when there are no more.
    fn name<I: Io>(
        &self,
        pin: &Pin,
        list: &Ephemerals,
        at: &mut usize,
        count: &mut usize,
        answer: &mut Vec<u8>,
        budget: &mut Budget<'_, I>,
    ) -> bool {
        let mut path = String::new();
        while let Some(&number) = list.nodes.get(*at) {
            *at += 1;
            path.clear();
            let found = self.reader.push_path_of(pin, number, &mut path);
            debug_assert!(found, "an ephemeral lives at the zxid of its list");
            if found && path.starts_with(&*list.prefix) {
                answer.put_str(&path);
                *count += 1;
            }
            if !budget.take(2) {
                return false;
            }
        }
        patch_count(answer, list.count_at, *count);
        true
    }

    /// Lets the pin go, then hands the answer to the connection, and what had to wait behind it.
    fn send_long<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        long: Long,
        made: Result<(), Refusal>,
    ) {
        let Long { op, cxid, since_ns, making, .. } = long;
        let (zxid, mut answer, behind, mut frame) = match making {
            Some(m) => (m.pin.zxid(), m.answer, m.behind, Some(m.frame)),
            None => (self.zxid, Vec::new(), Vec::new(), None),
        };
        if let Err(refusal) = made {
            let not_reads = matches!(refusal, Refusal::NotReads);
            let err = self.refusal_code(conn, op, refusal);
            answer.clear();
            frame = Some(begin_frame(&mut answer));
            ReplyHeader { xid: cxid, zxid, err: err.code() }.encode(&mut answer);
            if not_reads {
                end_multi(&mut answer);
            }
        }
        if let Some(frame) = frame {
            end_frame(&mut answer, frame);
        }
        let now_ns = io.now_ns();
        self.no_longer_under_way(1);
        self.metrics.record(Summary::ReadLatency, now_ns.saturating_sub(since_ns));
        self.answered(conn, op_name(op), cxid, zxid, since_ns, now_ns);
        if let Some(out) = io.out(conn.id) {
            // An answer of megabytes is not copied.
            match out.is_empty() {
                true => *out = answer,
                false => out.extend_from_slice(&answer),
            }
            out.extend_from_slice(&behind);
        }
    }
}
