//! The bytes of each answer, as ZooKeeper's `server/command` classes print them.

use super::java;
use super::view::{ConnectionView, ServerView, Stats, Value};
use super::word::Word;
use std::collections::BTreeMap;
use std::fmt::Write;

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// The answer to a word that is not on the white list.
pub fn refusal(word: Word) -> Vec<u8> {
    let text = format!("{} is not executed because it is not in the whitelist.\n", word.name());
    text.into_bytes()
}

/// The answer to a word. The connection is closed when it is sent.
pub fn answer(word: Word, view: &ServerView) -> Vec<u8> {
    let mut out = String::new();
    // Writing into a `String` cannot fail.
    let _ = write_answer(&mut out, word, view);
    out.into_bytes()
}

fn write_answer(out: &mut String, word: Word, view: &ServerView) -> std::fmt::Result {
    match word {
        Word::Ruok => out.push_str("imok"),
        Word::Envi => environment(out, view)?,
        Word::Gtmk | Word::Stmk => write!(out, "{}", view.trace_mask)?,
        Word::TelnetClose => {}
        // The two that end without a new line, served or not.
        Word::Isro if !view.serving => out.push_str("null"),
        Word::Hash if !view.serving => out.push_str(NOT_SERVING),
        _ if !view.serving => writeln!(out, "{NOT_SERVING}")?,
        Word::Isro => out.push_str(if view.read_only { "ro" } else { "rw" }),
        Word::Hash => {
            for (zxid, digest) in &view.digests {
                writeln!(out, "{zxid:x}: {digest}")?;
            }
        }
        Word::Conf => conf(out, view)?,
        Word::Cons => {
            for one in &view.connections {
                connection(out, one, false)?;
                out.push('\n');
            }
            out.push('\n');
        }
        Word::Crst => out.push_str("Connection stats reset.\n"),
        Word::Srst => out.push_str("Server stats reset.\n"),
        Word::Dirs => {
            writeln!(out, "datadir_size: {}", view.data_dir_bytes)?;
            writeln!(out, "logdir_size: {}", view.log_dir_bytes)?;
        }
        Word::Dump => dump(out, view)?,
        Word::Mntr => mntr(out, view)?,
        Word::Srvr => stat(out, view, false)?,
        Word::Stat => stat(out, view, true)?,
        Word::Wchs => {
            let sum = view.watch_summary;
            writeln!(out, "{} connections watching {} paths", sum.connections, sum.paths)?;
            writeln!(out, "Total watches:{}", sum.total)?;
        }
        Word::Wchc => watches_by_connection(out, view)?,
        Word::Wchp => watches_by_path(out, view)?,
    }
    Ok(())
}

