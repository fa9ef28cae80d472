//! The committed history, and the state at every zxid of it.
//!
//! Made of the transactions' bytes as the server hands them to its log, by rules of its own: the server's
//! tree, its prepare and its apply have no part in it. What was logged and lost in a crash is taken back.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use ringkeeper::protocol::{EventType, Stat, Zxid};
use ringkeeper::txn::{self, Txn, TxnHeader, TxnType};

use super::{Violation, broken};
use crate::store::hash_of;

/// A znode at a zxid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its data.
    pub data: Rc<[u8]>,
    /// Its Stat.
    pub stat: Stat,
}

/// One transaction.
#[derive(Debug)]
pub struct Record {
    /// Its head.
    pub header: TxnHeader,
    /// The error, of one that failed.
    pub error: i32,
    /// What watchers are owed, in order.
    pub events: Vec<(EventType, Rc<str>)>,
    /// A hash of its bytes.
    hash: u64,
    changed: Vec<Rc<str>>,
}

/// All transactions from zxid 1 on, and every znode's states. See the module's documentation.
#[derive(Default)]
pub struct History {
    records: Vec<Record>,
    nodes: BTreeMap<Rc<str>, Vec<(Zxid, Option<Node>)>>,
    /// Live and dead sessions: the zxid of the birth, and of the death.
    sessions: BTreeMap<i64, (Zxid, Option<Zxid>)>,
    /// The last request of each session that became a transaction.
    cxids: BTreeMap<i64, Vec<(Zxid, i32)>>,
}

/// The path of a path's parent.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

impl History {
    /// An empty server: the root alone, of which nothing is known but that it is there.
    pub fn new() -> History {
        let mut history = History::default();
        let root = Node { data: Rc::from([]), stat: Stat::default() };
        history.nodes.insert(Rc::from("/"), vec![(0, Some(root))]);
        history
    }

    /// The newest transaction.
    pub fn last(&self) -> Zxid {
        self.records.len() as Zxid
    }

    /// The transaction of a zxid.
    pub fn record(&self, zxid: Zxid) -> Option<&Record> {
        self.records.get(usize::try_from(zxid).ok()?.checked_sub(1)?)
    }

    /// A znode as it was at a zxid.
    pub fn node(&self, path: &str, zxid: Zxid) -> Option<&Node> {
        let versions = self.nodes.get(path)?;
        let at = versions.partition_point(|(of, _)| *of <= zxid);
        versions[..at].last()?.1.as_ref()
    }

    /// The names of a znode's children at a zxid, sorted.
    pub fn children(&self, path: &str, zxid: Zxid) -> Vec<&str> {
        let prefix = format!("{path}/");
        let below =
            self.nodes.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        below
            .map_while(|(path, _)| path.strip_prefix(&prefix).map(|name| (name, path)))
            .filter(|(name, path)| !name.contains('/') && self.node(path, zxid).is_some())
            .map(|(name, _)| name)
            .collect()
    }

    /// The ephemerals of a session at a zxid, sorted.
    pub fn ephemerals(&self, session: i64, zxid: Zxid) -> Vec<&str> {
        let owned = |path: &&Rc<str>| {
            self.node(path, zxid).is_some_and(|node| node.stat.ephemeral_owner == session)
        };
        self.nodes.keys().filter(owned).map(|path| &**path).collect()
    }

    /// When a session was born and when it died.
    pub fn session(&self, session: i64) -> Option<(Zxid, Option<Zxid>)> {
        self.sessions.get(&session).copied()
    }

    /// Whether the transaction of this zxid had these bytes.
    pub fn is_same(&self, zxid: Zxid, bytes: &[u8]) -> bool {
        self.record(zxid).is_some_and(|record| record.hash == hash_of(bytes))
    }

