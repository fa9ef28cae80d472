//! The tree against the naive model: random transactions, marks, undos, publications, readers at their
//! zxids and pins, reclamation at any moment; after each step every read is compared.

use super::naive::{Naive, NaiveNode};
use crate::protocol::{Acl, AclRef, EphemeralType, ErrorCode, ttl_owner};
use crate::tree::apply::{ApplyError, Effect, apply};
use crate::tree::{
    Listing, Mark, Node, Pin, Reader, Retained, StatPersisted, TreeConfig, TreeError, TreeWriter,
    Walker, new,
};
use crate::txn::{Txn, TxnHeader, TxnType};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const PATHS: [&str; 18] = [
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/a name that is long",
    "/a/a name that is long/x",
    "/b",
    "/b/1",
    "/b/2",
    "/b/3",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
    "/zookeeper/quota/a/b",
    "/zookeeper/quota/a/b/zookeeper_limits",
    "/zookeeper/quota/a/b/zookeeper_stats",
    "/zookeeper/config",
    "/missing/x",
    "/",
];
const SESSIONS: [i64; 3] = [0x11, 0x22, 0x33];
const READERS: usize = 3;

/// A step: what to do, and three numbers that say with what.
type Step = (u8, u8, u8, u8);

struct Pinned {
    pin: Pin,
    reader: usize,
    listing: Option<Listing>,
}

struct Harness {
    tree: TreeWriter,
    readers: Vec<(Reader, bool)>,
    pins: Vec<Pinned>,
    state: Naive,
    /// The state after each zxid that still counts.
    states: BTreeMap<i64, Naive>,
    /// Of each change that is not published: the mark and the state before it, and its zxid.
    undo: Vec<(Mark, Naive, i64)>,
    zxid: i64,
    published: i64,
}

fn open_acl() -> Vec<Acl> {
    vec![AclRef::ANYONE_ALL.to_owned()]
}

fn acl_of(n: u8) -> Vec<Acl> {
    match n % 4 {
        0 => open_acl(),
        1 => Vec::new(),
        n => vec![Acl { perms: n.into(), scheme: "digest".into(), id: format!("id{n}") }],
    }
}

fn data_of(path: &str, n: u8) -> Option<Vec<u8>> {
    let stats = path.ends_with("zookeeper_stats");
    match n % 7 {
        0 => None,
        1 => Some(Vec::new()),
        2 if stats => Some(b"count=3,bytes=1000".to_vec()),
        3 => Some(vec![n; 600]),
        n => Some(vec![n; usize::from(n) * 40]),
    }
}

fn first_state() -> Naive {
    let mut state = Naive::default();
    for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        let config = path == "/zookeeper/config";
        let mut acl = open_acl();
        let mut stat = StatPersisted::default();
        if config {
            acl[0].perms = 1;
            stat.aversion = -1;
        }
        state.nodes.insert(path.to_owned(), NaiveNode { data: Some(Vec::new()), acl, stat });
    }
    state
}

impl Harness {
    fn new() -> Self {
        let tree = new(TreeConfig { readers_max: READERS + 1, ..TreeConfig::default() });
        let readers = (0..READERS)
            .map(|i| match i {
                0 => tree.shared().background_reader().unwrap(),
                _ => tree.shared().reader().unwrap(),
            })
            .map(|reader| (reader, false))
            .collect();
        let state = first_state();
        let states = BTreeMap::from([(0, state.clone())]);
        let (pins, undo) = (Vec::new(), Vec::new());
        Self { tree, readers, pins, state, states, undo, zxid: 0, published: 0 }
    }

    fn at(&self, zxid: i64) -> &Naive {
        self.states.range(..=zxid).next_back().unwrap().1
    }

    fn begin(&mut self, same: bool) -> i64 {
        if !same || self.zxid == self.published {
            self.zxid += 1;
        }
        self.undo.push((self.tree.mark(), self.state.clone(), self.zxid));
        self.zxid
    }

