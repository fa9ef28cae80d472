//! What a run saw: a world in which nothing happens breaks no rule either.

macro_rules! report {
    ($($(#[$doc:meta])* $name:ident: $words:literal,)*) => {
        /// Counts of what happened.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Report { $($(#[$doc])* pub $name: u64,)* }

        impl Report {
            /// Adds another run's.
            pub fn add(&mut self, other: &Report) {
                $(self.$name += other.$name;)*
            }

            /// Words and numbers.
            pub fn lines(&self) -> Vec<(&'static str, u64)> {
                vec![$(($words, self.$name),)*]
            }
        }
    };
}

report! {
    /// Runs.
    runs: "runs",
    /// Virtual milliseconds.
    virtual_ms: "virtual milliseconds",
    /// Passes of threads.
    passes: "passes of threads",
    /// Sleeps.
    parks: "times a thread slept",
    /// Pauses of a thread.
    stalls: "threads that stood still",
    /// Transactions that were logged.
    transactions: "transactions logged",
    /// Of them, those that failed.
    errors: "transactions that failed",
    /// Writes that completed before an older one.
    out_of_order: "log writes done before older ones",
    /// Answers.
    answers: "answers checked",
    /// Multis that were answered.
    multis: "multis answered",
    /// Events.
    events: "events checked",
    /// Events of setWatches.
    rewatched: "watches set again",
    /// Connections.
    attached: "sessions attached",
    /// Sessions that moved while requests were under way.
    moves: "sessions moved while they asked",
    /// Sessions that were gone when their client came back.
    refused: "sessions found gone",
    /// Sessions that expired.
    expired: "sessions closed by the server",
    /// Sessions that were closed.
    closed: "sessions closed by clients",
    /// Connections that broke.
    dropped: "connections dropped",
    /// Outputs that did not fit.
    full: "sends that found no room",
    /// Answers made in slices.
    long: "answers made in slices",
    /// Crashes.
    crashes: "crashes",
    /// Crashes in a start.
    start_crashes: "crashes in a start",
    /// Transactions that a crash took back.
    lost: "transactions lost before they were told of",
}
