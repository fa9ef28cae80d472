//! Blocks, their contents and the footer: any bytes are read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringkeeper::snapshot::block::{self, Footer, Kind};
use ringkeeper::snapshot::inspect;

fuzz_target!(|bytes: &[u8]| {
    let _ = Footer::decode(bytes);
    if let Ok((kind, raw)) = block::read(bytes) {
        let _ = inspect(kind, &raw);
    }
    // Past CRC and compression: the contents themselves.
    if let Some((kind, raw)) = bytes.split_first()
        && let Some(kind) = Kind::from_byte(kind % 4)
    {
        let _ = inspect(kind, raw);
        let mut out = Vec::new();
        block::append(&mut out, kind, raw);
        assert_eq!(block::read(&out), Ok((kind, raw.to_vec())));
    }
});
