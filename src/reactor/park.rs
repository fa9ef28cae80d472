//! The life of the loop: passes while there is work, then polling, then waiting in the own ring,
//! then parking through the executor.
//!
//! The executor is glommio's, whose parking has two traps. It can park over runnable tasks, so a
//! coarse timer is always armed and makes the loop look for itself. And a task that never awaits
//! real I/O keeps its timers from firing, so a busy loop reads a byte of `/dev/null` now and then.

use super::config::{ReactorConfig, ReactorStats};
use super::pass::Reactor;
use super::ring::Kind;
use super::{LogFile, PassClock, Resident, Turn, Waker, monotonic_ns};
use glommio::io::BufferedFile;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use io_uring::{opcode, types};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How long to wait in the own ring before parking through the executor: a request that comes
/// within this time is answered without that detour, which costs some 60 µs of CPU.
const WAIT_NS: u64 = 200_000;
/// The wait grows to this while parks are short, as with one client that thinks for a millisecond.
/// It is also how long the executor's other tasks may have to wait.
const WAIT_NS_MAX: u64 = 2_000_000;
/// A park that ends with work this soon was hardly worth it.
const SHORT_PARK_NS: u64 = 4_000_000;
/// How often a busy loop lets the executor look at its own rings.
const TICK_NS: u64 = 2_000_000;
/// The coarse timer: bounds a lost wake, and how old the pass clock of an idle reactor gets.
const COARSE: Duration = Duration::from_millis(100);
/// Buffers give their memory back when this many coarse rounds in a row had nothing to do.
const QUIET_ROUNDS: u32 = 5;
/// What the coarse timer adds to the eventfd, where the ring adds 1: so the sum tells who rang.
const COARSE_MARK: u64 = 1 << 32;
/// Up to so many queued operations are submitted by the very call that waits.
const SUBMIT_AND_WAIT_MAX: usize = 8;
/// How long a stopping reactor waits for the kernel to let go of everything.
const STOP_NS_MAX: u64 = 10_000_000_000;
/// Memory glommio locks for its own files, bytes. Its default, 10 MiB, exceeds common limits.
const EXECUTOR_IO_BYTES: usize = 64 << 10;

/// A running reactor.
pub struct Handle {
    /// Wakes it, stops it.
    pub waker: Waker,
    /// How far it has looked at its sockets.
    pub clock: Arc<PassClock>,
    /// What it counts.
    pub stats: Arc<ReactorStats>,
    thread: ExecutorJoinHandle<io::Result<()>>,
}

impl Handle {
    /// Asks it to end: no more accepts, connections closed once flushed, writes completed.
    pub fn stop(&self) {
        self.waker.stop();
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What made the reactor end other than by being stopped.
    pub fn join(self) -> io::Result<()> {
        self.thread.join().map_err(|error| io::Error::other(error.to_string()))?
    }
}

/// Starts a reactor on a thread of its own and returns when its ring is ready. The resident is made
/// on that thread.
///
/// # Errors
/// When the thread or its ring cannot be made: the text says which limit or permission is missing.
pub fn spawn<R, F>(mut cfg: ReactorConfig, make: F) -> io::Result<Handle>
where
    R: Resident<File = LogFile> + 'static,
    F: FnOnce() -> R + Send + 'static,
{
    let waker = match cfg.waker.take() {
        Some(waker) => waker,
        None => Waker::new()?,
    };
    let clock = cfg.clock.take().unwrap_or_default();
    let stats = cfg.stats.take().unwrap_or_default();
    let (ready, is_ready) = mpsc::sync_channel::<io::Result<()>>(1);
    let placement = cfg.cpu.map_or(Placement::Unbound, Placement::Fixed);
    let (own, its_clock, its_stats) = (waker.clone(), clock.clone(), stats.clone());
    let thread = LocalExecutorBuilder::new(placement)
        .name(&cfg.name)
        .io_memory(EXECUTOR_IO_BYTES)
        .spawn(move || async move {
            match Reactor::new(&mut cfg, own, its_clock, its_stats, make) {
                Ok(reactor) => {
                    let _ = ready.send(Ok(()));
                    let result = live(reactor, &cfg).await;
                    if let Err(error) = &result {
                        tracing::error!(reactor = cfg.name, %error, "the reactor has failed");
                    }
                    result
                }
                Err(error) => {
                    let _ = ready.send(Err(explain(error)));
                    Ok(())
                }
            }
        })
        .map_err(|error| explain(io::Error::other(error.to_string())))?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(Handle { waker, clock, stats, thread }),
        Ok(Err(error)) => {
            let _ = thread.join();
            Err(error)
        }
        // The executor itself could not start; joining tells why.
        Err(_) => Err(match thread.join() {
            Err(error) => explain(io::Error::other(error.to_string())),
            Ok(_) => io::Error::other("the reactor's thread ended before it began"),
        }),
    }
}

