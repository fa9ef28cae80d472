//! A learner is brought level with its leader (ZooKeeper's `Learner.syncWithLeader`): from DIFF, TRUNC or SNAP through
//! NEWLEADER to UPTODATE.
//!
//! What the leader proposes is appended when it comes, also what is not committed yet; none of it is acknowledged before UPTODATE, nor
//! published. A received snapshot is kept beside the state in force, and takes over when all that belongs to it is on the
//! medium. The order of durability at NEWLEADER is the heart: see [`learner`](super::learner).

use std::sync::Arc;

use super::action::{Action, CloseReason};
use super::common::{Common, Epochs, Kind};
use super::ensemble::EnsembleConfig;
use super::learner::{Learner, Phase};
use super::message::Packet;
use super::mistake::Mistake;
use super::types::{ConnId, Epoch, Show, Txn, Zxid, epoch_of, make_zxid};

impl Learner {
    /// DIFF, TRUNC or SNAP.
    pub(super) fn begin_sync(&mut self, c: &mut Common, packet: Packet) {
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

    pub(super) fn truncate(&mut self, c: &mut Common, zxid: Zxid) {
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
    pub(super) fn truncated(&mut self, c: &mut Common, done: bool) {
        // No role ends before the log is settled.
        debug_assert!(self.phase == Phase::Truncating, "the log was cut in {:?}", self.phase);
        if !done {
            return self.ask_for_snapshot(c);
        }
        self.settled = c.history.last();
        self.receive(c);
    }

    /// Our log cannot be cut where the leader's says. It is asked anew, for a snapshot; it has our ACKEPOCH already, which
    /// told where our history ends, and which counts. To the next leader we tell that again first.
    fn ask_for_snapshot(&mut self, c: &mut Common) {
        self.needs_snapshot = true;
        if let Some(conn) = self.conn.take() {
            let text = "TRUNC to a zxid that our log does not have".to_owned();
            c.close(conn, CloseReason::Refused(text));
        }
        self.phase = Phase::Connecting;
        self.heard_at = c.now;
        self.attempt = 0;
        self.try_again(c);
    }

    pub(super) fn receive(&mut self, c: &mut Common) {
        self.phase = Phase::Receiving;
        self.heard_at = c.now;
        c.act(Action::Replay { through: c.history.last() });
    }

    /// The snapshot is read, beside the state in force.
    pub(super) fn staged(&mut self, c: &mut Common, conn: ConnId) {
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

    pub(super) fn stage_failed(&mut self, c: &mut Common, conn: ConnId) {
        if matches!(self.phase, Phase::Staging { .. }) && self.conn == Some(conn) {
            c.staging = false;
            self.leave(c, CloseReason::Refused("the snapshot could not be kept".into()));
        }
    }

    // ---- the leader's history

    pub(super) fn sync_packet(&mut self, c: &mut Common, packet: Packet) {
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
    pub(super) fn append(
        &mut self,
        c: &mut Common,
        zxid: Zxid,
        txn: Txn,
        config: Option<Arc<EnsembleConfig>>,
    ) {
        if zxid <= c.history.last() && self.phase != Phase::Live {
            return;
        }
        let since_new_leader = matches!(
            self.phase,
            Phase::Flushing { .. } | Phase::Adopting { .. } | Phase::Acknowledged
        );
        if c.has(Mistake::DropOutstandingAtUpToDate) && since_new_leader {
            return;
        }
        let gaps = c.has(Mistake::ZxidGapAccepted) || c.has(Mistake::DropOutstandingAtUpToDate);
        let is_next =
            c.history.is_next(zxid, c.config.first_counter) || (gaps && zxid > c.history.last());
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
    pub(super) fn settle(&mut self, c: &mut Common, zxid: Zxid) {
        if self.conn.is_none() || zxid <= self.settled {
            return;
        }
        match c.history.next_after(self.settled) {
            Some(next) if next.zxid == zxid => {}
            _ if c.has(Mistake::CommitMismatchSkipped) => return,
            _ => return self.breach(c, format!("COMMIT of {}, which is not next", Show(zxid))),
        }
        self.settled = zxid;
        c.trim(zxid);
    }

    pub(super) fn new_leader(
        &mut self,
        c: &mut Common,
        epoch: Epoch,
        config: Option<Arc<EnsembleConfig>>,
    ) {
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
    pub(super) fn flush(&mut self, c: &mut Common) {
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
    pub(super) fn taken_over(&mut self, c: &mut Common) {
        // No role ends before the log is settled.
        debug_assert!(self.phase == Phase::TakingOver, "a snapshot took over in {:?}", self.phase);
        self.heard_at = c.now;
        self.store_current(c);
    }

    pub(super) fn adopt(&self, c: &mut Common) -> u64 {
        let accepted = c.epochs.accepted.max(self.epoch);
        let current = c.epochs.current.max(self.epoch);
        c.store(Epochs { accepted, current, ..c.epochs })
    }

    pub(super) fn store_current(&mut self, c: &mut Common) {
        let token = match self.early_token {
            Some(token) => token,
            None => self.adopt(c),
        };
        self.phase = Phase::Adopting { token };
        self.stored(c);
    }

    /// A record of epochs is stored.
    pub(super) fn stored(&mut self, c: &mut Common) {
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
        self.way_back_stored(c);
    }

    /// A quorum has the leader's history.
    pub(super) fn up_to_date(&mut self, c: &mut Common) {
        // The leader publishes its epoch << 32 when it is established; nothing lies between that and its history. With
        // this number out on every server, no client that saw it at the leader is ahead of them.
        let published = self.settled.max(make_zxid(self.epoch, 0));
        c.in_step();
        c.vote.peer_epoch = self.epoch;
        self.phase = Phase::Live;
        c.commit(self.settled, published);
        self.tell_role(c, true);
        let Some(conn) = self.conn else { return };
        c.send(conn, Packet::Ack { zxid: make_zxid(self.epoch, 0) });
        if c.has(Mistake::AckOfOtherEpochCounted) && self.kind == Kind::Participant {
            c.send(conn, Packet::Ack { zxid: self.settled });
        }
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
    pub(super) fn activate_settled(&mut self, c: &mut Common) {
        let before = Arc::clone(&c.membership.active);
        if let Some((zxid, config)) = c.membership.proposed.clone()
            && zxid <= self.settled
        {
            c.activate(config);
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

    pub(super) fn role_changes(&self, c: &Common) -> bool {
        self.kind != c.kind()
    }
}
