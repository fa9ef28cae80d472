//! The rules case by case, then all of them against a plain model of ZooKeeper's two managers.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::protocol::{EventType, WatcherType};

use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
use WatchKind::{Child, Data, Exist, Persistent, PersistentRecursive};

fn table() -> WatchTable {
    WatchTable::new(WatchLimits::default())
}

fn add(table: &mut WatchTable, conn: u32, path: &str, kind: WatchKind) {
    table.add(conn, path, kind).unwrap();
}

fn fire(table: &mut WatchTable, event: EventType, path: &str) -> Vec<u32> {
    let mut out = Vec::new();
    table.trigger(event, path, &mut out);
    out.sort_unstable();
    out
}

#[test]
fn one_shot_watches_fire_once() {
    let mut t = table();
    add(&mut t, 1, "/a", Data);
    add(&mut t, 2, "/a", Exist);
    add(&mut t, 3, "/a", Child);
    assert_eq!(fire(&mut t, NodeDataChanged, "/a"), [1, 2]);
    assert!(fire(&mut t, NodeDataChanged, "/a").is_empty());
    assert_eq!(fire(&mut t, NodeChildrenChanged, "/a"), [3]);
    assert!(t.is_empty());
    assert_eq!(t.path_bytes(), 0);
}

#[test]
fn a_deletion_is_told_once_to_data_and_child_watch_of_one_connection() {
    let mut t = table();
    add(&mut t, 1, "/a", Data);
    add(&mut t, 1, "/a", Child);
    add(&mut t, 2, "/a", Child);
    add(&mut t, 1, "/", PersistentRecursive);
    assert_eq!(fire(&mut t, NodeDeleted, "/a"), [1, 2]);
    assert_eq!(fire(&mut t, NodeDeleted, "/a"), [1]);
}

#[test]
fn a_recursive_and_a_plain_watch_give_one_event_and_the_plain_one_goes() {
    let mut t = table();
    add(&mut t, 1, "/a/b", Data);
    add(&mut t, 1, "/a/b", PersistentRecursive);
    add(&mut t, 1, "/a", PersistentRecursive);
    assert_eq!(fire(&mut t, NodeDataChanged, "/a/b"), [1]);
    assert!(!t.contains(1, "/a/b", WatcherType::Data));
    assert!(t.contains(1, "/a/b", WatcherType::PersistentRecursive));
    assert_eq!(fire(&mut t, NodeDataChanged, "/a/b"), [1]);
}

#[test]
fn recursive_watches_hear_of_the_subtree_but_not_of_children_changed() {
    let mut t = table();
    add(&mut t, 1, "/a", PersistentRecursive);
    add(&mut t, 2, "/a", Persistent);
    assert_eq!(fire(&mut t, NodeCreated, "/a/b/c"), [1]);
    assert!(fire(&mut t, NodeChildrenChanged, "/a/b").is_empty());
    assert_eq!(fire(&mut t, NodeChildrenChanged, "/a"), [2]);
    assert_eq!(fire(&mut t, NodeDataChanged, "/a"), [1, 2]);
    assert!(fire(&mut t, NodeCreated, "/ab").is_empty());
    assert_eq!(fire(&mut t, NodeDeleted, "/a"), [1, 2]);
    assert_eq!(fire(&mut t, NodeCreated, "/a"), [1, 2]);
}

#[test]
fn very_deep_recursive_watches_are_found() {
    let mut t = table();
    let deep = "/x".repeat(60);
    add(&mut t, 1, &deep, PersistentRecursive);
    assert_eq!(fire(&mut t, NodeCreated, &format!("{deep}/y/z")), [1]);
    assert!(fire(&mut t, NodeCreated, &"/x".repeat(59)).is_empty());
}