fn explain(error: io::Error) -> io::Error {
    let said = error.to_string();
    let text = if said.contains("MemLockLimit") || error.raw_os_error() == Some(libc::ENOMEM) {
        format!(
            "{said}: too little memory may be locked; every thread needs 512 KiB of it (ulimit -l)"
        )
    } else if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
        format!("{said}; allow more of them (ulimit -n)")
    } else if said.contains("CPU") {
        format!("{said} (ringkeeper.cores names the CPUs)")
    } else {
        format!(
            "{said} (it needs io_uring of Linux 6.1 or later, not disabled by kernel.io_uring_disabled \
             or a seccomp filter)"
        )
    };
    io::Error::new(error.kind(), text)
}

/// The ring's time-out, for deadlines while parked.
#[derive(Default)]
pub(super) struct Timer {
    /// Read by the kernel when the entry is submitted, and not after.
    until: Box<types::Timespec>,
    armed_until_ns: Option<u64>,
}

impl Timer {
    pub(super) fn fired(&mut self) {
        self.armed_until_ns = None;
    }
}

/// What to do when there is nothing to do.
enum Rest {
    /// There is something, after all.
    Work,
    /// Still nothing; the bell says we sleep, and the resident agreed to it.
    Park,
}

/// Linux lets a thread's timers be 50 µs late by default, as long as what it gathers arrivals for.
const TIMER_SLACK_NS: libc::c_ulong = 5_000;

async fn live<R: Resident<File = LogFile>>(
    mut reactor: Reactor<R>,
    cfg: &ReactorConfig,
) -> io::Result<()> {
    // SAFETY: sets a number of the calling thread; nothing points anywhere. If it fails, waits are a little longer.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, TIMER_SLACK_NS) };
    let idle = Park::new(&mut reactor).await?;
    let mut tick_ns = monotonic_ns();
    let mut give_up_ns = None;
    // The last park ended with nothing to do: back to it without another wait.
    let (mut quiet, mut quiet_rounds) = (false, 0);
    let mut wait_ns = WAIT_NS;
    loop {
        let turn = reactor.pass();
        let now_ns = reactor.driver.now_ns;
        if reactor.driver.stopping {
            let give_up_ns = *give_up_ns.get_or_insert(now_ns + STOP_NS_MAX);
            if reactor.has_ended() || now_ns > give_up_ns {
                break;
            }
        }
        if now_ns.saturating_sub(tick_ns) >= TICK_NS {
            tick_ns = now_ns;
            reactor.publish_counts();
            reactor.enter()?;
            idle.let_executor_run().await?;
            continue;
        }
        let (deadline_ns, soon_ns) = match turn {
            Turn::Idle { deadline_ns } if !reactor.driver.has_pending() => (deadline_ns, 0),
            Turn::Soon { poll_until_ns, deadline_ns } if !reactor.driver.has_pending() => {
                (deadline_ns, poll_until_ns.saturating_sub(now_ns))
            }
            Turn::Gather { until_ns, arrivals } if !reactor.driver.has_pending() => {
                reactor.gather_arrivals(until_ns, arrivals, cfg.busy_poll_us > 0)?;
                quiet = false;
                continue;
            }
            _ => {
                reactor.enter()?;
                continue;
            }
        };
        let deadline_ns = [deadline_ns, reactor.driver.deadline_ns(), give_up_ns];
        let deadline_ns = deadline_ns.into_iter().flatten().min();
        quiet &= reactor.driver.ring.queued() == 0;
        let poll_ns = soon_ns.max(u64::from(cfg.busy_poll_us) * 1000);
        if let Rest::Park = reactor.rest(deadline_ns, poll_ns, wait_ns, quiet)? {
            reactor.publish_counts();
            let parked_ns = monotonic_ns();
            quiet = idle.park(&mut reactor, deadline_ns).await?;
            let was_short = !quiet && monotonic_ns() - parked_ns < SHORT_PARK_NS;
            wait_ns = if was_short { (wait_ns * 2).min(WAIT_NS_MAX) } else { WAIT_NS };
            quiet_rounds = if quiet { quiet_rounds + 1 } else { 0 };
            if quiet_rounds == QUIET_ROUNDS {
                reactor.trim();
            }
            // The pass that follows needs no other: the executor has just run.
            tick_ns = monotonic_ns();
        }
    }
    reactor.publish_counts();
    idle.end().await;
    Ok(())
}

