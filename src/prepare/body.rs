//! The bodies of requests as ZooKeeper reads them: it comes upon a null only when the request's turn has come, behind
//! other checks.

use crate::jute::{DecodeError, Decoder, Encode, Field};
use crate::protocol::{AclRef, CreateRequest, CreateTtlRequest};

/// The ACL that a request brings. A null list is an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestAcl<'a> {
    /// The entries, up to one that ZooKeeper stumbles over.
    pub entries: Vec<AclRef<'a>>,
    /// There is such a one: its id is null, and its scheme one that looks at ids. (`auth` does not, and kazoo writes
    /// the empty string as null there.)
    pub stumbles: bool,
}

impl<'a> From<Vec<AclRef<'a>>> for RequestAcl<'a> {
    fn from(entries: Vec<AclRef<'a>>) -> Self {
        RequestAcl { entries, stumbles: false }
    }
}

impl<'a> Field<'a> for RequestAcl<'a> {
    const BYTES_MIN: usize = 4;

    fn get(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let count = input.count(AclRef::BYTES_MIN)?.unwrap_or(0);
        let mut acl = RequestAcl { entries: Vec::with_capacity(count), stumbles: false };
        for _ in 0..count {
            let (perms, scheme, id) = (input.i32()?, input.str()?, input.string()?);
            acl.stumbles |= id.is_none() && matches!(scheme, "world" | "digest" | "ip");
            if !acl.stumbles {
                acl.entries.push(AclRef { perms, scheme, id: id.unwrap_or_default() });
            }
        }
        Ok(acl)
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.put_count(self.entries.len());
        self.entries.iter().for_each(|entry| entry.put(out));
    }
}

crate::record! {
    /// create, create2, createContainer.
    pub struct CreateBody<'a> {
        pub path: Option<&'a str>,
        pub data: Option<&'a [u8]>,
        pub acl: RequestAcl<'a>,
        pub flags: i32,
    }
}

crate::record! {
    /// createTTL.
    pub struct CreateTtlBody<'a> {
        pub path: Option<&'a str>,
        pub data: Option<&'a [u8]>,
        pub acl: RequestAcl<'a>,
        pub flags: i32,
        pub ttl_ms: i64,
    }
}

crate::record! {
    /// delete.
    pub struct DeleteBody<'a> {
        pub path: Option<&'a str>,
        pub version: i32,
    }
}

crate::record! {
    /// setData.
    pub struct SetDataBody<'a> {
        pub path: Option<&'a str>,
        pub data: Option<&'a [u8]>,
        pub version: i32,
    }
}

crate::record! {
    /// setACL.
    pub struct SetAclBody<'a> {
        pub path: Option<&'a str>,
        pub acl: RequestAcl<'a>,
        pub version: i32,
    }
}

impl<'a> From<CreateRequest<'a>> for CreateBody<'a> {
    fn from(request: CreateRequest<'a>) -> Self {
        let CreateRequest { path, data, acl, flags } = request;
        CreateBody { path: Some(path), data, acl: acl.into(), flags }
    }
}

impl<'a> From<CreateTtlRequest<'a>> for CreateTtlBody<'a> {
    fn from(request: CreateTtlRequest<'a>) -> Self {
        let CreateTtlRequest { path, data, acl, flags, ttl_ms } = request;
        CreateTtlBody { path: Some(path), data, acl: acl.into(), flags, ttl_ms }
    }
}
