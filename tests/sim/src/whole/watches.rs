//! What a connection watches, and the events that it is owed for that, by the client's own books.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use ringkeeper::protocol::{EventType, Zxid};

use super::model::{History, parent};

/// A kind of watch.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Of getData and exists; goes when it fires.
    Data,
    /// Of getChildren; goes when it fires.
    Child,
    /// Of addWatch; stays.
    Persistent,
    /// Of addWatch; stays, and covers what lies below.
    Recursive,
}

/// An event that is owed: of which transaction, and what.
pub type Owed = (Zxid, EventType, Rc<str>);

/// The watches of one connection.
#[derive(Default)]
pub struct Watches {
    set: BTreeMap<Rc<str>, Vec<Kind>>,
    /// Transactions up to here have been looked at.
    through: Zxid,
    owed: VecDeque<Owed>,
}

impl Watches {
    /// None, of a connection that begins at a zxid.
    pub fn new() -> Watches {
        Watches::default()
    }

    /// A watch was set by a read that was answered at `zxid`, through which [`Watches::advance`] has come.
    pub fn arm(&mut self, path: &str, kind: Kind) {
        let kinds = self.set.entry(Rc::from(path)).or_default();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }

    /// Takes watches of a kind away; false if there was none.
    pub fn disarm(&mut self, path: &str, kind: Kind) -> bool {
        let Some(kinds) = self.set.get_mut(path) else { return false };
        let before = kinds.len();
        kinds.retain(|k| *k != kind);
        let had = kinds.len() < before;
        self.set.retain(|_, kinds| !kinds.is_empty());
        had
    }

    /// All that are set.
    pub fn all(&self) -> impl Iterator<Item = (&Rc<str>, Kind)> {
        self.set.iter().flat_map(|(path, kinds)| kinds.iter().map(move |kind| (path, *kind)))
    }

    /// How many are set.
    pub fn len(&self) -> usize {
        self.set.values().map(Vec::len).sum()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// The connection has been shown `zxid`: what transactions up to it owe is owed.
    pub fn advance(&mut self, history: &History, zxid: Zxid) {
        while self.through < zxid {
            if self.set.is_empty() {
                self.through = zxid;
                return;
            }
            self.through += 1;
            let Some(record) = history.record(self.through) else { continue };
            for (event, path) in &record.events {
                if self.fires(*event, path) {
                    self.owed.push_back((self.through, *event, path.clone()));
                }
            }
        }
    }

    /// The oldest event that is owed.
    pub fn oldest(&self) -> Option<&Owed> {
        self.owed.front()
    }

    /// An event has come. False if it is not owed, or not yet: one transaction's may come in any order.
    pub fn told(&mut self, zxid: Zxid, event: EventType, path: &str) -> bool {
        let Some(&(first, _, _)) = self.owed.front() else { return false };
        let at = self.owed.iter().position(|(of, e, p)| (*of, *e, &**p) == (zxid, event, path));
        match at {
            Some(at) if first == zxid => {
                self.owed.remove(at);
                true
            }
            _ => false,
        }
    }

    fn fires(&mut self, event: EventType, path: &str) -> bool {
        let mut fires = false;
        let uses: &[Kind] = match event {
            EventType::NodeChildrenChanged => &[Kind::Child],
            EventType::NodeDeleted => &[Kind::Data, Kind::Child],
            _ => &[Kind::Data],
        };
        if let Some(kinds) = self.set.get_mut(path) {
            fires |= kinds.iter().any(|kind| match (kind, event) {
                (Kind::Persistent, _) => true,
                (Kind::Recursive, _) => event != EventType::NodeChildrenChanged,
                (one_shot, _) => uses.contains(one_shot),
            });
            kinds.retain(|kind| !uses.contains(kind));
            if kinds.is_empty() {
                self.set.remove(path);
            }
        }
        if event != EventType::NodeChildrenChanged {
            let mut at = path;
            while at != "/" {
                at = parent(at);
                fires |= self.set.get(at).is_some_and(|kinds| kinds.contains(&Kind::Recursive));
            }
        }
        fires
    }
}
