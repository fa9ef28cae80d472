//! Every operation that a client library offers, by the `zookeeper-client` crate against the real binary.

mod common;

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use common::Server;
use zookeeper_client::{
    Acl, Acls, AddWatchMode, AuthId, AuthUser, CheckWriteError, Client, CreateMode, CreateOptions,
    EnsembleUpdate, Error, EventType, LockPrefix, MultiReadResult, MultiWriteError,
    MultiWriteResult, Permission, SessionState, Stat,
};

const PERSISTENT: &CreateOptions<'static> = &CreateMode::Persistent.with_acls(Acls::anyone_all());
const EPHEMERAL: &CreateOptions<'static> = &CreateMode::Ephemeral.with_acls(Acls::anyone_all());
const CONTAINER: &CreateOptions<'static> = &CreateMode::Container.with_acls(Acls::anyone_all());
const SEQUENTIAL: &CreateOptions<'static> =
    &CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
const EPHEMERAL_SEQUENTIAL: &CreateOptions<'static> =
    &CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());

fn server(dir: &tempfile::TempDir, lines: &str) -> Server {
    let lines = format!("tickTime=500\npreAllocSize=1024\n{lines}");
    Server::start(dir.path(), &lines, &[])
}

fn address(server: &Server) -> String {
    format!("127.0.0.1:{}", server.port)
}

async fn connect(server: &Server) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(10));
    connector.connect(&address(server)).await.expect("connect")
}

/// What must come within a minute.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(60), future).await {
        Ok(value) => value,
        Err(_) => panic!("not within a minute: {what}"),
    }
}

/// Waits until `done`, and fails after a minute.
async fn until<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done().await {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn nodes_of_every_mode_are_created_read_changed_and_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "extendedTypesEnabled=true");
    let c = connect(&server).await;
    let (created, _) = c.create("/a", b"one", PERSISTENT).await.expect("create");
    let fresh = Stat { data_length: 3, ..created };
    assert_eq!((fresh.version, fresh.cversion, fresh.aversion), (0, 0, 0));
    assert_eq!((created.czxid, created.ephemeral_owner), (created.mzxid, 0));
    assert_eq!(c.get_data("/a").await, Ok((b"one".to_vec(), created)));
    assert_eq!(c.create("/a", b"", PERSISTENT).await.err(), Some(Error::NodeExists));
    assert_eq!(c.create("/none/a", b"", PERSISTENT).await.err(), Some(Error::NoNode));

    assert_eq!(c.set_data("/a", b"two", Some(7)).await.err(), Some(Error::BadVersion));
    let set = c.set_data("/a", b"two!", Some(0)).await.expect("set");
    assert_eq!((set.version, set.data_length, set.czxid), (1, 4, created.czxid));
    assert!(set.mzxid > created.mzxid);
    assert_eq!(c.check_stat("/a").await, Ok(Some(set)));
    assert_eq!(c.check_stat("/b").await, Ok(None));
    assert_eq!(c.get_data("/b").await.err(), Some(Error::NoNode));

    let (container, _) = c.create("/a/container", b"", CONTAINER).await.expect("container");
    assert_eq!(container.ephemeral_owner, 0, "its kind is no client's business");
    let ttl = PERSISTENT.clone().with_ttl(Duration::from_secs(3600));
    c.create("/a/ttl", b"", &ttl).await.expect("a node with a time to live");
    let (ephemeral, _) = c.create("/a/ephemeral", b"", EPHEMERAL).await.expect("ephemeral");
    assert_eq!(ephemeral.ephemeral_owner, c.session_id().0);
    let child = c.create("/a/ephemeral/child", b"", PERSISTENT).await;
    assert_eq!(child.err(), Some(Error::NoChildrenForEphemerals));

    let mut children = c.list_children("/a").await.expect("children");
    children.sort();
    assert_eq!(children, ["container", "ephemeral", "ttl"]);
    let (children, stat) = c.get_children("/a").await.expect("children");
    assert_eq!((children.len(), stat.num_children, stat.cversion), (3, 3, 3));
    assert!(stat.pzxid > stat.mzxid);
    assert_eq!(c.count_descendants_number("/a").await, Ok(3));
    assert_eq!(c.list_ephemerals("/").await, Ok(vec!["/a/ephemeral".to_string()]));
    assert_eq!(c.list_ephemerals("/b").await, Ok(vec![]));

    assert_eq!(c.delete("/a", None).await.err(), Some(Error::NotEmpty));
    assert_eq!(c.delete("/a/ttl", Some(1)).await.err(), Some(Error::BadVersion));
    for child in children {
        c.delete(&format!("/a/{child}"), Some(0)).await.expect("delete");
    }
    c.delete("/a", None).await.expect("delete");
    assert_eq!(c.delete("/a", None).await.err(), Some(Error::NoNode));
    c.mkdir("/deep/er/still", PERSISTENT).await.expect("mkdir");
    assert_eq!(c.count_descendants_number("/deep").await, Ok(2));
    c.sync("/deep").await.expect("sync");
    assert_eq!(c.list_auth_users().await, Ok(vec![AuthUser::new("ip", "127.0.0.1")]));
}

