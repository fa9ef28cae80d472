//! Illegal messages, as a damaged peer might send: put before a real one, at the receiver. The core must close the
//! connection, or take no notice; nothing else may come of it, so none of these may be legal in any phase.

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
        let packet = self.illegal(ctx, machine);
        ctx.tell(|| format!("{}: garbage on {conn:?}: {packet:?}", machine.sid));
        ctx.report.garbage += 1;
        self.garbled = true;
        self.zab.handle_packet(conn, packet);
        self.carry_out(ctx, machine);
        self.garbled = false;
        true
    }

    fn illegal(&self, ctx: &Context, machine: &mut Machine) -> Packet {
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
        let info = LearnerInfo { sid: Some(99), protocol_version: 0x10000, config_version: 0 };
        let txn = || Txn::from([]);
        // A reconfiguration that is not committed next: of one in step it is known what is.
        if let Some((proposed, _)) = self.proposed
            && self.serves()
            && self.in_force.recent.iter().any(|(z, _)| self.zab.committed() < *z && *z < proposed)
            && random.chance(300)
        {
            return Packet::CommitAndActivate { zxid: proposed, designated_leader: sid };
        }
        match random.below(18) {
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
            5 => Packet::LeaderInfo { epoch: 0, protocol_version: 0x10000 },
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
        // Where there is room for few learners they may not keep it.
        let hang_up = if ctx.plan.learners_max < 100 { 1000 } else { 500 };
        self.garbled = true;
        for _ in 0..*machine.pieces.pick(&[1, 3, 80]) {
            self.strangers += 1;
            let conn = ConnId(u64::MAX - self.strangers);
            self.zab.handle_accepted(conn);
            if machine.pieces.chance(300) {
                let packet = self.illegal(ctx, machine);
                self.zab.handle_packet(conn, packet);
            }
            if machine.pieces.chance(hang_up) {
                self.zab.handle_closed(conn);
            }
        }
        self.carry_out(ctx, machine);
        self.garbled = false;
        let stranger = machine.pieces.between(1000, 1100) as Sid;
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