    fn end(&mut self) {
        self.states.insert(self.zxid, self.state.clone());
    }

    fn run(&mut self, header: TxnHeader, txn: &Txn<'_>) -> Result<ErrorCode, ApplyError> {
        let applied = apply(&mut self.tree, &header, txn)?;
        if let Effect::Created { stat, .. } | Effect::DataSet { stat, .. } = applied.effect
            && let Txn::Create { path, .. } | Txn::SetData { path, .. } = txn
        {
            assert_eq!(stat, self.tree.get(path).unwrap().stat());
        }
        Ok(applied.err)
    }

    fn step(&mut self, (what, a, b, c): Step) {
        // Half of the steps keep to few paths, so that these live many lives.
        let path = PATHS[usize::from(a & 0x7f) % if a & 0x80 == 0 { PATHS.len() } else { 3 }];
        let session = SESSIONS[usize::from(b) % SESSIONS.len()];
        let same = c & 0x80 != 0;
        match what % 24 {
            0..=5 => self.create(path, b, c, same),
            6..=8 => self.delete(path, same),
            9..=11 => self.set_data(path, b, same),
            12 => self.set_acl(path, b, same),
            13 => self.session(session, c, same),
            14 => self.undo(a, b),
            15 | 16 => self.publish(a),
            17 => self.advance(usize::from(a) % READERS, b),
            18 => self.park_or_quiesce(usize::from(a) % READERS, b),
            19 | 20 => self.pin(usize::from(a) % READERS, b, c),
            21 => self.list_on(a),
            _ => drop(self.tree.reclaim(usize::from(b))),
        }
    }

    fn header(&self, kind: TxnType, client_id: i64) -> TxnHeader {
        TxnHeader { client_id, cxid: 1, zxid: self.zxid, time_ms: 1_000_000 + self.zxid, kind }
    }

    fn create(&mut self, path: &str, b: u8, c: u8, same: bool) {
        if path == "/" {
            return;
        }
        let zxid = self.begin(same);
        let (data, acl) = (data_of(path, b), acl_of(c));
        let refs: Vec<AclRef<'_>> = acl.iter().map(Acl::as_ref).collect();
        let session = SESSIONS[usize::from(b) % SESSIONS.len()];
        let parent_cversion = if c & 0x40 == 0 { -1 } else { i32::from(c & 0xf) };
        let bytes = data.as_deref();
        let (kind, owner) = match c >> 2 & 7 {
            0 => (TxnType::CreateContainer, i64::MIN),
            1 => (TxnType::CreateTtl, ttl_owner(5).unwrap()),
            2 | 3 => (TxnType::Create2, session),
            4 => (TxnType::Create2, 0),
            _ => (TxnType::Create, 0),
        };
        let txn = match kind {
            TxnType::CreateContainer => {
                Txn::CreateContainer { path, data: bytes, acl: refs, parent_cversion }
            }
            TxnType::CreateTtl => {
                Txn::CreateTtl { path, data: bytes, acl: refs, parent_cversion, ttl_ms: 5 }
            }
            _ => {
                let ephemeral = owner != 0;
                Txn::Create { path, data: bytes, acl: refs, ephemeral, parent_cversion }
            }
        };
        let header = self.header(kind, session);
        let err = self.run(header, &txn).unwrap();
        let plain = kind == TxnType::Create;
        let time_ms = header.time_ms;
        let expected =
            self.state.create(zxid, time_ms, path, data, acl, owner, parent_cversion, plain);
        assert_eq!(err, expected, "create {path}");
        self.end();
    }

    fn delete(&mut self, path: &str, same: bool) {
        if path == "/" {
            return;
        }
        let zxid = self.begin(same);
        let result = self.run(self.header(TxnType::Delete, 1), &Txn::Delete { path });
        match self.state.delete(zxid, path) {
            Some(expected) => assert_eq!(result, Ok(expected), "delete {path}"),
            None => match result {
                Err(ApplyError::Refused { error, .. }) => assert_eq!(error, TreeError::NotEmpty),
                other => panic!("delete {path}: {other:?}"),
            },
        }
        self.end();
    }

