//! The writer: turns batches into frames and says where each is to be written; told of the
//! completions, it says how far the log is durable. It does no I/O on the way of a write.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::log::body::{BatchBuilder, Start, StartReason};
use crate::log::disk::{LogDir, RealDir, SegmentFile, zeroed};
use crate::log::error::{Fatal, LogError};
use crate::log::flights::{Flight, Flights};
use crate::log::frame::{self, HEADER, Header, Kind, SECTOR};
use crate::log::open::Opening;
use crate::log::recover::LogTail;
use crate::log::segment;
use crate::log::spares::{Spare, SpareMaker, Spares};
use crate::log::{AlignedBuf, Zxid};

/// Buffers kept for the next frames, and the largest that is kept.
const POOL_BUFFERS: usize = 16;
const POOL_BYTES: usize = 1 << 20;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Bytes of a segment (ZooKeeper's `preAllocSize`, in bytes); a multiple of 4 KiB.
    pub segment_bytes: u64,
    /// Segments kept ready ahead of the writer.
    pub spares: usize,
    /// A batch is cut into frames of about this size, so that none keeps the disk for long.
    pub frame_bytes_max: usize,
    /// A log that is idle for this long ends with a seal frame.
    pub seal_after_ns: u64,
    /// Identity of a log that is made anew.
    pub log_id: u64,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: 64 << 20,
            spares: 2,
            frame_bytes_max: 1 << 20,
            seal_after_ns: 50_000_000,
            log_id: random_id(),
        }
    }
}

fn random_id() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // Two keys from the system's randomness, hashed: enough to tell logs apart.
    RandomState::new().build_hasher().finish()
}

/// A write for the reactor. Writes may be submitted and may complete in any order.
pub struct Write<F> {
    /// The segment.
    pub file: F,
    /// Where in it.
    pub offset: u64,
    /// What; comes back with the completion.
    pub buf: AlignedBuf,
    /// To be handed to [`Writer::completed`].
    pub token: u64,
}

/// How far the log is durable: the contiguous prefix of completed writes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    /// All transactions up to this one are on the medium.
    pub through: Zxid,
}

/// Is there room for more transactions?
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// Yes.
    Enough,
    /// The next segment is being made: hold back for a moment.
    Soon,
    /// No, and none is to be had: refuse writes.
    None,
}

/// What [`Writer::seal_due`] asks for.
pub enum Seal<F> {
    /// Nothing to seal.
    Idle,
    /// Ask again at this time.
    At(u64),
    /// Submit this.
    Write(Write<F>),
}

/// The segment that is being written.
pub(super) struct Current<F> {
    pub index: u64,
    pub file: F,
    pub bytes: u64,
    pub offset: u64,
}

/// What a new incarnation goes on from.
pub(super) struct Continued {
    pub log_id: u64,
    pub incarnation: u64,
    pub next_sequence: u64,
    pub last_crc: u32,
    pub last_zxid: Zxid,
}

/// Appends to the log. One a log; see the module for the order of calls.
pub struct Writer<D: LogDir = RealDir> {
    pub(super) dir: Arc<D>,
    pub(super) options: LogOptions,
    pub(super) log_id: u64,
    pub(super) current: Current<D::File>,
    /// Segments of the log: number, and the last zxid before each.
    pub(super) segments: VecDeque<(u64, Zxid)>,
    pub(super) spares: Spares<D::File>,
    pub(super) incarnation: u64,
    pub(super) next_sequence: u64,
    pub(super) last_crc: u32,
    pub(super) last_zxid: Zxid,
    pub(super) flights: Flights,
    /// The last frame is a batch, and no later frame covers it.
    pub(super) unsealed: bool,
    pub(super) idle_since_ns: Option<u64>,
    pub(super) pool: Vec<AlignedBuf>,
    pub(super) failed: bool,
}

impl<D: LogDir> Writer<D> {
    /// Cuts the torn tail, if there is one, and begins a new incarnation, durably.
    pub fn open(tail: LogTail<D>, options: LogOptions) -> Result<(Self, SpareMaker<D>), LogError> {
        Opening::new(tail, options).open()
    }

