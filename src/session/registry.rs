//! The live sessions: where each is attached, and when it expires (SessionTrackerImpl).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::alive::AliveClock;
use super::heard::HeardSlots;
use super::wheel::{Look, Wheel};
use crate::protocol::ErrorCode;

/// How soon to look again at a session whose shard has not yet made its pass.
const RETRY_MS: u64 = 10;

/// The settings of a registry; times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Most sessions at a time; a new one beyond is refused, known ones go on.
    pub sessions_max: usize,
    /// How far apart ticks are at most while all is well.
    pub tick_ms_max: u64,
    /// By how much more than that ticks must be apart to count as a stall.
    pub stall_ms_min: u64,
    /// Most sessions looked at a tick; the rest comes with the next.
    pub looks_max: usize,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self { sessions_max: 1 << 18, tick_ms_max: 1000, stall_ms_min: 1000, looks_max: 4096 }
    }
}

/// A connection as the core knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attachment {
    /// The shard that has the connection.
    pub shard: u16,
    /// The connection's index there.
    pub conn: u32,
    /// The generation of that index, for indexes are used again.
    pub conn_generation: u32,
}

/// What a connection is told when its session was attached to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    /// Where to note that the session was heard from ([`HeardSlots`]), and where the registry finds
    /// it; goes on every request.
    pub slot: u32,
    /// Goes on every request of the connection; an older one means that the session moved on.
    pub generation: u32,
    /// The connection that had the session until now, to be closed.
    pub superseded: Option<Attachment>,
}

/// Why a session's request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionRefused {
    /// It never was, or is gone.
    #[error("the session is not known here: it has expired or was closed")]
    Unknown,
    /// It is about to be.
    #[error("the session is being closed")]
    Closing,
    /// Another connection has it.
    #[error("the session has moved to another connection")]
    Moved,
}

impl SessionRefused {
    /// What the client is answered.
    pub fn error_code(self) -> ErrorCode {
        match self {
            Self::Unknown | Self::Closing => ErrorCode::SessionExpired,
            Self::Moved => ErrorCode::SessionMoved,
        }
    }
}

/// No room for another session; its connection is closed unanswered, so that the client tries
/// another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{max} sessions are live, the most allowed: close some or raise the limit")]
pub struct TooManySessions {
    /// The limit.
    pub max: usize,
}

/// What a tick found; the caller keeps it and hands it in again.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// Sessions that expired: marked closing, the core now closes them by transaction.
    pub expired: Vec<i64>,
    /// Whose pass is awaited before a session can expire: a shard's, or (`None`) every shard's.
    /// They may be parked and are to be woken for it.
    pub awaited: Vec<Option<u16>>,
    /// How long the process stalled before this tick, 0 if it did not.
    pub stall_ms: u64,
    /// Whether `looks_max` cut the tick short: the next should come soon.
    pub is_cut_short: bool,
}

/// A session as reports show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionView {
    /// Its id.
    pub id: i64,
    /// Its present time-out.
    pub timeout_ms: i32,
    /// How long until it expires if it stays silent.
    pub remaining_ms: u64,
    /// Whether it is being closed.
    pub is_closing: bool,
    /// Where it is attached.
    pub attachment: Option<Attachment>,
}

/// All live sessions of a server that decides over their expiry, on the ensemble core.
///
/// The life of one: [`create`](Self::create) when its transaction is prepared, or
/// [`restore`](Self::restore) after a start; [`attach`](Self::attach) when a client comes back to
/// it (its password having been checked); [`detach`](Self::detach) when its connection breaks;
/// [`begin_close`](Self::begin_close) when its closing is prepared, or a [`tick`](Self::tick) that
/// expires it, which does the same; [`remove`](Self::remove) when its closing is committed.
/// Every request is [`check`](Self::check)ed on the way.
///
/// Memory: everything is bounded by `sessions_max`, and nothing is ever moved or rehashed.
#[derive(Debug)]
pub struct SessionRegistry {
    config: RegistryConfig,
    /// Ordered, so that nothing depends on a hash; requests find their session by slot.
    slots: BTreeMap<i64, u32>,
    sessions: Vec<Session>,
    free: Vec<u32>,
    heard: Arc<HeardSlots>,
    /// Runs on alive time.
    wheel: Wheel,
    clock: AliveClock,
    last_tick_ms: u64,
}

