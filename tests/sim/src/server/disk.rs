//! The process and its disk: log writes, epochs, spare segments, snapshots.

use ringkeeper::zab::Mistake;

use super::process::{Death, Machine, Process};
use super::state::Submitted;
use super::stutter::Told;
use crate::context::{Answer, Context};
use crate::store::StoreError;
use crate::time::{MS, Micros, SECOND};
/// The longest that making a spare takes.
const SPARE_MAX_US: Micros = 20 * SECOND;

impl Process {
    pub(super) fn write_done(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        (number, write, token, fails): (u64, u64, u64, bool),
    ) {
        let (mut result, buf) = machine.disk.complete(write, fails, &mut machine.disk_random);
        if fails {
            ctx.report.failed_writes += 1;
            if ctx.mistakes.has(Mistake::SyncFailureIgnored) {
                result = Ok(buf.len());
            }
        } else {
            ctx.checker.medium(machine.sid, number).completed(write);
        }
        ctx.tell(|| format!("{}: write {write} to log {number} is done: {result:?}", machine.sid));
        let highest = ctx.mistakes.has(Mistake::DurableIsHighestWrite);
        let done_through = ringkeeper::log::frame::peek(&buf).map_or(0, |header| header.last_zxid);
        let states = [Some(&mut self.in_force), self.staged.as_mut()];
        let Some(state) =
            states.into_iter().flatten().find_map(|s| s.writes.remove(&write).then_some(s))
        else {
            return;
        };
        match state.store.log.completed(token, result, buf) {
            Ok(durable) => {
                state.highest_done = state.highest_done.max(done_through);
                let through = if highest { state.highest_done } else { durable.through };
                let mut reports = Vec::new();
                state.durable(through, &mut reports);
                for (through, generation) in reports {
                    if ctx.plan.odd.report_delay_us == 0 {
                        self.tell(ctx, Told::Durable(through, generation));
                        self.zab.handle_durable(through, generation);
                        continue;
                    }
                    let after = machine.disk_random.spread(ctx.plan.odd.report_delay_us);
                    self.answer_in(ctx, machine, after, Answer::Durable { through, generation });
                }
            }
            Err(fatal) => self.die(Death::DiskFailed(fatal.to_string())),
        }
    }

    pub(super) fn store_epochs(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let Some(&(token, epochs)) = self.epoch_stores.front() else { return };
        let stored = match ctx.mistakes.has(Mistake::EpochsTorn) {
            true => epochs.store_in_place(&machine.disk),
            false => epochs.store(&machine.disk),
        };
        match stored {
            Ok(()) => {
                let checked = ctx.checker.adopts(machine.sid, epochs.current);
                ctx.check(checked);
                let checked = ctx.checker.epochs(machine.sid, epochs.accepted, epochs.current);
                ctx.check(checked);
                if epochs.intact && !self.intact {
                    ctx.report.rejoined += 1;
                }
                self.intact = epochs.intact;
                if epochs.intact {
                    let checked = ctx.checker.intact(machine.sid);
                    ctx.check(checked);
                }
                self.tell(ctx, Told::Stored(token));
                self.zab.handle_epochs_stored(token);
                self.epoch_stores.pop_front();
                if !self.epoch_stores.is_empty() {
                    let after = self.disk_time(ctx, machine);
                    self.answer_in(ctx, machine, after, Answer::Epochs);
                }
            }
            Err(error) => match StoreError::of_disk(&machine.disk, error) {
                StoreError::NoSpace => {
                    // It waits for room.
                    self.answer_in(ctx, machine, 100 * MS, Answer::Epochs);
                }
                other => self.store_failed(ctx, machine, other),
            },
        }
    }

    pub(super) fn make_spares(&mut self, ctx: &mut Context, machine: &mut Machine) {
        self.spares_due = false;
        let made = self.state().store.maker.turn();
        if machine.disk.is_dead() {
            return self.die(Death::InDisk);
        }
        if made {
            self.want_spares(ctx, machine);
        }
    }

    pub(super) fn want_spares(&mut self, ctx: &mut Context, machine: &mut Machine) {
        if !std::mem::replace(&mut self.spares_due, true) {
            let after = machine.disk_random.spread(ctx.plan.disk.spare_us) * machine.disk_times;
            // One that was begun on a slow disk does not outlast by minutes what slowed the disk.
            self.answer_in(ctx, machine, after.min(SPARE_MAX_US), Answer::Spares);
        }
    }

    pub(super) fn take_snapshot(&mut self, ctx: &mut Context, machine: &mut Machine) {
        ctx.report.snapshots += 1;
        match self.in_force.take_snapshot() {
            Ok(()) => {}
            // Snapshots can wait.
            Err(StoreError::NoSpace) => ctx.report.full += 1,
            Err(error) => self.store_failed(ctx, machine, error),
        }
    }

    /// Lets the log write what waits.
    pub(super) fn flush(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let mut submitted = std::mem::take(&mut self.submitted);
        let flushed = self.state().flush(ctx.plan.disk.in_flight_max, &mut submitted);
        self.submitted = submitted;
        self.submit(ctx, machine);
        match flushed {
            Ok(true) => {}
            Ok(false) => {
                ctx.report.full += 1;
                self.want_spares(ctx, machine);
            }
            Err(why) => self.wrong(ctx, machine, why),
        }
    }

    pub(super) fn submit(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let number = self.state().store.number;
        for Submitted { write, token, marks } in std::mem::take(&mut self.submitted) {
            self.state().writes.insert(write);
            ctx.checker.medium(machine.sid, number).submitted(write, &marks);
            let fails = std::mem::take(&mut machine.fail_write);
            let after = self.disk_time(ctx, machine);
            ctx.tell(|| {
                let last = marks.last().map_or(0, |mark| mark.0);
                format!("{}:   write {write} to log {number} up to 0x{last:x}", machine.sid)
            });
            self.answer_in(ctx, machine, after, Answer::Write { log: number, write, token, fails });
            self.want_spares(ctx, machine);
        }
    }
}
