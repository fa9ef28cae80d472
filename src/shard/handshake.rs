//! The first bytes of a connection: a four-letter word, or a `ConnectRequest`, and what becomes of it; and
//! authentication, which changes who a connection is.

use crate::admin::words::{self, Word};
use crate::auth;
use crate::jute::Decoder;
use crate::lanes::entry::Attached;
use crate::lanes::request::{Request, RequestKind};
use crate::metrics::{Counter, Summary};
use crate::protocol::{
    AuthPacket, ConnectRequest, ConnectResponse, ErrorCode, OpCode, ReplyHeader, begin_frame,
    end_frame,
};
use crate::reactor::Io;
use crate::session::password;

use super::State;
use super::conn::{Conn, Frame, Phase, split_frame};
use super::serve::Flow;

impl State {
    /// Takes the first bytes of a connection; returns how many it used, 0 if it needs more.
    pub(super) fn handshake<I: Io>(&mut self, io: &mut I, conn: &mut Conn, input: &[u8]) -> usize {
        if let Some(word) = input.first_chunk::<4>().and_then(|&b| Word::from_prefix(b)) {
            self.word(io, conn, word);
            return input.len();
        }
        let (frame, taken) = match split_frame(input, self.limits.frame_bytes_max) {
            Frame::Whole(frame, taken) => (frame, taken),
            Frame::Partial => return 0,
            Frame::BadLength(length) => {
                self.refuse_length(io, conn, length);
                return input.len();
            }
        };
        let request = match ConnectRequest::decode(&mut Decoder::new(frame)) {
            Ok(request) => request,
            Err(e) => {
                self.complain(
                    Counter::RefusedBadConnect,
                    format_args!(
                        "closed {}: its first frame is no connect request ({e})",
                        conn.peer
                    ),
                );
                conn.phase = Phase::Closing;
                io.close(conn.id, true);
                return input.len();
            }
        };
        // Asked before the throttle, which must not be asked twice.
        if self.lane.is_full() {
            if !conn.stalled {
                conn.stalled = true;
                self.stalled.push(conn.id);
            }
            self.pause(io, conn);
            return 0;
        }
        let renewed = request.session_id != 0;
        let Some(deficit) = self.links.admission.session(renewed, (io.now_ns() / 1_000_000) as i64)
        else {
            self.metrics.count(Counter::ConnectionsRejected);
            let peer = conn.peer;
            let why =
                format_args!("refused a session to {peer}: too many ask (connectionMaxTokens)");
            self.complain(Counter::RefusedByThrottle, why);
            conn.phase = Phase::Closing;
            io.close(conn.id, false);
            return input.len();
        };
        self.metrics.record(Summary::TokenDeficit, deficit);
        conn.knows_read_only = request.read_only.is_some();
        let message = Request {
            kind: RequestKind::Connect,
            op: OpCode::CreateSession.code(),
            cxid: 0,
            identities: conn.identities_number,
            conn: conn.id,
            session_id: request.session_id,
            slot: 0,
            generation: 0,
            body: frame,
        };
        assert!(self.forward(&message), "the lane had room a moment ago");
        self.received(conn);
        self.metrics.count(Counter::ConnectionRequests);
        if renewed {
            self.metrics.count(Counter::ConnectionRevalidations);
        }
        conn.phase = Phase::Connecting;
        conn.connecting = true;
        self.connecting += 1;
        taken
    }

    /// A four-letter word: refused here if it is not on the white list, otherwise the desk's.
    fn word<I: Io>(&mut self, io: &mut I, conn: &mut Conn, word: Word) {
        self.received(conn);
        conn.phase = Phase::Closing;
        if word == Word::TelnetClose {
            io.close(conn.id, true);
        } else if !self.links.white_list.allows(word) {
            if let Some(out) = io.out(conn.id) {
                out.extend_from_slice(&words::refusal(word));
            }
            let why = format_args!(
                "{} asked {}, which 4lw.commands.whitelist has not",
                conn.peer,
                word.name()
            );
            self.complain(Counter::RefusedWord, why);
            io.close(conn.id, true);
        } else if self.links.desk.ask(word, self.index, conn.id) {
            // Who pipes a word into nc has said all that he will say.
            io.outlive_input(conn.id);
        } else {
            io.close(conn.id, true);
        }
    }

    /// Its connect request is no longer with the core, or the connection is gone.
    pub(super) fn end_connect(&mut self, conn: &mut Conn) {
        self.connecting -= usize::from(std::mem::take(&mut conn.connecting));
    }

    /// The core attached the connection to a session.
    pub(super) fn attached<I: Io>(&mut self, io: &mut I, conn: &mut Conn, to: Attached) {
        if conn.phase != Phase::Connecting {
            return;
        }
        conn.phase = Phase::Live;
        conn.session_id = to.session_id;
        conn.timeout_ms = to.timeout_ms;
        conn.slot = to.slot;
        conn.generation = to.generation;
        self.links.heard.touch(conn.slot, io.now_ns() / 1_000_000);
        let password = password(to.session_id);
        self.answer_connect(io, conn, to.timeout_ms, to.session_id, &password);
        conn.stats.sent += 1;
        conn.stats.last_op = "SESS";
        self.input(io, conn);
    }

    /// Expired, unknown, or a wrong password: session 0 with timeout 0, then the connection is closed.
    pub(super) fn refused<I: Io>(&mut self, io: &mut I, conn: &mut Conn) {
        self.answer_connect(io, conn, 0, 0, &[0; 16]);
        conn.phase = Phase::Closing;
        io.close(conn.id, true);
    }

    fn answer_connect<I: Io>(
        &mut self,
        io: &mut I,
        conn: &Conn,
        timeout_ms: i32,
        session_id: i64,
        password: &[u8],
    ) {
        let Some(out) = io.out(conn.id) else { return };
        let frame = begin_frame(out);
        ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id,
            password: Some(password),
            read_only: conn.knows_read_only.then_some(false),
        }
        .encode(out);
        end_frame(out, frame);
    }

    /// An auth packet: answered at once; a failure closes the connection.
    pub(super) fn authenticate<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        cxid: i32,
        body: &[u8],
    ) -> Flow {
        let outcome = self.judge(conn, body);
        let err = match &outcome {
            Ok(()) => ErrorCode::Ok,
            Err(why) => {
                let peer = conn.peer;
                let why = format_args!("closed {peer}: authentication failed: {why}");
                self.complain(Counter::AuthFailed, why);
                ErrorCode::AuthFailed
            }
        };
        if let Some(out) = io.out(conn.id) {
            let frame = begin_frame(out);
            ReplyHeader { xid: cxid, zxid: 0, err: err.code() }.encode(out);
            end_frame(out, frame);
        }
        if err == ErrorCode::Ok {
            return Flow::Next;
        }
        io.close(conn.id, true);
        Flow::Close
    }

    /// Adds what an auth packet proves to the connection's identities.
    fn judge(&mut self, conn: &mut Conn, body: &[u8]) -> Result<(), String> {
        let r = AuthPacket::decode(&mut Decoder::new(body)).map_err(|e| e.to_string())?;
        let config = &self.links.auth;
        let gained =
            auth::authenticate(config, r.scheme.unwrap_or_default(), r.auth, conn.peer.ip())
                .map_err(|e| e.to_string())?;
        let all =
            auth::extend_identities(config, &conn.identities, gained).map_err(|e| e.to_string())?;
        let (number, list) = self.links.identities.acquire(&all).map_err(|e| e.to_string())?;
        self.tell(RequestKind::Release, conn);
        conn.identities = list;
        conn.identities_number = number;
        Ok(())
    }
}
