//! The digest of the state, digest version 2 of ZooKeeper (`DigestCalculator`, `AdHash`): the wrapping
//! sum over all znodes of a CRC32 of path, data and stat. What lies under `/zookeeper/` counts nothing.

use super::state::State;
use super::version::{Version, VersionHead};
use crate::protocol::Zxid;
use std::ptr::NonNull;

const UNCOUNTED: &[u8] = b"/zookeeper/";

/// The part of a znode's stat that its versions of data do not hold.
#[derive(Clone, Copy)]
pub(super) struct DigestStat {
    pub czxid: Zxid,
    pub pzxid: Zxid,
    pub cversion: i32,
}

/// The root counts under the empty name.
fn hashed_path(path: &[u8]) -> &[u8] {
    if path == b"/" { b"" } else { path }
}

/// The checksum of path and data, from which [`of_node`] can go on.
pub(super) fn prefix_crc(path: &[u8], data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(hashed_path(path));
    hasher.update(data);
    hasher.finalize()
}

fn stat_bytes(head: &VersionHead, stat: DigestStat) -> [u8; 60] {
    let longs = [stat.czxid, head.mzxid, stat.pzxid, head.ctime_ms, head.mtime_ms];
    let ints = [head.version, stat.cversion, head.aversion];
    let mut bytes = [0; 60];
    for (to, long) in bytes[..40].chunks_exact_mut(8).zip(longs) {
        to.copy_from_slice(&long.to_be_bytes());
    }
    for (to, int) in bytes[40..52].chunks_exact_mut(4).zip(ints) {
        to.copy_from_slice(&int.to_be_bytes());
    }
    bytes[52..].copy_from_slice(&head.owner.to_be_bytes());
    bytes
}

/// What one znode adds to the sum. `crc` is the checksum of path and data where it is known already;
/// `scratch` is overwritten.
pub(super) fn of_node(
    path: &[u8],
    data: Option<&[u8]>,
    crc: Option<u32>,
    head: &VersionHead,
    stat: DigestStat,
    scratch: &mut Vec<u8>,
) -> i64 {
    if path.starts_with(UNCOUNTED) {
        return 0;
    }
    let stat = stat_bytes(head, stat);
    if let Some(crc) = crc {
        let mut hasher = crc32fast::Hasher::new_with_initial(crc);
        hasher.update(&stat);
        return i64::from(hasher.finalize());
    }
    // One run over contiguous bytes is faster than three short ones.
    scratch.clear();
    scratch.extend_from_slice(hashed_path(path));
    scratch.extend_from_slice(data.unwrap_or_default());
    scratch.extend_from_slice(&stat);
    i64::from(crc32fast::hash(scratch))
}

impl State {
    /// What a znode adds to the digest.
    fn node_digest(&mut self, path: &str, version: NonNull<Version>, stat: DigestStat) -> i64 {
        if !self.digest_enabled {
            return 0;
        }
        // SAFETY: the version is linked, or about to be, and this is the writer.
        let (head, data, crc) =
            unsafe { (&version.as_ref().head, Version::data(version), Version::crc(version)) };
        of_node(path.as_bytes(), data, crc, head, stat, &mut self.scratch)
    }

    pub(super) fn add_digest(&mut self, path: &str, version: NonNull<Version>, stat: DigestStat) {
        self.digest = self.digest.wrapping_add(self.node_digest(path, version, stat));
    }

    pub(super) fn subtract_digest(
        &mut self,
        path: &str,
        version: NonNull<Version>,
        stat: DigestStat,
    ) {
        self.digest = self.digest.wrapping_sub(self.node_digest(path, version, stat));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_CHILDREN: DigestStat = DigestStat { czxid: 0, pzxid: 0, cversion: 0 };

    #[test]
    fn the_znodes_of_a_fresh_server() {
        let of = |path: &str| {
            of_node(
                path.as_bytes(),
                Some(b""),
                None,
                &VersionHead::default(),
                NO_CHILDREN,
                &mut Vec::new(),
            )
        };
        assert_eq!(of("/"), 68_323_592);
        assert_eq!(of("/zookeeper"), 1_303_661_912);
        assert_eq!(of("/zookeeper/quota"), 0);
        assert_ne!(of("/zookeeperer"), 0);
    }

    #[test]
    fn going_on_from_a_known_checksum_is_the_same() {
        let head = VersionHead {
            mzxid: 5,
            ctime_ms: 6,
            mtime_ms: 7,
            owner: -8,
            version: 9,
            ..VersionHead::default()
        };
        let stat = DigestStat { czxid: 1, pzxid: 2, cversion: 3 };
        let data = vec![0xa5; 3000];
        let crc = prefix_crc(b"/some/path", &data);
        let whole = of_node(b"/some/path", Some(&data), None, &head, stat, &mut Vec::new());
        let resumed = of_node(b"/some/path", Some(&data), Some(crc), &head, stat, &mut Vec::new());
        assert_eq!(whole, resumed);
    }
}
