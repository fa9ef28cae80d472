//! A leader: the connections of its learners, its phases, its clock (ZooKeeper's `Leader`, `LearnerHandler`).
//!
//! [`discovery`](super::discovery) takes it from its election to an epoch of its own and brings each learner level with
//! it; [`broadcast`](super::broadcast) proposes and commits. Here is what both need, and how leadership ends: a leader
//! that in a whole tick has not heard, within `syncLimit` ticks, from a quorum of learners **in step with it** steps
//! down. Learners that are not in step do not count: they could be following nobody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::action::{Action, CloseReason, Role};
use super::common::{Common, Turn};
use super::message::{Notification, Packet};
use super::mistake::Mistake;
use super::types::{ConnId, Epoch, Sid, Zxid, epoch_of};

/// How far a leader has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for a quorum to connect, to choose an epoch above all that it has accepted.
    Discovery,
    /// That epoch is being stored as accepted.
    Accepting { token: u64 },
    /// Waits for a quorum to accept it.
    EpochAcks,
    /// Waits for its own history to be on the medium.
    OwnHistory,
    /// currentEpoch is being stored.
    Adopting { token: u64 },
    /// Waits for a quorum to acknowledge NEWLEADER.
    NewLeader,
    /// Leads.
    Established,
}

/// How far a learner has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Has not said who it is.
    Hello,
    /// Waits for LEADERINFO.
    Known,
    /// Has LEADERINFO.
    EpochSent,
    /// Has acknowledged the epoch.
    EpochAcked,
    /// Its place in our history is looked up.
    LookingUp,
    /// A snapshot for it is being pinned.
    Pinning,
    /// All of our history and NEWLEADER are on their way; live proposals follow.
    Syncing,
    /// Has acknowledged NEWLEADER.
    Acked,
    /// Has UPTODATE.
    Synced,
}

/// A learner's connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub sid: Sid,
    /// Came with FOLLOWERINFO. Whether its word counts is the configuration's to say.
    pub follower: bool,
    pub stage: Stage,
    /// When it was last heard.
    pub heard_at: u64,
    /// Its last zxid, as it said.
    pub last_zxid: Zxid,
    /// It has acknowledged everything through here, **on this connection**. What it acknowledged on an earlier one counts
    /// no longer: it may have been cut since.
    pub acked: Option<Zxid>,
    /// The last zxid that NEWLEADER covers for it.
    pub covered: Zxid,
    /// A proposal that waits for its acknowledgement, and since when.
    pub waiting: Option<(Zxid, u64)>,
    /// The last one sent since.
    pub waiting_next: Option<(Zxid, u64)>,
}

impl Peer {
    fn new(now: u64) -> Peer {
        Peer {
            sid: i64::MIN,
            follower: false,
            stage: Stage::Hello,
            heard_at: now,
            last_zxid: -1,
            acked: None,
            covered: 0,
            waiting: None,
            waiting_next: None,
        }
    }

