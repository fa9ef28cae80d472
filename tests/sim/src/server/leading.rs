//! What a leader does: watches sessions, makes requests transactions, proposes them.

use std::sync::Arc;

use ringkeeper::jute::Decoder;
use ringkeeper::prepare::{self, Outcome};
use ringkeeper::protocol::{CreateMode, CreateRequest, ErrorCode, OpCode, Zxid};
use ringkeeper::tree::{CONFIG_PATH, apply};
use ringkeeper::txn::{DIGEST_VERSION, Txn, TxnDigest, TxnHeader, TxnType, encode_record};
use ringkeeper::zab::{ConnId, EnsembleConfig, LearnerRequest, Mistake, Refusal, Sid};

use super::process::{Machine, Process};
use super::requests::SYNC;
use super::stutter::Told;
use crate::aim::{Deed, Moment};
use crate::context::{Answer, Context};
use crate::time::MS;

/// What a learner asks, as it waits for its turn.
pub(super) enum Asked {
    Request(Sid, ConnId, LearnerRequest),
    Revalidate(Sid, ConnId, i64, i32),
}

/// A session as the leader watches it.
pub(super) struct Tracked {
    timeout_ms: i32,
    deadline_ms: u64,
    /// The server whose client it is, as far as known.
    owner: Option<Sid>,
    closing: bool,
}

impl Process {
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

    /// A learner asks something: done at once, or in its turn.
    pub(super) fn queue_up(&mut self, ctx: &mut Context, machine: &mut Machine, asked: Asked) {
        self.asked.push_back(asked);
        match ctx.plan.odd.late_us {
            0 => self.learner_turn(ctx, machine),
            late_us => {
                let after = machine.random.spread(late_us);
                self.answer_in(ctx, machine, after, Answer::Asked);
            }
        }
    }

    /// The oldest question of a learner has come to its turn.
    pub(super) fn learner_turn(&mut self, ctx: &mut Context, machine: &mut Machine) {
        match self.asked.pop_front() {
            Some(Asked::Request(sid, conn, request)) => {
                self.learner_asks(ctx, machine, sid, conn, &request);
            }
            Some(Asked::Revalidate(sid, conn, session, timeout_ms)) => {
                let valid = self.revalidate(ctx, machine, sid, session, timeout_ms);
                self.zab.revalidated(conn, session, valid);
            }
            None => {}
        }
    }

    /// A learner's request in its turn.
    fn learner_asks(
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
    pub(super) fn order(
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
                ctx.report.rollovers += u64::from(refusal == Refusal::Rollover);
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
        self.tell(ctx, Told::Proposed(zxid));
        if let Err(refusal) = self.zab.propose(zxid, bytes) {
            self.wrong(ctx, machine, format!("0x{zxid:x} was given out and is refused: {refusal}"));
        }
        Ok(())
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
        let servers = &ctx.plan.servers;
        let other = Some(servers[zxid as usize % servers.len()]).filter(|sid| *sid != machine.sid);
        ctx.moment(machine.sid, other, Moment::Begins(Deed::Propose));
        self.carry_out(ctx, machine);
        true
    }
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
