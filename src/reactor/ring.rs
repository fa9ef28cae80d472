//! The io_uring instance: queueing, entering, reaping. Knows nothing of sockets or residents.

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, squeue};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// What a completion belongs to; the top byte of its user data.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Completions nobody waits for: failed cancellations and the like.
    Ignore = 0,
    Accept,
    Recv,
    /// A send that does not wait; completes visibly only if not all bytes fitted.
    Send,
    /// A send that waits until the socket has taken everything.
    SendWait,
    Disk,
    /// A message from another ring.
    Wake,
    /// A message of ours that could not be delivered.
    WakeFailed,
    /// Our eventfd was written by an ordinary thread.
    Event,
    Timeout,
}

impl Kind {
    const ALL: [Kind; 10] = [
        Kind::Ignore,
        Kind::Accept,
        Kind::Recv,
        Kind::Send,
        Kind::SendWait,
        Kind::Disk,
        Kind::Wake,
        Kind::WakeFailed,
        Kind::Event,
        Kind::Timeout,
    ];

    /// User data: kind, 24 bits of generation, index.
    pub(super) fn user_data(self, generation: u32, index: u32) -> u64 {
        (self as u64) << 56 | u64::from(generation & 0xff_ffff) << 32 | u64::from(index)
    }

    pub(super) fn of(user_data: u64) -> Kind {
        Self::ALL.get((user_data >> 56) as usize).copied().unwrap_or(Kind::Ignore)
    }
}

pub(super) struct Ring {
    ring: IoUring,
    /// What did not fit the submission queue, in order.
    spill: VecDeque<squeue::Entry>,
    /// System calls made, for the counters.
    pub(super) enters: u64,
}

impl Ring {
    /// Makes the ring. It belongs to the calling thread from here on.
    pub(super) fn new(submissions: u32, completions: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_cqsize(completions)
            .setup_clamp()
            // A bad entry must not hold back those behind it.
            .setup_submit_all()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .build(submissions)?;
        let params = ring.params();
        if !(params.is_feature_skip_cqe_on_success()
            && params.is_feature_ext_arg()
            && params.is_feature_nodrop())
        {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this kernel's io_uring lacks features that ringkeeper needs (Linux 6.1 has them)",
            ));
        }
        Ok(Self { ring, spill: VecDeque::new(), enters: 0 })
    }

    /// Queues an operation.
    ///
    /// # Safety
    /// What the entry points to must stay where it is until its completion was reaped (operations
    /// that skip their completion: until they are known to have ended).
    pub(super) unsafe fn push(&mut self, entry: squeue::Entry) {
        if self.spill.is_empty() {
            // SAFETY: the caller's promise.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            // The queue is full: hand it to the kernel. What completes waits to be reaped.
            let _ = self.submit(0);
            // SAFETY: the caller's promise.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
        }
        self.spill.push_back(entry);
    }

    /// Operations queued and not yet given to the kernel.
    pub(super) fn queued(&mut self) -> usize {
        self.ring.submission().len() + self.spill.len()
    }

    /// Whether completions wait: reaped-to-be, or as work the kernel has deferred to our next enter.
    pub(super) fn has_work(&mut self) -> bool {
        !self.ring.completion().is_empty() || self.has_deferred()
    }

    /// Whether the kernel holds work or completions that only an enter brings forth.
    pub(super) fn has_deferred(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Whether completions did not fit the completion queue.
    pub(super) fn has_overflow(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Gives everything queued to the kernel and runs what it had deferred. Does not wait.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        self.submit(EnterFlags::GETEVENTS.bits())?;
        self.unspill()
    }

    /// The same, and waits for so many completions, at most so long. Returns at once if they are there.
    pub(super) fn enter_and_wait(&mut self, wait: Duration, completions: u32) -> io::Result<()> {
        if !self.spill.is_empty() {
            return self.enter();
        }
        let queued = self.ring.submission().len() as u32;
        let wait = Timespec::from(wait);
        let args = SubmitArgs::new().timespec(&wait);
        let flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        self.enters += 1;
        // SAFETY: SubmitArgs is what EXT_ARG says it is, and outlives the call.
        tolerate(unsafe {
            self.ring.submitter().enter(queued, completions, flags.bits(), Some(&args))
        })
    }

    fn submit(&mut self, flags: u32) -> io::Result<()> {
        let queued = self.ring.submission().len() as u32;
        self.enters += 1;
        // SAFETY: no argument is passed, as the flags say.
        tolerate(unsafe { self.ring.submitter().enter::<()>(queued, 0, flags, None) })
    }

    fn unspill(&mut self) -> io::Result<()> {
        while !self.spill.is_empty() {
            let before = self.spill.len();
            while let Some(entry) = self.spill.front() {
                // SAFETY: promised by whoever called push with this entry.
                if unsafe { self.ring.submission().push(entry) }.is_err() {
                    break;
                }
                self.spill.pop_front();
            }
            if self.spill.len() == before {
                // The kernel takes nothing more now (short of memory); the next enter tries again.
                break;
            }
            self.submit(EnterFlags::GETEVENTS.bits())?;
        }
        Ok(())
    }

    /// Takes all completions that are there now.
    pub(super) fn completions(&mut self) -> cqueue::CompletionQueue<'_> {
        self.ring.completion()
    }

    /// Keeps files open as long as the ring has operations: it outlives the process until all have ended.
    pub(super) fn hold_files(&self, files: &[OwnedFd]) -> io::Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let files: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        self.ring.submitter().register_files(&files)
    }

    /// Has the kernel write `event` for completions while notification is on; it starts off.
    pub(super) fn register_event(&mut self, event: RawFd) -> io::Result<()> {
        self.ring.submitter().register_eventfd(event)?;
        self.ring.completion().disable_eventfd();
        Ok(())
    }

    pub(super) fn set_notification(&mut self, on: bool) {
        if on {
            self.ring.completion().enable_eventfd();
        } else {
            self.ring.completion().disable_eventfd();
        }
    }

    /// # Safety
    /// As `io_uring_register(2)`: the memory must stay as long as the ring.
    pub(super) unsafe fn register_buffers(&self, address: u64, entries: u16) -> io::Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.ring.submitter().register_buf_ring_with_flags(address, entries, 0, 0) }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as self, which the result borrows.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }
}

