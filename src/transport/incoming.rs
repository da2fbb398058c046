//! Input of an exchange.

use crate::proto::{classify::Frame, turn::response::End};

/// Input of an exchange.
#[derive(Debug)]
pub(crate) enum Incoming {
    Frame(Frame),
    /// Events of an older response came before this one's, and were dropped.
    LateEvents,
    /// The end of the exchange; nothing follows.
    End(End),
}
