//! What comes in, in the order in which the core wants it, and when the process next wants to be asked.

use ringkeeper::zab::{ConnId, LookUpAnswer, Packet, Role, Sid};

use super::process::{Death, Inbox, Input, Machine, Process};
use super::stutter::Told;
use crate::aim::{self, Moment};
use crate::check::{Rule, Violation};
use crate::client::Ask;
use crate::config;
use crate::context::{Answer, Context, Event, Message};
use crate::network::{Packet as Wire, Port};
use crate::time::{MS, Micros};
use crate::wire::{Reader, Sent};

/// Half ticks that a leader may take to see that it is alone: it looks every tick.
const LOOKS_MAX: u64 = 4;

impl Process {
    /// Something arrived on a connection.
    pub fn arrived(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        conn: u64,
        port: Port,
        from: Sid,
        wire: Wire<Sent>,
    ) {
        match (port, wire) {
            (Port::Election, Wire::Message(sent)) => {
                let link = self.links.get_mut(&from).filter(|link| link.conn == Some(conn));
                let Some(reader) = link.and_then(|link| link.reader.as_mut()) else { return };
                if let Some(Message::Vote(mut vote)) = read(ctx, machine, reader, &sent) {
                    // The time that has passed may have made it look for a leader.
                    self.carry_out(ctx, machine);
                    self.lie_of_leader(ctx, machine, from, &mut vote);
                    ctx.checker.elections.hears(machine.sid, from, &vote);
                    self.garbage_vote(ctx, machine, from, &vote);
                    self.zab.handle_notification(from, vote);
                }
            }
            (Port::Election, Wire::Closed) => {
                if let Some(link) = self.links.get_mut(&from)
                    && link.conn == Some(conn)
                {
                    link.conn = None;
                }
            }
            (Port::Quorum, wire) => {
                if let Some(inbox) = self.inputs.get_mut(&conn) {
                    let input = match wire {
                        Wire::Message(sent) => match read(ctx, machine, &mut inbox.reader, &sent) {
                            Some(Message::Packet(packet)) => Input::Packet(packet),
                            Some(Message::Snapshot(bytes)) => Input::Snapshot(bytes),
                            Some(Message::Vote(_)) | None => return,
                        },
                        Wire::Closed => Input::Closed,
                    };
                    inbox.inputs.push_back(input);
                }
                self.take_input(ctx, machine, conn);
            }
        }
    }

    /// Hands over what waits on a connection, as far as the core wants it.
    pub(super) fn take_input(&mut self, ctx: &mut Context, machine: &mut Machine, conn: u64) {
        let id = ConnId(conn);
        loop {
            if self.death.is_some() {
                return;
            }
            let Some(Inbox { inputs, .. }) = self.inputs.get_mut(&conn) else { return };
            match inputs.front() {
                None => return,
                Some(Input::Packet(_)) => {
                    if !self.zab.wants_input(id) {
                        return;
                    }
                    if self.garbage(ctx, machine, id) {
                        continue;
                    }
                    let Some(Inbox { inputs, .. }) = self.inputs.get_mut(&conn) else { return };
                    if let Some(Input::Packet(mut packet)) = inputs.pop_front() {
                        self.lie(ctx, machine, &mut packet);
                        if ctx.plan.odd.stutter_per_mille > 0 {
                            self.tell(ctx, Told::Packet(id, packet.clone()));
                        }
                        self.witness(ctx, machine, conn, &packet);
                        self.zab.handle_packet(id, packet);
                        self.carry_out(ctx, machine);
                    }
                }
                Some(Input::Snapshot(_)) => {
                    let wanted = self.staging.filter(|s| s.conn == id && !s.begun);
                    let Some(staging) = wanted else { return };
                    if let Some(Input::Snapshot(bytes)) = inputs.pop_front() {
                        self.zab.handle_progress(id);
                        self.stage(ctx, machine, staging, &bytes);
                    }
                }
                Some(Input::Closed) => {
                    self.inputs.remove(&conn);
                    self.pins.remove(&id);
                    self.tell(ctx, Told::Closed(id));
                    self.zab.handle_closed(id);
                    self.carry_out(ctx, machine);
                    if self.staging.is_some_and(|s| s.conn == id && !s.begun) {
                        // What was to come never will.
                        self.staging = None;
                        self.log_busy = false;
                        self.zab.handle_snapshot_failed(id);
                        self.carry_out(ctx, machine);
                    }
                    return;
                }
            }
        }
    }

