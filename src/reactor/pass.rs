//! One pass: reap, deliver, step, gather. All that calls the resident is here.

use super::buffers::RecvBuffers;
use super::config::{ReactorConfig, ReactorStats};
use super::conn::Life;
use super::driver::Driver;
use super::ring::{Kind, Ring};
use super::{ConnId, LogFile, PassClock, Resident, Turn, Waker, monotonic_ns};
use io_uring::{cqueue, opcode, types};
use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

/// Receive buffers provided at the start; doubled whenever they ran out.
const RECV_BUFFERS_FIRST: u16 = 256;
/// How long a listener rests after an accept failed, unless the peer was the cause.
const ACCEPT_RETRY_NS: u64 = 100_000_000;
/// How often that is complained of.
const ACCEPT_COMPLAINT_NS: u64 = 10_000_000_000;
/// The kernel runs at least so many deferred completions an enter (Linux: IO_LOCAL_TW_DEFAULT_MAX).
const DEFERRED_PER_ENTER: usize = 20;

/// A resident and all that steps it.
pub(super) struct Reactor<R> {
    pub(super) driver: ManuallyDrop<Driver>,
    buffers: ManuallyDrop<RecvBuffers>,
    pub(super) resident: R,
    /// Completions of this pass but those of sends.
    batch: Vec<cqueue::Entry>,
    sends: Vec<(u64, i32)>,
    /// Where the read of our eventfd puts its 8 bytes, and whether one is pending.
    event_value: ManuallyDrop<Box<[u8; 8]>>,
    event_armed: bool,
    pub(super) timer: super::park::Timer,
    clock: Arc<PassClock>,
    pub(super) stats: Arc<ReactorStats>,
    /// When the full pass under way began, and how many enters it has had.
    full_start_ns: u64,
    full_enters: usize,
    /// One of them left nothing deferred.
    full_brought_all: bool,
    /// Nothing is left in the kernel that points to our memory.
    clean: bool,
}

impl<R: Resident<File = LogFile>> Reactor<R> {
    pub(super) fn new(
        cfg: &mut ReactorConfig,
        own: Waker,
        clock: Arc<PassClock>,
        stats: Arc<ReactorStats>,
        make: impl FnOnce() -> R,
    ) -> io::Result<Self> {
        let ring = Ring::new(cfg.submissions, cfg.completions)?;
        ring.hold_files(&cfg.held_files)?;
        cfg.held_files.clear();
        own.bind(ring.as_fd())?;
        // SAFETY: Drop frees the buffers only if the reactor ended cleanly, with no receive armed.
        let buffers = unsafe { RecvBuffers::new(&ring, cfg.recv_buffers_max, RECV_BUFFERS_FIRST)? };
        let driver = Driver::new(cfg, ring, own)?;
        Ok(Self {
            driver: ManuallyDrop::new(driver),
            buffers: ManuallyDrop::new(buffers),
            resident: make(),
            batch: Vec::new(),
            sends: Vec::new(),
            event_value: ManuallyDrop::new(Box::new([0; 8])),
            event_armed: false,
            timer: super::park::Timer::default(),
            clock,
            stats,
            full_start_ns: 0,
            full_enters: 0,
            full_brought_all: false,
            clean: false,
        })
    }

    /// One pass over what the last enter brought. What it leaves to do is queued for the next.
    pub(super) fn pass(&mut self) -> Turn {
        self.driver.now_ns = monotonic_ns();
        self.driver.counts.passes += 1;
        // Forget the wakes so far here, before the residents look at what they were sent for.
        self.driver.own.bell().begin_pass();
        if self.driver.own.is_stopping() && !self.driver.stopping {
            self.begin_stop();
        }
        let starved = self.driver.counts.recv_no_buffer;
        self.reap();
        self.deliver_resumed();
        self.driver.expire_linger();
        self.deliver_ends();
        self.arm_listeners();
        let turn = self.resident.step(&mut *self.driver);
        self.gather();
        self.note_full_pass(starved == self.driver.counts.recv_no_buffer);
        turn
    }

