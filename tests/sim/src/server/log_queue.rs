//! The log's and memory's actions, each in its turn.

use std::sync::Arc;

use ringkeeper::protocol::Zxid;
use ringkeeper::zab::{Action, Mistake};

use super::process::{Death, Machine, Process, Staging, log_options};
use super::state::State;
use crate::aim::{Deed, Moment};
use crate::check::{Rule, Violation};
use crate::context::{Answer, Context};
use crate::store::{Store, StoreError};
impl Process {
    /// Does what waits for the log, in order, as far as the log allows.
    pub(super) fn pump(&mut self, ctx: &mut Context, machine: &mut Machine) {
        while self.death.is_none() && ctx.violation.is_none() {
            let Some(next) = self.log_queue.front() else { return };
            // A snapshot that is to be read or written is not wanted any more: nothing waits for that. The next role
            // works on the memory in force, and may begin before the disk is done.
            if matches!(next, Action::DropStaged { .. }) && self.staging.is_some() {
                self.staging = None;
                self.log_busy = false;
            }
            if self.log_busy {
                return;
            }
            let waits = match next {
                Action::Truncate { .. } => true,
                Action::TakeOver { .. } => !ctx.mistakes.has(Mistake::StaleCompletionCounted),
                _ => false,
            };
            if waits && !self.state().is_quiet() {
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
                self.comes_on(ctx, conn);
                ctx.moment(machine.sid, self.leader(), Moment::Begins(Deed::Stage));
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
        self.stutter_of_cuts(ctx, machine);
        let uncut = ctx.plan.odd.uncut_per_mille;
        if uncut > 0 && machine.pieces.chance(uncut) {
            // As if the log had no such transaction.
            let last = self.state().last_logged();
            self.log_busy = true;
            let after = self.disk_time(ctx, machine);
            return self.answer_in(ctx, machine, after, Answer::Truncated { last, generation });
        }
        ctx.moment(machine.sid, self.leader(), Moment::Begins(Deed::Cut));
        let number = self.state().store.number;
        let behind = self.state().recent.iter().filter(|(zxid, _)| *zxid > to).cloned().collect();
        ctx.checker.medium(machine.sid, number).cutting(to);
        let undo = !ctx.mistakes.has(Mistake::NoUndoOnStepDown);
        match self.state().truncate(to, undo) {
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
        self.streaming.remove(&staging.conn);
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
        ctx.moment(machine.sid, self.leader(), Moment::Begins(Deed::TakeOver));
        let checked = ctx.checker.takes_over(machine.sid, staged.store.number);
        ctx.check(checked);
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
}

#[cfg(test)]
mod tests {
    use ringkeeper::zab::{ConnId, Mistakes, Role};

    use super::*;
    use crate::check::Checker;
    use crate::disk::Disk;
    use crate::network::Network;
    use crate::plan::Plan;
    use crate::random::Random;
    use crate::report::Report;
    use crate::store::snapshot;
    use crate::time::Queue;

    fn a_server() -> (Context, Machine, Process) {
        let plan = Arc::new(Plan::of(0));
        let random = |what| Random::new(0, what, 0);
        let tree = ringkeeper::tree::new(snapshot::tree_config());
        let mut ctx = Context {
            queue: Queue::new(),
            network: Network::new(plan.network.clone(), random("network")),
            checker: Checker::new((0, tree.digest()), &plan.config, plan.first_counter),
            report: Report::default(),
            violation: None,
            trace: false,
            mistakes: Mistakes::default(),
            aims: Vec::new(),
            client_random: random("clients"),
            client_at: Vec::new(),
            leading: Default::default(),
            plan: plan.clone(),
        };
        let mut machine = Machine {
            sid: plan.servers[0],
            disk: Disk::new(),
            clocks: Default::default(),
            disk_times: 1,
            fail_write: false,
            cut_off: Default::default(),
            disk_random: random("disk"),
            random: random("driver"),
            pieces: random("pieces"),
        };
        let process = Process::start(&mut ctx, &mut machine, 1).expect("an empty disk will do");
        (ctx, machine, process)
    }

    impl Process {
        fn given(&mut self, ctx: &mut Context, machine: &mut Machine, action: Action) {
            self.log_queue.push_back(action);
            self.pump(ctx, machine);
        }
    }

    /// A leader elected meanwhile would make transactions of a memory whose replay waits for the disk.
    #[test]
    fn a_snapshot_that_is_broken_off_holds_up_nothing() {
        let (mut ctx, mut machine, mut process) = a_server();
        let (old, new, zxid) = (ConnId(7), ConnId(8), 0);
        process.given(&mut ctx, &mut machine, Action::StageSnapshot { conn: old, zxid });
        let staging = process.staging.expect("a snapshot is to be read");
        let bytes = snapshot::encode(&process.in_force.store.tree, zxid).into();
        process.stage(&mut ctx, &mut machine, staging, &bytes);
        process.given(&mut ctx, &mut machine, Action::DropStaged { committed: zxid });
        process.given(&mut ctx, &mut machine, Action::Replay { through: zxid });
        assert!(process.log_queue.is_empty(), "waits for a snapshot that is not wanted");
        assert!(process.staged.is_none());

        // The disk's answer comes when the next one is awaited already.
        process.given(&mut ctx, &mut machine, Action::StageSnapshot { conn: new, zxid });
        let late = Answer::Staged { conn: old.0, ok: true };
        process.answered(&mut ctx, &mut machine, late);
        assert!(process.log_busy && process.staging.is_some_and(|s| s.conn == new));
        assert_eq!(ctx.violation, None);
    }

    #[test]
    fn who_serves_while_memory_waits_is_found_out() {
        let (mut ctx, mut machine, mut process) = a_server();
        process.log_busy = true;
        process.given(&mut ctx, &mut machine, Action::Replay { through: 0 });
        let role = |serving| Role::Learning { leader: 2, epoch: 1, observer: false, serving };
        process.role = role(false);
        process.take_role(&mut ctx, &mut machine, role(true));
        assert_eq!(ctx.violation.map(|v| v.rule), Some(Rule::Driver));
    }
}
