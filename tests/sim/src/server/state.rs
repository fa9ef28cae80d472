//! A log and the memory over it: what is logged, what memory holds of it, what is published.
//!
//! A server has one in force, and while it takes a leader's snapshot a second one beside it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ringkeeper::log::{self, BatchBuilder, LogError, Seal, Write, frame};
use ringkeeper::protocol::Zxid;
use ringkeeper::tree::CONFIG_PATH;
use ringkeeper::txn::{self, Txn, TxnHeader};
use ringkeeper::zab::{EnsembleConfig, Generation, counter_of};

use crate::check::{Applied, Mark};
use crate::config;
use crate::disk::Segment;
use crate::store::{Found, Logged, Store, StoreError, apply_bytes, hash_of};

/// A transaction that memory holds and that is not published.
pub struct Held {
    /// Its bytes.
    pub bytes: Arc<[u8]>,
    /// What the checker is told of it.
    pub applied: Applied,
}

/// A write that was handed to the disk.
pub struct Submitted {
    /// The disk's number.
    pub write: u64,
    /// The log's token.
    pub token: u64,
    /// The transactions in it.
    pub marks: Vec<Mark>,
}

/// See the module.
pub struct State {
    /// The log, the tree, the snapshots.
    pub store: Store,
    /// What memory holds beyond what is published.
    pub held: VecDeque<Held>,
    /// The digest of what is published.
    pub published_digest: i64,
    /// What is logged and not published, or not durable.
    pub recent: VecDeque<Logged>,
    /// The zxids of the log behind `known_from`.
    zxids: VecDeque<Zxid>,
    /// What is at or before it was not looked at yet.
    known_from: Zxid,
    looked_back: bool,
    /// What waits for the next write.
    batch: BatchBuilder,
    /// What is logged and not known to be durable, with the core's generations.
    unsynced: VecDeque<(Zxid, Generation)>,
    /// Reports that the core waits for: up to which zxid, and the generation.
    sync_waits: VecDeque<(Zxid, Generation)>,
    /// Its writes that the disk has not answered. A store that was dropped had the number of the next one that is staged, and
    /// its log gave the same tokens.
    pub writes: BTreeSet<u64>,
    /// The highest transaction of a write that has completed; for the mistake of taking that for durable.
    pub highest_done: Zxid,
    /// Transactions since the last snapshot.
    pub since_snapshot: usize,
}

/// What an applied record says.
fn describe(header: &TxnHeader, body: &Txn<'_>, bytes: &[u8], digest: i64) -> Applied {
    let (mut config, mut opens, mut closes, mut owns) = (None, false, false, false);
    match body {
        Txn::Reconfig { data, .. } => {
            let text = std::str::from_utf8(data.unwrap_or_default()).unwrap_or_default();
            config = config::parse(text);
        }
        Txn::CreateSession { .. } => opens = true,
        Txn::CloseSession { .. } => closes = true,
        Txn::Create { ephemeral, .. } => owns = *ephemeral,
        Txn::Multi(ops) => {
            owns = ops.iter().any(|(_, op)| matches!(op, Txn::Create { ephemeral: true, .. }));
        }
        _ => {}
    }
    Applied {
        mark: (header.zxid, hash_of(bytes)),
        digest,
        session: header.client_id,
        cxid: header.cxid,
        config,
        opens,
        closes,
        owns,
        is_error: match body {
            Txn::Error { .. } => true,
            Txn::Multi(ops) => ops.iter().any(|(_, op)| matches!(op, Txn::Error { .. })),
            _ => false,
        },
    }
}

impl State {
    /// What a start or a received snapshot has brought: memory is at what is committed.
    pub fn new(store: Store, found: Found) -> State {
        let digest = store.tree.digest();
        let zxids = found.log.iter().map(|(zxid, _)| *zxid).collect();
        let recent = found.log.into_iter().filter(|(zxid, _)| *zxid > found.committed);
        State {
            published_digest: digest,
            recent: recent.collect(),
            zxids,
            known_from: found.base,
            looked_back: false,
            held: VecDeque::new(),
            batch: BatchBuilder::new(),
            unsynced: VecDeque::new(),
            sync_waits: VecDeque::new(),
            writes: BTreeSet::new(),
            highest_done: store.log.durable_through(),
            since_snapshot: 0,
            store,
        }
    }

