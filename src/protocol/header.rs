//! What stands before every request and every reply.

/// The xids that are not a client's own numbering.
pub mod xid {
    /// A watch event.
    pub const NOTIFICATION: i32 = -1;
    /// A ping and its answer.
    pub const PING: i32 = -2;
    /// An auth packet and its answer.
    pub const AUTH: i32 = -4;
    /// A setWatches and its answer.
    pub const SET_WATCHES: i32 = -8;
}

crate::record! {
    /// The head of every request after the handshake.
    pub struct RequestHeader {
        /// The client's number of this request; comes back in the reply.
        pub xid: i32,
        /// The opcode as sent; see [`OpCode::from_i32`](crate::protocol::OpCode::from_i32).
        pub op_raw: i32,
    }
}

impl RequestHeader {
    /// The bytes of an encoded header.
    pub const BYTES: usize = 8;
}

crate::record! {
    /// The head of every reply and every event.
    pub struct ReplyHeader {
        /// The request's xid, or one of [`xid`]'s.
        pub xid: i32,
        /// The zxid at which the server answered; of a write, its own.
        pub zxid: i64,
        /// See [`ErrorCode`](crate::protocol::ErrorCode); a reply with an error has no body.
        pub err: i32,
    }
}

impl ReplyHeader {
    /// The bytes of an encoded header.
    pub const BYTES: usize = 16;
}
