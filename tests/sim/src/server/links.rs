//! Connections to other servers, and what is sent on them.

use std::sync::Arc;

use ringkeeper::zab::{
    CloseReason, ConnId, EnsembleConfig, Mistake, Packet, Role, Sid, counter_of,
};

use super::process::{Inbox, Link, Machine, Process};
use super::stutter::Told;
use crate::aim::{self, Moment};
use crate::check::{Rule, Violation};
use crate::context::{Answer, Context, Message};
use crate::network::{End, Port};
use crate::wire::{Reader, Sent};
impl Process {
    pub(super) fn send_vote(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        to: Sid,
        message: ringkeeper::zab::Notification,
    ) {
        if !ctx.plan.servers.contains(&to) {
            // A stranger's.
            return;
        }
        let mut message = message;
        if ctx.plan.odd.old_votes.contains(&machine.sid) {
            (message.version, message.config) = (0, None);
        }
        ctx.checker.elections.votes(machine.sid, &message);
        let link = self.links.entry(to).or_default();
        link.last = Some(message.clone());
        match link.conn {
            Some(conn) => {
                if machine.random.chance(ctx.plan.odd.vote_twice_per_mille) {
                    post(ctx, machine, conn, Message::Vote(message.clone()));
                }
                post(ctx, machine, conn, Message::Vote(message));
            }
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

    pub(super) fn dial(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        to: Sid,
        attempt: Option<u64>,
    ) {
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
                self.inputs.insert(conn, Inbox::new(to, 1));
                self.tell(ctx, Told::Attempt(attempt));
                self.zab.handle_connected(attempt, ConnId(conn));
            }
            (Some(attempt), None) => {
                self.tell(ctx, Told::Attempt(attempt));
                self.zab.handle_connect_failed(attempt);
            }
            (None, conn) => {
                self.links.entry(to).or_default().dialling = false;
                if let Some(conn) = conn {
                    self.linked(ctx, machine, (to, 1), conn);
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
            Port::Election => self.linked(ctx, machine, (from, 0), conn),
            Port::Quorum => {
                self.inputs.insert(conn, Inbox::new(from, 0));
                self.zab.handle_accepted(ConnId(conn));
            }
        }
        self.carry_out(ctx, machine);
    }

    /// A connection to another server's election port, or from it; `peer` has that end of it.
    fn linked(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        (peer, end): (Sid, End),
        conn: u64,
    ) {
        let link = self.links.entry(peer).or_default();
        link.reader = Some(Reader::new(Port::Election, peer, end));
        if let Some(old) = link.conn.replace(conn) {
            drop_own_end(ctx, machine, old);
        }
        if let Some(last) = link.last.clone() {
            post(ctx, machine, conn, Message::Vote(last));
        }
        self.zab.handle_election_link(peer);
    }

    pub(super) fn send(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        conn: ConnId,
        packet: Packet,
    ) {
        let mut packet = packet;
        match &mut packet {
            Packet::Diff { .. } => ctx.report.diffs += 1,
            Packet::Trunc { .. } => ctx.report.truncs += 1,
            Packet::Ack { zxid } if counter_of(*zxid) == 0 => self.acked_new_leader = Some(conn),
            Packet::NewLeader { config, .. } => self.offer(ctx, machine.sid, config),
            _ => {}
        }
        if self.leaves_out(ctx, machine, conn, &packet) {
            return;
        }
        if let Some(epoch) = self.counted_epoch() {
            if let Packet::LeaderInfo { .. } = packet {
                ctx.checker.stands(machine.sid, epoch, self.in_force.last_logged());
            }
            let checked = ctx.checker.promises.says(machine.sid, epoch, &packet);
            ctx.check(checked);
        }
        post(ctx, machine, conn.0, Message::Packet(packet));
    }

    /// What NEWLEADER tells of the members: nothing, before ZooKeeper 3.5; since then the last that the leader has seen,
    /// committed or not.
    fn offer(&self, ctx: &Context, sid: Sid, config: &mut Option<Arc<EnsembleConfig>>) {
        if ctx.plan.odd.old_votes.contains(&sid) {
            *config = None;
        } else if ctx.plan.odd.offers_proposed
            && let Some((_, proposed)) = &self.proposed
        {
            *config = Some(Arc::clone(proposed));
        }
    }

    /// The epoch in which its word counts now, as a leader's or a follower's.
    fn counted_epoch(&self) -> Option<i64> {
        match self.role {
            Role::Leading { epoch, .. } | Role::Learning { epoch, observer: false, .. } => {
                Some(epoch)
            }
            _ => None,
        }
    }

    /// The mistake of leaving out a proposal with its COMMIT, or a COMMIT, now and then.
    fn leaves_out(
        &mut self,
        ctx: &Context,
        machine: &mut Machine,
        conn: ConnId,
        packet: &Packet,
    ) -> bool {
        let has = |mistake| ctx.mistakes.has(mistake) && ctx.now() < ctx.plan.fault_time;
        let proposals = has(Mistake::ZxidGapAccepted) || has(Mistake::ProposalLeftOut);
        let commits = has(Mistake::CommitMismatchSkipped) || has(Mistake::CommitLeftOut);
        let live = self.up_to_date.contains(&conn);
        match packet {
            Packet::UpToDate => {
                self.up_to_date.insert(conn);
                false
            }
            Packet::Proposal { zxid, .. } if live && proposals && machine.random.chance(20) => {
                self.left_out.insert((conn, *zxid));
                true
            }
            Packet::Commit { zxid } if proposals => self.left_out.remove(&(conn, *zxid)),
            Packet::Commit { .. } => commits && machine.random.chance(20),
            _ => false,
        }
    }

    pub(super) fn close(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        conn: ConnId,
        reason: &CloseReason,
    ) {
        ctx.tell(|| format!("{}:   closes {}: {reason}", machine.sid, conn.0));
        if let CloseReason::Breach(what) = reason {
            ctx.report.breaches += 1;
            if ctx.mistakes == Default::default() && !self.garbled {
                let detail = format!("server {} says of a correct peer: {what}", machine.sid);
                ctx.fail(Violation { rule: Rule::Breach, detail });
            }
        }
        self.tell(ctx, Told::Closed(conn));
        self.inputs.remove(&conn.0);
        self.pins.remove(&conn);
        if self.staging.is_some_and(|s| s.conn == conn && !s.begun) {
            self.staging = None;
            self.log_busy = false;
        }
        drop_own_end(ctx, machine, conn.0);
    }
}

/// Sends from this server's end of a connection.
pub(super) fn post(ctx: &mut Context, machine: &Machine, conn: u64, message: Message) {
    let Some(found) = ctx.network.conn(conn) else { return };
    let Some(end) = found.servers.iter().position(|sid| *sid == machine.sid) else { return };
    let now = ctx.now();
    let late = match &message {
        _ if now >= ctx.plan.fault_time => 0,
        Message::Vote(_) => ctx.plan.odd.vote_delay_us,
        Message::Packet(Packet::NewLeader { .. } | Packet::UpToDate) => ctx.plan.odd.sync_delay_us,
        // The mean: hardly any takes longer than both ends see it come on.
        Message::Snapshot(_) => ctx.plan.odd.snapshot_us_max / 8,
        Message::Packet(_) => 0,
    };
    if let Message::Packet(packet) = &message {
        let peer = Some(found.servers[1 - end]);
        ctx.moment(machine.sid, peer, Moment::Sends(aim::word(packet)));
    }
    let before = ctx.network.sent(conn, end);
    let sent = Sent::new(message, machine.sid, end, before);
    let transit = ctx.network.send(conn, end, sent, now, late);
    ctx.transit(transit);
    ctx.watch(conn, end);
}

pub(super) fn drop_own_end(ctx: &mut Context, machine: &Machine, conn: u64) {
    let Some(found) = ctx.network.conn(conn) else { return };
    let Some(end) = found.servers.iter().position(|sid| *sid == machine.sid) else { return };
    let now = ctx.now();
    let transit = ctx.network.close(conn, end, now);
    ctx.transit(transit);
}
