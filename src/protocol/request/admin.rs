//! Requests about who a client is and who the ensemble is.

crate::record! {
    /// auth (100).
    #[derive(Copy)]
    pub struct AuthPacket<'a> {
        /// Unused.
        pub kind: i32,
        /// The scheme, such as `digest`; null is no scheme, as an unknown one.
        pub scheme: Option<&'a str>,
        /// What the scheme makes of it; of `digest`, `user:password`.
        pub auth: Option<&'a [u8]>,
    }
}

crate::record! {
    /// sasl (102).
    #[derive(Copy)]
    pub struct SaslRequest<'a> {
        /// A token of the mechanism.
        pub token: Option<&'a [u8]>,
    }
}

crate::record! {
    /// reconfig (16).
    #[derive(Copy)]
    pub struct ReconfigRequest<'a> {
        /// `server.N=…` lines to add or change, separated by commas.
        pub joining_servers: Option<&'a str>,
        /// Ids of servers to take away, separated by commas.
        pub leaving_servers: Option<&'a str>,
        /// The whole new list instead.
        pub new_members: Option<&'a str>,
        /// The configuration's version that it must apply to, −1 for any.
        pub config_id: i64,
    }
}
