//! Watch events and the numbers that go with watches.

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum $name { $($(#[$vmeta])* $variant = $code,)* }
        impl $name {
            /// What a number stands for.
            pub fn from_i32(code: i32) -> Option<$name> {
                match code { $($code => Some($name::$variant),)* _ => None }
            }
            /// The number on the wire.
            pub fn code(self) -> i32 {
                self as i32
            }
        }
    };
}

numbered! {
    /// What happened (`Watcher.Event.EventType`).
    EventType {
        /// The znode was created.
        NodeCreated = 1,
        /// The znode was deleted.
        NodeDeleted = 2,
        /// Its data changed.
        NodeDataChanged = 3,
        /// A child came or went.
        NodeChildrenChanged = 4,
        /// A data watch was removed; made by clients.
        DataWatchRemoved = 5,
        /// A child watch was removed; made by clients.
        ChildWatchRemoved = 6,
        /// A persistent watch was removed; made by clients.
        PersistentWatchRemoved = 7,
    }
}

numbered! {
    /// The state that an event carries (`Watcher.Event.KeeperState`); the server sends `SyncConnected`.
    KeeperState {
        /// No connection.
        Disconnected = 0,
        /// Connected.
        SyncConnected = 3,
        /// Authentication failed.
        AuthFailed = 4,
        /// Connected to a read-only server.
        ConnectedReadOnly = 5,
        /// Authenticated by SASL.
        SaslAuthenticated = 6,
        /// Closed by the client.
        Closed = 7,
        /// The session has expired.
        Expired = -112,
    }
}

numbered! {
    /// The mode of an addWatch request (`AddWatchMode`).
    AddWatchMode {
        /// Stays when it fires.
        Persistent = 0,
        /// Stays when it fires, and covers all descendants; fires no NodeChildrenChanged.
        PersistentRecursive = 1,
    }
}

numbered! {
    /// Which watches a checkWatches or removeWatches means (`Watcher.WatcherType`).
    WatcherType {
        /// Child watches.
        Children = 1,
        /// Data and exists watches.
        Data = 2,
        /// All of them.
        Any = 3,
        /// Persistent watches.
        Persistent = 4,
        /// Persistent recursive watches.
        PersistentRecursive = 5,
    }
}

crate::record! {
    /// The body of a notification.
    pub struct WatcherEvent<'a> {
        /// See [`EventType`].
        pub kind: i32,
        /// See [`KeeperState`].
        pub state: i32,
        /// The znode.
        pub path: &'a str,
    }
}
