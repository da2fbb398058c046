//! Input of an exchange.

use crate::proto::{turn::response::StreamEnd, wire::Frame};

/// Input of an exchange.
#[derive(Debug)]
pub(crate) enum Incoming {
    Frame(Frame),
    /// Late events of an older response were dropped.
    LateEvents,
    /// End of the exchange. Nothing follows.
    End(StreamEnd),
}
