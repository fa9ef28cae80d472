//! Whole transactions: header, body, digest.

use thiserror::Error;

use super::{Txn, TxnDigest, TxnHeader, TxnType};
use crate::jute::{DecodeError, Decoder};

/// Why bytes are no transaction.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TxnError {
    /// The header is none; the transaction has no zxid to name.
    #[error("transaction header: {0}")]
    Header(DecodeError),
    /// The body is none.
    #[error("transaction 0x{zxid:x} of type {kind:?}: {error}")]
    Body {
        /// The transaction.
        zxid: i64,
        /// What it says it is.
        kind: TxnType,
        /// What is wrong.
        error: DecodeError,
    },
    /// What follows the body is no digest.
    #[error(
        "transaction 0x{zxid:x} of type {kind:?} has {bytes} bytes behind its body, where 0 or 12 may stand"
    )]
    Trailing {
        /// The transaction.
        zxid: i64,
        /// What it says it is.
        kind: TxnType,
        /// How many bytes stand there.
        bytes: usize,
    },
}

/// Reads a transaction from exactly its bytes (`SerializeUtils.deserializeTxn`). Older forms are
/// understood: create without the parent's cversion, closeSession without a body, no digest.
pub fn decode_record(bytes: &[u8]) -> Result<(TxnHeader, Txn<'_>, Option<TxnDigest>), TxnError> {
    let mut input = Decoder::new(bytes);
    let header = TxnHeader::decode(&mut input).map_err(TxnError::Header)?;
    if header.kind == TxnType::CloseSession {
        return decode_close_session(header, input);
    }
    let txn = Txn::decode(header.kind, &mut input).map_err(|error| body_error(&header, error))?;
    let digest = decode_digest(&header, &mut input)?;
    Ok((header, txn, digest))
}

fn body_error(header: &TxnHeader, error: DecodeError) -> TxnError {
    TxnError::Body { zxid: header.zxid, kind: header.kind, error }
}

fn decode_digest(
    header: &TxnHeader,
    input: &mut Decoder<'_>,
) -> Result<Option<TxnDigest>, TxnError> {
    match input.remaining().len() {
        0 => Ok(None),
        TxnDigest::BYTES => {
            TxnDigest::decode(input).map(Some).map_err(|error| body_error(header, error))
        }
        bytes => Err(TxnError::Trailing { zxid: header.zxid, kind: header.kind, bytes }),
    }
}

/// A closeSession may have no body, and then a digest stands where a body would: the reading that
/// uses up all bytes is the right one.
fn decode_close_session<'a>(
    header: TxnHeader,
    input: Decoder<'a>,
) -> Result<(TxnHeader, Txn<'a>, Option<TxnDigest>), TxnError> {
    let mut with_body = input.clone();
    let read = Txn::decode(header.kind, &mut with_body)
        .map_err(|error| body_error(&header, error))
        .and_then(|txn| Ok((header, txn, decode_digest(&header, &mut with_body)?)));
    match read {
        Ok(record) => Ok(record),
        Err(error) => {
            let mut without_body = input;
            match decode_digest(&header, &mut without_body) {
                Ok(digest) => Ok((header, Txn::CloseSession { paths: None }, digest)),
                Err(_) => Err(error),
            }
        }
    }
}

/// Appends a whole transaction.
pub fn encode_record(
    header: &TxnHeader,
    txn: &Txn<'_>,
    digest: Option<TxnDigest>,
    out: &mut Vec<u8>,
) {
    header.encode(out);
    txn.encode(out);
    if let Some(digest) = digest {
        digest.encode(out);
    }
}
