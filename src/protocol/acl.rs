//! Access control entries and identities, owned and borrowed.

use crate::jute::{DecodeError, Decoder, Encode, Field};

/// The permissions of an ACL entry (`ZooDefs.Perms`), to be added up.
pub mod perms {
    /// Read data and list children.
    pub const READ: i32 = 1;
    /// Change data.
    pub const WRITE: i32 = 2;
    /// Create children.
    pub const CREATE: i32 = 4;
    /// Delete children.
    pub const DELETE: i32 = 8;
    /// Change the ACL.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = 31;
}

/// One entry of an ACL: what an identity may do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Acl {
    /// Permissions, see [`perms`].
    pub perms: i32,
    /// The scheme of the identity: `world`, `digest`, `ip`, …
    pub scheme: String,
    /// The identity within its scheme.
    pub id: String,
}

/// One entry of an ACL, borrowed from the bytes it was decoded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AclRef<'a> {
    /// Permissions, see [`perms`].
    pub perms: i32,
    /// The scheme of the identity; null reads as empty, which is no scheme either.
    pub scheme: &'a str,
    /// The identity within its scheme; null reads as empty.
    pub id: &'a str,
}

impl<'a> AclRef<'a> {
    /// Reads one.
    pub fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Field::get(input)
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.put(out);
    }
}

impl<'a> Field<'a> for AclRef<'a> {
    const BYTES_MIN: usize = 12;

    fn get(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(AclRef { perms: input.i32()?, scheme: input.str()?, id: input.str()? })
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.put_i32(self.perms);
        out.put_str(self.scheme);
        out.put_str(self.id);
    }
}

impl AclRef<'static> {
    /// Everybody may do everything: the entry of nearly all znodes.
    pub const ANYONE_ALL: AclRef<'static> =
        AclRef { perms: perms::ALL, scheme: "world", id: "anyone" };
}

impl AclRef<'_> {
    /// An owned copy.
    pub fn to_owned(&self) -> Acl {
        Acl { perms: self.perms, scheme: self.scheme.to_owned(), id: self.id.to_owned() }
    }
}

impl Acl {
    /// A borrowed view.
    pub fn as_ref(&self) -> AclRef<'_> {
        AclRef { perms: self.perms, scheme: &self.scheme, id: &self.id }
    }
}

impl From<AclRef<'_>> for Acl {
    fn from(acl: AclRef<'_>) -> Acl {
        acl.to_owned()
    }
}

/// Who a connection has proved to be, in one scheme.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// `digest`, `ip`, `x509`, `sasl`, `super`, …
    pub scheme: String,
    /// The identity within its scheme.
    pub id: String,
}