    /// Before every enter: a full pass begins, unless one is under way.
    pub(super) fn before_enter(&mut self) {
        if self.full_enters == 0 {
            self.full_start_ns = monotonic_ns();
        }
        self.full_enters += 1;
    }

    /// After every enter.
    pub(super) fn after_enter(&mut self) {
        self.full_brought_all |= !self.driver.ring.has_deferred();
    }

    /// After a pass: all sockets were looked at if an enter had left nothing deferred. Under load
    /// something may always be; but it is worked off in order, so enough enters do as well.
    /// `fed`: no receive stopped for want of a buffer.
    fn note_full_pass(&mut self, fed: bool) {
        let sources = self.driver.conns.len() + self.driver.writes.in_flight() + 64;
        let enough = self.full_enters > sources / DEFERRED_PER_ENTER + 1;
        if self.full_enters > 0 && (self.full_brought_all && fed || enough) {
            self.clock.completed(self.full_start_ns);
            self.full_enters = 0;
            self.full_brought_all = false;
        }
    }

    fn reap(&mut self) {
        let starved = self.driver.counts.recv_no_buffer;
        let driver = &mut *self.driver;
        if driver.ring.has_overflow() {
            driver.counts.overflows += 1;
        }
        for completion in driver.ring.completions() {
            match Kind::of(completion.user_data()) {
                Kind::Send | Kind::SendWait => {
                    self.sends.push((completion.user_data(), completion.result()));
                }
                _ => self.batch.push(completion),
            }
        }
        // Sends first, so that the residents see backlogs as they are.
        for (user_data, result) in self.sends.drain(..) {
            driver.send_completed(user_data, result);
        }
        driver.settle_sends();
        self.deliver_drained();
        let mut batch = std::mem::take(&mut self.batch);
        for completion in batch.drain(..) {
            self.dispatch(&completion);
        }
        self.batch = batch;
        if starved != self.driver.counts.recv_no_buffer {
            self.buffers.grow();
        }
        self.buffers.publish();
    }

    fn dispatch(&mut self, completion: &cqueue::Entry) {
        let (user_data, result) = (completion.user_data(), completion.result());
        match Kind::of(user_data) {
            Kind::Recv => self.received(completion),
            Kind::Accept => self.accepted(completion),
            Kind::Disk => {
                if let Some((token, buf)) = self.driver.writes.end(user_data as u32) {
                    self.driver.counts.writes += 1;
                    let result = to_result(result);
                    self.resident.disk_done(&mut *self.driver, token, result, buf);
                }
            }
            Kind::Event => self.event_armed = false,
            Kind::Timeout => self.timer.fired(),
            Kind::WakeFailed => self.driver.wake_failed(user_data as u32),
            // A wake has done its work by ending our wait.
            Kind::Wake | Kind::Ignore | Kind::Send | Kind::SendWait => {}
        }
    }

    fn received(&mut self, completion: &cqueue::Entry) {
        let index = completion.user_data() as u32;
        let buffer = cqueue::buffer_select(completion.flags());
        let ended = !cqueue::more(completion.flags());
        let driver = &mut *self.driver;
        if let Some(conn) = driver.conns.of(completion.user_data()) {
            if ended {
                (conn.recv_armed, conn.recv_cancelled) = (false, false);
            }
            match (completion.result(), buffer) {
                (len, Some(buffer)) if len > 0 => {
                    driver.counts.recv_bytes += len as u64;
                    let data = self.buffers.filled(buffer, len as usize);
                    if conn.life != Life::Open {
                        // Closing: what still arrives is dropped, but read.
                    } else if conn.paused || conn.kept.is_some() {
                        conn.kept.get_or_insert_default().extend_from_slice(data);
                    } else {
                        let c = driver.conns.id(index);
                        self.resident.bytes(driver, c, data);
                    }
                }
                (error, _) if error == -libc::ENOBUFS => {
                    driver.counts.recv_no_buffer += 1;
                }
                (error, _) if error == -libc::ECANCELED || error == -libc::EINTR => {}
                (0, _) => conn.peer_ended = true,
                _ => {
                    driver.counts.conn_errors += 1;
                    driver.break_off(index);
                }
            }
            if ended {
                self.receive_ended(index);
            }
        }
        if let Some(buffer) = buffer {
            self.buffers.give_back(buffer);
        }
    }

