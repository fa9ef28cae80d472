//! The rules that the replies and events of a connection keep, checked by what the client has read.
//!
//! R1: answers in the order of the requests. R2: zxids never back, over all connections of a session, and a
//! session reads its own writes. R3 and R4: before anything newer, exactly the events that what was shown and
//! is now shown owes to the watches set. R5: each answer is that of the state of exactly one zxid. R10: no
//! answer is older than what anybody had been told when it was asked for.

use std::collections::VecDeque;

use ringkeeper::jute::Decoder;
use ringkeeper::protocol::{
    ConnectResponse, ErrorCode, EventType, GetChildren2Response, GetDataResponse,
    GetEphemeralsResponse, MultiResults, ReplyHeader, StatResponse, SyncResponse, WatcherEvent,
    Zxid, xid,
};

use super::answer::Sees;
use super::model::History;
use super::request::{Again, Ask};
use super::watches::{Kind, Watches};
use super::{Violation, broken};
use crate::time::Micros;

/// A request that is not answered yet.
#[derive(Debug)]
pub struct Sent {
    /// Its number.
    pub xid: i32,
    /// What was asked.
    pub ask: Ask,
    /// What somebody had been told before it was sent.
    pub floor: Zxid,
    /// When it was sent.
    pub at: Micros,
}

/// What a frame was.
#[derive(Debug)]
pub enum Told {
    /// The session is attached.
    Attached {
        /// Its id.
        session: i64,
        /// Its time-out.
        timeout_ms: i32,
    },
    /// There is no such session.
    Refused,
    /// An answer to a request.
    Answer(Sent),
    /// A watch event.
    Event,
    /// The answer to a ping.
    Pong,
}

/// One connection's replies. See the module's documentation.
pub struct Stream {
    /// The session; 0 before it is attached.
    pub session: i64,
    /// Requests in the order in which they were sent.
    pub sent: VecDeque<Sent>,
    /// What it watches.
    pub watches: Watches,
    /// The last zxid that its session was shown.
    pub seen: Zxid,
    /// Pings that are not answered.
    pub pings: u32,
    is_attached: bool,
    /// Events of no zxid, which come before the answer to setWatches.
    catch_up: Vec<(EventType, String)>,
}

fn kind_of(code: i32) -> ErrorCode {
    ErrorCode::from_i32(code).unwrap_or(ErrorCode::SystemError)
}

impl Stream {
    /// Of a connection whose session, if it has one, was shown `seen`.
    pub fn new(seen: Zxid) -> Stream {
        Stream {
            session: 0,
            sent: VecDeque::new(),
            watches: Watches::new(),
            seen,
            pings: 0,
            is_attached: false,
            catch_up: Vec::new(),
        }
    }

    /// A frame was read.
    pub fn take(&mut self, history: &History, frame: &[u8]) -> Result<Told, Violation> {
        let mut d = Decoder::new(frame);
        let told = match self.is_attached {
            false => self.connected(&mut d),
            true => self.reply(history, &mut d),
        };
        told.and_then(|told| match d.is_empty() {
            true => Ok(told),
            false => broken("bytes", format!("{} bytes behind {told:?}", d.remaining().len())),
        })
    }

    fn connected(&mut self, d: &mut Decoder<'_>) -> Result<Told, Violation> {
        let Ok(response) = ConnectResponse::decode(d) else {
            return broken("bytes", "no connect response");
        };
        if response.session_id == 0 {
            return Ok(Told::Refused);
        }
        self.is_attached = true;
        self.session = response.session_id;
        let (session, timeout_ms) = (response.session_id, response.timeout_ms);
        Ok(Told::Attached { session, timeout_ms })
    }

    fn reply(&mut self, history: &History, d: &mut Decoder<'_>) -> Result<Told, Violation> {
        let Ok(header) = ReplyHeader::decode(d) else {
            return broken("bytes", "a frame holds no reply header");
        };
        if header.zxid > history.last() {
            return broken("R6", format!("{} was told of and never was", header.zxid));
        }
        match header.xid {
            xid::NOTIFICATION => self.event(history, &header, d),
            xid::PING => {
                self.see(history, header.zxid)?;
                self.pings = match self.pings.checked_sub(1) {
                    Some(pings) => pings,
                    None => return broken("R1", "a pong that nobody asked for"),
                };
                Ok(Told::Pong)
            }
            _ => self.answer(history, &header, d),
        }
    }

