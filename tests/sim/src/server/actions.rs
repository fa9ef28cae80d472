//! Carrying out the core's actions, in order.

use ringkeeper::zab::{Action, Packet, Role};

use super::leading::Asked;
use super::process::{Death, Machine, Process};
use super::requests::Barrier;
use crate::aim::{Deed, Moment};
use crate::config;
use crate::context::{Answer, Context};
use crate::store::epochs::Epochs;
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
            Action::PinSnapshot { conn } => self.begin_pin(ctx, machine, conn),
            Action::SendSnapshot { conn, zxid } => self.send_snapshot(ctx, machine, conn, zxid),
            Action::UnpinSnapshot { conn } => {
                self.pins.remove(&conn);
            }
            Action::StoreEpochs { token, accepted, current, intact } => {
                ctx.moment(machine.sid, self.leader(), Moment::Begins(Deed::Store));
                // One after the other.
                self.epochs = Epochs { accepted, current, intact };
                self.epoch_stores.push_back((token, self.epochs));
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
            Action::Proposed { config } => self.proposed = config,
            Action::Activate { config } => {
                self.proposed = self.proposed.take().filter(|p| p.1.version > config.version);
                self.config = config;
            }
            Action::Role(role) => self.take_role(ctx, machine, role),
            Action::Request { sid, conn, request } => {
                self.queue_up(ctx, machine, Asked::Request(sid, conn, request));
            }
            Action::Revalidate { sid, conn, session, timeout_ms } => {
                let asked = Asked::Revalidate(sid, conn, session, timeout_ms);
                self.queue_up(ctx, machine, asked);
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

    pub(super) fn take_role(&mut self, ctx: &mut Context, machine: &mut Machine, role: Role) {
        let served = self.serves();
        let was = std::mem::replace(&mut self.role, role);
        if !self.leads() {
            self.asked.clear();
        }
        if let Some(deed) = deed(was, role) {
            ctx.moment(machine.sid, self.leader(), Moment::Begins(deed));
        }
        self.witness_role(ctx, machine, was);
        if self.serves() && !self.log_queue.is_empty() {
            // It would make transactions of, and show, a memory that lacks some.
            let waits = self.log_queue.len();
            let what = format!("it serves while {waits} actions of the log and of memory wait");
            return self.wrong(ctx, machine, what);
        }
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

    /// What a change of role tells who looks on from outside.
    fn witness_role(&self, ctx: &mut Context, machine: &Machine, was: Role) {
        let sid = machine.sid;
        match self.role {
            Role::Leading { epoch, serving: true } => ctx.leading.insert(sid, epoch),
            Role::Leading { .. } => ctx.leading.insert(sid, i64::MAX),
            _ => ctx.leading.remove(&sid),
        };
        let serves = matches!(self.role, Role::Leading { serving: true, .. });
        match serves {
            true => ctx.checker.company.begins(sid, ctx.queue.now()),
            false => ctx.checker.company.ends(sid),
        }
        let leader = match self.role {
            Role::Looking => return ctx.checker.elections.looks(sid),
            Role::Learning { leader, .. } => leader,
            Role::Leading { .. } => sid,
        };
        if was == Role::Looking {
            let active = config::membership(&self.config);
            let proposed = self.proposed.as_ref();
            let proposed = proposed.map(|(zxid, config)| (*zxid, config::membership(config)));
            let checked = ctx.checker.elections.decides(sid, leader, &active, proposed.as_ref());
            ctx.check(checked);
        }
    }

    /// Whom it follows.
    pub(super) fn leader(&self) -> Option<ringkeeper::zab::Sid> {
        match self.role {
            Role::Learning { leader, .. } => Some(leader),
            _ => None,
        }
    }

    pub(super) fn retry_barrier(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let patience: Micros = ctx.plan.tick_ms * MS * 2;
        if let Some(&Barrier { token, sent_at, .. }) = self.barriers.last()
            && ctx.now() > sent_at + patience
        {
            self.begin_barrier(ctx, machine, token);
        }
    }
}

/// What a change of role means.
fn deed(was: Role, role: Role) -> Option<Deed> {
    let leads = |role| matches!(role, Role::Leading { .. });
    match role {
        Role::Looking => Some(Deed::Look),
        Role::Leading { serving: true, .. } => Some(Deed::Establish),
        Role::Learning { serving: true, .. } => Some(Deed::Serve),
        role if leads(role) && !leads(was) => Some(Deed::Lead),
        _ => None,
    }
}
