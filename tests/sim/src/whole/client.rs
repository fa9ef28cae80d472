//! What clients do: sessions that ask in bursts, watch, drop their connections, move, fall silent and close.

use ringkeeper::protocol::{ConnectRequest, Zxid, begin_frame, end_frame};
use ringkeeper::session::password;

use super::draw::{HOME, draw, stage};
use super::request::{Ask, rewatch};
use super::stream::{Sent, Stream, Told};
use super::thread::frames;
use super::watches::Watches;
use super::world::{Event, World};
use super::{Violation, broken};
use crate::random::Random;
use crate::time::{MS, Micros};

/// What a client is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    /// It has no connection.
    Away,
    /// It has asked for its session.
    Connecting,
    /// It works.
    Live,
    /// It says nothing until then.
    Silent(Micros),
    /// It has closed its session, and waits for the answer.
    Closing,
}

/// See the module's documentation.
pub struct Client {
    random: Random,
    state: State,
    session: i64,
    timeout_ms: i32,
    /// The last zxid that its session was shown.
    seen: Zxid,
    next_xid: i32,
    /// Its connection.
    link: Option<usize>,
    stream: Stream,
    /// What its session watched on the last connection.
    to_rewatch: Option<Watches>,
    spoke_at: Micros,
    /// When bytes of its session last arrived at the server.
    arrived_at: Micros,
    /// When they last arrived so late that the session might have been given up.
    late_at: Micros,
    /// Changes that set the stage.
    stage: Vec<Ask>,
}

impl Client {
    /// The `number`th.
    pub fn new(seed: u64, number: usize, crowd: bool) -> Client {
        Client {
            random: Random::new(seed, "whole client", number as u64),
            state: State::Away,
            session: 0,
            timeout_ms: 0,
            seen: 0,
            next_xid: 1,
            link: None,
            stream: Stream::new(0),
            to_rewatch: None,
            spoke_at: 0,
            arrived_at: 0,
            late_at: 0,
            stage: if number == 0 { stage(crowd) } else { Vec::new() },
        }
    }

    /// Whether it waits for nothing.
    pub fn is_content(&self) -> bool {
        self.state == State::Live && self.stream.sent.is_empty()
    }

    /// What it is about, in words.
    pub fn about(&self) -> String {
        let first = self.stream.sent.front();
        format!("{:?}, {} under way, first {first:?}", self.state, self.stream.sent.len())
    }
}

impl World {
    /// A client's time has come.
    pub fn act(&mut self, number: usize) -> Result<(), Violation> {
        let now = self.queue.now();
        let think = self.plan.think;
        let client = &mut self.clients[number];
        let mut again = now + 1 + client.random.spread(think);
        match client.state {
            State::Away => self.connect(number),
            State::Connecting | State::Closing => {
                // A connect that is not answered is given up, as clients do.
                if now > client.spoke_at + 3_000 * MS && !self.is_calm {
                    self.drop_link(number);
                }
                again = again.max(now + 20 * MS);
            }
            State::Silent(until) if now < until && !self.is_calm => again = now + 30 * MS,
            State::Silent(_) => client.state = State::Live,
            State::Live => self.live(number),
        }
        self.queue.put(again, Event::Act(number));
        Ok(())
    }