fn stat(out: &mut String, view: &ServerView, with_clients: bool) -> std::fmt::Result {
    writeln!(out, "Zookeeper version: {}", view.version)?;
    if view.read_only {
        out.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    if with_clients {
        out.push_str("Clients:\n");
        for one in &view.connections {
            connection(out, one, true)?;
            out.push('\n');
        }
        out.push('\n');
    }
    let Stats { latency_min_ms, latency_avg_ms, latency_max_ms, .. } = view.stats;
    let average = java::double(java::mean(latency_avg_ms));
    writeln!(out, "Latency min/avg/max: {latency_min_ms}/{average}/{latency_max_ms}")?;
    writeln!(out, "Received: {}", view.stats.received)?;
    writeln!(out, "Sent: {}", view.stats.sent)?;
    writeln!(out, "Connections: {}", view.stats.connections)?;
    writeln!(out, "Outstanding: {}", view.stats.outstanding)?;
    writeln!(out, "Zxid: 0x{:x}", view.stats.last_zxid)?;
    writeln!(out, "Mode: {}", view.mode)?;
    writeln!(out, "Node count: {}", view.stats.node_count)
}

/// `ServerCnxn.dumpConnectionInfo`.
fn connection(out: &mut String, one: &ConnectionView, brief: bool) -> std::fmt::Result {
    let ConnectionView { queued, received, sent, interest_ops, .. } = one;
    let peer = java::address(one.peer);
    write!(out, " {peer}[{interest_ops:x}](queued={queued},recved={received},sent={sent}")?;
    if let (false, Some(session)) = (brief, &one.session) {
        write!(out, ",sid=0x{:x},lop={}", session.id, session.last_operation)?;
        write!(out, ",est={},to={}", session.established_ms, session.timeout_ms)?;
        if session.last_cxid >= 0 {
            write!(out, ",lcxid=0x{:x}", session.last_cxid)?;
        }
        write!(out, ",lzxid=0x{:x}", session.last_zxid)?;
        write!(out, ",lresp={},llat={}", session.last_response_ms, session.last_latency_ms)?;
        write!(out, ",minlat={}", session.min_latency_ms)?;
        write!(out, ",avglat={}", session.avg_latency_ms)?;
        write!(out, ",maxlat={}", session.max_latency_ms)?;
    }
    out.push(')');
    Ok(())
}

fn conf(out: &mut String, view: &ServerView) -> std::fmt::Result {
    let conf = &view.conf;
    writeln!(out, "clientPort={}", conf.client_port)?;
    out.push_str("secureClientPort=-1\n");
    writeln!(out, "dataDir={}", conf.data_dir)?;
    writeln!(out, "dataDirSize={}", view.data_dir_bytes)?;
    writeln!(out, "dataLogDir={}", conf.data_log_dir)?;
    writeln!(out, "dataLogSize={}", view.log_dir_bytes)?;
    writeln!(out, "tickTime={}", conf.tick_time_ms)?;
    writeln!(out, "maxClientCnxns={}", conf.max_client_cnxns)?;
    writeln!(out, "minSessionTimeout={}", conf.min_session_timeout_ms)?;
    writeln!(out, "maxSessionTimeout={}", conf.max_session_timeout_ms)?;
    writeln!(out, "clientPortListenBacklog={}", conf.client_port_listen_backlog)?;
    writeln!(out, "serverId={}", conf.server_id)
}

fn environment(out: &mut String, view: &ServerView) -> std::fmt::Result {
    out.push_str("Environment:\n");
    for (key, value) in &view.environment {
        writeln!(out, "{key}={value}")?;
    }
    Ok(())
}

fn mntr(out: &mut String, view: &ServerView) -> std::fmt::Result {
    for (name, value) in &view.monitor {
        match value {
            Value::Int(value) => writeln!(out, "zk_{name}\t{value}")?,
            Value::Real(value) => writeln!(out, "zk_{name}\t{}", java::double(*value))?,
            Value::Text(value) => writeln!(out, "zk_{name}\t{value}")?,
        }
    }
    Ok(())
}

fn dump(out: &mut String, view: &ServerView) -> std::fmt::Result {
    out.push_str("SessionTracker dump:\nSession ");
    let sessions = view.sessions.iter().map(|s| (s.expires_ms, format!("0x{:x}", s.id)));
    expiry_sets(out, sessions)?;
    out.push_str("ephemeral nodes dump:\n");
    writeln!(out, "Sessions with Ephemerals ({}):", view.ephemerals.len())?;
    for one in &view.ephemerals {
        writeln!(out, "0x{:x}:", one.session)?;
        for path in &one.paths {
            writeln!(out, "\t{path}")?;
        }
    }
    out.push_str("Connections dump:\nConnections ");
    let connections = view.connections.iter().map(|one| {
        let session = one.session.as_ref().map_or(0, |session| session.id);
        let text = format!("ip: {} sessionId: 0x{session:x}", java::address(one.peer));
        (one.expires_ms, text)
    });
    expiry_sets(out, connections)
}

/// `ExpiryQueue.dump`: what expires, grouped by when, the soonest first. ZooKeeper's times are
/// whole ticks; here they are rounded up to the seconds that the text shows.
fn expiry_sets(out: &mut String, items: impl Iterator<Item = (i64, String)>) -> std::fmt::Result {
    let mut sets: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (when, text) in items {
        let second = when.saturating_add(999).div_euclid(1000).saturating_mul(1000);
        sets.entry(second).or_default().push(text);
    }
    let items: usize = sets.values().map(Vec::len).sum();
    writeln!(out, "Sets ({})/({items}):", sets.len())?;
    for (when, set) in &sets {
        writeln!(out, "{} expire at {}:", set.len(), java::date(*when))?;
        for text in set {
            writeln!(out, "\t{text}")?;
        }
    }
    Ok(())
}

fn watches_by_connection(out: &mut String, view: &ServerView) -> std::fmt::Result {
    for one in &view.watchers {
        writeln!(out, "0x{:x}", one.session)?;
        for path in &one.paths {
            writeln!(out, "\t{path}")?;
        }
    }
    writeln!(out)
}

fn watches_by_path(out: &mut String, view: &ServerView) -> std::fmt::Result {
    let mut by_path: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for one in &view.watchers {
        for path in &one.paths {
            by_path.entry(path).or_default().push(one.session);
        }
    }
    for (path, sessions) in &by_path {
        writeln!(out, "{path}")?;
        for session in sessions {
            writeln!(out, "\t0x{session:x}")?;
        }
    }
    writeln!(out)
}