#[test]
fn checks_and_removals_by_type() {
    let mut t = table();
    add(&mut t, 1, "/a", Data);
    add(&mut t, 1, "/a", Persistent);
    assert!(t.contains(1, "/a", WatcherType::Any));
    assert!(!t.contains(1, "/a", WatcherType::Children));
    assert!(!t.contains(2, "/a", WatcherType::Any));
    assert_eq!(t.remove(1, "/a", WatcherType::Children), Removed::NoWatcher);
    assert_eq!(t.remove(2, "/a", WatcherType::Any), Removed::NoWatcher);
    assert_eq!(t.remove(1, "/b", WatcherType::Any), Removed::NoWatcher);
    assert_eq!(t.remove(1, "/a", WatcherType::Data), Removed::Yes);
    assert_eq!(t.remove(1, "/a", WatcherType::Data), Removed::NoWatcher);
    assert!(t.contains(1, "/a", WatcherType::Persistent));
    add(&mut t, 1, "/a", Child);
    assert_eq!(t.remove(1, "/a", WatcherType::Any), Removed::Yes);
    assert!(t.is_empty());
}

#[test]
fn setting_again_tells_what_changed_and_watches_the_rest() {
    let mut t = table();
    let lists = Rewatch {
        relative_zxid: 10,
        data: &["/gone", "/changed", "/same"],
        exist: &["/there", "/missing"],
        child: &["/gone", "/children", "/same"],
        persistent: &["/changed"],
        persistent_recursive: &["/gone"],
    };
    let node = |path: &str| match path {
        "/changed" => Some(NodeZxids { mzxid: 11, pzxid: 1 }),
        "/children" => Some(NodeZxids { mzxid: 1, pzxid: 11 }),
        "/same" | "/there" => Some(NodeZxids { mzxid: 10, pzxid: 10 }),
        _ => None,
    };
    let mut told = Vec::new();
    t.rewatch(7, &lists, node, |event, path| told.push((event, path.to_owned()))).unwrap();
    let told: Vec<_> = told.iter().map(|(event, path)| (*event, path.as_str())).collect();
    assert_eq!(
        told,
        [
            (NodeDeleted, "/gone"),
            (NodeDataChanged, "/changed"),
            (NodeCreated, "/there"),
            (NodeDeleted, "/gone"),
            (NodeChildrenChanged, "/children"),
        ]
    );
    for (path, kind) in [
        ("/same", WatcherType::Data),
        ("/same", WatcherType::Children),
        ("/missing", WatcherType::Data),
        ("/changed", WatcherType::Persistent),
        ("/gone", WatcherType::PersistentRecursive),
    ] {
        assert!(t.contains(7, path, kind), "{path} {kind:?}");
    }
    for path in ["/changed", "/gone", "/there"] {
        assert!(!t.contains(7, path, WatcherType::Data), "{path}");
    }
    assert!(!t.contains(7, "/children", WatcherType::Any));
}

#[test]
fn bounds_hold_and_leave_what_is_there_alone() {
    let limits = WatchLimits { watches_max: 3, watches_per_conn_max: 2, path_bytes_max: 5 };
    let mut t = WatchTable::new(limits);
    add(&mut t, 1, "/a", Data);
    assert_eq!(t.add(1, "/aaaa", Data), Err(TooManyWatches::PathBytes { max: 5 }));
    add(&mut t, 1, "/b", Data);
    assert_eq!(t.add(1, "/", Data), Err(TooManyWatches::OnConnection { max: 2 }));
    assert_eq!(t.add(1, "/a", Child), Ok(true), "another kind is no further watch");
    add(&mut t, 2, "/a", Data);
    assert_eq!(t.add(3, "/a", Data), Err(TooManyWatches::OnShard { max: 3 }));
    t.remove_conn(1);
    add(&mut t, 3, "/aa", Data);
    assert_eq!(fire(&mut t, NodeDataChanged, "/a"), [2]);
}

#[test]
fn reports_know_data_watches_only() {
    let mut t = table();
    add(&mut t, 1, "/a", Data);
    add(&mut t, 1, "/b", Child);
    add(&mut t, 2, "/a", Persistent);
    add(&mut t, 3, "/b", Child);
    let want = WatchCounts { conns: 2, paths: 1, data_watches: 2, all_watches: 5 };
    assert_eq!(t.counts(), want);
    let by_path: Vec<_> = t
        .paths_from(0)
        .map(|(_, path, conns)| (path.to_owned(), conns.collect::<BTreeSet<_>>()))
        .collect();
    assert_eq!(by_path, [("/a".to_owned(), BTreeSet::from([1, 2]))]);
    let by_conn: Vec<_> =
        t.conns_from(0).map(|(conn, paths)| (conn, paths.collect::<Vec<_>>())).collect();
    assert_eq!(by_conn, [(1, vec!["/a"]), (2, vec!["/a"])]);
    assert_eq!(t.conns_from(2).count(), 1);
    let (last, ..) = t.paths_from(0).last().unwrap();
    assert_eq!(t.paths_from(last + 1).count(), 0);
}

