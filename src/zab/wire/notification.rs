//! Votes: what a frame of the election port holds (`FastLeaderElection.Notification`).
//!
//! ```text
//! int state · long leader · long zxid · long electionEpoch · long peerEpoch · int version · int n · n bytes configuration
//! ```
//!
//! Of 28 bytes (before 3.4) the peer's epoch is missing, of 40 (before 3.5) the configuration; their version counts as 0.

use std::sync::Arc;

use super::error::WireError;
use super::limits::{
    FRAME_BYTES_MAX, NOTIFICATION_BYTES_28, NOTIFICATION_BYTES_40, NOTIFICATION_BYTES_44,
};
use super::members::read_config;
use crate::jute::{DecodeError, Decoder, Encode};
use crate::protocol::{begin_frame, end_frame};
use crate::zab::{EnsembleConfig, Notification, PeerState, epoch_of};

/// The first version that has a configuration.
const VERSION_WITH_CONFIG: i32 = 2;

/// Reads a notification from a frame's bytes. `at` is its place in the stream.
/// A configuration that cannot be read is left out, as in ZooKeeper: the vote counts all the same.
pub fn decode_notification(frame: &[u8], at: u64) -> Result<Notification, WireError> {
    decode_another(frame, at, None)
}

/// As [`decode_notification`], with the configuration of the one before: a server's votes mostly carry the same, which
/// then need not be read again.
pub(super) fn decode_another(
    frame: &[u8],
    at: u64,
    known: Option<&Arc<EnsembleConfig>>,
) -> Result<Notification, WireError> {
    let mut fields = Decoder::new(frame);
    let read = read(&mut fields, frame.len(), known);
    let (state, notification) =
        read.map_err(|error| WireError::Content { what: "notification", at, error })?;
    let state = match state {
        0 => PeerState::Looking,
        1 => PeerState::Following,
        2 => PeerState::Leading,
        3 => PeerState::Observing,
        value => {
            let what = "state of a notification";
            return Err(WireError::Invalid { what, at, value: value.into() });
        }
    };
    Ok(Notification { state, ..notification })
}

/// The number of the state, and everything else.
fn read(
    fields: &mut Decoder<'_>,
    bytes: usize,
    known: Option<&Arc<EnsembleConfig>>,
) -> Result<(i32, Notification), DecodeError> {
    let state = fields.i32()?;
    let (leader, zxid, election_epoch) = (fields.i64()?, fields.i64()?, fields.i64()?);
    let peer_epoch = match bytes {
        NOTIFICATION_BYTES_28 => epoch_of(zxid),
        _ => fields.i64()?,
    };
    let version = match bytes {
        NOTIFICATION_BYTES_28 | NOTIFICATION_BYTES_40 => 0,
        _ => fields.i32()?,
    };
    let mut config = None;
    if version >= VERSION_WITH_CONFIG {
        let offset = fields.offset();
        let text = fields.buffer()?;
        let text = text.ok_or(DecodeError::Null { what: "configuration", offset })?;
        config = match known {
            Some(known) if known.text.as_bytes() == text => Some(Arc::clone(known)),
            _ => read_config(text).ok().map(Arc::new),
        };
    }
    let vote = Notification {
        state: PeerState::Looking,
        leader,
        zxid,
        election_epoch,
        peer_epoch,
        version,
        config,
    };
    Ok((state, vote))
}

/// Appends a frame with a notification. One without a configuration (or with a text that no frame holds) is written as
/// of version 1, which has none: ZooKeeper's receiver does not survive an empty one.
pub fn encode_notification(notification: &Notification, out: &mut Vec<u8>) {
    let mark = begin_frame(out);
    out.put_i32(notification.state as i32);
    out.put_i64(notification.leader);
    out.put_i64(notification.zxid);
    out.put_i64(notification.election_epoch);
    out.put_i64(notification.peer_epoch);
    let fits =
        |text: &&str| !text.is_empty() && text.len() <= FRAME_BYTES_MAX - NOTIFICATION_BYTES_44;
    let text = notification.config.as_ref().map(|config| &*config.text).filter(fits);
    match text {
        Some(text) if notification.version >= VERSION_WITH_CONFIG => {
            out.put_i32(notification.version);
            out.put_str(text);
        }
        _ => out.put_i32(notification.version.min(VERSION_WITH_CONFIG - 1)),
    }
    end_frame(out, mark);
}
