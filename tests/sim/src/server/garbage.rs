//! Illegal messages, as a damaged peer might send: put before a real one at the receiver, or where nothing is due. The
//! core must close the connection, or take no notice; nothing else may come of it, so none of these may be legal when it
//! comes. But two lies may move it, for nothing that counts hangs on them: of a leader that was designated, and of a
//! promise to a later one.

use ringkeeper::protocol::Zxid;
use ringkeeper::zab::{
    ConnId, LearnerInfo, Notification, Packet, PeerState, Role, Sid, Txn, epoch_of, make_zxid,
};

use super::process::{Machine, Process};
use crate::context::Context;

/// A zxid that nobody reaches.
const BEYOND: Zxid = i64::MAX;

impl Process {
    fn has_garbage(&self, ctx: &Context, machine: &mut Machine) -> bool {
        let odd = &ctx.plan.odd;
        odd.garbage_per_mille > 0
            && ctx.now() < ctx.plan.fault_time
            && machine.pieces.chance(odd.garbage_per_mille)
    }

    /// Perhaps something illegal comes on a connection before what is next. Says whether it did.
    pub(super) fn garbage(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        conn: ConnId,
    ) -> bool {
        if !self.has_garbage(ctx, machine) {
            return false;
        }
        self.garble(ctx, machine, conn);
        true
    }

    fn garble(&mut self, ctx: &mut Context, machine: &mut Machine, conn: ConnId) {
        let packet = self.illegal(ctx, machine, conn);
        ctx.tell(|| format!("{}: garbage on {conn:?}: {packet:?}", machine.sid));
        ctx.report.garbage += 1;
        self.garbled = true;
        self.zab.handle_packet(conn, packet);
        self.carry_out(ctx, machine);
        self.garbled = false;
    }

    /// Perhaps something illegal comes while nothing is due, on any connection; perhaps a leader whose log proposes other
    /// members has visitors.
    pub(super) fn garbage_between(&mut self, ctx: &mut Context, machine: &mut Machine) {
        if ctx.plan.odd.garbage_per_mille == 0 {
            return;
        }
        self.carry_out(ctx, machine);
        if self.death.is_some() {
            return;
        }
        if self.proposed.is_some() && matches!(self.role, Role::Leading { .. }) {
            self.strangers(ctx, machine);
        }
        if self.has_garbage(ctx, machine) {
            let wanted = |conn: &u64| self.zab.wants_input(ConnId(*conn));
            let open: Vec<u64> = self.inputs.keys().copied().filter(wanted).collect();
            if !open.is_empty() {
                let conn = *machine.pieces.pick(&open);
                self.garble(ctx, machine, ConnId(conn));
            }
        }
    }

    /// Perhaps who is designated to lead is a lie: wherever a server goes, discovery has the last word.
    pub(super) fn lie(&self, ctx: &Context, machine: &mut Machine, packet: &mut Packet) {
        if let Packet::CommitAndActivate { designated_leader, .. }
        | Packet::InformAndActivate { designated_leader, .. } = packet
            && (ctx.plan.odd.garbage_per_mille > 0 || ctx.plan.odd.lies_per_mille > 0)
            && ctx.now() < ctx.plan.fault_time
            && machine.pieces.chance(300)
        {
            let any = *machine.pieces.pick(&ctx.plan.servers);
            *designated_leader = *machine.pieces.pick(&[machine.sid, any]);
        }
    }

    /// Perhaps it is a lie whom somebody goes with: of two that lead, the earlier one is given a following.
    pub(super) fn lie_of_leader(
        &self,
        ctx: &Context,
        machine: &mut Machine,
        from: Sid,
        vote: &mut Notification,
    ) {
        let lies = ctx.plan.odd.lies_per_mille;
        if lies == 0 || ctx.now() >= ctx.plan.fault_time || ctx.leading.len() < 2 {
            return;
        }
        let Some((leader, epoch)) = ctx.leading.iter().min_by_key(|(_, epoch)| **epoch) else {
            return;
        };
        if ![from, vote.leader].contains(leader) && machine.pieces.chance(lies) {
            vote.state = PeerState::Following;
            (vote.leader, vote.peer_epoch) = (*leader, *epoch);
            ctx.tell(|| format!("{}: a lie of {from}: {vote:?}", machine.sid));
        }
    }