    /// The connection is shown `zxid`, by other than an event.
    fn see(&mut self, history: &History, zxid: Zxid) -> Result<(), Violation> {
        self.not_back(zxid)?;
        self.watches.advance(history, zxid);
        if let Some((of, event, path)) = self.watches.oldest() {
            let detail = format!("shown {zxid} before {event:?} of {path} at {of}");
            return broken("R3", detail);
        }
        Ok(())
    }

    fn not_back(&mut self, zxid: Zxid) -> Result<(), Violation> {
        if zxid < self.seen {
            let (session, seen) = (self.session, self.seen);
            return broken("R2", format!("session {session:x} was shown {seen}, then {zxid}"));
        }
        self.seen = zxid;
        Ok(())
    }

    fn event(
        &mut self,
        history: &History,
        header: &ReplyHeader,
        d: &mut Decoder<'_>,
    ) -> Result<Told, Violation> {
        let event = WatcherEvent::decode(d).ok();
        let Some((kind, path)) = event.and_then(|e| Some((EventType::from_i32(e.kind)?, e.path)))
        else {
            return broken("bytes", "a notification holds no event");
        };
        if header.zxid == -1 {
            self.catch_up.push((kind, path.to_owned()));
            return Ok(Told::Event);
        }
        self.not_back(header.zxid)?;
        self.watches.advance(history, header.zxid);
        if !self.watches.told(header.zxid, kind, path) {
            let owed = self.watches.oldest();
            let zxid = header.zxid;
            let detail = format!("{kind:?} of {path} at {zxid} was told; owed is {owed:?}");
            return broken("R4", detail);
        }
        Ok(Told::Event)
    }

    fn answer(
        &mut self,
        history: &History,
        header: &ReplyHeader,
        d: &mut Decoder<'_>,
    ) -> Result<Told, Violation> {
        let Some(sent) = self.sent.pop_front() else {
            return broken("R1", format!("an answer to {} that nobody asked for", header.xid));
        };
        if sent.xid != header.xid {
            return broken("R1", format!("{} was answered before {}", header.xid, sent.xid));
        }
        let zxid = header.zxid;
        if zxid < sent.floor {
            let floor = sent.floor;
            let detail =
                format!("{} was answered at {zxid} when {floor} had been told of", sent.xid);
            return broken("R10", detail);
        }
        self.see(history, zxid)?;
        let sees = Sees { history, zxid, error: header.err };
        match &sent.ask {
            Ask::SetWatches(seen, again) => self.caught_up(&sees, *seen, again)?,
            _ if !self.catch_up.is_empty() => {
                return broken("R4", "an event of no zxid that nobody asked for");
            }
            _ => {}
        }
        let what = match self.is_right(&sees, &sent, d) {
            Ok(what) => what,
            Err(_) => Some("its body is cut off"),
        };
        match what {
            None => Ok(Told::Answer(sent)),
            Some(what) => {
                let Sent { xid, ask, .. } = sent;
                let (session, error) = (self.session, kind_of(header.err));
                let detail =
                    format!("session {session:x}'s {xid}, {ask:?}, at {zxid}, {error:?}: {what}");
                broken("R5", detail)
            }
        }
    }

