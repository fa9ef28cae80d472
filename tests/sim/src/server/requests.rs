//! What clients and learners ask for: sessions, writes, reads, syncs.

use std::collections::VecDeque;
use std::sync::Arc;

use ringkeeper::jute::Decoder;
use ringkeeper::prepare::{self, Outcome};
use ringkeeper::protocol::{CreateMode, CreateRequest, ErrorCode, OpCode, Zxid};
use ringkeeper::tree::{CONFIG_PATH, apply};
use ringkeeper::txn::{DIGEST_VERSION, Txn, TxnDigest, TxnHeader, TxnType, encode_record};
use ringkeeper::zab::{ConnId, EnsembleConfig, LearnerRequest, Mistake, Refusal, Sid};

use super::process::{Machine, Process};
use crate::check::Applied;
use crate::client::{Ask, Reply, What, create_session_body};
use crate::context::{Context, Event};
use crate::time::MS;

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

/// A session as the leader watches it.
pub(super) struct Tracked {
    timeout_ms: i32,
    deadline_ms: u64,
    /// The server whose client it is, as far as known.
    owner: Option<Sid>,
    closing: bool,
}

/// The opcode of sync.
const SYNC: i32 = OpCode::Sync as i32;

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
        self.syncs.clear();
        self.tracker.clear();
        self.barrier = None;
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
            return self.told_valid(ctx, machine, session, valid);
        }
        if self.zab.revalidate(session, timeout_ms).is_err() {
            self.drop_client(ctx, session, Reply::Dropped);
        }
    }

    fn attach(&mut self, ctx: &mut Context, session: i64) {
        let Some((client, connection)) = self.attaching.remove(&session) else { return };
        let timeout_ms = ctx.plan.clients.timeout_ms;
        self.attached
            .insert(session, Attached { client, connection, timeout_ms, waiting: VecDeque::new() });
        self.reply(ctx, client, connection, Reply::Attached { session });
    }

    pub(super) fn told_valid(
        &mut self,
        ctx: &mut Context,
        machine: &Machine,
        session: i64,
        valid: bool,
    ) {
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
        if let Some((token, barrier, _)) = self.barrier
            && session == barrier_session(machine.sid)
            && cxid == barrier
        {
            self.barrier = None;
            self.zab.handle_barrier(token);
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

    // ---- the leader

    pub(super) fn begin_to_lead(&mut self, ctx: &mut Context, machine: &Machine) {
        let now_ms = self.local_ms(ctx, machine);
        let sessions = self.in_force.store.tree.sessions();
        self.tracker = sessions
            .map(|(id, info)| {
                let timeout_ms = info.timeout_ms;
                let deadline_ms = now_ms + timeout_ms as u64;
                (id, Tracked { timeout_ms, deadline_ms, owner: None, closing: false })
            })
            .collect();
    }

    /// A learner's request in its turn.
    pub(super) fn learner_asks(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        sid: Sid,
        conn: ConnId,
        request: &LearnerRequest,
    ) {
        if request.kind == SYNC {
            return self.zab.learner_sync(conn);
        }
        let Some(op) = OpCode::from_i32(request.kind) else { return };
        let LearnerRequest { session, cxid, body, .. } = request;
        // What is refused is dropped: the client loses patience and asks another server.
        let _ = self.order(ctx, machine, sid, *session, *cxid, op, body);
    }

    pub(super) fn revalidate(
        &mut self,
        ctx: &Context,
        machine: &Machine,
        sid: Sid,
        session: i64,
        timeout_ms: i32,
    ) -> bool {
        let now_ms = self.local_ms(ctx, machine);
        match self.tracker.get_mut(&session) {
            Some(tracked) if !tracked.closing => {
                tracked.owner = Some(sid);
                tracked.deadline_ms = now_ms + timeout_ms as u64;
                true
            }
            _ => false,
        }
    }

    pub(super) fn touch(
        &mut self,
        ctx: &Context,
        machine: &Machine,
        session: i64,
        timeout_ms: i32,
    ) {
        let now_ms = self.local_ms(ctx, machine);
        if let Some(tracked) = self.tracker.get_mut(&session) {
            tracked.deadline_ms = tracked.deadline_ms.max(now_ms + timeout_ms as u64);
        }
    }

    /// Expires sessions that were not heard from, on a leader.
    pub(super) fn look_after_sessions(&mut self, ctx: &mut Context, machine: &mut Machine) {
        if !self.leads() {
            return;
        }
        for (session, timeout_ms) in self.touched() {
            self.touch(ctx, machine, session, timeout_ms);
        }
        let now_ms = self.local_ms(ctx, machine);
        let late = self.tracker.iter().filter(|(_, t)| t.deadline_ms < now_ms && !t.closing);
        for session in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            let _ = self.order(ctx, machine, machine.sid, session, 0, OpCode::CloseSession, &[]);
        }
    }

    /// Makes a request a transaction, applies it, and proposes it.
    #[allow(clippy::too_many_arguments)]
    fn order(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        from: Sid,
        session: i64,
        cxid: i32,
        op: OpCode,
        body: &[u8],
    ) -> Result<(), Refusal> {
        let zxid = match self.zab.next_zxid() {
            Ok(zxid) => zxid,
            Err(refusal) => {
                if refusal == Refusal::Rollover {
                    ctx.report.rollovers += 1;
                    // The core moves when it is asked for what it has no number for.
                    let _ = self.zab.propose(0, Arc::from(&b""[..]));
                }
                return Err(refusal);
            }
        };
        if self.in_force.store.log.room(64 << 10) == ringkeeper::log::Room::None {
            ctx.report.full += 1;
            return Err(Refusal::Full);
        }
        let moved = self.has_moved(from, session, op) && !ctx.mistakes.has(Mistake::OldOwnerServed);
        ctx.report.moved_refused += u64::from(moved);
        let now_ms = (ctx.now() / MS) as i64 + machine.clocks.wall_ms;
        let request = prepare::Request {
            session_id: session,
            cxid,
            op,
            body,
            identities: &[],
            moved,
            now_ms,
        };
        let tree = &mut self.in_force.store.tree;
        let planted = ctx.mistakes.has(Mistake::EphemeralAfterClose)
            && late_ephemeral(tree, &request, zxid, &mut self.output.txn);
        if !planted {
            let config = &self.prepare_config;
            match prepare::prepare(tree, config, &request, zxid, &mut self.output) {
                Outcome::Prepared(_) => {}
                // No transaction is made of it; it is left without an answer.
                Outcome::Refused(_) => return Err(Refusal::NotServing),
            }
        }
        self.track(ctx, machine, from, session, op, body);
        let bytes: Arc<[u8]> = Arc::from(&self.output.txn[..]);
        if let Err(why) = self.in_force.hold(bytes.clone()) {
            self.wrong(ctx, machine, why);
        }
        self.zab.propose(zxid, bytes)
    }

    fn has_moved(&mut self, from: Sid, session: i64, op: OpCode) -> bool {
        if matches!(op, OpCode::CreateSession | OpCode::CloseSession) {
            return false;
        }
        match self.tracker.get_mut(&session) {
            Some(tracked) => *tracked.owner.get_or_insert(from) != from,
            None => false,
        }
    }

    fn track(
        &mut self,
        ctx: &Context,
        machine: &Machine,
        from: Sid,
        session: i64,
        op: OpCode,
        body: &[u8],
    ) {
        let now_ms = self.local_ms(ctx, machine);
        match op {
            OpCode::CreateSession => {
                let timeout_ms = Decoder::new(body).i32().unwrap_or(0);
                let deadline_ms = now_ms + timeout_ms as u64;
                self.tracker.insert(
                    session,
                    Tracked { timeout_ms, deadline_ms, owner: Some(from), closing: false },
                );
            }
            OpCode::CloseSession => {
                if let Some(tracked) = self.tracker.get_mut(&session) {
                    tracked.closing = true;
                }
            }
            _ => {
                if let Some(tracked) = self.tracker.get_mut(&session) {
                    tracked.deadline_ms =
                        tracked.deadline_ms.max(now_ms + tracked.timeout_ms as u64);
                }
            }
        }
    }

    /// Proposes another configuration, or a hand-over. Says whether that was taken.
    pub fn reconfigure(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        servers: Vec<ringkeeper::zab::Server>,
        leader: Option<Sid>,
    ) -> bool {
        let Ok(zxid) = self.zab.next_zxid() else { return false };
        let config: EnsembleConfig = crate::config::make(zxid, servers);
        if self.zab.check_reconfig(&config, leader).is_err() {
            return false;
        }
        let tree = &mut self.in_force.store.tree;
        let version = tree.get(CONFIG_PATH).map_or(0, |node| node.version()) + 1;
        let time_ms = (ctx.now() / MS) as i64 + machine.clocks.wall_ms;
        let header = TxnHeader { client_id: 0, cxid: 0, zxid, time_ms, kind: TxnType::Reconfig };
        let txn = Txn::Reconfig { path: CONFIG_PATH, data: Some(config.text.as_bytes()), version };
        if let Err(error) = apply::apply(tree, &header, &txn) {
            self.wrong(ctx, machine, error.to_string());
            return false;
        }
        let digest = TxnDigest { version: DIGEST_VERSION, tree_digest: tree.digest() };
        let mut bytes = Vec::new();
        encode_record(&header, &txn, Some(digest), &mut bytes);
        let bytes: Arc<[u8]> = bytes.into();
        if let Err(why) = self.in_force.hold(bytes.clone()) {
            self.wrong(ctx, machine, why);
        }
        let text = config.text.clone();
        ctx.checker.proposes(&config);
        ctx.tell(|| {
            format!("{}: proposes as 0x{zxid:x} {text:?}, to lead {leader:?}", machine.sid)
        });
        let done = self.zab.propose_reconfig(zxid, bytes, Arc::new(config), leader);
        if let Err(refusal) = done {
            self.wrong(ctx, machine, format!("a checked reconfiguration is refused: {refusal}"));
        }
        self.carry_out(ctx, machine);
        true
    }

    // ---- coming back without a history

    /// Sends a request that becomes a transaction whatever comes of it.
    pub(super) fn begin_barrier(&mut self, ctx: &mut Context, machine: &mut Machine, token: u64) {
        self.barriers += 1;
        let cxid = self.barriers + (self.number as i32) * 1000;
        self.barrier = Some((token, cxid, ctx.now()));
        // Nobody has this session: an error transaction.
        let (session, kind) = (barrier_session(machine.sid), OpCode::Delete as i32);
        let mut body = Vec::new();
        ringkeeper::protocol::DeleteRequest { path: "/", version: -1 }.encode(&mut body);
        let request = LearnerRequest { session, cxid, kind, body: body.into(), auth: Vec::new() };
        // Where it cannot be sent it is tried again.
        let _ = self.zab.forward(request);
    }
}

