//! Access control entries and identities, owned and borrowed.

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

crate::record! {
    /// One entry of an ACL, borrowed from the bytes it was decoded from.
    #[derive(Copy, Hash, PartialOrd, Ord)]
    pub struct AclRef<'a> {
        /// Permissions, see [`perms`].
        pub perms: i32,
        /// The scheme of the identity.
        pub scheme: &'a str,
        /// The identity within its scheme.
        pub id: &'a str,
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
