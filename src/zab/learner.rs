//! A follower or an observer: registers with the leader, is brought level with it, then takes what it proposes
//! (ZooKeeper's `Learner`, `Follower`, `Observer`).
//!
//! The order of durability, and what each step is for:
//! 1. acceptedEpoch is stored, **then** ACKEPOCH: the promise to follow no older leader must outlive a crash, or two
//!    leaders could each find a quorum.
//! 2. the leader's history is in the log and the log on the medium, **then** a staged snapshot takes over, **then**
//!    currentEpoch is stored, **then** NEWLEADER is acknowledged. The acknowledgement says that the history survives
//!    here (ZOOKEEPER-3911, 4646, 4785, 3023); currentEpoch says in elections that it is here, so it may not come
//!    before the log does (ZOOKEEPER-4643).
//! 3. proposals are in the log and on the medium, **then** acknowledged, in order, and only after UPTODATE.
//!
//! What is committed is published at UPTODATE at the earliest: until then no quorum is known to have the leader's
//! history. A COMMIT must be that of the oldest transaction that is not committed, in every phase: during the sync, between
//! NEWLEADER and UPTODATE (ZOOKEEPER-4394), and after.

use std::sync::Arc;

use super::action::{Action, CloseReason, Role};
use super::common::{Common, Epochs, Kind, Turn};
use super::ensemble::EnsembleConfig;
use super::message::{LearnerInfo, Packet};
use super::mistake::Mistake;
use super::types::{
    ConnId, EPOCH_MAX, Epoch, Generation, Show, Sid, Txn, Zxid, counter_of, epoch_of, make_zxid,
};

/// Where a learner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for the connection, or for the next attempt.
    Connecting,
    /// Has said who it is; waits for LEADERINFO.
    Registering,
    /// acceptedEpoch is being stored; `news` if this leader's epoch raised it.
    Accepting { token: u64, news: bool },
    /// Waits for DIFF, TRUNC or SNAP.
    Waiting,
    /// The log is being cut.
    Truncating,
    /// A snapshot is being read.
    Staging { zxid: Zxid },
    /// Takes the leader's history.
    Receiving,
    /// NEWLEADER came: the log is being synced, through this zxid.
    Flushing { through: Zxid },
    /// The staged snapshot takes over.
    TakingOver,
    /// currentEpoch is being stored.
    Adopting { token: u64 },
    /// NEWLEADER is acknowledged; waits for UPTODATE.
    Acknowledged,
    /// In step.
    Live,
}

/// What has become of the way back of a server that had lost its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WayBack {
    /// Nothing was lost.
    None,
    /// Waits until a transaction of ours is committed; asks again if it takes too long.
    Barrier { token: u64, again_at: u64 },
    /// Waits until the log is on the medium through here.
    Flush { through: Zxid },
    /// The record that says "intact" is being stored.
    Store { token: u64 },
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Learner {
    leader: Sid,
    kind: Kind,
    phase: Phase,
    /// Of the leader.
    epoch: Epoch,
    conn: Option<ConnId>,
    attempt: u64,
    tries: u32,
    /// When to connect again.
    retry_at: u64,
    /// When the leader was last heard.
    heard_at: u64,
    /// What the leader has said to be committed.
    settled: Zxid,
    /// Acknowledged through here.
    acked: Zxid,
    /// The configuration that NEWLEADER carried.
    offered: Option<Arc<EnsembleConfig>>,
    way_back: WayBack,
    /// Of a planted mistake.
    early_token: Option<u64>,
}

impl Learner {
    /// Begins to follow the vote's leader.
    pub fn begin(c: &mut Common) -> Learner {
        let mut learner = Learner {
            leader: c.vote.leader,
            kind: c.kind(),
            phase: Phase::Connecting,
            epoch: 0,
            conn: None,
            attempt: 0,
            tries: 0,
            retry_at: u64::MAX,
            heard_at: c.now,
            settled: c.history.committed(),
            acked: 0,
            offered: None,
            way_back: WayBack::None,
            early_token: None,
        };
        learner.tell_role(c, false);
        match c.failed_with {
            // It refused us, or could not go on with us, a moment ago: do not keep both busy with that.
            Some((leader, at)) if leader == learner.leader => {
                learner.retry_at = c.now.max(at + c.config.connect_retry_ms);
            }
            _ => learner.retry_at = c.now,
        }
        c.failed_with = Some((learner.leader, c.now));
        learner.time(c);
        learner
    }

