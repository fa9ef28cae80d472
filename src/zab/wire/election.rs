//! The stream of an election port's connection: a hello, then frames of one notification each
//! (`QuorumCnxManager`).
//!
//! ```text
//! hello:  long -65536 (one address) or -65535 (several) · long sid · int n · n bytes "host:port|host:port…"
//!         or, before 3.5: long sid
//! frame:  int n (1..=524288) · n bytes
//! ```

use std::sync::Arc;

use super::error::WireError;
use super::limits::{FRAME_BYTES_MAX, HELLO_ADDRESS_BYTES_MAX};
use super::members::is_host_and_port;
use super::notification::decode_another;
use super::stream::Input;
use super::strings::java_text;
use crate::jute::{Decoder, Encode};
use crate::zab::{EnsembleConfig, Hello, Notification};

/// The first long of a hello with one address (`PROTOCOL_VERSION_V1`).
const ONE_ADDRESS: i64 = -65536;
/// The first long of a hello with any number of addresses (`PROTOCOL_VERSION_V2`).
const ADDRESSES: i64 = -65535;
const HELLO_FIXED_BYTES: usize = 8 + 8 + 4;

/// What comes on an election port's connection.
#[derive(Debug, Clone, PartialEq)]
pub enum ElectionItem {
    /// Who dialled; first and once, and only from who dialled.
    Hello(Hello),
    /// A notification.
    Notification(Notification),
    /// A frame that holds no notification. ZooKeeper passes over it and reads on.
    Skipped(WireError),
}

/// Reads one direction of an election port's connection: [`push`](Self::push) what has come, then take items until
/// there is none. Holds at most one frame that is not whole, and what was pushed at one time.
#[derive(Debug)]
pub struct ElectionReader {
    input: Input,
    hello_due: bool,
    /// The configuration of the last notification that had one.
    known: Option<Arc<EnsembleConfig>>,
}

impl ElectionReader {
    /// For what the server sends that dialled: a hello comes first.
    pub fn of_dialler() -> ElectionReader {
        ElectionReader { input: Input::default(), hello_due: true, known: None }
    }

    /// For what the server sends that was dialled.
    pub fn of_acceptor() -> ElectionReader {
        ElectionReader { input: Input::default(), hello_due: false, known: None }
    }

    /// Appends bytes that have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// The next item, if it is whole. After an error the connection is of no use.
    pub fn next_item(&mut self) -> Result<Option<ElectionItem>, WireError> {
        let at = self.input.at();
        if self.hello_due {
            let Some((hello, bytes)) = decode_hello(self.input.unread(), at)? else {
                return Ok(None);
            };
            self.hello_due = false;
            self.input.take(bytes);
            return Ok(Some(ElectionItem::Hello(hello)));
        }
        let what = "frame of the election port";
        let Some(bytes) = length(what, FRAME_BYTES_MAX, self.input.unread(), at)? else {
            return Ok(None);
        };
        if self.input.unread().len() < 4 + bytes {
            return Ok(None);
        }
        let frame = self.input.take(4 + bytes).get(4..).unwrap_or_default();
        Ok(Some(match decode_another(frame, at + 4, self.known.as_ref()) {
            Ok(notification) => {
                self.known = notification.config.clone().or(self.known.take());
                ElectionItem::Notification(notification)
            }
            Err(error) => ElectionItem::Skipped(error),
        }))
    }

    /// How many bytes are here that no item has taken.
    pub fn buffered(&self) -> usize {
        self.input.unread().len()
    }
}

/// A length of at least 1 and at most `limit` at the start of `input`.
fn length(
    what: &'static str,
    limit: usize,
    input: &[u8],
    at: u64,
) -> Result<Option<usize>, WireError> {
    let Some(length) = input.first_chunk().map(|bytes| i32::from_be_bytes(*bytes)) else {
        return Ok(None);
    };
    match usize::try_from(length) {
        Ok(bytes) if bytes > limit => {
            Err(WireError::TooLong { what, at, length: bytes as u64, limit: limit as u64 })
        }
        Ok(bytes) if bytes > 0 => Ok(Some(bytes)),
        _ => Err(WireError::BadLength { what, at, length }),
    }
}

/// The hello that `input` begins with, and its length.
fn decode_hello(input: &[u8], at: u64) -> Result<Option<(Hello, usize)>, WireError> {
    let mut fields = Decoder::new(input);
    let Ok(first) = fields.i64() else { return Ok(None) };
    match first {
        sid @ 0.. => return Ok(Some((Hello { sid, addresses: Vec::new() }, 8))),
        ONE_ADDRESS | ADDRESSES => {}
        value => return Err(WireError::Invalid { what: "version of a hello", at, value }),
    }
    let Ok(sid) = fields.i64() else { return Ok(None) };
    let (rest, place) = (fields.remaining(), at + 16);
    let what = "addresses of a hello";
    let Some(bytes) = length(what, HELLO_ADDRESS_BYTES_MAX, rest, place)? else { return Ok(None) };
    let Some(text) = rest.get(4..4 + bytes) else { return Ok(None) };
    let addresses = java_text(text).split('|').map(|a| address(a, at)).collect::<Result<_, _>>()?;
    Ok(Some((Hello { sid, addresses }, HELLO_FIXED_BYTES + bytes)))
}

fn address(text: &str, at: u64) -> Result<String, WireError> {
    match is_host_and_port(text) {
        true => Ok(text.to_owned()),
        false => Err(WireError::Address { at, address: text.to_owned() }),
    }
}

/// Appends a hello. It must leave in **one** write: ZooKeeper reads the addresses with a single `read`. The addresses
/// must take at most [`HELLO_ADDRESS_BYTES_MAX`] bytes, `|` between them; those that do not fit are left out.
pub fn encode_hello(hello: &Hello, out: &mut Vec<u8>) {
    let mut text = String::new();
    let mut count = 0;
    for address in &hello.addresses {
        let between = if count == 0 { "" } else { "|" };
        if text.len() + between.len() + address.len() <= HELLO_ADDRESS_BYTES_MAX {
            text += between;
            text += address;
            count += 1;
        }
    }
    match count {
        0 => return out.put_i64(hello.sid),
        1 => out.put_i64(ONE_ADDRESS),
        _ => out.put_i64(ADDRESSES),
    }
    out.put_i64(hello.sid);
    out.put_str(&text);
}
