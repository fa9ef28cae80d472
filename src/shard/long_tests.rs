//! Long answers in slices: a shard over the testing io, a tree that goes on changing, and this test as its core.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::admission::AdmissionConfig;
use super::long::LONG_ITEMS;
use super::*;
use crate::admin::Desk;
use crate::lanes::entry::{Attached, EntryHead, EntryKind, EntryWriter, put_ephemerals};
use crate::lanes::{self, CommitTx, LaneRx};
use crate::metrics::Registry;
use crate::protocol::{
    ConnectRequest, ErrorCode, EventType, ExistsRequest, GetAllChildrenNumberRequest,
    GetChildren2Request, GetChildrenRequest, GetDataRequest, MultiOp, MultiResult, MultiResults,
    OpCode, ReplyHeader, RequestHeader, Stat, WatcherEvent, begin_frame, end_frame, end_multi,
};
use crate::reactor::testing::FakeIo;
use crate::reactor::{AlignedBuf, LogFile, Resident};
use crate::tree::{AclId, Create, Retained, TreeConfig, TreeWriter};
use crate::{jute::Decoder, jute::Encode, jute::Field};

mod waits;

const CHILDREN: usize = 60_000;
const SESSION: i64 = 0x77;

/// A reactor's resident that is nothing but a shard.
struct Alone(Shard);

impl Resident for Alone {
    type File = LogFile;

    fn opened<I: Io>(&mut self, io: &mut I, c: ConnId, peer: SocketAddr, _: SocketAddr) {
        self.0.opened(io, c, peer);
    }
    fn bytes<I: Io>(&mut self, io: &mut I, c: ConnId, data: &[u8]) {
        self.0.bytes(io, c, data);
    }
    fn drained<I: Io>(&mut self, io: &mut I, c: ConnId) {
        self.0.drained(io, c);
    }
    fn closed<I: Io>(&mut self, io: &mut I, c: ConnId) {
        self.0.closed(io, c);
    }
    fn disk_done<I: Io>(&mut self, _: &mut I, _: u64, _: std::io::Result<usize>, _: AlignedBuf) {}
    fn step<I: Io>(&mut self, io: &mut I) -> Turn {
        self.0.step(io)
    }
}

struct World {
    io: FakeIo,
    shard: Alone,
    tree: TreeWriter,
    commits: CommitTx,
    lane: LaneRx,
    zxid: Zxid,
    /// Children of /many, and its Stat, at each zxid.
    at: BTreeMap<Zxid, (usize, Stat)>,
}

fn create<'a>(zxid: Zxid, path: &'a str, data: &'a [u8]) -> Create<'a> {
    let (owner, acl) = (0, AclId::OPEN);
    Create { zxid, time_ms: zxid, path, data: Some(data), acl, owner, parent_cversion: -1 }
}

fn request(op: OpCode, xid: i32, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    let frame = begin_frame(&mut out);
    RequestHeader { xid, op_raw: op.code() }.encode(&mut out);
    body(&mut out);
    end_frame(&mut out, frame);
    out
}

fn connect_request() -> Vec<u8> {
    let mut out = Vec::new();
    let frame = begin_frame(&mut out);
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms: 10_000,
        session_id: 0,
        password: Some(&[0; 16]),
        read_only: Some(false),
    }
    .encode(&mut out);
    end_frame(&mut out, frame);
    out
}

fn listing(xid: i32, path: &str, watch: bool) -> Vec<u8> {
    request(OpCode::GetChildren2, xid, |out| GetChildren2Request { path, watch }.encode(out))
}

fn exists(xid: i32, path: &str) -> Vec<u8> {
    request(OpCode::Exists, xid, |out| ExistsRequest { path, watch: false }.encode(out))
}

/// The frames that were sent: header and body.
fn frames(mut sent: &[u8]) -> Vec<(ReplyHeader, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some((prefix, rest)) = sent.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(u32::from_be_bytes(*prefix) as usize);
        let mut d = Decoder::new(frame);
        let header = ReplyHeader::decode(&mut d).unwrap();
        all.push((header, d.remaining().to_vec()));
        sent = rest;
    }
    all
}