    fn tell_role(&self, c: &mut Common, serving: bool) {
        c.set_role(Role::Learning {
            leader: self.leader,
            epoch: self.epoch,
            observer: self.kind != Kind::Participant,
            serving,
        });
    }

    /// Whether packets of this connection may come now.
    pub fn wants_input(&self, conn: ConnId) -> bool {
        self.conn == Some(conn)
            && !matches!(self.phase, Phase::Truncating | Phase::Staging { .. } | Phase::TakingOver)
    }

    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    pub fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    /// Gives the connection back, for it to be closed.
    pub fn end(self, c: &mut Common) {
        if let Some(conn) = self.conn {
            c.close(conn, CloseReason::RoleChange);
        }
    }

    fn leave(&mut self, c: &mut Common, reason: CloseReason) {
        if let Some(conn) = self.conn.take() {
            c.close(conn, reason);
        }
        c.turn = Some(Turn::Look);
    }

    fn breach(&mut self, c: &mut Common, what: String) {
        self.leave(c, CloseReason::Breach(what));
    }

    // ---- time

    /// How long the leader may be silent. While the driver is busy with what it sent, the core cannot know.
    fn patience(&self, c: &Common) -> Option<u64> {
        match self.phase {
            Phase::Truncating | Phase::TakingOver => None,
            Phase::Acknowledged | Phase::Live => Some(c.sync_ms()),
            _ => Some(c.init_ms()),
        }
    }

    pub fn deadline(&self, c: &Common) -> u64 {
        let silence = self.patience(c).map_or(u64::MAX, |patience| self.heard_at + patience);
        let barrier = match self.way_back {
            WayBack::Barrier { again_at, .. } => again_at,
            _ => u64::MAX,
        };
        silence.min(self.retry_at).min(barrier)
    }

    pub fn time(&mut self, c: &mut Common) {
        if self.patience(c).is_some_and(|patience| c.now >= self.heard_at + patience) {
            return self.leave(c, CloseReason::TimedOut("the leader"));
        }
        if c.now >= self.retry_at {
            self.connect(c);
        }
        if let WayBack::Barrier { again_at, .. } = self.way_back
            && c.now >= again_at
        {
            self.ask_for_barrier(c);
        }
    }

    // ---- connecting

    fn connect(&mut self, c: &mut Common) {
        self.retry_at = u64::MAX;
        self.attempt = c.next_attempt();
        c.act(Action::Connect { to: self.leader, attempt: self.attempt });
    }

    pub fn connect_failed(&mut self, c: &mut Common, attempt: u64) {
        if self.phase == Phase::Connecting && attempt == self.attempt {
            self.attempt = 0;
            self.try_again(c);
        }
    }

    fn try_again(&mut self, c: &mut Common) {
        self.tries += 1;
        if self.tries >= c.config.connect_tries {
            c.turn = Some(Turn::Look);
        } else {
            self.retry_at = c.now + c.config.connect_retry_ms;
        }
    }

    /// Registers. Returns whether the connection was waited for.
    pub fn connected(&mut self, c: &mut Common, attempt: u64, conn: ConnId) -> bool {
        if self.phase != Phase::Connecting || attempt != self.attempt || self.conn.is_some() {
            return false;
        }
        self.conn = Some(conn);
        self.phase = Phase::Registering;
        self.heard_at = c.now;
        let info = LearnerInfo {
            // A sid that no configuration has: nobody counts its word.
            sid: Some(if self.kind == Kind::Lost { !c.sid() } else { c.sid() }),
            protocol_version: 0x10000,
            config_version: c.membership.active.version,
        };
        let accepted_epoch = c.epochs.accepted;
        c.send(
            conn,
            if self.kind == Kind::Participant {
                Packet::FollowerInfo { accepted_epoch, info }
            } else {
                Packet::ObserverInfo { accepted_epoch, info }
            },
        );
        true
    }

