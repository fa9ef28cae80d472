//! What a person, or a supervisor, does: starts servers again, replaces what is lost, changes the members.

use ringkeeper::zab::{ServerKind, Sid};

use super::{World, lost_epochs};
use crate::check::{Rule, Violation};
use crate::config;
use crate::context::Event;
use crate::random::Random;
use crate::server::{Death, Process};
use crate::store::StoreError;
use crate::store::epochs::Epochs;
use crate::time::{MS, Micros};

impl World {
    /// Starts a server from what its disk holds.
    pub(super) fn start(&mut self, sid: Sid) {
        let index = self.index(sid);
        if self.servers[index].process.is_some() {
            return;
        }
        if self.put_off(sid, || Event::Start(sid)) {
            return;
        }
        self.servers[index].starting = false;
        self.processes += 1;
        let number = self.processes;
        let server = &mut self.servers[index];
        match Process::start(&mut self.ctx, &mut server.machine, number) {
            Ok(process) => {
                server.process = Some(process);
                server.suspect = false;
                self.with(sid, |_, _, _| ());
            }
            Err(StoreError::Died) => self.crash(sid, true, 100 * MS),
            Err(StoreError::NoSpace) => self.start_in(sid, 500 * MS),
            Err(StoreError::Damaged(why)) if !server.machine.disk.has_rotted() => {
                let detail = format!("server {sid} calls a sound log damaged: {why}");
                self.ctx.fail(Violation { rule: Rule::DurableLog, detail });
            }
            Err(StoreError::Damaged(why)) => {
                self.ctx.tell(|| format!("{sid}: its log is damaged: {why}"));
                self.ctx.report.damaged += 1;
                self.replace_state(sid, false);
            }
            Err(StoreError::Wrong(why)) => {
                let detail = format!("server {sid} cannot start: {why}");
                self.ctx.fail(Violation { rule: Rule::DurableLog, detail });
            }
        }
    }

    pub(super) fn start_in(&mut self, sid: Sid, after: Micros) {
        let index = self.index(sid);
        if !std::mem::replace(&mut self.servers[index].starting, true) {
            self.ctx.queue.put(self.ctx.now() + after, Event::Start(sid));
        }
    }

    /// The history of a server is gone: what is left of it is moved aside, and that it is no longer
    /// intact is written down before anything is started. `all`: the disk with its epochs is gone, too.
    pub(super) fn replace_state(&mut self, sid: Sid, all: bool) {
        let index = self.index(sid);
        let machine = &mut self.servers[index].machine;
        let epochs = Epochs::read(&machine.disk).filter(|_| !all);
        machine.disk.wipe();
        if !self.ctx.mistakes.has(ringkeeper::zab::Mistake::DamagedLogVotes) || epochs.is_some() {
            let stored = lost_epochs(epochs).store(&machine.disk);
            debug_assert!(stored.is_ok(), "a new disk takes the epochs");
        }
        self.ctx.checker.wiped(sid);
        self.start_in(sid, 10 * MS);
    }

    /// The process of a server has ended by itself, or in a change of the disk.
    pub(super) fn died(&mut self, sid: Sid) {
        let index = self.index(sid);
        let death = self.servers[index].process.as_ref().and_then(|p| p.death.clone());
        let power = match death {
            Some(Death::InDisk) => {
                self.ctx.report.disk_crashes += 1;
                true
            }
            Some(Death::DiskFailed(why)) => {
                self.ctx.tell(|| format!("{sid}: {why}"));
                false
            }
            _ => self.servers[index].random.chance(500),
        };
        let down_us = self.servers[index].random.spread(self.ctx.plan.tick_ms * MS * 3) + MS;
        self.crash(sid, power, down_us);
    }

    /// The process is gone, and comes back later.
    pub(super) fn crash(&mut self, sid: Sid, power: bool, down_us: Micros) {
        let index = self.index(sid);
        let now = self.ctx.now();
        let server = &mut self.servers[index];
        if server.process.take().is_some() {
            self.ctx.report.crashes += 1;
            self.ctx.checker.ended(sid);
            self.ctx.leading.remove(&sid);
        }
        server.paused_until = 0;
        server.machine.fail_write = false;
        server.machine.disk.crash(!power, &mut server.machine.disk_random);
        self.ctx.tell(|| format!("{sid}: crashes{}", if power { ", the power fails" } else { "" }));
        for (conn, end) in self.ctx.network.conns_of(sid) {
            if power {
                self.ctx.network.vanish(conn, end);
            } else {
                let transit = self.ctx.network.close(conn, end, now);
                self.ctx.transit(transit);
            }
        }
        self.start_in(sid, down_us);
    }