    /// Takes the next transaction as it was logged.
    pub fn take(&mut self, zxid: Zxid, bytes: &[u8]) -> Result<(), Violation> {
        if zxid != self.last() + 1 {
            return broken("history", format!("{zxid} is logged after {}", self.last()));
        }
        let (header, body, _) = match txn::decode_record(bytes) {
            Ok(decoded) => decoded,
            Err(e) => return broken("history", format!("{zxid} is no transaction: {e}")),
        };
        if header.zxid != zxid {
            return broken("history", format!("{zxid} is logged as {}", header.zxid));
        }
        let mut change = Change { header, events: Vec::new(), changed: Vec::new(), error: 0 };
        self.apply(&mut change, &body)?;
        self.keep_order(&header)?;
        let Change { events, changed, error, .. } = change;
        self.records.push(Record { header, error, events, hash: hash_of(bytes), changed });
        Ok(())
    }

    /// A session's requests become transactions in the order of their numbers, which clients give in order.
    fn keep_order(&mut self, header: &TxnHeader) -> Result<(), Violation> {
        if header.cxid == 0 || header.client_id == 0 {
            return Ok(());
        }
        let cxids = self.cxids.entry(header.client_id).or_default();
        if let Some((_, last)) = cxids.last()
            && *last >= header.cxid
        {
            let TxnHeader { client_id, cxid, zxid, .. } = *header;
            let detail =
                format!("session {client_id:x}'s request {cxid} got zxid {zxid} behind its {last}");
            return broken("R1", detail);
        }
        cxids.push((header.zxid, header.cxid));
        Ok(())
    }

    /// What is behind `zxid` never was.
    pub fn truncate(&mut self, zxid: Zxid) {
        for record in self.records.drain((zxid as usize).min(self.records.len())..) {
            for path in record.changed {
                let versions = self.nodes.get_mut(&path).expect("it was changed");
                while versions.pop_if(|(of, _)| *of > zxid).is_some() {}
            }
        }
        self.nodes.retain(|_, versions| !versions.is_empty());
        self.sessions.retain(|_, (born, _)| *born <= zxid);
        for (_, died) in self.sessions.values_mut() {
            *died = died.filter(|died| *died <= zxid);
        }
        for cxids in self.cxids.values_mut() {
            while cxids.pop_if(|(of, _)| *of > zxid).is_some() {}
        }
    }

    fn apply(&mut self, change: &mut Change, txn: &Txn<'_>) -> Result<(), Violation> {
        let (zxid, client_id) = (change.header.zxid, change.header.client_id);
        match txn {
            Txn::Create { path, data, ephemeral, .. } => {
                let owner = if *ephemeral { client_id } else { 0 };
                self.create(change, path, data.unwrap_or_default(), owner)
            }
            Txn::CreateContainer { path, data, .. } | Txn::CreateTtl { path, data, .. } => {
                self.create(change, path, data.unwrap_or_default(), 0)
            }
            Txn::Delete { path } | Txn::DeleteContainer { path } => self.delete(change, path),
            Txn::SetData { path, data, version } => {
                let Some(node) = self.node(path, zxid) else {
                    return broken("history", format!("{zxid} sets {path}, which is not there"));
                };
                let (data, mut stat) = (data.unwrap_or_default(), node.stat);
                (stat.mzxid, stat.mtime_ms) = (zxid, change.header.time_ms);
                if *version != stat.version + 1 {
                    return broken("history", format!("{zxid} makes {path} version {version}"));
                }
                stat.version = *version;
                stat.data_length = data.len() as i32;
                self.put(change, path, Some(Node { data: data.into(), stat }));
                change.events.push((EventType::NodeDataChanged, Rc::from(*path)));
                Ok(())
            }
            Txn::CreateSession { .. } => {
                self.sessions.insert(client_id, (zxid, None));
                Ok(())
            }
            Txn::CloseSession { paths } => {
                for path in paths.iter().flatten() {
                    self.delete(change, path)?;
                }
                if !self.ephemerals(client_id, zxid).is_empty() {
                    return broken("history", format!("{zxid} leaves ephemerals behind"));
                }
                if let Some((_, died @ None)) = self.sessions.get_mut(&client_id) {
                    *died = Some(zxid);
                }
                Ok(())
            }
            Txn::Error { err } => {
                change.error = *err;
                Ok(())
            }
            Txn::Check { .. } => Ok(()),
            Txn::Multi(parts) => {
                let failed = parts.iter().find_map(|(_, part)| match part {
                    Txn::Error { err } => Some(*err),
                    _ => None,
                });
                change.error = failed.unwrap_or(0);
                match failed {
                    Some(_) => Ok(()),
                    None => parts.iter().try_for_each(|(_, part)| self.apply(change, part)),
                }
            }
            Txn::Reconfig { .. } | Txn::SetAcl { .. } => {
                broken("history", format!("{zxid} is what nobody asked for"))
            }
        }
    }

