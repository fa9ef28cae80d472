//! Bytes that Apache ZooKeeper 3.9.5's servers sent, refusals, bounds, and round trips of anything.
//! `tests/transcripts.rs` does the same with all that was recorded.

mod anything;
mod election;
mod members;
mod packets;
mod sasl_packets;
mod snapshot;

use std::sync::Arc;

use super::*;
use crate::zab::{EnsembleConfig, Packet, Server, ServerKind};

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// Reads one packet from exactly these bytes.
fn read(sender: Side, bytes: &[u8]) -> Result<Packet, WireError> {
    let mut reader = QuorumReader::new(sender, Limits::default());
    reader.push(bytes);
    let packet = reader.next_packet()?.expect("the packet is whole");
    assert_eq!(reader.buffered(), 0);
    Ok(packet)
}

fn written(packet: &Packet, sender: Side) -> Vec<u8> {
    let mut out = Vec::new();
    encode_packet(packet, sender, &mut out);
    out
}

/// The first message of who dials an election port.
const HELLO: &str = "ffffffffffff000000000000000000010000000f3132372e302e302e313a3534323831";
const TWO: &str = "server.2=127.0.0.1:51461:42087:participant;127.0.0.1:33277\n\
                   server.4=127.0.0.1:53099:33761:participant;127.0.0.1:44301\n\
                   version=100000006";

fn two() -> Arc<EnsembleConfig> {
    let server = |sid, port| Server {
        sid,
        kind: ServerKind::Participant,
        group: None,
        weight: 1,
        quorum_address: format!("127.0.0.1:{port}"),
    };
    let servers = vec![server(2, 51461), server(4, 53099)];
    Arc::new(EnsembleConfig::new(0x1_0000_0006, servers, TWO))
}
