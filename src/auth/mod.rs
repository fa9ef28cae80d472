//! Who a connection is, and what that allows.
//!
//! Owns: the schemes (`world`, `auth`, `digest`, `ip`, `ensemble`, `super`), the answer to an auth
//! packet, the fix-up of ACLs that clients send, the permission check, the interned lists of
//! identities. Never does: I/O, clocks, the tree; it is told everything it decides on.
//!
//! A scheme with code behind it (ZooKeeper's providers) is a [`Scheme`]; x509 and sasl join there.

mod acl;
mod addauth;
mod config;
mod digest;
mod identity;
mod ip;
mod scheme;

pub use acl::{InvalidAcl, allows, fixup_acl, masked_acl, visible_acl};
pub use addauth::{AuthFailed, authenticate, extend_identities, initial_identities};
pub use config::{AuthConfig, AuthConfigError};
pub use digest::{DigestAlgorithm, generate_digest};
pub use identity::{IdentityCache, IdentityTable, TooManyIdentities, who_am_i};
pub use ip::{address_text, cidr_matches, is_valid_cidr};
pub use scheme::Scheme;
