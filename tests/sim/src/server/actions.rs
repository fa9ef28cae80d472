//! Carrying out the core's actions, in order.

use std::sync::Arc;

use ringkeeper::protocol::Zxid;
use ringkeeper::zab::{Action, CloseReason, ConnId, Mistake, Packet, Role, Sid};

use super::process::{Death, Link, Process, Staging, log_options};
use super::state::{State, config_in};
use crate::check::{Rule, Violation};
use crate::context::{Answer, Context, Message};
use crate::network::Port;
use crate::server::process::Machine;
use crate::store::epochs::Epochs;
use crate::store::{Store, StoreError, snapshot};
use crate::time::{MS, Micros};

impl Process {
    /// Takes what the core asks for and does it, until it asks for nothing more.
    pub fn carry_out(&mut self, ctx: &mut Context, machine: &mut Machine) {
        loop {
            let mut actions = std::mem::take(&mut self.actions);
            actions.clear();
            self.zab.take_actions(&mut actions);
            let any = !actions.is_empty();
            for action in actions.drain(..) {
                if let Some(left) = &mut self.actions_left {
                    if *left == 0 {
                        self.die(Death::Killed);
                    } else {
                        *left -= 1;
                    }
                }
                if self.death.is_some() || ctx.violation.is_some() {
                    break;
                }
                ctx.tell(|| format!("{}:   {}", machine.sid, crate::trace::action(&action)));
                self.perform(ctx, machine, action);
            }
            self.actions = actions;
            if !any || self.death.is_some() || ctx.violation.is_some() {
                return;
            }
        }
    }

    fn perform(&mut self, ctx: &mut Context, machine: &mut Machine, action: Action) {
        match action {
            Action::SendElection { to, message } => self.send_vote(ctx, machine, to, message),
            Action::Connect { to, attempt } => self.dial(ctx, machine, to, Some(attempt)),
            Action::Close { conn, reason } => self.close(ctx, machine, conn, &reason),
            Action::Send { conn, packet } => self.send(ctx, machine, conn, packet),
            Action::StreamLog { conn, after, through } => {
                self.stream(ctx, machine, conn, after, through);
            }
            Action::LookUp { conn, zxid } => {
                let after = machine.random.spread(500);
                self.answer_in(ctx, machine, after, Answer::LookedUp { conn: conn.0, zxid });
            }
            Action::PinSnapshot { conn } => self.pin(ctx, conn),
            Action::SendSnapshot { conn, zxid } => self.send_snapshot(ctx, machine, conn, zxid),
            Action::UnpinSnapshot { conn } => {
                self.pins.remove(&conn);
            }
            Action::StoreEpochs { token, accepted, current, intact } => {
                // One after the other.
                self.epoch_stores.push_back((token, Epochs { accepted, current, intact }));
                if self.epoch_stores.len() == 1 {
                    let after = self.disk_time(ctx, machine);
                    self.answer_in(ctx, machine, after, Answer::Epochs);
                }
            }
            Action::Append { .. }
            | Action::SyncLog { .. }
            | Action::Truncate { .. }
            | Action::StageSnapshot { .. }
            | Action::TakeOver { .. }
            | Action::DropStaged { .. }
            | Action::Undo { .. }
            | Action::Replay { .. }
            | Action::Commit { .. } => {
                self.log_queue.push_back(action);
                self.pump(ctx, machine);
            }
            Action::Proposed { .. } => {}
            Action::Activate { config } => {
                self.config = config;
            }
            Action::Role(role) => self.take_role(ctx, machine, role),
            Action::Request { sid, conn, request } => {
                self.learner_asks(ctx, machine, sid, conn, &request);
            }
            Action::Revalidate { sid, conn, session, timeout_ms } => {
                let valid = self.revalidate(ctx, machine, sid, session, timeout_ms);
                self.zab.revalidated(conn, session, valid);
            }
            Action::Touched { sid: _, sessions } => {
                for (session, timeout_ms) in sessions {
                    self.touch(ctx, machine, session, timeout_ms);
                }
            }
            Action::AnswerPing { conn, zxid } => {
                let touched = self.touched();
                self.send(ctx, machine, conn, Packet::Ping { zxid, touched });
            }
            Action::Revalidated { session, valid } => self.told_valid(ctx, machine, session, valid),
            Action::Synced => self.synced(ctx),
            Action::Barrier { token } => self.begin_barrier(ctx, machine, token),
        }
    }

