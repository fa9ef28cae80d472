//! The naive model: the whole state as maps, copied for every zxid.

use crate::protocol::{Acl, EphemeralType, ErrorCode, Stat};
use crate::tree::StatPersisted;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq)]
pub struct NaiveNode {
    pub data: Option<Vec<u8>>,
    pub acl: Vec<Acl>,
    pub stat: StatPersisted,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Naive {
    pub nodes: BTreeMap<String, NaiveNode>,
    pub sessions: BTreeMap<i64, i32>,
}

fn parent_of(path: &str) -> String {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((parent, _)) => parent.to_owned(),
    }
}

fn len(data: &Option<Vec<u8>>) -> i64 {
    data.as_ref().map_or(0, |d| d.len() as i64)
}

/// `count=…,bytes=…`, the only text the tests write into statistics besides junk.
fn read_stats(data: &Option<Vec<u8>>) -> Option<(i64, i64)> {
    let text = String::from_utf8(data.clone()?).ok()?;
    if text.is_empty() {
        return Some((-1, -1));
    }
    let (count, bytes) = text.strip_prefix("count=")?.split_once(",bytes=")?;
    Some((count.parse().ok()?, bytes.parse().ok()?))
}

impl Naive {
    pub fn children(&self, path: &str) -> Vec<String> {
        let mine = |p: &&String| p.as_str() != "/" && parent_of(p) == path;
        self.nodes.keys().filter(mine).map(|p| p.rsplit_once('/').unwrap().1.to_owned()).collect()
    }

    pub fn stat(&self, path: &str) -> Stat {
        let node = &self.nodes[path];
        let s = &node.stat;
        let num_children = self.children(path).len() as i32;
        let normal = EphemeralType::of(s.ephemeral_owner, true) == EphemeralType::Normal;
        Stat {
            czxid: s.czxid,
            mzxid: s.mzxid,
            ctime_ms: s.ctime_ms,
            mtime_ms: s.mtime_ms,
            version: s.version,
            cversion: s.cversion * 2 - num_children,
            aversion: s.aversion,
            ephemeral_owner: if normal { s.ephemeral_owner } else { 0 },
            data_length: len(&node.data) as i32,
            num_children,
            pzxid: s.pzxid,
        }
    }

    pub fn digest(&self) -> i64 {
        let mut sum = 0i64;
        for (path, node) in &self.nodes {
            if path.starts_with("/zookeeper/") {
                continue;
            }
            let s = &node.stat;
            let mut bytes = if path == "/" { Vec::new() } else { path.clone().into_bytes() };
            bytes.extend(node.data.iter().flatten());
            for long in [s.czxid, s.mzxid, s.pzxid, s.ctime_ms, s.mtime_ms] {
                bytes.extend(long.to_be_bytes());
            }
            for int in [s.version, s.cversion, s.aversion] {
                bytes.extend(int.to_be_bytes());
            }
            bytes.extend(s.ephemeral_owner.to_be_bytes());
            sum = sum.wrapping_add(i64::from(crc32fast::hash(&bytes)));
        }
        sum
    }

    pub fn data_size(&self) -> u64 {
        self.nodes.iter().map(|(path, node)| path.len() as u64 + len(&node.data) as u64).sum()
    }

    pub fn owned(&self, is: impl Fn(EphemeralType, i64) -> bool) -> Vec<String> {
        let owner = |node: &NaiveNode| node.stat.ephemeral_owner;
        let wanted = |node: &NaiveNode| is(EphemeralType::of(owner(node), true), owner(node));
        self.nodes.iter().filter(|(_, n)| wanted(n)).map(|(p, _)| p.clone()).collect()
    }