    /// What follows when a receive has ended: the peer's end, ours, or another receive.
    fn receive_ended(&mut self, index: u32) {
        let conn = self.driver.conns.at(index);
        match conn.life {
            // Delivered, and received again, when reading is resumed.
            Life::Open if conn.paused || conn.kept.is_some() => {}
            Life::Open if conn.peer_ended && conn.outlives_input => {}
            Life::Open if conn.peer_ended => self.driver.end_after_flush(index),
            Life::Open => self.driver.note_rearm(index),
            Life::Flushing | Life::Closing => self.driver.note_ending(index),
            Life::Free => {}
        }
    }

    fn deliver_resumed(&mut self) {
        for index in std::mem::take(&mut self.driver.resumed) {
            let c = self.driver.conns.id(index);
            let conn = self.driver.conns.at(index);
            conn.on_resumed = false;
            if conn.life != Life::Open || conn.paused {
                continue;
            }
            if let Some(kept) = conn.kept.take() {
                self.resident.bytes(&mut *self.driver, c, &kept);
            }
            // That call may have closed or paused the connection; its place is still its own.
            if !self.driver.conns.at(index).recv_armed {
                self.receive_ended(index);
            }
        }
    }

    fn deliver_drained(&mut self) {
        for index in std::mem::take(&mut self.driver.drained) {
            let c = self.driver.conns.id(index);
            if self.driver.conns.at(index).life == Life::Open {
                self.resident.drained(&mut *self.driver, c);
            }
        }
    }

    /// Ends connections that nothing holds any more.
    fn deliver_ends(&mut self) {
        for index in std::mem::take(&mut self.driver.ending) {
            self.driver.conns.at(index).on_ending = false;
            if self.driver.advance_end(index) {
                let c = self.driver.conns.id(index);
                self.driver.conns.remove(index);
                self.resident.closed(&mut *self.driver, c);
            }
        }
    }

    fn accepted(&mut self, completion: &cqueue::Entry) {
        let at = completion.user_data() as u32 as usize;
        let result = completion.result();
        let driver = &mut *self.driver;
        let Some(listener) = driver.listeners.get_mut(at) else { return };
        if !cqueue::more(completion.flags()) {
            (listener.armed, listener.cancelled) = (false, false);
        }
        if result >= 0 {
            // SAFETY: the kernel has just made this descriptor for us.
            let socket = unsafe { OwnedFd::from_raw_fd(result) };
            self.accept(socket);
            return;
        }
        match -result {
            libc::ECANCELED => {}
            libc::ECONNABORTED | libc::EINTR | libc::EPROTO => driver.counts.accept_errors += 1,
            error => {
                driver.counts.accept_errors += 1;
                listener.retry_at_ns = driver.now_ns + ACCEPT_RETRY_NS;
                if listener.quiet_until_ns <= driver.now_ns {
                    listener.quiet_until_ns = driver.now_ns + ACCEPT_COMPLAINT_NS;
                    let error = io::Error::from_raw_os_error(error);
                    tracing::warn!(
                        "cannot accept connections: {error}; tried again ten times a second, and said once in ten seconds"
                    );
                }
            }
        }
    }

    fn accept(&mut self, socket: OwnedFd) {
        let driver = &mut *self.driver;
        if driver.stopping || driver.conns.is_full() {
            driver.counts.refused += 1;
            return;
        }
        // A peer that has already gone has no address any more, and needs no connection.
        let Some((peer, local)) = addresses(&socket) else {
            driver.counts.accept_errors += 1;
            return;
        };
        if let Some(c) = driver.open(socket) {
            driver.counts.accepted += 1;
            self.resident.opened(driver, c, peer, local);
        }
    }

