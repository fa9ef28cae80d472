//! Mistakes to plant, one a run, that the simulator must catch.
//!
//! Those marked *driver* are planted in the simulator's driver, the others in the core. A release build has none:
//! [`Mistakes::has`] is a constant there.

macro_rules! mistakes {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// One wrong line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Mistake { $($(#[doc = $doc])+ $name,)+ }

        impl Mistake {
            /// All of them.
            pub const ALL: &'static [Mistake] = &[$(Mistake::$name,)+];

            /// Those of a peer, which the core must bear: no rule is broken with them.
            pub const BORNE: &'static [Mistake] = &[Mistake::ProposalLeftOut, Mistake::CommitLeftOut];

            /// Its name, as written on the simulator's command line.
            pub fn name(self) -> &'static str {
                match self { $(Mistake::$name => stringify!($name),)+ }
            }

            /// What it does wrong.
            pub fn what(self) -> &'static str {
                match self { $(Mistake::$name => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// The one of this name.
            pub fn named(name: &str) -> Option<Mistake> {
                Mistake::ALL.iter().copied().find(|mistake| mistake.name() == name)
            }
        }
    };
}

mistakes! {
    // The order of durability.
    /// A follower acknowledges a proposal when it appends it, not when it is on the medium.
    AckBeforeLogSynced,
    /// A learner acknowledges NEWLEADER before its log is on the medium (ZOOKEEPER-3911, 4646).
    NewLeaderAckBeforeLogSynced,
    /// currentEpoch is stored before the log is on the medium (ZOOKEEPER-4643).
    CurrentEpochBeforeLog,
    /// ACKEPOCH is sent before acceptedEpoch is stored.
    AckEpochBeforeStored,
    /// The leader counts itself for a proposal before it is on its own medium.
    LeaderCountsItselfEarly,
    /// The leader counts itself for NEWLEADER before its history and epoch are on its own medium.
    LeaderHistoryNotDurable,
    /// A leader stores no acceptedEpoch: after a crash it may use the epoch again.
    LeaderForgetsAcceptedEpoch,
    /// *driver*: "durable" is the highest write that is complete, not the contiguous prefix.
    DurableIsHighestWrite,
    /// *driver*: a failed sync is taken for a good one.
    SyncFailureIgnored,
    /// *driver*: currentEpoch and acceptedEpoch are written in place, without a rename.
    EpochsTorn,

    // Election and discovery.
    /// Votes with the committed zxid instead of the last logged one.
    VoteByCommitted,
    /// Counts votes of earlier rounds.
    VotesAcrossRounds,
    /// A late joiner accepts a leader that has not said itself that it leads.
    LeaderByHearsay,
    /// A leader counts its followers although one of them has a fresher history.
    IgnoreFresherAckEpoch,
    /// A leader counts a second ACKEPOCH for an epoch that the follower had accepted before.
    AckEpochCountedTwice,
    /// A leader proposes the greatest accepted epoch itself, not the one after it.
    ReuseEpoch,
    /// A follower goes with a leader whose epoch is below the one it accepted; nor does that leader mind.
    AcceptLowerEpoch,
    /// A server whose log was lost or damaged votes and is counted.
    DamagedLogVotes,
    /// Such a server counts as intact at UPTODATE, without having seen a barrier committed.
    RejoinWithoutBarrier,
    /// A leader serves when followers have acknowledged its epoch, without waiting for NEWLEADER's acknowledgements.
    LeaderServesBeforeQuorum,

    // Synchronisation.
    /// The last committed transaction is left out of a sync.
    CommittedLeftOutOfSync,
    /// A gap between choosing a sync and forwarding live proposals.
    ForwardingGap,
    /// The learner does not cut its log at TRUNC.
    SkipTrunc,
    /// The learner keeps one transaction too many at TRUNC.
    TruncOneTooFew,
    /// The leader has a learner cut its log back across an epoch.
    TruncAcrossEpoch,
    /// The queue of outstanding proposals is dropped at UPTODATE: what was proposed since NEWLEADER is never logged.
    DropOutstandingAtUpToDate,
    /// A learner serves at NEWLEADER, before UPTODATE.
    ServeBeforeUpToDate,
    /// A proposal with a gap before it is accepted; the driver leaves some out, as in [`Mistake::ProposalLeftOut`].
    ZxidGapAccepted,
    /// A received snapshot takes over as soon as it is read, before the log after it.
    SnapshotInForceEarly,
    /// *driver*: a snapshot holds uncommitted state (ZOOKEEPER-1549).
    SnapshotHoldsUncommitted,
    /// *driver*: the old log is dropped before the received snapshot is in force.
    OldLogDroppedEarly,
    /// *driver*: frames that were cut by TRUNC come back at recovery.
    StaleFrameAfterTrunc,
    /// *driver*: a stream of the log leaves out its last transaction.
    StreamOneTooFew,

    // Broadcast.
    /// An acknowledgement on an old connection of the follower still counts after it came back and was cut.
    OldConnectionAckCounted,
    /// A completion of an earlier role counts; nor does the driver wait for a staged log before that takes over.
    StaleCompletionCounted,
    /// A COMMIT that does not match the oldest pending proposal is skipped; the driver leaves some out, as in
    /// [`Mistake::CommitLeftOut`].
    CommitMismatchSkipped,
    /// Acknowledgements of another epoch count; followers make some, of the last that a sync brought.
    AckOfOtherEpochCounted,
    /// Half of the voters are taken for a quorum.
    HalfIsQuorum,
    /// Observers are counted in a quorum.
    ObserversCounted,
    /// Weights are forgotten: each server of a group counts one.
    ForgetWeights,
    /// Learners that are not in step are counted as alive.
    UnsyncedCountedAlive,
    /// A leader without a quorum never steps down.
    NeverStepDown,
    /// The counter runs over into the next epoch.
    CounterRunsOver,
    /// A deposed leader goes on committing with the acknowledgements that it has.
    DeposedLeaderCommits,
    /// *driver*: stepping down leaves memory as it is, and so does cutting the log.
    NoUndoOnStepDown,
    /// *driver*: a transaction is published when it is appended.
    PublishBeforeCommit,
    /// *driver*: an ephemeral is created after its session's close was proposed.
    EphemeralAfterClose,
    /// *driver*: a request of a session that has moved to another server is carried out.
    OldOwnerServed,

    // What a peer does wrong and the core must bear: no mistakes of its own, no rule may be broken with them.
    /// *driver*: a live proposal is left out now and then, and its COMMIT (as by leaders with ZOOKEEPER-4925).
    ProposalLeftOut,
    /// *driver*: a COMMIT is left out now and then.
    CommitLeftOut,

    // Reconfiguration.
    /// The old configuration's quorum is dropped when a new one is proposed.
    OldQuorumDroppedEarly,
    /// The new configuration's quorum is not asked for.
    NewQuorumNotAsked,
    /// A proposed configuration is forgotten in elections.
    ProposedConfigForgotten,
    /// A configuration is in force as soon as it is proposed.
    ActivateAtProposal,
    /// The old leader goes on committing after it designated another one.
    OldLeaderCommitsAfterHandOver,
}

/// The mistake planted in one instance, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mistakes(Option<Mistake>);

impl Mistakes {
    /// Plants one. In a release build nothing is planted.
    pub fn plant(mistake: Mistake) -> Mistakes {
        Mistakes(Some(mistake))
    }

    /// Whether this one is planted: `false`, and known to the compiler to be, unless tests or debug assertions are on.
    #[inline(always)]
    pub fn has(self, mistake: Mistake) -> bool {
        cfg!(any(test, debug_assertions)) && self.0 == Some(mistake)
    }
}
