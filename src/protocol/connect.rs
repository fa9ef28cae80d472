//! The handshake: the first frame of a connection in either direction.

use crate::jute::{DecodeError, Decoder, Encode};

/// The length of a session's password.
pub const PASSWORD_BYTES: usize = 16;

/// What a client opens a connection with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// Always 0.
    pub protocol_version: i32,
    /// The newest zxid that the client has seen; a server that is behind it refuses.
    pub last_zxid_seen: i64,
    /// The session time-out that the client asks for.
    pub timeout_ms: i32,
    /// The session to go on with, 0 for a new one.
    pub session_id: i64,
    /// That session's password.
    pub password: Option<&'a [u8]>,
    /// Whether a read-only server will do. Clients before 3.4 do not send it: `None`, and then the
    /// response carries no such byte either.
    pub read_only: Option<bool>,
}

impl<'a> ConnectRequest<'a> {
    /// Reads one; the trailing read-only byte may be missing.
    pub fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(ConnectRequest {
            protocol_version: input.i32()?,
            last_zxid_seen: input.i64()?,
            timeout_ms: input.i32()?,
            session_id: input.i64()?,
            password: input.buffer()?,
            read_only: if input.is_empty() { None } else { Some(input.bool()?) },
        })
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.protocol_version);
        out.put_i64(self.last_zxid_seen);
        out.put_i32(self.timeout_ms);
        out.put_i64(self.session_id);
        out.put_buffer(self.password);
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}

/// What the server answers it with. A session that is no more: id 0, time-out 0, then the connection closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectResponse<'a> {
    /// Always 0.
    pub protocol_version: i32,
    /// The session time-out that was agreed, 0 if the session has expired.
    pub timeout_ms: i32,
    /// The session, 0 if it has expired.
    pub session_id: i64,
    /// Its password.
    pub password: Option<&'a [u8]>,
    /// Whether the server is read-only; `None` towards a client that did not ask.
    pub read_only: Option<bool>,
}

impl<'a> ConnectResponse<'a> {
    /// Reads one; the trailing read-only byte may be missing.
    pub fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(ConnectResponse {
            protocol_version: input.i32()?,
            timeout_ms: input.i32()?,
            session_id: input.i64()?,
            password: input.buffer()?,
            read_only: if input.is_empty() { None } else { Some(input.bool()?) },
        })
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.protocol_version);
        out.put_i32(self.timeout_ms);
        out.put_i64(self.session_id);
        out.put_buffer(self.password);
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_before_3_4_sends_no_read_only_byte() {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 7,
            timeout_ms: 30_000,
            session_id: 0,
            password: Some(&[0; PASSWORD_BYTES]),
            read_only: None,
        };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        assert_eq!(bytes.len(), 44);
        assert_eq!(ConnectRequest::decode(&mut Decoder::new(&bytes)), Ok(request.clone()));
        bytes.push(1);
        let with = ConnectRequest::decode(&mut Decoder::new(&bytes)).unwrap();
        assert_eq!(with, ConnectRequest { read_only: Some(true), ..request });
    }
}
