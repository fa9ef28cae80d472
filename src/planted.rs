//! Mistakes that the simulator plants in shards and the core, to prove that its rules catch them. Builds without
//! debug assertions have none of it. (The agreement protocol has its own: [`crate::zab::Mistake`].)

use std::cell::Cell;

/// One of them.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A shard answers what it has received before it works through the commit ring (R10).
    ReadBeforeDrain,
    /// A read does not wait for the write before it (R1).
    ReadPastWrite,
    /// A shard moves its zxid on before it has told the events up to there (R3).
    ZxidBeforeEvents,
    /// The answer to a write leaves before the events that it causes (R3).
    ReplyBeforeEvents,
    /// A child watch is not set by the read that asks for it (R4).
    WatchNotSet,
    /// An event does not wait for the long answer that armed it, or is older (R4).
    EventBeforeLongAnswer,
    /// The core publishes what is not durable (R6).
    PublishBeforeDurable,
    /// Requests of a connection that the session has left are ordered (R1).
    OldConnectionServed,
    /// A shard that makes room in the full commit ring does not wake the core.
    FreedRingUntold,
    /// A shard that sleeps lets versions go that it is to look up (R5).
    ReadersLetGo,
}

thread_local! {
    static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
}

/// Plants a mistake on this thread, in place of the one before.
pub fn plant(mistake: Option<Planted>) {
    PLANTED.set(mistake);
}

/// Whether the mistake is planted.
#[inline]
pub(crate) fn is(mistake: Planted) -> bool {
    cfg!(debug_assertions) && PLANTED.get() == Some(mistake)
}
