//! Shortening the log: at its end (a cut), at its beginning (a purge), or all of it (a restart).

use crate::log::Zxid;
use crate::log::body::StartReason;
use crate::log::disk::LogDir;
use crate::log::error::LogError;
use crate::log::flights::Flight;
use crate::log::recover::Walk;
use crate::log::segment;
use crate::log::writer::Writer;

impl<D: LogDir> Writer<D> {
    /// Cuts everything behind `zxid` away (a learner that logged what its new leader has not):
    /// durably, in a new incarnation. Returns the last transaction that is left. Takes its time:
    /// it reads the log back and waits for its own writes.
    ///
    /// # Errors
    /// `InFlight` if writes are; `Gap` if the log does not go back to `zxid`.
    pub fn truncate_to(&mut self, zxid: Zxid) -> Result<Zxid, LogError> {
        if self.failed {
            return Err(LogError::Failed);
        }
        if !self.flights.is_empty() {
            return Err(LogError::InFlight(self.flights.len()));
        }
        if zxid >= self.last_zxid {
            return Ok(self.last_zxid);
        }
        self.need_spares(1)?;
        let all = segment::open_all(&*self.dir)?;
        let mut visit = |_: Zxid, _: &[u8]| Ok(());
        let mut walk = Walk::new(&all, zxid, &mut visit)?;
        walk.limit = zxid;
        walk.run()?;
        let (end, live, found) = (walk.end, walk.live, walk.recovered);
        let Some(end) = end else { return Err(LogError::Failed) };
        // What is left is the new leader's, and committed only once that is established.
        let committed = found.committed_zxid.min(end.last_zxid);
        self.incarnation += 1;
        self.next_sequence = end.next_sequence;
        self.last_crc = end.crc;
        self.flights.sequence = end.next_sequence - 1;
        self.flights.zxid = end.last_zxid;
        let dead = self.segments.iter().map(|(index, _)| *index);
        let dead: Vec<u64> = dead.filter(|index| !live.contains(index)).collect();
        self.segments.retain(|(index, _)| live.contains(index));
        let start = self.roll(StartReason::Truncated, end.last_zxid, committed);
        self.write_now(start.ok_or(LogError::SpareNotReady)?)?;
        self.spares.retire(dead.into_iter());
        self.unsealed = false;
        Ok(end.last_zxid)
    }

    /// Begins anew behind a snapshot that came from elsewhere: everything logged before is dead.
    ///
    /// # Errors
    /// `InFlight` if writes are.
    pub fn restart_at(&mut self, zxid: Zxid) -> Result<(), LogError> {
        if self.failed {
            return Err(LogError::Failed);
        }
        if !self.flights.is_empty() {
            return Err(LogError::InFlight(self.flights.len()));
        }
        self.need_spares(1)?;
        self.incarnation += 1;
        let dead: Vec<u64> = self.segments.drain(..).map(|(index, _)| index).collect();
        let start = self.roll(StartReason::Restarted, zxid, zxid);
        self.write_now(start.ok_or(LogError::SpareNotReady)?)?;
        self.spares.retire(dead.into_iter());
        self.unsealed = false;
        Ok(())
    }

    /// Gives back the segments that hold nothing newer than `zxid`: that of the oldest snapshot
    /// that is kept. Returns how many.
    pub fn purge(&mut self, zxid: Zxid) -> usize {
        let mut old = Vec::new();
        while let [Some((front, _)), Some((second, next))] =
            [self.segments.front().copied(), self.segments.get(1).copied()]
        {
            // The one to go must be written, and the one that is the first then must have its
            // start frame: without one there is no log.
            let needed = |f: &Flight| f.segment == front || (f.segment == second && f.offset == 0);
            if next > zxid || self.flights.iter().any(needed) {
                break;
            }
            old.push(front);
            self.segments.pop_front();
        }
        let count = old.len();
        self.spares.retire(old.into_iter());
        count
    }
}
