//! Handles of injects: [`InjectHandle`].

use std::fmt;

use super::message::{StateReceiver, UnsentInput};
use crate::{
    proto::turn::{inject::InjectState, message::InputErrorKind},
    request::History,
};

/// Handle of outputs for a running response, returned by
/// [`ResponseStream::inject`](crate::ResponseStream::inject). Cloning is cheap, and dropping a handle
/// changes nothing.
///
/// Polling the stream of the response drives the inject: its state changes while the stream is read,
/// and settles at the latest when the stream ends or is dropped.
///
/// ```
/// use responses_client::{InjectState, Item, ResponseStream};
///
/// async fn answer(mut stream: ResponseStream, call_id: &str) -> Result<(), responses_client::Error> {
///     let inject = match stream.inject(Item::function_call_output(call_id, "21 °C")) {
///         Ok(inject) => inject,
///         Err(refused) => {
///             eprintln!("{refused}");
///             return Ok(());
///         }
///     };
///     println!("{}", stream.final_response().await?.output_text());
///     if let InjectState::Failed { code, .. } = inject.settled().await {
///         eprintln!("not taken, send it with the next request: {code}");
///     }
///     Ok(())
/// }
/// # let _ = answer;
/// ```
#[derive(Clone)]
pub struct InjectHandle(pub(super) StateReceiver<InjectState>);

/// Outputs that were not sent to a running response: the error of
/// [`ResponseStream::inject`](crate::ResponseStream::inject). It has the outputs.
///
/// ```
/// use responses_client::{Item, ResponseStream, ResponsesRequest};
///
/// fn answer(stream: &mut ResponseStream, next: &mut ResponsesRequest, output: Item) {
///     if let Err(refused) = stream.inject(output) {
///         // Given in the next turn instead, after the output items of the response.
///         next.input.extend(refused.into_input().iter().cloned());
///     }
/// }
/// # let _ = answer;
/// ```
#[derive(Clone)]
pub struct InjectError(UnsentInput);

impl InjectHandle {
    /// Returns the state now.
    pub fn state(&self) -> InjectState {
        self.0.state()
    }

    /// Waits until the state [is settled](InjectState::is_settled), and returns it. Meanwhile another
    /// task must poll the stream of the response, or drop it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn settled(&self) -> InjectState {
        self.0.settled().await
    }
}

impl InjectError {
    pub(super) fn new(kind: InputErrorKind, input: History) -> Self {
        Self(UnsentInput { kind, input })
    }

    /// Returns the reason.
    pub fn kind(&self) -> InputErrorKind {
        self.0.kind
    }

    /// Returns the outputs.
    pub fn into_input(self) -> History {
        self.0.input
    }
}

impl fmt::Debug for InjectHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as("InjectHandle", f)
    }
}

impl fmt::Debug for InjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as("InjectError", f)
    }
}

impl fmt::Display for InjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.kind {
            InputErrorKind::Unsupported => {
                "could not give the response outputs: this needs a WebSocket to a server that takes \
                 them; send the outputs in the next turn"
            }
            InputErrorKind::NotRunning => {
                "could not give the response outputs: no response is running; send the outputs in \
                 the next turn"
            }
            InputErrorKind::InvalidInput => {
                "could not give the response outputs: the input must be outputs of calls, each with \
                 its `call_id`"
            }
            InputErrorKind::TooMany => {
                "could not give the response outputs: too many injects have no answer; wait for \
                 their answers or send the outputs in the next turn"
            }
            InputErrorKind::TooLarge => {
                "could not give the response outputs: the message exceeds the frame limit of the \
                 server; send the outputs in the next turn"
            }
        })
    }
}

impl std::error::Error for InjectError {}
