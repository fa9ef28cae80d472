//! The packets of SASL on either port (`QuorumAuthPacket`): after the hello, or before the first quorum packet, as often
//! as the mechanism wants.
//!
//! ```text
//! long magic · int status · buffer token
//! ```

use super::error::WireError;
use super::measure::{Measure, Part};
use crate::jute::{Decoder, Encode};

/// What every packet begins with; no hello, frame or quorum packet does.
pub const MAGIC: i64 = 0x5f24_3501_3501_edcc;

/// The longest token taken.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// How far the authentication has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum AuthStatus {
    /// More tokens are to be exchanged.
    InProgress = 0,
    /// The peer is who it says.
    Success = 1,
    /// It is not.
    Error = -1,
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthPacket {
    /// How far it has come.
    pub status: AuthStatus,
    /// The mechanism's token.
    pub token: Option<Vec<u8>>,
}

impl AuthPacket {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(MAGIC);
        out.put_i32(self.status as i32);
        out.put_buffer(self.token.as_deref());
    }

    /// The packet that `input` begins with and its length, or `None` as long as it is not whole. Small: looking again
    /// from the start when more has come costs little.
    pub fn decode(input: &[u8]) -> Result<Option<(AuthPacket, usize)>, WireError> {
        if let Some(magic) = input.first_chunk().map(|bytes| i64::from_be_bytes(*bytes))
            && magic != MAGIC
        {
            return Err(WireError::Invalid { what: "magic", at: 0, value: magic });
        }
        let token = Part::Buffer { what: "SASL token", bytes_max: TOKEN_BYTES_MAX };
        let Some(bytes) = Measure::default().end(&[Part::Fixed(12), token], input, 0)? else {
            return Ok(None);
        };
        let mut fields = Decoder::new(input.get(8..bytes).unwrap_or_default());
        let content = |error| WireError::Content { what: "SASL packet", at: 0, error };
        let status = match fields.i32().map_err(content)? {
            0 => AuthStatus::InProgress,
            1 => AuthStatus::Success,
            -1 => AuthStatus::Error,
            value => {
                return Err(WireError::Invalid { what: "SASL status", at: 0, value: value.into() });
            }
        };
        let token = fields.buffer().map_err(content)?.map(<[u8]>::to_vec);
        Ok(Some((AuthPacket { status, token }, bytes)))
    }
}

/// Whether a connection's first bytes are a packet of SASL; `None` if there are too few to tell.
pub fn begins_with_auth(input: &[u8]) -> Option<bool> {
    let magic = MAGIC.to_be_bytes();
    let have = input.len().min(8);
    match input[..have] == magic[..have] {
        true if have < 8 => None,
        same => Some(same),
    }
}
