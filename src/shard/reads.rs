//! The answers to reads, each from the tree of exactly one zxid (R5), encoded straight into the output.
//!
//! The order of checks, and what a missing node answers, are `FinalRequestProcessor`'s.

use crate::auth;
use crate::jute::{DecodeError, Decoder, Encode};
use crate::metrics::{Counter, Summary};
use crate::planted::{self, Planted};
use crate::protocol::{
    ErrorCode, ExistsRequest, GetAclRequest, GetAllChildrenNumberRequest, GetChildren2Request,
    GetChildrenRequest, GetDataRequest, MultiHeader, MultiOp, MultiOps, OpCode, ReplyHeader, Zxid,
    begin_frame, end_frame, end_multi, perms, put_acl, put_children, put_stat,
};
use crate::reactor::Io;
use crate::tree::{AclId, Node};
use crate::watch::WatchKind;

use super::State;
use super::conn::{Conn, op_name};
use super::long::{ITEM_BYTES, LONG_ITEMS};

/// The length before a frame.
const FRAME_PREFIX_BYTES: usize = 4;

/// Why a read has no result.
pub(super) enum Refusal {
    /// As ZooKeeper reports it to the client.
    Code(ErrorCode),
    /// The request's bytes are no request; reported as a marshalling error.
    Malformed(DecodeError),
    /// It would take long: to be answered in slices.
    Long,
    /// A multiRead of writes; reported as a marshalling error, with the results of none as its body.
    NotReads,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal::Code(code)
    }
}

impl From<DecodeError> for Refusal {
    fn from(e: DecodeError) -> Refusal {
        Refusal::Malformed(e)
    }
}