    /// Whether live proposals go to it.
    pub fn is_forwarded(&self) -> bool {
        self.stage >= Stage::Syncing
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Leader {
    pub phase: Phase,
    /// Ours; 0 as long as it is not chosen.
    pub epoch: Epoch,
    /// What we began with: all of it is committed when we are established.
    pub history_end: Zxid,
    pub peers: BTreeMap<ConnId, Peer>,
    /// Voters that have connected, we among them.
    pub connecting: BTreeSet<Sid>,
    /// Voters that have acknowledged our epoch, we among them.
    pub electing: BTreeSet<Sid>,
    /// The greatest epoch that anyone accepted.
    pub accepted_max: Epoch,
    /// Whether our own history and epoch are on the medium.
    pub own_is_durable: bool,
    /// When the present phase must be over; when established: never.
    pub phase_ends_at: u64,
    /// The next half tick.
    pub tick_at: u64,
    /// Whether that one ends a whole tick.
    pub tick_is_whole: bool,
    pub last_proposed: Zxid,
    /// Nothing new is proposed: leadership moves, or the counter is used up.
    pub moving: bool,
    /// Who is to lead when the reconfiguration under way is committed.
    pub hand_over_to: Option<Sid>,
    /// SYNCs that wait for a commit.
    pub syncs: VecDeque<(Zxid, ConnId)>,
    /// Voters that look for another leader while we have not begun to lead.
    pub disloyal: BTreeSet<Sid>,
    /// Of a planted mistake: what servers acknowledged on connections that are gone.
    pub old_acks: BTreeMap<Sid, Zxid>,
}

impl Leader {
    /// Begins to lead, as the vote says.
    pub fn begin(c: &mut Common) -> Leader {
        c.set_role(Role::Leading { epoch: 0, serving: false });
        c.act(Action::Replay { through: c.history.last() });
        let mut leader = Leader::idle(c);
        leader.choose_epoch(c);
        leader
    }

    fn idle(c: &Common) -> Leader {
        Leader {
            phase: Phase::Discovery,
            epoch: 0,
            history_end: c.history.last(),
            peers: BTreeMap::new(),
            connecting: BTreeSet::from([c.sid()]),
            electing: BTreeSet::new(),
            accepted_max: c.epochs.accepted,
            own_is_durable: false,
            phase_ends_at: c.now + c.init_ms(),
            tick_at: u64::MAX,
            tick_is_whole: false,
            last_proposed: c.history.last(),
            moving: false,
            hand_over_to: None,
            syncs: VecDeque::new(),
            disloyal: BTreeSet::new(),
            old_acks: BTreeMap::new(),
        }
    }

    /// Leads at once, as one server without an ensemble: no epochs, and what is logged is committed.
    pub fn standalone(c: &mut Common) -> Leader {
        let last = c.history.last();
        let mut leader = Leader::idle(c);
        leader.epoch = epoch_of(last);
        leader.phase = Phase::Established;
        leader.phase_ends_at = u64::MAX;
        c.act(Action::Replay { through: last });
        c.commit(last, last);
        c.set_role(Role::Leading { epoch: leader.epoch, serving: true });
        leader
    }

    pub fn is_established(&self) -> bool {
        self.phase == Phase::Established
    }

    /// Ends leadership: closes what is open.
    pub fn end(self, c: &mut Common) {
        if c.has(Mistake::DeposedLeaderCommits) && self.is_established() {
            let last = c.history.last();
            if last > c.history.committed() {
                c.commit(last, last);
            }
        }
        for (conn, peer) in self.peers {
            if peer.stage == Stage::Pinning {
                c.act(Action::UnpinSnapshot { conn });
            }
            c.close(conn, CloseReason::RoleChange);
        }
    }

    pub fn step_down(&mut self, c: &mut Common) {
        c.turn = Some(Turn::Look);
    }

    pub fn enter(&mut self, c: &Common, phase: Phase) {
        self.phase = phase;
        self.phase_ends_at = c.now + c.init_ms();
    }

    // ---- connections

    pub fn wants_input(&self, conn: ConnId) -> bool {
        self.peers.contains_key(&conn)
    }

    pub fn accepted(&mut self, c: &mut Common, conn: ConnId) {
        if self.peers.len() >= c.config.learners_max {
            let text = format!("{} learners are connected, the limit", self.peers.len());
            return c.close(conn, CloseReason::Refused(text));
        }
        self.peers.insert(conn, Peer::new(c.now));
    }

    pub fn closed(&mut self, c: &mut Common, conn: ConnId) {
        self.forget(c, conn);
        if self.is_established() {
            // A hand-over waits no longer for one that is gone.
            self.advance(c);
        }
    }

    /// Forgets a connection that is gone.
    fn forget(&mut self, c: &mut Common, conn: ConnId) {
        let Some(peer) = self.peers.remove(&conn) else { return };
        if peer.stage == Stage::Pinning {
            c.act(Action::UnpinSnapshot { conn });
        }
        if c.has(Mistake::OldConnectionAckCounted)
            && let Some(acked) = peer.acked
        {
            let old = self.old_acks.entry(peer.sid).or_insert(acked);
            *old = acked.max(*old);
        }
        self.syncs.retain(|(_, waiting)| *waiting != conn);
    }

    pub fn drop_peer(&mut self, c: &mut Common, conn: ConnId, reason: CloseReason) {
        self.forget(c, conn);
        c.close(conn, reason);
    }

    pub fn breach(&mut self, c: &mut Common, conn: ConnId, what: String) {
        self.drop_peer(c, conn, CloseReason::Breach(what));
    }

    pub fn progress(&mut self, c: &Common, conn: ConnId) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.heard_at = c.now;
        }
    }

