//! Mistakes that prove the checker: in this world's own driver, or behind switches in shard and core that
//! only builds with debug assertions have.

use ringkeeper::planted::{self, Planted};

/// A mistake to plant.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The core is told that a log write is done before its bytes have arrived.
    WriteDoneEarly,
    /// A write that completes before an older one is told as the older one.
    WriteOrderIgnored,
    /// Two answers of one connection change places.
    AnswersSwapped,
    /// An event does not leave.
    EventDropped,
    /// An event leaves twice.
    EventDoubled,
    /// An event leaves behind the answer that followed it.
    EventLate,
    /// A thread that sleeps is not woken by another.
    WakeLost,
    /// A mistake in the server.
    Server(Planted),
}

impl Mistake {
    /// Every mistake, with its name and below which seed it is caught.
    pub const ALL: &'static [(Mistake, &'static str, u64)] = &[
        (Mistake::WriteDoneEarly, "write-done-early", 20),
        (Mistake::WriteOrderIgnored, "write-order-ignored", 50),
        (Mistake::AnswersSwapped, "answers-swapped", 20),
        (Mistake::EventDropped, "event-dropped", 20),
        (Mistake::EventDoubled, "event-doubled", 20),
        (Mistake::EventLate, "event-late", 20),
        (Mistake::WakeLost, "wake-lost", 50),
        (Mistake::Server(Planted::ReadBeforeDrain), "read-before-drain", 50),
        (Mistake::Server(Planted::ReadPastWrite), "read-past-write", 20),
        (Mistake::Server(Planted::ZxidBeforeEvents), "zxid-before-events", 50),
        (Mistake::Server(Planted::ReplyBeforeEvents), "reply-before-events", 50),
        (Mistake::Server(Planted::WatchNotSet), "watch-not-set", 20),
        (Mistake::Server(Planted::EventBeforeLongAnswer), "event-before-long-answer", 400),
        (Mistake::Server(Planted::PublishBeforeDurable), "publish-before-durable", 20),
        (Mistake::Server(Planted::OldConnectionServed), "old-connection-served", 200),
        (Mistake::Server(Planted::FreedRingUntold), "freed-ring-untold", 600),
        (Mistake::Server(Planted::ReadersLetGo), "readers-let-go", 200),
    ];

    /// The mistake of this name.
    pub fn named(name: &str) -> Option<Mistake> {
        Self::ALL.iter().find(|(_, n, _)| *n == name).map(|(mistake, _, _)| *mistake)
    }
}

/// Plants what is to be planted in the server on this thread, and takes away what was.
pub fn plant(mistake: Option<Mistake>) {
    planted::plant(match mistake {
        Some(Mistake::Server(planted)) => Some(planted),
        _ => None,
    });
}
