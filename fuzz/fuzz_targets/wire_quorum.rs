//! What a peer sends on the quorum port: refused, or written and read again as the same; in pieces or at once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringkeeper::zab::Packet;
use ringkeeper::zab::wire::{Limits, QuorumReader, Side, WireError, encode_packet};

/// The packets, the bytes of them and of the snapshots' pieces written again, and why reading ended.
fn read(
    sender: Side,
    pieces: &[&[u8]],
    limits: Limits,
) -> (Vec<Packet>, Vec<u8>, Option<WireError>) {
    let mut reader = QuorumReader::new(sender, limits);
    let (mut packets, mut again) = (Vec::new(), Vec::new());
    for piece in pieces {
        reader.push(piece);
        assert!(reader.buffered() <= limits.packet_bytes_max() + piece.len());
        loop {
            let before = reader.consumed();
            match reader.next_packet() {
                Ok(Some(packet)) => {
                    encode_packet(&packet, sender, &mut again);
                    packets.push(packet);
                }
                Ok(None) => {}
                Err(error) => return (packets, again, Some(error)),
            }
            match reader.next_piece() {
                Ok(Some(piece)) => piece.encode(&mut again),
                Ok(None) => {}
                Err(error) => return (packets, again, Some(error)),
            }
            if reader.consumed() == before {
                break;
            }
        }
    }
    (packets, again, None)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let sender = if how & 1 == 0 { Side::Leader } else { Side::Learner };
    let limits = Limits::for_requests(if how & 2 == 0 { 0xfffff } else { 64 });
    let step = usize::from(how >> 2) + 1;
    let whole = read(sender, &[bytes], limits);
    let in_pieces = read(sender, &bytes.chunks(step).collect::<Vec<_>>(), limits);
    assert_eq!(whole, in_pieces);
    // What was read settles: identities that are no text became some, which may be longer than the limit.
    let (packets, again, _) = whole;
    let generous = Limits { data_bytes_max: 1 << 24, auth_bytes_max: 1 << 24 };
    let (once_more, bytes, error) = read(sender, &[&again], generous);
    assert_eq!((&once_more, &bytes, error), (&packets, &again, None));
});