    fn set_data(&mut self, path: &str, b: u8, same: bool) {
        let zxid = self.begin(same);
        let data = data_of(path, b);
        let version = i32::from(b);
        let header = self.header(TxnType::SetData, 1);
        let txn = Txn::SetData { path, data: data.as_deref(), version };
        let err = self.run(header, &txn).unwrap();
        let expected = self.state.set_data(zxid, header.time_ms, path, data, version);
        assert_eq!(err, expected, "setData {path}");
        self.end();
    }

    fn set_acl(&mut self, path: &str, b: u8, same: bool) {
        self.begin(same);
        let acl = acl_of(b);
        let refs = acl.iter().map(Acl::as_ref).collect();
        let aversion = i32::from(b);
        let txn = Txn::SetAcl { path, acl: refs, aversion };
        let err = self.run(self.header(TxnType::SetAcl, 1), &txn).unwrap();
        assert_eq!(err, self.state.set_acl(path, acl, aversion), "setACL {path}");
        self.end();
    }

    fn session(&mut self, session: i64, c: u8, same: bool) {
        let zxid = self.begin(same);
        if c & 1 == 0 {
            let timeout_ms = 1000 + i32::from(c);
            let header = self.header(TxnType::CreateSession, session);
            self.run(header, &Txn::CreateSession { timeout_ms }).unwrap();
            self.state.sessions.insert(session, timeout_ms);
        } else {
            let mine: Vec<String> = self.tree.ephemerals(session).collect();
            // The transaction may name all of them, some, or none.
            let named = mine[..mine.len() * usize::from(c >> 1 & 3) / 3].to_vec();
            let paths = (c & 8 == 0).then(|| named.iter().map(String::as_str).collect());
            let header = self.header(TxnType::CloseSession, session);
            let mark = self.tree.mark();
            let closed = self.run(header, &Txn::CloseSession { paths });
            if closed.is_err() {
                // An ephemeral with children: no server makes one, but the generator does.
                self.tree.undo_to(mark);
            } else {
                self.state.close_session(zxid, session, if c & 8 == 0 { &named } else { &[] });
            }
        }
        self.end();
    }

    fn undo(&mut self, a: u8, b: u8) {
        if self.undo.is_empty() {
            return;
        }
        let to = usize::from(a) % self.undo.len();
        let keep = if b & 1 == 0 {
            self.tree.undo_to(self.undo[to].0);
            to
        } else {
            let zxid = self.undo[to].2;
            self.tree.undo_to_zxid(zxid - 1);
            self.undo.iter().position(|u| u.2 >= zxid).unwrap()
        };
        self.state = self.undo[keep].1.clone();
        self.undo.truncate(keep);
        self.zxid = self.undo.last().map_or(self.published, |u| u.2);
        let zxid = self.zxid;
        self.states.retain(|&z, _| z <= zxid);
        self.states.insert(zxid, self.state.clone());
    }

    fn publish(&mut self, a: u8) {
        let Some(&(_, _, zxid)) = self.undo.get(usize::from(a) % self.undo.len().max(1)) else {
            return;
        };
        self.tree.publish(zxid);
        self.published = zxid;
        self.undo.retain(|u| u.2 > zxid);
    }

    fn advance(&mut self, r: usize, b: u8) {
        let (reader, parked) = &self.readers[r];
        if *parked || reader.zxid() == i64::MAX {
            return;
        }
        let span = reader.published() - reader.zxid();
        reader.advance(reader.zxid() + span * i64::from(b % 4) / 3);
    }

