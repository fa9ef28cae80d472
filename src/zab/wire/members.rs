//! The text of an ensemble's configuration: what `/zookeeper/config` holds, and what votes, NEWLEADER and
//! reconfigurations carry (`QuorumMaj.toString`, `QuorumHierarchical.toString`, `QuorumPeer.QuorumServer`).
//!
//! ```text
//! server.1=one.example:2888:3888:participant;0.0.0.0:2181
//! server.2=[fd00::2]:2888:3888|two.example:2888:3888:observer
//! group.1=1
//! weight.1=1
//! version=100000000
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::config::properties;
use crate::zab::{EnsembleConfig, Server, ServerKind};

/// Why a text is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MembersError {
    /// A line that is no `key=value`.
    #[error("line {line}: {what}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A key that has no business here.
    #[error("{key} is no key of an ensemble's configuration")]
    Key {
        /// The key.
        key: String,
    },
    /// A value that its key does not allow.
    #[error("{key}={value}: {what}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Groups are used, and a voter is in none.
    #[error("server.{sid} votes and is in no group")]
    NoGroup {
        /// The voter.
        sid: i64,
    },
    /// A server in two groups.
    #[error("server.{sid} is in more than one group")]
    TwoGroups {
        /// The server.
        sid: i64,
    },
    /// Nobody votes.
    #[error("there is no participant")]
    NoParticipant,
    /// Bytes that are no text.
    #[error("it is not UTF-8 from byte {valid_up_to} on")]
    Utf8 {
        /// How many bytes are sound.
        valid_up_to: usize,
    },
}

/// One address of a server: a host and the two ports that peers use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// A name or an address, an IPv6 one without its brackets.
    pub host: String,
    /// Where learners connect to it when it leads.
    pub quorum_port: u16,
    /// Where votes go.
    pub election_port: u16,
}

/// One server as its line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub sid: i64,
    /// Whether it votes.
    pub kind: ServerKind,
    /// Its addresses, at least one.
    pub addresses: Vec<PeerAddress>,
    /// Host and port for clients, if the line says.
    pub client: Option<(String, u16)>,
    /// Its group, if there are groups.
    pub group: Option<i64>,
    /// Its weight, 1 unless said.
    pub weight: u64,
}

/// A configuration's text, taken apart. Prints as ZooKeeper prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The zxid of the reconfiguration that made it.
    pub version: i64,
    /// The servers by sid.
    pub servers: Vec<Member>,
}

impl Members {
    /// Reads a text. Of a key given twice the last counts, as in Java.
    pub fn parse(text: &str) -> Result<Members, MembersError> {
        let entries = properties::parse(text.as_bytes())
            .map_err(|e| MembersError::Syntax { line: e.line, what: e.what })?;
        let mut read = Reading::default();
        for entry in &entries {
            read.entry(&entry.key, &entry.value)?;
        }
        read.finish()
    }

    /// What the core needs of it. `text` is what it was read from, and goes out again unchanged.
    pub fn to_config(&self, text: &str) -> EnsembleConfig {
        let servers = self.servers.iter().map(|member| Server {
            sid: member.sid,
            kind: member.kind,
            group: member.group,
            weight: member.weight,
            quorum_address: quorum_address(&member.addresses),
        });
        EnsembleConfig::new(self.version, servers.collect(), text)
    }
}

/// Reads the configuration that a peer sent.
pub fn read_config(bytes: &[u8]) -> Result<EnsembleConfig, MembersError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| MembersError::Utf8 { valid_up_to: e.valid_up_to() })?;
    Ok(Members::parse(text)?.to_config(text))
}

fn quorum_address(addresses: &[PeerAddress]) -> String {
    let each = addresses.iter().map(|a| format!("{}:{}", Host(&a.host), a.quorum_port));
    each.collect::<Vec<_>>().join("|")
}

#[derive(Default)]
struct Reading {
    version: i64,
    servers: BTreeMap<i64, Member>,
    groups: BTreeMap<i64, Vec<i64>>,
    weights: BTreeMap<i64, u64>,
}