    pub fn closed(&mut self, c: &mut Common, conn: ConnId) {
        if self.conn != Some(conn) {
            return;
        }
        self.conn = None;
        if self.phase == Phase::Registering {
            // It may not lead yet.
            self.phase = Phase::Connecting;
            self.attempt = 0;
            self.try_again(c);
        } else {
            c.turn = Some(Turn::Look);
        }
    }

    pub fn progress(&mut self, c: &Common, conn: ConnId) {
        if self.conn == Some(conn) {
            self.heard_at = c.now;
        }
    }

    // ---- packets

    /// A packet of the leader.
    pub fn packet(&mut self, c: &mut Common, conn: ConnId, packet: Packet) {
        if self.conn != Some(conn) {
            return;
        }
        self.heard_at = c.now;
        match self.phase {
            Phase::Registering => self.leader_info(c, packet),
            Phase::Accepting { .. } | Phase::Waiting => self.begin_sync(c, packet),
            Phase::Receiving
            | Phase::Flushing { .. }
            | Phase::Adopting { .. }
            | Phase::Acknowledged => self.sync_packet(c, packet),
            Phase::Live => self.live_packet(c, packet),
            Phase::Connecting | Phase::Truncating | Phase::Staging { .. } | Phase::TakingOver => {
                self.leave(c, CloseReason::Refused("a packet came before its turn".into()));
            }
        }
    }

    fn unexpected(&mut self, c: &mut Common, packet: &Packet) {
        self.breach(c, format!("{} in {:?}", packet.name(), self.phase));
    }

    fn leader_info(&mut self, c: &mut Common, packet: Packet) {
        let Packet::LeaderInfo { epoch, .. } = packet else {
            return self.unexpected(c, &packet);
        };
        if !(1..=EPOCH_MAX).contains(&epoch) {
            return self.breach(c, format!("LEADERINFO of epoch {epoch}"));
        }
        self.epoch = epoch;
        // One that is not counted promises nothing: it may learn of any leader that is not older than what it has.
        let least =
            if self.kind == Kind::Participant { c.epochs.accepted } else { c.epochs.current };
        if epoch < least && !(self.kind == Kind::Lost || c.has(Mistake::AcceptLowerEpoch)) {
            let text = format!("the leader's epoch {epoch} is below the accepted one, {least}");
            return self.leave(c, CloseReason::Refused(text));
        }
        self.tell_role(c, false);
        if self.kind == Kind::Participant && epoch > c.epochs.accepted {
            let token = c.store(Epochs { accepted: epoch, ..c.epochs });
            c.accepted_of = Some((self.leader, epoch));
            let current = Some(c.epochs.current);
            if c.has(Mistake::AckEpochBeforeStored) {
                return self.ack_epoch(c, current);
            }
            self.phase = Phase::Accepting { token, news: true };
        } else {
            // An epoch that we had accepted before may be another leader's; not if this very process accepted it of this
            // server, which never uses one twice.
            let news = c.accepted_of == Some((self.leader, epoch));
            self.phase = Phase::Accepting { token: c.last_token(), news };
            self.stored(c);
        }
    }

    fn ack_epoch(&mut self, c: &mut Common, current_epoch: Option<Epoch>) {
        let Some(conn) = self.conn else { return };
        // −1: a snapshot, please, and do not count me.
        let has_history = self.kind != Kind::Lost && !c.needs_snapshot;
        let last_zxid = if has_history { c.history.last() } else { -1 };
        self.phase = Phase::Waiting;
        c.send(conn, Packet::AckEpoch { last_zxid, current_epoch });
    }

