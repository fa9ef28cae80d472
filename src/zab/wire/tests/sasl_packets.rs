//! The packets of SASL.

use super::*;

#[test]
fn sasl_packets() {
    let packet = sasl::AuthPacket { status: sasl::AuthStatus::Success, token: Some(vec![1, 2]) };
    let mut out = Vec::new();
    packet.encode(&mut out);
    assert_eq!(out, unhex("5f2435013501edcc00000001000000020102"));
    assert_eq!(sasl::AuthPacket::decode(&out), Ok(Some((packet, 18))));
    for end in 0..out.len() {
        assert_eq!(sasl::AuthPacket::decode(&out[..end]), Ok(None), "{end}");
    }
    assert_eq!(sasl::begins_with_auth(&out[..7]), None);
    assert_eq!(sasl::begins_with_auth(&out), Some(true));
    assert_eq!(sasl::begins_with_auth(&unhex("0000000b")), Some(false));
    out[11] = 9;
    assert!(matches!(sasl::AuthPacket::decode(&out), Err(WireError::Invalid { value: 9, .. })));
    assert!(sasl::AuthPacket::decode(&unhex(HELLO)).is_err());
}