#[tokio::test]
async fn sequence_numbers_rise_and_are_never_given_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "extendedTypesEnabled=true");
    let c = connect(&server).await;
    c.create("/seq", b"", PERSISTENT).await.expect("create");
    let ttl = SEQUENTIAL.clone().with_ttl(Duration::from_secs(3600));
    let mut numbers = Vec::new();
    for (i, options) in
        [SEQUENTIAL, EPHEMERAL_SEQUENTIAL, &ttl].into_iter().cycle().take(9).enumerate()
    {
        let (_, sequence) = c.create("/seq/n-", b"", options).await.expect("create");
        numbers.push(sequence.into_i64());
        if i % 2 == 0 {
            c.delete(&format!("/seq/n-{sequence}"), None).await.expect("the name is its number");
        }
    }
    assert_eq!(numbers, (0..9).collect::<Vec<_>>());
    let many = (0..50).map(|_| c.create("/seq/m-", b"", SEQUENTIAL));
    let many: Vec<_> = many.collect();
    let mut last = 8;
    for created in many {
        let (_, sequence) = created.await.expect("create");
        assert_eq!(sequence.into_i64(), last + 1);
        last = sequence.into_i64();
    }
}

#[tokio::test]
async fn a_multi_is_all_or_nothing_and_its_reads_are_of_one_moment() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    let c = connect(&server).await;
    let mut w = c.new_multi_writer();
    w.add_create("/m", b"0", PERSISTENT).expect("add");
    w.add_create("/m/child-", b"", SEQUENTIAL).expect("add");
    w.add_set_data("/m", b"1", Some(0)).expect("add");
    w.add_check_version("/m", 1).expect("add");
    w.add_create("/m/gone", b"", CONTAINER).expect("add");
    w.add_delete("/m/gone", None).expect("add");
    let results = w.commit().await.expect("commit");
    assert_eq!(results.len(), 6);
    let MultiWriteResult::Create { path, stat } = &results[1] else { panic!("{results:?}") };
    assert_eq!(path, "/m/child-0000000000");
    let MultiWriteResult::SetData { stat: set } = &results[2] else { panic!("{results:?}") };
    assert_eq!((set.mzxid, set.version), (stat.czxid, 1), "one zxid for all");
    assert_eq!(results[3], MultiWriteResult::Check);
    assert_eq!(results[5], MultiWriteResult::Delete);

    let mut w = c.new_multi_writer();
    w.add_set_data("/m", b"2", None).expect("add");
    w.add_create("/m/other", b"", PERSISTENT).expect("add");
    w.add_delete("/none", None).expect("add");
    w.add_delete("/m", None).expect("add");
    let failed = MultiWriteError::OperationFailed { index: 2, source: Error::NoNode };
    assert_eq!(w.commit().await, Err(failed));
    assert_eq!(c.get_data("/m").await.expect("get").0, b"1");
    assert_eq!(c.check_stat("/m/other").await, Ok(None));
    assert_eq!(c.new_multi_writer().commit().await, Ok(vec![]));

    let mut w = c.new_check_writer("/m", Some(1)).expect("a writer");
    w.add_set_data("/m", b"3", None).expect("add");
    assert_eq!(w.commit().await.expect("the version is right").len(), 1);
    let mut w = c.new_check_writer("/m", Some(1)).expect("a writer");
    w.add_delete("/m/child-0000000000", None).expect("add");
    let failed = CheckWriteError::CheckFailed { source: Error::BadVersion };
    assert_eq!(w.commit().await, Err(failed));

    let mut r = c.new_multi_reader();
    r.add_get_data("/m").expect("add");
    r.add_get_children("/m").expect("add");
    r.add_get_data("/none").expect("add");
    r.add_get_children("/m/child-0000000000").expect("add");
    let results = r.commit().await.expect("commit");
    let [
        MultiReadResult::Data { data, stat },
        MultiReadResult::Children { children },
        MultiReadResult::Error { err: Error::NoNode },
        MultiReadResult::Children { children: none },
    ] = &results[..]
    else {
        panic!("{results:?}")
    };
    assert_eq!((&data[..], stat.version), (&b"3"[..], 2));
    assert_eq!((&children[..], none.len()), (&["child-0000000000".to_string()][..], 0));
}

