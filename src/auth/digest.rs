//! The `digest` scheme: `user:base64(hash("user:password"))` (DigestAuthenticationProvider).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use sha2::{Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

/// The hash behind `digest` identities; all servers and stored ACLs must agree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DigestAlgorithm {
    /// ZooKeeper's default.
    #[default]
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA-512/224.
    Sha512T224,
    /// SHA-512/256.
    Sha512T256,
}

impl DigestAlgorithm {
    /// The algorithm of a `digestAlg` value, by the names Java's MessageDigest accepts for it.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "SHA" | "SHA1" | "SHA-1" => Self::Sha1,
            "SHA224" | "SHA-224" => Self::Sha224,
            "SHA256" | "SHA-256" => Self::Sha256,
            "SHA384" | "SHA-384" => Self::Sha384,
            "SHA512" | "SHA-512" => Self::Sha512,
            "SHA512/224" | "SHA-512/224" => Self::Sha512T224,
            "SHA512/256" | "SHA-512/256" => Self::Sha512T256,
            _ => return None,
        })
    }

    fn hash_base64(self, bytes: &[u8]) -> String {
        match self {
            Self::Sha1 => STANDARD.encode(Sha1::digest(bytes)),
            Self::Sha224 => STANDARD.encode(Sha224::digest(bytes)),
            Self::Sha256 => STANDARD.encode(Sha256::digest(bytes)),
            Self::Sha384 => STANDARD.encode(Sha384::digest(bytes)),
            Self::Sha512 => STANDARD.encode(Sha512::digest(bytes)),
            Self::Sha512T224 => STANDARD.encode(Sha512_224::digest(bytes)),
            Self::Sha512T256 => STANDARD.encode(Sha512_256::digest(bytes)),
        }
    }
}

/// The identity of `user:password`: the user, a colon, the hash of the whole in base64.
///
/// Text without a colon is a user with no password; ZooKeeper accepts it, so it hashes as it is.
pub fn generate_digest(algorithm: DigestAlgorithm, user_password: &str) -> String {
    let user = user_password.split(':').next().unwrap_or("");
    format!("{user}:{}", algorithm.hash_base64(user_password.as_bytes()))
}

/// Whether `id` may stand in an ACL: exactly two parts around colons, where trailing empty parts
/// do not count (the way Java splits), so `a:b` and `a:b:` may and `a:` and `a:b:c` may not.
pub(super) fn is_valid(id: &str) -> bool {
    if !id.contains(':') {
        return false;
    }
    let parts = id.trim_end_matches(':');
    !parts.is_empty() && parts.split(':').count() == 2
}

/// The user of a digest identity: what stands before the first colon.
pub(super) fn user_name(id: &str) -> &str {
    id.split(':').next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_zookeepers_documentation() {
        // The vector of ZooKeeper's administrator guide for superDigest, and well known ones.
        assert_eq!(
            generate_digest(DigestAlgorithm::Sha1, "user1:12345"),
            "user1:+owfoSBn/am19roBPzR1/MfCblE="
        );
        assert_eq!(
            generate_digest(DigestAlgorithm::Sha1, "super:test"),
            "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
        );
    }

    #[test]
    fn the_whole_text_is_hashed_and_the_user_ends_at_the_first_colon() {
        let id = generate_digest(DigestAlgorithm::Sha256, "a:b:c");
        assert!(id.starts_with("a:") && !id.starts_with("a:b:"));
        assert_ne!(id, generate_digest(DigestAlgorithm::Sha256, "a:b"));
        assert!(generate_digest(DigestAlgorithm::Sha1, "nobody").starts_with("nobody:"));
        assert!(generate_digest(DigestAlgorithm::Sha1, "").starts_with(':'));
    }

    #[test]
    fn validity_follows_javas_split() {
        for good in ["a:b", ":b", "a:b:", "a:b::"] {
            assert!(is_valid(good), "{good:?}");
        }
        for bad in ["", "a", ":", "::", "a:", "a::", "a:b:c", "a::b"] {
            assert!(!is_valid(bad), "{bad:?}");
        }
    }

    #[test]
    fn algorithm_names() {
        assert_eq!(DigestAlgorithm::from_name("sha-256"), Some(DigestAlgorithm::Sha256));
        assert_eq!(DigestAlgorithm::from_name("SHA1"), Some(DigestAlgorithm::Sha1));
        assert_eq!(DigestAlgorithm::from_name("MD5"), None);
    }
}
