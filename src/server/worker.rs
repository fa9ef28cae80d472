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
            (Some(a), Some(b)) => a.sooner(b),
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
