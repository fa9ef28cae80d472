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
use super::message::{LearnerInfo, Notification, Packet, PeerState};
use super::mistake::Mistake;
use super::types::{ConnId, EPOCH_MAX, Epoch, Show, Sid, Zxid, epoch_of, make_zxid};
use super::way_back::WayBack;

/// Where a learner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
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

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Learner {
    pub(super) leader: Sid,
    pub(super) kind: Kind,
    pub(super) phase: Phase,
    /// Of the leader.
    pub(super) epoch: Epoch,
    pub(super) conn: Option<ConnId>,
    pub(super) attempt: u64,
    pub(super) tries: u32,
    /// When it began to follow this leader.
    pub(super) begun_at: u64,
    /// When to connect again.
    pub(super) retry_at: u64,
    /// When the leader was last heard.
    pub(super) heard_at: u64,
    /// What the leader has said to be committed.
    pub(super) settled: Zxid,
    /// Acknowledged through here.
    pub(super) acked: Zxid,
    /// The configuration that NEWLEADER carried.
    pub(super) offered: Option<Arc<EnsembleConfig>>,
    pub(super) way_back: WayBack,
    /// Our log could not be cut where this leader's says.
    pub(super) needs_snapshot: bool,
    /// Of a planted mistake.
    pub(super) early_token: Option<u64>,
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
            begun_at: c.now,
            retry_at: u64::MAX,
            heard_at: c.now,
            settled: c.history.committed(),
            acked: 0,
            offered: None,
            way_back: WayBack::None,
            needs_snapshot: false,
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

    pub(super) fn tell_role(&self, c: &mut Common, serving: bool) {
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

    pub(super) fn leave(&mut self, c: &mut Common, reason: CloseReason) {
        if let Some(conn) = self.conn.take() {
            c.close(conn, reason);
        }
        c.turn = Some(Turn::Look);
    }

    pub(super) fn breach(&mut self, c: &mut Common, what: String) {
        self.leave(c, CloseReason::Breach(what));
    }

    // ---- time

    /// How long the leader may be silent. While the driver is busy with what it sent, the core cannot know.
    pub(super) fn patience(&self, c: &Common) -> Option<u64> {
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
            if matches!(self.phase, Phase::Connecting | Phase::Registering) {
                c.pass_over(self.leader, self.begun_at);
            }
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

    /// Whether this is our leader's word that it looks again, in a later round than the one that elected it, while we
    /// still wait for it to lead. A connection says the same by closing; but one that is made while the leader looks is
    /// held until it leads again. Who goes on waiting there takes no part in that round, and it may be the one whom the
    /// others must elect: a server that the leader refused because its history is fresher.
    pub fn is_left_by(&self, c: &Common, from: Sid, notification: &Notification) -> bool {
        from == self.leader
            && notification.state == PeerState::Looking
            && notification.election_epoch > c.vote.round
            && matches!(self.phase, Phase::Connecting | Phase::Registering)
    }

    /// Looks again, because of [that](Learner::is_left_by).
    pub fn look_again(&mut self, c: &mut Common) {
        c.left_by(self.leader, self.begun_at);
        self.leave(c, CloseReason::RoleChange);
    }

    // ---- connecting

    pub(super) fn connect(&mut self, c: &mut Common) {
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

    pub(super) fn try_again(&mut self, c: &mut Common) {
        self.tries += 1;
        if self.tries >= c.config.connect_tries {
            c.pass_over(self.leader, self.begun_at);
            c.turn = Some(Turn::Look);
        } else {
            self.retry_at = c.now + c.config.connect_retry_ms;
        }
    }

    /// Registers. Returns whether the connection was waited for.
    pub fn connected(&mut self, c: &mut Common, attempt: u64, conn: ConnId) -> bool {
        if self.phase != Phase::Connecting || attempt != self.attempt {
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

    pub(super) fn unexpected(&mut self, c: &mut Common, packet: &Packet) {
        self.breach(c, format!("{} in {:?}", packet.name(), self.phase));
    }

    pub(super) fn leader_info(&mut self, c: &mut Common, packet: Packet) {
        let Packet::LeaderInfo { epoch, .. } = packet else {
            return self.unexpected(c, &packet);
        };
        if !(1..=EPOCH_MAX).contains(&epoch) {
            return self.breach(c, format!("LEADERINFO of epoch {epoch}"));
        }
        self.epoch = epoch;
        // One that is not counted promises nothing: it may learn of any leader that is not older than what it has shown or
        // holds. Only an established leader gives an epoch's zxids away: that of our last one was accepted by a quorum, and who
        // comes with an earlier one has been left. Of a server that lost its log the stored epochs count for nothing.
        let held = epoch_of(c.history.last().max(c.history.published()));
        let least = match self.kind {
            Kind::Participant => c.epochs.accepted,
            Kind::Observer => c.epochs.current.max(held),
            Kind::Lost => held,
        };
        if epoch < least && !c.has(Mistake::AcceptLowerEpoch) {
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

    pub(super) fn ack_epoch(&mut self, c: &mut Common, current_epoch: Option<Epoch>) {
        let Some(conn) = self.conn else { return };
        // −1: a snapshot, please, and do not count me.
        let has_history = self.kind != Kind::Lost && !self.needs_snapshot;
        let last_zxid = if has_history { c.history.last() } else { -1 };
        self.phase = Phase::Waiting;
        c.send(conn, Packet::AckEpoch { last_zxid, current_epoch });
    }

    // ---- in step

    pub(super) fn live_packet(&mut self, c: &mut Common, packet: Packet) {
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

    pub(super) fn is_of_epoch(&mut self, c: &mut Common, zxid: Zxid) -> bool {
        if epoch_of(zxid) != self.epoch {
            self.breach(c, format!("{} proposed in epoch {}", Show(zxid), self.epoch));
            return false;
        }
        true
    }

    pub(super) fn commit(&mut self, c: &mut Common, zxid: Zxid) {
        if self.conn.is_none() {
            return;
        }
        match c.history.next_after(c.history.committed()) {
            Some(next) if next.zxid == zxid => {}
            _ if c.has(Mistake::CommitMismatchSkipped) => return,
            _ => return self.breach(c, format!("COMMIT of {}, which is not next", Show(zxid))),
        }
        self.settled = zxid;
        c.commit(zxid, zxid);
    }

    pub(super) fn commit_and_activate(&mut self, c: &mut Common, zxid: Zxid, designated: Sid) {
        let config = c.history.entry(zxid).and_then(|entry| entry.config.clone());
        let Some(config) = config else {
            return self.breach(c, format!("{} is no reconfiguration", Show(zxid)));
        };
        self.commit(c, zxid);
        if self.conn.is_none() {
            return;
        }
        c.activate(config);
        if !self.role_changes(c) && designated == self.leader {
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

    pub(super) fn ack_durable(&mut self, c: &mut Common) {
        self.ack_through(c, c.history.durable());
    }

    /// Acknowledges each proposal through here: ZooKeeper's leader counts them one by one.
    pub(super) fn ack_through(&mut self, c: &mut Common, through: Zxid) {
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
}
