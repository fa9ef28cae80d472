//! Fast leader election (ZooKeeper's `FastLeaderElection`): servers tell each other their votes until a quorum agrees.
//!
//! A vote names a server with its current epoch and last logged zxid; the greatest of (epoch, zxid, sid) wins. Election
//! decides nothing by itself: whoever it names must still find, in discovery, that a quorum is with it and that nobody
//! in that quorum has a fresher history. So nothing here is stored.
//!
//! Rounds keep votes of different elections apart: a higher round is adopted and counting starts anew, a lower one is
//! answered with ours. A server that comes late learns of an established leader by the answers of those who follow it,
//! and believes it only if the leader itself says that it leads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::common::{Common, Kind, Turn, Vote};
use super::message::{Notification, PeerState};
use super::mistake::Mistake;
use super::quorum;
use super::types::{Sid, Zxid, epoch_of};

/// A vote as it was received.
#[derive(Debug, Clone, Copy)]
struct Ballot {
    vote: Vote,
    state: PeerState,
    version: i32,
}

impl Ballot {
    /// ZooKeeper's `Vote.equals`. Votes of servers that have left the election are compared by leader and epoch alone:
    /// their zxids and rounds may differ though they follow the same leader (ZOOKEEPER-1805), and servers before
    /// 3.4.6 tell another epoch (ZOOKEEPER-1732).
    fn agrees(&self, other: &Ballot) -> bool {
        if self.state == PeerState::Looking || other.state == PeerState::Looking {
            return self.vote == other.vote;
        }
        self.vote.leader == other.vote.leader
            && ((self.version > 0) != (other.version > 0)
                || self.vote.peer_epoch == other.vote.peer_epoch)
    }
}

/// The state of a server that looks for a leader.
#[derive(Debug)]
pub(super) struct Looking {
    /// Whom we propose.
    vote: Vote,
    /// Votes of this round, ours among them.
    votes: BTreeMap<Sid, Ballot>,
    /// Votes of servers that follow or lead.
    settled: BTreeMap<Sid, Ballot>,
    /// A quorum agrees, but a better vote may come until then.
    finalize_at: Option<u64>,
    /// When the vote is repeated, for those who missed it.
    resend_at: u64,
    resend_every: u64,
}

impl Looking {
    /// Begins a round.
    pub fn begin(c: &mut Common) -> Looking {
        c.round += 1;
        let mut looking = Looking {
            vote: own_vote(c),
            votes: BTreeMap::new(),
            settled: BTreeMap::new(),
            finalize_at: None,
            resend_at: c.now + c.config.notification_min_ms,
            resend_every: c.config.notification_min_ms,
        };
        looking.announce(c);
        looking.tally(c);
        looking
    }

    /// When there is something to do.
    pub fn deadline(&self) -> u64 {
        self.finalize_at.unwrap_or(u64::MAX).min(self.resend_at)
    }

    /// The time has come on.
    pub fn time(&mut self, c: &mut Common) {
        if self.finalize_at.is_some_and(|at| c.now >= at) {
            return self.decide(c, self.vote);
        }
        if c.now >= self.resend_at {
            self.resend_every = (self.resend_every * 2).min(c.config.notification_max_ms).max(1);
            self.resend_at = c.now + self.resend_every;
            self.tell_all(c);
        }
    }

    /// A link came up: its server may have missed our vote.
    pub fn link(&mut self, c: &mut Common, peer: Sid) {
        if c.membership.is_voter(peer) {
            c.notify(peer, PeerState::Looking, self.vote);
        }
    }

    /// A message of a server that votes or will.
    pub fn notification(&mut self, c: &mut Common, from: Sid, n: &Notification) {
        if let Some(config) = &n.config
            && config.version > c.membership.active.version
        {
            // What a peer has in force is committed. Begin again, among the right voters.
            c.activate(Arc::clone(config));
            *self = Looking::begin(c);
            return;
        }
        if !c.membership.is_voter(from) {
            if n.state == PeerState::Looking && c.kind() != Kind::Lost && c.may_answer(from) {
                c.notify(from, PeerState::Looking, self.vote);
            }
            return;
        }
        let ballot = Ballot {
            vote: Vote {
                leader: n.leader,
                zxid: n.zxid,
                peer_epoch: n.peer_epoch,
                round: n.election_epoch,
            },
            state: n.state,
            version: n.version,
        };
        match n.state {
            PeerState::Looking => self.looking(c, from, ballot),
            PeerState::Following | PeerState::Leading => self.settled(c, from, ballot),
            PeerState::Observing => {}
        }
    }

    fn looking(&mut self, c: &mut Common, from: Sid, ballot: Ballot) {
        if c.kind() == Kind::Lost {
            // It repeats nobody's vote (it would be counted as its own) and counts none: it waits until there is a
            // leader.
            return;
        }
        let vote = ballot.vote;
        if !c.votes() && vote.round != c.round && c.membership.is_voter(vote.leader) {
            // One that does not vote has no round of its own, it goes with those who do.
            c.round = vote.round;
            self.votes.clear();
            self.vote = own_vote(c);
            self.finalize_at = None;
        }
        if vote.round < c.round {
            c.notify(from, PeerState::Looking, self.vote);
            if !c.has(Mistake::VotesAcrossRounds) {
                return;
            }
        }
        if !c.membership.is_voter(vote.leader) || vote.zxid == -1 {
            return;
        }
        // One that is heard and hears nothing would win for ever.
        let idle = c.is_passed_over(vote.leader);
        if vote.round > c.round {
            c.round = vote.round;
            self.votes.clear();
            self.vote = own_vote(c);
            if !idle && is_better(c, &vote, &self.vote) {
                self.vote = vote;
            }
            self.announce(c);
        } else if !idle && is_better(c, &vote, &self.vote) {
            self.vote = Vote { round: c.round, ..vote };
            self.announce(c);
        }
        let vote = Vote { round: c.round, ..vote };
        self.votes.insert(from, Ballot { vote, ..ballot });
        self.tally(c);
    }

