//! Carrying out what the core asks for.

use std::sync::Arc;

use ringkeeper::zab::{Action, ConnId, LookUpAnswer, Packet};

use super::log::Log;
use super::{Replay, SYNC};

impl Replay<'_> {
    pub(super) fn act(&mut self, action: Action) {
        self.note(|| format!("    {:.200}", format!("{action:?}")));
        match action {
            Action::SendElection { to, message } => {
                self.votes_sent.entry(to).or_default().push(message);
            }
            Action::Connect { to, attempt } => self.wanted = Some((to, attempt)),
            Action::Close { conn, reason } => self.closed(conn, reason.to_string()),
            Action::Send { conn, packet } => self.sent(conn, packet),
            Action::StreamLog { conn, after, through } => {
                let entries: Vec<_> = self.log.entries.range(after + 1..=through).collect();
                let packets: Vec<_> = entries
                    .into_iter()
                    .flat_map(|(zxid, (txn, config))| {
                        let (txn, config) = (Arc::clone(txn), config.clone());
                        [
                            Packet::Proposal { zxid: *zxid, txn, config },
                            Packet::Commit { zxid: *zxid },
                        ]
                    })
                    .collect();
                packets.into_iter().for_each(|packet| self.sent(conn, packet));
            }
            Action::LookUp { conn, zxid } => {
                let begins = if self.memory_only { self.life.disk.snapshot } else { 0 };
                let entries = self.log.entries.range(..=zxid);
                let floor = entries.map(|(zxid, _)| *zxid).next_back().unwrap_or(self.log.base);
                let floor = (zxid >= begins).then_some(floor);
                self.zab.handle_lookup(conn, LookUpAnswer { floor, too_much: false });
            }
            Action::PinSnapshot { conn } => {
                let zxid = self.zab.committed();
                self.zab.handle_snapshot_pinned(conn, zxid);
            }
            Action::SendSnapshot { conn, zxid } => self.sent(conn, Packet::Snap { zxid }),
            Action::Append { generation, zxid, txn } => {
                self.log.entries.insert(zxid, (txn, None));
                match self.leads() {
                    true => self.held.push((zxid, generation)),
                    false => self.zab.handle_durable(zxid, generation),
                }
            }
            Action::SyncLog { generation } => {
                self.held.clear();
                self.zab.handle_durable(self.log.last(), generation);
            }
            Action::Truncate { generation, to } => {
                self.log.cut(to);
                let last = self.log.last();
                self.zab.handle_truncated(last, generation);
            }
            Action::StoreEpochs { token, .. } => self.zab.handle_epochs_stored(token),
            Action::StageSnapshot { conn, zxid } => {
                self.log = Log { base: zxid, ..Log::default() };
                self.zab.handle_snapshot_staged(conn);
            }
            Action::TakeOver { generation } => self.zab.handle_taken_over(generation),
            Action::Request { conn, request, .. } if request.kind == SYNC => {
                self.zab.learner_sync(conn);
            }
            Action::Revalidate { conn, session, .. } => self.asked.push_back((conn, session)),
            Action::AnswerPing { conn, zxid } => self.pings.push_back((conn, zxid)),
            Action::Role(role) => {
                self.roles.push(role);
                if !self.leads() {
                    self.held.clear();
                }
            }
            _ => {}
        }
    }

    pub(super) fn sent(&mut self, conn: ConnId, packet: Packet) {
        let number = u32::try_from(conn.0).expect("a connection of the recording");
        self.conns.get_mut(&number).expect("a connection of the recording").sent.push(packet);
    }

    pub(super) fn closed(&mut self, conn: ConnId, reason: String) {
        let number = u32::try_from(conn.0).expect("a connection of the recording");
        let conn = self.conns.get_mut(&number).expect("a connection of the recording");
        conn.open = false;
        conn.closed = Some(reason);
    }
}
