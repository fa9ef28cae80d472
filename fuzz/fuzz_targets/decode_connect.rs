//! The first frame of a connection: refused, or written and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringkeeper::jute::Decoder;
use ringkeeper::protocol::{ConnectRequest, ConnectResponse};

fuzz_target!(|bytes: &[u8]| {
    let mut out = Vec::new();
    if let Ok(request) = ConnectRequest::decode(&mut Decoder::new(bytes)) {
        request.encode(&mut out);
        assert_eq!(ConnectRequest::decode(&mut Decoder::new(&out)), Ok(request));
    }
    out.clear();
    if let Ok(response) = ConnectResponse::decode(&mut Decoder::new(bytes)) {
        response.encode(&mut out);
        assert_eq!(ConnectResponse::decode(&mut Decoder::new(&out)), Ok(response));
    }
});
