//! The answer to an auth packet: which identities the connection gains.

use std::net::IpAddr;

use subtle::ConstantTimeEq;

use super::config::AuthConfig;
use super::digest::generate_digest;
use super::ip::address_text;
use super::scheme::Scheme;
use crate::protocol::Identity;

/// Why an auth packet was refused. The connection is closed afterwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailed {
    /// No such scheme here.
    #[error("no authentication scheme {scheme}: use digest or ip, or enable it on the server")]
    NoScheme {
        /// What the client asked for, shortened.
        scheme: String,
    },
    /// The scheme needs a credential and none came.
    #[error("the auth packet for scheme {scheme} carries no credential")]
    NoCredential {
        /// The scheme.
        scheme: &'static str,
    },
    /// The client means another ensemble.
    #[error("the client expects another ensemble than this one: check its connect string")]
    WrongEnsemble,
    /// The connection would hold too many identities.
    #[error("the connection holds {max} identities already, the most allowed")]
    TooManyIdentities {
        /// The limit.
        max: usize,
    },
}

impl AuthFailed {
    /// Whether the client is told AuthFailed before the connection closes. A client in the wrong
    /// ensemble is not: it would give up for good, where it should try another server.
    pub fn is_answered(&self) -> bool {
        !matches!(self, Self::WrongEnsemble)
    }
}

/// What every connection is from its first byte on: its peer's address.
pub fn initial_identities(peer: IpAddr) -> Vec<Identity> {
    vec![Identity { scheme: "ip".to_owned(), id: address_text(peer) }]
}

/// Judges one auth packet; the identities returned are to be added with [`extend_identities`].
///
/// `credential` is the packet's buffer (`None` if null). `digest` accepts any user and password,
/// for it only states who the client is; it adds `super` where the digest is the configured
/// superDigest. `ip` adds the peer's address, whatever the packet says.
pub fn authenticate(
    config: &AuthConfig,
    scheme: &str,
    credential: Option<&[u8]>,
    peer: IpAddr,
) -> Result<Vec<Identity>, AuthFailed> {
    match Scheme::lookup(config, scheme) {
        None => Err(AuthFailed::NoScheme { scheme: scheme.chars().take(64).collect() }),
        Some(Scheme::Ip) => Ok(initial_identities(peer)),
        Some(Scheme::Digest) => {
            let credential = credential.ok_or(AuthFailed::NoCredential { scheme: "digest" })?;
            Ok(digest_identities(config, &String::from_utf8_lossy(credential)))
        }
        Some(Scheme::Ensemble) => check_ensemble(config, credential.unwrap_or(&[])),
    }
}

fn digest_identities(config: &AuthConfig, user_password: &str) -> Vec<Identity> {
    let id = generate_digest(config.digest_algorithm, user_password);
    let mut ids = Vec::with_capacity(2);
    // How much of the superDigest was guessed right must not show in the time this takes.
    let is_super = config
        .super_digest
        .as_ref()
        .is_some_and(|expected| bool::from(expected.as_bytes().ct_eq(id.as_bytes())));
    if is_super {
        ids.push(Identity { scheme: "super".to_owned(), id: String::new() });
    }
    ids.push(Identity { scheme: "digest".to_owned(), id });
    ids
}

fn check_ensemble(config: &AuthConfig, name: &[u8]) -> Result<Vec<Identity>, AuthFailed> {
    let known = match &config.ensemble_names {
        None => true,
        Some(names) => name.is_empty() || names.iter().any(|n| n.as_bytes() == name),
    };
    if known { Ok(Vec::new()) } else { Err(AuthFailed::WrongEnsemble) }
}

/// Adds what [`authenticate`] returned to a connection's list, each identity once, up to
/// `identities_max`. On error the list is as before.
pub fn extend_identities(
    config: &AuthConfig,
    ids: &[Identity],
    gained: Vec<Identity>,
) -> Result<Vec<Identity>, AuthFailed> {
    let mut all = ids.to_vec();
    for id in gained {
        if !all.contains(&id) {
            all.push(id);
        }
    }
    if all.len() > config.identities_max.max(ids.len()) {
        return Err(AuthFailed::TooManyIdentities { max: config.identities_max });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));

    fn id(scheme: &str, id: &str) -> Identity {
        Identity { scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn digest_states_who_the_client_is() {
        let got = authenticate(&AuthConfig::default(), "digest", Some(b"super:test"), PEER);
        assert_eq!(got, Ok(vec![id("digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU=")]));
    }

    #[test]
    fn the_super_digest_makes_super_and_only_that_one() {
        let config = AuthConfig {
            super_digest: Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".into()),
            ..AuthConfig::default()
        };
        let got = authenticate(&config, "digest", Some(b"super:test"), PEER).unwrap();
        assert_eq!(got[0], id("super", ""));
        assert_eq!(got.len(), 2);
        let wrong = authenticate(&config, "digest", Some(b"super:tesT"), PEER).unwrap();
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].scheme, "digest");
    }

    #[test]
    fn what_is_refused() {
        let config = AuthConfig::default();
        for scheme in ["world", "auth", "super", "sasl", "x509", "ensemble", ""] {
            let err = authenticate(&config, scheme, Some(b"a:b"), PEER).unwrap_err();
            assert!(matches!(err, AuthFailed::NoScheme { .. }), "{scheme}");
            assert!(err.is_answered());
        }
        assert!(authenticate(&config, "digest", None, PEER).is_err());
        let off = AuthConfig { digest_enabled: false, ..AuthConfig::default() };
        assert!(authenticate(&off, "digest", Some(b"a:b"), PEER).is_err());
    }

    #[test]
    fn ip_is_the_peers_address_whatever_the_packet_says() {
        let got = authenticate(&AuthConfig::default(), "ip", Some(b"1.2.3.4"), PEER);
        assert_eq!(got, Ok(vec![id("ip", "10.0.0.7")]));
    }

    #[test]
    fn a_client_of_another_ensemble_is_dropped_without_a_word() {
        let config = AuthConfig {
            ensemble_enabled: true,
            ensemble_names: Some(vec!["east".into()]),
            ..AuthConfig::default()
        };
        assert_eq!(authenticate(&config, "ensemble", Some(b"east"), PEER), Ok(vec![]));
        assert_eq!(authenticate(&config, "ensemble", Some(b""), PEER), Ok(vec![]));
        let err = authenticate(&config, "ensemble", Some(b"west"), PEER).unwrap_err();
        assert!(!err.is_answered());
    }

    #[test]
    fn identities_are_held_once_and_bounded() {
        let config = AuthConfig { identities_max: 2, ..AuthConfig::default() };
        let ids = extend_identities(&config, &[id("ip", "1.1.1.1")], vec![id("ip", "1.1.1.1")]);
        assert_eq!(ids.as_ref().map(Vec::len), Ok(1));
        let ids = extend_identities(&config, &ids.unwrap(), vec![id("digest", "a:b")]).unwrap();
        assert_eq!(ids.len(), 2);
        let err = extend_identities(&config, &ids, vec![id("digest", "c:d")]).unwrap_err();
        assert_eq!(err, AuthFailed::TooManyIdentities { max: 2 });
    }
}
