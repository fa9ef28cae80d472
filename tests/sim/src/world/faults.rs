//! What goes wrong, and that it stops.

use ringkeeper::zab::{ServerKind, Sid};

use super::World;
use crate::aim;
use crate::check::{Rule, Violation};
use crate::context::{Event, FaultEnd};
use crate::plan::{Fault, Way};
use crate::random::Random;
use crate::store::epochs::Epochs;
use crate::time::{MS, Micros};

impl World {
    /// The `number`th fault of the plan begins.
    pub(super) fn fault(&mut self, number: usize) {
        let timed = self.ctx.plan.faults[number].clone();
        if self.ctx.now() < self.quiet_until {
            return;
        }
        self.ctx.tell(|| format!("FAULT {}: {:?}", timed.number, timed.fault));
        let number = timed.number as u64;
        match timed.fault {
            Fault::Crash { server, power, down_us } => {
                self.crash_if_running(server, power, down_us)
            }
            Fault::CrashAtAction { server, actions, .. } => {
                let index = self.index(server);
                if let Some(process) = &mut self.servers[index].process {
                    process.actions_left = Some(actions);
                }
            }
            Fault::CrashInDisk { server, changes } => {
                let server = &self.servers[self.index(server)];
                let torn = Random::new(self.ctx.plan.seed, "torn", timed.number as u64);
                server.machine.disk.die_after(changes, torn);
            }
            Fault::Blackout { down_us } => {
                for sid in self.ctx.plan.servers.clone() {
                    let more = self.operator.spread(down_us);
                    self.crash_if_running(sid, true, down_us + more);
                }
            }
            Fault::Pause { server, for_us } => {
                self.ctx.report.pauses += 1;
                let until = self.ctx.now() + for_us;
                let index = self.index(server);
                let server = &mut self.servers[index];
                server.paused_until = server.paused_until.max(until);
            }
            Fault::ClockJump { server, ahead_ms, wall_ms } => {
                let index = self.index(server);
                let clocks = &mut self.servers[index].machine.clocks;
                clocks.ahead_us += ahead_ms * MS;
                clocks.wall_ms += wall_ms;
                self.with(server, |_, _, _| ());
            }
            Fault::CutConnections { a, b, told } => self.cut_connections(a, b, told),
            Fault::Partition { side, out, back, for_us } => {
                let links = self.links(&side, out, back);
                self.block(&links, number);
                self.ends(for_us, FaultEnd::Unblock(number, links));
            }
            Fault::OneWayQuorum { side, spared, way } => {
                self.one_way(number, side, &spared, way);
            }
            Fault::SlowDisk { server, times, for_us } => {
                let index = self.index(server);
                self.servers[index].machine.disk_times = times;
                self.ends(for_us, FaultEnd::Fast(server));
            }
            Fault::FailWrite { server } => {
                let index = self.index(server);
                self.servers[index].machine.fail_write = true;
            }
            Fault::FullDisk { server, for_us } => {
                let index = self.index(server);
                self.servers[index].machine.disk.set_full(true);
                self.ends(for_us, FaultEnd::Room(server));
            }
            Fault::Rot { server, bits } => self.rot(server, bits),
            Fault::Lose { server } => self.lose(server),
            Fault::Reconfigure { draw } => self.reconfigure(draw),
            Fault::HandOver { draw } => self.hand_over(draw),
            Fault::Rift { draw } => self.rift(draw),
            Fault::Aimed(aim) => {
                let skip = aim.skip;
                self.ctx.aims.push((aim, skip));
            }
        }
    }

    /// All followers lose their leader, which does not know.
    fn rift(&mut self, draw: u64) {
        let Some(leader) = self.leader() else { return };
        for other in self.ctx.plan.servers.clone() {
            self.cut_connections(leader, other, [false, true]);
        }
        let aim = aim::draw_rift(&self.ctx.plan, &mut Random::new(draw, "rift", 0));
        self.ctx.aims.push((aim, 0));
    }

