//! Virtual time and the queue of what is to happen.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A point of virtual time, or a span of it, in microseconds.
pub type Micros = u64;

/// A millisecond.
pub const MS: Micros = 1_000;
/// A second.
pub const SECOND: Micros = 1_000_000;

struct Due<E> {
    at: Micros,
    /// What was put in earlier comes first among what is due at the same time.
    order: u64,
    event: E,
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl<E> Eq for Due<E> {}
impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// What is to happen, by time.
pub struct Queue<E> {
    heap: BinaryHeap<Due<E>>,
    next_order: u64,
    now: Micros,
}

impl<E> Queue<E> {
    /// An empty queue at time 0.
    pub fn new() -> Queue<E> {
        Queue { heap: BinaryHeap::with_capacity(1024), next_order: 0, now: 0 }
    }

    /// The present.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Lets `event` happen at `at`, or now if that has passed.
    pub fn put(&mut self, at: Micros, event: E) {
        let order = self.next_order;
        self.next_order += 1;
        self.heap.push(Due { at: at.max(self.now), order, event });
    }

    /// Takes the next event and moves the present there.
    pub fn take(&mut self) -> Option<E> {
        let due = self.heap.pop()?;
        self.now = due.at;
        Some(due.event)
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Micros> {
        self.heap.peek().map(|due| due.at)
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_they_were_put() {
        let mut queue = Queue::new();
        for (at, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
            queue.put(at, event);
        }
        let order: String = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(order, "abcd");
        assert_eq!(queue.now(), 5);
        queue.put(1, 'e');
        assert_eq!((queue.take(), queue.now()), (Some('e'), 5));
    }
}
