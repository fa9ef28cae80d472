//! Which znodes are ephemeral, containers, or have a time to live.

use super::slab::RawNode;
use crate::protocol::{EphemeralType, Zxid};
use std::collections::BTreeSet;

/// The writer's sets of owned znodes, by node number.
#[derive(Default)]
pub(super) struct Owners {
    ephemerals: BTreeSet<(i64, u32)>,
    /// By birth, so that their order does not depend on node numbers.
    containers: BTreeSet<(Zxid, u32)>,
    ttls: BTreeSet<(Zxid, u32)>,
}

impl Owners {
    fn set(&mut self, kind: EphemeralType) -> Option<&mut BTreeSet<(i64, u32)>> {
        match kind {
            EphemeralType::Void => None,
            EphemeralType::Normal => Some(&mut self.ephemerals),
            EphemeralType::Container => Some(&mut self.containers),
            EphemeralType::Ttl { .. } => Some(&mut self.ttls),
        }
    }

    fn key(kind: EphemeralType, owner: i64, node: &RawNode) -> i64 {
        if kind == EphemeralType::Normal { owner } else { node.czxid }
    }

    pub(super) fn add(&mut self, kind: EphemeralType, owner: i64, index: u32, node: &RawNode) {
        if let Some(set) = self.set(kind) {
            set.insert((Self::key(kind, owner, node), index));
        }
    }

    pub(super) fn remove(&mut self, kind: EphemeralType, owner: i64, index: u32, node: &RawNode) {
        if let Some(set) = self.set(kind) {
            set.remove(&(Self::key(kind, owner, node), index));
        }
    }

    /// The ephemerals of a session.
    pub(super) fn ephemerals(&self, session: i64) -> impl Iterator<Item = u32> {
        self.ephemerals.range((session, 0)..=(session, u32::MAX)).map(|&(_, index)| index)
    }

    /// The sessions that own ephemerals, by id.
    pub(super) fn sessions(&self) -> impl Iterator<Item = i64> {
        let mut last = None;
        std::iter::from_fn(move || {
            let next = match last {
                None => self.ephemerals.first(),
                Some(id) => self.ephemerals.range((id, u32::MAX)..).next(),
            };
            last = next.map(|&(id, _)| id);
            last
        })
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = u32> {
        self.containers.iter().map(|&(_, index)| index)
    }

    pub(super) fn ttls(&self) -> impl Iterator<Item = u32> {
        self.ttls.iter().map(|&(_, index)| index)
    }

    pub(super) fn ephemerals_count(&self) -> usize {
        self.ephemerals.len()
    }
}
