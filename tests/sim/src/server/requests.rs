//! What clients ask for: sessions, writes, reads, syncs.

use std::collections::VecDeque;
use std::sync::Arc;

use ringkeeper::protocol::{OpCode, Zxid};
use ringkeeper::zab::{LearnerRequest, Sid};

use super::process::{Machine, Process};
use super::stutter::Told;
use crate::check::Applied;
use crate::client::{Ask, Reply, What, create_session_body};
use crate::context::{Answer, Context, Event};
use crate::time::Micros;

/// A client's connection whose session is attached.
pub(super) struct Attached {
    client: usize,
    connection: u64,
    timeout_ms: i32,
    /// What waits for its answer, in the order of the requests.
    waiting: VecDeque<Waiting>,
}

enum Waiting {
    Write(i32),
    Read(i32),
    /// Answered when the leader's word has come, on a leader when this is committed.
    Sync(i32, Option<Zxid>),
    /// Its word has come.
    Synced(i32),
}

/// The opcode of sync.
pub(super) const SYNC: i32 = OpCode::Sync as i32;

impl Process {
    fn reply(&self, ctx: &mut Context, client: usize, connection: u64, reply: Reply) {
        let after = ctx.client_random.spread(300) + 50;
        // One connection's answers stay in order: the queue keeps what is due at one time in order, and
        // a later answer is never due before an earlier one.
        let at = ctx.reply_at(client, after);
        ctx.queue.put(at, Event::Reply { client, connection, reply });
    }

    /// The clients are told to go elsewhere.
    pub(super) fn drop_clients(&mut self, ctx: &mut Context) {
        let attached =
            std::mem::take(&mut self.attached).into_values().map(|a| (a.client, a.connection));
        let attaching = std::mem::take(&mut self.attaching).into_values();
        for (client, connection) in attached.chain(attaching).collect::<Vec<_>>() {
            self.reply(ctx, client, connection, Reply::Dropped);
        }
        self.revalidating.clear();
        self.syncs.clear();
        self.tracker.clear();
        self.barriers.clear();
    }

    /// A client's message.
    pub(super) fn client_asks(&mut self, ctx: &mut Context, machine: &mut Machine, ask: Ask) {
        let Ask { client, connection, what } = ask;
        if !self.serves() {
            return self.reply(ctx, client, connection, Reply::Dropped);
        }
        if let What::Connect { session, timeout_ms, last_zxid } = what {
            return self.connect(
                ctx,
                machine,
                (client, connection),
                session,
                timeout_ms,
                last_zxid,
            );
        }
        let found = self
            .attached
            .iter_mut()
            .find(|(_, a)| a.client == client && a.connection == connection);
        let Some((&session, attached)) = found else { return };
        match what {
            What::Connect { .. } => {}
            What::Leave => {
                self.attached.remove(&session);
            }
            What::Read { cxid, .. } => {
                attached.waiting.push_back(Waiting::Read(cxid));
                self.answer_front(ctx, session);
            }
            What::Sync { cxid } => self.client_syncs(ctx, session, cxid),
            What::Write { cxid, op, body } => {
                attached.waiting.push_back(Waiting::Write(cxid));
                self.write(ctx, machine, session, cxid, op, body);
            }
        }
    }

    fn client_syncs(&mut self, ctx: &mut Context, session: i64, cxid: i32) {
        if self.leads() {
            let through = self.in_force.newest();
            if let Some(attached) = self.attached.get_mut(&session) {
                attached.waiting.push_back(Waiting::Sync(cxid, Some(through)));
            }
            return self.answer_front(ctx, session);
        }
        let request = LearnerRequest {
            session,
            cxid,
            kind: SYNC,
            body: Arc::from(&b""[..]),
            auth: Vec::new(),
        };
        match self.zab.forward(request) {
            Ok(()) => {
                self.syncs.push_back(session);
                if let Some(attached) = self.attached.get_mut(&session) {
                    attached.waiting.push_back(Waiting::Sync(cxid, None));
                }
            }
            Err(_) => self.drop_client(ctx, session, Reply::Dropped),
        }
    }

