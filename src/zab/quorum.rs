//! Quorums: which sets of servers decide, and up to where a quorum has acknowledged.
//!
//! A majority of the participants; with groups, a majority of the groups that weigh anything, each by more than half of
//! its weight (ZooKeeper's `QuorumMaj` and `QuorumHierarchical`). While a reconfiguration is under way both
//! configurations must agree: that is the callers' part ([`reconfig`](super::reconfig)).
//! Nothing here knows of time, roles or connections.

use super::ensemble::{EnsembleConfig, Server, ServerKind};
use super::mistake::{Mistake, Mistakes};
use super::types::{Sid, Zxid};

/// Whether the servers for which `has` holds are a quorum.
pub fn is_quorum(config: &EnsembleConfig, has: impl Fn(Sid) -> bool, mistakes: Mistakes) -> bool {
    if config.is_hierarchical() {
        return is_quorum_of_groups(config, has, mistakes);
    }
    let (mut all, mut with) = (0, 0);
    for server in counted(config, mistakes) {
        all += 1;
        with += usize::from(has(server.sid));
    }
    if mistakes.has(Mistake::HalfIsQuorum) {
        return with > 0 && with * 2 >= all;
    }
    with * 2 > all
}

/// The greatest zxid that a quorum has acknowledged, each server all up to what `acked` says of it. `None` if no quorum
/// has acknowledged anything.
pub fn acked_by_quorum(
    config: &EnsembleConfig,
    acked: impl Fn(Sid) -> Option<Zxid>,
    mistakes: Mistakes,
) -> Option<Zxid> {
    // An ensemble has a handful of servers: trying each one's answer is cheaper than sorting them.
    let reaches = |zxid: Zxid| {
        is_quorum(config, |sid| acked(sid).is_some_and(|other| other >= zxid), mistakes)
    };
    counted(config, mistakes).filter_map(|server| acked(server.sid)).fold(None, |best, zxid| {
        match best {
            Some(best) if zxid <= best => Some(best),
            _ if reaches(zxid) => Some(zxid),
            _ => best,
        }
    })
}

/// A server's weight in elections: one of weight 0 never leads. Without groups everyone weighs 1.
pub fn weight(config: &EnsembleConfig, sid: Sid) -> u64 {
    if !config.is_hierarchical() {
        return 1;
    }
    config.server(sid).map_or(0, |server| server.weight)
}

fn counted(config: &EnsembleConfig, mistakes: Mistakes) -> impl Iterator<Item = &Server> {
    config.servers.iter().filter(move |server| {
        server.kind == ServerKind::Participant || mistakes.has(Mistake::ObserversCounted)
    })
}

fn is_quorum_of_groups(
    config: &EnsembleConfig,
    has: impl Fn(Sid) -> bool,
    mistakes: Mistakes,
) -> bool {
    let weight = |server: &Server| {
        if mistakes.has(Mistake::ForgetWeights) { 1 } else { u128::from(server.weight) }
    };
    let (mut groups, mut won) = (0_usize, 0_usize);
    for (at, first) in config.servers.iter().enumerate() {
        // Each group once: at its first server.
        let Some(group) = first.group else { continue };
        if config.servers[..at].iter().any(|server| server.group == Some(group)) {
            continue;
        }
        let (mut all, mut with) = (0_u128, 0_u128);
        for server in counted(config, mistakes).filter(|server| server.group == Some(group)) {
            all += weight(server);
            if has(server.sid) {
                with += weight(server);
            }
        }
        // A group that weighs nothing has no say.
        groups += usize::from(all > 0);
        won += usize::from(with * 2 > all);
    }
    won * 2 > groups
}
