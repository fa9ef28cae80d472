//! Whether a leader leads anybody: one that serves while no quorum is in step with it must notice, and step down.
//!
//! Sees what a leader takes from whom on connections on which NEWLEADER was acknowledged; never asks how it counts.

use std::collections::{BTreeMap, BTreeSet};

use super::membership::{Membership, ServerId};
use super::rule::{Check, Rule, broken};

/// What the leaders have heard of those who are in step with them.
#[derive(Default)]
pub struct Company {
    /// Connections on which NEWLEADER was acknowledged.
    in_step: BTreeSet<u64>,
    /// When a leader last took something from a server on such a connection; virtual microseconds.
    heard: BTreeMap<(ServerId, ServerId), u64>,
    /// How often in a row a leader has looked and found no quorum.
    alone: BTreeMap<ServerId, u64>,
}

impl Company {
    /// A leader takes a packet, by its name, from a server.
    pub fn takes(&mut self, id: ServerId, from: ServerId, (conn, word): (u64, &str), now_us: u64) {
        if word == "ACK of NEWLEADER" {
            self.in_step.insert(conn);
        }
        if self.in_step.contains(&conn) {
            self.heard.insert((id, from), now_us);
        }
    }

    /// A server begins to lead in earnest: from now on it counts how long who is in step has been silent.
    pub fn begins(&mut self, id: ServerId, now_us: u64) {
        self.heard
            .range_mut((id, ServerId::MIN)..=(id, ServerId::MAX))
            .for_each(|(_, at)| *at = now_us);
    }

    /// A server does not lead, or not yet in earnest.
    pub fn ends(&mut self, id: ServerId) {
        self.alone.remove(&id);
        self.heard.retain(|(leader, _), _| *leader != id);
    }

    /// A leader looks round, as it does every half tick. It may be alone `times_max` times in a row.
    pub fn looks_round(
        &mut self,
        id: ServerId,
        members: &Membership,
        since_us: u64,
        times_max: u64,
    ) -> Check {
        let with = |other: ServerId| {
            other == id || self.heard.get(&(id, other)).is_some_and(|at| *at >= since_us)
        };
        let alone = self.alone.entry(id).or_insert(0);
        *alone = if members.is_quorum(with) { 0 } else { *alone + 1 };
        if *alone <= times_max {
            return Ok(());
        }
        let detail =
            format!("server {id} leads, and has looked round {alone} times without a quorum");
        broken(Rule::Company, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_may_be_alone_for_a_while() {
        let (members, mut company) = (Membership::equal(1..=3), Company::default());
        company.takes(1, 2, (7, "PING"), 9);
        company.takes(1, 3, (8, "ACK of NEWLEADER"), 10);
        assert!(company.looks_round(1, &members, 10, 1).is_ok());
        assert!(company.looks_round(1, &members, 11, 1).is_ok());
        assert!(company.looks_round(1, &members, 11, 1).is_err());
        company.takes(1, 2, (7, "PING"), 12);
        assert!(company.looks_round(1, &members, 11, 1).is_err(), "2 is not in step");
        company.takes(1, 3, (8, "PING"), 12);
        assert!(company.looks_round(1, &members, 11, 1).is_ok());
    }
}
