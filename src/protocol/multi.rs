//! multi and multiRead: several operations in one request, several results in one answer.

use crate::jute::{DecodeError, Decoder, Encode, Field};
use crate::protocol::request::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, GetChildrenRequest,
    GetDataRequest, SetDataRequest,
};
use crate::protocol::{CreateMode, OpCode, Stat};

crate::record! {
    /// What stands before each operation and each result, and at the end of them.
    pub struct MultiHeader {
        /// The operation's opcode, −1 for an error and for the end.
        pub kind: i32,
        /// Whether this is the end.
        pub done: bool,
        /// In results the error, 0 if none; −1 in requests and at the end.
        pub err: i32,
    }
}

impl MultiHeader {
    /// The header at the end.
    pub const END: MultiHeader = MultiHeader { kind: -1, done: true, err: -1 };

    /// The header of an operation in a request.
    pub fn of(op: OpCode) -> MultiHeader {
        MultiHeader { kind: op.code(), done: false, err: -1 }
    }
}

/// Ends a multi's operations or results.
pub fn end_multi(out: &mut Vec<u8>) {
    MultiHeader::END.encode(out);
}

/// One operation of a multi or multiRead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiOp<'a> {
    /// A create. `op` is what it is carried out as: create, create2 or createContainer. That can differ
    /// from the header, as in ZooKeeper's `Op`: the container mode makes any of them a createContainer,
    /// and a createTTL whose flags are no TTL mode becomes a create.
    Create {
        /// The opcode.
        op: OpCode,
        /// The request.
        request: CreateRequest<'a>,
    },
    /// A createTTL.
    CreateTtl(CreateTtlRequest<'a>),
    /// A delete.
    Delete(DeleteRequest<'a>),
    /// A setData.
    SetData(SetDataRequest<'a>),
    /// A check.
    Check(CheckVersionRequest<'a>),
    /// A getChildren, in a multiRead; its watch flag is not looked at.
    GetChildren(GetChildrenRequest<'a>),
    /// A getData, in a multiRead; its watch flag is not looked at.
    GetData(GetDataRequest<'a>),
}

impl<'a> MultiOp<'a> {
    /// The opcode that it is carried out as.
    pub fn op(&self) -> OpCode {
        match self {
            MultiOp::Create { op, .. } => *op,
            MultiOp::CreateTtl(_) => OpCode::CreateTtl,
            MultiOp::Delete(_) => OpCode::Delete,
            MultiOp::SetData(_) => OpCode::SetData,
            MultiOp::Check(_) => OpCode::Check,
            MultiOp::GetChildren(_) => OpCode::GetChildren,
            MultiOp::GetData(_) => OpCode::GetData,
        }
    }

    /// The znode that it is about.
    pub fn path(&self) -> &'a str {
        match self {
            MultiOp::Create { request, .. } => request.path,
            MultiOp::CreateTtl(request) => request.path,
            MultiOp::Delete(request) => request.path,
            MultiOp::SetData(request) => request.path,
            MultiOp::Check(request) => request.path,
            MultiOp::GetChildren(request) => request.path,
            MultiOp::GetData(request) => request.path,
        }
    }

    /// Whether it reads; reads and writes never stand in one request.
    pub fn is_read(&self) -> bool {
        matches!(self, MultiOp::GetChildren(_) | MultiOp::GetData(_))
    }

    /// Appends its header and body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        MultiHeader::of(self.op()).encode(out);
        match self {
            MultiOp::Create { request, .. } => request.encode(out),
            MultiOp::CreateTtl(request) => request.encode(out),
            MultiOp::Delete(request) => request.encode(out),
            MultiOp::SetData(request) => request.encode(out),
            MultiOp::Check(request) => request.encode(out),
            MultiOp::GetChildren(request) => request.encode(out),
            MultiOp::GetData(request) => request.encode(out),
        }
    }

    fn decode(kind: i32, offset: usize, input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(match OpCode::from_i32(kind) {
            Some(op @ (OpCode::Create | OpCode::Create2 | OpCode::CreateContainer)) => {
                decode_create(op, input)?
            }
            Some(OpCode::CreateTtl) => decode_create_ttl(input)?,
            Some(OpCode::Delete) => MultiOp::Delete(Field::get(input)?),
            Some(OpCode::SetData) => MultiOp::SetData(Field::get(input)?),
            Some(OpCode::Check) => MultiOp::Check(Field::get(input)?),
            Some(OpCode::GetChildren) => MultiOp::GetChildren(Field::get(input)?),
            Some(OpCode::GetData) => MultiOp::GetData(Field::get(input)?),
            _ => {
                return Err(DecodeError::Invalid {
                    what: "operation of a multi",
                    offset,
                    value: kind.into(),
                });
            }
        })
    }
}

fn decode_create<'a>(op: OpCode, input: &mut Decoder<'a>) -> Result<MultiOp<'a>, DecodeError> {
    let request = CreateRequest::decode(input)?;
    match CreateMode::from_flags(request.flags) {
        // A TTL mode in a record that has no TTL is as wrong as an unknown mode.
        Some(mode) if !mode.is_ttl() => {
            let op = if mode.is_container() { OpCode::CreateContainer } else { op };
            Ok(MultiOp::Create { op, request })
        }
        _ => Err(DecodeError::Invalid {
            what: "create mode in a multi",
            offset: input.offset(),
            value: request.flags.into(),
        }),
    }
}

fn decode_create_ttl<'a>(input: &mut Decoder<'a>) -> Result<MultiOp<'a>, DecodeError> {
    let request = CreateTtlRequest::decode(input)?;
    let mode = CreateMode::from_flags(request.flags).unwrap_or(CreateMode::Persistent);
    if mode.is_ttl() {
        return Ok(MultiOp::CreateTtl(request));
    }
    let op = if mode.is_container() { OpCode::CreateContainer } else { OpCode::Create };
    let CreateTtlRequest { path, data, acl, flags, .. } = request;
    Ok(MultiOp::Create { op, request: CreateRequest { path, data, acl, flags } })
}

