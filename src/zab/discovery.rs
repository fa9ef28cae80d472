//! From an election to an established leader: discovery and synchronisation, as the leader does them (ZooKeeper's
//! `Leader.getEpochToPropose`, `waitForEpochAck`, `waitForNewLeaderAck`, `LearnerHandler.run`).
//!
//! 1. A quorum connects; the new epoch is above all that its servers have accepted. It is stored here as accepted before
//!    anyone is told: a leader that crashes must not use it again.
//! 2. A quorum accepts the epoch, durably, and says where its histories end. Nobody in that quorum may be fresher than
//!    we are: with that, our history holds all that was ever committed, and no older leader can commit any more.
//! 3. Each learner is brought level, in one step with the beginning of the forwarding of live proposals: between what
//!    is sent as history and what is forwarded there is no gap and nothing twice. NEWLEADER ends it.
//! 4. A quorum, we among it, has that history on the medium and has stored the epoch as current: what we began with is
//!    committed. UPTODATE.
//!
//! All three quorums are of the configuration in force **and** of a proposed one.

use std::sync::Arc;

use super::action::{Action, CloseReason, LookUpAnswer, Role};
use super::common::{Common, Epochs};
use super::leader::{Leader, Phase, Stage};
use super::message::{LearnerInfo, Packet};
use super::mistake::Mistake;
use super::sync::{self, Plan, View};
use super::types::{ConnId, EPOCH_MAX, Epoch, Sid, Zxid, counter_of, make_zxid};

/// The protocol version of every server since ZooKeeper 3.4.
const PROTOCOL_VERSION: i32 = 0x10000;

impl Leader {
    // ---- 1: an epoch

    /// A learner says who it is.
    pub(super) fn learner_info(
        &mut self,
        c: &mut Common,
        conn: ConnId,
        follower: bool,
        accepted_epoch: Epoch,
        info: LearnerInfo,
    ) {
        let Some(sid) = info.sid.filter(|_| info.protocol_version >= PROTOCOL_VERSION) else {
            let text = "the learner speaks a protocol older than ZooKeeper 3.4's".to_owned();
            return self.drop_peer(c, conn, CloseReason::Refused(text));
        };
        if sid == c.sid() {
            return self.breach(c, conn, format!("a learner with our own sid, {sid}"));
        }
        if !(0..EPOCH_MAX).contains(&accepted_epoch) {
            return self.breach(c, conn, format!("accepted epoch {accepted_epoch}"));
        }
        if let Some((_, config)) = &c.membership.proposed
            && config.version == info.config_version
            && !self.is_established()
            && config.is_participant(c.sid())
        {
            // What our log only proposes is in force there, so it was committed.
            let config = Arc::clone(config);
            c.activate(config);
        }
        if info.config_version > c.membership.active.version {
            let ours = c.membership.active.version;
            let text =
                format!("its configuration {:x} is ahead of ours, {ours:x}", info.config_version);
            return self.drop_peer(c, conn, CloseReason::Refused(text));
        }
        let old: Vec<ConnId> = self
            .peers
            .iter()
            .filter(|(other, peer)| **other != conn && peer.stage > Stage::Hello && peer.sid == sid)
            .map(|(other, _)| *other)
            .collect();
        for other in old {
            self.drop_peer(c, other, CloseReason::Replaced);
        }
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.sid = sid;
        peer.follower = follower;
        peer.stage = Stage::Known;
        let votes = self.counts(c, sid, follower);
        if votes {
            self.disloyal.remove(&sid);
        }
        if self.phase == Phase::Discovery {
            if follower {
                self.accepted_max = self.accepted_max.max(accepted_epoch);
            }
            if votes {
                self.connecting.insert(sid);
            }
            self.choose_epoch(c);
        } else if votes && accepted_epoch > self.epoch && !c.has(Mistake::AcceptLowerEpoch) {
            // It has promised itself to a later leader, who did not make it. It can never join us, only a new epoch
            // above that one.
            self.step_down(c);
        } else if !matches!(self.phase, Phase::Accepting { .. }) {
            self.tell_epoch(c, conn);
        }
    }

    /// Whether a learner's word counts: it comes as a follower and is, or will be, a voter.
    fn counts(&self, c: &Common, sid: Sid, follower: bool) -> bool {
        (follower && c.membership.is_voter(sid)) || c.has(Mistake::ObserversCounted)
    }

