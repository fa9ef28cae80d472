//! Requests that become transactions.

use crate::jute::{DecodeError, Decoder, Encode, Field};
use crate::protocol::AclRef;

crate::record! {
    /// create (1), create2 (15), createContainer (19).
    pub struct CreateRequest<'a> {
        /// The znode; for a sequential mode what stands before the number.
        pub path: &'a str,
        /// Its data.
        pub data: Option<&'a [u8]>,
        /// Its ACL as the client gave it.
        pub acl: Vec<AclRef<'a>>,
        /// See [`CreateMode`](crate::protocol::CreateMode).
        pub flags: i32,
    }
}

crate::record! {
    /// createTTL (21).
    pub struct CreateTtlRequest<'a> {
        /// The znode; for a sequential mode what stands before the number.
        pub path: &'a str,
        /// Its data.
        pub data: Option<&'a [u8]>,
        /// Its ACL as the client gave it.
        pub acl: Vec<AclRef<'a>>,
        /// See [`CreateMode`](crate::protocol::CreateMode).
        pub flags: i32,
        /// Its time to live.
        pub ttl_ms: i64,
    }
}

crate::record! {
    /// delete (2).
    #[derive(Copy)]
    pub struct DeleteRequest<'a> {
        /// The znode.
        pub path: &'a str,
        /// The version it must have, −1 for any.
        pub version: i32,
    }
}

crate::record! {
    /// setData (5).
    #[derive(Copy)]
    pub struct SetDataRequest<'a> {
        /// The znode.
        pub path: &'a str,
        /// Its new data.
        pub data: Option<&'a [u8]>,
        /// The version it must have, −1 for any.
        pub version: i32,
    }
}

crate::record! {
    /// setACL (7).
    pub struct SetAclRequest<'a> {
        /// The znode.
        pub path: &'a str,
        /// Its new ACL as the client gave it.
        pub acl: Vec<AclRef<'a>>,
        /// The ACL version it must have, −1 for any.
        pub version: i32,
    }
}

crate::record! {
    /// check (13), an operation of a multi.
    #[derive(Copy)]
    pub struct CheckVersionRequest<'a> {
        /// The znode.
        pub path: &'a str,
        /// The version it must have, −1 for any.
        pub version: i32,
    }
}

/// deleteContainer (20), which the server sends to itself. Its path stands as a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteContainerRequest<'a> {
    /// The container or TTL znode to reap.
    pub path: &'a str,
}

impl<'a> DeleteContainerRequest<'a> {
    /// Reads one.
    pub fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        // A buffer and a string have the same bytes; only Java's types differ.
        Ok(DeleteContainerRequest { path: Field::get(input)? })
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_str(self.path);
    }
}
