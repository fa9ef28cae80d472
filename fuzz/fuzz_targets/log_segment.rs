//! Recovery of two segments of any content. Frames that have a magic get the CRC they need, so that
//! the fuzzer comes past it. What recovers can be opened, written and recovered again.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ringkeeper::log::testing::SimDir;
use ringkeeper::log::{BatchBuilder, LogDir, LogOptions, Writer, frame, recover_in, segment};

const SEGMENT: usize = 4 * frame::SECTOR;

/// Gives every frame that has a magic and a sound length the right CRC.
fn mend(bytes: &mut [u8]) {
    for sector in (0..bytes.len()).step_by(frame::SECTOR) {
        let Ok(header) = frame::peek(&bytes[sector..]) else { continue };
        let end = sector + header.frame_bytes as usize;
        if let Some(bytes) = bytes.get_mut(sector..end) {
            frame::seal(bytes, &header);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let dir = SimDir::new();
    // Sparse: the input gives the front and the back of each sector, where headers and bodies are.
    let mut all = vec![0; 2 * SEGMENT];
    for (sector, piece) in all.chunks_mut(frame::SECTOR).zip(bytes.chunks(320)) {
        let front = piece.len().min(80);
        sector[..front].copy_from_slice(&piece[..front]);
        let back = &piece[front..];
        let at = sector.len() - back.len();
        sector[at..].copy_from_slice(back);
    }
    mend(&mut all);
    for (index, content) in all.chunks(SEGMENT).enumerate() {
        let name = segment::name(index as u64 + 1);
        dir.create_zeroed(&name, SEGMENT as u64).expect("there is room");
        dir.damage(&name, |bytes| bytes.copy_from_slice(content));
    }
    dir.sync().expect("syncs");
    let Ok((recovered, tail)) = recover_in(Arc::new(dir.clone()), 0, &mut |_| Ok(())) else {
        return;
    };
    let options =
        LogOptions { segment_bytes: SEGMENT as u64, spares: 1, log_id: 1, ..LogOptions::default() };
    let Ok((mut writer, maker)) = Writer::open(tail, options) else { return };
    while maker.turn() {}
    let Some(zxid) = recovered.last_zxid.checked_add(1) else { return };
    let mut batch = BatchBuilder::new();
    batch.push(zxid, b"after");
    for write in writer.frame(&batch, zxid, zxid).expect("there is room") {
        let (token, buf) = dir.submit(write);
        let written = dir.complete(token);
        writer.completed(token, written, buf).expect("the disk is good");
    }
    // Counts forged to their very ends may be refused now; what is accepted must be right.
    if let Ok((again, _)) = recover_in(Arc::new(dir), recovered.last_zxid, &mut |_| Ok(())) {
        assert_eq!((again.last_zxid, again.transactions), (zxid, 1));
    }
});
