//! What the data of each type of packet means.

use std::sync::Arc;

use super::error::{Side, WireError};
use super::members::read_config;
use super::raw::{RawPacket, kind, put};
use crate::jute::{DecodeError, Decoder, Encode};
use crate::protocol::OpCode;
use crate::txn::{TxnHeader, TxnType};
use crate::zab::{
    EnsembleConfig, Epoch, LearnerInfo, LearnerRequest, Packet, Touched, Txn, Zxid, counter_of,
    epoch_of, make_zxid,
};

/// The zxid of packets that are about none.
const NO_ZXID: Zxid = -1;
const TOUCHED_BYTES: usize = 12;

/// A packet as its sender means it. `at` is its place in the stream.
pub(super) fn interpret(raw: &RawPacket<'_>, sender: Side, at: u64) -> Result<Packet, WireError> {
    let mut fields = Fields { raw, at, data: Decoder::new(raw.data.unwrap_or_default()) };
    match sender {
        Side::Leader => from_leader(&mut fields),
        Side::Learner => from_learner(&mut fields),
    }
}

fn from_leader(fields: &mut Fields<'_>) -> Result<Packet, WireError> {
    let zxid = fields.raw.zxid;
    Ok(match fields.raw.kind {
        kind::LEADERINFO => {
            let epoch = fields.new_epoch("LEADERINFO")?;
            Packet::LeaderInfo { epoch, protocol_version: fields.read("LEADERINFO", Decoder::i32)? }
        }
        kind::DIFF => Packet::Diff { zxid },
        kind::TRUNC => Packet::Trunc { zxid },
        kind::SNAP => Packet::Snap { zxid },
        kind::NEWLEADER => {
            let epoch = fields.new_epoch("NEWLEADER")?;
            // ZooKeeper takes a text of one byte for none.
            let text = fields.raw.data.filter(|text| text.len() > 1);
            Packet::NewLeader { epoch, config: text.map(|text| fields.config(text)).transpose()? }
        }
        kind::UPTODATE => Packet::UpToDate,
        kind::PROPOSAL => {
            let (txn, config) = fields.txn("PROPOSAL")?;
            Packet::Proposal { zxid, txn, config }
        }
        kind::COMMIT => Packet::Commit { zxid },
        kind::COMMITANDACTIVATE => {
            let designated_leader = fields.read("COMMITANDACTIVATE", Decoder::i64)?;
            Packet::CommitAndActivate { zxid, designated_leader }
        }
        kind::INFORM => Packet::Inform { zxid, txn: fields.txn("INFORM")?.0 },
        kind::INFORMANDACTIVATE => {
            let designated_leader = fields.read("INFORMANDACTIVATE", Decoder::i64)?;
            let (txn, config) = fields.txn("INFORMANDACTIVATE")?;
            Packet::InformAndActivate { zxid, designated_leader, txn, config }
        }
        kind::PING => Packet::Ping { zxid, touched: Vec::new() },
        kind::REVALIDATE => fields.read("REVALIDATE", |data| {
            Ok(Packet::Revalidated { session: data.i64()?, valid: data.bool()? })
        })?,
        kind::SYNC => Packet::Sync,
        kind => return Err(WireError::Unexpected { at: fields.at, kind, sender: Side::Leader }),
    })
}

fn from_learner(fields: &mut Fields<'_>) -> Result<Packet, WireError> {
    let RawPacket { zxid, ref auth, .. } = *fields.raw;
    Ok(match fields.raw.kind {
        kind::FOLLOWERINFO => Packet::FollowerInfo {
            accepted_epoch: epoch_of(zxid),
            info: learner_info(fields, "FOLLOWERINFO")?,
        },
        kind::OBSERVERINFO => Packet::ObserverInfo {
            accepted_epoch: epoch_of(zxid),
            info: learner_info(fields, "OBSERVERINFO")?,
        },
        kind::ACKEPOCH => {
            let epoch = fields.read("ACKEPOCH", Decoder::i32)?;
            let current_epoch = (epoch != -1).then_some(Epoch::from(epoch));
            if epoch < -1 {
                let (what, value) = ("current epoch of an ACKEPOCH", epoch.into());
                return Err(WireError::Invalid { what, at: fields.at, value });
            }
            Packet::AckEpoch { last_zxid: zxid, current_epoch }
        }
        kind::ACK => Packet::Ack { zxid },
        kind::PING => Packet::Ping { zxid, touched: touched(fields)? },
        kind::REVALIDATE => fields.read("REVALIDATE", |data| {
            Ok(Packet::Revalidate { session: data.i64()?, timeout_ms: data.i32()? })
        })?,
        kind::REQUEST => fields.read("REQUEST", |data| {
            let (session, cxid, kind) = (data.i64()?, data.i32()?, data.i32()?);
            let body = data.remaining().into();
            let auth = auth.clone();
            Ok(Packet::Request(LearnerRequest { session, cxid, kind, body, auth }))
        })?,
        kind => return Err(WireError::Unexpected { at: fields.at, kind, sender: Side::Learner }),
    })
}