    /// What memory holds.
    pub fn newest(&self) -> Zxid {
        self.held.back().map_or(self.store.tree.published(), |held| held.applied.mark.0)
    }

    /// The last transaction that was appended.
    pub fn last_logged(&self) -> Zxid {
        self.batch.last_zxid().unwrap_or(self.store.log.last_zxid())
    }

    /// Remembers what was applied to the tree just now.
    pub fn hold(&mut self, bytes: Arc<[u8]>) -> Result<(), String> {
        let (header, body, _) = txn::decode_record(&bytes).map_err(|e| e.to_string())?;
        let applied = describe(&header, &body, &bytes, self.store.tree.digest());
        self.held.push_back(Held { bytes, applied });
        Ok(())
    }

    /// Applies a transaction to memory.
    pub fn apply(&mut self, bytes: &Arc<[u8]>) -> Result<(), String> {
        apply_bytes(&mut self.store.tree, bytes)?;
        self.hold(bytes.clone())
    }

    /// Appends to the log in the making, and to memory unless that holds it already.
    pub fn append(
        &mut self,
        zxid: Zxid,
        bytes: Arc<[u8]>,
        generation: Generation,
    ) -> Result<(), String> {
        if zxid <= self.last_logged() {
            return Err(format!("0x{zxid:x} is appended behind 0x{:x}", self.last_logged()));
        }
        match self.held.iter().rev().find(|held| held.applied.mark.0 <= zxid) {
            Some(held) if held.applied.mark.0 == zxid => {
                if held.bytes != bytes {
                    return Err(format!("0x{zxid:x} is logged with other bytes than memory holds"));
                }
            }
            _ if self.newest() > zxid => {
                return Err(format!(
                    "0x{zxid:x} is appended when memory is at 0x{:x}",
                    self.newest()
                ));
            }
            _ => self.apply(&bytes)?,
        }
        self.batch.push(zxid, &bytes);
        self.zxids.push_back(zxid);
        self.unsynced.push_back((zxid, generation));
        self.recent.push_back((zxid, bytes));
        Ok(())
    }