    fn write(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        session: i64,
        cxid: i32,
        op: OpCode,
        body: Vec<u8>,
    ) {
        let done = if self.leads() {
            self.order(ctx, machine, machine.sid, session, cxid, op, &body)
        } else {
            let kind = op as i32;
            let request =
                LearnerRequest { session, cxid, kind, body: body.into(), auth: Vec::new() };
            self.zab.forward(request)
        };
        if done.is_err() {
            self.drop_client(ctx, session, Reply::Dropped);
        }
    }

    fn drop_client(&mut self, ctx: &mut Context, session: i64, reply: Reply) {
        if let Some(attached) = self.attached.remove(&session) {
            self.reply(ctx, attached.client, attached.connection, reply);
        }
        if let Some((client, connection)) = self.attaching.remove(&session) {
            self.reply(ctx, client, connection, Reply::Dropped);
        }
    }

    fn connect(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        from: (usize, u64),
        session: i64,
        timeout_ms: i32,
        last_zxid: Zxid,
    ) {
        if last_zxid > self.published() {
            return self.reply(ctx, from.0, from.1, Reply::Dropped);
        }
        if session == 0 {
            self.sessions_made += 1;
            let session = machine.sid << 56 | (self.number as i64) << 24 | self.sessions_made;
            self.attaching.insert(session, from);
            let body = create_session_body(timeout_ms);
            return self.write(ctx, machine, session, 0, OpCode::CreateSession, body);
        }
        // A newer connection of the same session takes the older one's place.
        self.drop_client(ctx, session, Reply::Dropped);
        self.attaching.insert(session, from);
        if self.leads() {
            let valid = self.revalidate(ctx, machine, machine.sid, session, timeout_ms);
            return self.decide(ctx, machine, session, valid);
        }
        if self.zab.revalidate(session, timeout_ms).is_err() {
            return self.drop_client(ctx, session, Reply::Dropped);
        }
        self.revalidating.push_back((session, from.0, from.1));
    }

    fn attach(&mut self, ctx: &mut Context, session: i64) {
        let Some((client, connection)) = self.attaching.remove(&session) else { return };
        let timeout_ms = ctx.plan.clients.timeout_ms;
        self.attached
            .insert(session, Attached { client, connection, timeout_ms, waiting: VecDeque::new() });
        self.reply(ctx, client, connection, Reply::Attached { session });
    }

    /// The leader's answer to the oldest question about this session. It decides for the connection that asked, never for
    /// a newer one: the leader hands the session to us once more when it comes to that one's question, and if the client
    /// has gone to another server by then, what it sends here must not have been taken before.
    pub(super) fn told_valid(
        &mut self,
        ctx: &mut Context,
        machine: &Machine,
        session: i64,
        valid: bool,
    ) {
        let asked = self.revalidating.iter().position(|(of, ..)| *of == session);
        let asked = asked.and_then(|at| self.revalidating.remove(at));
        let waits = self.attaching.get(&session).copied();
        if asked.map(|(_, client, connection)| (client, connection)) == waits {
            self.decide(ctx, machine, session, valid);
        }
    }

    fn decide(&mut self, ctx: &mut Context, machine: &Machine, session: i64, valid: bool) {
        ctx.tell(|| format!("{}:   session {session:x} valid {valid}", machine.sid));
        if valid {
            return self.attach(ctx, session);
        }
        if let Some((client, connection)) = self.attaching.remove(&session) {
            self.reply(ctx, client, connection, Reply::Expired);
        }
    }

    /// The sessions that a learner heard from.
    pub(super) fn touched(&self) -> Vec<(i64, i32)> {
        self.attached.iter().map(|(session, a)| (*session, a.timeout_ms)).collect()
    }

