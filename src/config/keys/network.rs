//! Ports, connections, sessions.

use super::INT_MAX;
use crate::config::table::{Key, Kind, NotAccepted};
use std::net::{IpAddr, ToSocketAddrs};

/// Ports and connections.
pub const PORTS: &[Key] = &[
    Key::honoured(
        "clientPort",
        "2181",
        Kind::Int { min: 0, max: 65535, unit: "", set: |c, v| c.client_port = v as u16 },
        "The port for clients; 0 takes a free one and says which.",
    ),
    Key::honoured(
        "clientPortAddress",
        "",
        Kind::Text {
            form: "an IP address, or a host name that resolves to one",
            set: |c, v| {
                c.client_port_address = Some(resolve(v)?);
                Ok(())
            },
        },
        "The address the client port listens on; without it, all addresses.",
    ),
    Key::honoured(
        "clientPortListenBacklog",
        "-1",
        Kind::Int {
            min: -1,
            max: INT_MAX,
            unit: "connections",
            set: |c, v| c.client_port_listen_backlog = v as i32,
        },
        "Length of the queue of connections not yet accepted; -1 leaves it to the server.",
    ),
    Key::honoured(
        "maxClientCnxns",
        "60",
        Kind::Int {
            min: -1,
            max: INT_MAX,
            unit: "connections",
            set: |c, v| c.max_client_cnxns = v.max(0) as u32,
        },
        "How many connections one client address may have at a time; 0 is unlimited.",
    ),
    Key::honoured(
        "maxCnxns",
        "0",
        Kind::Int {
            min: -1,
            max: INT_MAX,
            unit: "connections",
            set: |c, v| c.max_cnxns = v.max(0) as u32,
        },
        "How many connections the server takes in all; 0: as many as the process has descriptors for (`ulimit -n`).",
    ),
    Key::honoured(
        "clientTcpKeepAlive",
        "false",
        Kind::Bool(|c, v| c.client_tcp_keep_alive = v),
        "Sets TCP keep-alive on client connections.",
    ),
    Key::honoured(
        "nio.sessionlessCnxnTimeout",
        "10000",
        Kind::Int {
            min: 1,
            max: INT_MAX,
            unit: "ms",
            set: |c, v| c.sessionless_cnxn_timeout_ms = v as u64,
        },
        "How long a connection may stay open without a session.",
    ),
];

/// Sessions and time.
pub const SESSIONS: &[Key] = &[
    Key::honoured(
        "tickTime",
        "2000",
        Kind::Int { min: 1, max: INT_MAX, unit: "ms", set: |c, v| c.tick_time_ms = v as u32 },
        "The unit of time from which the limits of session time-outs follow; 3000 if a file is \
         given that does not set it, as in ZooKeeper.",
    ),
    Key::honoured(
        "minSessionTimeout",
        "-1",
        Kind::Int {
            min: -1,
            max: INT_MAX,
            unit: "ms",
            set: |c, v| c.min_session_timeout_ms = v as i32,
        },
        "The shortest session time-out a client is granted; -1 is 2 ticks.",
    ),
    Key::honoured(
        "maxSessionTimeout",
        "-1",
        Kind::Int {
            min: -1,
            max: INT_MAX,
            unit: "ms",
            set: |c, v| c.max_session_timeout_ms = v as i32,
        },
        "The longest session time-out a client is granted; -1 is 20 ticks.",
    ),
];

fn resolve(host: &str) -> Result<IpAddr, NotAccepted> {
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = literal.parse() {
        return Ok(address);
    }
    let plausible = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || !host.chars().all(plausible) {
        return Err(NotAccepted);
    }
    let mut found = (host, 0).to_socket_addrs().map_err(|_| NotAccepted)?;
    found.next().map(|address| address.ip()).ok_or(NotAccepted)
}
