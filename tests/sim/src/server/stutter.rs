//! A driver that says things twice, or too late: what the core was told of late is told again now and then, of connections
//! that are gone, attempts that have ended, writes of an older history. The core must take no notice.

use std::sync::Arc;

use ringkeeper::protocol::Zxid;
use ringkeeper::zab::{ConnId, Generation, LearnerRequest, LookUpAnswer, Packet, Role, Txn};

use super::process::{Machine, Process};
use crate::context::Context;

/// Something that the core was told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Attempt(u64),
    Packet(ConnId, Packet),
    Closed(ConnId),
    Durable(Zxid, Generation),
    Stored(u64),
    Truncated(Zxid, Generation),
    Staged(ConnId),
    TakenOver(Generation),
    LookedUp(ConnId, LookUpAnswer),
    Pinned(ConnId, Zxid),
    Barrier(u64),
    Proposed(Zxid),
}

/// How much of it is remembered.
const TOLD_MAX: usize = 40;

/// A connection that the network never gave out.
const NO_CONN: ConnId = ConnId(u64::MAX);

impl Process {
    /// Remembers what the core is told.
    pub(super) fn tell(&mut self, ctx: &Context, told: Told) {
        if ctx.plan.odd.stutter_per_mille > 0 {
            if self.told.len() >= TOLD_MAX {
                self.told.pop_front();
            }
            self.told.push_back(told);
        }
    }

    /// Says something again, now and then.
    pub(super) fn stutter(&mut self, ctx: &mut Context, machine: &mut Machine) {
        if self.told.is_empty() || !machine.pieces.chance(ctx.plan.odd.stutter_per_mille) {
            return;
        }
        if machine.pieces.chance(100) {
            return self.ask_out_of_turn(ctx, machine);
        }
        if machine.pieces.chance(50) {
            return self.hand_over_early(ctx, machine);
        }
        let at = machine.pieces.below(self.told.len() as u64) as usize;
        let told = self.told[at].clone();
        ctx.tell(|| format!("{}: says again: {told:?}", machine.sid));
        ctx.report.said_again += 1;
        let zab = &mut self.zab;
        match told {
            Told::Attempt(attempt) => match machine.pieces.chance(500) {
                true => zab.handle_connected(attempt, NO_CONN),
                false => zab.handle_connect_failed(attempt),
            },
            // Said again of a connection that is open it would be said by the peer.
            Told::Packet(conn, _) | Told::Closed(conn) if self.inputs.contains_key(&conn.0) => {}
            Told::Packet(conn, packet) => zab.handle_packet(conn, packet),
            Told::Closed(conn) => {
                zab.handle_progress(conn);
                zab.learner_sync(conn);
                zab.handle_closed(conn);
            }
            Told::Durable(zxid, generation) => zab.handle_durable(zxid, generation),
            Told::Stored(token) => zab.handle_epochs_stored(token),
            Told::Truncated(last, generation) => zab.handle_truncated(last, generation),
            Told::Staged(conn) => match machine.pieces.chance(500) {
                true => zab.handle_snapshot_staged(conn),
                false => zab.handle_snapshot_failed(conn),
            },
            Told::TakenOver(generation) => zab.handle_taken_over(generation),
            Told::LookedUp(conn, answer) => zab.handle_lookup(conn, answer),
            Told::Pinned(conn, zxid) => zab.handle_snapshot_pinned(conn, zxid),
            Told::Barrier(token) => zab.handle_barrier(token),
            Told::Proposed(zxid) => {
                if zab.propose(zxid, Txn::from([])).is_ok() {
                    self.wrong(ctx, machine, format!("0x{zxid:x} could be proposed twice"));
                }
            }
        }
    }

    /// Does not ask whether a packet may come now.
    fn hand_over_early(&mut self, ctx: &mut Context, machine: &Machine) {
        let waits = |conn: &&u64| !self.zab.wants_input(ConnId(**conn));
        if let Some(conn) = self.inputs.keys().find(waits) {
            let conn = ConnId(*conn);
            ctx.tell(|| format!("{}: hands over a packet too early, of {conn:?}", machine.sid));
            self.zab.handle_packet(conn, Packet::Ping { zxid: 0, touched: Vec::new() });
        }
    }

    /// Says an earlier cut's answer again, when another one is under way.
    pub(super) fn stutter_of_cuts(&mut self, ctx: &mut Context, machine: &Machine) {
        if let Some((last, generation)) = self.last_cut
            && ctx.plan.odd.stutter_per_mille > 0
        {
            ctx.tell(|| format!("{}: says again that its log was cut", machine.sid));
            ctx.report.said_again += 1;
            self.zab.handle_truncated(last, generation);
        }
    }

    /// Asks for what the role does not allow.
    fn ask_out_of_turn(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let txn = Txn::from([]);
        let config = Arc::clone(self.zab.config());
        // What the core is: what it asks for is not carried out yet.
        let role = self.zab.role();
        let leads = matches!(role, Role::Leading { serving: true, .. });
        let follows = matches!(role, Role::Learning { serving: true, .. });
        let zxid = match self.zab.next_zxid() {
            Ok(next) if leads => next + 1,
            Err(_) => 1,
            Ok(next) => {
                let what = format!("0x{next:x} is next, and it is {role:?}");
                return self.wrong(ctx, machine, what);
            }
        };
        let mut taken = self.zab.propose(zxid, txn.clone()).is_ok()
            || self.zab.propose_reconfig(zxid, txn.clone(), config.clone(), None).is_ok();
        if !leads {
            taken |= self.zab.check_reconfig(&config, None).is_ok();
        }
        if !follows {
            let (session, cxid, kind, auth) = (0, 0, 0, Vec::new());
            let request = LearnerRequest { session, cxid, kind, body: txn, auth };
            taken |= self.zab.forward(request).is_ok() || self.zab.revalidate(0, 0).is_ok();
        }
        if taken {
            self.wrong(ctx, machine, format!("{role:?} takes what is not its to take"));
        }
    }
}
