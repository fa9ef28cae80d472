//! What each server really has on its medium, seen from the disk's side: the servers' own words about
//! what is durable are not asked.

use std::collections::VecDeque;

use ringkeeper::protocol::Zxid;

/// A transaction: its zxid and a hash of its bytes.
pub type Mark = (Zxid, u64);

/// The log on one medium.
#[derive(Default, Clone, Debug)]
pub struct Medium {
    /// The state up to here is in a snapshot; the log goes on behind it.
    pub base: Zxid,
    /// The log in order: first what is durable.
    pub logged: Vec<Mark>,
    /// How many of them are durable.
    pub durable: usize,
    /// It is being cut behind this zxid: a process that dies meanwhile may have done it.
    cutting: Option<Zxid>,
    /// Writes under way, in the order of the log: number, transactions in it, whether it is done.
    writes: VecDeque<(u64, usize, bool)>,
}

impl Medium {
    /// A medium that has a snapshot and no log behind it.
    pub fn behind(base: Zxid) -> Medium {
        Medium { base, ..Medium::default() }
    }

    /// A log write was handed to the disk.
    pub fn submitted(&mut self, write: u64, marks: &[Mark]) {
        self.logged.extend_from_slice(marks);
        self.writes.push_back((write, marks.len(), false));
    }

    /// It has arrived.
    pub fn completed(&mut self, write: u64) {
        if let Some(found) = self.writes.iter_mut().find(|w| w.0 == write) {
            found.2 = true;
        }
        while let Some((_, count, _)) = self.writes.pop_front_if(|w| w.2) {
            self.durable += count;
        }
    }

    /// The log is about to be cut behind `zxid`.
    pub fn cutting(&mut self, zxid: Zxid) {
        self.cutting = Some(zxid);
    }

    /// It was not.
    pub fn not_cut(&mut self) {
        self.cutting = None;
    }

    /// The log was cut behind `zxid`, durably.
    pub fn truncated(&mut self, zxid: Zxid) {
        self.cutting = None;
        self.logged.retain(|(z, _)| *z <= zxid);
        self.durable = self.logged.len();
        self.writes.clear();
    }

    /// A start found this in the log behind the snapshot of `base`. Says what is wrong with it.
    pub fn recovered(&mut self, base: Zxid, found: &[Mark]) -> Result<(), String> {
        let behind = |(z, _): &&Mark| *z > base;
        let kept = |(z, _): &&Mark| self.cutting.is_none_or(|to| *z <= to);
        let durable = self.logged[..self.durable].iter().filter(behind).filter(kept);
        let durable: Vec<&Mark> = durable.collect();
        let logged: Vec<&Mark> = self.logged.iter().filter(behind).collect();
        if base < self.base {
            return Err(format!(
                "started from a snapshot of 0x{base:x}, had one of 0x{:x}",
                self.base
            ));
        }
        if found.len() < durable.len() {
            let first = durable[found.len()].0;
            return Err(format!("0x{first:x} was durable and is not found again"));
        }
        for (at, mark) in found.iter().enumerate() {
            match logged.get(at) {
                Some(was) if *was == mark => {}
                Some(was) => {
                    return Err(format!("0x{:x} is found where 0x{:x} was written", mark.0, was.0));
                }
                None => {
                    return Err(format!(
                        "0x{:x} is found, which was cut away or never written",
                        mark.0
                    ));
                }
            }
        }
        self.replaced(base, found);
        Ok(())
    }

    /// The medium holds this now, whatever it held before.
    pub fn replaced(&mut self, base: Zxid, found: &[Mark]) {
        *self = Medium { base, logged: found.to_vec(), durable: found.len(), ..Medium::default() };
    }

    /// Whether a transaction is durable here, in the log or under the snapshot.
    pub fn holds(&self, mark: Mark) -> bool {
        mark.0 <= self.base || self.durable_log().binary_search(&mark).is_ok()
    }

    /// The durable part of the log.
    pub fn durable_log(&self) -> &[Mark] {
        &self.logged[..self.durable]
    }

    /// The last zxid in log or snapshot.
    pub fn last(&self) -> Zxid {
        self.logged.last().map_or(self.base, |(z, _)| *z)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durable_is_the_contiguous_prefix() {
        let mut medium = Medium::default();
        medium.submitted(1, &[(1, 11), (2, 12)]);
        medium.submitted(2, &[(3, 13)]);
        medium.completed(2);
        assert!(!medium.holds((3, 13)));
        medium.completed(1);
        assert!(medium.holds((3, 13)) && !medium.holds((3, 14)));
        medium.truncated(2);
        assert_eq!((medium.last(), medium.durable), (2, 2));
    }

    #[test]
    fn recovery_must_find_what_was_durable_and_nothing_else() {
        let mut medium = Medium::default();
        medium.submitted(1, &[(1, 11)]);
        medium.completed(1);
        medium.submitted(2, &[(2, 12)]);
        assert!(medium.clone().recovered(0, &[]).is_err());
        assert!(medium.clone().recovered(0, &[(1, 11)]).is_ok());
        assert!(medium.clone().recovered(0, &[(1, 11), (2, 12)]).is_ok());
        assert!(medium.clone().recovered(0, &[(1, 11), (2, 99)]).is_err());
        assert!(medium.clone().recovered(0, &[(1, 11), (2, 12), (3, 13)]).is_err());
        assert!(medium.clone().recovered(1, &[]).is_ok());
    }
}
