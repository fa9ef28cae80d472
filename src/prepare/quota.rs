//! Quotas: whether a write may add to what lies under a path that has one.
//!
//! The statistics themselves are part of the tree and change when a transaction is applied. Here they
//! are only compared with the limits. ZooKeeper looks at applied state alone: the operations of a multi
//! are all measured against what was before the multi, and so they are here.

use super::Output;
use super::context::Context;
use crate::protocol::{ErrorCode, MultiOp};
use crate::tree::{QUOTA_PATH, StatsTrack, TreeWriter, stats_path};

/// Limits and statistics of the quota that a znode falls under, as they were when looked at.
#[derive(Debug, Clone)]
pub(super) struct QuotaView {
    /// `None`: what stands there is no text of limits.
    limits: Option<StatsTrack>,
    stats: Stats,
}

#[derive(Debug, Clone)]
enum Stats {
    /// There is no znode of statistics: nothing is limited.
    Missing,
    /// It holds no text of statistics.
    Unreadable,
    Known(StatsTrack),
}

impl QuotaView {
    /// What applies to `path`; `None` if nothing does.
    fn of(tree: &TreeWriter, path: &str) -> Option<QuotaView> {
        let root = tree.quota_root(path)?;
        let limits = tree.get(&format!("{QUOTA_PATH}{root}/zookeeper_limits"))?;
        let stats = match tree.get(&stats_path(root)) {
            None => Stats::Missing,
            Some(node) => StatsTrack::parse(node.data()).map_or(Stats::Unreadable, Stats::Known),
        };
        Some(QuotaView { limits: StatsTrack::parse(limits.data()), stats })
    }

    /// Whether so much more is within the limits; how many soft limits it exceeds. What cannot be read
    /// fails the request, as ZooKeeper's exception does.
    fn check(&self, bytes: i64, count: i64) -> Result<u32, ErrorCode> {
        let limits = self.limits.as_ref().ok_or(ErrorCode::MarshallingError)?;
        let count_limit = Limit::of(count, limits.count(), limits.count_hard_limit());
        let bytes_limit = Limit::of(bytes, limits.bytes(), limits.byte_hard_limit());
        if count_limit.is_none() && bytes_limit.is_none() {
            return Ok(0);
        }
        let used = match &self.stats {
            Stats::Missing => return Ok(0),
            Stats::Unreadable => return Err(ErrorCode::MarshallingError),
            Stats::Known(used) => used,
        };
        let over_count = count_limit.is_some_and(|l| used.count().wrapping_add(count) > l.limit);
        if over_count && count_limit.is_some_and(|l| l.is_hard) {
            return Err(ErrorCode::QuotaExceeded);
        }
        let over_bytes = bytes_limit.is_some_and(|l| used.bytes().wrapping_add(bytes) > l.limit);
        if over_bytes && bytes_limit.is_some_and(|l| l.is_hard) {
            return Err(ErrorCode::QuotaExceeded);
        }
        Ok(u32::from(over_count) + u32::from(over_bytes))
    }
}

/// One limit that matters to a request.
#[derive(Clone, Copy)]
struct Limit {
    limit: i64,
    is_hard: bool,
}

impl Limit {
    /// The hard limit before the soft one; none if nothing changes, or nothing is limited.
    fn of(change: i64, soft: i64, hard: i64) -> Option<Limit> {
        match (change, soft, hard) {
            (0, _, _) => None,
            (_, _, hard) if hard > -1 => Some(Limit { limit: hard, is_hard: true }),
            (_, soft, _) if soft > -1 => Some(Limit { limit: soft, is_hard: false }),
            _ => None,
        }
    }
}

impl Context<'_> {
    /// Whether the quota over `path` allows so many bytes and znodes more. Without `enforceQuota` it only warns: ZooKeeper says
    /// nothing then, and its operators set soft limits to be told.
    pub(super) fn check_quota(
        &mut self,
        path: &str,
        bytes: i64,
        count: i64,
        out: &mut Output,
    ) -> Result<(), ErrorCode> {
        let view =
            if self.in_multi { self.quota_before.take() } else { QuotaView::of(self.tree, path) };
        let Some(view) = view else { return Ok(()) };
        let warnings = match view.check(bytes, count) {
            Ok(warnings) => warnings,
            Err(error) if self.config.enforce_quota => return Err(error),
            Err(error) => u32::from(error == ErrorCode::QuotaExceeded),
        };
        if warnings > 0 {
            out.quota_warnings += warnings;
            out.quota_path.clear();
            out.quota_path.push_str(self.tree.quota_root(path).unwrap_or(path));
        }
        Ok(())
    }

    /// The quotas over the znodes of a multi before its first operation; empty if there are none.
    pub(super) fn quotas_before(&self, ops: &[MultiOp<'_>]) -> Vec<Option<QuotaView>> {
        if ops.iter().all(|op| self.tree.quota_root(op.path()).is_none()) {
            return Vec::new();
        }
        ops.iter().map(|op| QuotaView::of(self.tree, op.path())).collect()
    }
}