    fn illegal(&self, ctx: &Context, machine: &mut Machine, conn: ConnId) -> Packet {
        let sid = machine.sid;
        let random = &mut machine.pieces;
        let epoch = match self.role {
            Role::Looking => 0,
            Role::Learning { epoch, .. } | Role::Leading { epoch, .. } => epoch,
        };
        let last = self.zab.last_logged();
        let zxid = *random.pick(&[
            BEYOND,
            // A gap.
            last + 2,
            make_zxid(epoch.max(epoch_of(last)) + 1, ctx.plan.first_counter),
        ]);
        let mut info = LearnerInfo { sid: Some(99), protocol_version: 0x10000, config_version: 0 };
        let txn = || Txn::from([]);
        // A reconfiguration that is not committed next: of one in step it is known what is.
        if let Some((proposed, _)) = self.proposed
            && self.serves()
            && self.in_force.recent.iter().any(|(z, _)| self.zab.committed() < *z && *z < proposed)
            && random.chance(300)
        {
            return Packet::CommitAndActivate { zxid: proposed, designated_leader: sid };
        }
        // Nobody can have in force what an established leader only proposes, nor who is no part of it lead those who have.
        if let Some((_, proposed)) = &self.proposed
            && (self.leads() || !proposed.is_participant(sid))
            && random.chance(500)
        {
            info.config_version = proposed.version;
            return Packet::FollowerInfo { accepted_epoch: 0, info };
        }
        let stranger = conn.0 > u64::MAX / 2;
        let voter = self.config.participants().map(|server| server.sid).find(|voter| *voter != sid);
        if self.leads() && stranger && voter.is_some() && random.chance(100) {
            info.sid = voter;
            return match random.chance(200) {
                // It has promised itself to a later leader.
                true => Packet::FollowerInfo { accepted_epoch: epoch + 1, info },
                // It observes, perhaps while it is to lead.
                false => Packet::ObserverInfo { accepted_epoch: 0, info },
            };
        }
        match random.below(19) {
            0 => Packet::FollowerInfo { accepted_epoch: -1, info },
            1 => {
                let info = LearnerInfo { sid: None, ..info };
                Packet::ObserverInfo { accepted_epoch: 0, info }
            }
            2 => {
                let info = LearnerInfo { protocol_version: 1, ..info };
                Packet::FollowerInfo { accepted_epoch: 0, info }
            }
            3 => {
                let info = LearnerInfo { sid: Some(sid), ..info };
                Packet::FollowerInfo { accepted_epoch: 0, info }
            }
            4 => {
                let info = LearnerInfo { config_version: BEYOND, ..info };
                Packet::ObserverInfo { accepted_epoch: 0, info }
            }
            5 => {
                // Below what it has accepted; who has lost its log would take it.
                let below = if self.intact { self.epochs.current - 1 } else { 0 };
                let epoch = *random.pick(&[0, below]);
                Packet::LeaderInfo { epoch, protocol_version: 0x10000 }
            }
            6 => Packet::AckEpoch { last_zxid: -2, current_epoch: None },
            7 => Packet::Trunc { zxid: *random.pick(&[-1, BEYOND]) },
            8 => Packet::Snap { zxid: *random.pick(&[-1, BEYOND]) },
            9 => Packet::NewLeader { epoch: -1, config: None },
            10 => {
                // An acknowledgement of what was not proposed.
                let counter = ctx.plan.first_counter;
                let beyond = if counter > 1 { BEYOND } else { make_zxid(epoch, 0xffff_ffff) };
                Packet::Ack { zxid: *random.pick(&[BEYOND, beyond]) }
            }
            11 => Packet::Proposal { zxid, txn: txn(), config: None },
            // What it has already.
            12 => Packet::Proposal { zxid: last, txn: txn(), config: None },
            13 => Packet::Commit { zxid: BEYOND },
            14 => Packet::CommitAndActivate { zxid: BEYOND, designated_leader: sid },
            15 | 16 => Packet::Inform { zxid, txn: txn() },
            17 if self.serves() || self.acked_new_leader != Some(conn) => Packet::UpToDate,
            _ => {
                let designated_leader = sid;
                Packet::InformAndActivate { zxid, designated_leader, txn: txn(), config: None }
            }
        }
    }

    /// Perhaps strangers come to the quorum port, of whom some say what they may not and some hang up; and one that no
    /// configuration names votes.
    pub(super) fn strangers(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let garbage = ctx.plan.odd.garbage_per_mille > 0 && ctx.now() < ctx.plan.fault_time;
        if !garbage || !machine.pieces.chance(100) {
            return;
        }
        // What it was told before has its effect first.
        self.carry_out(ctx, machine);
        // Where there is room for few learners they may not keep it.
        let hang_up = if ctx.plan.learners_max < 100 { 1000 } else { 500 };
        self.garbled = true;
        let mut gone = Vec::new();
        for _ in 0..*machine.pieces.pick(&[1, 3, 80]) {
            self.strangers += 1;
            let conn = ConnId(u64::MAX - self.strangers);
            self.zab.handle_accepted(conn);
            if machine.pieces.chance(300) {
                let packet = self.illegal(ctx, machine, conn);
                self.zab.handle_packet(conn, packet);
            }
            if machine.pieces.chance(hang_up) {
                gone.push(conn);
            }
        }
        for conn in gone {
            self.zab.handle_closed(conn);
        }
        self.carry_out(ctx, machine);
        self.garbled = false;
        for _ in 0..*machine.pieces.pick(&[1, 1, 100]) {
            let stranger = machine.pieces.between(1000, 1200) as Sid;
            let vote = Notification {
                state: PeerState::Looking,
                leader: stranger,
                zxid: 0,
                election_epoch: 1,
                peer_epoch: 0,
                version: 2,
                config: None,
            };
            ctx.report.garbage += 1;
            self.zab.handle_notification(stranger, vote);
        }
        self.carry_out(ctx, machine);
    }

    /// Perhaps a vote that cannot be one comes before a real one.
    pub(super) fn garbage_vote(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        from: Sid,
        vote: &Notification,
    ) {
        if !self.has_garbage(ctx, machine) {
            return;
        }
        let mut vote = Notification { state: PeerState::Looking, config: None, ..vote.clone() };
        let mut of = from;
        match machine.pieces.below(4) {
            0 => vote.election_epoch = -1,
            1 => vote.election_epoch = i64::MAX,
            2 => of = machine.sid,
            _ => vote.zxid = -1,
        }
        ctx.tell(|| format!("{}: garbage of {of}: {vote:?}", machine.sid));
        ctx.report.garbage += 1;
        self.zab.handle_notification(of, vote);
        self.carry_out(ctx, machine);
    }
}