/// What of a learner's info is there: servers have sent nothing, 8, 12 and 20 bytes.
fn learner_info(fields: &mut Fields<'_>, name: &'static str) -> Result<LearnerInfo, WireError> {
    if fields.raw.data.is_none() {
        return Ok(LearnerInfo { sid: None, protocol_version: 0, config_version: 0 });
    }
    fields.read(name, |data| {
        let sid = Some(data.i64()?);
        let protocol_version = if data.is_empty() { 0 } else { data.i32()? };
        let config_version = if data.is_empty() { 0 } else { data.i64()? };
        Ok(LearnerInfo { sid, protocol_version, config_version })
    })
}

fn touched(fields: &mut Fields<'_>) -> Result<Vec<Touched>, WireError> {
    if fields.raw.data.is_none() {
        return Ok(Vec::new());
    }
    fields.read("PING", |data| {
        let mut touched = Vec::with_capacity(data.remaining().len() / TOUCHED_BYTES);
        while !data.is_empty() {
            touched.push((data.i64()?, data.i32()?));
        }
        Ok(touched)
    })
}

/// A packet's data while it is read.
struct Fields<'a> {
    raw: &'a RawPacket<'a>,
    at: u64,
    data: Decoder<'a>,
}

impl<'a> Fields<'a> {
    /// Reads from the data; if there is none, that is an error.
    fn read<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, WireError> {
        let result = match self.raw.data {
            Some(_) => read(&mut self.data),
            None => Err(DecodeError::Null { what: "data", offset: 0 }),
        };
        result.map_err(|error| WireError::Content { what, at: self.at, error })
    }

    /// The epoch that the packet's zxid begins.
    fn new_epoch(&self, what: &'static str) -> Result<Epoch, WireError> {
        let zxid = self.raw.zxid;
        if zxid < 0 || counter_of(zxid) != 0 {
            return Err(WireError::Invalid { what, at: self.at, value: zxid });
        }
        Ok(epoch_of(zxid))
    }

    fn config(&self, text: &[u8]) -> Result<Arc<EnsembleConfig>, WireError> {
        let read = read_config(text).map(Arc::new);
        read.map_err(|error| WireError::Members { at: self.at, error })
    }

    /// What is left of the data, a transaction; and the configuration that it proposes if it is a reconfiguration.
    fn txn(&mut self, what: &'static str) -> Result<(Txn, Option<Arc<EnsembleConfig>>), WireError> {
        let bytes = self.data.remaining();
        let (zxid, text) = self.read(what, |data| {
            let header = TxnHeader::decode(data)?;
            let text = match header.kind {
                // The body is setData's: path, data, version.
                TxnType::Reconfig => {
                    data.buffer()?;
                    Some(data.buffer()?.unwrap_or_default())
                }
                _ => None,
            };
            Ok((header.zxid, text))
        })?;
        if zxid != self.raw.zxid {
            return Err(WireError::OtherZxid { at: self.at, packet: self.raw.zxid, txn: zxid });
        }
        Ok((bytes.into(), text.map(|text| self.config(text)).transpose()?))
    }
}