    /// Whether a quorum agrees with our vote, and whether to wait for a better one.
    fn tally(&mut self, c: &mut Common) {
        let ours = Ballot { vote: self.vote, state: PeerState::Looking, version: 2 };
        let agree = |sid: Sid| self.votes.get(&sid).is_some_and(|ballot| ballot.agrees(&ours));
        if c.kind() == Kind::Lost
            || !c.membership.is_voter(self.vote.leader)
            || !self.is_enough(c, agree)
        {
            self.finalize_at = None;
            return;
        }
        // A better vote can come only from a voter that has not been heard: once all have been, waiting is idle.
        let all = c.membership.voters().iter().all(|sid| self.votes.contains_key(sid));
        if all {
            self.decide(c, self.vote);
        } else if self.finalize_at.is_none() {
            self.finalize_at = Some(c.now + c.config.finalize_wait_ms);
        }
    }

    /// Whether those who agree are enough to go with our candidate. A reconfiguration that our log proposes asks its own quorum
    /// as well where the candidate's log has it: that is so if it reaches as far within the same epoch. If it ends before, our
    /// reconfiguration comes to nothing; if it ends in a later epoch, that has been decided, and discovery asks whom it has to.
    /// Whoever held on to a reconfiguration that nobody else has could be needed, and never come: the servers that it proposes
    /// may be gone.
    fn is_enough(&self, c: &Common, agree: impl Fn(Sid) -> bool) -> bool {
        let vote = &self.vote;
        let holds = |zxid: Zxid| {
            vote.leader == c.sid() || vote.zxid >= zxid && epoch_of(vote.zxid) == epoch_of(zxid)
        };
        match &c.membership.proposed {
            Some((zxid, _)) if !holds(*zxid) => {
                quorum::is_quorum(&c.membership.active, agree, c.config.mistakes)
            }
            _ => c.membership.is_quorum(agree),
        }
    }

    /// A server has left the election: is there a leader that a quorum is with?
    fn settled(&mut self, c: &mut Common, from: Sid, ballot: Ballot) {
        if ballot.vote.round == c.round {
            self.votes.insert(from, ballot);
            if is_led(c, &self.votes, &ballot) {
                return self.decide(c, ballot.vote);
            }
        }
        self.settled.insert(from, ballot);
        if is_led(c, &self.settled, &ballot) {
            c.round = ballot.vote.round;
            self.decide(c, ballot.vote);
        }
    }

    fn decide(&mut self, c: &mut Common, vote: Vote) {
        if vote.leader == c.sid() && !c.votes() {
            return;
        }
        assert!(c.membership.is_voter(vote.leader), "who is elected votes");
        self.finalize_at = None;
        c.vote = vote;
        c.turn = Some(if vote.leader == c.sid() { Turn::Lead } else { Turn::Learn });
    }

    /// Our vote is a new one: count it, tell it.
    fn announce(&mut self, c: &mut Common) {
        self.finalize_at = None;
        if c.votes() {
            let ballot = Ballot { vote: self.vote, state: PeerState::Looking, version: 2 };
            self.votes.insert(c.sid(), ballot);
        }
        self.tell_all(c);
    }

    fn tell_all(&self, c: &mut Common) {
        for sid in c.membership.voters() {
            if sid != c.sid() {
                c.notify(sid, PeerState::Looking, self.vote);
            }
        }
    }
}

/// The vote that a server begins with: itself; nobody, if it does not vote.
fn own_vote(c: &Common) -> Vote {
    if !c.votes() {
        return Vote { leader: i64::MIN, zxid: i64::MIN, peer_epoch: i64::MIN, round: c.round };
    }
    Vote { leader: c.sid(), zxid: c.last_logged(), peer_epoch: c.epochs.current, round: c.round }
}

/// ZooKeeper's `totalOrderPredicate`; but of equals one that votes already goes before one that only a proposed
/// configuration has. Those who have not heard of that one could neither vote for it nor find it, and both quorums are
/// needed. As nothing is proposed behind a reconfiguration before it is committed, a server of the old configuration is
/// always among the freshest. And any vote is better than one for a server without weight, which never leads but begins
/// with itself: the proposed configuration may need its voice.
fn is_better(c: &Common, new: &Vote, old: &Vote) -> bool {
    let active = &c.membership.active;
    let order =
        |vote: &Vote| (vote.peer_epoch, vote.zxid, active.is_participant(vote.leader), vote.leader);
    let may_lead = |vote: &Vote| quorum::weight(active, vote.leader) > 0;
    may_lead(new) && (!may_lead(old) || order(new) > order(old))
}

/// Whether a quorum of `votes` is with the leader of `ballot`, and that leader leads. That others say so is not
/// enough: they may not have noticed yet that it is gone. A quorum of the active configuration will do: what our log only
/// proposes may have come to nothing, and its servers follow nobody then.
fn is_led(c: &Common, votes: &BTreeMap<Sid, Ballot>, ballot: &Ballot) -> bool {
    let with = |sid: Sid| votes.get(&sid).is_some_and(|other| other.agrees(ballot));
    if !c.membership.is_voter(ballot.vote.leader)
        || !quorum::is_quorum(&c.membership.active, with, c.config.mistakes)
    {
        return false;
    }
    if ballot.vote.leader == c.sid() {
        return c.round == ballot.vote.round;
    }
    c.has(Mistake::LeaderByHearsay)
        || votes.get(&ballot.vote.leader).is_some_and(|word| word.state == PeerState::Leading)
}