    pub(super) fn synced(&mut self, ctx: &mut Context) {
        ctx.report.client_syncs += 1;
        let Some(session) = self.syncs.pop_front() else { return };
        if let Some(attached) = self.attached.get_mut(&session) {
            let waits = attached.waiting.iter_mut().find(|w| matches!(w, Waiting::Sync(_, None)));
            if let Some(waiting) = waits
                && let Waiting::Sync(cxid, _) = *waiting
            {
                *waiting = Waiting::Synced(cxid);
            }
        }
        self.answer_front(ctx, session);
    }

    /// Answers what can be answered of a session's requests, in their order.
    fn answer_front(&mut self, ctx: &mut Context, session: i64) {
        let published = self.shown;
        let Some(attached) = self.attached.get_mut(&session) else { return };
        let (client, connection) = (attached.client, attached.connection);
        let mut done = Vec::new();
        while let Some(front) = attached.waiting.front() {
            match *front {
                Waiting::Read(cxid) | Waiting::Synced(cxid) => done.push(cxid),
                Waiting::Sync(cxid, Some(through)) if through <= published => done.push(cxid),
                _ => break,
            }
            attached.waiting.pop_front();
        }
        for cxid in done {
            let reply = Reply::Done { cxid, zxid: published, write: false, err: 0 };
            self.reply(ctx, client, connection, reply);
        }
    }

    /// A transaction is committed and published here.
    pub(super) fn committed(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        applied: &Applied,
    ) {
        let (session, cxid, zxid) = (applied.session, applied.cxid, applied.mark.0);
        self.shown = zxid;
        if session == barrier_session(machine.sid)
            && let Some(at) = self.barriers.iter().position(|asked| asked.cxid == cxid)
        {
            let token = self.barriers.swap_remove(at).token;
            match ctx.plan.odd.late_us {
                0 => self.barrier_done(ctx, token),
                late_us => {
                    let after = machine.random.spread(late_us);
                    self.answer_in(ctx, machine, after, Answer::Barrier { token });
                }
            }
        }
        if applied.opens {
            return self.attach(ctx, session);
        }
        if let Some(attached) = self.attached.get_mut(&session)
            && let Some(Waiting::Write(waits)) = attached.waiting.front()
            && *waits == cxid
            && cxid != 0
        {
            attached.waiting.pop_front();
            let (client, connection) = (attached.client, attached.connection);
            self.reply(ctx, client, connection, Reply::Done { cxid, zxid, write: true, err: 0 });
        }
        if applied.closes {
            self.drop_client(ctx, session, Reply::Expired);
        }
        let waiting: Vec<i64> =
            self.attached.iter().filter(|(_, a)| !a.waiting.is_empty()).map(|(s, _)| *s).collect();
        for session in waiting {
            self.answer_front(ctx, session);
        }
    }

    // ---- coming back without a history

    /// Sends a request that becomes a transaction whatever comes of it.
    pub(super) fn begin_barrier(&mut self, ctx: &mut Context, machine: &mut Machine, token: u64) {
        self.barriers_sent += 1;
        let cxid = self.barriers_sent + (self.number as i32) * 1000;
        // One that was sent before may still be committed.
        self.barriers.push(Barrier { token, cxid, sent_at: ctx.now() });
        // Nobody has this session: an error transaction.
        let (session, kind) = (barrier_session(machine.sid), OpCode::Delete as i32);
        let mut body = Vec::new();
        ringkeeper::protocol::DeleteRequest { path: "/", version: -1 }.encode(&mut body);
        let request = LearnerRequest { session, cxid, kind, body: body.into(), auth: Vec::new() };
        // Where it cannot be sent it is tried again.
        let _ = self.zab.forward(request);
    }

    /// Tells the core.
    pub(super) fn barrier_done(&mut self, ctx: &Context, token: u64) {
        self.tell(ctx, Told::Barrier(token));
        self.zab.handle_barrier(token);
    }
}

/// A request that the core asked for, to become a transaction.
pub(super) struct Barrier {
    pub token: u64,
    pub cxid: i32,
    pub sent_at: Micros,
}

/// The session that stands for a server's own requests.
fn barrier_session(sid: Sid) -> i64 {
    -sid
}
