//! Authentication, access, and what would make both secure on the wire.

use crate::auth::DigestAlgorithm;
use crate::config::table::{Key, Kind, NotAccepted};

const NO_SASL: &str = "SASL is not available yet, and without it the server would stand open to \
     clients that this key shuts out; remove the key to start without it";
const NO_TLS: &str = "TLS is not available yet";
const SASL: &str = "SASL";

/// Authentication and access.
pub const ACCESS: &[Key] = &[
    Key::honoured(
        "skipACL",
        "no",
        Kind::YesNo(|c, v| c.skip_acl = v),
        "Leaves access control lists unchecked: everybody may do everything.",
    ),
    Key::honoured(
        "DigestAuthenticationProvider.superDigest",
        "",
        Kind::Text {
            form: "user:hash, where hash is the base64 of the digest of user:password",
            set: |c, v| {
                let (user, hash) = v.split_once(':').ok_or(NotAccepted)?;
                if user.is_empty() || hash.is_empty() || hash.contains(':') {
                    return Err(NotAccepted);
                }
                c.super_digest = Some(v.to_owned());
                Ok(())
            },
        },
        "The user whom no access control list stops.",
    ),
    Key::honoured(
        "DigestAuthenticationProvider.digestAlg",
        "SHA1",
        Kind::Text {
            form: "SHA1, SHA-224, SHA-256, SHA-384, SHA-512, SHA-512/224 or SHA-512/256",
            set: |c, v| {
                c.digest_algorithm = DigestAlgorithm::from_name(v).ok_or(NotAccepted)?;
                Ok(())
            },
        },
        "The hash of the digest scheme; changing it makes the hashes in stored access control \
         lists useless.",
    ),
    Key::honoured(
        "DigestAuthenticationProvider.enabled",
        "true",
        Kind::Bool(|c, v| c.digest_auth_enabled = v),
        "Offers the digest scheme.",
    ),
    Key::honoured(
        "enforce.auth.enabled",
        "false",
        Kind::Bool(|c, v| c.enforce_auth_enabled = v),
        "Lets a connection do nothing before it has authenticated.",
    ),
    Key::honoured(
        "enforce.auth.schemes",
        "",
        Kind::Text {
            form: "a comma-separated list of digest and ip (SASL and x509 are not available yet)",
            set: |c, v| {
                let schemes = list(v);
                if schemes.is_empty() || !schemes.iter().all(|s| s == "digest" || s == "ip") {
                    return Err(NotAccepted);
                }
                c.enforce_auth_schemes = schemes;
                Ok(())
            },
        },
        "The schemes of which one must have authenticated the connection.",
    ),
    Key::honoured(
        "authProvider.*",
        "",
        Kind::Text {
            form: "the class of a provider that is built in: DigestAuthenticationProvider, \
                   IPAuthenticationProvider or EnsembleAuthenticationProvider",
            set: |c, v| match v.rsplit('.').next() {
                Some("EnsembleAuthenticationProvider") => {
                    c.ensemble_auth_enabled = true;
                    Ok(())
                }
                Some("DigestAuthenticationProvider" | "IPAuthenticationProvider") => Ok(()),
                _ => Err(NotAccepted),
            },
        },
        "Offers a further scheme; Java classes cannot be loaded, and those of SASL and x509 are \
         not available yet.",
    ),
    Key::ignored(
        "IPAuthenticationProvider.usexforwardedfor",
        "Takes the client's address from an HTTP header of the admin server.",
        "it concerns the HTTP admin server, which is not available yet",
    ),
    Key::honoured(
        "ensembleAuthName",
        "",
        Kind::Text {
            form: "a comma-separated list of names",
            set: |c, v| {
                c.ensemble_auth_names = Some(list(v));
                Ok(())
            },
        },
        "Names that clients may give through the ensemble scheme to check that they reached the \
         right ensemble; without it, any.",
    ),
];

/// What waits for TLS and SASL.
pub const SECURE: &[Key] = &[
    Key::later("secureClientPort", "The port for clients that use TLS.", NO_TLS),
    Key::later("secureClientPortAddress", "The address of the TLS port.", NO_TLS),
    Key::refused(
        "client.portUnification",
        &["false"],
        "Takes TLS and plain clients on one port.",
        "TLS is not available yet, and clients that use it would be refused",
    ),
    Key::later("client.certReload", "Reloads certificates when their files change.", NO_TLS),
    Key::later("ssl.*", "Keys and certificates of TLS.", NO_TLS),
    Key::ignored("fips-mode", "Restricts Java's TLS to FIPS.", "it concerns Java's TLS"),
    Key::later(
        "serverCnxnFactory",
        "The Java class that serves connections.",
        "TLS; without it there is one way to serve connections here",
    ),
    Key::later("outstandingHandshake.limit", "TLS handshakes at a time.", NO_TLS)
        .also(&["netty.server.outstandingHandshake.limit"]),
    Key::later(
        "netty.server.earlyDropSecureConnectionHandshakes",
        "Drops TLS handshakes while the server is not serving.",
        NO_TLS,
    ),
    Key::later("X509AuthenticationProvider.superUser", "The super user's certificate.", NO_TLS),
    Key::refused(
        "sessionRequireClientSASLAuth",
        &["false"],
        "Serves only clients that authenticated through SASL.",
        NO_SASL,
    ),
    Key::later("allowSaslFailedClients", "Keeps clients whose SASL failed.", SASL),
    Key::later("superUser", "The super user's SASL name.", SASL),
    Key::later("letAnySaslUserDoX", "A SASL user with all rights.", SASL),
    Key::later("SASLAuthenticationProvider.superPassword", "The super user's password.", SASL),
    Key::later("sasl.serverconfig", "The section of the JAAS file.", SASL),
    Key::later("requireKerberosConfig", "Refuses to start without Kerberos.", SASL),
    Key::later("security.auth_to_local", "Kerberos names to local names.", SASL),
    Key::later("kinit", "The Kerberos command.", SASL),
    Key::later("kerberos.*", "What is taken from Kerberos names.", SASL),
];

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
