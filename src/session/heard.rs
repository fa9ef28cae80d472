//! When each session was last heard from: written by shards, read by the core's expiry.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const CHUNK: usize = 4096;

/// One time a session, in monotonic milliseconds, addressed by the slot the registry gave it.
///
/// Chunks are made when first needed and never move, so a shard needs no more than a shared
/// reference. A shard touches its sessions' slots for everything they send, and once a pass for
/// those whose sockets it chose not to read: they count as heard.
///
/// Relaxed stores are enough: expiry is decided after the shard's pass clock said that a pass
/// completed, and that clock's Release and Acquire carry the touches of the pass with it.
#[derive(Debug)]
pub struct HeardSlots {
    chunks: Box<[OnceLock<Box<[AtomicU64]>>]>,
}

impl HeardSlots {
    /// Room for `slots_max` sessions; memory is taken as slots come into use.
    pub fn new(slots_max: usize) -> Self {
        Self { chunks: (0..slots_max.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect() }
    }

    /// Notes that a session was heard from. Times only go forward; slots not in use are ignored.
    ///
    /// A touch that comes late, for a session that is gone, can lengthen the life of the slot's
    /// next owner by one time-out; it cannot shorten it.
    pub fn touch(&self, slot: u32, now_ms: u64) {
        if let Some(heard) = self.slot(slot)
            && heard.load(Ordering::Relaxed) < now_ms
        {
            heard.store(now_ms, Ordering::Relaxed);
        }
    }

    /// When the slot's session was last heard from, 0 if never.
    pub fn last_ms(&self, slot: u32) -> u64 {
        self.slot(slot).map_or(0, |heard| heard.load(Ordering::Relaxed))
    }

    /// Makes a slot ready for a new owner; the registry does, before anybody is told the slot.
    pub(super) fn open(&self, slot: u32) {
        if let Some(chunk) = self.chunks.get(slot as usize / CHUNK) {
            chunk.get_or_init(|| (0..CHUNK).map(|_| AtomicU64::new(0)).collect());
        }
    }

    fn slot(&self, slot: u32) -> Option<&AtomicU64> {
        self.chunks.get(slot as usize / CHUNK)?.get()?.get(slot as usize % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_forward_and_unknown_slots_are_ignored() {
        let heard = HeardSlots::new(5000);
        heard.touch(4999, 7);
        assert_eq!(heard.last_ms(4999), 0, "not open yet");
        heard.open(4999);
        heard.touch(4999, 7);
        heard.touch(4999, 5);
        assert_eq!(heard.last_ms(4999), 7);
        heard.touch(u32::MAX, 9);
        assert_eq!(heard.last_ms(u32::MAX), 0);
    }
}