#[tokio::test]
async fn acls_let_in_whom_they_name() {
    let dir = tempfile::tempdir().expect("a directory");
    // The digest of super:admin.
    let digest = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=";
    let server = server(&dir, &format!("DigestAuthenticationProvider.superDigest={digest}"));
    let (owner, other) = (connect(&server).await, connect(&server).await);
    owner.auth("digest", b"ann:secret").await.expect("auth");
    let mut users = owner.list_auth_users().await.expect("who am I");
    users.sort_by(|a, b| a.scheme().cmp(b.scheme()));
    assert_eq!(users, [AuthUser::new("digest", "ann"), AuthUser::new("ip", "127.0.0.1")]);

    let entries = [
        Acl::new(Permission::ALL, AuthId::authed()),
        Acl::new(Permission::READ, AuthId::new("ip", "127.0.0.0/8")),
    ];
    let mine = CreateMode::Persistent.with_acls(Acls::new(&entries));
    let (stat, _) = owner.create("/mine", b"1", &mine).await.expect("create");
    assert_eq!(other.create("/no", b"", &mine).await.err(), Some(Error::InvalidAcl));
    assert_eq!(other.get_data("/mine").await, Ok((b"1".to_vec(), stat)));
    assert_eq!(other.set_data("/mine", b"2", None).await.err(), Some(Error::NoAuth));
    assert_eq!(other.create("/mine/child", b"", PERSISTENT).await.err(), Some(Error::NoAuth));
    owner.create("/mine/child", b"", PERSISTENT).await.expect("create");
    assert_eq!(other.delete("/mine/child", None).await.err(), Some(Error::NoAuth));
    assert_eq!(other.set_acl("/mine", &entries[1..], None).await.err(), Some(Error::NoAuth));

    let (acl, _) = owner.get_acl("/mine").await.expect("the ACL");
    assert_eq!((acl.len(), acl[0].scheme()), (2, "digest"));
    assert!(acl[0].id().starts_with("ann:") && acl[0].id().len() > 10, "{acl:?}");
    let (masked, _) = other.get_acl("/mine").await.expect("the ACL");
    assert_eq!(masked[0].id(), "ann:x");
    let set = owner.set_acl("/mine", &acl[..1], Some(0)).await.expect("set the ACL");
    assert_eq!(set.aversion, 1);
    assert_eq!(owner.set_acl("/mine", &acl, Some(0)).await.err(), Some(Error::BadVersion));
    assert_eq!(other.get_data("/mine").await.err(), Some(Error::NoAuth));
    assert_eq!(other.list_children("/mine").await.err(), Some(Error::NoAuth));
    assert_eq!(other.check_stat("/mine").await.err(), Some(Error::NoAuth));
    assert_eq!(other.get_acl("/mine").await.err(), Some(Error::NoAuth));
    assert_eq!(other.set_acl("/mine", &[], None).await.err(), Some(Error::InvalidAcl));

    other.auth("digest", b"ann:guess").await.expect("anybody may say who he is");
    assert_eq!(other.get_data("/mine").await.err(), Some(Error::NoAuth));
    other.auth("digest", b"ann:secret").await.expect("auth");
    other.get_data("/mine").await.expect("with the password");
    let admin = connect(&server).await;
    assert_eq!(admin.get_data("/mine").await.err(), Some(Error::NoAuth));
    admin.auth("digest", b"super:admin").await.expect("auth");
    admin.set_data("/mine", b"3", None).await.expect("the super user may");
    assert_eq!(admin.auth("nonsense", b"").await.err(), Some(Error::AuthFailed));
}

