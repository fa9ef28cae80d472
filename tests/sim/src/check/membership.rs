//! Who votes, and what a quorum is: the checker's own arithmetic, apart from the core's.

use std::collections::BTreeMap;

/// A server's number.
pub type ServerId = i64;

/// The members at one point of the history.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Membership {
    /// Voters, with group and weight. Without groups all are in group 0 with weight 1.
    pub voters: BTreeMap<ServerId, (i64, u64)>,
}

impl Membership {
    /// Voters of one weight.
    pub fn equal(voters: impl IntoIterator<Item = ServerId>) -> Membership {
        Membership { voters: voters.into_iter().map(|id| (id, (0, 1))).collect() }
    }

    /// Whether those for whom `has` holds are a quorum: more than half of the weight in more than half
    /// of the groups that have any.
    pub fn is_quorum(&self, has: impl Fn(ServerId) -> bool) -> bool {
        let mut groups: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
        for (&id, &(group, weight)) in &self.voters {
            let sums = groups.entry(group).or_default();
            sums.0 += weight;
            sums.1 += if has(id) { weight } else { 0 };
        }
        groups.retain(|_, (all, _)| *all > 0);
        let won = groups.values().filter(|(all, with)| with * 2 > *all).count();
        won * 2 > groups.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majorities() {
        let four = Membership::equal(1..=4);
        assert!(!four.is_quorum(|id| id <= 2));
        assert!(four.is_quorum(|id| id <= 3));
        assert!(!Membership::default().is_quorum(|_| true));
    }

    #[test]
    fn groups_and_weights() {
        let voters = [(1, (1, 1)), (2, (1, 1)), (3, (1, 0)), (4, (2, 3)), (5, (2, 1)), (6, (3, 1))];
        let grouped = Membership { voters: voters.into_iter().collect() };
        assert!(grouped.is_quorum(|id| [1, 2, 4].contains(&id)));
        assert!(!grouped.is_quorum(|id| [1, 3, 4].contains(&id)), "half of group 1 is none");
        assert!(grouped.is_quorum(|id| [4, 6].contains(&id)));
        assert!(!grouped.is_quorum(|id| [1, 2, 3, 5].contains(&id)), "one group of three");
    }
}
