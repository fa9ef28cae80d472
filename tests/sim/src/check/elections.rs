//! Why a server may leave an election: a quorum's votes of one round, or the word of a quorum that follows a leader,
//! and of that leader itself.
//!
//! Counts what was said to each server since it began to look, apart from the core's own counting.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::zab::{Notification, PeerState, Zxid, epoch_of};

use super::membership::{Membership, ServerId};
use super::rule::{Check, Rule, broken};

/// What was said to a server: by whom, whether that one looked, led or followed, for whom, in which round.
type Word = (ServerId, Says, ServerId, i64);

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    Looks,
    Leads,
    Follows,
}

#[derive(Copy, Clone)]
struct Vote {
    leader: ServerId,
    round: i64,
    /// Where the leader's history ends.
    zxid: Zxid,
}

#[derive(Default)]
struct Voter {
    heard: BTreeSet<Word>,
    /// What it heard last.
    last: Option<Word>,
    /// Its own last vote.
    vote: Option<Vote>,
}

/// The elections of all servers.
#[derive(Default)]
pub struct Elections {
    voters: BTreeMap<ServerId, Voter>,
}

impl Elections {
    /// A server begins to look for a leader.
    pub fn looks(&mut self, id: ServerId) {
        // What makes it look may be the first vote that it counts.
        let last = self.voters.get(&id).and_then(|voter| voter.last);
        let heard = last.into_iter().collect();
        self.voters.insert(id, Voter { heard, ..Voter::default() });
    }

    /// A server is told something.
    pub fn hears(&mut self, id: ServerId, from: ServerId, said: &Notification) {
        let says = match said.state {
            PeerState::Looking => Says::Looks,
            PeerState::Leading => Says::Leads,
            PeerState::Following => Says::Follows,
            PeerState::Observing => return,
        };
        let voter = self.voters.entry(id).or_default();
        let word = (from, says, said.leader, said.election_epoch);
        voter.heard.insert(word);
        voter.last = Some(word);
    }

    /// A server tells others its vote.
    pub fn votes(&mut self, id: ServerId, said: &Notification) {
        if said.state == PeerState::Looking {
            let (leader, round) = (said.leader, said.election_epoch);
            self.voters.entry(id).or_default().vote = Some(Vote { leader, round, zxid: said.zxid });
        }
    }

    /// A server that looked goes with this leader, or leads: by the members in force, and by those that its log proposes at a
    /// zxid, if the leader's history has that.
    pub fn decides(
        &mut self,
        id: ServerId,
        leader: ServerId,
        active: &Membership,
        proposed: Option<&(Zxid, Membership)>,
    ) -> Check {
        let Some(voter) = self.voters.insert(id, Voter::default()) else { return Ok(()) };
        // Who was sent straight to a leader by a reconfiguration has not voted.
        let Some(vote) = voter.vote else { return Ok(()) };
        let round = vote.round;
        let same_epoch = |zxid: Zxid| epoch_of(vote.zxid) == epoch_of(zxid);
        let holds = |zxid: Zxid| leader == id || vote.zxid >= zxid && same_epoch(zxid);
        let proposed = proposed.filter(|(zxid, _)| holds(*zxid)).map(|(_, members)| members);
        let itself = |from: ServerId| from == id && vote.leader == leader;
        let said = |from: ServerId, fits: &dyn Fn(Says, i64) -> bool| {
            voter.heard.iter().any(|(by, says, r#for, round)| {
                *by == from && *r#for == leader && fits(*says, *round)
            })
        };
        let with_it = |from: ServerId| itself(from) || said(from, &|_, at| at == round);
        if active.is_quorum(with_it) && proposed.is_none_or(|members| members.is_quorum(with_it)) {
            return Ok(());
        }
        // Who alone is a quorum tells nobody its vote.
        if leader == id && active.is_quorum(|from| from == id) {
            return Ok(());
        }
        // Who is told by a follower that it leads goes by the members in force alone; discovery asks the others.
        let followed = voter
            .heard
            .iter()
            .any(|(_, says, r#for, at)| *says == Says::Follows && *r#for == id && *at == round);
        let follows = |from: ServerId| said(from, &|says, _| says == Says::Follows);
        if leader == id && followed && active.is_quorum(|from| with_it(from) || follows(from)) {
            return Ok(());
        }
        let led_in = |at: i64| voter.heard.contains(&(leader, Says::Leads, leader, at));
        let follows = |says: Says, at: i64| says != Says::Looks || led_in(at);
        let leads = said(leader, &|says, _| says == Says::Leads);
        if leads && active.is_quorum(|from| itself(from) || said(from, &follows)) {
            return Ok(());
        }
        let detail = format!(
            "server {id} goes with {leader} in round {round}; it has heard {:?}",
            voter.heard
        );
        broken(Rule::Elections, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(state: PeerState, leader: ServerId, round: i64) -> Notification {
        let (zxid, peer_epoch, version, config) = (0, 0, 2, None);
        Notification { state, leader, zxid, election_epoch: round, peer_epoch, version, config }
    }

    #[test]
    fn votes_count_in_their_round_and_leaders_by_their_own_word() {
        let members = Membership::equal(1..=3);
        let decides = |vote: Notification, heard: &[(ServerId, Notification)]| {
            let mut elections = Elections::default();
            elections.looks(1);
            elections.votes(1, &vote);
            heard.iter().for_each(|(from, said)| elections.hears(1, *from, said));
            elections.decides(1, 3, &members, None).is_ok()
        };
        let looking = |leader, round| says(PeerState::Looking, leader, round);
        assert!(!decides(looking(3, 2), &[]));
        assert!(!decides(looking(3, 2), &[(2, looking(3, 1))]), "a vote of an earlier round");
        assert!(decides(looking(3, 2), &[(2, looking(3, 2))]));
        let follows = (2, says(PeerState::Following, 3, 2));
        let leads = (3, says(PeerState::Leading, 3, 2));
        assert!(!decides(looking(1, 9), std::slice::from_ref(&follows)), "hearsay");
        assert!(decides(looking(1, 9), &[follows, leads]));
    }

    #[test]
    fn what_is_proposed_has_a_quorum_too() {
        let (active, proposed) = (Membership::equal(1..=3), (7, Membership::equal(3..=5)));
        let decides = |zxid| {
            let mut elections = Elections::default();
            elections.looks(1);
            elections.votes(1, &Notification { zxid, ..says(PeerState::Looking, 3, 2) });
            elections.hears(1, 3, &says(PeerState::Looking, 3, 2));
            elections.decides(1, 3, &active, Some(&proposed)).is_ok()
        };
        assert!(!decides(7) && !decides(8));
        assert!(decides(6), "it ends before the proposal");
        assert!(decides(1 << 32 | 1), "a later epoch");
    }
}
