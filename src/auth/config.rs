//! The settings of authentication, taken from ZooKeeper's keys.

use super::digest::DigestAlgorithm;
use super::scheme::Scheme;

/// What authentication and ACL checks depend on besides the request; fixed while the server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// `DigestAuthenticationProvider.enabled`; off means digest ACLs match nobody.
    pub digest_enabled: bool,
    /// `DigestAuthenticationProvider.digestAlg`.
    pub digest_algorithm: DigestAlgorithm,
    /// `DigestAuthenticationProvider.superDigest`: the digest identity that is `super` as well.
    pub super_digest: Option<String>,
    /// `ensembleAuthName`, split at commas: the names a client's `ensemble` auth packet may carry.
    /// The scheme exists only if `ensemble_enabled`; no names accept every name.
    pub ensemble_names: Option<Vec<String>>,
    /// Whether the `ensemble` scheme exists (`authProvider.*` names its provider).
    pub ensemble_enabled: bool,
    /// `skipACL`: every check passes (ACLs are still fixed up and stored).
    pub skip_acl: bool,
    /// `enforce.auth.schemes`, if `enforce.auth.enabled`: a connection must hold an identity of
    /// one of these before its requests are taken.
    pub enforced_schemes: Option<Vec<String>>,
    /// Most identities one connection may hold; a further auth packet fails.
    pub identities_max: usize,
    /// Most entries an ACL may have after `auth` entries were expanded; more is InvalidACL.
    pub acl_entries_max: usize,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            digest_enabled: true,
            digest_algorithm: DigestAlgorithm::default(),
            super_digest: None,
            ensemble_names: None,
            ensemble_enabled: false,
            skip_acl: false,
            enforced_schemes: None,
            identities_max: 128,
            // More than an un-expanded list in a request of the default size limit can hold.
            acl_entries_max: 65_536,
        }
    }
}

/// A setting that cannot be honoured; the server must not start with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthConfigError {
    /// `digestAlg` names an unknown hash.
    #[error(
        "DigestAuthenticationProvider.digestAlg={0} is not supported: use SHA1, SHA-224, SHA-256, \
         SHA-384, SHA-512, SHA-512/224 or SHA-512/256"
    )]
    UnknownDigestAlgorithm(String),
    /// Enforcement without schemes.
    #[error(
        "enforce.auth.enabled=true needs enforce.auth.schemes: list the accepted schemes there"
    )]
    NoEnforcedSchemes,
    /// Enforcement of a scheme nobody could ever satisfy.
    #[error("enforce.auth.schemes names {0}, which is not available: enable it or remove it")]
    EnforcedSchemeUnavailable(String),
}

impl AuthConfig {
    /// Reads the settings through `value`, which is given ZooKeeper's keys without their
    /// `zookeeper.` prefix and answers with what the configuration holds.
    pub fn from_keys<'a>(
        value: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<AuthConfig, AuthConfigError> {
        let mut config = AuthConfig::default();
        if let Some(v) = value("DigestAuthenticationProvider.enabled") {
            config.digest_enabled = is_true(v);
        }
        if let Some(v) = value("DigestAuthenticationProvider.digestAlg") {
            config.digest_algorithm = DigestAlgorithm::from_name(v)
                .ok_or_else(|| AuthConfigError::UnknownDigestAlgorithm(v.to_owned()))?;
        }
        config.super_digest = value("DigestAuthenticationProvider.superDigest").map(str::to_owned);
        config.ensemble_names = value("ensembleAuthName").map(comma_list);
        config.skip_acl = value("skipACL") == Some("yes");
        if value("enforce.auth.enabled").is_some_and(is_true) {
            let schemes = value("enforce.auth.schemes").map(comma_list).unwrap_or_default();
            config.enforced_schemes = Some(schemes);
        }
        config.validate()?;
        Ok(config)
    }

    /// Refuses settings that would lock everybody out.
    pub fn validate(&self) -> Result<(), AuthConfigError> {
        let Some(schemes) = &self.enforced_schemes else {
            return Ok(());
        };
        if schemes.is_empty() {
            return Err(AuthConfigError::NoEnforcedSchemes);
        }
        match schemes.iter().find(|s| Scheme::lookup(self, s).is_none()) {
            Some(s) => Err(AuthConfigError::EnforcedSchemeUnavailable(s.clone())),
            None => Ok(()),
        }
    }

    /// Whether requests of a connection with these identities are taken (AuthenticationHelper).
    /// If not: answer SessionClosedRequireSaslAuth, then close the session. Auth and sasl packets
    /// are always taken.
    pub fn may_request(&self, ids: &[crate::protocol::Identity]) -> bool {
        match &self.enforced_schemes {
            None => true,
            Some(schemes) => ids.iter().any(|id| schemes.contains(&id.scheme)),
        }
    }
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

fn comma_list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Identity;

    fn read(pairs: &[(&str, &'static str)]) -> Result<AuthConfig, AuthConfigError> {
        AuthConfig::from_keys(|key| pairs.iter().find(|(k, _)| *k == key).map(|(_, v)| *v))
    }

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(read(&[]), Ok(AuthConfig::default()));
    }

    #[test]
    fn an_unknown_hash_stops_the_start() {
        assert_eq!(
            read(&[("DigestAuthenticationProvider.digestAlg", "MD5")]),
            Err(AuthConfigError::UnknownDigestAlgorithm("MD5".into()))
        );
    }

    #[test]
    fn enforcement_needs_schemes_that_exist() {
        assert_eq!(
            read(&[("enforce.auth.enabled", "true")]),
            Err(AuthConfigError::NoEnforcedSchemes)
        );
        assert_eq!(
            read(&[("enforce.auth.enabled", "true"), ("enforce.auth.schemes", "digest, x509")]),
            Err(AuthConfigError::EnforcedSchemeUnavailable("x509".into()))
        );
        let config =
            read(&[("enforce.auth.enabled", "TRUE"), ("enforce.auth.schemes", " digest ,ip")])
                .unwrap();
        let ip = Identity { scheme: "ip".into(), id: "1.2.3.4".into() };
        let world = Identity { scheme: "world".into(), id: "anyone".into() };
        assert!(config.may_request(std::slice::from_ref(&ip)));
        assert!(!config.may_request(std::slice::from_ref(&world)));
        assert!(!config.may_request(&[]));
        // Schemes alone enforce nothing.
        let off = read(&[("enforce.auth.schemes", "digest")]).unwrap();
        assert!(off.may_request(&[]));
    }
}
