//! Faults that waited for a moment of the protocol: what happens when it has come.

use ringkeeper::zab::Sid;

use super::World;
use crate::aim::Blow;
use crate::context::FaultEnd;
use crate::time::Micros;

/// Strikes block links under numbers that no fault of a plan has.
const NUMBERS_FROM: u64 = 1 << 32;

impl World {
    /// Something happens to a server, at a moment that had to do with another one perhaps.
    pub(super) fn strike(&mut self, sid: Sid, other: Option<Sid>, blow: Blow) {
        // Faults have stopped, or stand still while progress is demanded.
        if self.level_by < Micros::MAX || self.ctx.now() < self.quiet_until {
            return;
        }
        self.ctx.tell(|| format!("STRIKE at {sid}: {blow:?}"));
        self.ctx.report.strikes += 1;
        match blow {
            Blow::Crash { power, down_us } => self.crash_if_running(sid, power, down_us),
            Blow::Isolate { deaf, mute, for_us } => {
                let links = self.links(&[sid], mute, deaf);
                self.block_for(links, for_us);
            }
            Blow::Part { for_us } => {
                if let Some(other) = other {
                    self.block_for(vec![(sid, other), (other, sid)], for_us);
                }
            }
            Blow::Drop => {
                if let Some(other) = other {
                    self.cut_connections(sid, other, [true, true]);
                }
            }
            Blow::Pause { for_us } => {
                self.ctx.report.pauses += 1;
                let until = self.ctx.now() + for_us;
                let index = self.index(sid);
                let server = &mut self.servers[index];
                server.paused_until = server.paused_until.max(until);
            }
            Blow::Lose => self.lose(sid),
            Blow::HandOver { draw } => self.hand_over_at(sid, draw),
            Blow::Slow { times, for_us } => {
                let index = self.index(sid);
                self.servers[index].machine.disk_times = times;
                self.ends(for_us, FaultEnd::Fast(sid));
            }
        }
    }

    fn block_for(&mut self, links: Vec<(Sid, Sid)>, for_us: Micros) {
        self.strikes += 1;
        let number = NUMBERS_FROM + self.strikes;
        self.block(&links, number);
        self.ends(for_us, FaultEnd::Unblock(number, links));
    }
}