/// The operations of a multi, in order. Ends after the end header, or after the first error: operations
/// that are none, and a mixture of reads and writes, are errors.
#[derive(Debug, Clone)]
pub struct MultiOps<'a> {
    input: Decoder<'a>,
    reads: Option<bool>,
    done: bool,
}

impl<'a> MultiOps<'a> {
    /// The operations in a request's body.
    pub fn new(body: &'a [u8]) -> Self {
        MultiOps { input: Decoder::new(body), reads: None, done: false }
    }

    /// The operations behind `offset` bytes of a request's body, reads before which there were none but reads.
    pub fn reads_from(body: &'a [u8], offset: usize) -> Self {
        let mut input = Decoder::new(body);
        input.skip(offset);
        MultiOps { input, reads: (offset > 0).then_some(true), done: false }
    }

    /// How many bytes of the body were read.
    pub fn offset(&self) -> usize {
        self.input.offset()
    }

    fn read(&mut self) -> Result<Option<(MultiHeader, MultiOp<'a>)>, DecodeError> {
        let offset = self.input.offset();
        let header = MultiHeader::decode(&mut self.input)?;
        if header.done {
            return Ok(None);
        }
        let op = MultiOp::decode(header.kind, offset, &mut self.input)?;
        if *self.reads.get_or_insert(op.is_read()) != op.is_read() {
            let what = "operation among reads or writes";
            return Err(DecodeError::Invalid { what, offset, value: header.kind.into() });
        }
        Ok(Some((header, op)))
    }
}

impl<'a> Iterator for MultiOps<'a> {
    type Item = Result<(MultiHeader, MultiOp<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// One result of a multi or multiRead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiResult<'a> {
    /// Of a create: the path.
    Create {
        /// The znode made.
        path: &'a str,
    },
    /// Of a create2, createContainer or createTTL: the path and the Stat.
    Create2 {
        /// The znode made.
        path: &'a str,
        /// Its Stat.
        stat: Stat,
    },
    /// Of a delete.
    Delete,
    /// Of a setData.
    SetData(Stat),
    /// Of a check.
    Check,
    /// Of a getChildren.
    GetChildren(Vec<&'a str>),
    /// Of a getData.
    GetData {
        /// The data.
        data: Option<&'a [u8]>,
        /// The Stat.
        stat: Stat,
    },
    /// An error, as a number.
    Error(i32),
}

impl<'a> MultiResult<'a> {
    /// Appends its header and body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, err) = match self {
            MultiResult::Create { .. } => (OpCode::Create, 0),
            MultiResult::Create2 { .. } => (OpCode::Create2, 0),
            MultiResult::Delete => (OpCode::Delete, 0),
            MultiResult::SetData(_) => (OpCode::SetData, 0),
            MultiResult::Check => (OpCode::Check, 0),
            MultiResult::GetChildren(_) => (OpCode::GetChildren, 0),
            MultiResult::GetData { .. } => (OpCode::GetData, 0),
            MultiResult::Error(err) => (OpCode::Error, *err),
        };
        MultiHeader { kind: kind.code(), done: false, err }.encode(out);
        match self {
            MultiResult::Create { path } => out.put_str(path),
            MultiResult::Create2 { path, stat } => {
                out.put_str(path);
                stat.encode(out);
            }
            MultiResult::Delete | MultiResult::Check => {}
            MultiResult::SetData(stat) => stat.encode(out),
            MultiResult::GetChildren(children) => children.put(out),
            MultiResult::GetData { data, stat } => {
                out.put_buffer(*data);
                stat.encode(out);
            }
            MultiResult::Error(err) => out.put_i32(*err),
        }
    }

