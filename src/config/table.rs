//! The shape of a key: its name, what it accepts, what it means, and what the server does with
//! it. The keys themselves stand in [`super::keys`], a file a subject.

use super::keys;
use super::settings::Config;

/// What a key accepts and how its value reaches the [`Config`].
#[derive(Clone, Copy)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Bool(fn(&mut Config, bool)),
    /// `yes` or `no`, as ZooKeeper writes a few of its older switches.
    YesNo(fn(&mut Config, bool)),
    /// A whole number; decimal, or hexadecimal with `0x`.
    Int {
        /// Smallest accepted.
        min: i64,
        /// Largest accepted.
        max: i64,
        /// Unit for the reader, may be empty.
        unit: &'static str,
        /// Stores it.
        set: fn(&mut Config, i64),
    },
    /// A decimal fraction from 0 to 1.
    Ratio(fn(&mut Config, f64)),
    /// Text that its own parser judges.
    Text {
        /// The accepted form, in words.
        form: &'static str,
        /// Stores it, or says that it is not of that form.
        set: fn(&mut Config, &str) -> Result<(), NotAccepted>,
    },
    /// Anything: the key is not used.
    Unread,
}

/// The value is not of the accepted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAccepted;

/// What the server does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It does what the key says.
    Honoured,
    /// Accepted with one warning: the key makes no sense here, for this reason.
    Ignored(&'static str),
    /// Accepted in silence, for this reason: ZooKeeper's sample file has the key, and with it nearly every file.
    Moot(&'static str),
    /// Accepted with one warning: this will come with the named part. `false` asks for nothing and passes in silence.
    Later(&'static str),
    /// An error unless the value is one of these, for the key guards something that would
    /// otherwise stand open.
    Refused {
        /// Values (in lower case) that ask for nothing and pass in silence.
        unless: &'static [&'static str],
        /// Why the server does not start.
        reason: &'static str,
    },
}

/// One key of `zoo.cfg`.
#[derive(Clone, Copy)]
pub struct Key {
    /// The name as ZooKeeper's manual gives it; a trailing `*` stands for any ending.
    pub name: &'static str,
    /// Other names of it, chiefly the system property where that differs.
    pub aliases: &'static [&'static str],
    /// The default as it would be written; empty for none.
    pub default: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// What becomes of it.
    pub fate: Fate,
}

/// Keys of one subject.
pub struct Section {
    /// Heading in the manual.
    pub title: &'static str,
    /// A sentence under the heading; may be empty.
    pub intro: &'static str,
    /// The keys, in the order of the manual.
    pub keys: &'static [Key],
}

/// All keys. The order is that of `docs/configuration.md`.
pub static SECTIONS: &[Section] = &[
    Section { title: "Ports and connections", intro: "", keys: keys::network::PORTS },
    Section { title: "Directories", intro: "", keys: keys::storage::DIRECTORIES },
    Section { title: "Sessions", intro: "", keys: keys::network::SESSIONS },
    Section { title: "Limits and throttles", intro: "", keys: keys::limits::LIMITS },
    Section { title: "Authentication and access", intro: "", keys: keys::access::ACCESS },
    Section { title: "Log and snapshots", intro: "", keys: keys::storage::STORAGE },
    Section { title: "Znodes", intro: "", keys: keys::znodes::ZNODES },
    Section {
        title: "Threads and buffers",
        intro: "ringkeeper's own keys. ZooKeeper ignores them, so one file can serve both.",
        keys: keys::own::OWN,
    },
    Section {
        title: "Ensembles",
        intro: "A server stands alone so far; these keys wait for ensembles.",
        keys: keys::ensemble::ENSEMBLE,
    },
    Section {
        title: "TLS and SASL",
        intro: "Neither is available yet.",
        keys: keys::access::SECURE,
    },
    Section { title: "Administration", intro: "", keys: keys::admin::ADMIN },
    Section {
        title: "ZooKeeper's insides",
        intro: "Keys that tune parts of ZooKeeper which have no counterpart here.",
        keys: keys::insides::INSIDES,
    },
];

/// All keys, in the order of the manual.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// Finds a key by the name in a file, which may carry the leading `zookeeper.` that the name of
/// its system property has.
pub fn find(name: &str) -> Option<&'static Key> {
    let bare = name.strip_prefix("zookeeper.").unwrap_or(name);
    keys()
        .find(|key| key.name == bare || key.aliases.contains(&bare))
        .or_else(|| keys().find(|key| key.is_family_of(bare)))
}

impl Key {
    /// A key that does what it says.
    pub const fn honoured(
        name: &'static str,
        default: &'static str,
        kind: Kind,
        doc: &'static str,
    ) -> Key {
        Key { name, aliases: &[], default, doc, kind, fate: Fate::Honoured }
    }

    /// A key that makes no sense here.
    pub const fn ignored(name: &'static str, doc: &'static str, why: &'static str) -> Key {
        Key { name, aliases: &[], default: "", doc, kind: Kind::Unread, fate: Fate::Ignored(why) }
    }

    /// A key of ZooKeeper's sample file that makes no sense here.
    pub const fn moot(name: &'static str, doc: &'static str, why: &'static str) -> Key {
        Key { name, aliases: &[], default: "", doc, kind: Kind::Unread, fate: Fate::Moot(why) }
    }