#[tokio::test]
async fn one_shot_watches_fire_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    let (c, other) = (connect(&server).await, connect(&server).await);
    let (none, created) = c.check_and_watch_stat("/w").await.expect("exists");
    assert!(none.is_none());
    let (stat, _) = other.create("/w", b"", PERSISTENT).await.expect("create");
    let event = soon("created", created.changed()).await;
    let got = (event.event_type, event.path.as_str(), event.zxid);
    assert_eq!(got, (EventType::NodeCreated, "/w", stat.czxid));

    let (_, _, data) = c.get_and_watch_data("/w").await.expect("get");
    let (_, children) = c.list_and_watch_children("/w").await.expect("list");
    let set = other.set_data("/w", b"1", None).await.expect("set");
    other.set_data("/w", b"2", None).await.expect("set");
    let event = soon("changed", data.changed()).await;
    assert_eq!((event.event_type, event.zxid), (EventType::NodeDataChanged, set.mzxid));
    let (child, _) = other.create("/w/child", b"", PERSISTENT).await.expect("create");
    let event = soon("children", children.changed()).await;
    let got = (event.event_type, event.path.as_str(), event.zxid);
    assert_eq!(got, (EventType::NodeChildrenChanged, "/w", child.czxid));

    let (_, _, children) = c.get_and_watch_children("/w").await.expect("list");
    let (_, data) = c.check_and_watch_stat("/w/child").await.expect("exists");
    other.delete("/w/child", None).await.expect("delete");
    assert_eq!(soon("deleted", data.changed()).await.event_type, EventType::NodeDeleted);
    assert_eq!(
        soon("children", children.changed()).await.event_type,
        EventType::NodeChildrenChanged
    );
    // A watch that is let go is taken back at the server.
    let (_, watch) = c.check_and_watch_stat("/w").await.expect("exists");
    assert_eq!(server.metric("watch_count"), 1);
    drop(watch);
    until("the watch is removed", || async { server.metric("watch_count") == 0 }).await;
}

#[tokio::test]
async fn persistent_watches_go_on_and_recursive_ones_go_down() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    let (c, other) = (connect(&server).await, connect(&server).await);
    let mut one = c.watch("/p", AddWatchMode::Persistent).await.expect("watch");
    let mut all = c.watch("/p", AddWatchMode::PersistentRecursive).await.expect("watch");
    let mut zxids = Vec::new();
    for _ in 0..2 {
        zxids.push(other.create("/p", b"", PERSISTENT).await.expect("create").0.czxid);
        zxids.push(other.set_data("/p", b"1", None).await.expect("set").mzxid);
        zxids.push(other.create("/p/q", b"", PERSISTENT).await.expect("create").0.czxid);
        zxids.push(other.set_data("/p/q", b"1", None).await.expect("set").mzxid);
        other.delete("/p/q", None).await.expect("delete");
        other.delete("/p", None).await.expect("delete");
    }
    use EventType::*;
    for round in 0..2 {
        for kind in
            [NodeCreated, NodeDataChanged, NodeChildrenChanged, NodeChildrenChanged, NodeDeleted]
        {
            let event = soon("an event", one.changed()).await;
            assert_eq!((event.event_type, event.path.as_str()), (kind, "/p"), "round {round}");
        }
        let expected = [
            (NodeCreated, "/p"),
            (NodeDataChanged, "/p"),
            (NodeCreated, "/p/q"),
            (NodeDataChanged, "/p/q"),
            (NodeDeleted, "/p/q"),
            (NodeDeleted, "/p"),
        ];
        for (i, expected) in expected.into_iter().enumerate() {
            let event = soon("an event", all.changed()).await;
            assert_eq!((event.event_type, event.path.as_str()), expected, "round {round}");
            if i < 4 {
                assert_eq!(event.zxid, zxids[4 * round + i]);
            }
        }
    }
    drop((one, all));
    until("the watches are removed", || async { server.metric("watch_count") == 0 }).await;
}

