//! A hashed timing wheel: many deadlines, few looks at each.

/// Milliseconds a turn of the wheel by one bucket; expiry is late by less than this.
const TICK_MS: u64 = 8;
/// With 8 ms each, a turn is 65 s: deadlines beyond are looked at once a turn.
const BUCKETS: usize = 8192;
const NONE: u32 = u32::MAX;

/// What to do with a slot whose deadline came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The deadline has moved (or is to be looked at again) to this time.
    Again {
        /// In the wheel's milliseconds; times that have passed mean as soon as possible.
        at_ms: u64,
    },
    /// Take the slot out.
    Done,
}

/// Deadlines by slot, in buckets of a few milliseconds, each a list threaded through the slots.
///
/// Setting, moving and removing is O(1) and allocates only as the highest slot grows. Deadlines that
/// are moved often need not be told: leave them, and answer the look with the real one.
#[derive(Debug)]
pub struct Wheel {
    heads: Box<[u32]>,
    /// By slot.
    nodes: Vec<Node>,
    /// The first tick that is not finished.
    tick: u64,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    deadline_ms: u64,
    next: u32,
    prev: u32,
    /// The bucket it is in, or `NONE`.
    bucket: u32,
}

const ABSENT: Node = Node { deadline_ms: 0, next: NONE, prev: NONE, bucket: NONE };

impl Wheel {
    /// An empty wheel that stands at `now_ms`, with room for slots below `slots`.
    pub fn new(now_ms: u64, slots: usize) -> Self {
        Self {
            heads: vec![NONE; BUCKETS].into(),
            nodes: Vec::with_capacity(slots),
            tick: now_ms / TICK_MS,
            len: 0,
        }
    }

    /// How many slots have a deadline.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no slot has a deadline.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets or moves the deadline of a slot.
    pub fn set(&mut self, slot: u32, deadline_ms: u64) {
        self.remove(slot);
        if self.nodes.len() <= slot as usize {
            self.nodes.resize(slot as usize + 1, ABSENT);
        }
        let last = self.tick + BUCKETS as u64 - 1;
        let tick = (deadline_ms / TICK_MS).clamp(self.tick, last);
        let bucket = (tick % BUCKETS as u64) as u32;
        let next = std::mem::replace(&mut self.heads[bucket as usize], slot);
        if let Some(next) = self.nodes.get_mut(next as usize) {
            next.prev = slot;
        }
        self.nodes[slot as usize] = Node { deadline_ms, next, prev: NONE, bucket };
        self.len += 1;
    }

    /// Takes a slot's deadline away, if it has one.
    pub fn remove(&mut self, slot: u32) {
        let Some(node) = self.nodes.get_mut(slot as usize) else {
            return;
        };
        let node = std::mem::replace(node, ABSENT);
        if node.bucket == NONE {
            return;
        }
        match self.nodes.get_mut(node.prev as usize) {
            Some(prev) => prev.next = node.next,
            None => self.heads[node.bucket as usize] = node.next,
        }
        if let Some(next) = self.nodes.get_mut(node.next as usize) {
            next.prev = node.prev;
        }
        self.len -= 1;
    }

    /// Turns the wheel to `now_ms` and has every slot looked at whose deadline is not after it, at
    /// the latest once a tick has passed since, in no particular order. After `looks_max` looks it
    /// stops and says false; the rest comes with the next call.
    pub fn turn(
        &mut self,
        now_ms: u64,
        looks_max: usize,
        mut look: impl FnMut(u32, u64) -> Look,
    ) -> bool {
        let mut looks = 0;
        let now_tick = now_ms / TICK_MS;
        while self.tick < now_tick {
            if self.len == 0 {
                self.tick = now_tick;
                break;
            }
            let bucket = (self.tick % BUCKETS as u64) as usize;
            // What is set during this goes into other buckets: not before `now_ms` (below), hence
            // in a later tick, and at most a turn less one ahead.
            while let Some(&node) = self.nodes.get(self.heads[bucket] as usize) {
                if looks == looks_max {
                    return false;
                }
                looks += 1;
                let slot = self.heads[bucket];
                if node.deadline_ms > now_ms {
                    self.set_later(slot, node.deadline_ms, now_ms);
                    continue;
                }
                match look(slot, node.deadline_ms) {
                    Look::Again { at_ms } => self.set_later(slot, at_ms, now_ms),
                    Look::Done => self.remove(slot),
                }
            }
            self.tick += 1;
        }
        true
    }