#[derive(Debug, Clone)]
struct Session {
    /// 0 for a free slot.
    id: i64,
    timeout_ms: i32,
    generation: u32,
    attachment: Option<Attachment>,
    is_closing: bool,
    /// The core's own knowledge of when it was last heard from, monotonic.
    since_ms: u64,
}

impl SessionRegistry {
    /// An empty registry.
    pub fn new(config: RegistryConfig, now_ms: u64) -> Self {
        Self {
            config,
            slots: BTreeMap::new(),
            sessions: Vec::with_capacity(config.sessions_max),
            free: Vec::new(),
            heard: Arc::new(HeardSlots::new(config.sessions_max)),
            wheel: Wheel::new(now_ms, config.sessions_max),
            clock: AliveClock::default(),
            last_tick_ms: now_ms,
        }
    }

    /// The slots that shards write to.
    pub fn heard(&self) -> Arc<HeardSlots> {
        self.heard.clone()
    }

    /// Live sessions, those being closed included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether a session of that id is live or being closed.
    pub fn contains(&self, id: i64) -> bool {
        self.slots.contains_key(&id)
    }

    /// A new session, attached where its client connected (nowhere, if that is another server).
    /// An id that is known already is attached instead, as it would be by [`attach`](Self::attach).
    pub fn create(
        &mut self,
        id: i64,
        timeout_ms: i32,
        attachment: Option<Attachment>,
        now_ms: u64,
    ) -> Result<Attached, TooManySessions> {
        if let Some(&slot) = self.slots.get(&id) {
            return Ok(self.attach_slot(slot, timeout_ms, attachment, now_ms));
        }
        let slot = self.free_slot()?;
        self.heard.open(slot);
        let session = &mut self.sessions[slot as usize];
        *session = Session {
            id,
            timeout_ms: timeout_ms.max(1),
            // Goes on from the slot's last owner, so that requests of that one never fit.
            generation: session.generation.wrapping_add(1),
            attachment,
            is_closing: false,
            since_ms: now_ms,
        };
        let generation = session.generation;
        self.slots.insert(id, slot);
        self.wheel.set(slot, self.deadline_ms(slot));
        Ok(Attached { slot, generation, superseded: None })
    }

    /// A session found in the state that this server took over, with its full time-out anew.
    pub fn restore(
        &mut self,
        id: i64,
        timeout_ms: i32,
        now_ms: u64,
    ) -> Result<(), TooManySessions> {
        self.create(id, timeout_ms, None, now_ms).map(drop)
    }

    /// Gives every session its full time-out anew, and forgets closings that were under way; for a
    /// server that begins to lead.
    pub fn renew_all(&mut self, now_ms: u64) {
        let slots: Vec<u32> = self.slots.values().copied().collect();
        for slot in slots {
            let session = &mut self.sessions[slot as usize];
            session.is_closing = false;
            session.since_ms = now_ms;
            self.wheel.set(slot, self.deadline_ms(slot));
        }
    }

    /// Gives a session to a connection whose client proved to own it, with the time-out negotiated
    /// there. Requests of the connection it had are refused from now on.
    pub fn attach(
        &mut self,
        id: i64,
        timeout_ms: i32,
        attachment: Attachment,
        now_ms: u64,
    ) -> Result<Attached, SessionRefused> {
        let slot = self.live_slot(id)?;
        Ok(self.attach_slot(slot, timeout_ms, Some(attachment), now_ms))
    }

    /// Notes that a connection is gone; the session lives on until it expires. Later generations
    /// are not concerned.
    pub fn detach(&mut self, id: i64, generation: u32) {
        if let Some(&slot) = self.slots.get(&id) {
            let session = &mut self.sessions[slot as usize];
            if session.generation == generation {
                session.attachment = None;
            }
        }
    }