    /// DIFF, TRUNC or SNAP.
    fn begin_sync(&mut self, c: &mut Common, packet: Packet) {
        if self.phase != Phase::Waiting {
            return self.unexpected(c, &packet);
        }
        match packet {
            Packet::Diff { zxid } => {
                // The leader goes on from where we are: what we have, it has committed, as far as its own.
                self.settled = c.history.last().min(zxid).max(c.history.committed());
                self.receive(c);
            }
            Packet::Trunc { zxid } => self.truncate(c, zxid),
            Packet::Snap { zxid } => {
                if zxid < 0 || epoch_of(zxid) > self.epoch {
                    return self.breach(c, format!("SNAP of zxid {zxid}"));
                }
                let Some(conn) = self.conn else { return };
                self.phase = Phase::Staging { zxid };
                c.staging = true;
                c.act(Action::StageSnapshot { conn, zxid });
            }
            Packet::Ping { .. } => {}
            other => self.unexpected(c, &other),
        }
    }

    fn truncate(&mut self, c: &mut Common, zxid: Zxid) {
        if zxid > c.history.last() {
            let last = Show(c.history.last());
            return self.breach(c, format!("TRUNC to {}, beyond our last, {last}", Show(zxid)));
        }
        if zxid < c.history.committed() {
            let committed = Show(c.history.committed());
            let text = format!("TRUNC to {} would undo what is committed, {committed}", Show(zxid));
            return self.breach(c, text);
        }
        if c.has(Mistake::SkipTrunc) {
            self.settled = zxid;
            c.history.truncate(zxid);
            return self.receive(c);
        }
        let mut to = zxid;
        if c.has(Mistake::TruncOneTooFew) {
            to = (zxid + 1).min(c.history.last());
        }
        self.phase = Phase::Truncating;
        c.truncate(to);
    }

    /// The log was cut, or could not be.
    pub fn truncated(&mut self, c: &mut Common, done: bool) {
        if self.phase != Phase::Truncating {
            return;
        }
        if !done {
            let text = "TRUNC to a zxid that our log does not have".to_owned();
            return self.leave(c, CloseReason::Refused(text));
        }
        self.settled = c.history.last();
        self.receive(c);
    }

    fn receive(&mut self, c: &mut Common) {
        self.phase = Phase::Receiving;
        self.heard_at = c.now;
        c.act(Action::Replay { through: c.history.last() });
    }

    /// The snapshot is read, beside the state in force.
    pub fn staged(&mut self, c: &mut Common, conn: ConnId) {
        let Phase::Staging { zxid } = self.phase else { return };
        if self.conn != Some(conn) {
            return;
        }
        c.stage(zxid);
        if c.has(Mistake::SnapshotInForceEarly) {
            c.in_force = None;
            c.act(Action::TakeOver { generation: c.history.generation() });
        }
        self.settled = zxid;
        self.phase = Phase::Receiving;
        self.heard_at = c.now;
    }

    pub fn stage_failed(&mut self, c: &mut Common, conn: ConnId) {
        if matches!(self.phase, Phase::Staging { .. }) && self.conn == Some(conn) {
            c.staging = false;
            self.leave(c, CloseReason::Refused("the snapshot could not be kept".into()));
        }
    }

    // ---- the leader's history

    fn sync_packet(&mut self, c: &mut Common, packet: Packet) {
        match packet {
            Packet::Proposal { zxid, txn, config } => self.append(c, zxid, txn, config),
            Packet::Commit { zxid } | Packet::CommitAndActivate { zxid, .. } => {
                self.settle(c, zxid);
            }
            Packet::Inform { zxid, txn } => {
                self.append(c, zxid, txn, None);
                self.settle(c, zxid);
            }
            Packet::InformAndActivate { zxid, txn, config, .. } => {
                self.append(c, zxid, txn, config);
                self.settle(c, zxid);
            }
            Packet::NewLeader { epoch, config } if self.phase == Phase::Receiving => {
                self.new_leader(c, epoch, config);
            }
            Packet::UpToDate if self.phase == Phase::Acknowledged => self.up_to_date(c),
            Packet::Ping { .. } => {}
            other => self.unexpected(c, &other),
        }
    }

