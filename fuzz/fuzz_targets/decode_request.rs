//! A request frame: its body is read as what its header says, and as everything else as well.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringkeeper::jute::{Decoder, Field};
use ringkeeper::protocol::*;

/// Refused, or written and read again as the same.
fn settles<'a, T: Field<'a> + PartialEq + std::fmt::Debug>(body: &'a [u8], out: &'a mut Vec<u8>) {
    if let Ok(record) = T::get(&mut Decoder::new(body)) {
        record.put(out);
        assert_eq!(T::get(&mut Decoder::new(out)), Ok(record));
    }
}

macro_rules! settle_all {
    ($body:expr, $($kind:ty),* $(,)?) => { $( settles::<$kind>($body, &mut Vec::new()); )* };
}

fuzz_target!(|frame: &[u8]| {
    let mut input = Decoder::new(frame);
    let Ok(header) = RequestHeader::decode(&mut input) else { return };
    let _ = OpCode::from_i32(header.op_raw);
    let body = input.remaining();
    settle_all!(
        body,
        CreateRequest<'_>,
        CreateTtlRequest<'_>,
        DeleteRequest<'_>,
        SetDataRequest<'_>,
        SetAclRequest<'_>,
        CheckVersionRequest<'_>,
        ExistsRequest<'_>,
        GetAclRequest<'_>,
        SyncRequest<'_>,
        GetEphemeralsRequest<'_>,
        AddWatchRequest<'_>,
        CheckWatchesRequest<'_>,
        SetWatches<'_>,
        SetWatches2<'_>,
        AuthPacket<'_>,
        SaslRequest<'_>,
        ReconfigRequest<'_>,
    );
    let mut out = Vec::new();
    let mut ops = Vec::new();
    for item in MultiOps::new(body) {
        let Ok((_, op)) = item else { return };
        // A createTTL whose flags are no mode is carried out as a create, which as such would be refused.
        if matches!(&op, MultiOp::Create { request, .. }
            if CreateMode::from_flags(request.flags).is_none())
        {
            return;
        }
        op.encode(&mut out);
        let _ = path::validate(op.path());
        ops.push(op);
    }
    end_multi(&mut out);
    let again: Vec<_> = MultiOps::new(&out).map(|item| item.map(|(_, op)| op)).collect();
    assert_eq!(again, ops.into_iter().map(Ok).collect::<Vec<_>>());
});