    /// Whether a request may go on: its session is live, and its connection still has it.
    pub fn check(&self, slot: u32, id: i64, generation: u32) -> Result<(), SessionRefused> {
        match self.sessions.get(slot as usize) {
            Some(session) if session.id == id && id != 0 => {
                if session.is_closing {
                    Err(SessionRefused::Closing)
                } else if session.generation != generation {
                    Err(SessionRefused::Moved)
                } else {
                    Ok(())
                }
            }
            _ => Err(SessionRefused::Unknown),
        }
    }

    /// Notes that another server heard from a session (SessionTracker.touchSession).
    pub fn touch(&mut self, id: i64, timeout_ms: i32, now_ms: u64) -> Result<(), SessionRefused> {
        let slot = self.live_slot(id)?;
        self.renew(slot, timeout_ms, now_ms);
        Ok(())
    }

    /// Marks a session as closing: its requests are refused, it does not expire any more.
    pub fn begin_close(&mut self, id: i64) -> Result<(), SessionRefused> {
        let slot = self.live_slot(id)?;
        self.close_slot(slot);
        Ok(())
    }

    /// Takes back [`begin_close`](Self::begin_close), for a closing that was undone.
    pub fn cancel_close(&mut self, id: i64, now_ms: u64) {
        if let Some(&slot) = self.slots.get(&id) {
            let session = &mut self.sessions[slot as usize];
            session.is_closing = false;
            session.since_ms = now_ms;
            self.wheel.set(slot, self.deadline_ms(slot));
        }
    }

    /// Takes back that a session expired, for its end cannot be logged now: [`tick`](Self::tick) finds it again and
    /// again until it can, unless its client is heard from.
    pub fn postpone(&mut self, id: i64) {
        if let Some(&slot) = self.slots.get(&id) {
            self.sessions[slot as usize].is_closing = false;
            self.wheel.set(slot, self.deadline_ms(slot));
        }
    }

    /// Forgets a session; says where it was attached.
    pub fn remove(&mut self, id: i64) -> Option<Attachment> {
        let slot = self.slots.remove(&id)?;
        self.wheel.remove(slot);
        let session = &mut self.sessions[slot as usize];
        session.id = 0;
        self.free.push(slot);
        session.attachment.take()
    }

    /// Finds what expired. Call it at least every `tick_ms_max`.
    ///
    /// A session expires once it was silent for its time-out and the shard it is attached to has
    /// since made a full pass over its sockets: `pass_ms` says when the last completed pass of a
    /// shard began, in monotonic milliseconds, and of `None` the same of the shard that is the
    /// furthest behind (a session without a connection may be waiting to be read anywhere).
    /// So that nothing which that pass found is overlooked: read the pass clocks first, then take
    /// what the shards sent, then tick with the times that were read.
    pub fn tick(&mut self, now_ms: u64, pass_ms: impl Fn(Option<u16>) -> u64, found: &mut Expiry) {
        found.expired.clear();
        found.awaited.clear();
        found.stall_ms = self.note_stall(now_ms);
        let alive_ms = self.clock.alive_ms(now_ms);
        let Self { wheel, sessions, heard, clock, .. } = self;
        let all = wheel.turn(alive_ms, self.config.looks_max, |slot, _| {
            let session = &mut sessions[slot as usize];
            let deadline_ms = session.deadline_ms(slot, heard, clock);
            if deadline_ms > alive_ms {
                return Look::Again { at_ms: deadline_ms };
            }
            let shard = session.attachment.map(|attachment| attachment.shard);
            if clock.alive_ms(pass_ms(shard)) <= deadline_ms {
                if !found.awaited.contains(&shard) {
                    found.awaited.push(shard);
                }
                return Look::Again { at_ms: alive_ms + RETRY_MS };
            }
            session.is_closing = true;
            found.expired.push(session.id);
            Look::Done
        });
        found.is_cut_short = !all;
    }

    /// When to [`tick`](Self::tick) next, in monotonic milliseconds, at the latest after
    /// `tick_ms_max`.
    pub fn next_tick_ms(&self, now_ms: u64) -> u64 {
        let latest = now_ms + self.config.tick_ms_max;
        let next = self.wheel.next_turn_ms(self.clock.alive_ms(latest));
        next.map_or(latest, |alive| latest.min(alive + self.clock.stalled_ms())).max(now_ms)
    }