    pub(super) fn ends(&mut self, for_us: Micros, end: FaultEnd) {
        self.ctx.queue.put(self.ctx.now() + for_us, Event::FaultEnds(end));
    }

    pub(super) fn crash_if_running(&mut self, sid: Sid, power: bool, down_us: Micros) {
        if self.servers[self.index(sid)].process.is_some() {
            self.crash(sid, power, down_us);
        }
    }

    pub(super) fn cut_connections(&mut self, a: Sid, b: Sid, told: [bool; 2]) {
        let now = self.ctx.now();
        for (conn, end) in self.ctx.network.conns_of(a) {
            let peer = self.ctx.network.conn(conn).map(|c| c.servers[1 - end]);
            if peer == Some(b) {
                let told = if end == 0 { told } else { [told[1], told[0]] };
                for transit in self.ctx.network.drop_conn(conn, told, now) {
                    self.ctx.transit(Some(transit));
                }
            }
        }
    }

    pub(super) fn links(&self, side: &[Sid], out: bool, back: bool) -> Vec<(Sid, Sid)> {
        let mut links = Vec::new();
        for a in side {
            for b in self.ctx.plan.servers.iter().filter(|b| !side.contains(b)) {
                links.extend(out.then_some((*a, *b)));
                links.extend(back.then_some((*b, *a)));
            }
        }
        links
    }

    pub(super) fn block(&mut self, links: &[(Sid, Sid)], fault: u64) {
        self.ctx.report.partitions += 1;
        for (from, to) in links {
            self.ctx.network.block(*from, *to, fault);
        }
    }

    fn unblock(&mut self, links: &[(Sid, Sid)], fault: u64) {
        self.ctx.network.unshut(fault);
        for (from, to) in links {
            for (conn, end) in self.ctx.network.unblock(*from, *to, fault) {
                self.take(conn, end);
            }
        }
    }

    /// A one-way partition in which the rest is a quorum: everything else is put right, and within the
    /// bound the rest must commit something.
    fn one_way(&mut self, fault: u64, side: Vec<Sid>, spared: &[Sid], way: Way) {
        let intact =
            |sid: Sid| !side.contains(&sid) && self.is_intact(sid) && self.knows_its_vote(sid);
        let joining = self.ctx.checker.is_quorum_of_all(intact);
        if !joining || self.ctx.checker.reconfiguring() {
            return;
        }
        self.put_right();
        self.ctx.aims.clear();
        let mut links = self.links(&side, way == Way::Mute, way != Way::Mute);
        links.retain(|(from, to)| !spared.contains(if side.contains(from) { to } else { from }));
        match way {
            Way::Deaf | Way::Mute => self.block(&links, fault),
            Way::Shut => {
                for (from, to) in &links {
                    self.ctx.network.shut(*from, *to, fault);
                    self.cut_connections(*from, *to, [true, true]);
                }
            }
        }
        let bound = self.ctx.plan.settle_us();
        self.quiet_until = self.ctx.now() + bound;
        let committed = self.ctx.checker.committed();
        // Asked every now and then, so that time is not spent on waiting.
        self.ends(self.ctx.plan.tick_ms * MS * 4, FaultEnd::Progress { links, fault, committed });
        self.ctx.report.progress += 1;
    }

    /// Whether a server would join as one that votes, and asks only the members in force. One that was an observer and
    /// has not heard that it votes now joins as an observer, until it has; one whose log has a reconfiguration that may
    /// have come to nothing asks its members as well. So do ZooKeeper's.
    fn knows_its_vote(&self, sid: Sid) -> bool {
        match &self.servers[self.index(sid)].process {
            Some(process) => {
                let own = process.config.server(sid);
                process.proposed.is_none()
                    && own.is_none_or(|server| server.kind != ServerKind::Observer)
            }
            None => self.ctx.checker.config().version == self.ctx.plan.config.version,
        }
    }

