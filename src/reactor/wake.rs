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
    /// The reactor's ring has a read of it pending, which ends a wait in that ring.
    event: OwnedFd,
    /// What the reactor awaits while it is parked in the executor; its ring writes it as well. A
    /// thread must write both: the write of one that the kernel makes in consequence of the other's
    /// is put off for an RCU grace period (many milliseconds), for fear of loops.
    park_event: OwnedFd,
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
        Ok(Self(Arc::new(Inner {
            bell: Bell::new(),
            stop: AtomicBool::new(false),
            event: eventfd()?,
            park_event: eventfd()?,
            ring: OnceLock::new(),
        })))
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

    /// Writes the eventfds whatever the bell says.
    pub(super) fn write_event(&self) {
        add(self.0.event.as_raw_fd(), 1);
        add(self.0.park_event.as_raw_fd(), 1);
    }

    /// Adds to what the parked reactor reads.
    pub(super) fn write_park_event(&self, value: u64) {
        add(self.0.park_event.as_raw_fd(), value);
    }

    /// What to await while parked.
    pub(super) fn park_event(&self) -> io::Result<OwnedFd> {
        self.0.park_event.try_clone()
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

fn eventfd() -> io::Result<OwnedFd> {
    // Blocking on purpose: a read through a ring of a non-blocking one fails instead of waiting.
    // SAFETY: no memory is involved; the result is checked.
    let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if event < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(event) })
}

fn add(event: RawFd, value: u64) {
    let value = value.to_ne_bytes();
    // SAFETY: writes 8 bytes out of a live array to a descriptor that the caller holds open. It can
    // fail only when the counter is full, and then the reader is due to wake anyway.
    unsafe { libc::write(event, value.as_ptr().cast(), value.len()) };
}
