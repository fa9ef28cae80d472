//! Quota statistics: what lies under a path with a quota is counted in a znode, as part of the state.
//!
//! A path has a quota while `/zookeeper/quota<path>/zookeeper_limits` exists; its count and bytes are
//! kept in `zookeeper_stats` beside it (`Quotas`, `DataTree.updateQuotaStat`). The statistics change
//! without a change of version or time, and what lies under `/zookeeper/` counts nothing in the digest.
//! Where the statistics cannot be read (ZooKeeper throws), they stay as they are.

use super::slab::{NEWEST, ROOT};
use super::state::{State, split};
use super::version::VersionHead;
use super::{QUOTA_PATH, Tree};
use crate::protocol::{Zxid, path};
use std::collections::BTreeMap;

const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// The znode that holds the statistics of a path with a quota (`Quotas.statPath`).
pub fn stats_path(path: &str) -> String {
    format!("{QUOTA_PATH}{path}/{STATS}")
}

/// The path whose quota node `parent` is: what stands behind `/zookeeper/quota`.
fn trim(parent: &str) -> Option<&str> {
    parent.strip_prefix(QUOTA_PATH).filter(|rest| rest.len() > 1 && rest.starts_with('/'))
}

/// The path that has a quota by the existence of the znode `limits`.
pub(super) fn limited_by(limits: &str) -> Option<&str> {
    let (parent, name) = split(limits).ok()?;
    if name == LIMITS { trim(parent) } else { None }
}

/// A count and a number of bytes, and whatever else the text held (`StatsTrack`): limits and statistics
/// alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatsTrack {
    values: BTreeMap<String, i64>,
}

impl StatsTrack {
    /// Reads `count=4,bytes=5=;countHardLimit=10;byteHardLimit=10`; pairs may be parted by commas and
    /// semicolons. `None` where ZooKeeper throws.
    pub fn parse(data: Option<&[u8]>) -> Option<Self> {
        let text = String::from_utf8_lossy(data?);
        let mut values = BTreeMap::new();
        if text.is_empty() {
            return Some(Self { values });
        }
        // Java's split: a run of separators is one, and empty strings at the end are dropped.
        let trimmed = text.trim_end_matches([',', ';']);
        if trimmed.is_empty() {
            return Some(Self { values });
        }
        let mut rest = trimmed;
        loop {
            let end = rest.find([',', ';']).unwrap_or(rest.len());
            let (key, value) = Self::pair(&rest[..end])?;
            values.insert(key.to_owned(), value);
            if end == rest.len() {
                return Some(Self { values });
            }
            rest = rest[end..].trim_start_matches([',', ';']);
        }
    }

    fn pair(pair: &str) -> Option<(&str, i64)> {
        // What stands behind a second `=` is passed over; a value must be there, and may be empty
        // only if something follows it.
        let (key, rest) = pair.trim_end_matches('=').split_once('=')?;
        match rest.split('=').next()? {
            "" => Some((key, -1)),
            value => Some((key, value.parse().ok()?)),
        }
    }

    fn get(&self, key: &str) -> i64 {
        self.values.get(key).copied().unwrap_or(-1)
    }

    /// The count of znodes, −1 if none is given.
    pub fn count(&self) -> i64 {
        self.get("count")
    }

    /// The bytes of data, −1 if none are given.
    pub fn bytes(&self) -> i64 {
        self.get("bytes")
    }

    /// The hard limit of the count, −1 if none is given.
    pub fn count_hard_limit(&self) -> i64 {
        self.get("countHardLimit")
    }

    /// The hard limit of the bytes, −1 if none is given.
    pub fn byte_hard_limit(&self) -> i64 {
        self.get("byteHardLimit")
    }

    /// Sets count and bytes.
    pub fn set(&mut self, count: i64, bytes: i64) {
        self.values.insert("count".to_owned(), count);
        self.values.insert("bytes".to_owned(), bytes);
    }
}

impl std::fmt::Display for StatsTrack {
    /// Exactly `StatsTrack.toString`: count and bytes first, then an `=` that makes old parsers pass over
    /// what follows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "count={},bytes={}", self.count(), self.bytes())?;
        let others = self.values.iter().filter(|(key, _)| *key != "count" && *key != "bytes");
        for (i, (key, value)) in others.enumerate() {
            write!(f, "{};{key}={value}", if i == 0 { "=" } else { "" })?;
        }
        Ok(())
    }
}

