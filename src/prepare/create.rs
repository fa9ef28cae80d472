//! create, create2, createContainer, createTTL.

use std::fmt::Write;

use super::Output;
use super::acl::fixed_up;
use super::body::{CreateBody, CreateTtlBody};
use super::check::{check_path, parent_of};
use super::context::Context;
use crate::jute::Encode;
use crate::protocol::{
    Acl, AclRef, CreateMode, EphemeralType, ErrorCode, OpCode, perms, ttl_owner,
};
use crate::txn::{Txn, TxnType};

/// create, create2 and createContainer. The opcode decides what is made, the flags only whether it is
/// ephemeral or has a number.
pub(super) fn create(
    context: &mut Context<'_>,
    op: OpCode,
    request: CreateBody<'_>,
    out: &mut Output,
) -> Result<TxnType, ErrorCode> {
    let CreateBody { path, data, acl, flags } = request;
    create_any(context, op, CreateTtlBody { path, data, acl, flags, ttl_ms: NO_TTL }, out)
}

/// createTTL.
pub(super) fn create_ttl(
    context: &mut Context<'_>,
    request: CreateTtlBody<'_>,
    out: &mut Output,
) -> Result<TxnType, ErrorCode> {
    create_any(context, OpCode::CreateTtl, request, out)
}

/// What a request without a time to live has for one.
const NO_TTL: i64 = -1;

fn create_any(
    context: &mut Context<'_>,
    op: OpCode,
    request: CreateTtlBody<'_>,
    out: &mut Output,
) -> Result<TxnType, ErrorCode> {
    let mode = CreateMode::from_flags(request.flags).ok_or(ErrorCode::BadArguments)?;
    check_mode(context, op, mode, request.ttl_ms)?;
    context.check_session()?;
    let path = request.path.ok_or(ErrorCode::MarshallingError)?;
    let parent_path = parent_of(path)?;
    let fixed = fixed_up(context, &request.acl)?;
    let parent = context.node(parent_path)?;
    let cversion = parent.cversion_persisted();
    let ephemeral_parent = parent.kind() == EphemeralType::Normal;
    context.check_acl(parent.acl(), perms::CREATE)?;

    // The name is put together in a buffer that lives beside the output's others.
    let mut numbered = std::mem::take(&mut out.path);
    let path = numbered_path(path, mode, cversion, &mut numbered);
    let made = check_place(context, path, ephemeral_parent).and_then(|()| {
        context.check_quota(path, request.data.map_or(0, <[u8]>::len) as i64, 1, out)?;
        let acl = fixed
            .as_ref()
            .map_or(request.acl.entries, |fixed| fixed.iter().map(Acl::as_ref).collect());
        let data = request.data;
        let node = NewNode { path, data, acl, mode, ttl_ms: request.ttl_ms };
        make(context, op, node, cversion.wrapping_add(1), out)
    });
    numbered.clear();
    out.path = numbered;
    made
}

/// Whether the mode is one for this opcode and this time to live.
fn check_mode(
    context: &Context<'_>,
    op: OpCode,
    mode: CreateMode,
    ttl_ms: i64,
) -> Result<(), ErrorCode> {
    if mode.is_ttl() && !context.config.extended_types_enabled {
        return Err(ErrorCode::Unimplemented);
    }
    let fits = if mode.is_ttl() { ttl_owner(ttl_ms).is_some() } else { ttl_ms < 0 };
    // ZooKeeper lets a createTTL of a mode without time to live pass, and then dies of the transaction.
    let fits = fits && (op != OpCode::CreateTtl || mode.is_ttl());
    if fits { Ok(()) } else { Err(ErrorCode::BadArguments) }
}

/// The path with its number, if the mode asks for one: the parent's persisted cversion, which counts
/// creations alone.
fn numbered_path<'p>(
    path: &'p str,
    mode: CreateMode,
    cversion: i32,
    buffer: &'p mut String,
) -> &'p str {
    if !mode.is_sequential() {
        return path;
    }
    buffer.clear();
    buffer.push_str(path);
    // Writing into a String cannot fail.
    let _ = write!(buffer, "{cversion:010}");
    buffer
}

/// Whether the path is one, is free, and may have a znode. In this order: NodeExists comes before
/// NoChildrenForEphemerals.
fn check_place(context: &Context<'_>, path: &str, ephemeral_parent: bool) -> Result<(), ErrorCode> {
    check_path(path)?;
    if context.node(path).is_ok() {
        return Err(ErrorCode::NodeExists);
    }
    if ephemeral_parent { Err(ErrorCode::NoChildrenForEphemerals) } else { Ok(()) }
}

/// A znode that may be made.
struct NewNode<'a> {
    path: &'a str,
    data: Option<&'a [u8]>,
    acl: Vec<AclRef<'a>>,
    mode: CreateMode,
    ttl_ms: i64,
}

fn make(
    context: &mut Context<'_>,
    op: OpCode,
    node: NewNode<'_>,
    parent_cversion: i32,
    out: &mut Output,
) -> Result<TxnType, ErrorCode> {
    let NewNode { path, data, acl, mode, ttl_ms } = node;
    let (kind, txn) = match op {
        OpCode::CreateContainer => {
            (TxnType::CreateContainer, Txn::CreateContainer { path, data, acl, parent_cversion })
        }
        OpCode::CreateTtl => {
            (TxnType::CreateTtl, Txn::CreateTtl { path, data, acl, parent_cversion, ttl_ms })
        }
        _ => {
            let kind = if op == OpCode::Create2 { TxnType::Create2 } else { TxnType::Create };
            let ephemeral = mode.is_ephemeral();
            (kind, Txn::Create { path, data, acl, ephemeral, parent_cversion })
        }
    };
    let made = context.commit(kind, &txn, out)?;
    // Only create's own answer has no Stat.
    let answer = if kind == TxnType::Create { OpCode::Create } else { OpCode::Create2 };
    context.begin_result(answer, out);
    out.reply.put_str(path);
    if answer == OpCode::Create2 {
        Context::put_stat_of(&made, out);
    }
    Ok(kind)
}
