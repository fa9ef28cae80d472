//! Who sleeps, and who must wake it.
//!
//! A [`Bell`] remembers that it was rung while the sleeper was awake, so that a wake is never lost whatever the sleeper
//! looked at.

use super::sync::{AtomicU8, Ordering};

const AWAKE: u8 = 0;
const RUNG: u8 = 1;
const ASLEEP: u8 = 2;

/// A doorbell: ringing it makes its owner go through one more pass that begins after the ring.
#[derive(Debug, Default)]
pub struct Bell(AtomicU8);

impl Bell {
    /// A bell whose owner is awake.
    pub fn new() -> Self {
        Self(AtomicU8::new(AWAKE))
    }

    /// Rings. True for exactly one ringer if the owner sleeps: that one must wake it. Everything
    /// written before the ring is visible to the owner's next pass.
    pub fn ring(&self) -> bool {
        self.0.swap(RUNG, Ordering::AcqRel) == ASLEEP
    }

    /// The owner begins a pass: forgets the rings so far, whose causes this pass will see.
    /// True if there was one.
    pub fn begin_pass(&self) -> bool {
        self.0.load(Ordering::Relaxed) == RUNG && self.0.swap(AWAKE, Ordering::AcqRel) == RUNG
    }

    /// The owner wants to sleep. False: it was rung since its pass began, and must make another.
    pub fn try_sleep(&self) -> bool {
        self.0.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The owner is awake again, whoever woke it. A ring that came in between is kept.
    pub fn wake_up(&self) {
        // Fails only if the bell was rung, and then the ring must stay to be seen by begin_pass.
        let _ = self.0.compare_exchange(ASLEEP, AWAKE, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether it was rung and no pass has begun since. For polling before going to sleep.
    pub fn is_rung(&self) -> bool {
        self.0.load(Ordering::Acquire) == RUNG
    }
}