    /// What a packet tells who looks on from outside.
    fn witness(&mut self, ctx: &mut Context, machine: &Machine, conn: u64, packet: &Packet) {
        let Some(found) = ctx.network.conn(conn) else { return };
        let peer = found.servers[usize::from(found.servers[0] == machine.sid)];
        let word = aim::word(packet);
        // Who speaks behind a snapshot has it.
        self.streaming.remove(&ConnId(conn));
        ctx.moment(machine.sid, Some(peer), Moment::Takes(word));
        if let Role::Leading { epoch, .. } = self.role {
            let now = ctx.now();
            ctx.checker.company.takes(machine.sid, peer, (conn, word), now);
            if let Packet::AckEpoch { last_zxid, current_epoch: Some(current) } = packet {
                ctx.checker.accepts(machine.sid, epoch, peer, (*current, *last_zxid));
            }
        }
    }

    /// An answer to what it asked for.
    pub fn answered(&mut self, ctx: &mut Context, machine: &mut Machine, answer: Answer) {
        match answer {
            Answer::Write { log, write, token, fails } => {
                self.write_done(ctx, machine, (log, write, token, fails));
            }
            Answer::Spares => self.make_spares(ctx, machine),
            Answer::Epochs => self.store_epochs(ctx, machine),
            Answer::Truncated { last, generation } => {
                self.log_busy = false;
                self.last_cut = Some((last, generation));
                self.tell(ctx, Told::Truncated(last, generation));
                self.zab.handle_truncated(last, generation);
            }
            Answer::Durable { through, generation } => {
                self.tell(ctx, Told::Durable(through, generation));
                self.zab.handle_durable(through, generation);
            }
            Answer::TakenOver { generation } => {
                self.log_busy = false;
                self.tell(ctx, Told::TakenOver(generation));
                self.zab.handle_taken_over(generation);
            }
            Answer::Staged { conn, ok } => {
                // One that was broken off has said so too late; the log may be busy with another by now.
                if self.staging.is_some_and(|s| s.begun && s.conn.0 == conn) {
                    self.log_busy = false;
                    self.staging = None;
                }
                self.tell(ctx, Told::Staged(ConnId(conn)));
                match ok {
                    true => self.zab.handle_snapshot_staged(ConnId(conn)),
                    false => self.zab.handle_snapshot_failed(ConnId(conn)),
                }
            }
            Answer::LookedUp { conn, zxid } => {
                let floor = self.in_force.floor(zxid);
                let too_much = machine.random.chance(ctx.plan.odd.snapshot_per_mille);
                let answer = LookUpAnswer { floor, too_much };
                self.tell(ctx, Told::LookedUp(ConnId(conn), answer));
                self.zab.handle_lookup(ConnId(conn), answer);
            }
            Answer::Pinned { conn } => self.pinned(ctx, ConnId(conn)),
            Answer::Asked => self.learner_turn(ctx, machine),
            Answer::Barrier { token } => self.barrier_done(ctx, token),
            Answer::Dialled { .. } => {}
            Answer::Deadline => {
                if ctx.now() >= self.deadline_at {
                    self.deadline_at = Micros::MAX;
                }
            }
            Answer::Beat => self.beat(ctx, machine),
        }
        self.stutter(ctx, machine);
        self.garbage_between(ctx, machine);
        self.pump(ctx, machine);
        self.carry_out(ctx, machine);
        self.take_all_inputs(ctx, machine);
    }

    fn take_all_inputs(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let waiting: Vec<u64> = self
            .inputs
            .iter()
            .filter(|(_, inbox)| !inbox.inputs.is_empty())
            .map(|(conn, _)| *conn)
            .collect();
        for conn in waiting {
            self.take_input(ctx, machine, conn);
        }
    }
    /// The driver's own timer.
    fn beat(&mut self, ctx: &mut Context, machine: &mut Machine) {
        self.answer_in(ctx, machine, ctx.plan.tick_ms * MS / 2, Answer::Beat);
        self.want_spares(ctx, machine);
        self.strangers(ctx, machine);
        self.dial_links(ctx, machine);
        self.look_after_sessions(ctx, machine);
        self.retry_barrier(ctx, machine);
        self.look_round(ctx, machine);
        let now = ctx.now();
        self.streaming.retain(|_, until| *until > now);
        for conn in self.streaming.keys().copied().collect::<Vec<_>>() {
            self.zab.handle_progress(conn);
        }
        if self.in_force.since_snapshot >= ctx.plan.disk.snapshot_every && self.staged.is_none() {
            self.take_snapshot(ctx, machine);
        }
        let limit_ns = ctx.plan.sync_limit * ctx.plan.tick_ms * MS * 1000;
        let now_ns = ctx.now() * 1000;
        if self.state().store.log.is_overdue(now_ns, limit_ns) {
            self.die(Death::DiskFailed("a log write takes too long".into()));
        }
    }