/// One of ZooKeeper's managers, as plainly as can be: watchers by path, modes by watcher and path.
#[derive(Default)]
struct Manager {
    watchers: BTreeMap<String, BTreeSet<u32>>,
    modes: BTreeMap<(u32, String), BTreeSet<&'static str>>,
}

impl Manager {
    fn add(&mut self, conn: u32, path: &str, mode: &'static str) {
        self.watchers.entry(path.to_owned()).or_default().insert(conn);
        self.modes.entry((conn, path.to_owned())).or_default().insert(mode);
    }

    fn remove(&mut self, conn: u32, path: &str, mode: Option<&'static str>) -> bool {
        let Some(modes) = self.modes.get_mut(&(conn, path.to_owned())) else {
            return false;
        };
        let removed = match mode {
            Some(mode) => modes.remove(mode),
            None => !std::mem::take(modes).is_empty(),
        };
        if modes.is_empty() {
            self.modes.remove(&(conn, path.to_owned()));
            self.watchers.get_mut(path).unwrap().remove(&conn);
        }
        removed
    }

    fn has(&self, conn: u32, path: &str, mode: Option<&str>) -> bool {
        self.modes
            .get(&(conn, path.to_owned()))
            .is_some_and(|modes| mode.is_none_or(|mode| modes.contains(mode)))
    }

    fn trigger(&mut self, path: &str) -> BTreeSet<u32> {
        let mut told = BTreeSet::new();
        let mut at = path.to_owned();
        loop {
            for conn in self.watchers.get(&at).cloned().unwrap_or_default() {
                if at == path {
                    told.insert(conn);
                    self.remove(conn, path, Some("standard"));
                } else if self.has(conn, &at, Some("recursive")) {
                    told.insert(conn);
                }
            }
            if at == "/" {
                return told;
            }
            at.truncate(at.rfind('/').unwrap());
            if at.is_empty() {
                at.push('/');
            }
        }
    }
}

#[derive(Default)]
struct Model {
    data: Manager,
    child: Manager,
}

impl Model {
    fn add(&mut self, conn: u32, path: &str, kind: WatchKind) {
        match kind {
            Data | Exist => self.data.add(conn, path, "standard"),
            Child => self.child.add(conn, path, "standard"),
            Persistent => {
                self.data.add(conn, path, "persistent");
                self.child.add(conn, path, "persistent");
            }
            PersistentRecursive => self.data.add(conn, path, "recursive"),
        }
    }

    fn remove(&mut self, conn: u32, path: &str, kind: WatcherType) -> bool {
        let (data, child) = (&mut self.data, &mut self.child);
        match kind {
            WatcherType::Children => child.remove(conn, path, Some("standard")),
            WatcherType::Data => data.remove(conn, path, Some("standard")),
            WatcherType::Persistent => {
                child.remove(conn, path, Some("persistent"))
                    | data.remove(conn, path, Some("persistent"))
            }
            WatcherType::PersistentRecursive => data.remove(conn, path, Some("recursive")),
            WatcherType::Any => child.remove(conn, path, None) | data.remove(conn, path, None),
        }
    }

    fn contains(&self, conn: u32, path: &str, kind: WatcherType) -> bool {
        match kind {
            WatcherType::Children => self.child.has(conn, path, Some("standard")),
            WatcherType::Data => self.data.has(conn, path, Some("standard")),
            WatcherType::Persistent => self.data.has(conn, path, Some("persistent")),
            WatcherType::PersistentRecursive => self.data.has(conn, path, Some("recursive")),
            WatcherType::Any => self.data.has(conn, path, None) || self.child.has(conn, path, None),
        }
    }

