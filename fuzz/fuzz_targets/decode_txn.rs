//! A transaction as a peer or a log hands it over: refused, or written and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringkeeper::txn::{decode_record, encode_record};

fuzz_target!(|bytes: &[u8]| {
    let Ok((header, txn, digest)) = decode_record(bytes) else { return };
    let mut out = Vec::new();
    encode_record(&header, &txn, digest, &mut out);
    let again = decode_record(&out);
    // A creation of before 3.4 is written in today's form.
    assert_eq!(again, Ok((header, txn, digest)));
});
