//! Clients: sessions that write, read, move between servers and go away.
//!
//! A client is as suspicious as a real one may be: answers come in the order of its requests, their zxids
//! never go back, and each acknowledged write must be in the history.

use std::collections::VecDeque;

use ringkeeper::jute::Encode;
use ringkeeper::protocol::{AclRef, CreateRequest, DeleteRequest, OpCode, SetDataRequest, Zxid};
use ringkeeper::protocol::{MultiOp, end_multi};
use ringkeeper::zab::Sid;

use crate::check::{Rule, Violation};
use crate::context::{Context, Event};
use crate::random::Random;
use crate::time::Micros;

/// What a client asks of a server.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which client.
    pub client: usize,
    /// In which of its connections.
    pub connection: u64,
    /// What.
    pub what: What,
}

/// See [`Ask`].
#[derive(Clone, Debug)]
pub enum What {
    /// A new session (0), or the old one again.
    Connect {
        /// The session.
        session: i64,
        /// Its timeout.
        timeout_ms: i32,
        /// The last zxid it has seen.
        last_zxid: Zxid,
    },
    /// A write.
    Write {
        /// The client's number of it.
        cxid: i32,
        /// The opcode.
        op: OpCode,
        /// The request's record.
        body: Vec<u8>,
    },
    /// A read.
    Read {
        /// The client's number of it.
        cxid: i32,
        /// Which znode.
        path: String,
    },
    /// A sync.
    Sync {
        /// The client's number of it.
        cxid: i32,
    },
    /// The connection is closed by the client.
    Leave,
}

/// What a server tells a client.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The session is attached.
    Attached {
        /// Which.
        session: i64,
    },
    /// There is no such session any more.
    Expired,
    /// The server closes the connection.
    Dropped,
    /// A request is done.
    Done {
        /// Which.
        cxid: i32,
        /// At which zxid.
        zxid: Zxid,
        /// A write: it is in the history.
        write: bool,
        /// The error.
        err: i32,
    },
}

/// A client.
pub struct Client {
    index: usize,
    random: Random,
    session: i64,
    server: Sid,
    connection: u64,
    attached: bool,
    outstanding: VecDeque<i32>,
    next_cxid: i32,
    last_zxid: Zxid,
    /// When it last heard of the server or asked something.
    heard_at: Micros,
    closing: bool,
    /// It has a turn between its turns.
    hurries: bool,
    /// It asks nothing any more.
    pub done: bool,
}

impl Client {
    /// A client without a session.
    pub fn new(index: usize, seed: u64) -> Client {
        Client {
            index,
            random: Random::new(seed, "client", index as u64),
            session: 0,
            server: 0,
            connection: 0,
            attached: false,
            outstanding: VecDeque::new(),
            next_cxid: 1,
            last_zxid: 0,
            heard_at: 0,
            closing: false,
            hurries: false,
            done: false,
        }
    }

    /// Its turn: `ask` carries a message to a server.
    pub fn turn(&mut self, ctx: &mut Context, ask: &mut dyn FnMut(&mut Context, Sid, Ask)) {
        if self.done {
            return;
        }
        let options = ctx.plan.clients.clone();
        let pause = self.random.spread(options.think_us) + 1_000;
        if !std::mem::take(&mut self.hurries) {
            ctx.queue.put(ctx.now() + pause, Event::Client(self.index));
        }
        if self.server != 0 {
            let late = ctx.now() > self.heard_at + options.patience_us;
            let waits = !self.attached || !self.outstanding.is_empty();
            let moves = self.attached && self.random.chance(options.move_per_mille);
            if late && waits || moves {
                if moves {
                    ctx.report.moves += 1;
                }
                self.leave(ctx, ask);
            }
        }
        if self.server == 0 {
            return self.connect(ctx, ask);
        }
        if self.attached && self.outstanding.len() < options.pipeline && !self.closing {
            self.request(ctx, ask);
        }
    }

    fn leave(&mut self, ctx: &mut Context, ask: &mut dyn FnMut(&mut Context, Sid, Ask)) {
        // Now and then it says nothing: the server has to find out.
        if self.random.chance(700) {
            ask(ctx, self.server, self.ask(What::Leave));
        }
        self.lost();
    }