    fn live(&mut self, number: usize) {
        let now = self.queue.now();
        let plan = self.plan.clone();
        let calm = self.is_calm;
        let client = &mut self.clients[number];
        let r = &mut client.random;
        if !calm && client.stage.is_empty() {
            if r.chance(plan.drop) {
                self.report.dropped += 1;
                return self.drop_link(number);
            }
            if r.chance(plan.moves) {
                if !client.stream.sent.is_empty() {
                    self.report.moves += 1;
                }
                return self.move_away(number);
            }
            if r.chance(plan.silent) {
                let silence = (client.timeout_ms as u64 * 2 + 500) * MS;
                client.state = State::Silent(now + silence);
                return;
            }
            if r.chance(plan.close) && client.stream.sent.len() < plan.pipeline {
                client.state = State::Closing;
                return self.ask(number, vec![Ask::Close]);
            }
        }
        let mut asks = Vec::new();
        let room = plan.pipeline.saturating_sub(client.stream.sent.len());
        if calm {
            // One last look, behind everything.
            if client.stream.sent.is_empty() && now > self.calm_at + 1_000 * MS {
                let late = now > self.calm_at + 4_000 * MS;
                if now - client.spoke_at > 200 * MS && !late {
                    asks = vec![Ask::Sync(HOME.into()), Ask::GetChildren(HOME.into(), false)];
                }
            } else if client.stream.sent.is_empty() {
                asks.extend(client.stage.pop());
            }
        } else if let Some(staged) = client.stage.pop() {
            match client.stream.sent.is_empty() {
                true => asks.push(staged),
                false => client.stage.push(staged),
            }
        } else {
            let most = r.between(1, plan.burst).min(room as u64);
            for _ in 0..most {
                let ask = draw(r, &plan, &client.stream.watches);
                asks.push(ask);
            }
        }
        let quiet = now - client.spoke_at > client.timeout_ms as u64 * MS / 3;
        if asks.is_empty() && quiet {
            asks.push(Ask::Ping);
        }
        self.ask(number, asks);
    }

    /// Sends requests.
    fn ask(&mut self, number: usize, asks: Vec<Ask>) {
        let (floor, at) = (self.told, self.queue.now());
        let client = &mut self.clients[number];
        let Some(link) = client.link else { return };
        let mut bytes = Vec::new();
        for ask in asks {
            let xid = ask.fixed_xid().unwrap_or(client.next_xid);
            if ask.fixed_xid().is_none() {
                client.next_xid += 1;
            }
            ask.encode(xid, &mut bytes);
            match ask {
                Ask::Ping => client.stream.pings += 1,
                ask => client.stream.sent.push_back(Sent { xid, ask, floor, at }),
            }
        }
        if !bytes.is_empty() {
            client.spoke_at = self.queue.now();
            self.send_up(link, bytes);
        }
    }

