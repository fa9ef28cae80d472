//! The snapshot behind SNAP: refused, or its pieces written again are the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringkeeper::zab::Packet;
use ringkeeper::zab::wire::{Limits, QuorumReader, Side, SnapshotPiece, encode_packet};

/// The pieces written again, and whether the end came.
fn read(chunks: &[&[u8]]) -> (Vec<u8>, bool) {
    let mut reader = QuorumReader::new(Side::Leader, Limits::default());
    let mut snap = Vec::new();
    encode_packet(&Packet::Snap { zxid: 1 }, Side::Leader, &mut snap);
    reader.push(&snap);
    assert!(matches!(reader.next_packet(), Ok(Some(Packet::Snap { .. }))));
    let mut again = Vec::new();
    for chunk in chunks {
        reader.push(chunk);
        loop {
            match reader.next_piece() {
                Ok(Some(piece)) => {
                    piece.encode(&mut again);
                    if piece == SnapshotPiece::End {
                        return (again, true);
                    }
                }
                Ok(None) => break,
                Err(_) => return (again, false),
            }
        }
    }
    (again, false)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((step, bytes)) = bytes.split_first() else { return };
    let whole = read(&[bytes]);
    assert_eq!(whole, read(&bytes.chunks(usize::from(*step) + 1).collect::<Vec<_>>()));
    // An identity that is no text became some: what is written reads as itself.
    assert_eq!(whole, read(&[&whole.0]));
});