impl World {
    fn new() -> World {
        let mut tree = crate::tree::new(TreeConfig::default());
        for path in ["/many", "/x", "/deep"] {
            tree.create(create(1, path, b"")).unwrap();
        }
        for n in 0..CHILDREN {
            tree.create(create(1, &format!("/many/c{n:06}"), b"")).unwrap();
        }
        for n in 0..LONG_ITEMS {
            tree.create(create(1, &format!("/deep/{n}"), b"")).unwrap();
            tree.create(create(1, &format!("/deep/{n}/below"), &[n as u8; 300])).unwrap();
        }
        for n in 0..LONG_ITEMS + 10 {
            let path = format!("/x/of a session {n}");
            tree.create(Create { owner: SESSION, ..create(1, &path, b"") }).unwrap();
        }
        tree.publish(1);
        while tree.reclaim(1000) > 0 {}
        let (commits, mut rings) = lanes::commit_ring(1, 64);
        let (to_core, lane) = lanes::lane(8, 1 << 16);
        let links = ShardLinks {
            identities: Arc::new(IdentityTable::new(100)),
            heard: Arc::new(HeardSlots::new(100)),
            admission: Arc::new(Admission::new(AdmissionConfig::OPEN, 0, 0)),
            core_waker: None,
            shown: crate::shard::load::Shown::new(1),
            watch_count: Arc::default(),
            auth: Arc::default(),
            desk: Desk::new().shard(),
            white_list: WhiteList::new(&[], false),
        };
        let limits = ShardLimits {
            frame_bytes_max: 1 << 20,
            output_pause_bytes: 1 << 20,
            output_close_bytes: 8 << 20,
            pending_max: 100,
            held_max: 100,
            held_bytes_max: 1 << 20,
            large_request_bytes: usize::MAX,
            outstanding_max: u64::MAX,
            throttle: None,
            handshake_timeout_ms: 1000,
        };
        let shard = Shard::new(ShardParts {
            index: 0,
            reader: tree.shared().reader().unwrap(),
            lane: to_core,
            output: crate::shard::budget::Budget::new(usize::MAX, 1).share(0),
            input: crate::shard::budget::Budget::new(usize::MAX, 1).share(0),
            commits: rings.remove(0),
            links,
            limits,
            watches: WatchTable::new(Default::default()),
            metrics: Registry::new().writer(),
        });
        let stat = tree.get("/many").unwrap().stat();
        let at = BTreeMap::from([(1, (0, stat))]);
        World { io: FakeIo::new(), shard: Alone(shard), tree, commits, lane, zxid: 1, at }
    }

    /// Publishes a batch of one entry, as the core does.
    fn commit(&mut self, entry: impl FnOnce(&mut EntryWriter<'_>), head: EntryHead) {
        let batch = self.commits.batch().expect("room in the ring");
        batch.last_zxid = head.zxid;
        let mut writer = EntryWriter::new(&mut batch.bytes);
        entry(&mut writer);
        writer.finish(&head);
        self.tree.publish(head.zxid);
        self.commits.publish();
    }

    fn reply(&self, kind: EntryKind, conn: ConnId, cxid: i32) -> EntryHead {
        EntryHead { zxid: self.zxid, kind, shard: 0, conn, cxid, err: 0 }
    }

    /// The core attaches a connection to its session.
    fn attach(&mut self, c: ConnId) {
        let to = Attached { session_id: SESSION, timeout_ms: 10_000, slot: 0, generation: 1 };
        let head = self.reply(EntryKind::Attached, c, 0);
        self.commit(|entry| to.put(entry.body()), head);
    }

    /// A client that has a session.
    fn client(&mut self) -> ConnId {
        let c = self.io.open(&mut self.shard);
        self.io.deliver(&mut self.shard, c, &connect_request());
        self.attach(c);
        self.io.pass(&mut self.shard);
        assert!(!self.io.take_sent(c).is_empty(), "a connect response");
        c
    }

    fn send(&mut self, c: ConnId, bytes: &[u8]) {
        self.io.deliver(&mut self.shard, c, bytes);
    }

    /// One transaction: /many loses its oldest child, or gets a new one, and its watchers hear of it.
    fn change(&mut self) {
        self.zxid += 1;
        let zxid = self.zxid;
        let path = format!("/many/c{:06}", zxid - 2);
        match zxid % 3 {
            0 => drop(self.tree.create(create(zxid, &format!("/many/new{zxid}"), b"")).unwrap()),
            _ => drop(self.tree.delete(zxid, &path).unwrap()),
        }
        self.at.insert(zxid, (self.at.len(), self.tree.get("/many").unwrap().stat()));
        let head = EntryHead::silent(zxid);
        let event = EventType::NodeChildrenChanged;
        self.commit(|entry| entry.event(event, "/many", AclId::OPEN), head);
        self.tree.reclaim(1000);
    }

    /// What /many has for children at a zxid.
    fn children_at(&self, zxid: Zxid) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = (0..CHILDREN).map(|n| format!("c{n:06}")).collect();
        for z in 2..=zxid {
            match z % 3 {
                0 => drop(all.insert(format!("new{z}"))),
                _ => drop(all.remove(&format!("c{:06}", z - 2))),
            }
        }
        all
    }

