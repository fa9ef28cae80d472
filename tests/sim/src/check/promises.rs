//! What servers have promised: not to follow an older leader, also after a crash; and to whom: to leaders whose history
//! is no less fresh than their own.
//!
//! Sees the words from outside, as they are sent. Knows of the medium only what a start has read.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::zab::Packet;

use super::membership::{Membership, ServerId};
use super::rule::{Check, Rule, broken};

/// The greatest epoch that each server has named to another as accepted.
#[derive(Default)]
pub struct Promises {
    told: BTreeMap<ServerId, i64>,
    /// Who stands as leader of an epoch, with what.
    stands: BTreeMap<(ServerId, i64), Standing>,
}

/// A history's freshness: its epoch and its last zxid.
type Freshness = (i64, i64);

struct Standing {
    own: Freshness,
    /// Who took it, with a history no fresher than its own.
    taken_by: BTreeSet<ServerId>,
}

impl Promises {
    /// A server whose word counts says something to its leader of `epoch`, or as one.
    pub fn says(&mut self, id: ServerId, epoch: i64, packet: &Packet) -> Check {
        let told = self.told.entry(id).or_insert(0);
        let older = match packet {
            Packet::AckEpoch { .. } | Packet::LeaderInfo { .. } | Packet::Ack { .. } => {
                epoch < *told
            }
            _ => return Ok(()),
        };
        if older {
            let detail = format!(
                "server {id} says {} in epoch {epoch}, and had promised itself to epoch {told}",
                packet.name()
            );
            return broken(Rule::Promises, detail);
        }
        *told = epoch.max(*told);
        Ok(())
    }

    /// A server names the epoch that it wants to lead; `own`: what it has.
    pub fn stands(&mut self, id: ServerId, epoch: i64, own: Freshness) {
        let taken_by = BTreeSet::from([id]);
        self.stands.entry((id, epoch)).or_insert(Standing { own, taken_by });
    }

    /// That server has the word of another one, which has this.
    pub fn accepts(&mut self, id: ServerId, epoch: i64, from: ServerId, has: Freshness) {
        if let Some(standing) = self.stands.get_mut(&(id, epoch))
            && has.1 != -1
            && has <= standing.own
        {
            standing.taken_by.insert(from);
        }
    }

    /// That server leads in earnest, among these members.
    pub fn was_accepted(&self, id: ServerId, epoch: i64, members: &Membership) -> Check {
        // Who is alone names no epoch to anybody.
        let alone = BTreeSet::from([id]);
        let taken_by = self.stands.get(&(id, epoch)).map_or(&alone, |standing| &standing.taken_by);
        if members.is_quorum(|from| taken_by.contains(&from)) {
            return Ok(());
        }
        let detail = format!(
            "server {id} leads epoch {epoch}; of histories no fresher than its own, only {taken_by:?} took it"
        );
        broken(Rule::Promises, detail)
    }

    /// A start has read the accepted epoch.
    pub fn remembers(&self, id: ServerId, accepted: i64) -> Check {
        match self.told.get(&id) {
            Some(told) if *told > accepted => {
                let detail = format!(
                    "server {id} comes back with accepted epoch {accepted}, and had told others {told}"
                );
                broken(Rule::Promises, detail)
            }
            _ => Ok(()),
        }
    }

    /// A disk is replaced by an empty one: that server's word counts no longer, and it may stand once more for an epoch
    /// that it no longer knows of.
    pub fn wiped(&mut self, id: ServerId) {
        self.told.remove(&id);
        self.stands.retain(|(who, _), _| *who != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_outlives_its_server() {
        let mut promises = Promises::default();
        let accepts = Packet::AckEpoch { last_zxid: 0, current_epoch: Some(0) };
        assert!(promises.says(1, 3, &accepts).is_ok());
        assert!(promises.remembers(1, 3).is_ok());
        assert!(promises.remembers(1, 2).is_err());
        assert!(promises.says(1, 2, &accepts).is_err());
        assert!(promises.says(1, 2, &Packet::Ack { zxid: 2 << 32 | 5 }).is_err());
        assert!(promises.says(2, 2, &accepts).is_ok());
        promises.wiped(1);
        assert!(promises.remembers(1, 0).is_ok());
    }

    #[test]
    fn a_leader_is_taken_by_those_who_have_no_more() {
        let (members, mut promises) = (Membership::equal(1..=3), Promises::default());
        promises.stands(1, 5, (4, 9));
        assert!(promises.was_accepted(1, 5, &members).is_err());
        promises.accepts(1, 5, 2, (4, 10));
        promises.accepts(1, 5, 3, (3, -1));
        assert!(promises.was_accepted(1, 5, &members).is_err());
        promises.accepts(1, 5, 3, (3, 11));
        assert!(promises.was_accepted(1, 5, &members).is_ok());
        // After the loss of its disk it stands again for that epoch, with what it has now.
        promises.wiped(1);
        promises.stands(1, 5, (4, 10));
        assert!(promises.was_accepted(1, 5, &members).is_err());
        promises.accepts(1, 5, 2, (4, 10));
        assert!(promises.was_accepted(1, 5, &members).is_ok());
    }
}
