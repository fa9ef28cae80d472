//! Waking a reactor: by a message to its ring from another reactor, by an eventfd from any thread.

use crate::lanes::Bell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Wakes one reactor. Can be made before the reactor is ([`super::ReactorConfig::waker`]), so that
/// residents can be given each other's wakers. Cheap to clone.
///
/// A wake is never lost and never sent twice: it makes the reactor go through a pass that begins
/// after the wake, and costs a system call only if the reactor sleeps.
#[derive(Clone)]
pub struct Waker(Arc<Inner>);

struct Inner {
    bell: Bell,
    stop: AtomicBool,
    /// The reactor's ring has a read of it pending.
    event: OwnedFd,
    /// A duplicate of the reactor's ring descriptor, so that the number cannot become another
    /// file's while a waker still sends to it.
    ring: OnceLock<OwnedFd>,
}

impl Waker {
    /// A waker for a reactor that is still to be spawned. Wakes before that are kept.
    ///
    /// # Errors
    /// When there is no descriptor left for the eventfd.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no memory is involved; the result is checked.
        // Blocking on purpose: a read through a ring of a non-blocking one fails instead of waiting.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if event < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else has it.
        let event = unsafe { OwnedFd::from_raw_fd(event) };
        let ring = OnceLock::new();
        Ok(Self(Arc::new(Inner { bell: Bell::new(), stop: AtomicBool::new(false), event, ring })))
    }

    /// Wakes the reactor, from any thread. From a reactor prefer [`super::Io::wake`], which sends
    /// one wake a pass and through the ring.
    pub fn wake(&self) {
        if self.0.bell.ring() {
            self.write_event();
        }
    }

    /// Asks the reactor to end: it stops accepting, closes its connections, waits for its writes.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether [`stop`](Self::stop) was called.
    pub fn is_stopping(&self) -> bool {
        self.0.stop.load(Ordering::Acquire)
    }

    /// The bell itself: for the loop that owns this waker, and for whoever stands in for one.
    pub fn bell(&self) -> &Bell {
        &self.0.bell
    }

    /// Writes the eventfd whatever the bell says.
    pub(super) fn write_event(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: writes 8 bytes out of a live array to a descriptor that self holds open. It can
        // fail only when the counter is full, and then the reader is due to wake anyway.
        unsafe { libc::write(self.0.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    pub(super) fn event_fd(&self) -> RawFd {
        self.0.event.as_raw_fd()
    }

    /// The ring to send messages to; `None` before the reactor runs.
    pub(super) fn ring_fd(&self) -> Option<RawFd> {
        self.0.ring.get().map(OwnedFd::as_raw_fd)
    }

    /// Called by the reactor when its ring exists. One reactor a waker.
    pub(super) fn bind(&self, ring: BorrowedFd<'_>) -> io::Result<()> {
        let ring = ring.try_clone_to_owned()?;
        self.0.ring.set(ring).map_err(|_| {
            io::Error::new(io::ErrorKind::AlreadyExists, "this waker belongs to another reactor")
        })
    }
}

impl PartialEq for Waker {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Waker {}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waker(eventfd {}, {:?})", self.event_fd(), self.0.bell)
    }
}