    /// Chooses the epoch if a quorum has connected.
    pub(super) fn choose_epoch(&mut self, c: &mut Common) {
        if !c.membership.is_quorum(|sid| self.connecting.contains(&sid)) {
            return;
        }
        let above = if c.has(Mistake::ReuseEpoch) { 0 } else { 1 };
        self.epoch = (self.accepted_max + above).max(1);
        if self.epoch > EPOCH_MAX {
            // No epoch is left. There will be none for another leader either; the operator must begin a new ensemble.
            // Until this phase ends nothing comes of it.
            self.epoch = 0;
            return;
        }
        if c.has(Mistake::LeaderForgetsAcceptedEpoch) {
            return self.epoch_stored(c);
        }
        let accepted = self.epoch.max(c.epochs.accepted);
        let token = c.store(Epochs { accepted, ..c.epochs });
        self.enter(c, Phase::Accepting { token });
    }

    /// A record of epochs is stored.
    pub(super) fn stored(&mut self, c: &mut Common) {
        match self.phase {
            Phase::Accepting { token } if c.is_stored(token) => self.epoch_stored(c),
            Phase::Adopting { token } if c.is_stored(token) => {
                self.own_is_durable = true;
                self.enter(c, Phase::NewLeader);
                self.sync_ready(c);
                self.establish(c);
            }
            _ => {}
        }
    }

