//! What the recording says happened, given to the core.

use std::collections::VecDeque;
use std::sync::Arc;

use ringkeeper::zab::{
    ConnId, EnsembleConfig, Generation, Notification, Packet, PeerState, Role, Txn, Zxid,
};

use super::Replay;
use super::conn::{Conn, Reader};
use super::verdict::show_vote;
use crate::file::{Event, Port, Sid};

impl Replay<'_> {
    pub(super) fn event(&mut self, event: &Event) {
        let us = self.life.sid;
        match event {
            Event::Dial { conn, from, to, port } if *from == us || *to == us => {
                let dialled_by_us = *from == us;
                let peer = if dialled_by_us { *to } else { *from };
                self.note(|| {
                    format!(
                        "{port:?} connection {conn} with {peer}, {}",
                        if dialled_by_us { "dialled" } else { "accepted" }
                    )
                });
                let fresh = Conn {
                    port: *port,
                    peer,
                    dialled_by_us,
                    theirs: Reader::new(*port, !dialled_by_us),
                    ours: Reader::new(*port, dialled_by_us),
                    inbox: VecDeque::new(),
                    peer_ended: false,
                    open: false,
                    closed: None,
                    recorded: Vec::new(),
                    sent: Vec::new(),
                };
                self.conns.insert(*conn, fresh);
                match (port, dialled_by_us) {
                    (Port::Election, _) => self.zab.handle_election_link(peer),
                    (Port::Quorum, true) => self.dialled.push(*conn),
                    (Port::Quorum, false) => {
                        self.open(*conn);
                        self.zab.handle_accepted(ConnId(u64::from(*conn)));
                    }
                }
                self.settle();
            }
            Event::Send { conn, from, bytes, arrived } if self.conns.contains_key(conn) => {
                if *from == us {
                    self.recorded(*conn, bytes);
                } else if *arrived {
                    self.arrived(*conn, bytes);
                }
            }
            Event::End { conn, from } if self.conns.contains_key(conn) => {
                if *from == us {
                    self.recorded_end(*conn);
                } else {
                    if let Some(conn) = self.conns.get_mut(conn) {
                        conn.peer_ended = true;
                    }
                    self.settle();
                }
            }
            Event::Remark(remark) => {
                let sids: Vec<Sid> =
                    remark.split(' ').skip(1).map_while(|word| word.parse().ok()).collect();
                if remark.starts_with("sever ") && sids.contains(&us) {
                    for conn in self.conns.values_mut() {
                        conn.peer_ended |= sids.contains(&conn.peer);
                    }
                    self.settle();
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, conn: u32) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.open = true;
        }
    }

    // ---- what the others sent

    fn arrived(&mut self, number: u32, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&number) else { return };
        let (peer, votes) = (conn.peer, conn.theirs.votes(bytes));
        let packets = conn.theirs.packets(bytes);
        conn.inbox.extend(packets);
        for vote in votes {
            self.note(|| format!("vote from {peer}: {}", show_vote(&vote)));
            self.zab.handle_notification(peer, vote);
            self.settle();
        }
        self.settle();
    }

    /// Gives the core what it wants, does what it asks, until there is nothing left of either.
    pub(super) fn settle(&mut self) {
        loop {
            let mut actions = Vec::new();
            self.zab.take_actions(&mut actions);
            let mut busy = !actions.is_empty();
            actions.into_iter().for_each(|action| self.act(action));
            busy |= self.deliver();
            if !busy {
                return;
            }
        }
    }

    /// One packet, or the end of a connection.
    fn deliver(&mut self) -> bool {
        if let Some((to, attempt)) = self.wanted
            && let Some(at) = self.dialled.iter().position(|conn| self.conns[conn].peer == to)
        {
            let conn = self.dialled.remove(at);
            self.wanted = None;
            self.open(conn);
            self.zab.handle_connected(attempt, ConnId(u64::from(conn)));
            return true;
        }
        let open = |conn: &Conn| conn.port == Port::Quorum && conn.open;
        let numbers: Vec<u32> =
            self.conns.iter().filter(|(_, conn)| open(conn)).map(|(number, _)| *number).collect();
        for number in numbers {
            let id = ConnId(u64::from(number));
            let wanted = self.zab.wants_input(id);
            let conn = self.conns.get_mut(&number).expect("a connection");
            if let Some(packet) = wanted.then(|| conn.inbox.pop_front()).flatten() {
                self.note(|| format!("packet on {number}: {:.160}", format!("{packet:?}")));
                self.zab.handle_packet(id, packet);
                return true;
            }
            if conn.inbox.is_empty() && conn.peer_ended {
                conn.open = false;
                self.note(|| format!("connection {number} was ended"));
                self.zab.handle_closed(id);
                return true;
            }
        }
        false
    }

    // ---- what the recorded server sent: what its clients and its disk did, and what to compare with

    fn recorded(&mut self, number: u32, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&number) else { return };
        let (peer, votes) = (conn.peer, conn.ours.votes(bytes));
        let packets = conn.ours.packets(bytes);
        for vote in votes {
            self.recorded_vote(peer, vote);
        }
        for packet in packets {
            self.recorded_packet(number, packet);
        }
    }

    /// Votes of servers that look are compared at the end. Of one that follows or leads, if the core does so too:
    /// it names the same leader, elected by the same vote.
    fn recorded_vote(&mut self, peer: Sid, vote: Notification) {
        self.note(|| format!("RECORDED vote to {peer}: {}", show_vote(&vote)));
        if vote.state == PeerState::Looking {
            return self.votes_recorded.entry(peer).or_default().push(vote);
        }
        if matches!(self.zab.role(), Role::Looking) || !self.compares_votes {
            return;
        }
        let sent = self.votes_sent.get(&peer).into_iter().flatten();
        let settled: Vec<&Notification> =
            sent.filter(|sent| sent.state != PeerState::Looking).collect();
        let same = |sent: &&Notification| {
            let epochs = sent.peer_epoch..=sent.peer_epoch + 1;
            (sent.state, sent.leader, sent.zxid, sent.election_epoch)
                == (vote.state, vote.leader, vote.zxid, vote.election_epoch)
                && (epochs.contains(&vote.peer_epoch) || sent.peer_epoch == vote.peer_epoch + 1)
        };
        // Whether it was asked, and how often, is a matter of timing.
        if let Some(last) = settled.last()
            && !settled.iter().copied().any(|sent| same(&sent))
        {
            let (vote, last) = (show_vote(&vote), show_vote(last));
            self.differs(
                "votes of a settled server",
                format!("to {peer}: {vote}, the core {last}"),
            );
        }
    }

    fn recorded_packet(&mut self, number: u32, packet: Packet) {
        let id = ConnId(u64::from(number));
        self.note(|| format!("RECORDED on {number}: {:.160}", format!("{packet:?}")));
        match &packet {
            Packet::Request(request) => {
                if let Err(refusal) = self.zab.forward(request.clone()) {
                    self.differs("a request is forwarded", format!("{refusal}"));
                }
            }
            Packet::Revalidate { session, timeout_ms } => {
                if let Err(refusal) = self.zab.revalidate(*session, *timeout_ms) {
                    self.differs("a session is asked about", format!("{refusal}"));
                }
            }
            Packet::Ping { touched, .. } if self.conns[&number].dialled_by_us => {
                match self.pings.pop_front() {
                    Some((conn, zxid)) => {
                        let touched = touched.clone();
                        self.sent(conn, Packet::Ping { zxid, touched });
                    }
                    None => self.differs("a ping is answered", "the core did not".into()),
                }
            }
            Packet::Revalidated { session, valid } => {
                let at = self.asked.iter().position(|asked| *asked == (id, *session));
                match at.and_then(|at| self.asked.remove(at)) {
                    Some(_) => self.zab.revalidated(id, *session, *valid),
                    None => self.differs("a session is asked about", "the core was not".into()),
                }
            }
            Packet::Proposal { zxid, txn, config } => {
                self.proposed(*zxid, txn, config.clone());
            }
            Packet::Inform { zxid, txn } => {
                self.proposed(*zxid, txn, None);
                self.release(*zxid);
            }
            Packet::InformAndActivate { zxid, txn, config, .. } => {
                self.proposed(*zxid, txn, config.clone());
                self.release(*zxid);
            }
            Packet::Commit { zxid } | Packet::CommitAndActivate { zxid, .. } => self.release(*zxid),
            _ => {}
        }
        self.settle();
        self.conns.get_mut(&number).expect("a connection").recorded.push(packet);
    }

    pub(super) fn leads(&self) -> bool {
        matches!(self.zab.role(), Role::Leading { serving: true, .. })
    }

    /// The recorded leader proposes.
    fn proposed(&mut self, zxid: Zxid, txn: &Txn, config: Option<Arc<EnsembleConfig>>) {
        if zxid <= self.zab.last_logged() {
            return;
        }
        if !self.leads() {
            let role = self.zab.role();
            return self.differs("the recorded leader proposes", format!("{zxid:x}: {role:?}"));
        }
        let result = match config {
            Some(config) => {
                // Among equals each may choose: the core is told whom the recorded leader chose.
                let leader = self.designated.get(&zxid).copied();
                self.zab.propose_reconfig(zxid, Arc::clone(txn), config, leader)
            }
            None => self.zab.propose(zxid, Arc::clone(txn)),
        };
        if let Err(refusal) = result {
            self.differs("the recorded leader proposes", format!("{zxid:x}: {refusal}"));
        }
        self.settle();
    }

    /// The recorded leader commits: its own log was durable by then.
    fn release(&mut self, through: Zxid) {
        let due: Vec<(Zxid, Generation)> =
            self.held.iter().copied().filter(|(zxid, _)| *zxid <= through).collect();
        self.held.retain(|(zxid, _)| *zxid > through);
        for (zxid, generation) in due {
            self.zab.handle_durable(zxid, generation);
            self.settle();
        }
    }

    /// The recorded server ended a connection.
    fn recorded_end(&mut self, number: u32) {
        let conn = &self.conns[&number];
        if conn.port != Port::Quorum || !conn.open || conn.peer_ended {
            return;
        }
        let (peer, used_up) = (conn.peer, self.zab.last_logged() & 0xffff_ffff == 0xffff_fffe);
        if used_up && self.leads() {
            // The counter is used up: the transaction that did not fit shows in no packet.
            let next = self.zab.last_logged() + 1;
            let _ = self.zab.propose(next, Vec::new().into());
            self.settle();
        }
        if self.conns[&number].open {
            let what = format!("with {peer}: the core keeps it, {:?}", self.zab.role());
            self.differs("a connection is ended", what);
        }
    }

    // ---- what the core asks for
}
