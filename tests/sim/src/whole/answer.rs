//! Whether one answer is what the state of its zxid makes of its request (R5), and a change's answer that of its own
//! transaction.

use ringkeeper::jute::{DecodeError, Decoder};
use ringkeeper::protocol::{Create2Response, ErrorCode, MultiResult, StatResponse, Zxid};

use super::model::{History, Record, parent};
use super::request::Change;

/// What an answer shows.
#[derive(Copy, Clone)]
pub struct Sees<'a> {
    /// All that was logged.
    pub history: &'a History,
    /// The answer's zxid.
    pub zxid: Zxid,
    /// Its error.
    pub error: i32,
}

impl<'a> Sees<'a> {
    /// The answer is no success, or should be none: the error must be this, and there must be cause.
    pub fn fails(&self, is_there: bool, error: ErrorCode) -> Option<&'static str> {
        match (is_there, self.error == error.code()) {
            (false, true) => None,
            (false, false) => Some("it is not there"),
            (true, _) => Some("it is there"),
        }
    }

    /// The answer's transaction, if it is that of this request.
    pub fn record(&self, session: i64, xid: i32) -> Option<&'a Record> {
        let record = self.history.record(self.zxid)?;
        (record.header.client_id == session && record.header.cxid == xid).then_some(record)
    }

    /// Whether a result of a multiRead is a znode's data.
    pub fn is_data<E>(&self, path: &str, result: Option<Result<MultiResult<'_>, E>>) -> bool {
        let node = self.history.node(path, self.zxid);
        match (result, node) {
            (Some(Ok(MultiResult::GetData { data, stat })), Some(node)) => {
                *data.unwrap_or_default() == *node.data && stat == node.stat
            }
            (Some(Ok(MultiResult::Error(err))), None) => err == ErrorCode::NoNode.code(),
            _ => false,
        }
    }

    /// Whether it is a znode's children.
    pub fn are_children<E>(&self, path: &str, result: Option<Result<MultiResult<'_>, E>>) -> bool {
        let node = self.history.node(path, self.zxid);
        match (result, node) {
            (Some(Ok(MultiResult::GetChildren(mut children))), Some(_)) => {
                children.sort_unstable();
                children == self.history.children(path, self.zxid)
            }
            (Some(Ok(MultiResult::Error(err))), None) => err == ErrorCode::NoNode.code(),
            _ => false,
        }
    }

    /// The answer to a change that stood alone.
    pub fn changed(
        &self,
        session: i64,
        xid: i32,
        change: &Change,
        d: &mut Decoder<'_>,
    ) -> Result<Option<&'static str>, DecodeError> {
        let Some(record) = self.record(session, xid) else {
            return Ok(Some("its zxid is another request's"));
        };
        if record.error != self.error {
            return Ok(Some("it is logged with another error"));
        }
        if let Some(expected) = self.expected_error(change)
            && expected.code() != self.error
        {
            return Ok(Some("that is not what the state before it makes of it"));
        }
        if self.error != 0 {
            return Ok(None);
        }
        Ok(match change {
            Change::Create { path, data, mode } => {
                let answer = Create2Response::decode(d)?;
                let named = match mode.is_sequential() {
                    true => answer.path.len() == path.len() + 10 && answer.path.starts_with(path),
                    false => answer.path == path,
                };
                let node = self.history.node(answer.path, self.zxid);
                let made = node.is_some_and(|node| {
                    node.stat == answer.stat
                        && node.stat.czxid == self.zxid
                        && *node.data == **data
                        && (node.stat.ephemeral_owner == session) == mode.is_ephemeral()
                });
                (!named || !made).then_some("it is not what was created")
            }
            Change::SetData { path, data, .. } => {
                let answer = StatResponse::decode(d)?;
                let node = self.history.node(path, self.zxid);
                let set = node.is_some_and(|n| n.stat == answer.stat && *n.data == **data);
                (!set).then_some("it is not what was set")
            }
            Change::Delete { path, .. } => {
                self.history.node(path, self.zxid).map(|_| "it is there still")
            }
            Change::Check { .. } => Some("a check stands in a multi only"),
        })
    }

    /// What the state before a change makes of it; `None` if that takes more to say.
    fn expected_error(&self, change: &Change) -> Option<ErrorCode> {
        let before = self.zxid - 1;
        let node = |path| self.history.node(path, before);
        Some(match change {
            Change::Create { path, mode, .. } => match (node(parent(path)), node(path)) {
                (None, _) => ErrorCode::NoNode,
                (_, Some(_)) if !mode.is_sequential() => ErrorCode::NodeExists,
                (Some(parent), _) if parent.stat.ephemeral_owner != 0 => {
                    ErrorCode::NoChildrenForEphemerals
                }
                _ => ErrorCode::Ok,
            },
            Change::SetData { path, version, .. } => match node(path) {
                None => ErrorCode::NoNode,
                Some(n) if *version != -1 && *version != n.stat.version => ErrorCode::BadVersion,
                Some(_) => ErrorCode::Ok,
            },
            Change::Delete { path, version } => match node(path) {
                None => ErrorCode::NoNode,
                Some(n) if *version != -1 && *version != n.stat.version => ErrorCode::BadVersion,
                Some(n) if n.stat.num_children > 0 => ErrorCode::NotEmpty,
                Some(_) => ErrorCode::Ok,
            },
            Change::Check { .. } => return None,
        })
    }

    /// The answer to a multi: all of it was done, or none.
    pub fn multi(
        &self,
        session: i64,
        xid: i32,
        changes: &[Change],
        results: &[MultiResult<'_>],
    ) -> Option<&'static str> {
        let Some(record) = self.record(session, xid) else {
            return Some("its zxid is another request's");
        };
        if results.len() != changes.len() || self.error != 0 {
            return Some("it has not as many results as parts");
        }
        let failed = results.iter().find_map(|result| match result {
            MultiResult::Error(err) if *err != 0 => Some(*err),
            _ => None,
        });
        if failed.unwrap_or(0) != record.error {
            return Some("it is logged with another outcome");
        }
        if failed.is_some() {
            let all = results.iter().all(|result| matches!(result, MultiResult::Error(_)));
            return (!all).then_some("a part of it was done");
        }
        let made = changes.iter().zip(results).all(|(change, result)| match (change, result) {
            (Change::Create { path, .. }, MultiResult::Create2 { path: made, stat }) => {
                made.starts_with(path) && stat.czxid == self.zxid
            }
            (Change::SetData { data, .. }, MultiResult::SetData(stat)) => {
                stat.mzxid == self.zxid && stat.data_length == data.len() as i32
            }
            (Change::Delete { .. }, MultiResult::Delete)
            | (Change::Check { .. }, MultiResult::Check) => true,
            _ => false,
        });
        (!made).then_some("a result is not that of its part")
    }
}