    fn update_quota(&mut self, path: &str, bytes: i64, count: i64) {
        let mut under = path.to_owned();
        while under != "/" {
            let quota = format!("/zookeeper/quota{under}");
            if self.nodes.contains_key(&format!("{quota}/zookeeper_limits")) {
                if let Some(node) = self.nodes.get_mut(&format!("{quota}/zookeeper_stats"))
                    && let Some((c, b)) = read_stats(&node.data)
                {
                    let text = format!("count={},bytes={}", c + count, b + bytes);
                    node.data = Some(text.into_bytes());
                }
                return;
            }
            under = parent_of(&under);
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub fn create(
        &mut self,
        zxid: i64,
        time_ms: i64,
        path: &str,
        data: Option<Vec<u8>>,
        acl: Vec<Acl>,
        owner: i64,
        parent_cversion: i32,
        plain_create: bool,
    ) -> ErrorCode {
        let parent = parent_of(path);
        if !self.nodes.contains_key(&parent) {
            return ErrorCode::NoNode;
        }
        if let Some(node) = self.nodes.get_mut(path) {
            node.acl = acl;
            if plain_create {
                self.raise_cversion(&parent, zxid, parent_cversion);
            }
            return ErrorCode::NodeExists;
        }
        self.raise_cversion(&parent, zxid, parent_cversion);
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime_ms: time_ms,
            mtime_ms: time_ms,
            ephemeral_owner: owner,
            ..StatPersisted::default()
        };
        let bytes = len(&data);
        self.nodes.insert(path.to_owned(), NaiveNode { data, acl, stat });
        if let Some(quota) = path.strip_prefix("/zookeeper/quota")
            && let Some(quota) = quota.strip_suffix("/zookeeper_stats")
            && !quota.is_empty()
        {
            let inside = |p: &String| p == quota || p.starts_with(&format!("{quota}/"));
            let all: Vec<i64> =
                self.nodes.iter().filter(|(p, _)| inside(p)).map(|(_, n)| len(&n.data)).collect();
            let text = format!("count={},bytes={}", all.len(), all.iter().sum::<i64>());
            self.nodes.get_mut(path).unwrap().data = Some(text.into_bytes());
        }
        self.update_quota(path, bytes, 1);
        ErrorCode::Ok
    }

    fn raise_cversion(&mut self, parent: &str, zxid: i64, given: i32) {
        let stat = &mut self.nodes.get_mut(parent).unwrap().stat;
        let new = if given == -1 { stat.cversion + 1 } else { given };
        if new > stat.cversion {
            stat.cversion = new;
            stat.pzxid = zxid;
        }
    }

    /// `None`: the znode has children.
    pub fn delete(&mut self, zxid: i64, path: &str) -> Option<ErrorCode> {
        if !self.children(path).is_empty() {
            return None;
        }
        let parent = parent_of(path);
        let Some(above) = self.nodes.get_mut(&parent) else { return Some(ErrorCode::NoNode) };
        above.stat.pzxid = above.stat.pzxid.max(zxid);
        let Some(node) = self.nodes.remove(path) else { return Some(ErrorCode::NoNode) };
        self.update_quota(path, -len(&node.data), -1);
        Some(ErrorCode::Ok)
    }

    pub fn set_data(
        &mut self,
        zxid: i64,
        time_ms: i64,
        path: &str,
        data: Option<Vec<u8>>,
        version: i32,
    ) -> ErrorCode {
        let Some(node) = self.nodes.get_mut(path) else { return ErrorCode::NoNode };
        let bytes = len(&data) - len(&node.data);
        node.data = data;
        node.stat.version = version;
        node.stat.mzxid = zxid;
        node.stat.mtime_ms = time_ms;
        self.update_quota(path, bytes, 0);
        ErrorCode::Ok
    }

    pub fn set_acl(&mut self, path: &str, acl: Vec<Acl>, aversion: i32) -> ErrorCode {
        let Some(node) = self.nodes.get_mut(path) else { return ErrorCode::NoNode };
        node.acl = acl;
        node.stat.aversion = aversion;
        ErrorCode::Ok
    }

    pub fn close_session(&mut self, zxid: i64, id: i64, named: &[String]) {
        let mine = self.owned(|kind, owner| kind == EphemeralType::Normal && owner == id);
        for path in named.iter().chain(&mine) {
            self.delete(zxid, path);
        }
        self.sessions.remove(&id);
    }
}
