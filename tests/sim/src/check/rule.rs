//! The rules, and what is said when one is broken.

/// Something that must never happen has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What happened.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}

/// The rules.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// At most one established leader an epoch.
    OneLeaderAnEpoch,
    /// All servers apply the same transactions in the same order.
    OneOrder,
    /// Nothing is applied that no quorum has on its medium.
    OnlyCommitted,
    /// A leader begins with all that was committed before it, and a quorum with its history.
    PrimaryIntegrity,
    /// Zxids of an epoch are contiguous, epochs rise.
    PrimaryOrder,
    /// What is committed and a server had it keeps, also when a snapshot takes over or a lost server is counted again;
    /// and who takes an epoch for its own has all that was committed before it.
    Keeps,
    /// Nobody leaves an election but for a quorum's votes of one round, or a leader that says so itself and its quorum.
    Elections,
    /// Nobody says anything to an older leader than it promised itself to, nor forgets that with its process; and who
    /// leads was taken by a quorum with no fresher history than its own.
    Promises,
    /// A leader with which no quorum is in step steps down in time.
    Company,
    /// What one session asked for is done in the order in which it asked.
    SessionOrder,
    /// What was acknowledged is in the history, as it was acknowledged.
    NoLostWrite,
    /// Equal digests at equal zxids.
    EqualDigests,
    /// Epochs never go back on a disk.
    EpochsGoUp,
    /// A log gives back what was durable, and nothing that was cut.
    DurableLog,
    /// No session sees time go back; it reads its own writes.
    SessionSees,
    /// With the faults gone, all live servers become level within the bound.
    Liveness,
    /// A quorum that can talk makes progress.
    Progress,
    /// The driver was asked for something that cannot be.
    Driver,
    /// What is read of a message's bytes is what was said.
    Wire,
    /// One correct core accuses another.
    Breach,
    /// An assertion of the code under test, or an error that it must not come to.
    Panic,
}

/// Whether a rule holds.
pub(super) type Check = Result<(), Violation>;

pub(super) fn broken<T>(rule: Rule, detail: String) -> Result<T, Violation> {
    Err(Violation { rule, detail })
}
