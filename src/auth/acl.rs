//! ACLs: what a client may write into one, what one allows, what one shows.

use std::borrow::Cow;
use std::collections::HashSet;

use super::config::AuthConfig;
use super::scheme::Scheme;
use crate::protocol::{Acl, AclRef, Identity, perms};

/// An ACL that may not be stored; answered with InvalidACL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAcl {
    /// No entries at all.
    #[error("the ACL is empty: a node needs one entry at least")]
    Empty,
    /// An `auth` entry from a connection without an authenticated identity.
    #[error("the ACL names auth, but the connection has not authenticated: add auth first")]
    NotAuthenticated,
    /// An entry that no scheme accepts.
    #[error("the ACL entry {scheme}:{id} is not valid: unknown scheme or malformed id")]
    Entry {
        /// The scheme, shortened.
        scheme: String,
        /// The id, shortened.
        id: String,
    },
    /// Expanding `auth` entries made too long a list.
    #[error("the ACL has more than {max} entries once its auth entries are expanded")]
    TooLong {
        /// The limit.
        max: usize,
    },
}

/// Turns the ACL a client sent into the one to store (PrepRequestProcessor.fixupACL): duplicates
/// go, `auth` becomes the connection's authenticated identities, everything else must be
/// `world:anyone` or valid to its scheme.
pub fn fixup_acl(
    config: &AuthConfig,
    ids: &[Identity],
    acl: &[AclRef<'_>],
) -> Result<Vec<Acl>, InvalidAcl> {
    if acl.is_empty() {
        return Err(InvalidAcl::Empty);
    }
    let mut seen = HashSet::with_capacity(if acl.len() > 1 { acl.len() } else { 0 });
    let mut fixed = Vec::with_capacity(acl.len());
    for entry in acl {
        if acl.len() > 1 && !seen.insert((entry.perms, entry.scheme, entry.id)) {
            continue;
        }
        fixup_entry(config, ids, entry, &mut fixed)?;
        if fixed.len() > config.acl_entries_max {
            return Err(InvalidAcl::TooLong { max: config.acl_entries_max });
        }
    }
    Ok(fixed)
}

fn fixup_entry(
    config: &AuthConfig,
    ids: &[Identity],
    entry: &AclRef<'_>,
    fixed: &mut Vec<Acl>,
) -> Result<(), InvalidAcl> {
    if entry.scheme == "auth" {
        let before = fixed.len();
        fixed.extend(
            ids.iter()
                .filter(|id| {
                    Scheme::lookup(config, &id.scheme).is_some_and(Scheme::is_authenticated)
                })
                .map(|id| to_acl(entry.perms, &id.scheme, &id.id)),
        );
        return if fixed.len() > before { Ok(()) } else { Err(InvalidAcl::NotAuthenticated) };
    }
    let valid = is_anyone(entry.scheme, entry.id)
        || Scheme::lookup(config, entry.scheme).is_some_and(|s| s.is_valid(entry.id));
    if !valid {
        let short = |s: &str| s.chars().take(64).collect();
        return Err(InvalidAcl::Entry { scheme: short(entry.scheme), id: short(entry.id) });
    }
    fixed.push(to_acl(entry.perms, entry.scheme, entry.id));
    Ok(())
}

fn to_acl(perms: i32, scheme: &str, id: &str) -> Acl {
    Acl { perms, scheme: scheme.to_owned(), id: id.to_owned() }
}

fn is_anyone(scheme: &str, id: &str) -> bool {
    scheme == "world" && id == "anyone"
}

/// Whether `ids` hold any of the permissions in `perm` under `acl` (ZooKeeperServer.checkACL).
///
/// An empty list allows everything, and so does the identity `super`. Several bits in `perm` mean
/// "one of them" (`READ | ADMIN` for getACL).
pub fn allows(acl: &[Acl], perm: i32, ids: &[Identity], config: &AuthConfig) -> bool {
    if config.skip_acl || acl.is_empty() {
        return true;
    }
    let grants = |entry: &&Acl| entry.perms & perm != 0;
    // The common ACL first: no identity has to be looked at.
    if acl.iter().filter(grants).any(|entry| is_anyone(&entry.scheme, &entry.id)) {
        return true;
    }
    ids.iter().any(|id| id.scheme == "super")
        || acl.iter().filter(grants).any(|entry| matches_any(entry, ids, config))
}

fn matches_any(entry: &Acl, ids: &[Identity], config: &AuthConfig) -> bool {
    let Some(scheme) = Scheme::lookup(config, &entry.scheme) else {
        return false;
    };
    ids.iter().any(|id| id.scheme == entry.scheme && scheme.matches(&id.id, &entry.id))
}

/// What getACL shows of `acl` (FinalRequestProcessor): `None` without READ and ADMIN (answer
/// NoAuth), the list itself with ADMIN, the list with its digests masked with READ alone.
pub fn visible_acl<'a>(
    acl: &'a [Acl],
    ids: &[Identity],
    config: &AuthConfig,
) -> Option<Cow<'a, [Acl]>> {
    if allows(acl, perms::ADMIN, ids, config) {
        Some(Cow::Borrowed(acl))
    } else if allows(acl, perms::READ, ids, config) {
        Some(masked_acl(acl))
    } else {
        None
    }
}