    /// Who leads must see in time that nobody goes with it any more.
    fn look_round(&mut self, ctx: &mut Context, machine: &Machine) {
        let Role::Leading { serving: true, .. } = self.role else { return };
        let members = config::membership(&self.config);
        let since = ctx.now().saturating_sub(ctx.plan.sync_limit * ctx.plan.tick_ms * MS);
        let checked = ctx.checker.company.looks_round(machine.sid, &members, since, LOOKS_MAX);
        ctx.check(checked);
    }

    /// A client's message.
    pub fn asked(&mut self, ctx: &mut Context, machine: &mut Machine, ask: Ask) {
        self.client_asks(ctx, machine, ask);
        self.carry_out(ctx, machine);
        self.take_all_inputs(ctx, machine);
    }

    /// What the core says of itself is what it has asked for.
    fn compare_with_core(&mut self, ctx: &mut Context, machine: &Machine) {
        if ctx.mistakes != Default::default() {
            return;
        }
        let is = (self.zab.role(), self.zab.config().version, self.zab.epochs());
        let epochs = (self.epochs.accepted, self.epochs.current);
        let asked = (self.role, self.config.version, epochs);
        if is != asked {
            let what = format!("its core is {is:x?} and asked for {asked:x?}");
            return self.wrong(ctx, machine, what);
        }
        let (logged, committed) = (self.zab.last_logged(), self.zab.committed());
        let (last, published) = (self.state().last_logged(), self.published());
        let done = self.log_queue.is_empty() && !self.log_busy && self.staged.is_none();
        // A snapshot that has taken over is the driver's state at once; the core publishes it at UPTODATE.
        let level = committed == published || !self.serves();
        if done && !(logged == last && level) {
            let what = format!(
                "its core has {logged:x} and {committed:x} logged and committed, itself {last:x} and {published:x}"
            );
            return self.wrong(ctx, machine, what);
        }
        let outstanding = self.zab.outstanding();
        if outstanding > ctx.plan.outstanding_max {
            self.wrong(ctx, machine, format!("{outstanding} proposals wait for a quorum"));
        }
    }

    /// After anything that came in: says when it wants to be asked again.
    pub fn settle(&mut self, ctx: &mut Context, machine: &mut Machine) {
        if self.death.is_some() {
            return;
        }
        self.compare_with_core(ctx, machine);
        self.flush(ctx, machine);
        let mut submitted = std::mem::take(&mut self.submitted);
        let now_ns = ctx.now() * 1000;
        let seal_at =
            self.state().seal(now_ns, &mut submitted).map_or(Micros::MAX, |ns| ns / 1000 + 1);
        self.submitted = submitted;
        self.submit(ctx, machine);
        let deadline_ms = self.zab.next_deadline_ms();
        let core_at = deadline_ms.saturating_mul(MS).saturating_sub(machine.clocks.ahead_us);
        let at = core_at.min(seal_at);
        if at < self.deadline_at && at < Micros::MAX / 4 {
            let at = at.max(ctx.now() + 1);
            self.deadline_at = at;
            let event = Event::Answer {
                server: machine.sid,
                process: self.number,
                answer: Answer::Deadline,
            };
            ctx.queue.put(at, event);
        }
    }
}

/// A message as its receiver reads it.
fn read(
    ctx: &mut Context,
    machine: &mut Machine,
    reader: &mut Reader,
    sent: &Sent,
) -> Option<Message> {
    match reader.read(sent, &mut machine.pieces) {
        Ok(message) => Some(message),
        Err(why) => {
            let detail = format!("server {}: {why}", machine.sid);
            ctx.fail(Violation { rule: Rule::Wire, detail });
            None
        }
    }
}
