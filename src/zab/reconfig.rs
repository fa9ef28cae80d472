//! Membership: the configuration in force, the one that is proposed, and what happens when the latter becomes the
//! former (ZooKeeper's `QuorumPeer.processReconfig`, dynamic reconfiguration after Shraer et al.).
//!
//! A reconfiguration is a transaction. From its proposal on, it and all after it need a quorum of **both**
//! configurations, and so does every election, discovery and NEWLEADER of a server whose log holds it; from its commit
//! on, the new one's alone. The commit names who should lead: servers go straight to that one without an election. A
//! hand-over of leadership is a reconfiguration that changes no server.

use std::sync::Arc;

use super::ensemble::EnsembleConfig;
use super::mistake::{Mistake, Mistakes};
use super::quorum;
use super::types::{Sid, Zxid};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Membership {
    /// In force.
    pub active: Arc<EnsembleConfig>,
    /// Logged, and not known to be committed: the reconfiguration's zxid and what it proposes.
    pub proposed: Option<(Zxid, Arc<EnsembleConfig>)>,
    pub mistakes: Mistakes,
}

impl Membership {
    /// Whether `sid` votes, or will when the proposed configuration is in force.
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.active.is_participant(sid)
            || self.election_config().is_some_and(|config| config.is_participant(sid))
    }

    /// The servers that vote now or will, each once, in order.
    pub fn voters(&self) -> Vec<Sid> {
        let proposed = self.election_config();
        let mut voters: Vec<Sid> = self
            .active
            .participants()
            .chain(proposed.iter().flat_map(|config| config.participants()))
            .map(|server| server.sid)
            .collect();
        voters.sort_unstable();
        voters.dedup();
        voters
    }

    /// Whether the servers for which `has` holds are a quorum of every configuration that may be in force: of the
    /// active one, and of the proposed one, for its commit may just not have reached us.
    pub fn is_quorum(&self, has: impl Fn(Sid) -> bool) -> bool {
        quorum::is_quorum(&self.active, &has, self.mistakes)
            && self
                .election_config()
                .is_none_or(|config| quorum::is_quorum(config, &has, self.mistakes))
    }

    fn election_config(&self) -> Option<&EnsembleConfig> {
        if self.mistakes.has(Mistake::ProposedConfigForgotten) {
            return None;
        }
        self.proposed.as_ref().map(|(_, config)| &**config)
    }

    /// How far the proposals of an established leader are committed: what lies before the reconfiguration needs the
    /// active configuration alone, it and all after it both.
    pub fn acked(&self, acked: impl Fn(Sid) -> Option<Zxid>) -> Option<Zxid> {
        let old = quorum::acked_by_quorum(&self.active, &acked, self.mistakes);
        let Some((zxid, config)) = &self.proposed else { return old };
        let new = quorum::acked_by_quorum(config, &acked, self.mistakes);
        if self.mistakes.has(Mistake::OldQuorumDroppedEarly) {
            return new;
        }
        if self.mistakes.has(Mistake::NewQuorumNotAsked) {
            return old;
        }
        let old = old?;
        if old < *zxid {
            return Some(old);
        }
        match new {
            Some(new) if new >= *zxid => Some(old.min(new)),
            _ => Some(zxid - 1),
        }
    }

    /// The configuration that NEWLEADER carries: the last one seen.
    pub fn last_seen(&self) -> &Arc<EnsembleConfig> {
        self.proposed.as_ref().map_or(&self.active, |(_, config)| config)
    }
}

/// Whether two configurations would have `sid` lead at the same place.
pub(super) fn may_go_on_leading(old: &EnsembleConfig, new: &EnsembleConfig, sid: Sid) -> bool {
    match (old.server(sid), new.server(sid)) {
        (Some(was), Some(is)) => new.is_participant(sid) && was.quorum_address == is.quorum_address,
        (None, Some(_)) => new.is_participant(sid),
        _ => false,
    }
}

/// Who is to lead once `new` is in force. `acked` says what each server in step has acknowledged.
///
/// `wanted`, a voter of `new`, or else the present leader, if it still votes at the same place; or else, of the voters that have
/// acknowledged the reconfiguration, the one that has acknowledged most (the greatest sid among equals). `None`: there
/// is no such voter, which a committed reconfiguration does not allow.
pub(super) fn designate(
    old: &EnsembleConfig,
    new: &EnsembleConfig,
    zxid: Zxid,
    present: Sid,
    wanted: Option<Sid>,
    acked: impl Fn(Sid) -> Option<Zxid>,
) -> Option<Sid> {
    let has_it = |sid: Sid| acked(sid).is_some_and(|acked| acked >= zxid);
    if let Some(wanted) = wanted
        && (wanted == present || has_it(wanted))
    {
        return Some(wanted);
    }
    if may_go_on_leading(old, new, present) {
        return Some(present);
    }
    new.participants()
        .map(|server| server.sid)
        .filter(|sid| *sid != present && has_it(*sid) && quorum::weight(new, *sid) > 0)
        .max_by_key(|sid| (acked(*sid), *sid))
}