    /// Whether an answer is what the state of its zxid makes it; if not, what is wrong. What it arms is armed.
    fn is_right(
        &mut self,
        sees: &Sees<'_>,
        sent: &Sent,
        d: &mut Decoder<'_>,
    ) -> Result<Option<&'static str>, ringkeeper::jute::DecodeError> {
        let Sees { history, zxid, error } = *sees;
        let ok = error == 0;
        Ok(match &sent.ask {
            Ask::GetData(path, watch) => match history.node(path, zxid) {
                Some(node) if ok => {
                    let answer = GetDataResponse::decode(d)?;
                    self.arm_if(*watch, path, Kind::Data);
                    let same =
                        *answer.data.unwrap_or_default() == *node.data && answer.stat == node.stat;
                    (!same).then_some("the data are of another state")
                }
                node => sees.fails(node.is_some(), ErrorCode::NoNode),
            },
            Ask::Exists(path, watch) => {
                self.arm_if(*watch, path, Kind::Data);
                match history.node(path, zxid) {
                    Some(node) if ok => {
                        let same = StatResponse::decode(d)?.stat == node.stat;
                        (!same).then_some("the Stat is of another state")
                    }
                    node => sees.fails(node.is_some(), ErrorCode::NoNode),
                }
            }
            Ask::GetChildren(path, watch) => match history.node(path, zxid) {
                Some(node) if ok => {
                    let mut answer = GetChildren2Response::decode(d)?;
                    answer.children.sort_unstable();
                    self.arm_if(*watch, path, Kind::Child);
                    let same =
                        answer.children == history.children(path, zxid) && answer.stat == node.stat;
                    (!same).then_some("the children are of another state")
                }
                node => sees.fails(node.is_some(), ErrorCode::NoNode),
            },
            Ask::MultiRead(data, children) => {
                let mut results = MultiResults::new(d.remaining());
                let mut right = ok;
                for path in data {
                    right &= sees.is_data(path, results.next());
                }
                for path in children {
                    right &= sees.are_children(path, results.next());
                }
                right &= results.next().is_none();
                d.skip(d.remaining().len());
                (!right).then_some("the results are not those of one state")
            }
            Ask::Change(change) => sees.changed(self.session, sent.xid, change, d)?,
            Ask::Multi(changes) => {
                let results: Result<Vec<_>, _> = MultiResults::new(d.remaining()).collect();
                let results = results?;
                d.skip(d.remaining().len());
                sees.multi(self.session, sent.xid, changes, &results)
            }
            Ask::Sync(path) => {
                let same = SyncResponse::decode(d)?.path == Some(path);
                (!same || !ok).then_some("sync has another path")
            }
            Ask::GetEphemerals => {
                let mut answer = GetEphemeralsResponse::decode(d)?;
                answer.ephemerals.sort_unstable();
                let same = answer.ephemerals == history.ephemerals(self.session, zxid);
                (!same || !ok).then_some("the ephemerals are of another state")
            }
            Ask::AddWatch(path, recursive) => {
                let kind = if *recursive { Kind::Recursive } else { Kind::Persistent };
                self.watches.arm(path, kind);
                (d.i32()? != 0 || !ok).then_some("a watch is refused")
            }
            Ask::RemoveWatches(path, kind) => {
                let had = self.watches.disarm(path, *kind);
                sees.fails(!had, ErrorCode::NoWatcher).filter(|_| had != ok)
            }
            Ask::SetWatches(..) => (!ok).then_some("setWatches failed"),
            Ask::Close => {
                let record = sees.record(self.session, sent.xid);
                let closes = record.is_some_and(|record| record.closes_session());
                (!closes || !ok).then_some("the session is not closed by that")
            }
            Ask::Ping => Some("a ping is answered by a pong"),
        })
    }

    fn arm_if(&mut self, watch: bool, path: &str, kind: Kind) {
        if watch {
            self.watches.arm(path, kind);
        }
    }

    /// The answer to setWatches: what changed after `seen` was told, the rest is watched on.
    fn caught_up(
        &mut self,
        sees: &Sees<'_>,
        seen: Zxid,
        watches: &[Again],
    ) -> Result<(), Violation> {
        let mut expected = Vec::new();
        for Again { path, kind, missing } in watches {
            let node = sees.history.node(path, sees.zxid).map(|node| &node.stat);
            let event = match (kind, missing, node) {
                (Kind::Persistent | Kind::Recursive, _, _) => None,
                (Kind::Data, true, Some(_)) => Some(EventType::NodeCreated),
                (Kind::Data, true, None) => None,
                (_, _, None) => Some(EventType::NodeDeleted),
                (Kind::Data, _, Some(stat)) => {
                    (stat.mzxid > seen).then_some(EventType::NodeDataChanged)
                }
                (Kind::Child, _, Some(stat)) => {
                    (stat.pzxid > seen).then_some(EventType::NodeChildrenChanged)
                }
            };
            match event {
                Some(event) => expected.push((event, path.clone())),
                None => self.watches.arm(path, *kind),
            }
        }
        let mut told = std::mem::take(&mut self.catch_up);
        let order = |a: &(EventType, String), b: &(EventType, String)| {
            (a.0.code(), &a.1).cmp(&(b.0.code(), &b.1))
        };
        expected.sort_by(order);
        told.sort_by(order);
        match told == expected {
            true => Ok(()),
            false => {
                let zxid = sees.zxid;
                broken("R4", format!("behind {seen}, at {zxid}: told {told:?}, owed {expected:?}"))
            }
        }
    }
}
