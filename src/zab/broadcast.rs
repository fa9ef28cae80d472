//! An established leader: proposals, acknowledgements, commits (ZooKeeper's `Leader.propose`, `processAck`,
//! `tryToCommit`).
//!
//! Zxids of an epoch are contiguous. A proposal is committed when a quorum has it on its medium; a server's
//! acknowledgement of one counts for all before it, because it logs them in order. We count ourselves by our own
//! log, when it is durable, never before. What is committed is told in order, each learner after what it was sent
//! before; an answer to SYNC follows the commits of all that was proposed when it was asked.

use std::sync::Arc;

use super::action::{Action, Refusal};
use super::common::Common;
use super::ensemble::EnsembleConfig;
use super::history::Entry;
use super::leader::{Leader, Stage};
use super::message::Packet;
use super::mistake::Mistake;
use super::quorum;
use super::reconfig;
use super::types::{COUNTER_MAX, ConnId, Show, Sid, Txn, Zxid, counter_of, epoch_of, make_zxid};

impl Leader {
    /// The zxid of the next proposal.
    pub(super) fn next_zxid(&self, c: &Common) -> Result<Zxid, Refusal> {
        if !self.is_established() {
            return Err(Refusal::NotLeading);
        }
        if self.is_used_up(c) {
            return Err(Refusal::Rollover);
        }
        if self.moving {
            return Err(Refusal::Moving);
        }
        // Nothing behind a reconfiguration could be committed before it, and what only the new servers had logged could
        // keep both configurations from electing a leader (see `election::is_better`).
        let settled = c.membership.proposed.is_none();
        if !settled && !c.has(Mistake::OldLeaderCommitsAfterHandOver) {
            return Err(Refusal::ReconfigInProgress);
        }
        // Said before the transaction is made: whoever has a number for it has it in memory when it is proposed.
        if self.outstanding(c) >= c.config.outstanding_max {
            return Err(Refusal::Full);
        }
        Ok(self.successor(c))
    }

    /// Whether the epoch has no number left. Then what is proposed is committed, and a new epoch begins with a new
    /// election.
    fn is_used_up(&self, c: &Common) -> bool {
        counter_of(self.last_proposed) >= COUNTER_MAX
            && !c.config.standalone
            && !c.has(Mistake::CounterRunsOver)
    }

    /// The epoch's first zxid, or the one after.
    fn successor(&self, c: &Common) -> Zxid {
        if c.config.standalone {
            return self.last_proposed + 1;
        }
        (self.last_proposed + 1).max(make_zxid(self.epoch, c.config.first_counter))
    }

    /// Transactions proposed and not committed.
    pub(super) fn outstanding(&self, c: &Common) -> usize {
        if !self.is_established() {
            return 0;
        }
        usize::try_from(self.last_proposed + 1 - self.first_outstanding(c)).unwrap_or(0)
    }

    fn first_outstanding(&self, c: &Common) -> Zxid {
        if c.config.standalone {
            return c.history.committed() + 1;
        }
        make_zxid(self.epoch, c.config.first_counter).max(c.history.committed() + 1)
    }

    /// Proposes a transaction.
    pub(super) fn propose(
        &mut self,
        c: &mut Common,
        zxid: Zxid,
        txn: Txn,
        config: Option<Arc<EnsembleConfig>>,
    ) -> Result<(), Refusal> {
        if zxid != self.next_zxid(c)? {
            return Err(Refusal::WrongZxid);
        }
        self.last_proposed = zxid;
        let alone = self.peers.is_empty() && c.config.window_txns_max == 0 && config.is_none();
        if alone {
            let generation = c.history.generation();
            c.history.push_unkept(zxid);
            c.act(Action::Append { generation, zxid, txn });
        } else {
            for (conn, peer) in &mut self.peers {
                if !peer.follower || !peer.is_forwarded() {
                    continue;
                }
                let at = Some((zxid, c.now));
                if peer.stage == Stage::Synced {
                    if peer.waiting.is_none() {
                        peer.waiting = at;
                    } else {
                        peer.waiting_next = at;
                    }
                }
                c.actions.push(Action::Send {
                    conn: *conn,
                    packet: Packet::Proposal {
                        zxid,
                        txn: Arc::clone(&txn),
                        config: config.clone(),
                    },
                });
            }
            c.append(zxid, txn, config);
        }
        if c.has(Mistake::LeaderCountsItselfEarly) {
            self.advance(c);
        }
        Ok(())
    }