impl State {
    /// Answers a read at the shard's present zxid.
    pub(super) fn answer<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        op: OpCode,
        cxid: i32,
        body: &[u8],
        since_ns: u64,
    ) {
        let now_ns = io.now_ns();
        let zxid = self.zxid;
        let mut caught_up = Ok(());
        if matches!(op, OpCode::SetWatches | OpCode::SetWatches2) {
            caught_up = self.set_watches(io, conn, op, body);
        }
        let Some(out) = io.out(conn.id) else { return };
        let start = out.len();
        let frame = begin_frame(out);
        ReplyHeader { xid: cxid, zxid, err: 0 }.encode(out);
        let result = caught_up.and_then(|()| self.result(conn, op, body, out));
        if matches!(result, Err(Refusal::Long)) {
            out.truncate(start);
            return self.put_off(io, conn, op, cxid, body, since_ns);
        }
        if let Err(refusal) = result {
            let not_reads = matches!(refusal, Refusal::NotReads);
            let err = self.refusal_code(conn, op, refusal);
            out.truncate(start + FRAME_PREFIX_BYTES);
            ReplyHeader { xid: cxid, zxid, err: err.code() }.encode(out);
            if not_reads {
                end_multi(out);
            }
        }
        end_frame(out, frame);
        let bytes = out.len() - start - FRAME_PREFIX_BYTES;
        self.metrics.record(Summary::ReadLatency, now_ns.saturating_sub(since_ns));
        self.sent(bytes);
        self.answered(conn, op_name(op), cxid, zxid, since_ns, now_ns);
    }

    /// Counts a reply of so many bytes.
    pub(super) fn sent(&self, bytes: usize) {
        self.metrics.record_extremes(Summary::ResponseSize, bytes as u64);
        self.metrics.add(Counter::ResponseBytes, bytes as u64);
    }

    pub(super) fn answered(
        &mut self,
        conn: &mut Conn,
        op: &'static str,
        cxid: i32,
        zxid: Zxid,
        since_ns: u64,
        now_ns: u64,
    ) {
        self.metrics.count(Counter::PacketsSent);
        conn.answered(op, cxid, zxid, since_ns, now_ns);
    }

    pub(super) fn refusal_code(&mut self, conn: &Conn, op: OpCode, refusal: Refusal) -> ErrorCode {
        match refusal {
            Refusal::Code(code) => code,
            Refusal::Long | Refusal::NotReads => ErrorCode::MarshallingError,
            Refusal::Malformed(e) => {
                self.complain(
                    Counter::RefusedBadRequest,
                    format_args!(
                        "{} sent a malformed {} request ({e}); answered MarshallingError",
                        conn.peer,
                        op.name()
                    ),
                );
                ErrorCode::MarshallingError
            }
        }
    }

    /// Appends the result of a read. What it appended before an error is taken back by the caller.
    fn result(
        &mut self,
        conn: &mut Conn,
        op: OpCode,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let mut d = Decoder::new(body);
        match op {
            OpCode::GetData => {
                let r = GetDataRequest::decode(&mut d)?;
                self.get_data(conn, r.path, r.watch, out)
            }
            OpCode::Exists => {
                let r = ExistsRequest::decode(&mut d)?;
                self.exists(conn, r.path, r.watch, out)
            }
            OpCode::GetChildren => {
                let r = GetChildrenRequest::decode(&mut d)?;
                self.get_children(conn, r.path, r.watch, false, out)
            }
            OpCode::GetChildren2 => {
                let r = GetChildren2Request::decode(&mut d)?;
                self.get_children(conn, r.path, r.watch, true, out)
            }
            OpCode::GetAcl => self.get_acl(conn, GetAclRequest::decode(&mut d)?.path, out),
            OpCode::GetAllChildrenNumber => {
                let r = GetAllChildrenNumberRequest::decode(&mut d)?;
                self.count_descendants(conn, r.path, out)
            }
            OpCode::MultiRead => self.multi_read(conn, body, out),
            OpCode::WhoAmI => {
                out.put_count(conn.identities.len());
                for (scheme, user) in auth::who_am_i(&self.links.auth, &conn.identities) {
                    out.put_str(scheme);
                    out.put_str(user);
                }
                Ok(())
            }
            OpCode::SetWatches | OpCode::SetWatches2 => Ok(()),
            OpCode::AddWatch => self.add_watch(conn, &mut d, out),
            OpCode::CheckWatches => self.check_watches(conn, &mut d),
            OpCode::RemoveWatches => self.remove_watches(conn, &mut d),
            _ => Err(ErrorCode::Unimplemented.into()),
        }
    }

    pub(super) fn node(&self, path: &str) -> Option<Node<'_>> {
        self.node_at(path, self.zxid)
    }

    fn node_at(&self, path: &str, zxid: Zxid) -> Option<Node<'_>> {
        // ZooKeeper keeps the root under the empty path as well.
        self.reader.get(if path.is_empty() { "/" } else { path }, zxid)
    }

    /// The node at `zxid`, which is the shard's own or a pinned one, if the connection may read it.
    pub(super) fn readable(
        &self,
        conn: &Conn,
        path: &str,
        zxid: Zxid,
    ) -> Result<Node<'_>, ErrorCode> {
        let node = self.node_at(path, zxid).ok_or(ErrorCode::NoNode)?;
        self.check(conn, &node, perms::READ)?;
        Ok(node)
    }

    fn check(&self, conn: &Conn, node: &Node<'_>, perm: i32) -> Result<(), ErrorCode> {
        let acl = node.acl();
        let config = &self.links.auth;
        if acl == AclId::OPEN
            || auth::allows(self.reader.acl_list(acl), perm, &conn.identities, config)
        {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }

    fn get_data(
        &mut self,
        conn: &mut Conn,
        path: &str,
        watch: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let node = self.readable(conn, path, self.zxid)?;
        out.put_buffer(node.data());
        put_stat(out, &node.stat());
        if watch {
            self.watch(conn, path, WatchKind::Data)?;
        }
        Ok(())
    }

    fn exists(
        &mut self,
        conn: &mut Conn,
        path: &str,
        watch: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        if path.contains('\0') {
            return Err(ErrorCode::BadArguments.into());
        }
        let found = match self.node(path) {
            Some(node) => {
                self.check(conn, &node, perms::READ)?;
                put_stat(out, &node.stat());
                true
            }
            None => false,
        };
        if watch {
            let kind = if found { WatchKind::Data } else { WatchKind::Exist };
            self.watch(conn, path, kind)?;
        }
        if found { Ok(()) } else { Err(ErrorCode::NoNode.into()) }
    }

    fn get_children(
        &mut self,
        conn: &mut Conn,
        path: &str,
        watch: bool,
        with_stat: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let node = self.readable(conn, path, self.zxid)?;
        if conn.pending.is_empty() && node.num_children() as usize > LONG_ITEMS {
            return Err(Refusal::Long);
        }
        put_children(out, node.children());
        if with_stat {
            put_stat(out, &node.stat());
        }
        if watch {
            self.watch(conn, path, WatchKind::Child)?;
        }
        Ok(())
    }

    /// The digests of others are masked for those who may not administer the node.
    fn get_acl(&mut self, conn: &mut Conn, path: &str, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let node = self.node(path).ok_or(ErrorCode::NoNode)?;
        let list = self.reader.acl_list(node.acl());
        let visible = auth::visible_acl(list, &conn.identities, &self.links.auth);
        put_acl(out, &visible.ok_or(ErrorCode::NoAuth)?);
        put_stat(out, &node.stat());
        Ok(())
    }

    fn count_descendants(
        &mut self,
        conn: &mut Conn,
        path: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let node = self.readable(conn, path, self.zxid)?;
        // ZooKeeper counts paths that begin with `path/`, so under the empty path the root counts too.
        let itself = if path.is_empty() { 0 } else { 1 };
        let most = if conn.pending.is_empty() { LONG_ITEMS } else { usize::MAX };
        let count = node.subtree().take(most).count();
        if count == most {
            return Err(Refusal::Long);
        }
        out.put_i32((count as i32).saturating_sub(itself));
        Ok(())
    }

    /// All results are of one zxid; a read that fails fails alone. Watches cannot be set by it. A small request can
    /// ask for any amount of data by naming a large node many times; an answer at which its own connection would be
    /// closed is not made.
    fn multi_read(
        &mut self,
        conn: &mut Conn,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let (first, mut items) = (out.len(), 0);
        let mut ops = MultiOps::new(body);
        while let Some(op) = ops.next() {
            let (_, op) = op?;
            let start = out.len();
            MultiHeader { kind: op.op().code(), done: false, err: 0 }.encode(out);
            let result = match op {
                MultiOp::GetData(r) => self.get_data(conn, r.path, false, out),
                MultiOp::GetChildren(r) => self.get_children(conn, r.path, false, false, out),
                // Reads and writes never stand together, so this is the first of nothing but writes.
                _ => {
                    ops.try_for_each(|op| op.map(|_| ()))?;
                    return Err(Refusal::NotReads);
                }
            };
            match result {
                Ok(()) => {}
                Err(Refusal::Code(code)) => {
                    out.truncate(start);
                    let kind = OpCode::Error.code();
                    MultiHeader { kind, done: false, err: code.code() }.encode(out);
                    out.put_i32(code.code());
                }
                Err(e) => return Err(e),
            }
            if out.len() - first > self.limits.output_close_bytes {
                return Err(self.too_long(conn, OpCode::MultiRead));
            }
            items += 1 + (out.len() - start) / ITEM_BYTES;
            if items > LONG_ITEMS && conn.pending.is_empty() {
                return Err(Refusal::Long);
            }
        }
        end_multi(out);
        Ok(())
    }

    /// An answer at which its own connection would be closed is not made.
    pub(super) fn too_long(&mut self, conn: &Conn, op: OpCode) -> Refusal {
        let (max, op) = (self.limits.output_close_bytes, op.name());
        let why = format_args!(
            "{} sent a {op} whose answer is longer than {max} bytes; answered THROTTLEDOP",
            conn.peer
        );
        self.complain(Counter::ThrottledOps, why);
        ErrorCode::ThrottledOp.into()
    }

    /// Sets a watch together with the read that asks for it (R4).
    pub(super) fn watch(
        &mut self,
        conn: &Conn,
        path: &str,
        kind: WatchKind,
    ) -> Result<(), ErrorCode> {
        if kind == WatchKind::Child && planted::is(Planted::WatchNotSet) {
            return Ok(());
        }
        match self.watches.add(conn.id.index, path, kind) {
            Ok(_) => {
                self.publish_watch_count();
                Ok(())
            }
            Err(full) => {
                let why = format_args!("{}: {full}", conn.peer);
                self.complain(Counter::RefusedTooManyWatches, why);
                Err(ErrorCode::ThrottledOp)
            }
        }
    }
}
