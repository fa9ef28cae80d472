//! The digests of the state that the word `hash` shows, by which operators compare servers.

use std::collections::VecDeque;

use crate::protocol::Zxid;

/// One is kept of every so many transactions (`DataTree.DIGEST_LOG_INTERVAL`).
const INTERVAL: Zxid = 128;
/// How many are kept (`DataTree.DIGEST_LOG_LIMIT`).
const KEPT_MAX: usize = 1024;

/// Digests of now and then, oldest first. Both what is replayed at the start and what is ordered later are noted.
#[derive(Debug, Default)]
pub struct DigestLog(VecDeque<(Zxid, i64)>);

impl DigestLog {
    /// The state behind `zxid` has this digest.
    pub fn note(&mut self, zxid: Zxid, digest: i64) {
        if zxid % INTERVAL != 0 {
            return;
        }
        if self.0.len() == KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back((zxid, digest));
    }

    /// Those of states up to `zxid`.
    pub fn up_to(&self, zxid: Zxid) -> Vec<(Zxid, i64)> {
        self.0.iter().copied().take_while(|(of, _)| *of <= zxid).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_128th_of_the_last_1024() {
        let mut log = DigestLog::default();
        for zxid in 1..=300 {
            log.note(zxid, -zxid);
        }
        assert_eq!(log.up_to(255), [(128, -128)]);
        assert_eq!(log.up_to(Zxid::MAX), [(128, -128), (256, -256)]);
        for zxid in 301..=128 * 2000 {
            log.note(zxid, zxid);
        }
        let all = log.up_to(Zxid::MAX);
        assert_eq!((all.len(), all[0].0, all[1023].0), (1024, 128 * 977, 128 * 2000));
    }
}