    fn create(
        &mut self,
        change: &mut Change,
        path: &str,
        data: &[u8],
        owner: i64,
    ) -> Result<(), Violation> {
        let TxnHeader { zxid, time_ms, .. } = change.header;
        if self.node(path, zxid).is_some() {
            return broken("history", format!("{zxid} creates {path}, which is there"));
        }
        let (zxids, times) = ((zxid, zxid, zxid), (time_ms, time_ms));
        let stat = Stat {
            czxid: zxids.0,
            mzxid: zxids.1,
            pzxid: zxids.2,
            ctime_ms: times.0,
            mtime_ms: times.1,
            ephemeral_owner: owner,
            data_length: data.len() as i32,
            ..Stat::default()
        };
        self.put(change, path, Some(Node { data: data.into(), stat }));
        self.change_parent(change, path, 1)?;
        change.events.push((EventType::NodeCreated, Rc::from(path)));
        change.events.push((EventType::NodeChildrenChanged, Rc::from(parent(path))));
        Ok(())
    }

    fn delete(&mut self, change: &mut Change, path: &str) -> Result<(), Violation> {
        let zxid = change.header.zxid;
        match self.node(path, zxid) {
            None => return broken("history", format!("{zxid} deletes {path}, which is not there")),
            Some(node) if node.stat.num_children > 0 => {
                return broken("history", format!("{zxid} deletes {path}, which has children"));
            }
            Some(_) => {}
        }
        self.put(change, path, None);
        self.change_parent(change, path, -1)?;
        change.events.push((EventType::NodeDeleted, Rc::from(path)));
        change.events.push((EventType::NodeChildrenChanged, Rc::from(parent(path))));
        Ok(())
    }

    fn change_parent(
        &mut self,
        change: &mut Change,
        path: &str,
        children: i32,
    ) -> Result<(), Violation> {
        let zxid = change.header.zxid;
        let Some(mut node) = self.node(parent(path), zxid).cloned() else {
            return broken("history", format!("{zxid} is about {path}, which has no parent"));
        };
        node.stat.num_children += children;
        node.stat.cversion += 1;
        node.stat.pzxid = zxid;
        self.put(change, parent(path), Some(node));
        Ok(())
    }

    fn put(&mut self, change: &mut Change, path: &str, node: Option<Node>) {
        let zxid = change.header.zxid;
        let path: Rc<str> = Rc::from(path);
        let versions = self.nodes.entry(path.clone()).or_default();
        match versions.last_mut() {
            Some((of, last)) if *of == zxid => *last = node,
            _ => {
                versions.push((zxid, node));
                change.changed.push(path);
            }
        }
    }
}

impl Record {
    /// Whether it closes a session.
    pub fn closes_session(&self) -> bool {
        self.header.kind == TxnType::CloseSession
    }
}

struct Change {
    header: TxnHeader,
    events: Vec<(EventType, Rc<str>)>,
    changed: Vec<Rc<str>>,
    error: i32,
}
