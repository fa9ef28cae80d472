//! The bodies of transactions.

use super::TxnType;
use crate::jute::{DecodeError, Decoder, Encode, Field};
use crate::protocol::AclRef;

/// What a transaction does. Everything borrows from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Txn<'a> {
    /// Makes a znode (create and create2).
    Create {
        /// The znode.
        path: &'a str,
        /// Its data.
        data: Option<&'a [u8]>,
        /// Its ACL.
        acl: Vec<AclRef<'a>>,
        /// Whether the header's session owns it.
        ephemeral: bool,
        /// The parent's persisted cversion afterwards, −1 for one more than it was (logs of before 3.4).
        parent_cversion: i32,
    },
    /// Makes a container.
    CreateContainer {
        /// The znode.
        path: &'a str,
        /// Its data.
        data: Option<&'a [u8]>,
        /// Its ACL.
        acl: Vec<AclRef<'a>>,
        /// The parent's persisted cversion afterwards.
        parent_cversion: i32,
    },
    /// Makes a znode with a time to live.
    CreateTtl {
        /// The znode.
        path: &'a str,
        /// Its data.
        data: Option<&'a [u8]>,
        /// Its ACL.
        acl: Vec<AclRef<'a>>,
        /// The parent's persisted cversion afterwards.
        parent_cversion: i32,
        /// Its time to live.
        ttl_ms: i64,
    },
    /// Deletes a znode.
    Delete {
        /// The znode.
        path: &'a str,
    },
    /// Reaps a container or TTL znode.
    DeleteContainer {
        /// The znode.
        path: &'a str,
    },
    /// Replaces data.
    SetData {
        /// The znode.
        path: &'a str,
        /// The new data.
        data: Option<&'a [u8]>,
        /// The version afterwards.
        version: i32,
    },
    /// Changes the members of the ensemble: replaces the data of the configuration's znode.
    Reconfig {
        /// The configuration's znode.
        path: &'a str,
        /// The new configuration.
        data: Option<&'a [u8]>,
        /// The version afterwards.
        version: i32,
    },
    /// Replaces an ACL.
    SetAcl {
        /// The znode.
        path: &'a str,
        /// The new ACL.
        acl: Vec<AclRef<'a>>,
        /// The ACL version afterwards.
        aversion: i32,
    },
    /// Does nothing; stands for a version that was compared in a multi.
    Check {
        /// The znode.
        path: &'a str,
        /// The version it was found to have, plus one (what `PrepRequestProcessor` writes).
        version: i32,
    },
    /// Opens the header's session.
    CreateSession {
        /// Its time-out.
        timeout_ms: i32,
    },
    /// Closes the header's session.
    CloseSession {
        /// The ephemerals that go with it; `None` in logs of before 3.6, where it is those it has.
        paths: Option<Vec<&'a str>>,
    },
    /// Does nothing; stands for a request that failed.
    Error {
        /// Why, see [`ErrorCode`](crate::protocol::ErrorCode).
        err: i32,
    },
    /// Several as one. If one of them is an error, none does anything.
    Multi(Vec<(TxnType, Txn<'a>)>),
}

impl<'a> Txn<'a> {
    /// Reads the body of a transaction of type `kind`.
    pub fn decode(kind: TxnType, input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        match kind {
            TxnType::Multi => decode_multi(input),
            TxnType::CloseSession => {
                let paths = Field::get(input)?;
                Ok(Txn::CloseSession { paths: Some(paths) })
            }
            _ => Txn::decode_single(kind, input),
        }
    }

    fn decode_single(kind: TxnType, input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(match kind {
            TxnType::Create => decode_create(input)?,
            TxnType::Create2 => Txn::Create {
                path: input.str()?,
                data: input.buffer()?,
                acl: Field::get(input)?,
                ephemeral: input.bool()?,
                parent_cversion: input.i32()?,
            },
            TxnType::CreateContainer => Txn::CreateContainer {
                path: input.str()?,
                data: input.buffer()?,
                acl: Field::get(input)?,
                parent_cversion: input.i32()?,
            },
            TxnType::CreateTtl => Txn::CreateTtl {
                path: input.str()?,
                data: input.buffer()?,
                acl: Field::get(input)?,
                parent_cversion: input.i32()?,
                ttl_ms: input.i64()?,
            },
            TxnType::Delete => Txn::Delete { path: input.str()? },
            TxnType::DeleteContainer => Txn::DeleteContainer { path: input.str()? },
            TxnType::SetData => {
                Txn::SetData { path: input.str()?, data: input.buffer()?, version: input.i32()? }
            }
            TxnType::Reconfig => {
                Txn::Reconfig { path: input.str()?, data: input.buffer()?, version: input.i32()? }
            }
            TxnType::SetAcl => {
                Txn::SetAcl { path: input.str()?, acl: Field::get(input)?, aversion: input.i32()? }
            }
            TxnType::Check => Txn::Check { path: input.str()?, version: input.i32()? },
            TxnType::CreateSession => Txn::CreateSession { timeout_ms: input.i32()? },
            TxnType::Error => Txn::Error { err: input.i32()? },
            TxnType::CloseSession | TxnType::Multi => {
                let (what, offset) = ("transaction inside a multi", input.offset());
                return Err(DecodeError::Invalid { what, offset, value: kind.code().into() });
            }
        })
    }

    /// Appends its bytes, without header and digest.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Txn::Create { path, data, acl, ephemeral, parent_cversion } => {
                put_node(out, path, *data, acl);
                out.put_bool(*ephemeral);
                out.put_i32(*parent_cversion);
            }
            Txn::CreateContainer { path, data, acl, parent_cversion } => {
                put_node(out, path, *data, acl);
                out.put_i32(*parent_cversion);
            }
            Txn::CreateTtl { path, data, acl, parent_cversion, ttl_ms } => {
                put_node(out, path, *data, acl);
                out.put_i32(*parent_cversion);
                out.put_i64(*ttl_ms);
            }
            Txn::Delete { path } | Txn::DeleteContainer { path } => out.put_str(path),
            Txn::SetData { path, data, version } | Txn::Reconfig { path, data, version } => {
                out.put_str(path);
                out.put_buffer(*data);
                out.put_i32(*version);
            }
            Txn::SetAcl { path, acl, aversion } => {
                out.put_str(path);
                acl.put(out);
                out.put_i32(*aversion);
            }
            Txn::Check { path, version } => {
                out.put_str(path);
                out.put_i32(*version);
            }
            Txn::CreateSession { timeout_ms } => out.put_i32(*timeout_ms),
            Txn::CloseSession { paths } => {
                if let Some(paths) = paths {
                    paths.put(out);
                }
            }
            Txn::Error { err } => out.put_i32(*err),
            Txn::Multi(txns) => {
                out.put_count(txns.len());
                txns.iter().for_each(|(kind, txn)| put_sub_txn(out, *kind, txn));
            }
        }
    }

    /// The type that its header usually has; of a znode's creation, create rather than create2.
    pub fn kind(&self) -> TxnType {
        match self {
            Txn::Create { .. } => TxnType::Create,
            Txn::CreateContainer { .. } => TxnType::CreateContainer,
            Txn::CreateTtl { .. } => TxnType::CreateTtl,
            Txn::Delete { .. } => TxnType::Delete,
            Txn::DeleteContainer { .. } => TxnType::DeleteContainer,
            Txn::SetData { .. } => TxnType::SetData,
            Txn::Reconfig { .. } => TxnType::Reconfig,
            Txn::SetAcl { .. } => TxnType::SetAcl,
            Txn::Check { .. } => TxnType::Check,
            Txn::CreateSession { .. } => TxnType::CreateSession,
            Txn::CloseSession { .. } => TxnType::CloseSession,
            Txn::Error { .. } => TxnType::Error,
            Txn::Multi(_) => TxnType::Multi,
        }
    }
}

