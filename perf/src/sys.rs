//! The few system calls that the standard library does not offer: epoll, pinning, process clocks.
//!
//! Owns every line of `unsafe` of the load generator except that of the disk probe's ring
//! (`disk.rs`). It knows nothing of ZooKeeper and nothing of measuring.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// What a descriptor is watched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// Readable only.
    Read,
    /// Readable or writable: used while bytes are waiting for room in the socket.
    ReadWrite,
}

/// One readiness report.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The token given when the descriptor was added.
    pub token: usize,
    /// There is room for output.
    pub writable: bool,
    /// There is input, an end of stream or an error; reading tells which.
    pub readable: bool,
}

/// A level-triggered epoll set.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// An empty set that reports at most `batch` descriptors a wait.
    pub fn new(batch: usize) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was just made and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; batch.max(1)] })
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: RawFd,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        let mut flags = libc::EPOLLIN as u32;
        if interest == Interest::ReadWrite {
            flags |= libc::EPOLLOUT as u32;
        }
        let mut event = libc::epoll_event { events: flags, u64: token as u64 };
        // SAFETY: `event` lives across the call, and the kernel copies it.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &mut event) })?;
        Ok(())
    }

    /// Adds a descriptor; closing it removes it.
    pub fn add(&self, fd: RawFd, token: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Changes what a descriptor is watched for.
    pub fn modify(&self, fd: RawFd, token: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Takes a descriptor out without closing it.
    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest::Read)
    }

    /// Waits at most `timeout_ns` and returns how many reports [`Epoll::ready`] holds.
    pub fn wait(&mut self, timeout_ns: u64) -> io::Result<usize> {
        let timeout = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
        };
        // SAFETY: the event array is as long as we say, and it and `timeout` live across the call.
        let found = unsafe {
            libc::epoll_pwait2(
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as libc::c_int,
                &timeout,
                std::ptr::null(),
            )
        };
        match check(found) {
            Ok(found) => Ok(found as usize),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The report at `index`, below what the last wait returned.
    pub fn ready(&self, index: usize) -> Ready {
        let event = self.events[index];
        let readable = libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLRDHUP;
        Ready {
            token: event.u64 as usize,
            writable: event.events & libc::EPOLLOUT as u32 != 0,
            readable: event.events & readable as u32 != 0,
        }
    }
}

fn read_clock(clock: libc::clockid_t) -> io::Result<u64> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` lives across the call.
    check(unsafe { libc::clock_gettime(clock, &mut now) })?;
    Ok(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// Nanoseconds of the monotonic clock.
pub fn now_ns() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC).expect("the monotonic clock always answers")
}

/// CPU time of the calling thread in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    read_clock(libc::CLOCK_THREAD_CPUTIME_ID).expect("the thread's own clock always answers")
}

/// CPU time (user and system, all threads, ended ones too) of a process, in nanoseconds.
///
/// This is the scheduler's own account, not the 10 ms ticks that `/proc/PID/stat` rounds to.
pub fn process_cpu_ns(pid: u32) -> io::Result<u64> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` lives across the call.
    let error = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    read_clock(clock)
}

/// Binds the calling thread, and what it starts from now on, to these CPUs.
pub fn pin_thread(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is a valid empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus {
        if cpu >= libc::CPU_SETSIZE as usize {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no CPU {cpu}")));
        }
        // SAFETY: `cpu` is below CPU_SETSIZE, so the bit lies inside the set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: the set lives across the call and its true size is given.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) })?;
    Ok(())
}

/// Wake-ups of this thread come when asked, not up to 50 µs later as by default.
pub fn sharpen_timers() -> io::Result<()> {
    // SAFETY: this prctl takes plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) })?;
    Ok(())
}

/// Raises the limit of open descriptors to what is allowed and returns it.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives across the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` lives across the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

/// Sends a signal to a process we started.
pub fn signal(pid: u32, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: kill takes plain numbers.
    check(unsafe { libc::kill(pid as libc::pid_t, signal) })?;
    Ok(())
}

/// The child is killed when the thread that starts it ends, so that an aborted measurement leaves
/// no server behind.
pub fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes one async-signal-safe call, no allocation.
    unsafe {
        command.pre_exec(|| {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong))?;
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_clock_counts_work_done_here() {
        let before = process_cpu_ns(std::process::id()).unwrap();
        let thread_before = thread_cpu_ns();
        let mut sum = 0u64;
        while thread_cpu_ns() - thread_before < 2_000_000 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        let used = process_cpu_ns(std::process::id()).unwrap() - before;
        assert!(used >= 2_000_000, "two milliseconds were burnt, {used} ns were counted");
    }

    #[test]
    fn a_process_that_is_gone_has_no_clock() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(process_cpu_ns(child.id()).is_err());
    }

    #[test]
    fn an_impossible_cpu_is_refused() {
        assert!(pin_thread(&[1_000_000]).is_err());
    }

    #[test]
    fn epoll_reports_what_was_asked_for() {
        use std::io::Write;
        let (mut a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut epoll = Epoll::new(4).unwrap();
        epoll.add(b.as_raw_fd(), 7, Interest::Read).unwrap();
        assert_eq!(epoll.wait(0).unwrap(), 0);
        a.write_all(b"x").unwrap();
        assert_eq!(epoll.wait(1_000_000_000).unwrap(), 1);
        let ready = epoll.ready(0);
        assert_eq!((ready.token, ready.readable, ready.writable), (7, true, false));
        epoll.modify(b.as_raw_fd(), 8, Interest::ReadWrite).unwrap();
        assert_eq!(epoll.wait(1_000_000_000).unwrap(), 1);
        let ready = epoll.ready(0);
        assert_eq!((ready.token, ready.readable, ready.writable), (8, true, true));
    }
}