    fn freed(&mut self) -> Retained {
        self.io.pass(&mut self.shard);
        while self.tree.reclaim(1000) > 0 {
            self.io.pass(&mut self.shard);
        }
        self.tree.retained_bytes()
    }
}

fn names_and_stat(body: &[u8]) -> (Vec<String>, Stat) {
    let mut d = Decoder::new(body);
    let names: Vec<&str> = Field::get(&mut d).unwrap();
    let names = names.into_iter().map(str::to_owned).collect();
    (names, Stat::decode(&mut d).unwrap())
}

#[test]
fn a_listing_in_slices_is_of_one_zxid_and_others_are_answered_meanwhile() {
    let mut w = World::new();
    let (slow, other) = (w.client(), w.client());
    let mut asked = listing(7, "/many", true);
    asked.extend(exists(8, "/x"));
    w.send(slow, &asked);
    let (mut passes, mut sent) = (0, Vec::new());
    while sent.is_empty() {
        w.change();
        w.send(other, &exists(passes, "/many"));
        let turn = w.io.pass(&mut w.shard);
        let replies = frames(&w.io.take_sent(other));
        assert_eq!(replies.len(), 1, "an answer in the same pass");
        assert_eq!((replies[0].0.xid, replies[0].0.zxid), (passes, w.zxid));
        let stat = Stat::decode(&mut Decoder::new(&replies[0].1)).unwrap();
        assert_eq!(stat, w.at[&w.zxid].1);
        passes += 1;
        assert!(passes < 10_000, "it never ends");
        sent = w.io.take_sent(slow);
        if passes == 3 {
            w.send(slow, &exists(9, "/x"));
        }
        assert_eq!(turn == Turn::Again, sent.is_empty(), "round again without sleeping");
    }
    assert!(passes > CHILDREN as i32 / 5000, "{passes} passes");
    let last = w.zxid;
    w.io.run(&mut w.shard);
    sent.extend(w.io.take_sent(slow));
    let mut frames = frames(&sent).into_iter();
    let (header, body) = frames.next().unwrap();
    assert_eq!((header.xid, header.err), (7, 0));
    assert!(header.zxid < last, "of the zxid at which it was begun");
    let (names, stat) = names_and_stat(&body);
    assert_eq!(stat, w.at[&header.zxid].1);
    assert_eq!(stat.num_children as usize, names.len());
    assert!(names.into_iter().collect::<BTreeSet<_>>() == w.children_at(header.zxid));
    // The event that its watch owes comes behind it, then what was asked for later.
    let (event, body) = frames.next().unwrap();
    assert_eq!((event.xid, event.zxid), (-1, header.zxid + 1));
    assert_eq!(WatcherEvent::decode(&mut Decoder::new(&body)).unwrap().path, "/many");
    let rest: Vec<(i32, i64)> = frames.map(|(header, _)| (header.xid, header.zxid)).collect();
    assert_eq!(rest, [(8, last), (9, last)]);
    assert_eq!(w.freed(), Retained::default());
}

#[test]
fn a_connection_that_closes_midway_leaves_nothing() {
    let mut w = World::new();
    let (gone, waits) = (w.client(), w.client());
    w.send(gone, &listing(1, "/many", false));
    w.send(waits, &listing(1, "/many", false));
    for _ in 0..3 {
        w.change();
        w.io.pass(&mut w.shard);
    }
    let kept = w.tree.retained_bytes();
    assert!(kept.pinned_bytes > 0, "{kept:?}");
    w.io.hang_up(&mut w.shard, gone);
    w.io.run(&mut w.shard);
    let answered = frames(&w.io.take_sent(waits));
    assert_eq!((answered.len(), answered[0].0.zxid), (1, w.zxid), "begun when its turn had come");
    assert_eq!(w.freed(), Retained::default());
    assert!(w.shard.0.state.longs.is_empty());
}

#[test]
fn a_client_that_does_not_read_holds_no_pin() {
    let mut w = World::new();
    let slow = w.client();
    w.io.set_room(slow, Some(10));
    w.send(slow, &listing(1, "/many", false));
    while w.io.backlog(slow) == 0 {
        w.change();
        w.io.pass(&mut w.shard);
    }
    w.change();
    assert!(w.io.backlog(slow) > 100_000);
    assert_eq!(w.freed(), Retained::default());
}

