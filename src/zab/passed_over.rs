//! Servers that were elected and did not take us as learners: votes for them are idle for a while.
//!
//! Without that, a server which some can reach and others cannot would be elected for ever. Which it is nobody can know:
//! so the times grow with every failure, until all that cannot reach it pass it over at once, and are forgotten as soon as
//! we are in step with any leader.

use super::settings::ZabConfig;
use super::types::Sid;

/// Servers remembered.
const REMEMBERED_MAX: usize = 64;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct PassedOver(Vec<Failed>);

/// A server that was elected and did not answer us as a leader does.
#[derive(Debug, Clone, Copy)]
struct Failed {
    sid: Sid,
    until: u64,
    /// How often that has happened since we were last in step with a leader.
    times: u32,
}

impl PassedOver {
    /// This server, elected at `since`, could not be connected to, or did not answer as a leader does. Others find that
    /// out earlier or later than we do, each in its own way: it is passed over long enough for all to do so at the same
    /// time, longer each time.
    pub fn pass_over(&mut self, sid: Sid, since: u64, now: u64, config: &ZabConfig) {
        let known = self.0.iter().find(|known| known.sid == sid);
        let times = known.map_or(0, |known| known.times + 1);
        let tries = u64::from(config.connect_tries);
        // One that left us at once has told nobody else: they find out as slowly as ever.
        let tried = 2 * (now - since).max(tries * config.connect_retry_ms);
        // As long as anyone may have tried: a few connections that are held without an answer.
        let longest = 4 * config.init_ms() + 2 * tries * (tries + 1) * config.connect_retry_ms;
        let grown = tried.saturating_mul(1 << times.min(16)).min(longest);
        let until = now + tried.max(grown) + 2 * config.tick_ms;
        self.remember(Failed { sid, until, times });
    }

    /// This server, elected at `since`, looks again before it took us. Once that may happen to any; the second time it counts
    /// as much as if it did not answer: there may be others who cannot reach it, and only those who pass it over can agree
    /// on somebody else.
    pub fn left_by(&mut self, sid: Sid, since: u64, now: u64, config: &ZabConfig) {
        if self.0.iter().any(|known| known.sid == sid) {
            self.pass_over(sid, since, now, config);
        } else {
            self.remember(Failed { sid, until: 0, times: 0 });
        }
    }

    fn remember(&mut self, server: Failed) {
        self.0.retain(|known| known.sid != server.sid);
        if self.0.len() >= REMEMBERED_MAX {
            self.0.remove(0);
        }
        self.0.push(server);
    }

    /// Whether votes for this server are idle at this time.
    pub fn holds(&self, sid: Sid, now: u64) -> bool {
        self.0.iter().any(|known| known.sid == sid && known.until > now)
    }

    /// We are in step with a leader: what was tried before says nothing any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
