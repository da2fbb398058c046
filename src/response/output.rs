//! Text of a response: its messages by their phase, refusals, and the parsed answer.

use std::fmt;

use serde::de::DeserializeOwned;

use super::{PartialItem, Response, ResponseStatus};
use crate::{
    api::masked,
    event::{Message, MessagePhase, OutputItem},
    json::{self, DecodeError},
};

/// Reason why [`Response::parse_output`] returned no value.
///
/// `?` converts the error into an [`Error`](crate::Error) of the kind
/// [`Decode`](crate::ErrorKind::Decode), with this error as its source. `Display` and `Debug` show
/// no text of the model.
///
/// ```
/// # use responses_client::{Response, error::OutputError};
/// fn answer(response: &Response) -> Result<u32, OutputError> {
///     match response.parse_output() {
///         Err(OutputError::Refused(refusal)) => {
///             println!("the model refused: {refusal}");
///             Ok(0)
///         }
///         other => other,
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputError {
    /// The model refused to answer, with this text.
    Refused(String),
    /// The response is incomplete. The field has the reason if the server named one, for example
    /// `max_output_tokens`.
    Incomplete(Option<String>),
    /// The text is not JSON, or does not deserialize into the type.
    Decode(DecodeError),
}

/// Text of a message, finished or not.
struct Part {
    phase: Option<MessagePhase>,
    text: String,
    refusal: Option<String>,
}

impl Response {
    /// Returns the messages of the finished output, decoded and in order.
    /// [`Message::phase`] distinguishes the final answer from commentary.
    ///
    /// ```
    /// # use responses_client::{Response, event::MessagePhase};
    /// fn show(response: &Response) {
    ///     for message in response.messages() {
    ///         match message.phase() {
    ///             Some(MessagePhase::Commentary) => println!("({})", message.text()),
    ///             _ => println!("{}", message.text()),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn messages(&self) -> Vec<Message> {
        let message = |item| match item {
            OutputItem::Message(message) => Some(message),
            _ => None,
        };
        self.output().into_iter().filter_map(message).collect()
    }

    /// Returns the text for the user, joined from all messages, including commentary and unfinished
    /// messages.
    pub fn output_text(&self) -> String {
        self.parts().map(|part| part.text).collect()
    }

    /// Returns the text of the final answer: of the messages whose phase is
    /// [`FinalAnswer`](MessagePhase::FinalAnswer), or of all messages that are not commentary if
    /// the model marked no final answer. Unfinished messages are included.
    pub fn final_text(&self) -> String {
        self.final_answer().into_iter().map(|part| part.text).collect()
    }

    /// Returns the model's refusal in the final answer; `None` if the model did not refuse.
    pub fn refusal(&self) -> Option<String> {
        let refusals: Vec<String> =
            self.final_answer().into_iter().filter_map(|part| part.refusal).collect();
        (!refusals.is_empty()).then(|| refusals.concat())
    }

    /// Parses the [final answer](Self::final_text) as JSON. Use this method for a request with
    /// [`json_schema`](crate::ResponsesRequest::json_schema).
    ///
    /// ```
    /// # use responses_client::{Response, error::OutputError};
    /// #[derive(serde::Deserialize)]
    /// struct Forecast {
    ///     days: u32,
    /// }
    ///
    /// let response = Response::from_json(
    ///     r#"{"status":"completed","output":[{"type":"message","content":"{\"days\":3}"}]}"#,
    /// )?;
    /// let forecast: Forecast = response.parse_output()?;
    /// assert_eq!(forecast.days, 3);
    /// # Ok::<_, responses_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`OutputError::Refused`] if the model refused to answer;
    /// - [`OutputError::Incomplete`] if the response ended early or has not ended, even if its text
    ///   is valid JSON;
    /// - [`OutputError::Decode`] if the text does not deserialize into `T`.
    pub fn parse_output<T: DeserializeOwned>(&self) -> Result<T, OutputError> {
        if let Some(refusal) = self.refusal() {
            return Err(OutputError::Refused(refusal));
        }
        let ended_early = matches!(
            self.status(),
            ResponseStatus::Incomplete | ResponseStatus::Failed | ResponseStatus::Cancelled
        );
        if ended_early || !self.ended {
            return Err(OutputError::Incomplete(self.incomplete_reason()));
        }
        json::from_str(&self.final_text()).map_err(|error| {
            OutputError::Decode(DecodeError::new("the text of a response", &error))
        })
    }

    /// Returns the texts of the final answer.
    fn final_answer(&self) -> Vec<Part> {
        let is = |part: &Part, phase| part.phase == Some(phase);
        let mut parts: Vec<Part> = self.parts().collect();
        let is_marked = parts.iter().any(|part| is(part, MessagePhase::FinalAnswer));
        parts.retain(|part| match is_marked {
            true => is(part, MessagePhase::FinalAnswer),
            false => !is(part, MessagePhase::Commentary),
        });
        parts
    }

    /// Returns the texts of all messages, and those of unfinished items.
    fn parts(&self) -> impl Iterator<Item = Part> {
        let finished = self.messages().into_iter().map(|message| Part {
            phase: message.phase(),
            text: message.text(),
            refusal: message.refusal().map(str::to_owned),
        });
        finished.chain(self.unfinished.iter().map(|item| Part {
            phase: item.phase(),
            text: item.text(),
            refusal: Some(item.refusal()).filter(|text| !text.is_empty()),
        }))
    }
}

impl PartialItem {
    /// Returns the phase in which the item was announced.
    fn phase(&self) -> Option<MessagePhase> {
        let phase: Option<String> = self.initial()?.member("phase").ok().flatten();
        phase.map(|phase| phase.as_str().into())
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(_) => f.write_str("the model refused to answer"),
            Self::Incomplete(None) => f.write_str("the response is incomplete"),
            Self::Incomplete(Some(reason)) => {
                write!(f, "the response is incomplete: {}", masked(reason, 64))
            }
            Self::Decode(_) => f.write_str("could not decode the answer of the model"),
        }
    }
}

impl fmt::Debug for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "Refused({} bytes)", refusal.len()),
            Self::Incomplete(reason) => {
                let reason = reason.as_deref().map(|reason| masked(reason, 64));
                f.debug_tuple("Incomplete").field(&reason).finish()
            }
            Self::Decode(error) => f.debug_tuple("Decode").field(error).finish(),
        }
    }
}

impl std::error::Error for OutputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) | Self::Incomplete(_) => None,
            Self::Decode(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_the_server_is_shown_without_keys() {
        let error = OutputError::Incomplete(Some("sk-canary-canary".to_owned()));
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(shown.contains("[masked]") && !shown.contains("canary"), "{shown}");
        }
    }
}