impl<R: Resident<File = LogFile>> Reactor<R> {
    fn enter(&mut self) -> io::Result<()> {
        self.before_enter();
        self.driver.ring.enter()?;
        self.after_enter();
        Ok(())
    }

    /// Submits what is queued and looks for work: by polling for `poll_ns`, then by a short wait.
    /// `wait_ns_max`: how long that wait may be. `quiet`: it has looked long enough already, and nothing has happened since.
    fn rest(
        &mut self,
        deadline_ns: Option<u64>,
        poll_ns: u64,
        wait_ns_max: u64,
        quiet: bool,
    ) -> io::Result<Rest> {
        if !quiet && (poll_ns > 0 || self.driver.ring.queued() > SUBMIT_AND_WAIT_MAX) {
            self.enter()?;
            if self.poll(deadline_ns, poll_ns) {
                if self.driver.ring.has_deferred() {
                    self.enter()?;
                }
                return Ok(Rest::Work);
            }
        }
        if !self.driver.own.bell().try_sleep() {
            self.enter()?;
            return Ok(Rest::Work);
        }
        if !self.resident.before_park() {
            self.driver.own.bell().wake_up();
            self.enter()?;
            return Ok(Rest::Work);
        }
        if quiet {
            return Ok(Rest::Park);
        }
        let now_ns = monotonic_ns();
        let wait_ns = deadline_ns.map_or(u64::MAX, |at| at.saturating_sub(now_ns)).min(wait_ns_max);
        self.driver.counts.waits += 1;
        self.before_enter();
        self.driver.ring.enter_and_wait(Duration::from_nanos(wait_ns), 1)?;
        self.after_enter();
        let due = deadline_ns.is_some_and(|at| at <= now_ns + wait_ns);
        if due || self.has_work() {
            self.awake();
            return Ok(Rest::Work);
        }
        Ok(Rest::Park)
    }

    /// Sleeps through some arrivals (see [`Turn::Gather`]); one that polls does not sleep, and sees each at once.
    fn gather_arrivals(&mut self, until_ns: u64, arrivals: u32, polls: bool) -> io::Result<()> {
        if polls {
            self.enter()?;
            self.poll(Some(until_ns), u64::MAX);
            return self.enter();
        }
        // Others need not know: what they send wakes a waiting ring just as well, only later by the time set here.
        let wait_ns = until_ns.saturating_sub(monotonic_ns());
        if wait_ns == 0 || self.driver.own.bell().is_rung() {
            return self.enter();
        }
        self.driver.counts.waits += 1;
        self.before_enter();
        self.driver.ring.enter_and_wait(Duration::from_nanos(wait_ns), arrivals)?;
        self.after_enter();
        Ok(())
    }

    /// Polls for so long at most. True: there is work.
    fn poll(&mut self, deadline_ns: Option<u64>, poll_ns: u64) -> bool {
        let until_ns = monotonic_ns().saturating_add(poll_ns);
        let until_ns = deadline_ns.map_or(until_ns, |at| at.min(until_ns));
        loop {
            if self.has_work() {
                return true;
            }
            if monotonic_ns() >= until_ns {
                return false;
            }
            std::hint::spin_loop();
        }
    }

    fn has_work(&mut self) -> bool {
        self.driver.ring.has_work() || self.driver.own.bell().is_rung()
    }

    fn awake(&mut self) {
        self.driver.own.bell().wake_up();
        self.resident.after_park();
    }