/// Appends a packet's bytes. `sender` matters to pings alone: a learner's lists sessions, if none an empty list; a
/// leader's has no list.
pub fn encode_packet(packet: &Packet, sender: Side, out: &mut Vec<u8>) {
    match packet {
        Packet::FollowerInfo { accepted_epoch, info } => {
            put_info(out, kind::FOLLOWERINFO, *accepted_epoch, info);
        }
        Packet::ObserverInfo { accepted_epoch, info } => {
            put_info(out, kind::OBSERVERINFO, *accepted_epoch, info);
        }
        Packet::LeaderInfo { epoch, protocol_version } => {
            with_data(out, kind::LEADERINFO, make_zxid(*epoch, 0), |data| {
                data.put_i32(*protocol_version);
            });
        }
        Packet::AckEpoch { last_zxid, current_epoch } => {
            let epoch = current_epoch.map_or(-1, |epoch| i32::try_from(epoch).unwrap_or(i32::MAX));
            with_data(out, kind::ACKEPOCH, *last_zxid, |data| data.put_i32(epoch));
        }
        Packet::Diff { zxid } => bare(out, kind::DIFF, *zxid),
        Packet::Trunc { zxid } => bare(out, kind::TRUNC, *zxid),
        Packet::Snap { zxid } => bare(out, kind::SNAP, *zxid),
        Packet::NewLeader { epoch, config } => {
            let zxid = make_zxid(*epoch, 0);
            match config {
                Some(config) => with_data(out, kind::NEWLEADER, zxid, |data| {
                    data.extend_from_slice(config.text.as_bytes());
                }),
                None => bare(out, kind::NEWLEADER, zxid),
            }
        }
        Packet::UpToDate => bare(out, kind::UPTODATE, NO_ZXID),
        Packet::Proposal { zxid, txn, config: _ } => put_txn(out, kind::PROPOSAL, *zxid, txn),
        Packet::Ack { zxid } => bare(out, kind::ACK, *zxid),
        Packet::Commit { zxid } => bare(out, kind::COMMIT, *zxid),
        Packet::CommitAndActivate { zxid, designated_leader } => {
            with_data(out, kind::COMMITANDACTIVATE, *zxid, |data| data.put_i64(*designated_leader));
        }
        Packet::Inform { zxid, txn } => put_txn(out, kind::INFORM, *zxid, txn),
        Packet::InformAndActivate { zxid, designated_leader, txn, config: _ } => {
            with_data(out, kind::INFORMANDACTIVATE, *zxid, |data| {
                data.put_i64(*designated_leader);
                data.extend_from_slice(txn);
            });
        }
        Packet::Ping { zxid, touched } => put_ping(out, *zxid, touched, sender),
        Packet::Revalidate { session, timeout_ms } => {
            with_data(out, kind::REVALIDATE, NO_ZXID, |data| {
                data.put_i64(*session);
                data.put_i32(*timeout_ms);
            });
        }
        Packet::Revalidated { session, valid } => {
            with_data(out, kind::REVALIDATE, NO_ZXID, |data| {
                data.put_i64(*session);
                data.put_bool(*valid);
            });
        }
        Packet::Request(request) => put_request(out, request),
        Packet::Sync => bare(out, kind::SYNC, 0),
    }
}

/// A packet without data.
fn bare(out: &mut Vec<u8>, kind: i32, zxid: Zxid) {
    put(out, kind, zxid, None::<fn(&mut Vec<u8>)>, None);
}

fn with_data(out: &mut Vec<u8>, kind: i32, zxid: Zxid, data: impl FnOnce(&mut Vec<u8>)) {
    put(out, kind, zxid, Some(data), None);
}

fn put_txn(out: &mut Vec<u8>, kind: i32, zxid: Zxid, txn: &Txn) {
    with_data(out, kind, zxid, |data| data.extend_from_slice(txn));
}

fn put_info(out: &mut Vec<u8>, kind: i32, accepted_epoch: Epoch, info: &LearnerInfo) {
    let zxid = make_zxid(accepted_epoch, 0);
    match info.sid {
        Some(sid) => with_data(out, kind, zxid, |data| {
            data.put_i64(sid);
            data.put_i32(info.protocol_version);
            data.put_i64(info.config_version);
        }),
        None => bare(out, kind, zxid),
    }
}

fn put_ping(out: &mut Vec<u8>, zxid: Zxid, touched: &[Touched], sender: Side) {
    if sender == Side::Leader {
        return bare(out, kind::PING, zxid);
    }
    with_data(out, kind::PING, zxid, |data| {
        for (session, timeout_ms) in touched {
            data.put_i64(*session);
            data.put_i32(*timeout_ms);
        }
    });
}

fn put_request(out: &mut Vec<u8>, request: &LearnerRequest) {
    let data = |data: &mut Vec<u8>| {
        data.put_i64(request.session);
        data.put_i32(request.cxid);
        data.put_i32(request.kind);
        data.extend_from_slice(&request.body);
    };
    // Whose session is being made has no identities yet: ZooKeeper then sends no list, otherwise always one.
    let makes_session = request.kind == OpCode::CreateSession as i32;
    let auth = (!makes_session || !request.auth.is_empty()).then_some(&*request.auth);
    put(out, kind::REQUEST, NO_ZXID, Some(data), auth);
}
