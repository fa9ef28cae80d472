//! The schemes that have rules of their own: ZooKeeper's authentication providers.

use super::config::AuthConfig;
use super::{digest, ip};

/// A scheme the server knows how to judge. `world`, `auth` and `super` are none: they are words of
/// the ACL rules themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// User and hashed password.
    Digest,
    /// The peer's address.
    Ip,
    /// A client's check that it reached the right ensemble; grants nothing.
    Ensemble,
}

impl Scheme {
    /// The scheme of that name, if this server's configuration has it (ProviderRegistry).
    pub fn lookup(config: &AuthConfig, name: &str) -> Option<Scheme> {
        match name {
            "digest" if config.digest_enabled => Some(Self::Digest),
            "ip" => Some(Self::Ip),
            "ensemble" if config.ensemble_enabled => Some(Self::Ensemble),
            _ => None,
        }
    }

    /// Whether holding an identity of this scheme took a credential; only such identities stand in
    /// for an `auth` entry.
    pub fn is_authenticated(self) -> bool {
        match self {
            Self::Digest => true,
            Self::Ip | Self::Ensemble => false,
        }
    }

    /// Whether an ACL may name `id` under this scheme.
    pub fn is_valid(self, id: &str) -> bool {
        match self {
            Self::Digest => digest::is_valid(id),
            Self::Ip => ip::is_valid_cidr(id),
            Self::Ensemble => false,
        }
    }

    /// Whether the identity `id` satisfies the ACL's expression.
    pub fn matches(self, id: &str, expression: &str) -> bool {
        match self {
            Self::Digest => id == expression,
            Self::Ip => ip::cidr_matches(id, expression),
            Self::Ensemble => false,
        }
    }

    /// The part of `id` that may be shown: a name, never a credential.
    pub fn user_name(self, id: &str) -> &str {
        match self {
            Self::Digest => digest::user_name(id),
            Self::Ip | Self::Ensemble => id,
        }
    }
}
