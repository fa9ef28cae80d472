//! What the owner of a znode says about its kind (`EphemeralType`).
//!
//! ZooKeeper keeps the kind of a znode in its persisted `ephemeralOwner`: 0 for an ordinary one, a session
//! id for an ephemeral, `i64::MIN` for a container, and 0xff in the top byte for extended types, of which
//! TTL is the only one (feature bits 0, the low 40 bits the time to live in milliseconds). Extended types
//! have to be enabled; otherwise such an owner is a plain session id, so server ids must stay below 255.

/// The owner of a container.
pub const CONTAINER_OWNER: i64 = i64::MIN;
/// The longest time to live.
pub const TTL_MS_MAX: i64 = (1 << 40) - 1;

const EXTENDED_MASK: u64 = 0xff00_0000_0000_0000;
const FEATURE_MASK: u64 = 0x00ff_ff00_0000_0000;

/// The kind of a znode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EphemeralType {
    /// Persistent.
    Void,
    /// Owned by a session.
    Normal,
    /// A container.
    Container,
    /// A znode with a time to live.
    Ttl {
        /// The time to live in milliseconds.
        ttl_ms: i64,
    },
}

impl EphemeralType {
    /// The kind that an owner means. With extended types, an owner that names an unknown feature is one
    /// that ZooKeeper cannot work with either (it throws); here it counts as a plain session.
    pub fn of(owner: i64, extended_types_enabled: bool) -> EphemeralType {
        let bits = owner as u64;
        if extended_types_enabled
            && bits & EXTENDED_MASK == EXTENDED_MASK
            && bits & FEATURE_MASK == 0
        {
            return EphemeralType::Ttl { ttl_ms: owner & TTL_MS_MAX };
        }
        match owner {
            CONTAINER_OWNER => EphemeralType::Container,
            0 => EphemeralType::Void,
            _ => EphemeralType::Normal,
        }
    }
}

/// The owner of a znode with this time to live; `None` if it is not in 1 ..= [`TTL_MS_MAX`].
pub fn ttl_owner(ttl_ms: i64) -> Option<i64> {
    (1..=TTL_MS_MAX).contains(&ttl_ms).then_some((EXTENDED_MASK | ttl_ms as u64) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_and_kinds() {
        assert_eq!(EphemeralType::of(0, true), EphemeralType::Void);
        assert_eq!(EphemeralType::of(i64::MIN, true), EphemeralType::Container);
        assert_eq!(EphemeralType::of(i64::MIN, false), EphemeralType::Container);
        assert_eq!(EphemeralType::of(0x0100_0000_0000_0001, true), EphemeralType::Normal);
        let owner = ttl_owner(1).unwrap();
        assert_eq!(owner as u64, 0xff00_0000_0000_0001);
        assert_eq!(EphemeralType::of(owner, true), EphemeralType::Ttl { ttl_ms: 1 });
        assert_eq!(EphemeralType::of(owner, false), EphemeralType::Normal);
        let unknown = 0xff00_0100_0000_0001_u64 as i64;
        assert_eq!(EphemeralType::of(unknown, true), EphemeralType::Normal);
    }

    #[test]
    fn the_bounds_of_a_time_to_live() {
        assert_eq!(ttl_owner(0), None);
        assert_eq!(ttl_owner(-1), None);
        assert_eq!(ttl_owner(TTL_MS_MAX + 1), None);
        assert_eq!(ttl_owner(TTL_MS_MAX).map(|o| o as u64), Some(0xff00_00ff_ffff_ffff));
        assert_eq!(TTL_MS_MAX, 1_099_511_627_775);
    }
}