    /// Sessions heard from after `since_ms`, with their time-outs: what a follower tells its leader.
    pub fn heard_since(&self, since_ms: u64) -> impl Iterator<Item = (i64, i32)> {
        let known = self.slots.iter().map(|(&id, &slot)| (id, slot, &self.sessions[slot as usize]));
        known
            .filter(move |(_, slot, session)| self.last_heard_ms(*slot, session) > since_ms)
            .map(|(id, _, session)| (id, session.timeout_ms))
    }

    /// All sessions in the order of their ids.
    pub fn views(&self, now_ms: u64) -> impl Iterator<Item = SessionView> {
        let alive_ms = self.clock.alive_ms(now_ms);
        self.slots.iter().map(move |(&id, &slot)| {
            let session = &self.sessions[slot as usize];
            SessionView {
                id,
                timeout_ms: session.timeout_ms,
                remaining_ms: self.deadline_ms(slot).saturating_sub(alive_ms),
                is_closing: session.is_closing,
                attachment: session.attachment,
            }
        })
    }

    fn note_stall(&mut self, now_ms: u64) -> u64 {
        let expected_ms = self.last_tick_ms + self.config.tick_ms_max;
        self.last_tick_ms = now_ms.max(self.last_tick_ms);
        let late_ms = now_ms.saturating_sub(expected_ms);
        if late_ms < self.config.stall_ms_min.max(1) {
            return 0;
        }
        self.clock.stalled(expected_ms, now_ms);
        late_ms
    }

    fn live_slot(&self, id: i64) -> Result<u32, SessionRefused> {
        let slot = *self.slots.get(&id).ok_or(SessionRefused::Unknown)?;
        if self.sessions[slot as usize].is_closing {
            return Err(SessionRefused::Closing);
        }
        Ok(slot)
    }

    fn free_slot(&mut self) -> Result<u32, TooManySessions> {
        if let Some(slot) = self.free.pop() {
            return Ok(slot);
        }
        if self.sessions.len() >= self.config.sessions_max {
            return Err(TooManySessions { max: self.config.sessions_max });
        }
        self.sessions.push(Session {
            id: 0,
            timeout_ms: 0,
            generation: 0,
            attachment: None,
            is_closing: false,
            since_ms: 0,
        });
        Ok((self.sessions.len() - 1) as u32)
    }

    fn attach_slot(
        &mut self,
        slot: u32,
        timeout_ms: i32,
        attachment: Option<Attachment>,
        now_ms: u64,
    ) -> Attached {
        let session = &mut self.sessions[slot as usize];
        let superseded = std::mem::replace(&mut session.attachment, attachment);
        session.generation = session.generation.wrapping_add(1);
        let generation = session.generation;
        self.renew(slot, timeout_ms, now_ms);
        Attached { slot, generation, superseded }
    }

    fn renew(&mut self, slot: u32, timeout_ms: i32, now_ms: u64) {
        let session = &mut self.sessions[slot as usize];
        session.timeout_ms = timeout_ms.max(1);
        session.since_ms = session.since_ms.max(now_ms);
        // Not left to the wheel's look, for the new time-out may be the shorter one.
        self.wheel.set(slot, self.deadline_ms(slot));
    }

    fn close_slot(&mut self, slot: u32) {
        self.sessions[slot as usize].is_closing = true;
        self.wheel.remove(slot);
    }

    fn deadline_ms(&self, slot: u32) -> u64 {
        self.sessions[slot as usize].deadline_ms(slot, &self.heard, &self.clock)
    }

    fn last_heard_ms(&self, slot: u32, session: &Session) -> u64 {
        self.heard.last_ms(slot).max(session.since_ms)
    }
}

impl Session {
    /// In alive milliseconds.
    fn deadline_ms(&self, slot: u32, heard: &HeardSlots, clock: &AliveClock) -> u64 {
        let last_ms = heard.last_ms(slot).max(self.since_ms);
        clock.alive_ms(last_ms) + self.timeout_ms.max(1) as u64
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
