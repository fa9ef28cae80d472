//! Open load: requests are due at fixed times, whether or not earlier ones have been answered.
//!
//! A latency runs from the time a request was *due*, so a stall of the server is charged to every
//! request that should have left during it (no coordinated omission). Replies are filed under the
//! time slot in which their requests were due, so that what went on meanwhile can be set against it.

use crate::error::{PerfError, Result};
use crate::load::closed::{Question, check_reply};
use crate::load::pool::{Handler, Pool, SILENCE_LIMIT_S};
use crate::stats::Latencies;
use crate::sys;
use crate::wire::patch_xid;
use std::collections::VecDeque;

/// Length of a time slot in nanoseconds.
pub const SLOT_NS: u64 = 100_000_000;

/// What is offered, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Requests a second, all sessions together.
    pub rate: f64,
    /// Length in nanoseconds.
    pub length_ns: u64,
    /// So many in a row are due at once, on one session: as many as it had outstanding when the highest rate was
    /// measured, or half of that rate would be more than half of what a server can do with requests that come singly.
    pub burst: u64,
}

impl Offer {
    /// Requests due in all.
    pub fn count(self) -> u64 {
        (self.rate * self.length_ns as f64 / 1e9) as u64
    }

    /// When request number `index` is due, in nanoseconds from the beginning.
    pub fn due_ns(self, index: u64) -> u64 {
        ((index - index % self.burst) as f64 * 1e9 / self.rate) as u64
    }

    /// Which of so many sessions it is for.
    fn session(self, index: u64, sessions: usize) -> usize {
        ((index / self.burst) % sessions as u64) as usize
    }
}

struct Open {
    questions: Vec<Question>,
    sessions: Vec<Session>,
    slots: Vec<Latencies>,
    begin_ns: u64,
    in_flight: u64,
    late: Latencies,
}

#[derive(Default)]
struct Session {
    due: VecDeque<u64>,
    next_xid: i32,
    /// Due times of the unanswered, in order.
    unanswered: VecDeque<u64>,
    expected_xid: i32,
}

/// Outcome of an open run.
pub struct OpenRun {
    /// Latencies by the slot in which the requests were due.
    pub slots: Vec<Latencies>,
    /// How late requests left, for reasons of the load generator.
    pub late: Latencies,
}

impl OpenRun {
    /// Latencies of the slots that are chosen.
    pub fn merged(&self, chosen: impl Fn(usize) -> bool) -> Latencies {
        let mut all = Latencies::new();
        let slots = self.slots.iter().enumerate().filter(|(slot, _)| chosen(*slot));
        slots.for_each(|(_, latencies)| all.merge(latencies));
        all
    }
}

impl Handler for Open {
    fn reply(&mut self, index: usize, body: &[u8], now_ns: u64) -> Result<()> {
        let session = &mut self.sessions[index];
        session.expected_xid += 1;
        let bytes = self.questions[index].reply_body_bytes;
        check_reply(index, body, session.expected_xid, bytes)?;
        let Some(due_ns) = session.unanswered.pop_front() else {
            let what = "a reply to nothing that was asked".into();
            return Err(PerfError::Wrong { session: index, what });
        };
        let slot = ((due_ns - self.begin_ns) / SLOT_NS) as usize;
        if let Some(latencies) = self.slots.get_mut(slot) {
            latencies.record(now_ns.saturating_sub(due_ns));
        }
        self.in_flight -= 1;
        Ok(())
    }

    fn refill(&mut self, index: usize, now_ns: u64, out: &mut Vec<u8>) {
        let session = &mut self.sessions[index];
        while let Some(due_ns) = session.due.pop_front() {
            let start = out.len();
            out.extend_from_slice(&self.questions[index].frame);
            session.next_xid += 1;
            patch_xid(&mut out[start..], session.next_xid);
            session.unanswered.push_back(due_ns);
            self.in_flight += 1;
            self.late.record(now_ns.saturating_sub(due_ns));
        }
    }
}

