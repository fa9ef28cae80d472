//! What one reactor steps: a shard, the ensemble core, or both on one thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::ensemble::EnsembleCore;
use crate::log::{LogDir, RealDir};
use crate::metrics::{Counter, Writer};
use crate::reactor::{AlignedBuf, ConnId, Io, ReactorStats, Resident, Turn};
use crate::shard::Shard;

/// The residents of one pinned thread.
pub struct Worker<D: LogDir = RealDir> {
    /// The shard, if one lives here.
    pub shard: Option<Shard>,
    /// The core, if it lives here.
    pub core: Option<EnsembleCore<D>>,
    stats: Arc<ReactorStats>,
    metrics: Writer,
    lost_wakes: u64,
}

impl<D: LogDir> Worker<D> {
    /// Without residents; `stats` are those of its reactor.
    pub fn new(stats: Arc<ReactorStats>, metrics: Writer) -> Worker<D> {
        Worker { shard: None, core: None, stats, metrics, lost_wakes: 0 }
    }
}

impl<D: LogDir> Resident for Worker<D> {
    type File = D::File;

    fn opened<I: Io>(&mut self, io: &mut I, c: ConnId, peer: SocketAddr, _local: SocketAddr) {
        match &mut self.shard {
            Some(shard) => shard.opened(io, c, peer),
            None => io.close(c, false),
        }
    }

    fn bytes<I: Io>(&mut self, io: &mut I, c: ConnId, data: &[u8]) {
        if let Some(shard) = &mut self.shard {
            shard.bytes(io, c, data);
        }
    }

    fn drained<I: Io>(&mut self, io: &mut I, c: ConnId) {
        if let Some(shard) = &mut self.shard {
            shard.drained(io, c);
        }
    }

    fn closed<I: Io>(&mut self, io: &mut I, c: ConnId) {
        if let Some(shard) = &mut self.shard {
            shard.closed(io, c);
        }
    }

    fn disk_done<I: Io>(
        &mut self,
        io: &mut I,
        token: u64,
        result: io::Result<usize>,
        buf: AlignedBuf,
    ) {
        if let Some(core) = &mut self.core {
            core.disk_done(io, token, result, buf);
        }
    }

    /// On a shared thread the shard hands its requests over, the core works on them and publishes what is durable,
    /// and the shard answers, all in one pass.
    fn step<I: Io<File = D::File>>(&mut self, io: &mut I) -> Turn {
        let before = self.shard.as_mut().map(|s| s.step(io));
        let core = self.core.as_mut().map(|c| c.step(io));
        let after = match (&mut self.shard, &core) {
            (Some(shard), Some(_)) => Some(shard.step(io)),
            _ => before,
        };
        match (after, core) {
            (Some(a), Some(b)) => sooner(a, b),
            (Some(turn), None) | (None, Some(turn)) => turn,
            (None, None) => Turn::Idle { deadline_ns: None },
        }
    }

    fn before_park(&mut self) -> bool {
        if self.core.as_mut().is_some_and(|c| !c.may_park()) {
            return false;
        }
        self.shard.as_mut().is_none_or(|s| s.before_park())
    }

    fn after_park(&mut self) {
        let lost = self.stats.wakes_lost.load(Ordering::Relaxed);
        self.metrics.add(Counter::LostWakes, lost - std::mem::replace(&mut self.lost_wakes, lost));
        if let Some(shard) = &mut self.shard {
            shard.after_park();
        }
    }
}

fn sooner(a: Turn, b: Turn) -> Turn {
    match (a, b) {
        (Turn::Again, _) | (_, Turn::Again) => Turn::Again,
        // Some tens of microseconds: no deadline of anybody else's is hurt by that.
        (gather @ Turn::Gather { .. }, _) | (_, gather @ Turn::Gather { .. }) => gather,
        (Turn::Idle { deadline_ns: a }, Turn::Idle { deadline_ns: b }) => {
            Turn::Idle { deadline_ns: earlier(a, b) }
        }
        (Turn::Soon { poll_until_ns, deadline_ns: a }, Turn::Idle { deadline_ns: b })
        | (Turn::Idle { deadline_ns: a }, Turn::Soon { poll_until_ns, deadline_ns: b }) => {
            Turn::Soon { poll_until_ns, deadline_ns: earlier(a, b) }
        }
        (
            Turn::Soon { poll_until_ns: a, deadline_ns },
            Turn::Soon { poll_until_ns: b, deadline_ns: other },
        ) => Turn::Soon { poll_until_ns: a.max(b), deadline_ns: earlier(deadline_ns, other) },
    }
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sooner_turn_wins() {
        let idle = |deadline_ns| Turn::Idle { deadline_ns };
        assert_eq!(sooner(idle(Some(3)), idle(Some(2))), idle(Some(2)));
        assert_eq!(sooner(idle(None), idle(Some(2))), idle(Some(2)));
        assert_eq!(sooner(idle(None), idle(None)), idle(None));
        assert_eq!(sooner(idle(Some(1)), Turn::Again), Turn::Again);
        let gather = Turn::Gather { until_ns: 5, arrivals: 2 };
        assert_eq!(sooner(idle(Some(1)), gather), gather);
        assert_eq!(sooner(gather, Turn::Again), Turn::Again);
        let soon = |poll_until_ns, deadline_ns| Turn::Soon { poll_until_ns, deadline_ns };
        assert_eq!(sooner(idle(Some(3)), soon(9, Some(5))), soon(9, Some(3)));
        assert_eq!(sooner(soon(9, Some(5)), idle(None)), soon(9, Some(5)));
        assert_eq!(sooner(soon(9, None), soon(8, Some(2))), soon(9, Some(2)));
        assert_eq!(sooner(soon(9, None), gather), gather);
    }
}