    /// When [`turn`](Self::turn) should be called next, if nothing changes and it is not after
    /// `until_ms`; looks no further than that.
    pub fn next_turn_ms(&self, until_ms: u64) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let last = (until_ms / TICK_MS).min(self.tick + BUCKETS as u64 - 1);
        (self.tick..=last)
            .find(|tick| self.heads[(tick % BUCKETS as u64) as usize] != NONE)
            .map(|tick| (tick + 1) * TICK_MS)
    }

    fn set_later(&mut self, slot: u32, at_ms: u64, now_ms: u64) {
        self.set(slot, at_ms.max(now_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn due(wheel: &mut Wheel, now_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        assert!(wheel.turn(now_ms, usize::MAX, |slot, _| {
            due.push(slot);
            Look::Done
        }));
        due.sort_unstable();
        due
    }

    #[test]
    fn nothing_is_early_and_nothing_later_than_a_tick() {
        let mut wheel = Wheel::new(1000, 0);
        wheel.set(3, 5003);
        assert_eq!(wheel.next_turn_ms(6000), Some(5008));
        assert_eq!(wheel.next_turn_ms(4000), None);
        assert!(due(&mut wheel, 5002).is_empty());
        assert_eq!(due(&mut wheel, 5003 + TICK_MS), [3]);
        assert!(wheel.is_empty());
        assert_eq!(wheel.next_turn_ms(u64::MAX), None);
    }

    #[test]
    fn deadlines_beyond_a_turn_wait_for_theirs() {
        let turn = TICK_MS * BUCKETS as u64;
        let mut wheel = Wheel::new(0, 0);
        wheel.set(0, 10 * turn);
        for now in (0..10 * turn).step_by(turn as usize / 3) {
            assert!(due(&mut wheel, now).is_empty());
        }
        assert_eq!(due(&mut wheel, 10 * turn + TICK_MS), [0]);
    }

    #[test]
    fn a_jump_of_many_turns_finds_all() {
        let mut wheel = Wheel::new(0, 0);
        (0..100).for_each(|slot| wheel.set(slot, u64::from(slot) * 1000));
        assert_eq!(due(&mut wheel, 10_000_000).len(), 100);
    }

    #[test]
    fn looks_are_bounded_and_go_on_where_they_stopped() {
        let mut wheel = Wheel::new(0, 0);
        (0..10).for_each(|slot| wheel.set(slot, 5));
        let mut seen = Vec::new();
        let mut rounds = 0;
        loop {
            rounds += 1;
            let all = wheel.turn(100, 4, |slot, _| {
                seen.push(slot);
                if slot == 0 { Look::Again { at_ms: 0 } } else { Look::Done }
            });
            if all {
                break;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        assert_eq!((rounds, wheel.len()), (3, 1));
    }

    #[derive(Debug, Clone)]
    enum Op {
        Set(u32, u64),
        Touch(u32, u64),
        Remove(u32),
        Turn(u64),
    }

    fn ops() -> impl Strategy<Value = Op> {
        let after = prop_oneof![0u64..200, 0u64..200_000];
        prop_oneof![
            4 => (0u32..20, after.clone()).prop_map(|(s, d)| Op::Set(s, d)),
            2 => (0u32..20, after.clone()).prop_map(|(s, d)| Op::Touch(s, d)),
            1 => (0u32..20).prop_map(Op::Remove),
            4 => after.prop_map(Op::Turn),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn behaves_as_a_list_of_deadlines(
            start in 0u64..100_000,
            ops in prop::collection::vec(ops(), 0..150),
        ) {
            let mut now = start;
            let mut wheel = Wheel::new(now, 0);
            // The real deadlines, which touches move without the wheel being told.
            let mut real: BTreeMap<u32, u64> = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Set(slot, after) => {
                        wheel.set(slot, now + after);
                        real.insert(slot, now + after);
                    }
                    Op::Touch(slot, after) => {
                        if let Some(deadline) = real.get_mut(&slot) {
                            *deadline += after;
                        }
                    }
                    Op::Remove(slot) => {
                        wheel.remove(slot);
                        real.remove(&slot);
                    }
                    Op::Turn(by) => {
                        now += by;
                        let before = real.clone();
                        let mut expired = Vec::new();
                        wheel.turn(now, usize::MAX, |slot, _| match before[&slot] {
                            at_ms if at_ms > now => Look::Again { at_ms },
                            _ => {
                                expired.push(slot);
                                Look::Done
                            }
                        });
                        for slot in expired {
                            real.remove(&slot);
                        }
                        let finished = now / TICK_MS * TICK_MS;
                        prop_assert!(real.values().all(|deadline| *deadline >= finished));
                    }
                }
                prop_assert_eq!(wheel.len(), real.len());
                if let Some(first) = real.values().min() {
                    let next = wheel.next_turn_ms(u64::MAX);
                    let first_turn = (first.max(&now) / TICK_MS + 1) * TICK_MS;
                    prop_assert!(next.is_some_and(|next| next <= first_turn));
                }
            }
        }
    }
}
