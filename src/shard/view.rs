//! What four-letter words are told of a shard: its connections and its watches.

use super::State;
use super::conn::{Conn, ConnStats, Phase};
use crate::admin::words::{ConnectionView, Needs, SessionPart, WatchSummary, WatcherView};
use crate::admin::{ShardLetter, ShardPart};
use crate::reactor::Io;

impl State {
    /// Answers what the desk asks.
    pub(super) fn letters<I: Io>(&mut self, io: &mut I) {
        for letter in self.links.desk.mailbox.take() {
            match letter {
                ShardLetter::Tell(question, needs) => {
                    let part = self.part(io, needs);
                    self.links.desk.tell(question, part);
                }
                ShardLetter::Answer(conn, text) => {
                    if let Some(out) = io.out(conn) {
                        out.extend_from_slice(&text);
                    }
                    io.close(conn, true);
                }
                ShardLetter::ResetConnections => {
                    for conn in self.conns.iter_mut().flatten() {
                        conn.stats = ConnStats {
                            established_ms: conn.stats.established_ms,
                            last_op: "NA",
                            last_cxid: -1,
                            last_zxid: -1,
                            min_latency_us: u64::MAX,
                            ..ConnStats::default()
                        };
                    }
                }
            }
        }
    }

    fn part<I: Io>(&self, io: &I, needs: Needs) -> ShardPart {
        let mut part = ShardPart::default();
        if needs.connections {
            let last_heard = |conn: &Conn| self.links.heard.last_ms(conn.slot);
            let ahead_ms = io.wall_clock_ms() - (io.now_ns() / 1_000_000) as i64;
            part.connections = self
                .conns
                .iter()
                .flatten()
                .map(|conn| {
                    // Without a session it has from its beginning until its handshake is late.
                    let (since_ms, may_last_ms) = match conn.phase {
                        Phase::Live => (last_heard(conn), i64::from(conn.timeout_ms)),
                        _ => {
                            (conn.accepted_ns / 1_000_000, self.limits.handshake_timeout_ms as i64)
                        }
                    };
                    connection_view(io, conn, since_ms as i64 + ahead_ms + may_last_ms)
                })
                .collect();
        }
        if needs.watch_summary {
            let counts = self.watches.counts();
            part.watch_summary = WatchSummary {
                connections: counts.conns,
                paths: counts.paths,
                total: counts.data_watches,
            };
        }
        if needs.watchers {
            part.watchers = self
                .watches
                .conns_from(0)
                .map(|(index, paths)| WatcherView {
                    session: self
                        .conns
                        .get(index as usize)
                        .and_then(|c| c.as_ref())
                        .map_or(0, |c| c.session_id),
                    paths: paths.map(str::to_string).collect(),
                })
                .collect();
        }
        part
    }
}

fn connection_view<I: Io>(io: &I, conn: &Conn, expires_ms: i64) -> ConnectionView {
    let s = &conn.stats;
    let ms = |us: u64| (us / 1_000) as i64;
    let min_us = if s.min_latency_us == u64::MAX { 0 } else { s.min_latency_us };
    let session = (conn.phase == Phase::Live).then(|| SessionPart {
        id: conn.session_id,
        last_operation: s.last_op,
        established_ms: s.established_ms,
        timeout_ms: conn.timeout_ms,
        last_cxid: i64::from(s.last_cxid),
        last_zxid: s.last_zxid,
        last_response_ms: (s.last_response_ns / 1_000_000) as i64,
        last_latency_ms: ms(s.last_latency_us),
        min_latency_ms: ms(min_us),
        avg_latency_ms: ms(s.total_latency_us / s.sent.max(1)),
        max_latency_ms: ms(s.max_latency_us),
    });
    ConnectionView {
        peer: conn.peer,
        interest_ops: u8::from(!conn.paused) | if io.backlog(conn.id) > 0 { 4 } else { 0 },
        queued: conn.pending.len() as u64,
        received: s.received,
        sent: s.sent,
        expires_ms,
        session,
    }
}