    // ---- the network

    fn send_vote(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        to: Sid,
        message: ringkeeper::zab::Notification,
    ) {
        let link = self.links.entry(to).or_default();
        link.last = Some(message.clone());
        match link.conn {
            Some(conn) => post(ctx, machine, conn, Message::Vote(message)),
            None => self.dial(ctx, machine, to, None),
        }
    }

    /// Connects again where something waits to be said.
    pub(super) fn dial_links(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let idle = |link: &Link| link.conn.is_none() && !link.dialling && link.last.is_some();
        let to: Vec<Sid> =
            self.links.iter().filter(|(_, link)| idle(link)).map(|(sid, _)| *sid).collect();
        for sid in to {
            self.dial(ctx, machine, sid, None);
        }
    }

    fn dial(&mut self, ctx: &mut Context, machine: &mut Machine, to: Sid, attempt: Option<u64>) {
        if attempt.is_none()
            && std::mem::replace(&mut self.links.entry(to).or_default().dialling, true)
        {
            return;
        }
        let there_and_back = ctx.network.delay() + ctx.network.delay();
        self.answer_in(ctx, machine, there_and_back, Answer::Dialled { to, attempt });
    }

    /// A connection that this process dialled is open, or cannot be had.
    pub fn dialled(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        to: Sid,
        attempt: Option<u64>,
        conn: Option<u64>,
    ) {
        match (attempt, conn) {
            (Some(attempt), Some(conn)) => {
                self.inputs.insert(conn, Default::default());
                self.zab.handle_connected(attempt, ConnId(conn));
            }
            (Some(attempt), None) => self.zab.handle_connect_failed(attempt),
            (None, conn) => {
                self.links.entry(to).or_default().dialling = false;
                if let Some(conn) = conn {
                    self.linked(ctx, machine, to, conn);
                }
            }
        }
        self.carry_out(ctx, machine);
    }

    /// A connection to a port of this process was accepted.
    pub fn accepted(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        port: Port,
        from: Sid,
        conn: u64,
    ) {
        match port {
            Port::Election => self.linked(ctx, machine, from, conn),
            Port::Quorum => {
                self.inputs.insert(conn, Default::default());
                self.zab.handle_accepted(ConnId(conn));
            }
        }
        self.carry_out(ctx, machine);
    }

    fn linked(&mut self, ctx: &mut Context, machine: &mut Machine, peer: Sid, conn: u64) {
        let link = self.links.entry(peer).or_default();
        if let Some(old) = link.conn.replace(conn) {
            drop_own_end(ctx, machine, old);
        }
        if let Some(last) = link.last.clone() {
            post(ctx, machine, conn, Message::Vote(last));
        }
        self.zab.handle_election_link(peer);
    }

    fn send(&mut self, ctx: &mut Context, machine: &mut Machine, conn: ConnId, packet: Packet) {
        match packet {
            Packet::Diff { .. } => ctx.report.diffs += 1,
            Packet::Trunc { .. } => ctx.report.truncs += 1,
            _ => {}
        }
        post(ctx, machine, conn.0, Message::Packet(packet));
    }

    fn close(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        conn: ConnId,
        reason: &CloseReason,
    ) {
        if let CloseReason::Breach(what) = reason {
            ctx.report.breaches += 1;
            if ctx.mistakes == Default::default() {
                let detail = format!("server {} says of a correct peer: {what}", machine.sid);
                ctx.fail(Violation { rule: Rule::Breach, detail });
            }
        }
        self.inputs.remove(&conn.0);
        self.pins.remove(&conn);
        if self.staging.is_some_and(|s| s.conn == conn && !s.begun) {
            self.staging = None;
            self.log_busy = false;
        }
        drop_own_end(ctx, machine, conn.0);
    }