#[tokio::test]
async fn sessions_end_by_closing_and_by_silence() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    let c = connect(&server).await;
    assert_eq!(c.session_timeout(), Duration::from_secs(10));
    let brief = Client::connector().with_session_timeout(Duration::from_millis(1));
    let brief = brief.connect(&address(&server)).await.expect("connect");
    assert_eq!(brief.session_timeout(), Duration::from_secs(1), "two ticks at the least");

    let leaves = connect(&server).await;
    leaves.create("/closed", b"", EPHEMERAL).await.expect("create");
    let (_, gone) = c.check_and_watch_stat("/closed").await.expect("exists");
    let mut state = leaves.state_watcher();
    drop(leaves);
    assert_eq!(soon("deleted", gone.changed()).await.event_type, EventType::NodeDeleted);
    assert_eq!(soon("closed", state.changed()).await, SessionState::Closed);

    // A session that is left behind without being closed expires.
    let detached = Client::connector().with_session_timeout(Duration::from_secs(1)).with_detached();
    let detached = detached.connect(&address(&server)).await.expect("connect");
    detached.create("/silent", b"", EPHEMERAL).await.expect("create");
    let (_, gone) = c.check_and_watch_stat("/silent").await.expect("exists");
    let session = detached.into_session();
    assert_eq!(soon("expired", gone.changed()).await.event_type, EventType::NodeDeleted);
    let again = Client::connector().with_session(session).connect(&address(&server)).await;
    assert_eq!(again.err(), Some(Error::SessionExpired));
    assert_eq!(server.metric("stale_sessions_expired"), 1);
}

#[tokio::test]
async fn a_session_goes_on_after_the_server_was_killed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = server(&dir, "");
    let c = connect(&server).await;
    c.create("/e", b"mine", EPHEMERAL).await.expect("create");
    c.create("/p", b"", PERSISTENT).await.expect("create");
    let (_, _, changed) = c.get_and_watch_data("/p").await.expect("get");
    let (_, quiet) = c.check_and_watch_stat("/e").await.expect("exists");
    let mut recursive = c.watch("/p", AddWatchMode::PersistentRecursive).await.expect("watch");
    // Another session is left behind on purpose, and taken up again by hand.
    let left = Client::connector().with_session_timeout(Duration::from_secs(10)).with_detached();
    let left = left.connect(&address(&server)).await.expect("connect");
    left.create("/left", b"", EPHEMERAL).await.expect("create");
    let (session, id) = (left.session().clone(), left.session_id());
    drop(left);
    let mut state = c.state_watcher();
    server.kill();
    assert_eq!(soon("disconnected", state.changed()).await, SessionState::Disconnected);
    server.start_again();
    assert_eq!(soon("connected", state.changed()).await, SessionState::SyncConnected);
    let (data, stat) = c.get_data("/e").await.expect("the ephemeral survived");
    assert_eq!((&data[..], stat.ephemeral_owner), (&b"mine"[..], c.session_id().0));
    assert_eq!(c.list_ephemerals("/").await, Ok(vec!["/e".to_string()]));
    let taken_up = Client::connector().with_session(session).connect(&address(&server)).await;
    let taken_up = taken_up.expect("the session is still there");
    assert_eq!(taken_up.session_id(), id);
    assert_eq!(taken_up.list_ephemerals("/").await, Ok(vec!["/left".to_string()]));

    // The watches were set anew by the client.
    let set = taken_up.set_data("/p", b"1", None).await.expect("set");
    let event = soon("changed", changed.changed()).await;
    assert_eq!((event.event_type, event.zxid), (EventType::NodeDataChanged, set.mzxid));
    let mut event = soon("changed", recursive.changed()).await;
    while event.event_type == EventType::Session {
        event = soon("changed", recursive.changed()).await;
    }
    assert_eq!((event.event_type, event.zxid), (EventType::NodeDataChanged, set.mzxid));
    c.delete("/e", None).await.expect("delete");
    assert_eq!(soon("deleted", quiet.changed()).await.event_type, EventType::NodeDeleted);
}

