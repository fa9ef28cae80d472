//! Who sleeps, and who must wake it.
//!
//! [`Parked`] is the bare flag of the protocol "set the flag, fence, look again; push, fence, test
//! the flag": the sleeper itself looks into its queues. [`Bell`] also remembers that it was rung
//! while the sleeper was awake, so that a wake is never lost whatever the sleeper looked at.

use super::sync::{AtomicBool, AtomicU8, Ordering, fence};

/// The flag pair of a sleeper that looks into its queues itself.
///
/// The sleeper: [`prepare`](Self::prepare), look into every queue once more, then either sleep or
/// [`cancel`](Self::cancel). A waker: push, then [`must_wake`](Self::must_wake). Either the sleeper's
/// second look sees the push, or the waker sees the flag: the two fences forbid that both miss.
#[derive(Debug, Default)]
pub struct Parked(AtomicBool);

impl Parked {
    /// A sleeper that is awake.
    pub fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Says that the caller is about to sleep. It must look for work once more after this.
    pub fn prepare(&self) {
        self.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Says that the caller is awake: it found work after all, or it has woken up.
    pub fn cancel(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// After a push: true for exactly one of all wakers if the sleeper sleeps. That one wakes it.
    pub fn must_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        // The plain load first keeps the line shared while the sleeper is awake, the usual case.
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }

    /// Whether the sleeper says it sleeps. For counters; decide with [`must_wake`](Self::must_wake).
    pub fn is_parked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

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