    fn stream(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        conn: ConnId,
        after: Zxid,
        through: Zxid,
    ) {
        let mut from = after;
        if machine.random.chance(ctx.plan.odd.overlap_per_mille) {
            // Legal, if odd: what the learner has comes again.
            for _ in 0..machine.random.below(4) {
                if let Ok(Some(earlier)) = self.in_force.floor(from - 1) {
                    from = earlier;
                }
            }
        }
        let mut found = match self.in_force.read(from, through) {
            Ok(found) => found,
            Err(why) => {
                return self.die(Death::DiskFailed(why));
            }
        };
        if ctx.mistakes.has(Mistake::StreamOneTooFew) {
            found.pop();
        }
        for (zxid, txn) in found {
            let config = config_in(&txn).map(Arc::new);
            post(ctx, machine, conn.0, Message::Packet(Packet::Proposal { zxid, txn, config }));
            post(ctx, machine, conn.0, Message::Packet(Packet::Commit { zxid }));
        }
    }

    fn pin(&mut self, ctx: &mut Context, conn: ConnId) {
        let tree = &self.in_force.store.tree;
        let zxid = tree.published();
        let bytes = match ctx.mistakes.has(Mistake::SnapshotHoldsUncommitted) {
            true => snapshot::encode_newest(tree, zxid),
            false => snapshot::encode(tree, zxid),
        };
        self.pins.insert(conn, (zxid, bytes.into()));
        self.zab.handle_snapshot_pinned(conn, zxid);
    }

    fn send_snapshot(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        conn: ConnId,
        zxid: Zxid,
    ) {
        ctx.report.snaps += 1;
        let Some((pinned, bytes)) = self.pins.remove(&conn) else {
            return self.wrong(ctx, machine, "a snapshot is to be sent that was not pinned".into());
        };
        if pinned != zxid {
            return self.wrong(
                ctx,
                machine,
                format!("0x{pinned:x} was pinned, 0x{zxid:x} is to be sent"),
            );
        }
        post(ctx, machine, conn.0, Message::Packet(Packet::Snap { zxid }));
        post(ctx, machine, conn.0, Message::Snapshot(bytes));
    }

    // ---- the log and memory

    /// Does what waits for the log, in order, as far as the log allows.
    pub(super) fn pump(&mut self, ctx: &mut Context, machine: &mut Machine) {
        while self.death.is_none() && ctx.violation.is_none() {
            let Some(next) = self.log_queue.front() else { return };
            // A snapshot that was to be read is not wanted any more.
            let cancels =
                matches!(next, Action::DropStaged { .. }) && self.staging.is_some_and(|s| !s.begun);
            if cancels {
                self.staging = None;
                self.log_busy = false;
            }
            if self.log_busy {
                return;
            }
            if matches!(next, Action::Truncate { .. } | Action::TakeOver { .. })
                && !self.state().is_quiet()
            {
                return self.flush(ctx, machine);
            }
            let Some(action) = self.log_queue.pop_front() else { return };
            self.log_action(ctx, machine, action);
        }
    }

    fn log_action(&mut self, ctx: &mut Context, machine: &mut Machine, action: Action) {
        let done = match action {
            Action::Append { generation, zxid, txn } => {
                let appended = self.state().append(zxid, txn, generation);
                if appended.is_ok() && ctx.mistakes.has(Mistake::PublishBeforeCommit) {
                    self.commit(ctx, machine, zxid);
                }
                appended
            }
            Action::SyncLog { generation } => {
                self.state().sync(generation);
                let through = self.state().store.log.durable_through();
                let mut reports = Vec::new();
                if self.state().is_quiet() {
                    self.state().durable(through, &mut reports);
                }
                for (zxid, generation) in reports {
                    self.zab.handle_durable(zxid, generation);
                }
                Ok(())
            }
            Action::Truncate { generation, to } => {
                return self.truncate(ctx, machine, generation, to);
            }
            Action::StageSnapshot { conn, zxid } => {
                self.log_busy = true;
                self.staging = Some(Staging { conn, zxid, begun: false });
                self.take_input(ctx, machine, conn.0);
                Ok(())
            }
            Action::TakeOver { generation } => return self.take_over(ctx, machine, generation),
            Action::DropStaged { committed } => {
                self.drop_staged(ctx, machine, committed);
                Ok(())
            }
            Action::Undo { to } => {
                if !ctx.mistakes.has(Mistake::NoUndoOnStepDown) {
                    ctx.report.undone += self.state().undo(to) as u64;
                }
                Ok(())
            }
            Action::Replay { through } => self.state().replay(through),
            Action::Commit { through } => {
                self.commit(ctx, machine, through);
                Ok(())
            }
            other => Err(format!("no action of the log: {other:?}")),
        };
        if let Err(why) = done {
            self.wrong(ctx, machine, why);
        }
    }