#[tokio::test]
async fn quotas_count_and_hard_ones_refuse() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = server(&dir, "enforceQuota=true");
    let c = connect(&server).await;
    c.create("/q", b"12345", PERSISTENT).await.expect("create");
    let quota = "/zookeeper/quota/q";
    c.mkdir(quota, PERSISTENT).await.expect("mkdir");
    let limits = format!("{quota}/zookeeper_limits");
    let text = b"count=-1,bytes=-1=;byteHardLimit=20;countHardLimit=3";
    c.create(&limits, text, PERSISTENT).await.expect("limits");
    let stats = format!("{quota}/zookeeper_stats");
    c.create(&stats, b"", PERSISTENT).await.expect("stats");
    let counted = || async {
        let text = c.get_data(&stats).await.expect("stats").0;
        String::from_utf8(text).expect("text")
    };
    assert_eq!(counted().await, "count=1,bytes=5");
    c.create("/q/a", b"12345", PERSISTENT).await.expect("create");
    c.create("/q/b", b"", PERSISTENT).await.expect("create");
    assert_eq!(counted().await, "count=3,bytes=10");
    assert_eq!(c.create("/q/c", b"", PERSISTENT).await.err(), Some(Error::QuotaExceeded));
    assert_eq!(c.set_data("/q/b", &[0; 11], None).await.err(), Some(Error::QuotaExceeded));
    c.set_data("/q/b", &[0; 10], None).await.expect("exactly the limit");
    c.create("/outside", &[0; 100], PERSISTENT).await.expect("another subtree");
    c.delete("/q/a", None).await.expect("delete");
    assert_eq!(counted().await, "count=2,bytes=15");
    c.create("/q/c", b"12345", PERSISTENT).await.expect("there is room again");
    server.kill();
    server.start_again();
    until("it is there again", || async { c.check_stat("/q").await.is_ok() }).await;
    assert_eq!(counted().await, "count=3,bytes=20");
    assert_eq!(c.create("/q/d", b"", PERSISTENT).await.err(), Some(Error::QuotaExceeded));
    c.set_data(&limits, b"count=-1,bytes=-1", None).await.expect("no limits any more");
    c.create("/q/d", b"", PERSISTENT).await.expect("create");
}

#[tokio::test]
async fn the_configuration_is_a_node_that_nobody_may_write() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    let c = connect(&server).await;
    let (_, stat) = c.get_config().await.expect("the configuration");
    assert_eq!(stat.version, 0);
    let (_, _, watch) = c.get_and_watch_config().await.expect("the configuration");
    assert_eq!(c.set_data("/zookeeper/config", b"", None).await.err(), Some(Error::NoAuth));
    let update = EnsembleUpdate::New { ensemble: ["server.1=a:1:2;3"].into_iter() };
    assert_eq!(c.update_ensemble(update, None).await.err(), Some(Error::ReconfigDisabled));
    drop(watch);
    let root = c.chroot("/chrooted").expect("a chroot");
    root.create("/x", b"", PERSISTENT).await.expect_err("its root is not there");
}