    /// Whether a reconfiguration could be proposed.
    pub(super) fn check_reconfig(
        &self,
        c: &Common,
        config: &EnsembleConfig,
        leader: Option<Sid>,
    ) -> Result<(), Refusal> {
        self.next_zxid(c)?;
        // As ZooKeeper: the new ensemble must be able to go on, or the reconfiguration could only be regretted.
        let in_step = |sid: Sid| {
            sid == c.sid()
                || self
                    .peers
                    .values()
                    .any(|peer| peer.sid == sid && peer.follower && peer.stage == Stage::Synced)
        };
        if !quorum::is_quorum(config, in_step, c.config.mistakes) {
            return Err(Refusal::NewConfigNoQuorum);
        }
        match leader {
            Some(sid)
                if !config.is_participant(sid)
                    || !in_step(sid)
                    || quorum::weight(config, sid) == 0 =>
            {
                Err(Refusal::NotInStep)
            }
            _ => Ok(()),
        }
    }

    /// Proposes a reconfiguration.
    pub(super) fn propose_reconfig(
        &mut self,
        c: &mut Common,
        zxid: Zxid,
        txn: Txn,
        config: Arc<EnsembleConfig>,
        leader: Option<Sid>,
    ) -> Result<(), Refusal> {
        self.check_reconfig(c, &config, leader)?;
        let stays = reconfig::may_go_on_leading(&c.membership.active, &config, c.sid());
        self.propose(c, zxid, txn, Some(config))?;
        self.hand_over_to = leader;
        // What would be proposed behind it could not be committed here any more.
        let moves = leader.map_or(!stays, |leader| leader != c.sid());
        if moves && !c.has(Mistake::OldLeaderCommitsAfterHandOver) {
            self.moving = true;
        }
        self.advance(c);
        Ok(())
    }