    fn truncate(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        generation: ringkeeper::zab::Generation,
        to: Zxid,
    ) {
        let number = self.state().store.number;
        let behind = self.state().recent.iter().filter(|(zxid, _)| *zxid > to).cloned().collect();
        ctx.checker.medium(machine.sid, number).cutting(to);
        match self.state().truncate(to) {
            Ok((last, cut)) => {
                if cut {
                    ctx.report.cuts += 1;
                    ctx.checker.medium(machine.sid, number).truncated(to);
                    if ctx.mistakes.has(Mistake::StaleFrameAfterTrunc) {
                        machine.cut_off = (to, behind);
                    }
                } else {
                    ctx.checker.medium(machine.sid, number).not_cut();
                }
                self.log_busy = true;
                let after = self.disk_time(ctx, machine);
                self.answer_in(ctx, machine, after, Answer::Truncated { last, generation });
            }
            // There is no spare to go on in: it waits for room.
            Err(StoreError::NoSpace) => {
                ctx.report.full += 1;
                self.die(Death::DiskFailed("no room to cut the log".into()));
            }
            Err(error) => self.store_failed(ctx, machine, error),
        }
    }

    /// The snapshot has come: it is put beside the state in force.
    pub(super) fn stage(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        staging: Staging,
        bytes: &Arc<[u8]>,
    ) {
        self.staging = Some(Staging { begun: true, ..staging });
        let number = self.in_force.store.number + 1;
        if ctx.mistakes.has(Mistake::OldLogDroppedEarly) {
            let cleared = machine.disk.volume(number - 1).remove_all();
            if cleared.is_err() {
                return self.die(Death::InDisk);
            }
        }
        let options = log_options(ctx, machine.sid, self.number << 8 | number);
        let staged = Store::stage(&machine.disk, number, bytes, options);
        let after = self.disk_time(ctx, machine) * 2;
        match staged {
            Ok((store, found)) => {
                if found.base != staging.zxid {
                    let (is, said) = (found.base, staging.zxid);
                    return self.wrong(
                        ctx,
                        machine,
                        format!("a snapshot of 0x{is:x} came as one of 0x{said:x}"),
                    );
                }
                *ctx.checker.medium(machine.sid, number) = crate::check::Medium::behind(found.base);
                let checked = ctx.checker.loaded(machine.sid, found.base, store.tree.digest());
                ctx.check(checked);
                self.staged = Some(State::new(store, found));
                self.answer_in(
                    ctx,
                    machine,
                    after,
                    Answer::Staged { conn: staging.conn.0, ok: true },
                );
            }
            Err(StoreError::NoSpace) => {
                ctx.report.full += 1;
                if let Err(error) = Store::clear(&machine.disk, number) {
                    return self.store_failed(ctx, machine, error);
                }
                self.answer_in(
                    ctx,
                    machine,
                    after,
                    Answer::Staged { conn: staging.conn.0, ok: false },
                );
            }
            Err(error) => self.store_failed(ctx, machine, error),
        }
    }