/// An interrupted, timed-out or presently impossible enter is nobody's error: the loop comes again.
fn tolerate(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINTR | libc::ETIME | libc::EAGAIN | libc::EBUSY) => Ok(()),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use io_uring::opcode;

    #[test]
    fn a_file_that_is_held_stays_open_with_the_ring() {
        let (read, write) = std::io::pipe().unwrap();
        let ring = Ring::new(4, 8).unwrap();
        ring.hold_files(&[write.into()]).unwrap();
        let mut poll = libc::pollfd { fd: read.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd, as told.
        assert_eq!(unsafe { libc::poll(&mut poll, 1, 0) }, 0, "the other end is open");
        drop(ring);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::poll(&mut poll, 1, 20_000) }, 1);
        assert_eq!(poll.revents, libc::POLLHUP);
    }

    #[test]
    fn user_data_carries_its_kind() {
        for kind in Kind::ALL {
            let data = kind.user_data(u32::MAX, u32::MAX);
            assert_eq!((Kind::of(data), data as u32), (kind, u32::MAX));
        }
        assert_eq!(Kind::of(u64::MAX), Kind::Ignore);
    }

    #[test]
    fn more_operations_than_the_queue_holds_all_complete_in_order() {
        let mut ring = Ring::new(4, 8).unwrap();
        for index in 0..100 {
            let entry = opcode::Nop::new().build().user_data(Kind::Disk.user_data(0, index));
            // SAFETY: a nop points to nothing.
            unsafe { ring.push(entry) };
        }
        let mut seen = Vec::new();
        while seen.len() < 100 {
            ring.enter().unwrap();
            seen.extend(ring.completions().map(|cqe| cqe.user_data() as u32));
        }
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        assert_eq!(ring.queued(), 0);
    }
}
