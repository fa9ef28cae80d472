//! What a leader gives a learner of its history: its log, or a snapshot.

use std::sync::Arc;

use ringkeeper::protocol::Zxid;
use ringkeeper::zab::{ConnId, Mistake, Packet};

use super::links::post;
use super::process::{Death, Machine, Process};
use super::state::{State, config_in};
use super::stutter::Told;
use crate::context::{Answer, Context, Message};
use crate::store::snapshot;
impl Process {
    pub(super) fn stream(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        conn: ConnId,
        after: Zxid,
        through: Zxid,
    ) {
        let mut from = after;
        if machine.random.chance(ctx.plan.odd.overlap_per_mille) {
            // Legal, if odd: what the learner has comes again.
            for _ in 0..machine.random.below(4) {
                if let Some(earlier) = self.in_force.floor(from - 1) {
                    from = earlier;
                }
            }
        }
        let mut found = match self.in_force.read(from, through) {
            Ok(found) => found,
            Err(why) => {
                return self.die(Death::DiskFailed(why));
            }
        };
        if ctx.mistakes.has(Mistake::StreamOneTooFew) {
            found.pop();
        }
        for (zxid, txn) in found {
            let config = config_in(&txn).map(Arc::new);
            post(ctx, machine, conn.0, Message::Packet(Packet::Proposal { zxid, txn, config }));
            post(ctx, machine, conn.0, Message::Packet(Packet::Commit { zxid }));
        }
    }

    /// Pins the published state, and says so at once or after a while.
    pub(super) fn begin_pin(&mut self, ctx: &mut Context, machine: &mut Machine, conn: ConnId) {
        self.pin(ctx, conn);
        match ctx.plan.odd.late_us {
            0 => self.pinned(ctx, conn),
            late_us => {
                let after = machine.random.spread(late_us);
                self.answer_in(ctx, machine, after, Answer::Pinned { conn: conn.0 });
            }
        }
    }

    /// Tells the core what is pinned.
    pub(super) fn pinned(&mut self, ctx: &mut Context, conn: ConnId) {
        // What comes behind it must still be in the log.
        let known = |state: &mut State, zxid| state.floor(zxid) == Some(zxid);
        let zxid = self.pins.get(&conn).map(|(zxid, _)| *zxid);
        if zxid.is_some_and(|zxid| !known(&mut self.in_force, zxid)) {
            self.pin(ctx, conn);
        }
        let zxid = self.pins.get(&conn).map_or(0, |(zxid, _)| *zxid);
        self.tell(ctx, Told::Pinned(conn, zxid));
        self.zab.handle_snapshot_pinned(conn, zxid);
    }

    fn pin(&mut self, ctx: &mut Context, conn: ConnId) {
        let tree = &self.in_force.store.tree;
        let zxid = tree.published();
        let bytes = match ctx.mistakes.has(Mistake::SnapshotHoldsUncommitted) {
            true => snapshot::encode_newest(tree, zxid),
            false => snapshot::encode(tree, zxid),
        };
        self.pins.insert(conn, (zxid, bytes.into()));
    }

    pub(super) fn send_snapshot(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        conn: ConnId,
        zxid: Zxid,
    ) {
        ctx.report.snaps += 1;
        let Some((pinned, bytes)) = self.pins.remove(&conn) else {
            return self.wrong(ctx, machine, "a snapshot is to be sent that was not pinned".into());
        };
        if pinned != zxid {
            return self.wrong(
                ctx,
                machine,
                format!("0x{pinned:x} was pinned, 0x{zxid:x} is to be sent"),
            );
        }
        post(ctx, machine, conn.0, Message::Packet(Packet::Snap { zxid }));
        post(ctx, machine, conn.0, Message::Snapshot(bytes));
        self.zab.handle_progress(conn);
        self.comes_on(ctx, conn);
    }

    /// A snapshot is under way on a connection, and this end sees it come on.
    pub(super) fn comes_on(&mut self, ctx: &Context, conn: ConnId) {
        if ctx.plan.odd.snapshot_us_max > 0 {
            self.streaming.insert(conn, ctx.now() + ctx.plan.odd.snapshot_us_max);
        }
    }
}
