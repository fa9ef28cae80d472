//! Who belongs to the ensemble: the servers of one version of its configuration.

use std::sync::Arc;

use super::types::Sid;

/// Whether a server's word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// It votes and its acknowledgements count.
    Participant,
    /// It is told of everything and asked of nothing.
    Observer,
}

/// One `server.x` line, with its `group` and `weight`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its number.
    pub sid: Sid,
    /// Whether it votes.
    pub kind: ServerKind,
    /// Its group; `None` in every server of an ensemble without groups.
    pub group: Option<i64>,
    /// Its weight within its group, 1 unless said; a server of weight 0 never leads.
    pub weight: u64,
    /// `host:quorumPort`, compared as text alone: a server whose address changed is another one to lead to.
    pub quorum_address: String,
}

/// One version of the ensemble's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnsembleConfig {
    /// The zxid of the reconfiguration that made it; 0 for the one of the first start.
    pub version: i64,
    /// All servers, by sid, each once.
    pub servers: Vec<Server>,
    /// The configuration as text, as `/zookeeper/config` and notifications have it. The core hands it on unread.
    pub text: Arc<str>,
}

impl EnsembleConfig {
    /// The servers with their sids in order.
    pub fn new(
        version: i64,
        mut servers: Vec<Server>,
        text: impl Into<Arc<str>>,
    ) -> EnsembleConfig {
        servers.sort_by_key(|server| server.sid);
        servers.dedup_by_key(|server| server.sid);
        EnsembleConfig { version, servers, text: text.into() }
    }

    /// A configuration of participants of weight 1 without groups, the first ones; then observers. For tests.
    pub fn plain(version: i64, participants: &[Sid], observers: &[Sid]) -> EnsembleConfig {
        let server = |sid: &Sid, kind| Server {
            sid: *sid,
            kind,
            group: None,
            weight: 1,
            quorum_address: format!("server{sid}:2888"),
        };
        let mut servers: Vec<Server> =
            participants.iter().map(|sid| server(sid, ServerKind::Participant)).collect();
        servers.extend(observers.iter().map(|sid| server(sid, ServerKind::Observer)));
        EnsembleConfig::new(version, servers, "")
    }

    /// The same servers under another version, in the text too.
    pub fn with_version(&self, version: i64) -> EnsembleConfig {
        let line = format!("version={version:x}");
        let mut text = String::with_capacity(self.text.len() + line.len());
        for known in self.text.lines().filter(|known| !known.trim_start().starts_with("version=")) {
            text.push_str(known);
            text.push('\n');
        }
        text.push_str(&line);
        EnsembleConfig { version, servers: self.servers.clone(), text: text.into() }
    }

    /// The server of this number.
    pub fn server(&self, sid: Sid) -> Option<&Server> {
        self.servers
            .binary_search_by_key(&sid, |server| server.sid)
            .ok()
            .map(|at| &self.servers[at])
    }

    /// Whether this server votes.
    pub fn is_participant(&self, sid: Sid) -> bool {
        self.server(sid).is_some_and(|server| server.kind == ServerKind::Participant)
    }

    /// Whether this server is named as an observer.
    pub fn is_observer(&self, sid: Sid) -> bool {
        self.server(sid).is_some_and(|server| server.kind == ServerKind::Observer)
    }

    /// The voters, by sid.
    pub fn participants(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| server.kind == ServerKind::Participant)
    }

    /// Whether quorums are counted by groups.
    pub fn is_hierarchical(&self) -> bool {
        self.servers.iter().any(|server| server.group.is_some())
    }
}
