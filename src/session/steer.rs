//! Handles of steers: [`SteerHandle`].

use std::fmt;

use tokio::sync::watch;

use crate::{
    proto::turn::steer::{PendingSteer, SteerErrorKind, SteerState},
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
pub struct SteerHandle(watch::Receiver<SteerState>);

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
pub struct SteerError {
    kind: SteerErrorKind,
    input: History,
}

/// Side of a steer that changes its state.
pub(super) struct SteerSender(watch::Sender<SteerState>);

/// A pending steer between two turns of a session.
pub(super) struct CarriedSteer {
    pub(super) steer: PendingSteer,
    pub(super) sender: SteerSender,
}

impl SteerHandle {
    /// Returns the state now.
    pub fn state(&self) -> SteerState {
        self.0.borrow().clone()
    }

    /// Waits until the state [is settled](SteerState::is_settled), and returns it. Meanwhile another
    /// task must poll the stream of the response, or drop it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn settled(&self) -> SteerState {
        let mut receiver = self.0.clone();
        let settled = receiver.wait_for(SteerState::is_settled).await.map(|state| state.clone());
        // The sender settles the state before it is dropped.
        settled.unwrap_or(SteerState::Unknown)
    }
}

impl SteerError {
    pub(super) fn new(kind: SteerErrorKind, input: History) -> Self {
        Self { kind, input }
    }

    /// Returns the reason.
    pub fn kind(&self) -> SteerErrorKind {
        self.kind
    }

    /// Returns the input.
    pub fn into_input(self) -> History {
        self.input
    }
}

impl SteerSender {
    pub(super) fn new() -> (Self, SteerHandle) {
        let (sender, receiver) = watch::channel(SteerState::Sent);
        (Self(sender), SteerHandle(receiver))
    }

    pub(super) fn set(&self, state: SteerState) {
        self.0.send_replace(state);
    }
}

impl Drop for SteerSender {
    fn drop(&mut self) {
        self.0.send_if_modified(|state| {
            let is_open = !state.is_settled();
            if is_open {
                *state = SteerState::Unknown;
            }
            is_open
        });
    }
}

impl fmt::Debug for SteerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SteerHandle").field(&*self.0.borrow()).finish()
    }
}

impl fmt::Debug for SteerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SteerError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl fmt::Display for SteerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            SteerErrorKind::Unsupported => {
                "could not steer the response: this needs a WebSocket to a server that steers; \
                 send the input in the next turn"
            }
            SteerErrorKind::NotRunning => {
                "could not steer the response: no response is running; send the input in the next \
                 turn"
            }
            SteerErrorKind::InvalidInput => {
                "could not steer the response: the input must be user messages of `role` and \
                 `content`"
            }
            SteerErrorKind::TooMany => {
                "could not steer the response: too many steers in this turn; send the input in the \
                 next turn"
            }
            SteerErrorKind::TooLarge => {
                "could not steer the response: the message exceeds the frame limit of the server; \
                 send the input in the next turn"
            }
        })
    }
}

impl std::error::Error for SteerError {}