    /// Hands what waits to the disk, as far as that may go. `false`: there is no spare segment.
    pub fn flush(
        &mut self,
        in_flight_max: usize,
        submitted: &mut Vec<Submitted>,
    ) -> Result<bool, String> {
        if self.batch.is_empty() || self.store.log.in_flight() >= in_flight_max {
            return Ok(true);
        }
        let (durable, published) = (self.store.log.durable_through(), self.store.tree.published());
        match self.store.log.frame(&self.batch, durable, published) {
            Ok(writes) => {
                let mut marks: VecDeque<Mark> =
                    self.batch.iter().map(|(zxid, bytes)| (zxid, hash_of(bytes))).collect();
                self.batch.clear();
                for write in writes {
                    self.submit(write, &mut marks, submitted);
                }
                Ok(true)
            }
            Err(LogError::SpareNotReady | LogError::NoSpace { .. }) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether nothing waits and nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.batch.is_empty() && self.store.log.in_flight() == 0
    }

    fn submit(
        &mut self,
        write: Write<Segment>,
        marks: &mut VecDeque<Mark>,
        submitted: &mut Vec<Submitted>,
    ) {
        let header = frame::peek(&write.buf).expect("the log makes frames");
        let mut own = Vec::new();
        if header.kind == frame::Kind::Batch {
            while let Some(mark) = marks.pop_front_if(|mark| mark.0 <= header.last_zxid) {
                own.push(mark);
            }
        }
        let (write, token) = self.store.disk.submit(write);
        submitted.push(Submitted { write, token, marks: own });
    }

    /// The frame that ends an idle log, if it is due; or when to ask again.
    pub fn seal(&mut self, now_ns: u64, submitted: &mut Vec<Submitted>) -> Option<u64> {
        match self.store.log.seal_due(now_ns, self.store.tree.published()) {
            Seal::Idle => None,
            Seal::At(at_ns) => Some(at_ns),
            Seal::Write(write) => {
                self.submit(write, &mut VecDeque::new(), submitted);
                None
            }
        }
    }

    /// Everything up to `through` is durable: the reports that are due.
    pub fn durable(&mut self, through: Zxid, reports: &mut Vec<(Zxid, Generation)>) {
        while let Some((zxid, generation)) =
            self.unsynced.pop_front_if(|(zxid, _)| *zxid <= through)
        {
            match reports.last_mut() {
                Some(last) if last.1 == generation => last.0 = zxid,
                _ => reports.push((zxid, generation)),
            }
        }
        while let Some((zxid, generation)) =
            self.sync_waits.pop_front_if(|(zxid, _)| *zxid <= through)
        {
            reports.push((zxid, generation));
        }
        self.trim();
    }

    fn trim(&mut self) {
        let keep = self.store.tree.published().min(self.store.log.durable_through());
        while self.recent.pop_front_if(|(zxid, _)| *zxid <= keep).is_some() {}
    }

    /// The core wants to know when all that was appended is durable.
    pub fn sync(&mut self, generation: Generation) {
        self.sync_waits.push_back((self.last_logged(), generation));
    }

    /// Undoes memory down to `to`. Returns how much that was.
    pub fn undo(&mut self, to: Zxid) -> usize {
        let before = self.held.len();
        while self.held.pop_back_if(|held| held.applied.mark.0 > to).is_some() {}
        self.store.tree.undo_to_zxid(to);
        before - self.held.len()
    }

    /// Applies to memory what the log has beyond it.
    pub fn replay(&mut self, through: Zxid) -> Result<(), String> {
        let newest = self.newest();
        let missing: Vec<Arc<[u8]>> = self
            .recent
            .iter()
            .filter(|(zxid, _)| *zxid > newest && *zxid <= through)
            .map(|(_, bytes)| bytes.clone())
            .collect();
        missing.iter().try_for_each(|bytes| self.apply(bytes))
    }

    /// Publishes up to `through`; hands out what that makes final, in order.
    pub fn commit(&mut self, through: Zxid) -> Result<Vec<Applied>, String> {
        let published = self.store.tree.published();
        if through < published {
            return Err(format!("commit of 0x{through:x} when 0x{published:x} is published"));
        }
        let mut done = Vec::new();
        while let Some(held) = self.held.pop_front_if(|held| held.applied.mark.0 <= through) {
            done.push(held.applied);
        }
        if let Some(last) = done.last() {
            self.published_digest = last.digest;
        }
        let reached = done.last().map_or(published, |applied| applied.mark.0);
        if counter_of(through) != 0 && reached != through {
            return Err(format!(
                "commit of 0x{through:x} when memory holds no more than 0x{reached:x}"
            ));
        }
        self.store.tree.publish(through);
        self.store.tree.reclaim(64);
        self.since_snapshot += done.len();
        self.trim();
        Ok(done)
    }

    /// Cuts the log behind `to`, and memory (`undo`; else a mistake is planted). Returns the last transaction of the
    /// log, and whether it was cut.
    pub fn truncate(&mut self, to: Zxid, undo: bool) -> Result<(Zxid, bool), StoreError> {
        let last = self.last_logged();
        let known = self.floor(to) == Some(to);
        if to >= last || !known {
            return Ok((last, false));
        }
        if to < self.store.tree.published() {
            let published = self.store.tree.published();
            return Err(StoreError::Wrong(format!(
                "a cut to 0x{to:x} when 0x{published:x} is published"
            )));
        }
        if undo {
            self.undo(to);
        }
        self.store.disk.forget_written();
        let last = self.store.truncate(to)?;
        while self.zxids.pop_back_if(|zxid| *zxid > to).is_some() {}
        while self.recent.pop_back_if(|(zxid, _)| *zxid > to).is_some() {}
        while self.unsynced.pop_back_if(|(zxid, _)| *zxid > to).is_some() {}
        self.highest_done = self.highest_done.min(to);
        Ok((last, true))
    }

    /// The greatest zxid of the log, or the one it begins after, at or below `zxid`.
    pub fn floor(&mut self, zxid: Zxid) -> Option<Zxid> {
        if zxid < self.known_from && !self.looked_back {
            self.looked_back = true;
            self.look_back();
        }
        let at = self.zxids.partition_point(|z| *z <= zxid);
        match at.checked_sub(1) {
            Some(at) => Some(self.zxids[at]),
            None => Some(self.known_from).filter(|from| *from <= zxid),
        }
    }

    /// What lies before the snapshot that it started from is on the disk alone. Rot may have got at it
    /// since: then the log is taken to begin at the snapshot.
    fn look_back(&mut self) {
        let begins_after = self.store.log.begins_after();
        let through = self.zxids.front().copied().unwrap_or(self.store.log.last_zxid());
        let Ok(older) = self.read(begins_after, through) else { return };
        if older.last().map(|(zxid, _)| *zxid) != Some(through) {
            return;
        }
        let older = older.iter().map(|(zxid, _)| *zxid);
        for zxid in
            older.filter(|zxid| *zxid <= self.known_from).collect::<Vec<_>>().into_iter().rev()
        {
            self.zxids.push_front(zxid);
        }
        self.known_from = begins_after;
    }

    /// The transactions of the log in (`after`, `through`], read back from the disk as far as they are
    /// durable.
    pub fn read(&self, after: Zxid, through: Zxid) -> Result<Vec<Logged>, String> {
        let mut found: Vec<Logged> = Vec::new();
        let durable = self.store.log.durable_through().min(through);
        if after < durable {
            let volume = self.store.disk.volume(self.store.number);
            let mut each = |zxid: Zxid, bytes: &[u8]| -> Result<(), log::BoxError> {
                found.push((zxid, Arc::from(bytes)));
                Ok(())
            };
            log::read_back(&volume, after, durable, &mut each).map_err(|e| e.to_string())?;
        }
        let last = found.last().map_or(after, |(zxid, _)| *zxid);
        let complete = self.last_at_most(durable).is_none_or(|wanted| wanted <= last);
        if after < durable && !complete {
            return Err(format!("the log cannot be read beyond 0x{last:x}"));
        }
        found.extend(
            self.recent.iter().filter(|(zxid, _)| *zxid > last && *zxid <= through).cloned(),
        );
        Ok(found)
    }

    fn last_at_most(&self, zxid: Zxid) -> Option<Zxid> {
        let at = self.zxids.partition_point(|z| *z <= zxid);
        at.checked_sub(1).map(|at| self.zxids[at])
    }

    /// Lets go of what a snapshot has made superfluous.
    pub fn take_snapshot(&mut self) -> Result<(), StoreError> {
        self.since_snapshot = 0;
        self.store.take_snapshot()?;
        let begins_after = self.store.log.begins_after();
        while self.zxids.pop_front_if(|zxid| *zxid <= begins_after).is_some() {}
        self.known_from = self.known_from.max(begins_after);
        Ok(())
    }

    /// The configuration in force, by the tree; and one that is logged beyond what is committed.
    pub fn configs(&self) -> (Option<EnsembleConfig>, Option<(Zxid, EnsembleConfig)>) {
        let node = self.store.tree.get(CONFIG_PATH);
        let text = node
            .and_then(|node| node.data())
            .map(|data| String::from_utf8_lossy(data).into_owned());
        let in_force = text.and_then(|text| config::parse(&text));
        let mut proposed = None;
        for (zxid, bytes) in &self.recent {
            if *zxid > self.store.tree.published() {
                proposed = config_in(bytes).map(|config| (*zxid, config)).or(proposed);
            }
        }
        (in_force, proposed)
    }
}

/// The configuration that a transaction proposes.
pub fn config_in(bytes: &[u8]) -> Option<EnsembleConfig> {
    match txn::decode_record(bytes) {
        Ok((_, Txn::Reconfig { data, .. }, _)) => config::parse(std::str::from_utf8(data?).ok()?),
        _ => None,
    }
}