    /// A writer with nothing in flight, all before it durable.
    pub(super) fn new(
        dir: Arc<D>,
        options: LogOptions,
        current: Current<D::File>,
        segments: VecDeque<(u64, Zxid)>,
        spares: Spares<D::File>,
        from: &Continued,
    ) -> Self {
        Writer {
            dir,
            options,
            log_id: from.log_id,
            current,
            segments,
            spares,
            incarnation: from.incarnation,
            next_sequence: from.next_sequence,
            last_crc: from.last_crc,
            last_zxid: from.last_zxid,
            flights: Flights::none(from.next_sequence - 1, from.last_zxid),
            unsealed: false,
            idle_since_ns: None,
            pool: Vec::new(),
            failed: false,
        }
    }

    /// Makes frames of a batch. The caller submits the writes and clears the batch.
    ///
    /// `durable_through` is what the caller knows to be durable here (never taken beyond what
    /// this writer knows), `committed` the ensemble's committed zxid.
    ///
    /// # Errors
    /// `NoSpace` and `SpareNotReady` leave everything as it was: refuse or try again. `Failed`
    /// after a write has failed.
    pub fn frame(
        &mut self,
        txns: &BatchBuilder,
        durable_through: Zxid,
        committed: Zxid,
    ) -> Result<Vec<Write<D::File>>, LogError> {
        if self.failed {
            return Err(LogError::Failed);
        }
        if txns.is_empty() {
            return Ok(Vec::new());
        }
        if txns.zxid_at(0) <= self.last_zxid {
            let (zxid, last_zxid) = (txns.zxid_at(0), self.last_zxid);
            return Err(LogError::OutOfOrder { zxid, last_zxid });
        }
        let plan = self.plan(txns)?;
        let durable_through = durable_through.min(self.flights.zxid);
        let mut writes = Vec::with_capacity(plan.len() + 1);
        for (range, bytes) in plan {
            if self.current.offset + bytes as u64 > self.current.bytes {
                let roll = self.roll(StartReason::Rolled, self.last_zxid, committed);
                writes.push(roll.ok_or(LogError::SpareNotReady)?);
            }
            let mut buf = self.buffer(bytes);
            let last_zxid = txns.zxid_at(range.end - 1);
            let body_bytes = txns.build(range, &mut buf);
            let made =
                Made { kind: Kind::Batch, body_bytes, last_zxid, durable_through, committed };
            writes.push(self.emit(buf, made));
        }
        self.unsealed = true;
        self.idle_since_ns = None;
        Ok(writes)
    }

    /// Cuts the batch into frames, and makes sure that there is room for all of them.
    fn plan(&self, txns: &BatchBuilder) -> Result<Vec<(Range<usize>, usize)>, LogError> {
        let limit = self.options.segment_bytes as usize - SECTOR;
        let mut plan = Vec::with_capacity(1);
        let (mut from, mut spares, mut offset) = (0, 0, self.current.offset);
        let mut segment_bytes = self.current.bytes;
        while from < txns.len() {
            let to = self.frame_end(txns, from);
            let bytes = frame::frame_bytes(txns.body_bound(from..to));
            if bytes > limit {
                return Err(LogError::TooLarge { bytes, limit });
            }
            if offset + bytes as u64 > segment_bytes {
                spares += 1;
                (offset, segment_bytes) = (SECTOR as u64, self.options.segment_bytes);
            }
            offset += bytes as u64;
            plan.push((from..to, bytes));
            from = to;
        }
        if spares > 0 {
            self.need_spares(spares)?;
        }
        Ok(plan)
    }

    /// The end of the largest range from `from` that fits a frame (at least one transaction).
    fn frame_end(&self, txns: &BatchBuilder, from: usize) -> usize {
        let fits = |to| HEADER + txns.body_bound(from..to) <= self.options.frame_bytes_max;
        if fits(txns.len()) {
            return txns.len();
        }
        let (mut low, mut high) = (from + 1, txns.len());
        while high - low > 1 {
            let middle = low.midpoint(high);
            if fits(middle) { low = middle } else { high = middle }
        }
        low
    }

