//! What a client sees of a znode besides its data.

crate::record! {
    /// The client-visible Stat: `cversion` counts creations and deletions of children, and the owner of
    /// a container or TTL znode shows as 0. What is stored differs: see `StatPersisted` in the tree.
    #[derive(Default, Hash)]
    pub struct Stat {
        /// The zxid that created the znode.
        pub czxid: i64,
        /// The zxid that last changed its data.
        pub mzxid: i64,
        /// When it was created, in milliseconds since 1970.
        pub ctime_ms: i64,
        /// When its data was last changed, in milliseconds since 1970.
        pub mtime_ms: i64,
        /// How often its data was changed.
        pub version: i32,
        /// How often its list of children was changed.
        pub cversion: i32,
        /// How often its ACL was changed.
        pub aversion: i32,
        /// The session that owns it, 0 if it is not ephemeral.
        pub ephemeral_owner: i64,
        /// The length of its data in bytes; 0 for null data.
        pub data_length: i32,
        /// The number of its children.
        pub num_children: i32,
        /// The zxid that last changed its list of children.
        pub pzxid: i64,
    }
}

impl Stat {
    /// The bytes of an encoded Stat.
    pub const BYTES: usize = 68;
}
