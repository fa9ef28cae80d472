//! What servers do differently that the protocol allows: a core that talks to its own kind alone would never meet it.
//!
//! Drawn once a seed. Owns no behaviour: the driver asks, and does.

use ringkeeper::zab::Sid;

use crate::plan::Plan;
use crate::random::Random;
use crate::time::{MS, Micros};

/// What a seed's servers do differently.
#[derive(Clone, Debug, Default)]
pub struct Oddities {
    /// Of a thousand look-ups those that call for a snapshot where the log would do.
    pub snapshot_per_mille: u64,
    /// Always snapshots.
    pub force_snapshot: bool,
    /// Of a thousand processes those that always give snapshots while they lead.
    pub snapshot_lives_per_mille: u64,
    /// Of a thousand syncs those that begin earlier than they need to.
    pub overlap_per_mille: u64,
    /// Votes are late by this on average.
    pub vote_delay_us: Micros,
    /// Of a thousand votes those that are said twice.
    pub vote_twice_per_mille: u64,
    /// NEWLEADER and UPTODATE, and all behind them, are late by this on average.
    pub sync_delay_us: Micros,
    /// A snapshot takes up to so long on its way, while both ends see it come on.
    pub snapshot_us_max: Micros,
    /// The core is told so much later, on average, what is durable.
    pub report_delay_us: Micros,
    /// What a learner asks, and a pinned snapshot, are attended to so much later on average.
    pub late_us: Micros,
    /// Of a thousand answers to a core those after which it is told something again that it was told before.
    pub stutter_per_mille: u64,
    /// Of a thousand messages those before which something illegal comes.
    pub garbage_per_mille: u64,
    /// Of a thousand words about who leads those that are lies, where an earlier leader says that it still does.
    pub lies_per_mille: u64,
    /// Of a thousand cuts of a log those of which a driver says that they cannot be made.
    pub uncut_per_mille: u64,
    /// NEWLEADER carries a configuration that is only proposed, as Java's does.
    pub offers_proposed: bool,
    /// Servers whose votes have no configuration, as before ZooKeeper 3.5.
    pub old_votes: Vec<Sid>,
}

/// Draws them; `more` is for those that came later, so that the others stay what they were.
pub fn draw(random: &mut Random, more: &mut Random, tick_ms: u64) -> Oddities {
    let mut odd = Oddities::default();
    let tick_us = tick_ms * MS;
    if more.chance(500) {
        odd.snapshot_lives_per_mille = *more.pick(&[0, 300, 800]);
        odd.vote_twice_per_mille = *more.pick(&[0, 100, 500]);
        odd.sync_delay_us = *more.pick(&[0, 0, tick_us / 8, tick_us / 2]);
        odd.snapshot_us_max = *more.pick(&[0, 0, tick_us * 5, tick_us * 40]);
        odd.report_delay_us = *more.pick(&[0, 0, 500, 20_000, tick_us / 4]);
        odd.overlap_per_mille = *more.pick(&[0, 300, 700]);
    }
    if random.chance(600) {
        return odd;
    }
    odd.snapshot_per_mille = *random.pick(&[0, 200, 700]);
    odd.force_snapshot = random.chance(100);
    odd.overlap_per_mille = odd.overlap_per_mille.max(*random.pick(&[0, 0, 500]));
    odd.vote_delay_us = *random.pick(&[0, 0, 50_000, 300_000]);
    odd
}

/// What few seeds have; of a stream of its own, so that the others stay what they were.
pub fn draw_rarities(plan: &mut Plan) {
    let mut random = Random::new(plan.seed, "rarities", 0);
    if random.chance(150) {
        plan.odd.late_us = *random.pick(&[100, 5_000, 200_000]);
    }
    if random.chance(150) {
        plan.odd.stutter_per_mille = *random.pick(&[5, 50, 300]);
    }
    if random.chance(50) {
        plan.odd.old_votes = plan.servers.iter().copied().filter(|_| random.chance(500)).collect();
    }
    plan.stamp_first_config = random.chance(150);
    if plan.stamp_first_config {
        // Servers that do not tell each other what is in force have nothing that could change (see also
        // `World::reconfigure`): who missed it would never learn it.
        plan.odd.old_votes.clear();
    }
    if random.chance(100) {
        plan.window_bytes = *random.pick(&[200, 1_000]);
    }
    if random.chance(50) {
        plan.outstanding_max = random.between(1, 4) as usize;
    }
    if random.chance(50) {
        plan.learners_max = plan.servers.len() + 1;
    }
    if random.chance(150) {
        plan.odd.garbage_per_mille = *random.pick(&[1, 5, 30]);
    }
    if random.chance(150) {
        plan.odd.uncut_per_mille = *random.pick(&[100, 500]);
    }
    let alone = plan.servers.len() == 1;
    if alone && random.chance(300) {
        plan.standalone = true;
        plan.first_counter = 1;
    }
    plan.odd.offers_proposed = random.chance(200);
}