    pub(super) fn need_spares(&self, needed: usize) -> Result<(), LogError> {
        let (ready, failed) = self.spares.status();
        if ready >= needed {
            return Ok(());
        }
        self.spares.ask(needed);
        Err(failed.map_or(LogError::SpareNotReady, |reason| LogError::NoSpace { reason }))
    }

    /// The log's number, random, the same in all its segments.
    pub fn log_id(&self) -> u64 {
        self.log_id
    }

    /// Bytes that transactions may still take in the segment that is being written. A quarter of it is kept back for
    /// what cannot be refused.
    pub fn writes_bytes(&self) -> u64 {
        self.left().saturating_sub(self.kept_back())
    }

    fn left(&self) -> u64 {
        self.current.bytes - self.current.offset
    }

    fn kept_back(&self) -> u64 {
        self.options.segment_bytes / 4
    }

    /// Why there is no next segment, if making it failed.
    pub fn no_room_reason(&self) -> String {
        self.spares.status().1.unwrap_or_default()
    }

    /// Segments that are ready behind it.
    pub fn spares(&self) -> usize {
        self.spares.status().0
    }

    /// Is there room for `bytes` more of transactions? Ask before a transaction is made: what was
    /// made must be logged.
    pub fn room(&self, bytes: u64) -> Room {
        if self.left() >= self.kept_back() + bytes {
            return Room::Enough;
        }
        match self.need_spares(1) {
            Ok(()) => Room::Enough,
            Err(LogError::NoSpace { .. }) => Room::None,
            Err(_) => Room::Soon,
        }
    }

    /// Goes on in the next spare: the write of its start frame.
    pub(super) fn roll(
        &mut self,
        reason: StartReason,
        continues: Zxid,
        committed: Zxid,
    ) -> Option<Write<D::File>> {
        let Spare { index, file, bytes } = self.spares.take()?;
        self.current = Current { index, file, bytes, offset: 0 };
        self.segments.push_back((index, continues));
        Some(self.start(reason, continues, committed))
    }

    /// A start frame at the cursor.
    pub(super) fn start(
        &mut self,
        reason: StartReason,
        continues: Zxid,
        committed: Zxid,
    ) -> Write<D::File> {
        let segment = self.current.index;
        let start = Start { log_id: self.log_id, segment, reason, continues_zxid: continues };
        let mut buf = self.buffer(SECTOR);
        let body_bytes = start.build(&mut buf);
        let durable_through = self.flights.zxid;
        let made = Made {
            kind: Kind::Start,
            body_bytes,
            last_zxid: continues,
            durable_through,
            committed,
        };
        self.emit(buf, made)
    }

    /// Numbers, chains and seals a frame whose body is in place.
    fn emit(&mut self, mut buf: AlignedBuf, made: Made) -> Write<D::File> {
        let (sequence, offset) = (self.next_sequence, self.current.offset);
        let bytes = buf.len();
        self.last_crc = frame::seal(
            &mut buf,
            &Header {
                incarnation: self.incarnation,
                sequence,
                previous_crc: self.last_crc,
                frame_bytes: bytes as u32,
                body_bytes: made.body_bytes as u32,
                kind: made.kind,
                durable_sequence: self.flights.sequence,
                durable_through: made.durable_through,
                committed: made.committed,
                last_zxid: made.last_zxid,
            },
        );
        self.next_sequence += 1;
        self.current.offset += bytes as u64;
        self.last_zxid = made.last_zxid;
        self.flights.begin(Flight::new(self.current.index, offset, bytes, made.last_zxid));
        Write { file: self.current.file.clone(), offset, buf, token: sequence }
    }

    /// A write has completed. Says how far the log is durable now, whatever order they come in.
    ///
    /// # Errors
    /// If it failed or fell short: the process must end, R6.
    pub fn completed(
        &mut self,
        token: u64,
        result: io::Result<usize>,
        buf: AlignedBuf,
    ) -> Result<Durable, Fatal> {
        let before = self.flights.segment;
        if let Err(fatal) = self.flights.end(token, result, buf.len()) {
            self.failed = true;
            return Err(fatal);
        }
        if self.flights.segment != before {
            self.spares.reached(self.flights.segment);
        }
        if self.pool.len() < POOL_BUFFERS && buf.capacity() <= POOL_BYTES {
            self.pool.push(buf);
        }
        Ok(Durable { through: self.flights.zxid })
    }