    fn park_or_quiesce(&mut self, r: usize, b: u8) {
        let (reader, parked) = &mut self.readers[r];
        match (*parked, b % 3) {
            (true, _) => {
                let published = reader.unpark();
                assert_eq!(published, self.published);
                if reader.zxid() != i64::MAX {
                    reader.advance(published);
                }
                *parked = false;
            }
            (false, 0) => {
                reader.park();
                *parked = true;
            }
            (false, _) => reader.quiesce(),
        }
    }

    fn pin(&mut self, r: usize, b: u8, c: u8) {
        if c & 1 == 0 && !self.pins.is_empty() {
            self.pins.swap_remove(usize::from(b) % self.pins.len());
            return;
        }
        let (reader, parked) = &self.readers[r];
        let pin = match c & 2 == 0 || *parked || reader.zxid() == i64::MAX {
            true => {
                let pin = reader.pin();
                assert_eq!(pin.zxid(), self.published);
                pin
            }
            false => {
                let span = reader.published() - reader.zxid();
                reader.pin_at(reader.zxid() + span * i64::from(b % 4) / 3).unwrap()
            }
        };
        let listing = (!parked)
            .then(|| Listing::new(reader, reader.pin().into(), PATHS[usize::from(b) % PATHS.len()]))
            .flatten();
        self.pins.push(Pinned { pin, reader: r, listing });
    }

    /// Goes on with a listing that was begun at another time, and finishes it.
    fn list_on(&mut self, a: u8) {
        let count = self.pins.len().max(1);
        let Some(pinned) = self.pins.get_mut(usize::from(a) % count) else { return };
        let (reader, parked) = &self.readers[pinned.reader];
        let Some(mut listing) = pinned.listing.take().filter(|_| !parked) else { return };
        let path = listing.parent(reader).unwrap().path();
        let mut names = Vec::new();
        while let Some(name) = listing.next(reader) {
            names.push(name.to_owned());
        }
        names.sort();
        let zxid = listing.zxid();
        assert_eq!(names, self.at(zxid).children(&path));
    }

    fn check_node(node: Node<'_>, path: &str, acl: &[Acl], model: &Naive) {
        let expected = &model.nodes[path];
        assert_eq!(node.path(), path);
        assert_eq!(node.data(), expected.data.as_deref(), "data of {path}");
        assert_eq!(node.stat_persisted(), expected.stat, "{path}");
        assert_eq!(node.stat(), model.stat(path), "{path}");
        assert_eq!(acl, expected.acl, "ACL of {path}");
        let mut children: Vec<&str> = node.children().collect();
        children.sort_unstable();
        assert_eq!(children, model.children(path), "children of {path}");
    }

    fn check_reads(&self, reader: &Reader, at: i64) {
        let model = self.at(at);
        for path in PATHS {
            let node = reader.get(path, at);
            assert_eq!(node.is_some(), model.nodes.contains_key(path), "{path} at {at}");
            if let Some(node) = node {
                Self::check_node(node, path, reader.acl_list(node.acl()), model);
            }
        }
    }

    fn check_newest(&self) {
        let (tree, model) = (&self.tree, &self.state);
        assert_eq!(tree.digest(), model.digest());
        assert_eq!(tree.node_count(), model.nodes.len() as u64 + 1);
        assert_eq!(tree.approximate_data_size(), model.data_size());
        let sessions: BTreeMap<i64, i32> =
            tree.sessions().map(|(id, info)| (id, info.timeout_ms)).collect();
        assert_eq!(sessions, model.sessions);
        for path in PATHS {
            let node = tree.get(path);
            assert_eq!(node.is_some(), model.nodes.contains_key(path), "newest {path}");
            if let Some(node) = node {
                Self::check_node(node, path, tree.acl_list(node.acl()), model);
            }
        }
        let mut all = 0;
        for id in SESSIONS {
            let mine = model.owned(|k, owner| k == EphemeralType::Normal && owner == id);
            all += mine.len();
            assert_eq!(tree.ephemerals(id).collect::<Vec<_>>(), mine);
            assert_eq!(tree.ephemeral_owners().any(|o| o == id), !mine.is_empty());
        }
        assert_eq!(tree.ephemerals_count(), all);
        let paths =
            |nodes: Vec<Node<'_>>| -> BTreeSet<String> { nodes.iter().map(Node::path).collect() };
        let containers = model.owned(|kind, _| kind == EphemeralType::Container);
        assert_eq!(paths(tree.containers().collect()), containers.into_iter().collect());
        let ttls = model.owned(|kind, _| matches!(kind, EphemeralType::Ttl { .. }));
        assert_eq!(paths(tree.ttl_nodes().collect()), ttls.into_iter().collect());
    }