    /// Appends what the leader proposes. What we have already is passed over: a leader may begin a sync earlier than it
    /// need, and ZooKeeper's does after a snapshot.
    fn append(
        &mut self,
        c: &mut Common,
        zxid: Zxid,
        txn: Txn,
        config: Option<Arc<EnsembleConfig>>,
    ) {
        if self.conn.is_none() || (zxid <= c.history.last() && self.phase != Phase::Live) {
            return;
        }
        let is_next = c.history.is_next(zxid, c.config.first_counter)
            || (c.has(Mistake::ZxidGapAccepted) && zxid > c.history.last());
        if !is_next || epoch_of(zxid) > self.epoch {
            let last = Show(c.history.last());
            return self.breach(c, format!("{} proposed after {last}", Show(zxid)));
        }
        c.append(zxid, txn, config);
        if c.has(Mistake::AckBeforeLogSynced) && self.phase == Phase::Live {
            self.ack_through(c, zxid);
        }
    }

    /// The leader says that `zxid` is committed, while it brings us level. Published at UPTODATE.
    fn settle(&mut self, c: &mut Common, zxid: Zxid) {
        if self.conn.is_none() || zxid <= self.settled {
            return;
        }
        match c.history.next_after(self.settled) {
            Some(next) if next.zxid == zxid => {}
            _ if c.has(Mistake::CommitMismatchSkipped) && zxid <= c.history.last() => {}
            _ => return self.breach(c, format!("COMMIT of {}, which is not next", Show(zxid))),
        }
        self.settled = zxid;
        c.trim(zxid);
    }

    fn new_leader(&mut self, c: &mut Common, epoch: Epoch, config: Option<Arc<EnsembleConfig>>) {
        if epoch != self.epoch {
            return self.breach(c, format!("NEWLEADER of epoch {epoch}, not {}", self.epoch));
        }
        self.offered = config;
        self.acked = self.settled;
        self.phase = Phase::Flushing { through: c.history.last() };
        if c.has(Mistake::ServeBeforeUpToDate) && self.settled >= c.history.committed() {
            let published = self.settled.max(c.history.published());
            c.commit(self.settled, published);
            self.tell_role(c, true);
        }
        if c.has(Mistake::CurrentEpochBeforeLog) {
            self.early_token = Some(self.adopt(c));
        }
        self.flush(c);
    }

    /// NEWLEADER's history is complete here: go on when it is on the medium.
    fn flush(&mut self, c: &mut Common) {
        let Phase::Flushing { through } = self.phase else { return };
        if c.history.durable() < through && !c.has(Mistake::NewLeaderAckBeforeLogSynced) {
            return;
        }
        if c.in_force.is_some() {
            self.phase = Phase::TakingOver;
            c.take_over();
        } else {
            self.store_current(c);
        }
    }

    /// The staged snapshot, with all the leader's history, is the state in force.
    pub fn taken_over(&mut self, c: &mut Common) {
        if self.phase == Phase::TakingOver {
            self.heard_at = c.now;
            self.store_current(c);
        }
    }

    fn adopt(&self, c: &mut Common) -> u64 {
        let accepted = c.epochs.accepted.max(self.epoch);
        let current = c.epochs.current.max(self.epoch);
        c.store(Epochs { accepted, current, ..c.epochs })
    }

    fn store_current(&mut self, c: &mut Common) {
        let token = match self.early_token {
            Some(token) => token,
            None => self.adopt(c),
        };
        self.phase = Phase::Adopting { token };
        self.stored(c);
    }

