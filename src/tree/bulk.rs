//! What a snapshot's writer and loader need beside reading and loading znodes one by one.

use super::digest::{self, DigestStat};
use super::version::VersionHead;
use super::view::StatPersisted;

/// What one znode adds to the digest of the state: the wrapping sum over all znodes is
/// [`super::TreeWriter::digest`]. `scratch` is overwritten.
pub fn digest_of(
    path: &str,
    data: Option<&[u8]>,
    stat: &StatPersisted,
    scratch: &mut Vec<u8>,
) -> i64 {
    let head = VersionHead {
        mzxid: stat.mzxid,
        ctime_ms: stat.ctime_ms,
        mtime_ms: stat.mtime_ms,
        owner: stat.ephemeral_owner,
        version: stat.version,
        aversion: stat.aversion,
        ..VersionHead::default()
    };
    let rest = DigestStat { czxid: stat.czxid, pzxid: stat.pzxid, cversion: stat.cversion };
    digest::of_node(path.as_bytes(), data, None, &head, rest, scratch)
}