    fn arm_listeners(&mut self) {
        let driver = &mut *self.driver;
        if driver.accept_paused {
            return;
        }
        for (index, listener) in driver.listeners.iter_mut().enumerate() {
            if listener.armed || listener.retry_at_ns > driver.now_ns {
                continue;
            }
            listener.armed = true;
            listener.retry_at_ns = 0;
            let entry = opcode::AcceptMulti::new(types::Fd(listener.socket.as_raw_fd()))
                .flags(libc::SOCK_CLOEXEC)
                .build()
                .user_data(Kind::Accept.user_data(0, index as u32));
            // SAFETY: points to nothing; the listener stays open until the reactor has ended.
            unsafe { driver.ring.push(entry) };
        }
    }

    /// Queues what the next enter is to do.
    fn gather(&mut self) {
        let driver = &mut *self.driver;
        for index in std::mem::take(&mut driver.rearm) {
            let conn = driver.conns.at(index);
            conn.on_rearm = false;
            if conn.life != Life::Open || conn.paused || conn.recv_armed {
                continue;
            }
            conn.recv_armed = true;
            let entry = opcode::RecvMulti::new(types::Fd(conn.fd()), 0)
                .build()
                .user_data(Kind::Recv.user_data(conn.generation(), index));
            // SAFETY: receives use the provided buffers, which stay; the socket is closed only
            // when recv_armed is false again (Conns::remove checks).
            unsafe { driver.ring.push(entry) };
        }
        driver.gather_sends();
        driver.send_wakes();
        if !self.event_armed && !driver.stopping {
            self.event_armed = true;
            let event = types::Fd(driver.own.event_fd());
            let entry = opcode::Read::new(event, self.event_value.as_mut_ptr(), 8)
                .build()
                .user_data(Kind::Event.user_data(0, 0));
            // SAFETY: the box is freed only when the reactor has ended cleanly.
            unsafe { driver.ring.push(entry) };
        }
    }

    fn begin_stop(&mut self) {
        use super::Io;
        let driver = &mut *self.driver;
        driver.stopping = true;
        driver.pause_accept();
        driver.cancel(Kind::Event.user_data(0, 0));
        let all: Vec<ConnId> = driver.conns.ids().collect();
        for c in all {
            driver.close(c, true);
        }
    }

    /// Whether a reactor that is stopping has nothing left in the kernel.
    pub(super) fn has_ended(&mut self) -> bool {
        let driver = &mut *self.driver;
        self.clean = driver.stopping
            && driver.conns.len() == 0
            && driver.writes.in_flight() == 0
            && driver.listeners.iter().all(|listener| !listener.armed)
            && !self.event_armed;
        self.clean
    }

    /// There was nothing to do for a while: gives memory back.
    pub(super) fn trim(&mut self) {
        self.driver.pool.trim();
        self.buffers.trim();
    }

    pub(super) fn publish_counts(&mut self) {
        let driver = &mut *self.driver;
        driver.counts.connections = driver.conns.len() as u64;
        driver.counts.enters = driver.ring.enters;
        driver.counts.publish(&self.stats);
    }
}

impl<R> Drop for Reactor<R> {
    fn drop(&mut self) {
        if self.clean {
            // SAFETY: dropped once, here, in the order given: the driver with the ring first. The
            // kernel has completed everything that pointed into any of them.
            unsafe {
                ManuallyDrop::drop(&mut self.driver);
                ManuallyDrop::drop(&mut self.buffers);
                ManuallyDrop::drop(&mut self.event_value);
            }
        }
        // Otherwise the kernel may still read and write this memory: better leaked than reused. The
        // end of the thread ends its operations.
    }
}

fn to_result(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

fn addresses(socket: &OwnedFd) -> Option<(SocketAddr, SocketAddr)> {
    let socket = socket2::SockRef::from(socket);
    Some((socket.peer_addr().ok()?.as_socket()?, socket.local_addr().ok()?.as_socket()?))
}
