//! What a person reads in a trace.

use ringkeeper::zab::{Action, Notification, Packet};

use crate::context::Message;

/// An action in a line.
pub fn action(action: &Action) -> String {
    match action {
        Action::SendElection { to, message } => format!("vote to {to}: {}", vote(message)),
        Action::Send { conn, packet } => format!("send on {}: {}", conn.0, self::packet(packet)),
        Action::Append { generation, zxid, txn } => {
            format!("append 0x{zxid:x} ({} bytes, generation {})", txn.len(), generation.0)
        }
        Action::Activate { config } => format!("activate configuration {:x}", config.version),
        Action::Proposed { config: None } => "no proposed configuration".into(),
        Action::Proposed { config: Some((zxid, _)) } => {
            format!("proposed configuration 0x{zxid:x}")
        }
        Action::Request { sid, request, .. } => {
            format!(
                "request of {sid}: session {:x} cxid {} op {}",
                request.session, request.cxid, request.kind
            )
        }
        Action::Commit { through } => format!("commit 0x{through:x}"),
        Action::Undo { to } => format!("undo memory to 0x{to:x}"),
        Action::Replay { through } => format!("replay through 0x{through:x}"),
        Action::Truncate { generation, to } => {
            format!("cut the log to 0x{to:x} (generation {})", generation.0)
        }
        Action::StreamLog { conn, after, through } => {
            format!("stream (0x{after:x}, 0x{through:x}] on {}", conn.0)
        }
        Action::LookUp { conn, zxid } => format!("look up 0x{zxid:x} for {}", conn.0),
        Action::SendSnapshot { conn, zxid } => {
            format!("send the snapshot of 0x{zxid:x} on {}", conn.0)
        }
        Action::StageSnapshot { conn, zxid } => {
            format!("stage the snapshot of 0x{zxid:x} from {}", conn.0)
        }
        other => format!("{other:?}"),
    }
}

/// A vote in a line.
pub fn vote(n: &Notification) -> String {
    let Notification { state, leader, zxid, election_epoch, peer_epoch, .. } = n;
    format!("{state:?} for {leader} zxid 0x{zxid:x} epoch {peer_epoch} round {election_epoch}")
}

/// A packet in a line.
pub fn packet(packet: &Packet) -> String {
    let name = packet.name();
    match packet {
        Packet::Proposal { zxid, txn, .. } => format!("{name} 0x{zxid:x} ({} bytes)", txn.len()),
        Packet::Inform { zxid, .. }
        | Packet::Ack { zxid }
        | Packet::Commit { zxid }
        | Packet::Diff { zxid }
        | Packet::Trunc { zxid }
        | Packet::Snap { zxid }
        | Packet::Ping { zxid, .. } => format!("{name} 0x{zxid:x}"),
        Packet::NewLeader { epoch, .. } => format!("{name} epoch {epoch}"),
        Packet::FollowerInfo { accepted_epoch, info }
        | Packet::ObserverInfo { accepted_epoch, info } => {
            format!(
                "{name} accepted {accepted_epoch} of {:?} config {:x}",
                info.sid, info.config_version
            )
        }
        Packet::Request(request) => {
            format!("{name} session {:x} cxid {}", request.session, request.cxid)
        }
        other => format!("{other:x?}"),
    }
}

/// A message in a line.
pub fn message(message: &Message) -> String {
    match message {
        Message::Vote(n) => vote(n),
        Message::Packet(packet) => self::packet(packet),
        Message::Snapshot(bytes) => format!("a snapshot of {} bytes", bytes.len()),
    }
}
