//! Common parts of all messages with input for a running response: [`MessageId`],
//! [`InputErrorKind`].

use crate::{
    format::named,
    json::Json,
    proto::{lane::MessageKind, wire::Frame},
};

/// Reason why input for a running response was not sent: see [`SteerError`](crate::SteerError) and
/// [`InjectError`](crate::InjectError).
///
/// ```
/// use responses_client::InputErrorKind;
///
/// assert_eq!(InputErrorKind::NotRunning.to_string(), "not_running");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InputErrorKind {
    /// The turn goes over SSE, or the provider does not support such input: see
    /// [`steers`](crate::Provider::steers) and [`injects`](crate::Provider::injects).
    Unsupported,
    /// The response has ended or is being retried, or the server sent no id for it.
    NotRunning,
    /// The input is empty, or has items of another kind than this input.
    InvalidInput,
    /// 32 inputs of the kind are open, or 32 responses have followed the first one of the turn.
    TooMany,
    /// The message exceeds the frame limit of the server.
    TooLarge,
}

named! {
    InputErrorKind {
        Unsupported = "unsupported",
        NotRunning = "not_running",
        InvalidInput = "invalid_input",
        TooMany = "too_many",
        TooLarge = "too_large",
    }
}

/// A message about a running response, unique in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageId {
    pub(crate) kind: MessageKind,
    pub(super) number: u32,
}

/// Maximum number of messages of a kind whose end is open.
pub(super) const MAX_OPEN: usize = 32;

/// Code and message for input that was not sent, because the response had ended.
pub(super) fn ended_before() -> (String, String) {
    ("response_already_completed".to_owned(), "the response had ended before".to_owned())
}

/// Returns code and message of the error in an event that rejects a message; each is empty if the
/// server sent none.
pub(super) fn failure_of(frame: &Frame) -> (String, String) {
    let payload = Json::from_trusted(frame.payload.clone());
    let error = payload.get("error");
    let text = |name| -> String {
        let text = error.as_ref().and_then(|error| error.member(name).ok().flatten());
        text.unwrap_or_default()
    };
    (text("code"), text("message"))
}
