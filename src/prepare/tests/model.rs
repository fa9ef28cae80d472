//! Any sequence of requests against a plain model of ZooKeeper's rules: same errors, same znodes; and a
//! second tree that is fed with the bytes stays equal at every zxid (`Server::run` sees to that).

use super::multi::multi as multi_body;
use super::*;
use crate::protocol::{CheckVersionRequest, MultiOp, MultiResult, MultiResults, path};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, PartialEq)]
struct Znode {
    data: Option<Vec<u8>>,
    /// Whether everybody may do everything, or only what is not in the ACL's gap.
    gap: i32,
    owner: i64,
    version: i32,
    aversion: i32,
    cversion: i32,
    czxid: Zxid,
    mzxid: Zxid,
    pzxid: Zxid,
}

#[derive(Debug, Clone, PartialEq)]
struct Model {
    znodes: BTreeMap<String, Znode>,
    sessions: BTreeSet<i64>,
}

#[derive(Debug, Clone)]
enum Step {
    Create { path: &'static str, flags: i32, gap: i32, two: bool },
    Ttl { path: &'static str, flags: i32, ttl_ms: i64 },
    Delete { path: &'static str, version: i32 },
    Set { path: &'static str, data: Option<&'static [u8]>, version: i32 },
    SetAcl { path: &'static str, gap: i32, version: i32 },
    Check { path: &'static str, version: i32 },
    Reap { path: &'static str },
    Multi(Vec<Step>),
    Open,
    Close,
}

/// The ACL of a znode: one entry for everybody without the permissions in `gap`.
fn acl(gap: i32) -> Vec<AclRef<'static>> {
    vec![AclRef { perms: perms::ALL & !gap, ..AclRef::ANYONE_ALL }]
}

impl Znode {
    fn new(zxid: Zxid, owner: i64, gap: i32) -> Self {
        let (data, version, aversion, cversion) = (Some(vec![]), 0, 0, 0);
        let (czxid, mzxid, pzxid) = (zxid, zxid, zxid);
        Znode { data, gap, owner, version, aversion, cversion, czxid, mzxid, pzxid }
    }
}

impl Model {
    fn new() -> Self {
        let mut znodes = BTreeMap::new();
        for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
            znodes.insert(path.to_owned(), Znode::new(0, 0, 0));
        }
        let config = znodes.get_mut("/zookeeper/config").unwrap();
        (config.gap, config.aversion) = (perms::ALL & !perms::READ, -1);
        Model { znodes, sessions: BTreeSet::new() }
    }

    fn has_children(&self, path: &str) -> bool {
        self.children(path) > 0
    }

    fn children(&self, path: &str) -> usize {
        self.znodes.keys().filter(|child| path::parent(child) == Some(path)).count()
    }

    fn node(&self, path: &str) -> Result<&Znode, ErrorCode> {
        self.znodes.get(path).ok_or(ErrorCode::NoNode)
    }

    fn allow(node: &Znode, permission: i32) -> Result<(), ErrorCode> {
        if node.gap & permission == 0 { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }

    fn live(&self, session: i64) -> Result<(), ErrorCode> {
        self.sessions.get(&session).map(|_| ()).ok_or(ErrorCode::SessionExpired)
    }

    fn valid(path: &str) -> Result<(), ErrorCode> {
        path::validate(path).map_err(|_| ErrorCode::BadArguments)
    }

    fn expect(current: i32, version: i32) -> Result<(), ErrorCode> {
        if version == -1 || version == current { Ok(()) } else { Err(ErrorCode::BadVersion) }
    }

    /// Carries a step out, or says why not and changes nothing (a multi: see there).
    fn step(&mut self, session: i64, zxid: Zxid, step: &Step) -> Result<(), ErrorCode> {
        match step {
            Step::Create { path, flags, gap, .. } => {
                let owner = if flags & 1 == 1 { session } else { 0 };
                self.create(session, zxid, path, flags & 2 == 2, owner, *gap)
            }
            Step::Ttl { path, flags, ttl_ms } => {
                let owner = crate::protocol::ttl_owner(*ttl_ms).filter(|_| *flags >= 5);
                let owner = owner.ok_or(ErrorCode::BadArguments)?;
                self.create(session, zxid, path, *flags == 6, owner, 0)
            }
            Step::Delete { path, version } => {
                self.live(session)?;
                let parent = self.deletable(path)?;
                Self::allow(self.node(&parent)?, perms::DELETE)?;
                Self::expect(self.node(path)?.version, *version)?;
                self.remove(zxid, path, &parent)
            }
            Step::Set { path, data, version } => {
                self.live(session)?;
                Self::valid(path)?;
                Self::allow(self.node(path)?, perms::WRITE)?;
                Self::expect(self.node(path)?.version, *version)?;
                let node = self.znodes.get_mut(*path).unwrap();
                node.data = data.map(<[u8]>::to_vec);
                (node.version, node.mzxid) = (node.version + 1, zxid);
                Ok(())
            }
            Step::SetAcl { path, gap, version } => {
                self.live(session)?;
                Self::valid(path)?;
                Self::allow(self.node(path)?, perms::ADMIN)?;
                Self::expect(self.node(path)?.aversion, *version)?;
                let node = self.znodes.get_mut(*path).unwrap();
                (node.gap, node.aversion) = (*gap, node.aversion + 1);
                Ok(())
            }
            Step::Check { path, version } => {
                self.live(session)?;
                Self::valid(path)?;
                Self::allow(self.node(path)?, perms::READ)?;
                Self::expect(self.node(path)?.version, *version)
            }
            Step::Reap { path } => {
                let parent = self.deletable(path)?;
                Self::allow(self.node(&parent)?, perms::DELETE)?;
                let owner = self.node(path)?.owner;
                if !self.has_children(path) && owner > 0 {
                    return Err(ErrorCode::BadVersion);
                }
                self.remove(zxid, path, &parent)
            }
            Step::Open => {
                self.sessions.insert(session);
                Ok(())
            }
            Step::Close => {
                let owned =
                    |(path, node): (&String, &Znode)| (node.owner == session).then(|| path.clone());
                let paths: Vec<_> = self.znodes.iter().filter_map(owned).collect();
                for path in paths {
                    self.remove(zxid, &path, path::parent(&path).unwrap())?;
                }
                self.sessions.remove(&session);
                Ok(())
            }
            Step::Multi(_) => unreachable!("the caller takes it apart"),
        }
    }

    fn deletable(&self, path: &str) -> Result<String, ErrorCode> {
        let special = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];
        if special.contains(&path) {
            return Err(ErrorCode::BadArguments);
        }
        let slash = path.rfind('/').ok_or(ErrorCode::BadArguments)?;
        Ok(path[..slash.max(1)].to_owned())
    }

    fn remove(&mut self, zxid: Zxid, path: &str, parent: &str) -> Result<(), ErrorCode> {
        self.node(path)?;
        if self.has_children(path) {
            return Err(ErrorCode::NotEmpty);
        }
        self.znodes.remove(path);
        self.znodes.get_mut(parent).unwrap().pzxid = zxid;
        Ok(())
    }

    fn create(
        &mut self,
        session: i64,
        zxid: Zxid,
        path: &str,
        numbered: bool,
        owner: i64,
        gap: i32,
    ) -> Result<(), ErrorCode> {
        self.live(session)?;
        let slash = path.rfind('/').ok_or(ErrorCode::BadArguments)?;
        let parent = path[..slash.max(1)].to_owned();
        let (cversion, parent_owner) = {
            let node = self.node(&parent)?;
            Self::allow(node, perms::CREATE)?;
            (node.cversion, node.owner)
        };
        let path = if numbered { format!("{path}{cversion:010}") } else { path.to_owned() };
        Self::valid(&path)?;
        if self.znodes.contains_key(&path) {
            return Err(ErrorCode::NodeExists);
        }
        if parent_owner > 0 {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let node = self.znodes.get_mut(&parent).unwrap();
        (node.cversion, node.pzxid) = (cversion + 1, zxid);
        self.znodes
            .insert(path, Znode { data: Some(b"d".to_vec()), ..Znode::new(zxid, owner, gap) });
        Ok(())
    }

    /// All or nothing; the results as errors if it fails.
    fn multi(&mut self, session: i64, zxid: Zxid, steps: &[Step]) -> Vec<ErrorCode> {
        let before = self.clone();
        for (index, step) in steps.iter().enumerate() {
            if let Err(error) = self.step(session, zxid, step) {
                *self = before;
                let mut results = vec![ErrorCode::Ok; index];
                results.push(error);
                results.resize(steps.len(), ErrorCode::RuntimeInconsistency);
                return results;
            }
        }
        vec![]
    }

    /// The tree holds what the model holds, and nothing else.
    fn compare(&self, server: &Server) {
        for (path, znode) in &self.znodes {
            let node = server.tree.get(path).unwrap_or_else(|| panic!("{path} is missing"));
            let stat = node.stat_persisted();
            assert_eq!(node.data(), znode.data.as_deref(), "{path}");
            assert_eq!(server.acl_of(path), [acl(znode.gap)[0].to_owned()], "{path}");
            let (czxid, mzxid, pzxid) = (stat.czxid, stat.mzxid, stat.pzxid);
            assert_eq!((czxid, mzxid, pzxid), (znode.czxid, znode.mzxid, znode.pzxid), "{path}");
            let (version, aversion) = (znode.version, znode.aversion);
            assert_eq!((stat.version, stat.aversion), (version, aversion), "{path}");
            let (children, cversion) = (self.children(path), znode.cversion);
            // Those that every tree begins with were never counted.
            assert_eq!(stat.cversion, cversion, "{path}");
            assert_eq!(node.num_children() as usize, children, "{path}");
            assert_eq!(stat.ephemeral_owner, znode.owner, "{path}");
        }
        assert_eq!(server.tree.node_count() as usize, self.znodes.len() + 1);
        for session in [SESSION, OTHER] {
            assert_eq!(server.tree.session(session).is_some(), self.sessions.contains(&session));
            let owned: Vec<_> =
                self.znodes.iter().filter(|(_, node)| node.owner == session).collect();
            let paths: Vec<_> = owned.iter().map(|(path, _)| (*path).clone()).collect();
            assert_eq!(server.tree.ephemerals(session).collect::<Vec<_>>(), paths);
        }
    }
}

fn op(step: &Step) -> Option<MultiOp<'static>> {
    Some(match *step {
        Step::Create { path, flags, gap, two } => {
            let request = CreateRequest { path, data: Some(b"d"), acl: acl(gap), flags };
            MultiOp::Create { op: if two { OpCode::Create2 } else { OpCode::Create }, request }
        }
        Step::Ttl { path, flags, ttl_ms } => {
            let (data, acl) = (Some(&b"d"[..]), acl(0));
            MultiOp::CreateTtl(CreateTtlRequest { path, data, acl, flags, ttl_ms })
        }
        Step::Delete { path, version } => MultiOp::Delete(DeleteRequest { path, version }),
        Step::Set { path, data, version } => {
            MultiOp::SetData(SetDataRequest { path, data, version })
        }
        Step::Check { path, version } => MultiOp::Check(CheckVersionRequest { path, version }),
        _ => return None,
    })
}

/// Sends a step; what it fails with.
fn send(server: &mut Server, step: &Step) -> ErrorCode {
    let (code, body) = match step {
        Step::Open => (OpCode::CreateSession, 4000_i32.to_be_bytes().to_vec()),
        Step::Close => (OpCode::CloseSession, vec![]),
        Step::Reap { path } => {
            (OpCode::DeleteContainer, bytes(&crate::protocol::SyncRequest { path: Some(path) }))
        }
        Step::SetAcl { path, gap, version } => {
            let request = SetAclRequest { path, acl: acl(*gap), version: *version };
            (OpCode::SetAcl, bytes(&request))
        }
        _ => {
            let op = op(step).expect("every other step is an operation");
            let mut framed = Vec::new();
            op.encode(&mut framed);
            // Behind the header of a multi's operation stands the request itself.
            (op.op(), framed.split_off(9))
        }
    };
    server.error(code, &body)
}

fn run(steps: &[(bool, Step)]) {
    let mut server = Server::new();
    let mut model = Model::new();
    model.sessions.extend([SESSION, OTHER]);
    for (other, step) in steps {
        server.session = if *other { OTHER } else { SESSION };
        let (session, zxid) = (server.session, server.zxid + 1);
        if let Step::Multi(subs) = step {
            let ops: Vec<_> = subs.iter().filter_map(op).collect();
            server.ok(OpCode::Multi, &multi_body(&ops));
            let expected = model.multi(session, zxid, subs);
            let errors = MultiResults::new(&server.out.reply).filter_map(|r| match r.unwrap() {
                MultiResult::Error(error) => ErrorCode::from_i32(error),
                _ => None,
            });
            assert_eq!(errors.collect::<Vec<_>>(), expected, "{subs:?}");
        } else {
            let expected = model.step(session, zxid, step).err().unwrap_or(ErrorCode::Ok);
            assert_eq!(send(&mut server, step), expected, "{step:?}");
        }
        model.compare(&server);
    }
}

const PATHS: [&str; 12] = [
    "/a",
    "/b",
    "/a/x",
    "/a/y",
    "/a/x/deep",
    "/b/",
    "/",
    "/zookeeper/config",
    "bad",
    "/a/./x",
    "/b/z",
    "/zookeeper",
];

fn path() -> impl Strategy<Value = &'static str> + Clone {
    proptest::sample::select(&PATHS[..])
}

fn version() -> impl Strategy<Value = i32> + Clone {
    prop_oneof![5 => Just(-1), 3 => 0..3_i32, 1 => Just(-2)]
}

fn gap() -> impl Strategy<Value = i32> + Clone {
    prop_oneof![6 => Just(0), 1 => (0..5).prop_map(|bit| 1 << bit)]
}

const DATA: [Option<&[u8]>; 3] = [None, Some(b""), Some(b"some data")];

fn operation() -> impl Strategy<Value = Step> + Clone {
    let data = proptest::sample::select(&DATA[..]);
    prop_oneof![
        6 => (path(), 0..4_i32, gap(), any::<bool>())
            .prop_map(|(path, flags, gap, two)| Step::Create { path, flags, gap, two }),
        1 => (path(), 5..7_i32, 0..3_i64)
            .prop_map(|(path, flags, ttl_ms)| Step::Ttl { path, flags, ttl_ms }),
        4 => (path(), version()).prop_map(|(path, version)| Step::Delete { path, version }),
        4 => (path(), data, version())
            .prop_map(|(path, data, version)| Step::Set { path, data, version }),
        2 => (path(), version()).prop_map(|(path, version)| Step::Check { path, version }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => operation().prop_map(|op| match op {
            // A check stands in a multi alone.
            Step::Check { .. } => Step::Multi(vec![op]),
            _ => op,
        }),
        4 => proptest::collection::vec(operation(), 0..6).prop_map(Step::Multi),
        1 => (path(), gap(), version())
            .prop_map(|(path, gap, version)| Step::SetAcl { path, gap, version }),
        1 => path().prop_map(|path| Step::Reap { path }),
        1 => Just(Step::Open),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #[test]
    fn any_sequence_does_what_the_model_says(
        steps in proptest::collection::vec((any::<bool>(), step()), 1..60),
    ) {
        run(&steps);
    }
}
