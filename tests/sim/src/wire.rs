//! Messages between servers as bytes: encoded by who sends, read back in pieces by who receives, compared with what
//! was said.
//!
//! Owns how a message of the simulator lies on a connection of ZooKeeper's ports. What a receiver goes on with is what
//! it has read, never what was said.

use std::sync::Arc;

use ringkeeper::zab::wire::{
    ElectionItem, ElectionReader, Limits, QuorumReader, Side, encode_hello, encode_notification,
    encode_packet,
};
use ringkeeper::zab::{Hello, Packet, Sid};

use crate::context::Message;
use crate::network::{End, Port};
use crate::random::Random;
use crate::store::stream::{self, Received};

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Sent {
    /// What was said.
    pub message: Message,
    /// Its bytes; behind those of a hello if it is the first that who dialled an election port sends.
    pub bytes: Vec<u8>,
}

impl Sent {
    /// What `sid` says from its end of a connection, having said `before` messages on it.
    pub fn new(message: Message, sid: Sid, end: End, before: u64) -> Sent {
        let mut bytes = Vec::new();
        match &message {
            Message::Vote(notification) => {
                if end == 0 && before == 0 {
                    encode_hello(&hello(sid), &mut bytes);
                }
                encode_notification(notification, &mut bytes);
            }
            Message::Packet(packet) => encode_packet(packet, side(end), &mut bytes),
            Message::Snapshot(snapshot) => stream::encode(snapshot, &mut bytes),
        }
        Sent { message, bytes }
    }
}

/// Learners dial leaders.
fn side(end: End) -> Side {
    if end == 0 { Side::Learner } else { Side::Leader }
}

fn hello(sid: Sid) -> Hello {
    Hello { sid, addresses: vec![format!("server{sid}:3888")] }
}

/// Reads what one end of a connection sends.
pub struct Reader {
    peer: Sid,
    stream: Stream,
}

enum Stream {
    Election(ElectionReader),
    Quorum(Box<QuorumReader>, Option<Received>),
}

impl Reader {
    /// For what `peer` sends from its end of a connection to that port.
    pub fn new(port: Port, peer: Sid, end: End) -> Reader {
        let stream = match port {
            Port::Election if end == 0 => Stream::Election(ElectionReader::of_dialler()),
            Port::Election => Stream::Election(ElectionReader::of_acceptor()),
            Port::Quorum => {
                Stream::Quorum(Box::new(QuorumReader::new(side(end), Limits::default())), None)
            }
        };
        Reader { peer, stream }
    }

    /// Reads a message from its bytes, which come in pieces. `Err`: it is not what was said, and why.
    pub fn read(&mut self, sent: &Sent, random: &mut Random) -> Result<Message, String> {
        let mut rest = &sent.bytes[..];
        loop {
            let (piece, later) = rest.split_at(piece_bytes(rest.len(), random));
            rest = later;
            let found = match &mut self.stream {
                Stream::Election(reader) => read_vote(reader, piece, self.peer)?,
                Stream::Quorum(reader, snapshot) => read_packet(reader, snapshot, piece)?,
            };
            match found {
                Some(message) if rest.is_empty() && message == sent.message => return Ok(message),
                Some(message) => {
                    let left = rest.len();
                    return Err(format!(
                        "{:?} was sent and {message:?} is read, {left} bytes before the end",
                        sent.message
                    ));
                }
                None if rest.is_empty() => {
                    return Err(format!("{:?} was sent and nothing is read", sent.message));
                }
                None => {}
            }
        }
    }
}

/// How much of what is left comes at once: all of it, a part, or a few bytes.
fn piece_bytes(left: usize, random: &mut Random) -> usize {
    let left = left as u64;
    let bytes = match random.below(8) {
        0..4 => left,
        4..7 => random.between(1, left.max(1)),
        _ => random.between(1, 12),
    };
    bytes.min(left) as usize
}

fn read_vote(
    reader: &mut ElectionReader,
    piece: &[u8],
    peer: Sid,
) -> Result<Option<Message>, String> {
    reader.push(piece);
    let mut found = None;
    while let Some(item) = reader.next_item().map_err(|error| error.to_string())? {
        match item {
            ElectionItem::Hello(said) if said == hello(peer) => {}
            ElectionItem::Hello(said) => {
                return Err(format!("{peer} introduces itself as {said:?}"));
            }
            ElectionItem::Notification(vote) if found.is_none() => {
                found = Some(Message::Vote(vote))
            }
            other => return Err(format!("{other:?} is read behind {found:?}")),
        }
    }
    Ok(found)
}

fn read_packet(
    reader: &mut QuorumReader,
    snapshot: &mut Option<Received>,
    piece: &[u8],
) -> Result<Option<Message>, String> {
    reader.push(piece);
    let mut found = None;
    loop {
        if let Some(packet) = reader.next_packet().map_err(|error| error.to_string())? {
            if let Packet::Snap { zxid } = packet {
                *snapshot = Some(Received::new(zxid));
            }
            if let Some(before) = found.replace(Message::Packet(packet)) {
                return Err(format!("{found:?} is read behind {before:?}"));
            }
            continue;
        }
        match (reader.next_piece().map_err(|error| error.to_string())?, &mut *snapshot) {
            (Some(piece), Some(received)) => {
                if let Some(bytes) = received.take(&piece)? {
                    found = Some(Message::Snapshot(Arc::from(bytes)));
                }
            }
            _ => return Ok(found),
        }
    }
}