    /// A follower has a proposal on its medium, and all before it.
    pub(super) fn acked(&mut self, c: &mut Common, conn: ConnId, zxid: Zxid) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if counter_of(zxid) == 0 {
            // The answer to UPTODATE.
            return;
        }
        let mut zxid = zxid;
        if c.has(Mistake::AckOfOtherEpochCounted) {
            zxid = make_zxid(self.epoch, counter_of(zxid));
        } else if epoch_of(zxid) != self.epoch {
            let text = format!("ACK of {} in epoch {}", Show(zxid), self.epoch);
            return self.breach(c, conn, text);
        } else if zxid > self.last_proposed {
            let text = format!("ACK of {}, beyond {}", Show(zxid), Show(self.last_proposed));
            return self.breach(c, conn, text);
        }
        peer.acked = peer.acked.max(Some(zxid));
        if peer.waiting.is_some_and(|(waiting, _)| waiting <= zxid) {
            peer.waiting = peer.waiting_next.take().filter(|(waiting, _)| *waiting > zxid);
        }
        // Nothing of our epoch is proposed before: an acknowledgement of it would have been a breach.
        debug_assert!(self.is_established(), "who has proposed leads");
        self.advance(c);
    }

    /// What a server has acknowledged that is in step with us.
    fn acked_by(&self, c: &Common, sid: Sid) -> Option<Zxid> {
        if sid == c.sid() {
            let early = c.has(Mistake::LeaderCountsItselfEarly);
            return Some(if early { c.history.last() } else { c.history.durable() });
        }
        let of = |follower: bool| {
            self.peers.values().filter(move |peer| peer.sid == sid && peer.follower == follower)
        };
        let present = of(true).filter_map(|peer| peer.acked).max();
        if c.has(Mistake::ObserversCounted) {
            let told = of(false).filter_map(|peer| peer.acked.map(|_| c.history.last()));
            return present.max(told.max());
        }
        if c.has(Mistake::OldConnectionAckCounted) {
            return present.max(self.old_acks.get(&sid).copied());
        }
        present
    }

    /// Commits what a quorum has.
    pub(super) fn advance(&mut self, c: &mut Common) {
        while let Some(target) = self.committable(c) {
            match c.membership.proposed.clone() {
                Some((zxid, config)) if target >= zxid => {
                    if zxid > self.first_outstanding(c) {
                        self.commit_through(c, zxid - 1);
                    }
                    self.commit_reconfig(c, zxid, config);
                    if c.turn.is_some() {
                        return;
                    }
                }
                _ => self.commit_through(c, target),
            }
        }
        // A reconfiguration that is proposed is outstanding.
        let ends = self.moving || self.is_used_up(c);
        if ends && self.outstanding(c) == 0 {
            return self.step_down(c);
        }
        self.sync_deferred(c);
    }

    /// The last proposal that can be committed now, if any can.
    fn committable(&self, c: &Common) -> Option<Zxid> {
        let target = if c.config.standalone {
            c.history.durable()
        } else {
            c.membership.acked(|sid| self.acked_by(c, sid))?.min(self.last_proposed)
        };
        let heir =
            c.membership.proposed.as_ref().is_some_and(|(zxid, _)| self.waits_for_heir(*zxid));
        let target = match &c.membership.proposed {
            Some((zxid, _)) if heir => target.min(zxid - 1),
            _ => target,
        };
        (target >= self.first_outstanding(c) && self.outstanding(c) > 0).then_some(target)
    }

    /// Whether the server that is to lead next is in step but has not got so far yet: it must have what it is to lead.
    fn waits_for_heir(&self, reconfig: Zxid) -> bool {
        let Some(heir) = self.hand_over_to else { return false };
        self.peers.values().any(|peer| {
            peer.sid == heir
                && peer.follower
                && peer.stage == Stage::Synced
                && peer.acked.is_none_or(|acked| acked < reconfig)
        })
    }

    fn commit_through(&mut self, c: &mut Common, through: Zxid) {
        let from = self.first_outstanding(c);
        if !self.peers.is_empty() {
            for (conn, peer) in &self.peers {
                if !peer.is_forwarded() {
                    continue;
                }
                if peer.follower {
                    for zxid in from..=through {
                        c.actions
                            .push(Action::Send { conn: *conn, packet: Packet::Commit { zxid } });
                    }
                    continue;
                }
                for entry in c.history.range(from - 1, through) {
                    c.actions.push(Action::Send { conn: *conn, packet: inform(entry) });
                }
            }
        }
        c.commit(through, through);
        self.answer_syncs(c);
    }

    /// Commits a reconfiguration: the new configuration is in force, and whoever it designates leads.
    fn commit_reconfig(&mut self, c: &mut Common, zxid: Zxid, config: Arc<EnsembleConfig>) {
        let designated = reconfig::designate(
            &c.membership.active,
            &config,
            zxid,
            c.sid(),
            self.hand_over_to,
            |sid| self.acked_by(c, sid),
        );
        // A quorum of the new configuration has acknowledged it, so there is one.
        let Some(designated) = designated else { return self.step_down(c) };
        let txn = c.history.entry(zxid).map(|entry| Arc::clone(&entry.txn));
        for (conn, peer) in &self.peers {
            if !peer.is_forwarded() {
                continue;
            }
            let packet = match &txn {
                _ if peer.follower => {
                    Packet::CommitAndActivate { zxid, designated_leader: designated }
                }
                Some(txn) => Packet::InformAndActivate {
                    zxid,
                    designated_leader: designated,
                    txn: Arc::clone(txn),
                    config: Some(Arc::clone(&config)),
                },
                None => continue,
            };
            c.actions.push(Action::Send { conn: *conn, packet });
        }
        c.commit(zxid, zxid);
        self.answer_syncs(c);
        c.activate(config);
        self.hand_over_to = None;
        if designated == c.sid() {
            self.moving = false;
            return;
        }
        if c.has(Mistake::OldLeaderCommitsAfterHandOver) {
            let last = self.last_proposed;
            if last > zxid {
                self.commit_through(c, last);
            }
        }
        // Nothing more is committed here (ZooKeeper's allowedToCommit): the acknowledgements that come are the new
        // leader's to count.
        c.follow_designated(designated);
    }

    /// A learner asks for an answer behind all that is proposed now.
    pub(super) fn learner_sync(&mut self, c: &mut Common, conn: ConnId) {
        if self.peers.get(&conn).is_none_or(|peer| peer.stage != Stage::Synced) {
            return;
        }
        if self.outstanding(c) == 0 {
            c.send(conn, Packet::Sync);
        } else {
            self.syncs.push_back((self.last_proposed, conn));
        }
    }

    fn answer_syncs(&mut self, c: &mut Common) {
        let committed = c.history.committed();
        while let Some((zxid, conn)) = self.syncs.front().copied() {
            if zxid > committed {
                return;
            }
            self.syncs.pop_front();
            c.send(conn, Packet::Sync);
        }
    }

    /// Our own log is on the medium further than before.
    pub(super) fn durable(&mut self, c: &mut Common) {
        if self.is_established() {
            self.advance(c);
        } else {
            self.store_own(c);
        }
    }

    /// The answer to a learner's question about a session.
    pub(super) fn revalidated(&mut self, c: &mut Common, conn: ConnId, session: i64, valid: bool) {
        if self.peers.get(&conn).is_some_and(|peer| peer.stage == Stage::Synced) {
            c.send(conn, Packet::Revalidated { session, valid });
        }
    }
}

fn inform(entry: &Entry) -> Packet {
    Packet::Inform { zxid: entry.zxid, txn: Arc::clone(&entry.txn) }
}