/// The session that stands for a server's own requests.
fn barrier_session(sid: Sid) -> i64 {
    -sid
}

/// The mistake of making an ephemeral of a session whose close was proposed.
fn late_ephemeral(
    tree: &mut ringkeeper::tree::TreeWriter,
    request: &prepare::Request<'_>,
    zxid: Zxid,
    out: &mut Vec<u8>,
) -> bool {
    if request.op != OpCode::Create
        || tree.session(request.session_id).is_some()
        || request.session_id < 0
    {
        return false;
    }
    let Ok(create) = CreateRequest::decode(&mut Decoder::new(request.body)) else { return false };
    let ephemeral = CreateMode::from_flags(create.flags).is_some_and(|mode| mode.is_ephemeral());
    if !ephemeral || tree.get(create.path).is_some() {
        return false;
    }
    let header = TxnHeader {
        client_id: request.session_id,
        cxid: request.cxid,
        zxid,
        time_ms: request.now_ms,
        kind: TxnType::Create,
    };
    let txn = Txn::Create {
        path: create.path,
        data: create.data,
        acl: create.acl,
        ephemeral,
        parent_cversion: -1,
    };
    match apply::apply(tree, &header, &txn) {
        Ok(applied) if applied.err == ErrorCode::Ok => {}
        _ => return false,
    }
    out.clear();
    let digest = TxnDigest { version: DIGEST_VERSION, tree_digest: tree.digest() };
    encode_record(&header, &txn, Some(digest), out);
    true
}