    fn connect(&mut self, number: usize) {
        if self.server.is_none() {
            return;
        }
        let shard = self.clients[number].random.below(self.plan.shards as u64) as usize;
        let link = self.open_link(number, shard);
        self.say(|| format!("client {number} connects to shard {shard}"));
        let now = self.queue.now();
        let [low, high] = self.plan.timeout_ms;
        let client = &mut self.clients[number];
        let secret = password(client.session);
        let mut bytes = Vec::new();
        let frame = begin_frame(&mut bytes);
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: client.seen,
            timeout_ms: client.random.between(low, high) as i32,
            session_id: client.session,
            password: Some(if client.session == 0 { &[0; 16] } else { &secret }),
            read_only: Some(false),
        }
        .encode(&mut bytes);
        end_frame(&mut bytes, frame);
        // Some ask at once, before they know that they are let in.
        let hurries = client.stage.is_empty() && client.random.chance(200);
        let watches = Watches::new();
        let asks: Vec<Ask> = match hurries && !self.is_calm {
            true => (0..3).map(|_| draw(&mut client.random, &self.plan, &watches)).collect(),
            false => Vec::new(),
        };
        client.state = State::Connecting;
        // It may be another one from here on; which, the answer tells.
        client.timeout_ms = 0;
        client.spoke_at = now;
        client.link = Some(link);
        client.stream = Stream::new(client.seen);
        self.send_up(link, bytes);
        self.ask(number, asks);
    }

    /// Bytes of a client arrive at the server. Those of a connection that is not known to be attached prove nothing.
    pub fn arrives(&mut self, number: usize, link: usize) {
        let now = self.queue.now();
        let client = &mut self.clients[number];
        if client.link == Some(link) && client.state != State::Connecting {
            if now - client.arrived_at + 2 * MS >= client.timeout_ms as u64 * MS {
                client.late_at = now;
            }
            client.arrived_at = now;
        }
    }

    /// R9: the server closes a session. It must have been silent for its time-out, give or take the milliseconds that
    /// are counted whole.
    pub fn expires(&self, session: i64) -> Result<(), Violation> {
        let now = self.queue.now();
        for client in self.clients.iter().filter(|client| client.session == session) {
            let allowed = client.timeout_ms as u64 * MS;
            let (silent, late) = (now - client.arrived_at, now - client.late_at);
            if silent + 2 * MS < allowed && late > allowed {
                let timeout_ms = client.timeout_ms;
                let detail =
                    format!("{session:x} expires after {silent} us; it has {timeout_ms} ms");
                return broken("R9", detail);
            }
        }
        Ok(())
    }

    /// A client leaves its connection, and what was under way on it is nobody's.
    fn leave(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let stream = std::mem::replace(&mut client.stream, Stream::new(client.seen));
        if client.state != State::Connecting {
            client.to_rewatch = (!stream.watches.is_empty()).then_some(stream.watches);
        }
        client.state = State::Away;
        client.link = None;
    }

    /// The session goes over to another connection while the first still stands.
    fn move_away(&mut self, number: usize) {
        let Some(link) = self.clients[number].link else { return };
        self.leave(number);
        let after = self.queue.now() + self.net.spread(50 * MS);
        self.queue.put(after, Event::Desert(link));
    }

    /// A client closes its connection.
    pub fn drop_link(&mut self, number: usize) {
        let Some(link) = self.clients[number].link else { return };
        self.leave(number);
        self.close_link(link);
    }

    /// A client sees that its connection is gone.
    pub fn lost(&mut self, number: usize, link: usize) {
        if self.clients[number].link == Some(link) {
            self.say(|| format!("client {number} loses its connection"));
            self.leave(number);
        }
    }

    /// A client has read bytes.
    pub fn heard(&mut self, number: usize, link: usize, bytes: &[u8]) -> Result<(), Violation> {
        let mut parser = std::mem::take(&mut self.links[link].unparsed);
        parser.extend_from_slice(bytes);
        let mut used = 0;
        let all: Vec<&[u8]> = frames(&parser).collect();
        for frame in all {
            used += 4 + frame.len();
            if self.clients[number].link != Some(link) {
                break;
            }
            self.frame(number, frame)?;
        }
        parser.drain(..used);
        self.links[link].unparsed = parser;
        Ok(())
    }

    fn frame(&mut self, number: usize, frame: &[u8]) -> Result<(), Violation> {
        let client = &mut self.clients[number];
        let told = client.stream.take(&self.history, frame)?;
        client.seen = client.seen.max(client.stream.seen);
        if self.trace {
            let text =
                format!("{:>9} client {number}: {told:?} at {}", self.queue.now(), client.seen);
            println!("{text:.200}");
        }
        match told {
            Told::Attached { session, timeout_ms } => self.attached(number, session, timeout_ms)?,
            Told::Refused => {
                self.report.refused += 1;
                let session = client.session;
                let died = self.history.session(session).is_none_or(|(_, died)| died.is_some());
                if session == 0 || !died {
                    return broken("sessions", format!("{session:x} lives and was refused"));
                }
                client.session = 0;
                client.seen = 0;
                client.to_rewatch = None;
                client.next_xid = 1;
                self.drop_link(number);
            }
            Told::Answer(sent) => {
                let sent_at = sent.at;
                self.report.answers += 1;
                match sent.ask {
                    Ask::Multi(_) => self.report.multis += 1,
                    Ask::SetWatches(..) => self.report.rewatched += 1,
                    Ask::Close => {
                        self.report.closed += 1;
                        client.session = 0;
                        client.seen = 0;
                        client.to_rewatch = None;
                        client.next_xid = 1;
                        client.stream.watches = Watches::new();
                        self.drop_link(number);
                    }
                    _ => {}
                }
                self.was_prompt(sent_at)?;
            }
            Told::Event => self.report.events += 1,
            Told::Pong => {}
        }
        Ok(())
    }

    fn attached(&mut self, number: usize, session: i64, timeout_ms: i32) -> Result<(), Violation> {
        self.report.attached += 1;
        let client = &mut self.clients[number];
        if client.session != 0 && client.session != session {
            let wanted = client.session;
            return broken("sessions", format!("{session:x} was attached for {wanted:x}"));
        }
        if self.history.session(session).is_none() {
            return broken("sessions", format!("{session:x} was attached and never was"));
        }
        client.session = session;
        client.timeout_ms = timeout_ms;
        client.state = State::Live;
        if let Some(watches) = client.to_rewatch.take() {
            let again = rewatch(&self.history, client.seen, &watches);
            self.ask(number, vec![again]);
        }
        Ok(())
    }
}