#[tokio::test]
async fn empty_containers_and_old_nodes_go_by_themselves() {
    let dir = tempfile::tempdir().expect("a directory");
    let lines = "extendedTypesEnabled=true\nznode.container.checkIntervalMs=50";
    let mut server = server(&dir, lines);
    let c = connect(&server).await;
    c.create("/fresh", b"", CONTAINER).await.expect("create");
    c.create("/used", b"", CONTAINER).await.expect("create");
    c.create("/used/child", b"", PERSISTENT).await.expect("create");
    let long = PERSISTENT.clone().with_ttl(Duration::from_secs(3600));
    let short = PERSISTENT.clone().with_ttl(Duration::from_millis(100));
    c.create("/long", b"", &long).await.expect("create");
    c.create("/parent", b"", &short).await.expect("create");
    c.create("/parent/child", b"", PERSISTENT).await.expect("create");
    let (old, _) = c.create("/short", b"", &short).await.expect("create");
    let (_, used) = c.check_and_watch_stat("/used").await.expect("exists");
    let mut root = c.watch("/", AddWatchMode::Persistent).await.expect("watch");
    until("the old node is gone", || async { c.check_stat("/short").await == Ok(None) }).await;
    let event = soon("children", root.changed()).await;
    assert_eq!(event.event_type, EventType::NodeChildrenChanged);
    assert!(event.zxid > old.czxid, "it went by a transaction");

    c.delete("/used/child", None).await.expect("delete");
    let event = soon("the container goes", used.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeDeleted, "/used"));
    assert_eq!(c.check_stat("/used").await, Ok(None));
    for kept in ["/fresh", "/long", "/parent"] {
        assert!(c.check_stat(kept).await.expect("exists").is_some(), "{kept} is gone");
    }
    // What is due goes after a restart as well.
    server.kill();
    server.start_again();
    until("it is there again", || async { c.check_stat("/long").await.is_ok() }).await;
    assert!(c.check_stat("/parent").await.expect("exists").is_some(), "it has a child");
    c.delete("/parent/child", None).await.expect("delete");
    until("the parent is gone", || async { c.check_stat("/parent").await == Ok(None) }).await;
    assert!(c.check_stat("/fresh").await.expect("exists").is_some(), "it never had a child");
}

#[tokio::test]
async fn without_extended_types_there_is_no_time_to_live() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    let c = connect(&server).await;
    let ttl = PERSISTENT.clone().with_ttl(Duration::from_secs(1));
    assert_eq!(c.create("/ttl", b"", &ttl).await.err(), Some(Error::Unimplemented));
    c.create("/container", b"", CONTAINER).await.expect("containers need no extension");
}

#[tokio::test]
async fn a_lock_has_one_holder_at_a_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    connect(&server).await.create("/lock", b"0", PERSISTENT).await.expect("create");
    let mut holders = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let c = connect(&server).await;
        holders.spawn(async move {
            for _ in 0..10 {
                let prefix = LockPrefix::new_curator("/locks", "lock-").expect("a prefix");
                let options = zookeeper_client::LockOptions::new(Acls::anyone_all());
                let options = options.with_ancestor_options(PERSISTENT.clone()).expect("options");
                let lock = c.lock(prefix, b"", options).await.expect("lock");
                let (data, stat) = c.get_data("/lock").await.expect("get");
                let next = common::number(&data) + 1;
                // Nobody else writes in between, or the version would not fit.
                let next = next.to_string();
                lock.set_data("/lock", next.as_bytes(), Some(stat.version)).await.expect("set");
            }
        });
    }
    while let Some(done) = soon("the locks", holders.join_next()).await {
        done.expect("a holder");
    }
    let c = connect(&server).await;
    assert_eq!(c.get_data("/lock").await.expect("get").0, b"40");
    until("the last lock is let go", || async {
        c.list_children("/locks").await.is_ok_and(|children| children.is_empty())
    })
    .await;
}

/// Many clients of the library at once, each with its own counter under a common parent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_see_their_own_writes() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    let mut tasks = tokio::task::JoinSet::new();
    for id in 0..20 {
        let c = connect(&server).await;
        tasks.spawn(async move {
            let path = format!("/counter{id}");
            c.create(&path, b"0", EPHEMERAL).await.expect("create");
            for i in 1..=50u64 {
                let set = c.set_data(&path, i.to_string().as_bytes(), Some(i as i32 - 1));
                let get = c.get_data(&path);
                assert_eq!(set.await.expect("set").version, i as i32);
                assert_eq!(common::number(&get.await.expect("get").0), i);
            }
            (path, c)
        });
    }
    let mut clients = HashMap::new();
    while let Some(done) = soon("the counters", tasks.join_next()).await {
        let (path, c) = done.expect("a client");
        clients.insert(path, c);
    }
    let c = connect(&server).await;
    for (path, client) in &clients {
        let owner = c.check_stat(path).await.expect("exists").expect("a counter").ephemeral_owner;
        assert_eq!(owner, client.session_id().0);
    }
}
