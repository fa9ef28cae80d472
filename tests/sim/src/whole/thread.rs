//! A thread of the server: what its reactor does in a pass, before it sleeps and when it wakes, as
//! `src/reactor/` does it.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ringkeeper::protocol::{ReplyHeader, xid};
use ringkeeper::reactor::{AlignedBuf, ConnId, PassClock, Resident, Turn, Waker};
use ringkeeper::server::Worker;

use super::io::{Closing, ThreadIo};
use super::mistake::Mistake;
use super::world::{Event, World};
use super::{Violation, broken};
use crate::disk::Volume;
use crate::time::{Micros, SECOND};

/// A thread stands still for so long at the most: when the faults are over it is not for long.
const STALL_MAX: Micros = SECOND;

/// What has arrived for a thread that it has not seen.
pub enum Arrived {
    /// A connection.
    Open(usize),
    /// Bytes of one.
    Data(usize, Vec<u8>),
    /// Its end: the peer has closed it, or it broke.
    End(usize),
    /// Room for its output.
    Room(usize),
    /// A log write has ended.
    Disk(u64, std::io::Result<usize>, AlignedBuf),
}

/// See the module's documentation.
pub struct Thread {
    /// The shard, the core, or both.
    pub worker: Worker<Volume>,
    /// What they know of the world.
    pub io: ThreadIo,
    /// Wakes it.
    pub waker: Waker,
    /// How far it has looked at its sockets, if it has any.
    pub passes: Option<Arc<PassClock>>,
    /// What it has not seen.
    pub inbox: VecDeque<Arrived>,
    asleep: bool,
    /// It sleeps through so many arrivals.
    gathers: Option<u32>,
    pass_at: Option<Micros>,
    stands_until: Micros,
}

impl Thread {
    /// One that has not begun.
    pub fn new(worker: Worker<Volume>, waker: Waker, passes: Option<Arc<PassClock>>) -> Thread {
        Thread {
            worker,
            io: ThreadIo::default(),
            waker,
            passes,
            inbox: VecDeque::new(),
            asleep: false,
            gathers: None,
            pass_at: None,
            stands_until: 0,
        }
    }
}

impl World {
    /// Has a thread make a pass at `at`, if it would not sooner.
    pub fn pass_by(&mut self, thread: usize, at: Micros) {
        let process = self.process;
        let Some(server) = &mut self.server else { return };
        let t = &mut server.threads[thread];
        let at = at.max(t.stands_until).max(self.queue.now() + 1);
        if t.pass_at.is_none_or(|earlier| at < earlier) {
            t.pass_at = Some(at);
            self.queue.put(at, Event::Pass { process, thread });
        }
    }