impl Reading {
    fn entry(&mut self, key: &str, value: &str) -> Result<(), MembersError> {
        let bad = |what| MembersError::Value { key: key.into(), value: value.into(), what };
        let number = |text: &str| i64::from_str(text).map_err(|_| bad("not a number"));
        if key == "version" {
            // A version is the zxid of a reconfiguration. ZooKeeper reads a negative one as well, and prints it as
            // sixteen digits that no server, itself included, can read again.
            self.version = i64::from_str_radix(value, 16)
                .ok()
                .filter(|&version| version >= 0)
                .ok_or_else(|| bad("not a zxid in hexadecimal digits"))?;
            return Ok(());
        }
        let unknown = || MembersError::Key { key: key.into() };
        let (name, id) = key.split_once('.').ok_or_else(unknown)?;
        let id = i64::from_str(id).map_err(|_| unknown())?;
        match name {
            "server" => {
                let member = member(id, value).map_err(bad)?;
                self.servers.insert(id, member);
            }
            "group" => {
                let sids = value.split(':').map(number).collect::<Result<_, _>>()?;
                self.groups.insert(id, sids);
            }
            "weight" => {
                let weight = u64::from_str(value).map_err(|_| bad("not a weight"))?;
                self.weights.insert(id, weight);
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Members, MembersError> {
        let hierarchical = !self.groups.is_empty() || !self.weights.is_empty();
        for (group, sids) in self.groups {
            for sid in sids {
                // A server that is only named in a group is none.
                let Some(member) = self.servers.get_mut(&sid) else { continue };
                if member.group.replace(group).is_some() {
                    return Err(MembersError::TwoGroups { sid });
                }
            }
        }
        for (sid, weight) in self.weights {
            if let Some(member) = self.servers.get_mut(&sid) {
                member.weight = weight;
            }
        }
        let voters = || self.servers.values().filter(|m| m.kind == ServerKind::Participant);
        if let Some(member) = voters().find(|m| hierarchical && m.group.is_none()) {
            return Err(MembersError::NoGroup { sid: member.sid });
        }
        if voters().next().is_none() {
            return Err(MembersError::NoParticipant);
        }
        Ok(Members { version: self.version, servers: self.servers.into_values().collect() })
    }
}

const FORM: &str = "not of the form host:port:port[:type][;[host:]port]";

/// What stands behind `server.<sid>=`.
fn member(sid: i64, value: &str) -> Result<Member, &'static str> {
    let (peers, client) = match value.split_once(';') {
        Some((peers, client)) => (peers, Some(client_address(client)?)),
        None => (value, None),
    };
    let mut addresses = Vec::new();
    let mut kind = None;
    for address in peers.split('|') {
        let (host, rest) = host_and_rest(address)?;
        let mut fields = rest.split(':');
        let (Some(quorum), Some(election)) = (fields.next(), fields.next()) else {
            return Err(FORM);
        };
        let (quorum_port, election_port) = (port(quorum)?, port(election)?);
        if quorum_port == election_port {
            return Err("the quorum port and the election port are the same");
        }
        if let Some(said) = fields.next() {
            let said = server_kind(said)?;
            if *kind.get_or_insert(said) != said {
                return Err("the addresses do not agree on the type");
            }
        }
        if fields.next().is_some() {
            return Err(FORM);
        }
        addresses.push(PeerAddress { host: host.into(), quorum_port, election_port });
    }
    let kind = kind.unwrap_or(ServerKind::Participant);
    Ok(Member { sid, kind, addresses, client, group: None, weight: 1 })
}

fn server_kind(text: &str) -> Result<ServerKind, &'static str> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("participant") {
        Ok(ServerKind::Participant)
    } else if text.eq_ignore_ascii_case("observer") {
        Ok(ServerKind::Observer)
    } else {
        Err("the type is neither participant nor observer")
    }
}

fn client_address(text: &str) -> Result<(String, u16), &'static str> {
    if let Ok(port) = port(text) {
        return Ok(("0.0.0.0".into(), port));
    }
    let (host, rest) = host_and_rest(text)?;
    Ok((host.into(), port(rest)?))
}

/// The host, without the brackets of an IPv6 address, and what stands behind its colon.
fn host_and_rest(text: &str) -> Result<(&str, &str), &'static str> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(text) => text.split_once("]:").ok_or("a [ without its ]:")?,
        None => text.split_once(':').ok_or(FORM)?,
    };
    if host.is_empty() { Err("the host is missing") } else { Ok((host, rest)) }
}

fn port(text: &str) -> Result<u16, &'static str> {
    u16::from_str(text).map_err(|_| "a port is no number up to 65535")
}

/// Whether a text is `host:port`.
pub(super) fn is_host_and_port(text: &str) -> bool {
    host_and_rest(text).is_ok_and(|(_, rest)| port(rest).is_ok())
}

/// A host as it stands before a colon.
struct Host<'a>(&'a str);

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server.{}=", self.sid)?;
        for (index, address) in self.addresses.iter().enumerate() {
            let between = if index == 0 { "" } else { "|" };
            let PeerAddress { host, quorum_port, election_port } = address;
            write!(f, "{between}{}:{quorum_port}:{election_port}", Host(host))?;
        }
        f.write_str(match self.kind {
            ServerKind::Participant => ":participant",
            ServerKind::Observer => ":observer",
        })?;
        match &self.client {
            Some((host, port)) => write!(f, ";{}:{port}", Host(host)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for member in &self.servers {
            writeln!(f, "{member}")?;
        }
        let mut groups: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for member in &self.servers {
            if let Some(group) = member.group {
                groups.entry(group).or_default().push(member.sid.to_string());
            }
        }
        for (group, sids) in &groups {
            writeln!(f, "group.{group}={}", sids.join(":"))?;
        }
        // Java prints no weight of a server that neither votes nor was given one.
        for member in self.servers.iter().filter(|_| !groups.is_empty()) {
            if member.kind == ServerKind::Participant || member.weight != 1 {
                writeln!(f, "weight.{}={}", member.sid, member.weight)?;
            }
        }
        write!(f, "version={:x}", self.version)
    }
}