    /// A key whose part of the server does not exist yet.
    pub const fn later(name: &'static str, doc: &'static str, what: &'static str) -> Key {
        Key { name, aliases: &[], default: "", doc, kind: Kind::Unread, fate: Fate::Later(what) }
    }

    /// A key that must not be ignored and cannot be honoured.
    pub const fn refused(
        name: &'static str,
        unless: &'static [&'static str],
        doc: &'static str,
        reason: &'static str,
    ) -> Key {
        let fate = Fate::Refused { unless, reason };
        Key { name, aliases: &[], default: "", doc, kind: Kind::Unread, fate }
    }

    /// The same key under other names as well.
    pub const fn also(self, aliases: &'static [&'static str]) -> Key {
        Key { aliases, ..self }
    }

    fn is_family_of(&self, name: &str) -> bool {
        self.name.strip_suffix('*').is_some_and(|stem| name.starts_with(stem))
    }
}

impl Kind {
    /// The accepted form, in words, for errors and the manual.
    pub fn accepted(&self) -> String {
        match *self {
            Kind::Bool(_) => "true or false".to_owned(),
            Kind::YesNo(_) => "yes or no".to_owned(),
            Kind::Int { min, max, unit, .. } => {
                let of = if unit.is_empty() { String::new() } else { format!(" of {unit}") };
                format!("a whole number{of} from {min} to {max}")
            }
            Kind::Ratio(_) => "a decimal fraction from 0 to 1".to_owned(),
            Kind::Text { form, .. } => form.to_owned(),
            Kind::Unread => "anything".to_owned(),
        }
    }

    /// Parses `value` into `config`.
    pub fn apply(&self, config: &mut Config, value: &str) -> Result<(), NotAccepted> {
        match *self {
            Kind::Bool(set) => set(config, word(value, "true", "false")?),
            Kind::YesNo(set) => set(config, word(value, "yes", "no")?),
            Kind::Int { min, max, set, .. } => {
                let number = whole(value).ok_or(NotAccepted)?;
                if !(min..=max).contains(&number) {
                    return Err(NotAccepted);
                }
                set(config, number);
            }
            Kind::Ratio(set) => {
                let ratio: f64 = value.parse().map_err(|_| NotAccepted)?;
                if !(0.0..=1.0).contains(&ratio) {
                    return Err(NotAccepted);
                }
                set(config, ratio);
            }
            Kind::Text { set, .. } => set(config, value)?,
            Kind::Unread => {}
        }
        Ok(())
    }
}

fn word(value: &str, yes: &str, no: &str) -> Result<bool, NotAccepted> {
    if value.eq_ignore_ascii_case(yes) {
        Ok(true)
    } else if value.eq_ignore_ascii_case(no) {
        Ok(false)
    } else {
        Err(NotAccepted)
    }
}

fn whole(value: &str) -> Option<i64> {
    let (sign, digits) = match value.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, value.strip_prefix('+').unwrap_or(value)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let number = match hex {
        Some(hex) if hex.starts_with(|c: char| c.is_ascii_hexdigit()) => {
            i64::from_str_radix(hex, 16)
        }
        Some(_) => return None,
        None => digits.parse(),
    };
    number.ok()?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_aliases_are_unique_and_find_their_key() {
        let mut seen = HashSet::new();
        for key in keys() {
            for name in std::iter::once(&key.name).chain(key.aliases) {
                assert!(seen.insert(*name), "{name} stands twice in the table");
                assert!(!name.starts_with("zookeeper."), "{name}: the prefix is implied");
                let found = find(&name.replace('*', "x")).map(|k| k.name);
                assert_eq!(found, Some(key.name));
                let prefixed = find(&format!("zookeeper.{}", name.replace('*', "x")));
                assert_eq!(prefixed.map(|k| k.name), Some(key.name));
            }
        }
    }

    #[test]
    fn defaults_in_the_table_are_those_of_the_config() {
        for key in keys() {
            let mut config = Config::default();
            if key.default.is_empty() {
                continue;
            }
            let applied = key.kind.apply(&mut config, key.default);
            assert_eq!(applied, Ok(()), "{}: its own default is refused", key.name);
            let plain = Config::default();
            let derived = ["minSessionTimeout", "maxSessionTimeout"].contains(&key.name);
            assert!(derived || config == plain, "{}: the default differs", key.name);
        }
    }

    #[test]
    fn documents_are_one_sentence() {
        for key in keys() {
            let reason = match key.fate {
                Fate::Honoured => "",
                Fate::Ignored(reason)
                | Fate::Moot(reason)
                | Fate::Later(reason)
                | Fate::Refused { reason, .. } => reason,
            };
            assert!(key.doc.ends_with('.'), "{}: {}", key.name, key.doc);
            assert!(
                !key.doc.contains('|') && !reason.contains('|'),
                "{} breaks the table",
                key.name
            );
            assert!(!reason.ends_with('.'), "{}: reasons are clauses", key.name);
        }
    }

    #[test]
    fn whole_numbers() {
        for (text, number) in
            [("0", 0), ("2181", 2181), ("-1", -1), ("+7", 7), ("0xfffff", 0xfffff), ("010", 10)]
        {
            assert_eq!(whole(text), Some(number), "{text}");
        }
        for text in
            ["", "-", "0x", "1k", "2181 ", "1.5", "0x-1", "--1", "+-1", "99999999999999999999"]
        {
            assert_eq!(whole(text), None, "{text}");
        }
    }
}