    fn lost(&mut self) {
        self.server = 0;
        self.attached = false;
        self.outstanding.clear();
        self.connection += 1;
        if self.closing {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.session = 0;
        self.closing = false;
        self.next_cxid = 1;
    }

    fn ask(&self, what: What) -> Ask {
        Ask { client: self.index, connection: self.connection, what }
    }

    fn connect(&mut self, ctx: &mut Context, ask: &mut dyn FnMut(&mut Context, Sid, Ask)) {
        let servers = ctx.plan.servers.clone();
        self.server = *self.random.pick(&servers);
        self.heard_at = ctx.now();
        let what = What::Connect {
            session: self.session,
            timeout_ms: ctx.plan.clients.timeout_ms,
            last_zxid: self.last_zxid,
        };
        ask(ctx, self.server, self.ask(what));
        // It may ask for something there before what it asked for elsewhere has got through.
        if self.random.chance(500) {
            self.hurries = true;
            ctx.queue.put(ctx.now() + self.random.spread(3_000) + 500, Event::Client(self.index));
        }
    }

    fn request(&mut self, ctx: &mut Context, ask: &mut dyn FnMut(&mut Context, Sid, Ask)) {
        let cxid = self.next_cxid;
        self.next_cxid += 1;
        if self.outstanding.is_empty() {
            self.heard_at = ctx.now();
        }
        self.outstanding.push_back(cxid);
        if self.random.chance(ctx.plan.clients.close_per_mille) {
            let close = What::Write { cxid, op: OpCode::CloseSession, body: Vec::new() };
            ask(ctx, self.server, self.ask(close));
            self.closing = true;
            // What comes behind the close must come to nothing.
            let late = self.create(true);
            let late = What::Write { cxid: cxid + 1, op: OpCode::Create, body: late };
            ask(ctx, self.server, self.ask(late));
            return;
        }
        let what = match self.random.below(10) {
            0 | 1 => What::Read { cxid, path: self.path() },
            2 => What::Sync { cxid },
            3 | 4 => What::Write { cxid, op: OpCode::Create, body: self.create(false) },
            5 => What::Write { cxid, op: OpCode::Create, body: self.create(true) },
            6 => What::Write { cxid, op: OpCode::Delete, body: self.delete() },
            7 => What::Write { cxid, op: OpCode::Multi, body: self.multi() },
            _ => What::Write { cxid, op: OpCode::SetData, body: self.set_data() },
        };
        ask(ctx, self.server, self.ask(what));
    }

    fn path(&mut self) -> String {
        let (a, b) = (self.random.below(6), self.random.below(4));
        if self.random.chance(500) { format!("/n{a}") } else { format!("/n{a}/m{b}") }
    }

    fn value(&mut self) -> Vec<u8> {
        let (number, length) = (self.random.bits(), self.random.below(60) as usize);
        let mut value = number.to_be_bytes().to_vec();
        value.resize(8 + length, 7);
        value
    }

    fn create(&mut self, ephemeral: bool) -> Vec<u8> {
        let (path, value, mut body) = (self.path(), self.value(), Vec::new());
        let flags = i32::from(ephemeral) + if self.random.chance(200) { 2 } else { 0 };
        let acl = vec![AclRef::ANYONE_ALL];
        CreateRequest { path: &path, data: Some(&value), acl, flags }.encode(&mut body);
        body
    }

    fn delete(&mut self) -> Vec<u8> {
        let (path, mut body) = (self.path(), Vec::new());
        DeleteRequest { path: &path, version: -1 }.encode(&mut body);
        body
    }

    fn set_data(&mut self) -> Vec<u8> {
        let (path, value, mut body) = (self.path(), self.value(), Vec::new());
        let version = if self.random.chance(200) { 1 } else { -1 };
        SetDataRequest { path: &path, data: Some(&value), version }.encode(&mut body);
        body
    }

    fn multi(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        for _ in 0..self.random.between(1, 3) {
            let (path, value) = (self.path(), self.value());
            let request = SetDataRequest { path: &path, data: Some(&value), version: -1 };
            let delete = DeleteRequest { path: &path, version: -1 };
            match self.random.below(3) {
                0 => MultiOp::Delete(delete).encode(&mut body),
                _ => MultiOp::SetData(request).encode(&mut body),
            }
        }
        end_multi(&mut body);
        body
    }

    /// A server's answer in one of its connections.
    pub fn told(&mut self, ctx: &mut Context, connection: u64, reply: Reply) {
        if connection != self.connection || self.server == 0 {
            return;
        }
        self.heard_at = ctx.now();
        match reply {
            Reply::Attached { session } => {
                if self.session != 0 && self.session != session {
                    let detail = format!("client {} asked for another session", self.index);
                    return ctx.fail(Violation { rule: Rule::SessionSees, detail });
                }
                if self.session == 0 {
                    self.next_cxid = 1;
                }
                self.session = session;
                self.attached = true;
            }
            Reply::Expired => {
                self.lost();
                self.forget();
            }
            Reply::Dropped => self.lost(),
            Reply::Done { cxid, zxid, write, err } => self.done(ctx, (cxid, zxid, write, err)),
        }
    }

    fn done(&mut self, ctx: &mut Context, (cxid, zxid, write, _err): (i32, Zxid, bool, i32)) {
        let expected = self.outstanding.pop_front();
        // What was sent behind a close was never expected to be answered.
        if expected != Some(cxid) && !self.closing {
            let detail = format!(
                "client {} is answered request {cxid}, the oldest one open is {expected:?}",
                self.index
            );
            ctx.fail(Violation { rule: Rule::SessionSees, detail });
        }
        if zxid < self.last_zxid {
            let last = self.last_zxid;
            let detail = format!("client {} sees 0x{zxid:x} after 0x{last:x}", self.index);
            ctx.fail(Violation { rule: Rule::SessionSees, detail });
        }
        self.last_zxid = self.last_zxid.max(zxid);
        if write {
            ctx.report.acknowledged += 1;
            let checked = ctx.checker.acknowledged(self.session, cxid, zxid);
            ctx.check(checked);
        } else {
            ctx.report.reads += 1;
        }
    }
}

/// The body of createSession.
pub fn create_session_body(timeout_ms: i32) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_i32(timeout_ms);
    body
}