    fn decode(kind: i32, offset: usize, input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(match OpCode::from_i32(kind) {
            Some(OpCode::Create) => MultiResult::Create { path: input.str()? },
            Some(OpCode::Create2) => {
                MultiResult::Create2 { path: input.str()?, stat: Stat::decode(input)? }
            }
            Some(OpCode::Delete) => MultiResult::Delete,
            Some(OpCode::SetData) => MultiResult::SetData(Stat::decode(input)?),
            Some(OpCode::Check) => MultiResult::Check,
            Some(OpCode::GetChildren) => MultiResult::GetChildren(Field::get(input)?),
            Some(OpCode::GetData) => {
                MultiResult::GetData { data: input.buffer()?, stat: Stat::decode(input)? }
            }
            Some(OpCode::Error) => MultiResult::Error(input.i32()?),
            _ => {
                let what = "result of a multi";
                return Err(DecodeError::Invalid { what, offset, value: kind.into() });
            }
        })
    }
}

/// The results of a multi, in order. Ends after the end header, or after the first error.
#[derive(Debug, Clone)]
pub struct MultiResults<'a> {
    input: Decoder<'a>,
    done: bool,
}

impl<'a> MultiResults<'a> {
    /// The results in a reply's body.
    pub fn new(body: &'a [u8]) -> Self {
        MultiResults { input: Decoder::new(body), done: false }
    }

    fn read(&mut self) -> Result<Option<MultiResult<'a>>, DecodeError> {
        let offset = self.input.offset();
        let header = MultiHeader::decode(&mut self.input)?;
        if header.done {
            return Ok(None);
        }
        MultiResult::decode(header.kind, offset, &mut self.input).map(Some)
    }
}

impl<'a> Iterator for MultiResults<'a> {
    type Item = Result<MultiResult<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delete(path: &str) -> MultiOp<'_> {
        MultiOp::Delete(DeleteRequest { path, version: -1 })
    }

    fn create(op: OpCode, flags: i32) -> MultiOp<'static> {
        let request = CreateRequest { path: "/a", data: None, acl: vec![], flags };
        MultiOp::Create { op, request }
    }

    fn bytes(ops: &[MultiOp<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        ops.iter().for_each(|op| op.encode(&mut out));
        end_multi(&mut out);
        out
    }

    fn ops(body: &[u8]) -> Result<Vec<MultiOp<'_>>, DecodeError> {
        MultiOps::new(body).map(|item| item.map(|(_, op)| op)).collect()
    }

    #[test]
    fn reads_and_writes_never_stand_together() {
        let read = MultiOp::GetData(GetDataRequest { path: "/a", watch: false });
        let body = bytes(&[delete("/a"), read.clone()]);
        assert!(matches!(ops(&body), Err(DecodeError::Invalid { value: 4, .. })));
        assert_eq!(ops(&bytes(&[read.clone(), read.clone()])), Ok(vec![read.clone(), read]));
    }

    #[test]
    fn a_missing_end_or_an_unknown_operation_is_an_error_and_the_last_item() {
        let body = bytes(&[delete("/a")]);
        let cut = &body[..body.len() - 1];
        let mut items = MultiOps::new(cut);
        assert!(items.next().is_some_and(|item| item.is_ok()));
        assert!(items.next().is_some_and(|item| item.is_err()));
        assert!(items.next().is_none());
        let mut body = Vec::new();
        MultiHeader::of(OpCode::SetAcl).encode(&mut body);
        assert!(matches!(ops(&body), Err(DecodeError::Invalid { value: 7, offset: 0, .. })));
        assert_eq!(ops(&bytes(&[])), Ok(vec![]));
    }

    #[test]
    fn creates_are_carried_out_as_their_mode_says() {
        let body = bytes(&[create(OpCode::Create, 4), create(OpCode::Create2, 2)]);
        let expected = vec![create(OpCode::CreateContainer, 4), create(OpCode::Create2, 2)];
        assert_eq!(ops(&body), Ok(expected));
        assert!(ops(&bytes(&[create(OpCode::Create, 9)])).is_err());
        assert!(ops(&bytes(&[create(OpCode::Create, 5)])).is_err());
        let ttl = |flags| {
            let acl = vec![];
            MultiOp::CreateTtl(CreateTtlRequest { path: "/a", data: None, acl, flags, ttl_ms: 5 })
        };
        assert_eq!(ops(&bytes(&[ttl(5)])), Ok(vec![ttl(5)]));
        assert_eq!(ops(&bytes(&[ttl(0)])), Ok(vec![create(OpCode::Create, 0)]));
        assert_eq!(ops(&bytes(&[ttl(9)])), Ok(vec![create(OpCode::Create, 9)]));
        assert_eq!(ops(&bytes(&[ttl(4)])), Ok(vec![create(OpCode::CreateContainer, 4)]));
    }
}