    /// A packet of a learner.
    pub fn packet(&mut self, c: &mut Common, conn: ConnId, packet: Packet) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.heard_at = c.now;
        let stage = peer.stage;
        match (stage, packet) {
            (Stage::Hello, Packet::FollowerInfo { accepted_epoch, info }) => {
                self.learner_info(c, conn, true, accepted_epoch, info);
            }
            (Stage::Hello, Packet::ObserverInfo { accepted_epoch, info }) => {
                self.learner_info(c, conn, false, accepted_epoch, info);
            }
            (Stage::EpochSent, Packet::AckEpoch { last_zxid, current_epoch }) => {
                self.epoch_acked(c, conn, last_zxid, current_epoch);
            }
            (Stage::Syncing, Packet::Ack { zxid }) => self.new_leader_acked(c, conn, zxid),
            (Stage::Acked | Stage::Synced, Packet::Ack { zxid }) => self.acked(c, conn, zxid),
            (Stage::Synced, Packet::Request(request)) => {
                let sid = self.peers[&conn].sid;
                c.act(Action::Request { sid, conn, request });
            }
            (Stage::Synced, Packet::Revalidate { session, timeout_ms }) => {
                let sid = self.peers[&conn].sid;
                c.act(Action::Revalidate { sid, conn, session, timeout_ms });
            }
            (Stage::Syncing | Stage::Acked | Stage::Synced, Packet::Ping { touched, .. }) => {
                let sid = self.peers[&conn].sid;
                if !touched.is_empty() {
                    c.act(Action::Touched { sid, sessions: touched });
                }
            }
            (stage, packet) => {
                self.breach(c, conn, format!("{} in {stage:?}", packet.name()));
            }
        }
    }

    /// A voter looks for a leader while we wait for a quorum. One in a later round than ours has given us up; if too
    /// few are left to make us leader, waiting longer is idle.
    pub fn notification(&mut self, c: &mut Common, from: Sid, n: &Notification) {
        if self.is_established() || n.election_epoch <= c.vote.round {
            return;
        }
        let registered = |sid| self.peers.values().any(|peer| peer.follower && peer.sid == sid);
        if registered(from) || !c.membership.is_voter(from) {
            return;
        }
        self.disloyal.insert(from);
        if !c.membership.is_quorum(|sid| !self.disloyal.contains(&sid)) {
            self.step_down(c);
        }
    }

    // ---- time

    pub fn deadline(&self, c: &Common) -> u64 {
        let mut at = self.tick_at;
        if !self.is_established() {
            at = at.min(self.phase_ends_at);
        }
        let peers = self.peers.values().map(|peer| peer.heard_at + self.patience(c, peer));
        peers.fold(at, u64::min)
    }

    /// How long a learner may be silent. One that waits for our other learners has nothing to say.
    fn patience(&self, c: &Common, peer: &Peer) -> u64 {
        if peer.stage == Stage::Synced { c.sync_ms() } else { c.init_ms() + c.sync_ms() }
    }

    pub fn time(&mut self, c: &mut Common) {
        let silent: Vec<ConnId> = self
            .peers
            .iter()
            .filter(|(_, peer)| c.now >= peer.heard_at + self.patience(c, peer))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in silent {
            self.drop_peer(c, conn, CloseReason::TimedOut("the learner"));
        }
        if !self.is_established() && c.now >= self.phase_ends_at {
            return self.step_down(c);
        }
        if c.now >= self.tick_at {
            self.half_tick(c);
        }
        if self.is_established() && c.turn.is_none() {
            self.advance(c);
        }
    }

    /// Twice a tick, once established: pings; at every second one it is seen whether a quorum is still with us.
    fn half_tick(&mut self, c: &mut Common) {
        self.tick_at = c.now + c.config.tick_ms / 2;
        let whole = self.tick_is_whole;
        self.tick_is_whole = !whole;
        let alone = whole && !self.has_quorum(c);
        if alone && !c.has(Mistake::NeverStepDown) {
            return self.step_down(c);
        }
        let late: Vec<ConnId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.waiting.is_some_and(|(_, since)| c.now >= since + c.sync_ms()))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in late {
            self.drop_peer(c, conn, CloseReason::TimedOut("an acknowledgement"));
        }
        let zxid = self.last_proposed;
        for (conn, peer) in &self.peers {
            if peer.is_forwarded() {
                c.send(*conn, Packet::Ping { zxid, touched: Vec::new() });
            }
        }
    }

    /// Whether a quorum, we included, is in step and has been heard of late.
    fn has_quorum(&self, c: &Common) -> bool {
        let unsynced = c.has(Mistake::UnsyncedCountedAlive);
        c.membership.is_quorum(|sid| {
            sid == c.sid()
                || self.peers.values().any(|peer| {
                    peer.sid == sid
                        && (peer.follower || c.has(Mistake::ObserversCounted))
                        && (peer.stage >= Stage::Acked || unsynced)
                        && c.now < peer.heard_at + c.sync_ms()
                })
        })
    }
}