    /// Has the ring complete something at the deadline at the latest.
    fn arm_timer(&mut self, deadline_ns: u64) {
        let timer = &mut self.timer;
        if timer.armed_until_ns.is_some_and(|armed| armed <= deadline_ns) {
            return; // Wakes us early enough; then we shall see.
        }
        let (seconds, nanos) = (deadline_ns / 1_000_000_000, deadline_ns % 1_000_000_000);
        *timer.until = types::Timespec::new().sec(seconds).nsec(nanos as u32);
        let user_data = Kind::Timeout.user_data(0, 0);
        let absolute = types::TimeoutFlags::ABS;
        let entry = match timer.armed_until_ns.replace(deadline_ns) {
            None => opcode::Timeout::new(&raw const *timer.until).flags(absolute).build(),
            // If it has just fired instead, it wakes us just as well.
            Some(_) => opcode::TimeoutUpdate::new(user_data, &raw const *timer.until)
                .flags(absolute)
                .build(),
        };
        let is_update = entry.get_opcode() != u32::from(opcode::Timeout::CODE);
        let user_data = if is_update { Kind::Ignore.user_data(0, 0) } else { user_data };
        // SAFETY: the time is read when the entry is submitted, before it can be changed: park
        // enters at once.
        unsafe { self.driver.ring.push(entry.user_data(user_data)) };
    }
}

/// What parking through the executor needs.
struct Park {
    /// Written by the ring for completions while notification is on, by threads that wake us, and by
    /// the coarse timer.
    event: BufferedFile,
    null: BufferedFile,
    parked: Rc<Cell<bool>>,
    coarse: glommio::task::JoinHandle<()>,
}

impl Park {
    async fn new<R: Resident<File = LogFile>>(reactor: &mut Reactor<R>) -> io::Result<Self> {
        let event = reactor.driver.own.park_event()?.into_raw_fd();
        // SAFETY: a duplicate made for this file, which owns and closes it.
        let event = unsafe { BufferedFile::from_raw_fd(event) };
        reactor.driver.ring.register_event(event.as_raw_fd())?;
        let null = BufferedFile::open("/dev/null").await.map_err(io::Error::from)?;
        let parked = Rc::new(Cell::new(false));
        let (is_parked, own) = (parked.clone(), reactor.driver.own.clone());
        let coarse = glommio::spawn_local(async move {
            loop {
                glommio::timer::sleep(COARSE).await;
                if is_parked.get() {
                    own.write_park_event(COARSE_MARK);
                }
            }
        });
        Ok(Self { event, null, parked, coarse: coarse.detach() })
    }

    /// Awaits real I/O, trivially: the executor polls its rings and runs other tasks.
    async fn let_executor_run(&self) -> io::Result<()> {
        self.null.read_at(0, 1).await.map_err(io::Error::from)?;
        Ok(())
    }

    /// Parks until the ring completes something, the deadline passes, or the coarse timer rings.
    /// True: it was the timer, and there is nothing to do.
    async fn park<R: Resident<File = LogFile>>(
        &self,
        reactor: &mut Reactor<R>,
        deadline_ns: Option<u64>,
    ) -> io::Result<bool> {
        if let Some(deadline_ns) = deadline_ns {
            reactor.arm_timer(deadline_ns);
        }
        reactor.driver.ring.set_notification(true);
        fence(Ordering::SeqCst);
        // What came before notification was on does not notify; this enter brings it forth.
        reactor.enter()?;
        if !reactor.has_work() {
            reactor.driver.counts.parks += 1;
            self.parked.set(true);
            let value = self.event.read_at(0, 8).await.map_err(io::Error::from)?;
            self.parked.set(false);
            let value: [u8; 8] = (*value).try_into().unwrap_or_default();
            let rung_by_ring = !u64::from_ne_bytes(value).is_multiple_of(COARSE_MARK);
            // Work that came after the event was read rings it again, at once.
            if !rung_by_ring && reactor.driver.ring.has_work() && !is_readable(&self.event) {
                reactor.driver.counts.wakes_lost += 1;
            }
        }
        reactor.driver.ring.set_notification(false);
        reactor.enter()?;
        let quiet = !reactor.has_work();
        reactor.awake();
        Ok(quiet)
    }

    async fn end(self) {
        self.coarse.cancel();
        self.coarse.await;
        let _ = self.event.close().await;
        let _ = self.null.close().await;
    }
}

/// Whether the event rings within a millisecond. Asked only when a wake seems to be lost.
fn is_readable(event: &BufferedFile) -> bool {
    let mut poll = libc::pollfd { fd: event.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd, as told.
    unsafe { libc::poll(&mut poll, 1, 1) > 0 }
}
