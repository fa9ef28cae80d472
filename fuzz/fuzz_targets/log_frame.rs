//! Frames and their bodies: any bytes are read or refused, and what is read is within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringkeeper::log::{Batch, Start, frame};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = frame::read(bytes) {
        assert!(frame.header.frame_bytes as usize <= bytes.len());
        assert_eq!(frame.body.len(), frame.header.body_bytes as usize);
    }
    // Past the CRC: the bodies themselves.
    if let Ok(batch) = Batch::read(bytes) {
        assert!(!batch.is_empty());
        let total: usize = batch.iter().map(|(_, record)| record.len()).sum();
        assert!(total <= bytes.len());
        assert_eq!(batch.iter().count(), batch.len());
    }
    let _ = Start::read(bytes);
});