    fn take_over(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        generation: ringkeeper::zab::Generation,
    ) {
        let Some(staged) = self.staged.take() else {
            return self.wrong(ctx, machine, "there is no snapshot to take over".into());
        };
        if let Err(error) = staged.store.take_over() {
            self.staged = Some(staged);
            return match error {
                StoreError::NoSpace => self.die(Death::DiskFailed("no room to take over".into())),
                error => self.store_failed(ctx, machine, error),
            };
        }
        ctx.report.taken_over += 1;
        ctx.checker.in_force(machine.sid, staged.store.number);
        let old = std::mem::replace(&mut self.in_force, staged).store.number;
        if let Err(error) = Store::clear(&machine.disk, old) {
            return self.store_failed(ctx, machine, error);
        }
        self.log_busy = true;
        let after = self.disk_time(ctx, machine);
        self.answer_in(ctx, machine, after, Answer::TakenOver { generation });
    }

    fn drop_staged(&mut self, ctx: &mut Context, machine: &mut Machine, committed: Zxid) {
        let Some(staged) = self.staged.take() else { return };
        ctx.report.dropped_staged += 1;
        if let Err(error) = Store::clear(&machine.disk, staged.store.number) {
            return self.store_failed(ctx, machine, error);
        }
        self.in_force.undo(committed);
        let (published, digest) = (self.published(), self.in_force.published_digest);
        let checked = ctx.checker.loaded(machine.sid, published, digest);
        ctx.check(checked);
    }

    fn commit(&mut self, ctx: &mut Context, machine: &mut Machine, through: Zxid) {
        match self.state().commit(through) {
            Ok(done) => {
                for applied in &done {
                    let before = ctx.checker.committed();
                    let checked = ctx.checker.applied(machine.sid, applied);
                    ctx.check(checked);
                    if ctx.checker.committed() > before {
                        ctx.report.committed += 1;
                        ctx.report.reconfigs += u64::from(applied.config.is_some());
                        ctx.report.sessions += u64::from(applied.opens);
                        ctx.report.sessions_closed += u64::from(applied.closes);
                    }
                    if self.staged.is_none() {
                        self.committed(ctx, machine, applied);
                    }
                }
                self.shown = self.published();
            }
            Err(why) => {
                let detail = format!("server {}: {why}", machine.sid);
                ctx.fail(Violation { rule: Rule::OnlyCommitted, detail });
            }
        }
    }

    // ---- the role

    fn take_role(&mut self, ctx: &mut Context, machine: &mut Machine, role: Role) {
        let served = self.serves();
        let was = std::mem::replace(&mut self.role, role);
        match role {
            Role::Looking => ctx.report.looking += u64::from(was != Role::Looking),
            Role::Leading { epoch, serving: true } => {
                ctx.report.established += 1;
                let checked = ctx.checker.established(machine.sid, self.number, epoch);
                ctx.check(checked);
                self.begin_to_lead(ctx, machine);
            }
            Role::Learning { serving: true, .. } => {
                let (zxid, digest) = (self.published(), self.in_force.published_digest);
                let checked = ctx.checker.serves(machine.sid, zxid, digest);
                ctx.check(checked);
            }
            _ => {}
        }
        if served && !self.serves() || was != role && !self.serves() {
            self.drop_clients(ctx);
        }
    }

    pub(super) fn retry_barrier(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let patience: Micros = ctx.plan.tick_ms * MS * 2;
        if let Some((token, _, at)) = self.barrier
            && ctx.now() > at + patience
        {
            self.begin_barrier(ctx, machine, token);
        }
    }
}

/// Sends from this server's end of a connection.
pub(super) fn post(ctx: &mut Context, machine: &Machine, conn: u64, message: Message) {
    let Some(found) = ctx.network.conn(conn) else { return };
    let Some(end) = found.servers.iter().position(|sid| *sid == machine.sid) else { return };
    let now = ctx.now();
    let late = match &message {
        Message::Vote(_) if ctx.plan.odd.vote_delay_us > 0 => ctx.plan.odd.vote_delay_us,
        _ => 0,
    };
    let transit = ctx.network.send(conn, end, message, now, late);
    ctx.transit(transit);
    ctx.watch(conn, end);
}

fn drop_own_end(ctx: &mut Context, machine: &Machine, conn: u64) {
    let Some(found) = ctx.network.conn(conn) else { return };
    let Some(end) = found.servers.iter().position(|sid| *sid == machine.sid) else { return };
    let now = ctx.now();
    let transit = ctx.network.close(conn, end, now);
    ctx.transit(transit);
}