    /// Something arrives for a thread: one that waits is woken.
    pub fn arrive(&mut self, thread: usize, what: Arrived) {
        let wake = self.queue.now() + 1 + self.sched.spread(self.plan.wake);
        let Some(server) = &mut self.server else { return };
        let t = &mut server.threads[thread];
        t.inbox.push_back(what);
        let enough = match &mut t.gathers {
            Some(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            None => t.asleep,
        };
        if enough {
            self.pass_by(thread, wake);
        }
    }

    /// One pass of a thread, if it is due.
    pub fn pass(&mut self, thread: usize) -> Result<(), Violation> {
        let now = self.queue.now();
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let t = &mut server.threads[thread];
        if t.pass_at != Some(now) {
            self.server = Some(server);
            return Ok(());
        }
        t.pass_at = None;
        self.report.passes += 1;
        let turn = self.work(t);
        let done = self.gather(t);
        let began_ns = t.io.now_ns;
        if let Some(passes) = &t.passes {
            passes.completed(began_ns);
        }
        let wakes = std::mem::take(&mut t.io.wakes);
        let writes = std::mem::take(&mut t.io.writes);
        self.server = Some(server);
        done?;
        self.submit(writes)?;
        for waker in wakes {
            self.ring(&waker);
        }
        self.rest(thread, turn);
        Ok(())
    }

    /// Reaps what has arrived, and steps.
    fn work(&mut self, t: &mut Thread) -> Turn {
        let (worker, io) = (&mut t.worker, &mut t.io);
        if std::mem::take(&mut t.asleep) {
            t.waker.bell().wake_up();
            worker.after_park();
        }
        t.gathers = None;
        io.now_ns = self.queue.now() * 1000;
        io.looks.set(0);
        t.waker.bell().begin_pass();
        // Sends first, as the reactor does, so that residents see backlogs as they are.
        let (rooms, rest): (Vec<Arrived>, Vec<Arrived>) =
            t.inbox.drain(..).partition(|arrived| matches!(arrived, Arrived::Room(_)));
        for arrived in rooms {
            let Arrived::Room(link) = arrived else { continue };
            let Some(c) = self.links[link].conn else { continue };
            self.send(io, c);
            let Some(conn) = io.get_mut(c) else { continue };
            if conn.out.is_empty() && (conn.was_full || conn.paused) {
                conn.was_full = false;
                if conn.closing.is_none() {
                    worker.drained(io, c);
                }
            }
        }
        for arrived in rest {
            self.deliver(worker, io, arrived);
        }
        for c in std::mem::take(&mut io.resumed) {
            let Some(conn) = io.get_mut(c).filter(|conn| !conn.paused) else { continue };
            let kept = std::mem::take(&mut conn.kept);
            if !kept.is_empty() && conn.closing.is_none() {
                worker.bytes(io, c, &kept);
            }
            if let Some(conn) = io.get_mut(c)
                && conn.peer_ended
                && !conn.paused
            {
                conn.closing = Some(Closing::AtOnce);
            }
        }
        for c in io.ids() {
            let Some(conn) = io.get(c) else { continue };
            let flushed = conn.out.is_empty() || conn.closing == Some(Closing::AtOnce);
            if conn.closing.is_some() && flushed {
                let link = conn.link;
                io.conns[c.index as usize] = None;
                self.links[link].conn = None;
                self.links[link].server_closed = true;
                self.read_soon(link);
                worker.closed(io, c);
            }
        }
        worker.step(io)
    }

    fn deliver(&mut self, worker: &mut Worker<Volume>, io: &mut ThreadIo, arrived: Arrived) {
        match arrived {
            Arrived::Open(link) => {
                let c = io.open(link);
                self.links[link].conn = Some(c);
                let port = 10_000 + (link % 50_000) as u16;
                let peer = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), port));
                let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 2181));
                worker.opened(io, c, peer, local);
            }
            Arrived::Data(link, bytes) => {
                let Some(c) = self.links[link].conn else { return };
                let Some(conn) = io.get_mut(c).filter(|conn| conn.closing.is_none()) else {
                    return;
                };
                if conn.paused || !conn.kept.is_empty() {
                    conn.kept.extend_from_slice(&bytes);
                } else {
                    worker.bytes(io, c, &bytes);
                }
            }
            Arrived::End(link) => {
                let Some(c) = self.links[link].conn else { return };
                let Some(conn) = io.get_mut(c) else { return };
                conn.peer_ended = true;
                // Nobody sees the end of what is not read.
                if !conn.paused && conn.kept.is_empty() {
                    conn.closing = Some(Closing::AtOnce);
                }
            }
            Arrived::Disk(token, result, buf) => worker.disk_done(io, token, result, buf),
            Arrived::Room(_) => {}
        }
    }

    /// Hands a connection's output to the system as far as it has room.
    fn send(&mut self, io: &mut ThreadIo, c: ConnId) {
        let Some(conn) = io.get_mut(c) else { return };
        if conn.out.is_empty() || conn.closing == Some(Closing::AtOnce) {
            return;
        }
        let link = &mut self.links[conn.link];
        if link.client_closed {
            conn.closing = Some(Closing::AtOnce);
            return;
        }
        // What was appended in this pass leaves at its end.
        let n = self.plan.room.saturating_sub(link.down.len()).min(conn.tapped);
        link.down.extend(conn.out.drain(..n));
        conn.tapped -= n;
        if n > 0 {
            let link = conn.link;
            self.read_soon(link);
        }
    }

    /// After a step: looks at what is to leave, and sends it.
    fn gather(&mut self, t: &mut Thread) -> Result<(), Violation> {
        for c in t.io.ids() {
            let Some(conn) = t.io.get_mut(c) else { continue };
            if conn.out.is_empty() || conn.closing == Some(Closing::AtOnce) {
                continue;
            }
            let (tapped, link) = (conn.tapped, conn.link);
            let fresh = conn.out.split_off(tapped);
            let fresh = self.botch(fresh, self.links[link].greeted);
            self.tap(link, &fresh)?;
            conn.out.extend_from_slice(&fresh);
            conn.tapped = conn.out.len();
            self.send(&mut t.io, c);
            let Some(conn) = t.io.get_mut(c) else { continue };
            if !conn.out.is_empty() {
                if !std::mem::replace(&mut conn.was_full, true) {
                    self.report.full += 1;
                }
            } else if conn.paused {
                t.inbox.push_back(Arrived::Room(link));
            }
        }
        Ok(())
    }

    /// R6, where bytes leave: nothing tells of what is not on the medium. And what is told from here on is told.
    fn tap(&mut self, link: usize, fresh: &[u8]) -> Result<(), Violation> {
        let durable = self.books.durable();
        for frame in frames(fresh) {
            let zxid = match std::mem::replace(&mut self.links[link].greeted, true) {
                false => match frame.get(8..16).and_then(|id| id.try_into().ok()) {
                    Some(id) => {
                        self.history.session(i64::from_be_bytes(id)).map_or(0, |(born, _)| born)
                    }
                    None => 0,
                },
                true => match frame.get(4..12).and_then(|zxid| zxid.try_into().ok()) {
                    Some(zxid) => i64::from_be_bytes(zxid),
                    None => return broken("bytes", "a frame is too short for a reply header"),
                },
            };
            if zxid > durable {
                let detail = format!("{zxid} is told of, only {durable} is on the medium");
                return broken("R6", detail);
            }
            self.told = self.told.max(zxid);
        }
        Ok(())
    }

    /// Plants the mistakes of this world's own driver.
    fn botch(&mut self, fresh: Vec<u8>, greeted: bool) -> Vec<u8> {
        let Some(mistake) = self.mistake.filter(|_| greeted) else { return fresh };
        let mut all: Vec<&[u8]> = frames(&fresh).collect();
        let number = |frame: &[u8]| {
            frame.get(..4).and_then(|xid| xid.try_into().ok()).map_or(0, i32::from_be_bytes)
        };
        let is_event = |frame: &&[u8]| number(frame) == xid::NOTIFICATION;
        let event = all.iter().position(is_event);
        let often = self.sched.chance(100);
        match (mistake, event) {
            (Mistake::AnswersSwapped, _) => {
                let is_answer = |f: &&[u8]| number(f) > 0 && f.len() >= ReplyHeader::BYTES;
                let at = all.windows(2).position(|two| two.iter().all(is_answer));
                if let Some(at) = at.filter(|_| often) {
                    all.swap(at, at + 1);
                }
            }
            (Mistake::EventDropped, Some(at)) if often => drop(all.remove(at)),
            (Mistake::EventDoubled, Some(at)) if often => all.insert(at, all[at]),
            (Mistake::EventLate, Some(at)) if at + 1 < all.len() && !is_event(&all[at + 1]) => {
                all.swap(at, at + 1);
            }
            _ => return fresh,
        }
        let mut botched = Vec::with_capacity(fresh.len());
        for frame in all {
            botched.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            botched.extend_from_slice(frame);
        }
        botched
    }

    fn ring(&mut self, waker: &Waker) {
        if !waker.bell().ring() || self.mistake == Some(Mistake::WakeLost) {
            return;
        }
        let at = self.queue.now() + 1 + self.sched.spread(self.plan.wake);
        let Some(server) = &self.server else { return };
        if let Some(thread) = server.threads.iter().position(|t| t.waker == *waker) {
            self.pass_by(thread, at);
        }
    }

    /// What a thread does until its next pass.
    fn rest(&mut self, thread: usize, turn: Turn) {
        let now = self.queue.now();
        let soon = now + 1 + self.sched.spread(self.plan.pass);
        let stands = self.stalls();
        let wake = now + 1 + self.sched.spread(self.plan.wake);
        let Some(server) = &mut self.server else { return };
        let t = &mut server.threads[thread];
        t.stands_until = stands.unwrap_or(0);
        let ends = |c: ConnId| {
            let conn = t.io.get(c);
            conn.is_some_and(|c| {
                c.closing.is_some() && (c.out.is_empty() || c.closing == Some(Closing::AtOnce))
            })
        };
        let pending =
            !t.inbox.is_empty() || !t.io.resumed.is_empty() || t.io.ids().into_iter().any(ends);
        let at = match turn {
            _ if pending => soon,
            Turn::Again => soon,
            Turn::Gather { .. } if t.waker.bell().is_rung() => soon,
            Turn::Gather { until_ns, arrivals } => {
                t.gathers = Some(arrivals);
                until_ns.div_ceil(1000)
            }
            Turn::Idle { deadline_ns } | Turn::Soon { deadline_ns, .. } => {
                if !t.waker.bell().try_sleep() {
                    soon
                } else if !t.worker.before_park() {
                    t.waker.bell().wake_up();
                    soon
                } else {
                    t.asleep = true;
                    self.report.parks += 1;
                    deadline_ns.map_or(now + 100_000, |ns| ns.div_ceil(1000).max(wake))
                }
            }
        };
        self.pass_by(thread, at);
    }

    /// Whether a thread stands still after its pass, and until when.
    fn stalls(&mut self) -> Option<Micros> {
        let chance = if self.is_calm { 0 } else { self.plan.stall };
        if self.sched.below(10_000) >= chance {
            return None;
        }
        self.report.stalls += 1;
        Some(self.queue.now() + self.sched.spread(self.plan.stall_for).min(STALL_MAX))
    }
}

/// The frames in bytes that hold whole ones.
pub fn frames(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (frame, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        bytes = rest;
        Some(frame)
    })
}