    fn epoch_stored(&mut self, c: &mut Common) {
        self.enter(c, Phase::EpochAcks);
        c.set_role(Role::Leading { epoch: self.epoch, serving: false });
        self.electing.insert(c.sid());
        let active = &c.membership.active;
        if c.config.stamp_first_config && active.version == 0 && c.membership.proposed.is_none() {
            // The configuration of the first start gets a version when a leader is established (ZooKeeper's
            // `Leader.lead`).
            let zxid = make_zxid(self.epoch, 0);
            let config = active.with_version(zxid);
            c.set_proposed(Some((zxid, Arc::new(config))));
        }
        let known: Vec<ConnId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.stage == Stage::Known)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in known {
            self.tell_epoch(c, conn);
        }
        self.count_epoch_acks(c);
    }

    fn tell_epoch(&mut self, c: &mut Common, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.stage = Stage::EpochSent;
        let packet = Packet::LeaderInfo { epoch: self.epoch, protocol_version: PROTOCOL_VERSION };
        c.send(conn, packet);
    }

    // ---- 2: a quorum that has accepted it

    /// A learner has accepted our epoch.
    pub(super) fn epoch_acked(
        &mut self,
        c: &mut Common,
        conn: ConnId,
        last_zxid: Zxid,
        current_epoch: Option<Epoch>,
    ) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if last_zxid < -1 {
            return self.breach(c, conn, format!("a history that ends at {last_zxid}"));
        }
        peer.last_zxid = last_zxid;
        peer.stage = Stage::EpochAcked;
        let (sid, follower) = (peer.sid, peer.follower);
        if self.phase != Phase::EpochAcks {
            return self.sync(c, conn);
        }
        if let Some(current) = current_epoch
            && (current, last_zxid) > (c.epochs.current, self.history_end)
            && !c.has(Mistake::IgnoreFresherAckEpoch)
        {
            // Perhaps it should lead, perhaps the others can do without it. Wait for them, but not for long.
            self.phase_ends_at = self.phase_ends_at.min(c.now + 2 * c.config.tick_ms);
            let text = format!("its history, epoch {current}, is fresher than ours");
            return self.drop_peer(c, conn, CloseReason::Refused(text));
        }
        // One that had accepted this epoch before may have accepted it from another leader, and is counted there. One
        // without a history is not counted at all.
        let first_time = current_epoch.is_some() || c.has(Mistake::AckEpochCountedTwice);
        if first_time && last_zxid != -1 && self.counts(c, sid, follower) {
            self.electing.insert(sid);
        }
        self.count_epoch_acks(c);
    }

    fn count_epoch_acks(&mut self, c: &mut Common) {
        if !c.membership.is_quorum(|sid| self.electing.contains(&sid)) {
            return;
        }
        self.enter(c, Phase::OwnHistory);
        self.store_own(c);
    }

    /// Our own part of 4: the history, then the epoch.
    pub(super) fn store_own(&mut self, c: &mut Common) {
        if self.phase != Phase::OwnHistory {
            return;
        }
        if c.history.durable() < self.history_end && !c.has(Mistake::LeaderHistoryNotDurable) {
            return;
        }
        let accepted = c.epochs.accepted.max(self.epoch);
        let token = c.store(Epochs { accepted, current: self.epoch, ..c.epochs });
        self.enter(c, Phase::Adopting { token });
        if c.has(Mistake::LeaderServesBeforeQuorum) || c.has(Mistake::LeaderHistoryNotDurable) {
            self.enter(c, Phase::NewLeader);
            self.own_is_durable = true;
            self.sync_ready(c);
            self.establish(c);
        }
    }

    // ---- 3: the history

    /// What is sent to learners as committed ends here. Before we are established that is all we have: we may not know
    /// what of it was committed, but all of it will be, or nobody is served.
    fn sync_end(&self, c: &Common) -> Zxid {
        let end = if self.is_established() { c.history.committed() } else { self.history_end };
        if c.has(Mistake::CommittedLeftOutOfSync) && end > c.history.base() {
            return c.history.floor(end - 1).unwrap_or(end);
        }
        end
    }

    /// Begins to bring a learner level: not before our own epoch is stored. Or a learner could store it and we, after a
    /// crash, not: it would have the freshest history then, and nobody could lead as long as it may not and is needed, as one
    /// to which only a proposed configuration gives a weight is.
    fn sync(&mut self, c: &mut Common, conn: ConnId) {
        if matches!(self.phase, Phase::OwnHistory | Phase::Adopting { .. }) {
            return;
        }
        let end = self.sync_end(c);
        if c.history.base() > end {
            // While we had no learners, proposals were not kept: wait until what is not committed is kept.
            return;
        }
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let zxid = peer.last_zxid;
        if zxid < 0 || c.config.force_snapshot {
            return self.carry_out(c, conn, Plan::Snap);
        }
        if let Some(floor) = c.history.floor(zxid.min(end)) {
            let view = View { floor: Some(floor), too_much: false, force_snapshot: false };
            let plan = sync::choose(view, zxid, c.config.mistakes);
            return self.carry_out(c, conn, plan);
        }
        peer.stage = Stage::LookingUp;
        c.act(Action::LookUp { conn, zxid: zxid.min(end) });
    }

    /// Begins the syncs that had to wait for a commit.
    pub(super) fn sync_deferred(&mut self, c: &mut Common) {
        if c.history.base() <= self.sync_end(c) {
            self.sync_ready(c);
        }
    }

    /// Begins the syncs of all that have acknowledged the epoch and wait for no more.
    fn sync_ready(&mut self, c: &mut Common) {
        let waits = |peer: &super::leader::Peer| peer.stage == Stage::EpochAcked;
        let ready: Vec<ConnId> =
            self.peers.iter().filter(|(_, peer)| waits(peer)).map(|(conn, _)| *conn).collect();
        for conn in ready {
            self.sync(c, conn);
        }
    }

    /// The driver has looked a learner's place up.
    pub(super) fn looked_up(&mut self, c: &mut Common, conn: ConnId, answer: LookUpAnswer) {
        let end = self.sync_end(c);
        let Some(peer) = self.peers.get(&conn).filter(|peer| peer.stage == Stage::LookingUp) else {
            return;
        };
        let zxid = peer.last_zxid;
        let view = View {
            floor: answer.floor.map(|floor| floor.min(end)),
            too_much: answer.too_much,
            force_snapshot: false,
        };
        let plan = sync::choose(view, zxid, c.config.mistakes);
        self.carry_out(c, conn, plan);
    }

    fn carry_out(&mut self, c: &mut Common, conn: ConnId, plan: Plan) {
        let end = self.sync_end(c);
        match plan {
            Plan::Diff { after } => {
                c.send(conn, Packet::Diff { zxid: end });
                self.send_history(c, conn, after);
            }
            Plan::Trunc { to } => {
                c.send(conn, Packet::Trunc { zxid: to });
                self.send_history(c, conn, to);
            }
            Plan::Snap => {
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.stage = Stage::Pinning;
                    c.act(Action::PinSnapshot { conn });
                }
            }
        }
    }

    /// The state to send is pinned.
    pub(super) fn snapshot_pinned(&mut self, c: &mut Common, conn: ConnId, zxid: Zxid) {
        if self.peers.get(&conn).is_some_and(|peer| peer.stage == Stage::Pinning) {
            c.act(Action::SendSnapshot { conn, zxid });
            self.send_history(c, conn, zxid);
        } else {
            c.act(Action::UnpinSnapshot { conn });
        }
    }

    /// Sends what is committed beyond `after`, what is proposed beyond that, and NEWLEADER; from here on live proposals
    /// follow. One step: nothing can come between.
    fn send_history(&mut self, c: &mut Common, conn: ConnId, after: Zxid) {
        let end = self.sync_end(c);
        let base = c.history.base();
        let in_window = after.max(base);
        debug_assert!(base <= end, "what is not committed is kept for whoever is brought level");
        if after < base {
            // Older than the window: the log has it.
            c.act(Action::StreamLog { conn, after, through: base });
        }
        for entry in c.history.range(in_window, end) {
            c.actions.push(Action::Send {
                conn,
                packet: Packet::Proposal {
                    zxid: entry.zxid,
                    txn: Arc::clone(&entry.txn),
                    config: entry.config.clone(),
                },
            });
            c.actions.push(Action::Send { conn, packet: Packet::Commit { zxid: entry.zxid } });
        }
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.stage = Stage::Syncing;
        peer.covered = end.max(after);
        if peer.follower && !c.has(Mistake::ForwardingGap) {
            for entry in c.history.range(end, c.history.last()) {
                c.actions.push(Action::Send {
                    conn,
                    packet: Packet::Proposal {
                        zxid: entry.zxid,
                        txn: Arc::clone(&entry.txn),
                        config: entry.config.clone(),
                    },
                });
            }
        }
        // What our history proposes is in force when we are established. What we propose ourselves is not yet, and an
        // observer would not know.
        let config =
            if self.is_established() { &c.membership.active } else { c.membership.last_seen() };
        let config = Some(Arc::clone(config));
        c.send(conn, Packet::NewLeader { epoch: self.epoch, config });
    }

    // ---- 4: a quorum that has it

    /// A learner has acknowledged NEWLEADER.
    pub(super) fn new_leader_acked(&mut self, c: &mut Common, conn: ConnId, zxid: Zxid) {
        let expected = make_zxid(self.epoch, 0);
        if zxid != expected {
            return self.breach(c, conn, format!("ACK of {zxid:x} for NEWLEADER {expected:x}"));
        }
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.stage = Stage::Acked;
        peer.acked = Some(peer.covered);
        if self.is_established() {
            self.up_to_date(c, conn);
            self.advance(c);
        } else {
            self.establish(c);
        }
    }

    /// UPTODATE for one learner.
    fn up_to_date(&mut self, c: &mut Common, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.stage = Stage::Synced;
        peer.heard_at = c.now;
        let last = self.last_proposed;
        if peer.follower && counter_of(last) != 0 && peer.acked.is_some_and(|acked| acked < last) {
            peer.waiting = Some((last, c.now));
        }
        c.send(conn, Packet::UpToDate);
    }

    /// Leads in earnest, if a quorum has our history.
    fn establish(&mut self, c: &mut Common) {
        if self.phase != Phase::NewLeader {
            return;
        }
        assert!(self.own_is_durable, "a leader counts itself when its history is durable");
        let with = |sid: Sid| {
            sid == c.sid()
                || self.peers.values().any(|peer| {
                    peer.sid == sid
                        && (peer.follower || c.has(Mistake::ObserversCounted))
                        && peer.stage >= Stage::Acked
                })
        };
        if !c.membership.is_quorum(with) && !c.has(Mistake::LeaderServesBeforeQuorum) {
            return;
        }
        let first = make_zxid(self.epoch, 0);
        self.phase = Phase::Established;
        self.phase_ends_at = u64::MAX;
        self.tick_at = c.now + c.config.tick_ms / 2;
        self.tick_is_whole = false;
        self.last_proposed = first;
        c.vote.peer_epoch = self.epoch;
        let end = self.history_end.max(c.history.committed());
        // All of our history, and the number of our epoch, which no transaction has.
        c.commit(end, first);
        // A reconfiguration that our history ends with is committed with it.
        let before = Arc::clone(&c.membership.active);
        if let Some((_, config)) = c.membership.proposed.clone() {
            c.activate(config);
        }
        c.set_role(Role::Leading { epoch: self.epoch, serving: true });
        let acked: Vec<ConnId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.stage == Stage::Acked)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in acked {
            self.up_to_date(c, conn);
        }
        let after = Arc::clone(&c.membership.active);
        if after.version != before.version
            && !super::reconfig::may_go_on_leading(&before, &after, c.sid())
        {
            // The new configuration has us no more, or elsewhere. Its servers know that it is in force.
            self.step_down(c);
        }
    }
}
