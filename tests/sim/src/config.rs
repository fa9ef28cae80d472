//! Configurations as text, as the znode of the configuration holds it.

use ringkeeper::zab::wire::{Member, Members, PeerAddress, read_config};
use ringkeeper::zab::{EnsembleConfig, Server, ServerKind, Sid};

use crate::check::Membership;

/// The text of a configuration.
pub fn text(version: i64, servers: &[Server]) -> String {
    let member = |server: &Server| {
        let (host, port) = server.quorum_address.split_once(':').unwrap_or_default();
        let quorum_port = port.parse().unwrap_or_default();
        Member {
            sid: server.sid,
            kind: server.kind,
            addresses: vec![PeerAddress { host: host.into(), quorum_port, election_port: 3888 }],
            client: Some(("0.0.0.0".into(), 2181)),
            group: server.group,
            weight: server.weight,
        }
    };
    Members { version, servers: servers.iter().map(member).collect() }.to_string()
}

/// A configuration with its text.
pub fn make(version: i64, servers: Vec<Server>) -> EnsembleConfig {
    let text = text(version, &servers);
    EnsembleConfig::new(version, servers, text)
}

/// A server of a configuration.
pub fn server(sid: Sid, kind: ServerKind) -> Server {
    Server { sid, kind, group: None, weight: 1, quorum_address: format!("server{sid}:2888") }
}

/// Reads what [`text`] makes; `None` for anything else.
pub fn parse(text: &str) -> Option<EnsembleConfig> {
    read_config(text.as_bytes()).ok()
}

/// Who votes in a configuration.
pub fn membership(config: &EnsembleConfig) -> Membership {
    let hierarchical = config.is_hierarchical();
    let weight = |server: &Server| match hierarchical {
        true => (server.group.unwrap_or(0), server.weight),
        false => (0, 1),
    };
    Membership {
        voters: config.participants().map(|server| (server.sid, weight(server))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_as_it_was_written() {
        let mut servers: Vec<Server> =
            (1..=3).map(|sid| server(sid, ServerKind::Participant)).collect();
        servers.push(server(4, ServerKind::Observer));
        assert_eq!(
            parse(&text(0x2_0000_0001, &servers)),
            Some(make(0x2_0000_0001, servers.clone()))
        );
        for (at, server) in servers.iter_mut().take(3).enumerate() {
            (server.group, server.weight) = (Some(at as i64), 2);
        }
        assert_eq!(parse(&text(7, &servers)), Some(make(7, servers)));
        assert_eq!(parse(""), None);
    }
}