    /// Whether the others could go on if this voter lost its history, now and in whatever is proposed.
    pub(super) fn can_lose(&self, sid: Sid) -> bool {
        self.ctx.checker.is_quorum_of_all(|other| other != sid && self.is_intact(other))
    }

    /// Whether a server has all that it ever acknowledged, as far as anybody can know.
    pub(super) fn is_intact(&self, sid: Sid) -> bool {
        let server = &self.servers[self.index(sid)];
        !server.suspect && Epochs::read(&server.machine.disk).is_none_or(|epochs| epochs.intact)
    }

    pub(super) fn leader(&self) -> Option<Sid> {
        let leads = |s: &&super::Server| s.process.as_ref().is_some_and(Process::leads);
        self.servers.iter().find(leads).map(|s| s.machine.sid)
    }

    /// Whether the members can change at all: not those of one server alone, nor with servers before ZooKeeper 3.5.
    fn may_change(&self) -> bool {
        !self.ctx.plan.standalone && self.ctx.plan.odd.old_votes.is_empty()
    }

    /// An administrator asks the leader for other members.
    pub(super) fn reconfigure(&mut self, draw: u64) {
        let Some(leader) = self.leader().filter(|_| self.may_change()) else { return };
        let mut random = Random::new(draw, "reconfigure", 0);
        let Some(process) = &self.servers[self.index(leader)].process else { return };
        let mut servers = process.config().servers.clone();
        let grouped = servers.iter().any(|s| s.group.is_some());
        for _ in 0..random.between(1, 2) {
            let sid = *random.pick(&self.ctx.plan.servers);
            match servers.iter().position(|server| server.sid == sid) {
                None => {
                    let kind = if random.chance(700) {
                        ServerKind::Participant
                    } else {
                        ServerKind::Observer
                    };
                    let mut server = config::server(sid, kind);
                    server.group = grouped.then_some(1).filter(|_| kind == ServerKind::Participant);
                    servers.push(server);
                }
                Some(at) => match random.below(3) {
                    0 => drop(servers.remove(at)),
                    1 => {
                        let server = &mut servers[at];
                        server.kind = match server.kind {
                            ServerKind::Participant => ServerKind::Observer,
                            ServerKind::Observer => ServerKind::Participant,
                        };
                        let votes = server.kind == ServerKind::Participant;
                        server.group = grouped.then_some(1).filter(|_| votes);
                    }
                    _ if grouped => servers[at].weight = random.below(3),
                    _ if random.chance(500) => {}
                    // It moves: to the network of the simulator that is all one.
                    _ => {
                        let port =
                            if servers[at].quorum_address.ends_with('8') { 2889 } else { 2888 };
                        servers[at].quorum_address = format!("server{sid}:{port}");
                    }
                },
            }
        }
        if Random::new(draw, "all move", 0).chance(150) {
            // To another network, all of them.
            for server in &mut servers {
                let port = if server.quorum_address.ends_with('8') { 2889 } else { 2888 };
                server.quorum_address = format!("server{}:{port}", server.sid);
            }
        }
        servers.sort_by_key(|server| server.sid);
        if servers.iter().all(|s| s.kind == ServerKind::Observer || grouped && s.weight == 0) {
            return;
        }
        // Nobody gives a vote away that only a server without a history, or without a vote, could make good.
        let next = config::membership(&config::make(0, servers.clone()));
        let votes_now = |sid: Sid| self.ctx.checker.membership().voters.contains_key(&sid);
        if !next.is_quorum(|sid| self.is_intact(sid) && votes_now(sid)) {
            return;
        }
        let taken = self
            .with(leader, |ctx, machine, process| process.reconfigure(ctx, machine, servers, None));
        self.ctx.report.reconfigs_proposed += u64::from(taken == Some(true));
    }

    /// An administrator asks the leader to hand over.
    pub(super) fn hand_over(&mut self, draw: u64) {
        if let Some(leader) = self.leader() {
            self.hand_over_at(leader, draw);
        }
    }

    /// As [`hand_over`](World::hand_over), a certain one.
    pub(super) fn hand_over_at(&mut self, leader: Sid, draw: u64) {
        if !self.may_change() {
            return;
        }
        let mut random = Random::new(draw, "hand over", 0);
        let Some(process) = &self.servers[self.index(leader)].process else { return };
        let servers = process.config().servers.clone();
        let to = random.pick(&servers).sid;
        let taken = self.with(leader, |ctx, machine, process| {
            process.reconfigure(ctx, machine, servers, Some(to))
        });
        self.ctx.report.hand_overs += u64::from(taken == Some(true));
    }
}
