//! Handles of steers: [`SteerHandle`].

use std::fmt;

use super::message::{StateReceiver, StateSender, UnsentInput};
use crate::{
    proto::turn::{
        message::InputErrorKind,
        steer::{PendingSteer, SteerState},
    },
    request::History,
};

/// Handle of input for a running response, returned by
/// [`ResponseStream::steer`](crate::ResponseStream::steer). Cloning is cheap, and dropping a handle
/// changes nothing.
///
/// Polling the stream of the response drives the steer: its state changes while the stream is read,
/// and settles at the latest when the stream ends or is dropped.
///
/// ```
/// use responses_client::{ResponseStream, SteerState};
///
/// async fn shorten(mut stream: ResponseStream) -> Result<(), responses_client::Error> {
///     let steer = match stream.steer("Answer in one sentence.") {
///         Ok(steer) => steer,
///         Err(refused) => {
///             eprintln!("{refused}");
///             return Ok(());
///         }
///     };
///     println!("{}", stream.final_response().await?.output_text());
///     if let SteerState::Failed { code, .. } = steer.settled().await {
///         eprintln!("not applied: {code}");
///     }
///     Ok(())
/// }
/// # let _ = shorten;
/// ```
#[derive(Clone)]
pub struct SteerHandle(pub(super) StateReceiver<SteerState>);

/// Input that was not sent to a running response: the error of
/// [`ResponseStream::steer`](crate::ResponseStream::steer). It has the input.
///
/// ```
/// use responses_client::{ResponseStream, ResponsesRequest};
///
/// fn say(stream: &mut ResponseStream, next: &mut ResponsesRequest, text: &str) {
///     if let Err(refused) = stream.steer(text) {
///         // Said in the next turn instead.
///         next.input.extend(refused.into_input().iter().cloned());
///     }
/// }
/// # let _ = say;
/// ```
#[derive(Clone)]
pub struct SteerError(UnsentInput);

/// A pending steer between two turns of a session.
pub(super) struct CarriedSteer {
    pub(super) steer: PendingSteer,
    pub(super) sender: StateSender<SteerState>,
}

impl SteerHandle {
    /// Returns the state now.
    pub fn state(&self) -> SteerState {
        self.0.state()
    }

    /// Waits until the state [is settled](SteerState::is_settled), and returns it. Meanwhile another
    /// task must poll the stream of the response, or drop it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn settled(&self) -> SteerState {
        self.0.settled().await
    }
}

impl SteerError {
    pub(super) fn new(kind: InputErrorKind, input: History) -> Self {
        Self(UnsentInput { kind, input })
    }

    /// Returns the reason.
    pub fn kind(&self) -> InputErrorKind {
        self.0.kind
    }

    /// Returns the input.
    pub fn into_input(self) -> History {
        self.0.input
    }
}

impl fmt::Debug for SteerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as("SteerHandle", f)
    }
}

impl fmt::Debug for SteerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as("SteerError", f)
    }
}

impl fmt::Display for SteerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.kind {
            InputErrorKind::Unsupported => {
                "could not steer the response: this needs a WebSocket to a server that steers; \
                 send the input in the next turn"
            }
            InputErrorKind::NotRunning => {
                "could not steer the response: no response is running; send the input in the next \
                 turn"
            }
            InputErrorKind::InvalidInput => {
                "could not steer the response: the input must be user messages of `role` and \
                 `content`"
            }
            InputErrorKind::TooMany => {
                "could not steer the response: too many steers in this turn; send the input in the \
                 next turn"
            }
            InputErrorKind::TooLarge => {
                "could not steer the response: the message exceeds the frame limit of the server; \
                 send the input in the next turn"
            }
        })
    }
}

impl std::error::Error for SteerError {}