    /// All that is broken for a while is put right now.
    fn put_right(&mut self) {
        for (conn, end) in self.ctx.network.heal() {
            self.take(conn, end);
        }
        for index in 0..self.servers.len() {
            let server = &mut self.servers[index];
            server.machine.disk_times = 1;
            server.machine.fail_write = false;
            server.machine.disk.set_full(false);
            server.machine.disk.live_on();
            if let Some(process) = &mut server.process {
                process.actions_left = None;
            }
            let sid = server.machine.sid;
            if server.process.is_none() {
                self.start_in(sid, MS);
            }
        }
    }

    fn rot(&mut self, sid: Sid, bits: u64) {
        if !self.can_lose(sid) {
            return;
        }
        let server = &mut self.servers[(sid - 1) as usize];
        server.suspect = true;
        for _ in 0..bits {
            let place = server.machine.disk.rot(&mut server.machine.disk_random);
            self.ctx.tell(|| format!("{sid}: rot in {place:?}"));
        }
        self.crash_if_running(sid, false, 50 * MS);
    }

    pub(super) fn lose(&mut self, sid: Sid) {
        // A server that never had anything to lose begins anew, not as one that has lost it.
        let was_member = Epochs::read(&self.servers[(sid - 1) as usize].machine.disk);
        if !self.can_lose(sid) || was_member.is_none() {
            return;
        }
        self.crash_if_running(sid, true, 100 * MS);
        self.ctx.report.lost += 1;
        self.replace_state(sid, true);
    }

    pub(super) fn fault_ends(&mut self, end: FaultEnd) {
        self.ctx.tell(|| format!("ENDS {end:?}"));
        match end {
            FaultEnd::Unblock(fault, links) => self.unblock(&links, fault),
            FaultEnd::Fast(sid) => {
                let index = self.index(sid);
                self.servers[index].machine.disk_times = 1;
            }
            FaultEnd::Room(sid) => self.servers[self.index(sid)].machine.disk.set_full(false),
            FaultEnd::Progress { links, fault, committed } => {
                self.progress(links, fault, committed);
            }
        }
    }

    fn progress(&mut self, links: Vec<(Sid, Sid)>, fault: u64, committed: usize) {
        if self.quiet_until == 0 {
            return;
        }
        let now = self.ctx.now();
        // Two more, for one may have been under way.
        if self.ctx.checker.committed() > committed + 2 {
            self.quiet_until = 0;
            return self.unblock(&links, fault);
        }
        if now >= self.quiet_until {
            let roles: Vec<String> =
                self.ctx.plan.servers.iter().map(|sid| self.describe(*sid)).collect();
            let detail = format!(
                "nothing was committed for {} s with these links blocked: {links:?}; {}",
                self.ctx.plan.settle_us() / 1_000_000,
                roles.join("; ")
            );
            return self.ctx.fail(Violation { rule: Rule::Progress, detail });
        }
        self.ends(self.ctx.plan.tick_ms * MS * 4, FaultEnd::Progress { links, fault, committed });
    }

    /// Nothing goes wrong any more.
    pub(super) fn calm_down(&mut self) {
        if self.ctx.now() < self.quiet_until {
            return self.ctx.queue.put(self.ctx.now() + MS * 100, Event::Calm);
        }
        self.ctx.tell(|| "CALM".into());
        self.ctx.aims.clear();
        self.ctx.network.calm();
        if self.ctx.plan.first_counter > 1 {
            // Or the epochs would be used up one after the other for ever.
            self.clients.iter_mut().for_each(|client| client.done = true);
        }
        self.put_right();
        self.level_by = self.ctx.now() + self.ctx.plan.settle_us();
        self.ctx.queue.put(self.ctx.now() + self.ctx.plan.tick_ms * MS, Event::Look);
    }
}