fn put_node(out: &mut Vec<u8>, path: &str, data: Option<&[u8]>, acl: &Vec<AclRef<'_>>) {
    out.put_str(path);
    out.put_buffer(data);
    acl.put(out);
}

/// The type create: a record that ends before the parent's cversion is one of before 3.4.
fn decode_create<'a>(input: &mut Decoder<'a>) -> Result<Txn<'a>, DecodeError> {
    Ok(Txn::Create {
        path: input.str()?,
        data: input.buffer()?,
        acl: Field::get(input)?,
        ephemeral: input.bool()?,
        parent_cversion: if input.remaining().len() < 4 { -1 } else { input.i32()? },
    })
}

/// The bytes of a sub-transaction's type and of its body's length.
const SUB_BYTES_MIN: usize = 8;

fn decode_multi<'a>(input: &mut Decoder<'a>) -> Result<Txn<'a>, DecodeError> {
    let count = input.count(SUB_BYTES_MIN)?.unwrap_or(0);
    let mut txns = Vec::with_capacity(count);
    for _ in 0..count {
        let offset = input.offset();
        let code = input.i32()?;
        let kind = TxnType::from_i32(code).ok_or(DecodeError::Invalid {
            what: "transaction type inside a multi",
            offset,
            value: code.into(),
        })?;
        let mut body = Decoder::new(input.buffer()?.unwrap_or_default());
        txns.push((kind, Txn::decode_single(kind, &mut body)?));
    }
    Ok(Txn::Multi(txns))
}

/// Appends one sub-transaction of a multi: type, length, body.
pub(crate) fn put_sub_txn(out: &mut Vec<u8>, kind: TxnType, txn: &Txn<'_>) {
    out.put_i32(kind.code());
    let mark = crate::protocol::begin_frame(out);
    txn.encode(out);
    crate::protocol::end_frame(out, mark);
}
