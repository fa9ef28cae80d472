//! Four-letter words, admin server, metrics, audit.

use crate::config::table::{Key, Kind};

const NO_ADMIN: &str = "the HTTP admin server";
const NO_METRICS: &str = "metrics over HTTP; the four-letter word mntr has them";
const NO_JVM: &str = "there is no Java virtual machine that could pause";

/// Administration.
pub const ADMIN: &[Key] = &[
    Key::honoured(
        "4lw.commands.whitelist",
        "srvr",
        Kind::Text {
            form: "a comma-separated list of four-letter words, or *",
            set: |c, v| {
                let words = v.split(',').map(str::trim).filter(|word| !word.is_empty());
                c.four_letter_words = words.map(str::to_owned).collect();
                Ok(())
            },
        },
        "The four-letter words that are answered; `srvr` always is, `*` is all.",
    ),
    Key::later("admin.*", "The HTTP admin server.", NO_ADMIN),
    Key::later("metricsProvider.*", "Where metrics are exported.", NO_METRICS),
    Key::later("audit.enable", "Writes an audit log.", "the audit log"),
    Key::ignored(
        "audit.impl.class",
        "The Java class that writes the audit log.",
        "Java classes cannot be loaded",
    ),
    Key::later("pathStats.*", "Statistics by path.", "statistics by path"),
    Key::ignored(
        "messageTracker.*",
        "Remembers messages between members.",
        "this server stands alone",
    ),
    Key::ignored("jvm.pause.*", "Watches for pauses of the Java virtual machine.", NO_JVM),
];