    /// A record of epochs is stored.
    pub fn stored(&mut self, c: &mut Common) {
        match self.phase {
            Phase::Accepting { token, news } if c.is_stored(token) => {
                self.ack_epoch(c, news.then_some(c.epochs.current));
            }
            Phase::Adopting { token } if c.is_stored(token) => {
                self.phase = Phase::Acknowledged;
                self.heard_at = c.now;
                if let Some(conn) = self.conn {
                    c.send(conn, Packet::Ack { zxid: make_zxid(self.epoch, 0) });
                }
            }
            _ => {}
        }
        if let WayBack::Store { token } = self.way_back
            && c.is_stored(token)
        {
            // From now on our word counts again: come back as what we are.
            self.way_back = WayBack::None;
            self.leave(c, CloseReason::RoleChange);
        }
    }

    /// A quorum has the leader's history.
    fn up_to_date(&mut self, c: &mut Common) {
        if self.settled < c.history.committed() {
            let committed = Show(c.history.committed());
            let text = format!("UPTODATE at {}, below {committed}", Show(self.settled));
            return self.breach(c, text);
        }
        if c.has(Mistake::DropOutstandingAtUpToDate) {
            self.acked = c.history.last();
        }
        // The leader publishes its epoch << 32 when it is established; nothing lies between that and its history. With
        // this number out on every server, no client that saw it at the leader is ahead of them.
        let published = self.settled.max(make_zxid(self.epoch, 0));
        c.needs_snapshot = false;
        c.failed_with = None;
        c.vote.peer_epoch = self.epoch;
        self.phase = Phase::Live;
        c.commit(self.settled, published);
        self.tell_role(c, true);
        let Some(conn) = self.conn else { return };
        c.send(conn, Packet::Ack { zxid: make_zxid(self.epoch, 0) });
        self.ack_durable(c);
        self.activate_settled(c);
        if self.kind == Kind::Lost && c.turn.is_none() {
            if c.has(Mistake::RejoinWithoutBarrier) {
                return self.flush_way_back(c);
            }
            self.ask_for_barrier(c);
        }
    }

    /// Configurations that the sync brought are in force: those whose transactions are committed, and NEWLEADER's, of
    /// which a quorum now is.
    fn activate_settled(&mut self, c: &mut Common) {
        let before = Arc::clone(&c.membership.active);
        if let Some((zxid, config)) = c.membership.proposed.clone()
            && zxid <= self.settled
        {
            c.activate(config);
            c.set_proposed(None);
        }
        // A version is the zxid that made it: one beyond what is committed is only proposed.
        if let Some(config) = self.offered.take()
            && config.version <= c.history.published()
        {
            c.activate(config);
        }
        if c.membership.active.version == before.version {
            return;
        }
        let moved = before.server(self.leader).map(|server| &server.quorum_address)
            != c.membership.active.server(self.leader).map(|server| &server.quorum_address);
        if self.role_changes(c) || !c.membership.active.is_participant(self.leader) || moved {
            self.leave(c, CloseReason::RoleChange);
        }
    }

    fn role_changes(&self, c: &Common) -> bool {
        self.kind != c.kind()
    }

    // ---- in step

    fn live_packet(&mut self, c: &mut Common, packet: Packet) {
        let Some(conn) = self.conn else { return };
        match packet {
            Packet::Proposal { zxid, txn, config } => {
                if self.kind == Kind::Participant && self.is_of_epoch(c, zxid) {
                    self.append(c, zxid, txn, config);
                }
            }
            Packet::Commit { zxid } => {
                if self.kind == Kind::Participant {
                    self.commit(c, zxid);
                }
            }
            Packet::CommitAndActivate { zxid, designated_leader } => {
                if self.kind == Kind::Participant {
                    self.commit_and_activate(c, zxid, designated_leader);
                }
            }
            Packet::Inform { zxid, txn } => {
                if self.is_of_epoch(c, zxid) {
                    self.append(c, zxid, txn, None);
                    self.commit(c, zxid);
                }
            }
            Packet::InformAndActivate { zxid, designated_leader, txn, config } => {
                if self.is_of_epoch(c, zxid) {
                    self.append(c, zxid, txn, config);
                    self.commit_and_activate(c, zxid, designated_leader);
                }
            }
            Packet::Ping { zxid, .. } => c.act(Action::AnswerPing { conn, zxid }),
            Packet::Revalidated { session, valid } => {
                c.act(Action::Revalidated { session, valid });
            }
            Packet::Sync => c.act(Action::Synced),
            other => self.unexpected(c, &other),
        }
    }