#[test]
fn counts_multi_reads_and_ephemerals_are_made_in_slices() {
    let mut w = World::new();
    let c = w.client();
    let all = 2 * LONG_ITEMS;
    let count = |path| {
        request(OpCode::GetAllChildrenNumber, 1, |out| {
            GetAllChildrenNumberRequest { path }.encode(out)
        })
    };
    for (path, expected) in
        [("/deep", all), ("/many", CHILDREN), ("", w.tree.node_count() as usize - 1)]
    {
        w.send(c, &count(path));
        assert!(w.io.take_sent(c).is_empty(), "in line");
        w.io.run(&mut w.shard);
        let answered = frames(&w.io.take_sent(c));
        assert_eq!(answered[0].1, (expected as i32).to_be_bytes(), "{path:?}");
    }
    let ops: Vec<MultiOp<'_>> = vec![
        MultiOp::GetChildren(GetChildrenRequest { path: "/many", watch: false }),
        MultiOp::GetData(GetDataRequest { path: "/none", watch: false }),
        MultiOp::GetChildren(GetChildrenRequest { path: "/deep", watch: false }),
        MultiOp::GetData(GetDataRequest { path: "/deep/7/below", watch: false }),
        MultiOp::GetChildren(GetChildrenRequest { path: "/deep/7", watch: false }),
    ];
    let body = |out: &mut Vec<u8>| {
        ops.iter().for_each(|op| op.encode(out));
        end_multi(out);
    };
    w.send(c, &request(OpCode::MultiRead, 2, body));
    let mut sent = Vec::new();
    while sent.is_empty() {
        w.change();
        w.io.pass(&mut w.shard);
        sent = w.io.take_sent(c);
    }
    let answered = frames(&sent);
    let results: Vec<_> = MultiResults::new(&answered[0].1).map(Result::unwrap).collect();
    let [MultiResult::GetChildren(many), none, MultiResult::GetChildren(deep), data, below] =
        &results[..]
    else {
        panic!("{} results", results.len());
    };
    let many: BTreeSet<String> = many.iter().map(|name| name.to_string()).collect();
    assert!(many == w.children_at(answered[0].0.zxid));
    assert_eq!(*none, MultiResult::Error(ErrorCode::NoNode.code()));
    assert_eq!(deep.len(), LONG_ITEMS);
    assert!(matches!(data, MultiResult::GetData { data: Some(data), .. } if *data == [7; 300]));
    assert_eq!(*below, MultiResult::GetChildren(vec!["below"]));

    let asked = request(OpCode::GetEphemerals, 3, |out| out.put_buffer(Some(b"/x/of")));
    w.send(c, &asked);
    w.send(c, &exists(4, "/x"));
    let head = w.reply(EntryKind::Ephemerals, c, 3);
    let numbers: Vec<_> = w.tree.ephemeral_numbers(SESSION).collect();
    let put = |entry: &mut EntryWriter<'_>| {
        put_ephemerals(entry.body(), "/x/of", numbers.iter().copied());
    };
    w.commit(put, head);
    w.io.run(&mut w.shard);
    let answered = frames(&w.io.take_sent(c));
    let names: Vec<&str> = Field::get(&mut Decoder::new(&answered[0].1)).unwrap();
    assert_eq!(names.len(), LONG_ITEMS + 10);
    assert!(names.contains(&"/x/of a session 77"));
    assert_eq!(answered.iter().map(|(h, _)| h.xid).collect::<Vec<_>>(), [3, 4]);
    assert!(w.lane.peek().is_some());
    assert_eq!(w.freed(), Retained::default());
}

#[test]
fn an_answer_beyond_what_a_connection_may_owe_is_not_made() {
    let mut w = World::new();
    let c = w.client();
    w.shard.0.state.limits.output_close_bytes = 100_000;
    w.send(c, &listing(5, "/many", false));
    w.send(c, &exists(6, "/x"));
    w.io.run(&mut w.shard);
    let answered: Vec<_> =
        frames(&w.io.take_sent(c)).into_iter().map(|(h, _)| (h.xid, h.err)).collect();
    assert_eq!(answered, [(5, ErrorCode::ThrottledOp.code()), (6, 0)]);
    w.change();
    assert_eq!(w.freed(), Retained::default());
}