    /// Seals a log that has been idle: a frame that says that the last batch is durable, so that
    /// damage to it cannot pass for a torn tail. Ask once a pass.
    pub fn seal_due(&mut self, now_ns: u64, committed: Zxid) -> Seal<D::File> {
        if !self.unsealed || self.failed || !self.flights.is_empty() {
            self.idle_since_ns = None;
            return Seal::Idle;
        }
        let due = *self.idle_since_ns.get_or_insert(now_ns) + self.options.seal_after_ns;
        if now_ns < due {
            return Seal::At(due);
        }
        match self.seal_frame(committed) {
            Some(write) => Seal::Write(write),
            None => Seal::At(now_ns + self.options.seal_after_ns),
        }
    }

    /// A seal at the cursor; `None` if the segment is full (then the next segment's start frame
    /// will do the same).
    fn seal_frame(&mut self, committed: Zxid) -> Option<Write<D::File>> {
        if self.current.offset + SECTOR as u64 > self.current.bytes {
            let write = self.roll(StartReason::Rolled, self.last_zxid, committed)?;
            self.unsealed = false;
            return Some(write);
        }
        let mut buf = self.buffer(SECTOR);
        buf.fill(0);
        let (last_zxid, durable_through) = (self.last_zxid, self.flights.zxid);
        self.unsealed = false;
        let made = Made { kind: Kind::Seal, body_bytes: 0, last_zxid, durable_through, committed };
        Some(self.emit(buf, made))
    }

    /// Seals the log at an orderly stop, when no writes are in flight.
    pub fn close(mut self, committed: Zxid) -> Result<(), LogError> {
        if !self.unsealed || self.failed || !self.flights.is_empty() {
            return Ok(());
        }
        let Some(write) = self.seal_frame(committed) else { return Ok(()) };
        self.write_now(write)
    }

    /// Writes a frame and waits for it: for the few that mark a new incarnation.
    pub(super) fn write_now(&mut self, write: Write<D::File>) -> Result<(), LogError> {
        let Write { file, offset, buf, token } = write;
        let written = file.write_at(offset, &buf);
        let name = segment::name(self.current.index);
        match written {
            Ok(()) => {
                let len = buf.len();
                self.completed(token, Ok(len), buf).map(|_| ()).map_err(|_| LogError::Failed)
            }
            Err(err) => {
                self.failed = true;
                Err(LogError::io("write", name, err))
            }
        }
    }

    /// Is a write in flight for longer than `limit_ns`? Better gone than holding the clients on a
    /// hung disk. Exact to the time between two calls.
    pub fn is_overdue(&mut self, now_ns: u64, limit_ns: u64) -> bool {
        self.flights.is_overdue(now_ns, limit_ns)
    }

    /// The process stood still for so long: that is not the disk's time.
    pub fn excuse(&mut self, ns: u64) {
        self.flights.excuse(ns);
    }

    fn buffer(&mut self, bytes: usize) -> AlignedBuf {
        match self.pool.iter().rposition(|b| b.capacity() >= bytes) {
            Some(at) => {
                let mut buf = self.pool.swap_remove(at);
                buf.resize(bytes, 0);
                buf
            }
            None => zeroed(bytes),
        }
    }

    /// The last transaction that was framed.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// The last transaction that is durable with all before it.
    pub fn durable_through(&self) -> Zxid {
        self.flights.zxid
    }

    /// Writes that were handed out and have not completed.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// The last zxid that is *not* in the log any more: what is older came before its oldest
    /// segment.
    pub fn begins_after(&self) -> Zxid {
        self.segments.front().map_or(self.last_zxid, |(_, zxid)| *zxid)
    }

    /// Segments the log consists of.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }
}

/// What a frame says beyond what the writer knows.
struct Made {
    kind: Kind,
    body_bytes: usize,
    last_zxid: Zxid,
    durable_through: Zxid,
    committed: Zxid,
}