/// Offers requests to the pool's sessions in turn. `watch` is called about every 10 ms with the
/// nanoseconds since the beginning.
pub fn run(
    pool: &mut Pool,
    questions: Vec<Question>,
    offer: Offer,
    mut watch: impl FnMut(u64) -> Result<()>,
) -> Result<OpenRun> {
    const WATCH_NS: u64 = 10_000_000;
    assert_eq!(questions.len(), pool.len(), "one question a session");
    let slots = offer.length_ns.div_ceil(SLOT_NS) as usize;
    let mut open = Open {
        sessions: questions.iter().map(|_| Session::default()).collect(),
        questions,
        slots: vec![Latencies::new(); slots],
        begin_ns: sys::now_ns(),
        in_flight: 0,
        late: Latencies::new(),
    };
    let (total, begin_ns) = (offer.count(), open.begin_ns);
    let (mut next, mut next_watch_ns, mut heard_ns) = (0, begin_ns, begin_ns);
    while next < total || open.in_flight > 0 {
        let now_ns = sys::now_ns();
        if now_ns >= next_watch_ns {
            watch(now_ns - begin_ns)?;
            next_watch_ns = now_ns + WATCH_NS;
        }
        let first = next;
        while next < total && begin_ns + offer.due_ns(next) <= now_ns {
            let session = offer.session(next, pool.len());
            open.sessions[session].due.push_back(begin_ns + offer.due_ns(next));
            next += 1;
        }
        let bursts = (next - first).div_ceil(offer.burst).min(pool.len() as u64);
        for burst in 0..bursts {
            let session = offer.session(first + burst * offer.burst, pool.len());
            pool.refill(session, sys::now_ns(), &mut open)?;
        }
        let due_ns = if next < total { begin_ns + offer.due_ns(next) } else { u64::MAX };
        let wake_ns = due_ns.min(next_watch_ns);
        if pool.poll(wake_ns.saturating_sub(sys::now_ns()), &mut open)? > 0 {
            heard_ns = sys::now_ns();
        } else if open.in_flight > 0 && sys::now_ns() > heard_ns + SILENCE_LIMIT_S * 1_000_000_000 {
            let what = "under open load".into();
            return Err(PerfError::Silent { seconds: SILENCE_LIMIT_S, what });
        }
    }
    Ok(OpenRun { slots: open.slots, late: open.late })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_evenly() {
        let offer = Offer { rate: 4000.0, length_ns: 500_000_000, burst: 1 };
        assert_eq!(offer.count(), 2000);
        assert_eq!(offer.due_ns(0), 0);
        assert_eq!(offer.due_ns(1), 250_000);
        assert_eq!(offer.due_ns(1999), 499_750_000);
        assert_eq!([offer.session(0, 64), offer.session(65, 64)], [0, 1]);
    }

    #[test]
    fn a_burst_is_due_at_once_on_one_session() {
        let offer = Offer { rate: 4000.0, length_ns: 500_000_000, burst: 16 };
        assert_eq!(offer.count(), 2000);
        assert_eq!(
            [0, 15, 16, 31, 32].map(|i| offer.due_ns(i)),
            [0, 0, 4_000_000, 4_000_000, 8_000_000]
        );
        assert_eq!([0, 15, 16, 64].map(|i| offer.session(i, 4)), [0, 0, 1, 0]);
    }

    #[test]
    fn slots_are_chosen_before_merging() {
        let mut slots = vec![Latencies::new(); 3];
        for (slot, ns) in [(0, 1_000), (1, 50_000_000), (2, 2_000)] {
            slots[slot].record(ns);
        }
        let run = OpenRun { slots, late: Latencies::new() };
        assert_eq!(run.merged(|slot| slot != 1).count(), 2);
        assert!(run.merged(|slot| slot != 1).max_us() < 3.0);
        assert!(run.merged(|_| true).max_us() > 49_000.0);
    }
}