/// The list with the hash of every digest entry replaced by `x`.
pub fn masked_acl(acl: &[Acl]) -> Cow<'_, [Acl]> {
    if acl.iter().all(|entry| entry.scheme != "digest") {
        return Cow::Borrowed(acl);
    }
    let masked = acl.iter().map(|entry| {
        let id = if entry.scheme == "digest" { mask_id(&entry.id) } else { entry.id.clone() };
        Acl { perms: entry.perms, scheme: entry.scheme.clone(), id }
    });
    Cow::Owned(masked.collect())
}

// Everything from a colon to the end of its line; ids with line ends are odd but can be stored.
fn mask_id(id: &str) -> String {
    let is_line_end = |c| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut masked = String::with_capacity(id.len());
    for line in id.split_inclusive(is_line_end) {
        match line.split_once(':') {
            None => masked.push_str(line),
            Some((user, secret)) => {
                masked.push_str(user);
                masked.push_str(":x");
                masked.extend(secret.chars().next_back().filter(|c| is_line_end(*c)));
            }
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
        to_acl(perms, scheme, id)
    }

    fn wire<'a>(perms: i32, scheme: &'a str, id: &'a str) -> AclRef<'a> {
        AclRef { perms, scheme, id }
    }

    fn id(scheme: &str, id: &str) -> Identity {
        Identity { scheme: scheme.into(), id: id.into() }
    }

    fn config() -> AuthConfig {
        AuthConfig::default()
    }

    #[test]
    fn fixup_keeps_valid_entries_once_and_in_order() {
        let entries = [
            wire(31, "world", "anyone"),
            wire(1, "digest", "a:b"),
            wire(31, "world", "anyone"),
            wire(2, "ip", "10.0.0.0/8"),
            wire(2, "digest", "a:b"),
        ];
        let fixed = fixup_acl(&config(), &[], &entries).unwrap();
        assert_eq!(
            fixed,
            [
                acl(31, "world", "anyone"),
                acl(1, "digest", "a:b"),
                acl(2, "ip", "10.0.0.0/8"),
                acl(2, "digest", "a:b"),
            ]
        );
    }

    #[test]
    fn fixup_refuses() {
        assert_eq!(fixup_acl(&config(), &[], &[]), Err(InvalidAcl::Empty));
        for (scheme, name) in [
            ("world", "someone"),
            ("world", ""),
            ("", ""),
            ("digest", "nocolon"),
            ("ip", "1.2.3"),
            ("sasl", "me"),
            ("super", ""),
            ("ensemble", "east"),
        ] {
            let got = fixup_acl(&config(), &[id("super", "")], &[wire(31, scheme, name)]);
            assert!(matches!(got, Err(InvalidAcl::Entry { .. })), "{scheme}:{name}");
        }
        let off = AuthConfig { digest_enabled: false, ..config() };
        assert!(fixup_acl(&off, &[], &[wire(31, "digest", "a:b")]).is_err());
    }

    #[test]
    fn auth_becomes_the_authenticated_identities() {
        let ids = [id("ip", "10.0.0.1"), id("super", ""), id("digest", "a:b"), id("digest", "c:d")];
        let fixed = fixup_acl(&config(), &ids, &[wire(5, "auth", "ignored")]).unwrap();
        assert_eq!(fixed, [acl(5, "digest", "a:b"), acl(5, "digest", "c:d")]);
        // An address is no authentication, and super has no scheme behind it.
        let got = fixup_acl(&config(), &ids[..2], &[wire(5, "auth", "")]);
        assert_eq!(got, Err(InvalidAcl::NotAuthenticated));
    }

    #[test]
    fn expansion_is_bounded() {
        let config = AuthConfig { acl_entries_max: 3, ..config() };
        let ids = [id("digest", "a:b"), id("digest", "c:d")];
        let two = [wire(1, "auth", "x"), wire(2, "auth", "x")];
        assert_eq!(fixup_acl(&config, &ids, &two), Err(InvalidAcl::TooLong { max: 3 }));
    }

    #[test]
    fn checks() {
        let me = [id("ip", "10.1.1.1"), id("digest", "a:b")];
        let list = [acl(perms::READ, "digest", "a:b"), acl(perms::WRITE, "ip", "10.0.0.0/8")];
        assert!(allows(&list, perms::READ, &me, &config()));
        assert!(allows(&list, perms::WRITE, &me, &config()));
        assert!(!allows(&list, perms::DELETE, &me, &config()));
        assert!(!allows(&list, perms::READ, &me[..1], &config()));
        assert!(!allows(&list, perms::WRITE, &me[1..], &config()));
        assert!(allows(&list, perms::DELETE | perms::WRITE, &me, &config()));
        // Equality of digests is exact, and schemes do not mix.
        assert!(!allows(&list, perms::READ, &[id("digest", "a:B")], &config()));
        assert!(!allows(&list, perms::READ, &[id("ip", "a:b")], &config()));
    }

    #[test]
    fn who_always_passes() {
        let nobody = [acl(0, "world", "anyone"), acl(31, "sasl", "me")];
        assert!(allows(&[], perms::ADMIN, &[], &config()));
        assert!(allows(&nobody, perms::ADMIN, &[id("super", "")], &config()));
        assert!(!allows(&nobody, perms::ADMIN, &[id("sasl", "me")], &config()));
        assert!(allows(&nobody, perms::ADMIN, &[], &AuthConfig { skip_acl: true, ..config() }));
        assert!(allows(&[acl(31, "world", "anyone")], perms::READ, &[], &config()));
    }

    #[test]
    fn get_acl_masks_digests_from_mere_readers() {
        let list = [
            acl(perms::READ, "world", "anyone"),
            acl(perms::ADMIN, "digest", "a:b"),
            acl(perms::ADMIN, "ip", "1.2.3.4"),
        ];
        let shown = visible_acl(&list, &[], &config()).unwrap();
        assert_eq!(shown[1].id, "a:x");
        assert_eq!(shown[2].id, "1.2.3.4");
        let shown = visible_acl(&list, &[id("digest", "a:b")], &config()).unwrap();
        assert_eq!(shown[1].id, "a:b");
        assert!(visible_acl(&list[1..], &[], &config()).is_none());
        assert_eq!(visible_acl(&[], &[], &config()).unwrap().len(), 0);
    }

    #[test]
    fn masks_go_to_the_end_of_the_line() {
        for (id, want) in
            [("a:b", "a:x"), ("a:b:c", "a:x"), ("a", "a"), ("a:", "a:x"), ("a:b\nc:d", "a:x\nc:x")]
        {
            assert_eq!(mask_id(id), want);
        }
    }
}
