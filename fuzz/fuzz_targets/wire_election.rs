//! What a peer sends on the election port: refused, passed over, or written and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringkeeper::zab::Notification;
use ringkeeper::zab::wire::{
    ElectionItem, ElectionReader, HELLO_ADDRESS_BYTES_MAX, decode_notification, encode_hello,
    encode_notification, sasl,
};

fn read(mut reader: ElectionReader, pieces: &[&[u8]]) -> Vec<ElectionItem> {
    let mut items = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_item() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(_) => return items,
            }
        }
    }
    items
}

fn settles(vote: &Notification) {
    let mut out = Vec::new();
    encode_notification(vote, &mut out);
    let again = decode_notification(&out[4..], 0).expect("what we write can be read");
    // Without a configuration it is written in the form that has no version either.
    match &vote.config {
        Some(_) => assert_eq!(&again, vote),
        None => assert_eq!(again, Notification { version: 0, ..vote.clone() }),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let reader = || match how & 1 {
        0 => ElectionReader::of_dialler(),
        _ => ElectionReader::of_acceptor(),
    };
    let items = read(reader(), &[bytes]);
    let step = usize::from(how >> 1) + 1;
    assert_eq!(items, read(reader(), &bytes.chunks(step).collect::<Vec<_>>()));
    for item in &items {
        match item {
            ElectionItem::Hello(hello) => {
                let mut out = Vec::new();
                encode_hello(hello, &mut out);
                // What was no text is longer as U+FFFD, and what does not fit is left out.
                let fits = hello.addresses.join("|").len() <= HELLO_ADDRESS_BYTES_MAX;
                if fits {
                    let again = read(ElectionReader::of_dialler(), &[&out]);
                    assert_eq!(again, [ElectionItem::Hello(hello.clone())]);
                }
            }
            ElectionItem::Notification(vote) => settles(vote),
            ElectionItem::Skipped(_) => {}
        }
    }
    if let Ok(vote) = decode_notification(bytes, 0) {
        settles(&vote);
    }
    if let Ok(Some((packet, length))) = sasl::AuthPacket::decode(bytes) {
        let mut out = Vec::new();
        packet.encode(&mut out);
        assert_eq!(out, bytes[..length]);
    }
    let _ = sasl::begins_with_auth(bytes);
});
