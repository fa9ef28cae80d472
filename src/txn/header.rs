//! What stands before and behind a transaction's body.

use crate::jute::{DecodeError, Decoder, Encode};
use crate::protocol::OpCode;

/// The digest algorithm of ZooKeeper 3.6 and later (`DigestCalculator`).
pub const DIGEST_VERSION: i32 = 2;

macro_rules! txn_types {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// The type in a transaction's header; the numbers are those of the opcodes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum TxnType { $($(#[$meta])* $name = OpCode::$name as i32,)* }

        impl TxnType {
            /// Every type.
            pub const ALL: &'static [TxnType] = &[$(TxnType::$name,)*];

            /// The type that a number stands for.
            pub fn from_i32(code: i32) -> Option<TxnType> {
                match OpCode::from_i32(code)? {
                    $(OpCode::$name => Some(TxnType::$name),)*
                    _ => None,
                }
            }
        }
    };
}

txn_types! {
    /// A znode was made by create.
    Create,
    /// A znode was made by create2; the body is create's.
    Create2,
    /// A container was made.
    CreateContainer,
    /// A znode with a time to live was made.
    CreateTtl,
    /// A znode was deleted.
    Delete,
    /// A container or TTL znode was reaped; the body is delete's.
    DeleteContainer,
    /// Data was replaced.
    SetData,
    /// An ACL was replaced.
    SetAcl,
    /// A version was compared; only inside a multi.
    Check,
    /// Several as one.
    Multi,
    /// The ensemble's members were changed; the body is setData's.
    Reconfig,
    /// A session was opened.
    CreateSession,
    /// A session was closed, and its ephemerals with it.
    CloseSession,
    /// A request failed; takes a zxid and changes nothing.
    Error,
}

impl TxnType {
    /// The number in the header.
    pub fn code(self) -> i32 {
        self as i32
    }
}

/// The head of every transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnHeader {
    /// The session that asked for it.
    pub client_id: i64,
    /// That session's xid.
    pub cxid: i32,
    /// Its number.
    pub zxid: i64,
    /// When the leader made it, in milliseconds since 1970.
    pub time_ms: i64,
    /// What it is.
    pub kind: TxnType,
}

impl TxnHeader {
    /// The bytes of an encoded header.
    pub const BYTES: usize = 32;

    /// Reads one; an unknown type is an error.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (client_id, cxid, zxid, time_ms) =
            (input.i64()?, input.i32()?, input.i64()?, input.i64()?);
        let offset = input.offset();
        let code = input.i32()?;
        let kind = TxnType::from_i32(code).ok_or(DecodeError::Invalid {
            what: "transaction type",
            offset,
            value: code.into(),
        })?;
        Ok(TxnHeader { client_id, cxid, zxid, time_ms, kind })
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.client_id);
        out.put_i32(self.cxid);
        out.put_i64(self.zxid);
        out.put_i64(self.time_ms);
        out.put_i32(self.kind.code());
    }
}

crate::record! {
    /// The digest of the whole tree once the transaction is applied; may be absent.
    pub struct TxnDigest {
        /// The algorithm, see [`DIGEST_VERSION`].
        pub version: i32,
        /// The sum over all znodes.
        pub tree_digest: i64,
    }
}

impl TxnDigest {
    /// The bytes of an encoded digest.
    pub const BYTES: usize = 12;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_numbered_as_opcodes() {
        for kind in TxnType::ALL {
            assert_eq!(TxnType::from_i32(kind.code()), Some(*kind));
        }
        assert_eq!(TxnType::from_i32(OpCode::GetData.code()), None);
        assert_eq!(TxnType::Error.code(), -1);
        assert_eq!(TxnType::ALL.len(), 14);
    }
}
