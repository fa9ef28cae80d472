//! multi: several operations as one transaction, all or none.

use super::context::Context;
use super::{Failure, Output, create, data, delete};
use crate::jute::Encode;
use crate::protocol::{ErrorCode, MultiOp, MultiOps, MultiResult, end_multi};
use crate::txn::{Txn, TxnType, put_sub_txn};

/// Carries out the operations one after the other; each sees what those before it did. If one fails,
/// what was done is undone: the results before it are 0, those behind it RuntimeInconsistency, and the
/// transaction is a multi still, with errors from the failed operation on, which makes it do nothing.
pub(super) fn multi(
    context: &mut Context<'_>,
    body: &[u8],
    out: &mut Output,
) -> Result<TxnType, Failure> {
    let ops = decode_ops(body)?;
    let mut quotas = context.quotas_before(&ops).into_iter();
    let count = ops.len();
    let mark = context.tree.mark();
    context.in_multi = true;
    context.header(TxnType::Multi).encode(&mut out.txn);
    out.txn.put_count(count);
    let failed = ops.into_iter().enumerate().find_map(|(index, op)| {
        context.quota_before = quotas.next().flatten();
        carry_out(context, op, out).err().map(|error| (index, error))
    });
    let mut header_error = ErrorCode::Ok;
    if let Some((index, error)) = failed {
        context.tree.undo_to(mark);
        if error == ErrorCode::MarshallingError {
            // Not an answer to one operation: ZooKeeper stumbled over the whole request.
            return Err(error.into());
        }
        out.events.clear();
        out.reply.clear();
        put_failure(count, index, error, out);
        if error == ErrorCode::SessionMoved {
            header_error = error;
        }
    }
    end_multi(&mut out.reply);
    if header_error == ErrorCode::Ok {
        return Ok(TxnType::Multi);
    }
    out.reply.clear();
    Err(Failure::Whole(TxnType::Multi, header_error))
}

/// The operations, all of them writes. A multi that is none fails as a whole, but unlike other requests
/// it takes a zxid.
fn decode_ops(body: &[u8]) -> Result<Vec<MultiOp<'_>>, Failure> {
    MultiOps::new(body)
        .map(|item| match item {
            Ok((_, op)) if !op.is_read() => Ok(op),
            _ => Err(ErrorCode::MarshallingError.into()),
        })
        .collect()
}

fn carry_out(
    context: &mut Context<'_>,
    op: MultiOp<'_>,
    out: &mut Output,
) -> Result<TxnType, ErrorCode> {
    match op {
        MultiOp::Create { op, request } => create::create(context, op, request.into(), out),
        MultiOp::CreateTtl(request) => create::create_ttl(context, request.into(), out),
        MultiOp::Delete(request) => delete::delete(context, &request, out),
        MultiOp::SetData(request) => data::set_data(context, &request, out),
        MultiOp::Check(request) => data::check(context, &request, out),
        MultiOp::GetChildren(_) | MultiOp::GetData(_) => Err(ErrorCode::MarshallingError),
    }
}

/// The sub-transactions from the failed one on, and the results of all.
fn put_failure(ops: usize, failed: usize, error: ErrorCode, out: &mut Output) {
    for index in 0..ops {
        let error = match index.cmp(&failed) {
            std::cmp::Ordering::Less => ErrorCode::Ok,
            std::cmp::Ordering::Equal => error,
            std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency,
        };
        MultiResult::Error(error.code()).encode(&mut out.reply);
        if index >= failed {
            put_sub_txn(&mut out.txn, TxnType::Error, &Txn::Error { err: error.code() });
        }
    }
}
