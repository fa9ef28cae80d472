//! The words, what each needs and does, and the white list.

/// A four-letter word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Word {
    /// Settings.
    Conf,
    /// Connections in full.
    Cons,
    /// Resets the statistics of connections.
    Crst,
    /// Sizes of the data directories.
    Dirs,
    /// Sessions and ephemeral nodes.
    Dump,
    /// The environment.
    Envi,
    /// The trace mask.
    Gtmk,
    /// Digests of the tree.
    Hash,
    /// Whether the server is read-only.
    Isro,
    /// Metrics.
    Mntr,
    /// Whether the server runs.
    Ruok,
    /// Statistics.
    Srvr,
    /// Resets the statistics of the server.
    Srst,
    /// Statistics and connections.
    Stat,
    /// Sets the trace mask, which follows in eight bytes.
    Stmk,
    /// Watches by connection.
    Wchc,
    /// Watches by path.
    Wchp,
    /// How many watches.
    Wchs,
    /// What the telnet program sends when it closes; known so that it is not taken for a length.
    TelnetClose,
}

/// What a shard does besides answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Resets the statistics of all connections.
    ResetConnections,
    /// Resets the statistics of the server.
    ResetServer,
    /// Takes the eight bytes behind the word as the trace mask, which changes nothing else here.
    SetTraceMask,
}

/// Which parts of the view a word looks at; the others may stay empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// `stats`.
    pub stats: bool,
    /// `monitor`.
    pub monitor: bool,
    /// `connections`, of all shards.
    pub connections: bool,
    /// `conf`.
    pub conf: bool,
    /// `data_dir_bytes` and `log_dir_bytes`.
    pub sizes: bool,
    /// `sessions` and `ephemerals`.
    pub sessions: bool,
    /// `watch_summary`.
    pub watch_summary: bool,
    /// `watchers`, of all shards.
    pub watchers: bool,
    /// `environment`.
    pub environment: bool,
    /// `digests`.
    pub digests: bool,
}

impl Word {
    /// All that can be allowed and asked.
    pub const ALL: [Word; 18] = [
        Word::Conf,
        Word::Cons,
        Word::Crst,
        Word::Dirs,
        Word::Dump,
        Word::Envi,
        Word::Gtmk,
        Word::Hash,
        Word::Isro,
        Word::Mntr,
        Word::Ruok,
        Word::Srvr,
        Word::Srst,
        Word::Stat,
        Word::Stmk,
        Word::Wchc,
        Word::Wchp,
        Word::Wchs,
    ];

    /// The word that the first four bytes of a connection are, if they are one. No word is a
    /// length that could be accepted.
    pub fn from_prefix(bytes: [u8; 4]) -> Option<Word> {
        if bytes == [0xff, 0xf4, 0xff, 0xfd] {
            return Some(Word::TelnetClose);
        }
        Word::ALL.into_iter().find(|word| word.name().as_bytes() == bytes)
    }

    /// Whether an entry of the white list means this word.
    pub fn is_named_by(self, entry: &str) -> bool {
        entry == "*" || entry == self.name()
    }

    /// The name, as ZooKeeper writes it.
    pub fn name(self) -> &'static str {
        match self {
            Word::Conf => "conf",
            Word::Cons => "cons",
            Word::Crst => "crst",
            Word::Dirs => "dirs",
            Word::Dump => "dump",
            Word::Envi => "envi",
            Word::Gtmk => "gtmk",
            Word::Hash => "hash",
            Word::Isro => "isro",
            Word::Mntr => "mntr",
            Word::Ruok => "ruok",
            Word::Srvr => "srvr",
            Word::Srst => "srst",
            Word::Stat => "stat",
            Word::Stmk => "stmk",
            Word::Wchc => "wchc",
            Word::Wchp => "wchp",
            Word::Wchs => "wchs",
            Word::TelnetClose => "telnet close",
        }
    }

    /// How many bytes belong to the word beyond its four.
    pub fn extra_bytes(self) -> usize {
        if self == Word::Stmk { 8 } else { 0 }
    }

    /// What it does besides answering.
    pub fn effect(self) -> Effect {
        match self {
            Word::Crst => Effect::ResetConnections,
            Word::Srst => Effect::ResetServer,
            Word::Stmk => Effect::SetTraceMask,
            _ => Effect::None,
        }
    }

    /// What its answer looks at.
    pub fn needs(self) -> Needs {
        let none = Needs::default();
        match self {
            Word::Conf => Needs { conf: true, sizes: true, ..none },
            Word::Cons => Needs { connections: true, ..none },
            Word::Dirs => Needs { sizes: true, ..none },
            Word::Dump => Needs { sessions: true, connections: true, ..none },
            Word::Envi => Needs { environment: true, ..none },
            Word::Hash => Needs { digests: true, ..none },
            Word::Mntr => Needs { monitor: true, ..none },
            Word::Srvr => Needs { stats: true, ..none },
            Word::Stat => Needs { stats: true, connections: true, ..none },
            Word::Wchc | Word::Wchp => Needs { watchers: true, ..none },
            Word::Wchs => Needs { watch_summary: true, ..none },
            Word::Crst
            | Word::Gtmk
            | Word::Isro
            | Word::Ruok
            | Word::Srst
            | Word::Stmk
            | Word::TelnetClose => none,
        }
    }
}

/// The words that are answered (`4lw.commands.whitelist`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WhiteList(u32);

impl WhiteList {
    /// From the setting's list. `srvr` is always on it, for ZooKeeper's own scripts need it;
    /// `isro` with read-only mode, for clients do.
    pub fn new(words: &[String], read_only_mode: bool) -> WhiteList {
        let mut list = WhiteList(1 << Word::Srvr as u32);
        if read_only_mode {
            list.0 |= 1 << Word::Isro as u32;
        }
        for word in words {
            for known in Word::ALL {
                if known.is_named_by(word) {
                    list.0 |= 1 << known as u32;
                }
            }
        }
        list
    }

    /// Whether the word is answered.
    pub fn allows(self, word: Word) -> bool {
        self.0 & 1 << word as u32 != 0
    }
}