    fn remove_conn(&mut self, conn: u32) {
        for manager in [&mut self.data, &mut self.child] {
            manager.modes.retain(|(held, _), _| *held != conn);
            manager.watchers.values_mut().for_each(|conns| conns.retain(|held| *held != conn));
        }
    }

    fn trigger(&mut self, event: EventType, path: &str) -> Vec<u32> {
        let told = match event {
            NodeChildrenChanged => self.child.trigger(path),
            // The second manager is told whom the first one told already.
            NodeDeleted => &self.data.trigger(path) | &self.child.trigger(path),
            _ => self.data.trigger(path),
        };
        told.into_iter().collect()
    }

    fn counts(&self) -> WatchCounts {
        let count = |m: &Manager| m.watchers.values().map(BTreeSet::len).sum::<usize>();
        let conns: BTreeSet<_> = self.data.modes.keys().map(|(conn, _)| conn).collect();
        WatchCounts {
            conns: conns.len(),
            paths: self.data.watchers.values().filter(|conns| !conns.is_empty()).count(),
            data_watches: count(&self.data),
            all_watches: count(&self.data) + count(&self.child),
        }
    }
}

const PATHS: [&str; 9] =
    ["/", "/a", "/a/b", "/a/b/c", "/ab", "/a/c", "/zookeeper", "/a/b/c/d/e", "/z"];
const KINDS: [WatchKind; 5] = [Data, Exist, Child, Persistent, PersistentRecursive];
const TYPES: [WatcherType; 5] = [
    WatcherType::Children,
    WatcherType::Data,
    WatcherType::Any,
    WatcherType::Persistent,
    WatcherType::PersistentRecursive,
];
const EVENTS: [EventType; 4] = [NodeCreated, NodeDeleted, NodeDataChanged, NodeChildrenChanged];

#[derive(Debug, Clone)]
enum Op {
    Add(u32, &'static str, WatchKind),
    Remove(u32, &'static str, WatcherType),
    RemoveConn(u32),
    Trigger(EventType, &'static str),
}

fn ops() -> impl Strategy<Value = Op> {
    let (conn, path) = (0u32..12, prop::sample::select(&PATHS[..]));
    prop_oneof![
        8 => (conn.clone(), path.clone(), prop::sample::select(&KINDS[..]))
            .prop_map(|(c, p, k)| Op::Add(c, p, k)),
        2 => (conn.clone(), path.clone(), prop::sample::select(&TYPES[..]))
            .prop_map(|(c, p, t)| Op::Remove(c, p, t)),
        1 => conn.prop_map(Op::RemoveConn),
        3 => (prop::sample::select(&EVENTS[..]), path).prop_map(|(e, p)| Op::Trigger(e, p)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn behaves_as_zookeepers_managers(ops in prop::collection::vec(ops(), 0..200)) {
        let (mut t, mut model) = (table(), Model::default());
        for op in ops {
            match op {
                Op::Add(conn, path, kind) => {
                    add(&mut t, conn, path, kind);
                    model.add(conn, path, kind);
                }
                Op::Remove(conn, path, kind) => {
                    let removed = t.remove(conn, path, kind) == Removed::Yes;
                    prop_assert_eq!(removed, model.remove(conn, path, kind));
                }
                Op::RemoveConn(conn) => {
                    t.remove_conn(conn);
                    model.remove_conn(conn);
                }
                Op::Trigger(event, path) => {
                    prop_assert_eq!(fire(&mut t, event, path), model.trigger(event, path));
                }
            }
            prop_assert_eq!(t.counts(), model.counts());
        }
        for (conn, path) in (0..12).flat_map(|c| PATHS.map(|p| (c, p))) {
            for kind in TYPES {
                prop_assert_eq!(t.contains(conn, path, kind), model.contains(conn, path, kind));
            }
        }
        for conn in 0..12 {
            t.remove_conn(conn);
        }
        prop_assert!(t.is_empty());
        prop_assert_eq!(t.path_bytes(), 0);
        prop_assert_eq!(t.counts(), WatchCounts::default());
        // What lets triggers skip ancestors must come down too, or they would stop skipping.
        prop_assert_eq!((t.totals.recursive, t.totals.recursive_at.iter().max()), (0, Some(&0)));
    }
}
