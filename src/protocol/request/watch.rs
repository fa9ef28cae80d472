//! Requests about watches.

crate::record! {
    /// setWatches (101): what a client sends after a reconnect.
    pub struct SetWatches<'a> {
        /// What changed after this zxid is told at once.
        pub relative_zxid: i64,
        /// Data watches.
        pub data_watches: Vec<&'a str>,
        /// Exists watches on znodes that were not there.
        pub exist_watches: Vec<&'a str>,
        /// Child watches.
        pub child_watches: Vec<&'a str>,
    }
}

crate::record! {
    /// setWatches2 (105).
    pub struct SetWatches2<'a> {
        /// What changed after this zxid is told at once.
        pub relative_zxid: i64,
        /// Data watches.
        pub data_watches: Vec<&'a str>,
        /// Exists watches on znodes that were not there.
        pub exist_watches: Vec<&'a str>,
        /// Child watches.
        pub child_watches: Vec<&'a str>,
        /// Persistent watches.
        pub persistent_watches: Vec<&'a str>,
        /// Persistent recursive watches.
        pub persistent_recursive_watches: Vec<&'a str>,
    }
}

crate::record! {
    /// addWatch (106).
    #[derive(Copy)]
    pub struct AddWatchRequest<'a> {
        /// The znode. ZooKeeper takes any string, and null too.
        pub path: Option<&'a str>,
        /// See [`AddWatchMode`](crate::protocol::AddWatchMode).
        pub mode: i32,
    }
}

crate::record! {
    /// checkWatches (17).
    #[derive(Copy)]
    pub struct CheckWatchesRequest<'a> {
        /// The znode. ZooKeeper takes any string, and null too.
        pub path: Option<&'a str>,
        /// See [`WatcherType`](crate::protocol::WatcherType).
        pub kind: i32,
    }
}

crate::record! {
    /// removeWatches (18).
    #[derive(Copy)]
    pub struct RemoveWatchesRequest<'a> {
        /// The znode. ZooKeeper takes any string, and null too.
        pub path: Option<&'a str>,
        /// See [`WatcherType`](crate::protocol::WatcherType).
        pub kind: i32,
    }
}
