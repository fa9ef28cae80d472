//! Configurations as text, as the znode of the configuration holds it.

use ringkeeper::zab::{EnsembleConfig, Server, ServerKind, Sid};

use crate::check::Membership;

/// The text of a configuration.
pub fn text(version: i64, servers: &[Server]) -> String {
    let mut text = String::new();
    for server in servers {
        let kind = match server.kind {
            ServerKind::Participant => "participant",
            ServerKind::Observer => "observer",
        };
        let (host, port) = server.quorum_address.split_once(':').unwrap_or(("", ""));
        text += &format!("server.{}={host}:{port}:3888:{kind};0.0.0.0:2181\n", server.sid);
    }
    for server in servers {
        if let Some(group) = server.group {
            text +=
                &format!("group.{}={group}\nweight.{}={}\n", server.sid, server.sid, server.weight);
        }
    }
    text + &format!("version={version:x}")
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
    let mut servers: Vec<Server> = Vec::new();
    let mut version = None;
    for line in text.lines() {
        let (key, value) = line.split_once('=')?;
        match key.split_once('.') {
            None => version = i64::from_str_radix(value, 16).ok(),
            Some(("server", sid)) => {
                let kind = if value.contains(":observer") {
                    ServerKind::Observer
                } else {
                    ServerKind::Participant
                };
                servers.push(server(sid.parse().ok()?, kind));
            }
            Some((key, sid)) => {
                let sid: Sid = sid.parse().ok()?;
                let server = servers.iter_mut().find(|server| server.sid == sid)?;
                match key {
                    "group" => server.group = Some(value.parse().ok()?),
                    _ => server.weight = value.parse().ok()?,
                }
            }
        }
    }
    Some(EnsembleConfig::new(version?, servers, text))
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