    fn check_pin(&mut self, p: usize) {
        let pinned = &self.pins[p];
        let pin = &pinned.pin;
        if self.readers[pinned.reader].1 {
            return;
        }
        let model = self.at(pin.zxid()).clone();
        self.check_reads(&self.readers[pinned.reader].0, pin.zxid());
        let (reader, _) = &mut self.readers[pinned.reader];
        let walked: Vec<String> = reader.walk(pin).map(|n| n.path()).collect();
        for (i, path) in walked.iter().enumerate().skip(1) {
            let parent = path.rsplit_once('/').unwrap().0;
            let parent = if parent.is_empty() { "/" } else { parent };
            assert!(walked[..i].iter().any(|p| p == parent), "{path} before its parent");
        }
        let mut steps = Vec::new();
        let mut walker = Walker::new(pin);
        while let Some(node) = walker.next(reader) {
            steps.push(node.path());
        }
        assert_eq!(steps, walked);
        let walked: BTreeSet<String> = walked.into_iter().collect();
        assert_eq!(walked, model.nodes.keys().cloned().collect());
        let sessions: BTreeMap<i64, i32> = reader.sessions_at(pin).collect();
        assert_eq!(sessions, model.sessions);
    }

    fn check(&mut self) {
        self.check_newest();
        for (reader, parked) in &self.readers {
            assert_eq!(reader.published(), self.published);
            if !parked && reader.zxid() != i64::MAX {
                let between = (reader.zxid() + self.published) / 2;
                for at in [reader.zxid(), between, self.published] {
                    self.check_reads(reader, at);
                }
            }
        }
        (0..self.pins.len()).for_each(|p| self.check_pin(p));
    }

    /// With nobody left who needs the past, nothing of it is kept.
    fn finish(mut self) {
        self.pins.clear();
        self.tree.publish(self.zxid);
        self.readers.clear();
        while self.tree.reclaim(7) > 0 {}
        assert_eq!(self.tree.retained(), 0);
        assert_eq!(self.tree.retained_bytes(), Retained::default());
        let acls: BTreeSet<&Vec<Acl>> = self.state.nodes.values().map(|n| &n.acl).collect();
        let used = acls.iter().filter(|acl| ***acl != open_acl()).count();
        assert_eq!(self.tree.acl_count(), used + 1);
        self.check_newest();
    }
}

fn run(steps: &[Step]) {
    let mut harness = Harness::new();
    for &step in steps {
        harness.step(step);
        harness.check();
    }
    harness.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn every_read_at_every_zxid_is_that_of_the_model(
        steps in prop::collection::vec(any::<Step>(), 1..160),
    ) {
        run(&steps);
    }
}

/// What a session's close does when an ephemeral that the generator gave children stands in the way.
#[test]
fn an_ephemeral_with_children_is_refused_not_orphaned() {
    let mut harness = Harness::new();
    let ephemeral = 2 << 2;
    harness.step((0, 0, 0, ephemeral));
    harness.step((0, 1, 0, 4 << 2));
    harness.check();
    let header = TxnHeader { zxid: 9, ..harness.header(TxnType::CloseSession, SESSIONS[0]) };
    let closed = apply(&mut harness.tree, &header, &Txn::CloseSession { paths: None });
    assert!(matches!(closed, Err(ApplyError::Refused { error: TreeError::NotEmpty, .. })));
}
