//! Session passwords: what proves that a client owns the session it reconnects to.
//!
//! They follow from the id alone (ZooKeeperServer.generatePasswd), so that every server of an
//! ensemble, of either make, knows them. That makes them no secret; ids are.

use subtle::ConstantTimeEq;

use crate::protocol::PASSWORD_BYTES;

const SECRET: i64 = 0xB341_5C00;
const RANDOM_MULTIPLIER: u64 = 0x5_DEEC_E66D;
const RANDOM_MASK: u64 = (1 << 48) - 1;

/// The password of a session: the first bytes of java.util.Random seeded with id xor the constant.
pub fn password(session_id: i64) -> [u8; PASSWORD_BYTES] {
    let mut state = ((session_id ^ SECRET) as u64 ^ RANDOM_MULTIPLIER) & RANDOM_MASK;
    let mut bytes = [0; PASSWORD_BYTES];
    for word in bytes.chunks_mut(4) {
        state = state.wrapping_mul(RANDOM_MULTIPLIER).wrapping_add(0xb) & RANDOM_MASK;
        let random = (state >> 16) as u32;
        word.copy_from_slice(&random.to_le_bytes()[..word.len()]);
    }
    bytes
}

/// Whether `given` is the session's password. Session 0 has none.
pub fn check_password(session_id: i64, given: &[u8]) -> bool {
    session_id != 0 && bool::from(password(session_id).ct_eq(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn passwords_are_those_of_real_servers() {
        for (id, want) in [
            (0x0100_0000_0000_0001, "054cc74a37327db215e702e20c73f005"),
            (0x0100_7145_9e84_08e9, "d308f262c1b20b3b9e9a8c6e781d17a1"),
        ] {
            assert_eq!(hex(&password(id)), want);
        }
    }

    #[test]
    fn only_the_whole_password_passes() {
        let right = password(7);
        assert!(check_password(7, &right));
        assert!(!check_password(8, &right));
        assert!(!check_password(7, &right[..15]));
        assert!(!check_password(7, &[]));
        let mut longer = right.to_vec();
        longer.push(0);
        assert!(!check_password(7, &longer));
        let mut wrong = right;
        wrong[15] ^= 1;
        assert!(!check_password(7, &wrong));
        assert!(!check_password(0, &password(0)));
    }
}