    fn is_of_epoch(&mut self, c: &mut Common, zxid: Zxid) -> bool {
        if epoch_of(zxid) != self.epoch {
            self.breach(c, format!("{} proposed in epoch {}", Show(zxid), self.epoch));
            return false;
        }
        true
    }

    fn commit(&mut self, c: &mut Common, zxid: Zxid) {
        if self.conn.is_none() {
            return;
        }
        match c.history.next_after(c.history.committed()) {
            Some(next) if next.zxid == zxid => {}
            _ if c.has(Mistake::CommitMismatchSkipped) => {
                if zxid <= c.history.committed() || zxid > c.history.last() {
                    return;
                }
            }
            _ => return self.breach(c, format!("COMMIT of {}, which is not next", Show(zxid))),
        }
        self.settled = zxid;
        c.commit(zxid, zxid);
    }

    fn commit_and_activate(&mut self, c: &mut Common, zxid: Zxid, designated: Sid) {
        let config = c.history.entry(zxid).and_then(|entry| entry.config.clone());
        let Some(config) = config else {
            return self.breach(c, format!("{} is no reconfiguration", Show(zxid)));
        };
        self.commit(c, zxid);
        if self.conn.is_none() {
            return;
        }
        let is_news = config.version > c.membership.active.version;
        c.activate(config);
        c.set_proposed_settled(zxid);
        if !is_news || !(self.role_changes(c) || designated != self.leader) {
            return;
        }
        // Straight to the designated leader, without an election.
        if let Some(conn) = self.conn.take() {
            c.close(conn, CloseReason::RoleChange);
        }
        c.follow_designated(designated);
    }

    /// The log is on the medium further than before.
    pub fn durable(&mut self, c: &mut Common) {
        self.flush(c);
        if self.phase == Phase::Live {
            self.ack_durable(c);
        }
        if let WayBack::Flush { through } = self.way_back
            && c.history.durable() >= through
        {
            self.store_way_back(c);
        }
    }

    fn ack_durable(&mut self, c: &mut Common) {
        self.ack_through(c, c.history.durable());
    }

    /// Acknowledges each proposal through here: ZooKeeper's leader counts them one by one.
    fn ack_through(&mut self, c: &mut Common, through: Zxid) {
        let Some(conn) = self.conn else { return };
        if self.kind != Kind::Participant || through <= self.acked {
            return;
        }
        let from = make_zxid(self.epoch, c.config.first_counter).max(self.acked + 1);
        for zxid in from..=through {
            c.send(conn, Packet::Ack { zxid });
        }
        self.acked = through;
    }

    // ---- the way back of a server that had lost its log

    /// Our barrier is committed: a quorum that does not count us followed this leader *after* we had lost our log. So
    /// no later leader had been established with our help before, and all that we may have acknowledged and that was
    /// committed is at or below the barrier.
    pub fn barrier(&mut self, c: &mut Common, token: u64) {
        if let WayBack::Barrier { token: asked, .. } = self.way_back
            && asked == token
            && self.phase == Phase::Live
        {
            self.flush_way_back(c);
        }
    }

    /// The request may be lost, or refused while leadership moves: then it is made anew.
    fn ask_for_barrier(&mut self, c: &mut Common) {
        let token = c.next_barrier();
        self.way_back = WayBack::Barrier { token, again_at: c.now + c.sync_ms() };
        c.act(Action::Barrier { token });
    }

    fn flush_way_back(&mut self, c: &mut Common) {
        let through = c.history.committed();
        self.way_back = WayBack::Flush { through };
        if c.history.durable() >= through {
            self.store_way_back(c);
        }
    }

    fn store_way_back(&mut self, c: &mut Common) {
        let token = c.store(Epochs { intact: true, ..c.epochs });
        self.way_back = WayBack::Store { token };
        self.stored(c);
    }
}