impl State {
    /// The deepest path with a quota that `path` is or lies under (`DataTree.getMaxPrefixWithQuota`).
    pub(super) fn quota_root<'p>(&self, path: &'p str) -> Option<&'p str> {
        if self.quotas.is_empty() {
            return None;
        }
        std::iter::once(path).chain(path::ancestors(path)).find(|p| self.quotas.contains(*p))
    }

    pub(super) fn quota_created(&mut self, tree: &Tree, zxid: Zxid, path: &str, bytes: usize) {
        if let Ok((parent, name)) = split(path)
            && let Some(quota_path) = trim(parent)
        {
            match name {
                LIMITS => drop(self.quotas.insert(quota_path.to_owned())),
                STATS => self.count_quota(tree, zxid, quota_path),
                _ => {}
            }
        }
        self.update_quota(tree, zxid, path, bytes as i64, 1);
    }

    pub(super) fn quota_deleted(&mut self, tree: &Tree, zxid: Zxid, path: &str, bytes: usize) {
        if let Some(quota_path) = limited_by(path) {
            self.quotas.remove(quota_path);
        }
        self.update_quota(tree, zxid, path, -(bytes as i64), -1);
    }

    pub(super) fn quota_changed(&mut self, tree: &Tree, zxid: Zxid, path: &str, bytes: i64) {
        self.update_quota(tree, zxid, path, bytes, 0);
    }

    fn update_quota(&mut self, tree: &Tree, zxid: Zxid, path: &str, bytes: i64, count: i64) {
        let Some(root) = self.quota_root(path) else { return };
        let stats = stats_path(root);
        let Some(node) = self.find(tree, &stats) else { return };
        let Some(mut track) = StatsTrack::parse(node.data()) else { return };
        track.set(track.count().wrapping_add(count), track.bytes().wrapping_add(bytes));
        self.write_stats(tree, zxid, &stats, &track);
    }

    /// Counts a whole subtree into its statistics (`DataTree.updateQuotaForPath`).
    pub(super) fn count_quota(&mut self, tree: &Tree, zxid: Zxid, path: &str) {
        let (mut count, mut bytes) = (0, 0);
        // A path with a quota need not exist.
        let top = self.find(tree, path).map(|node| node.index()).filter(|&top| top != ROOT);
        let mut next = top;
        while let (Some(top), Some(index)) = (top, next) {
            // SAFETY: this is the writer; the indexes come from links.
            unsafe {
                count += 1;
                bytes += tree.node_at(index, NEWEST).map_or(0, |node| node.data_len() as i64);
                next = tree.next_in_walk(top, index, NEWEST);
            }
        }
        let mut track = StatsTrack::default();
        track.set(count, bytes);
        self.write_stats(tree, zxid, &stats_path(path), &track);
    }

    fn write_stats(&mut self, tree: &Tree, zxid: Zxid, stats: &str, track: &StatsTrack) {
        if let Some(node) = self.find(tree, stats) {
            let head = VersionHead { zxid, ..*node.head() };
            self.change_data(tree, stats, node, head, Some(track.to_string().as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<String> {
        StatsTrack::parse(Some(text.as_bytes())).map(|track| track.to_string())
    }

    #[test]
    fn texts_are_read_and_written_as_zookeeper_does() {
        let table = [
            ("", Some("count=-1,bytes=-1")),
            ("count=4,bytes=5", Some("count=4,bytes=5")),
            ("bytes=5,count=4", Some("count=4,bytes=5")),
            (
                "count=4,bytes=5=;countHardLimit=10;byteHardLimit=11",
                Some("count=4,bytes=5=;byteHardLimit=11;countHardLimit=10"),
            ),
            ("count=1,;,bytes=2,;", Some("count=1,bytes=2")),
            ("count=+7,bytes=-2", Some("count=7,bytes=-2")),
            ("count==5,bytes=1", Some("count=-1,bytes=1")),
            (",", Some("count=-1,bytes=-1")),
            ("count", None),
            ("count=", None),
            ("count=x", None),
            (",count=1", None),
            ("count=1 ,bytes=2", None),
        ];
        for (text, written) in table {
            assert_eq!(parse(text).as_deref(), written, "{text:?}");
        }
        assert_eq!(StatsTrack::parse(None), None);
        assert_eq!(StatsTrack::parse(Some(b"countHardLimit=3")).unwrap().count_hard_limit(), 3);
    }

    #[test]
    fn which_paths_limits_nodes_speak_of() {
        assert_eq!(limited_by("/zookeeper/quota/a/b/zookeeper_limits"), Some("/a/b"));
        assert_eq!(limited_by("/zookeeper/quota/zookeeper_limits"), None);
        assert_eq!(limited_by("/zookeeper/quotas/a/zookeeper_limits"), None);
        assert_eq!(limited_by("/zookeeper/quota/a/zookeeper_stats"), None);
        assert_eq!(limited_by("/"), None);
    }
}
