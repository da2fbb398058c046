//! Common parts of the handles and the errors of messages to running responses.

use std::fmt;

use tokio::sync::watch;

use crate::{
    proto::turn::{
        inject::InjectState,
        message::{InputErrorKind, MessageId},
        steer::SteerState,
    },
    request::History,
};

/// State of a message to a running response.
pub(super) trait MessageState: Clone {
    const SENT: Self;
    const UNKNOWN: Self;

    /// Returns `true` if the state changes no more during the turn.
    fn is_settled(&self) -> bool;
}

impl MessageState for SteerState {
    const SENT: Self = Self::Sent;
    const UNKNOWN: Self = Self::Unknown;

    fn is_settled(&self) -> bool {
        Self::is_settled(self)
    }
}

impl MessageState for InjectState {
    const SENT: Self = Self::Sent;
    const UNKNOWN: Self = Self::Unknown;

    fn is_settled(&self) -> bool {
        Self::is_settled(self)
    }
}

/// Side of a message that reads its state.
pub(super) struct StateReceiver<S>(watch::Receiver<S>);

/// Side of a message that changes its state.
pub(super) struct StateSender<S: MessageState>(watch::Sender<S>);

/// The messages of a turn whose states may change.
pub(super) struct StateSenders<S: MessageState>(Vec<(MessageId, StateSender<S>)>);

/// Input that was not sent, and the reason.
#[derive(Clone)]
pub(super) struct UnsentInput {
    pub(super) kind: InputErrorKind,
    pub(super) input: History,
}

impl<S> Clone for StateReceiver<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: MessageState> StateReceiver<S> {
    pub(super) fn state(&self) -> S {
        self.0.borrow().clone()
    }

    pub(super) async fn settled(&self) -> S {
        let mut receiver = self.0.clone();
        let settled = receiver.wait_for(S::is_settled).await.map(|state| state.clone());
        // The sender settles the state before it is dropped.
        settled.unwrap_or(S::UNKNOWN)
    }
}

impl<S: MessageState> StateSender<S> {
    pub(super) fn new() -> (Self, StateReceiver<S>) {
        let (sender, receiver) = watch::channel(S::SENT);
        (Self(sender), StateReceiver(receiver))
    }
}

impl<S: MessageState> StateSenders<S> {
    /// Adds a message that is sent now. Returns the side that reads its state.
    pub(super) fn add(&mut self, message: MessageId) -> StateReceiver<S> {
        let (sender, receiver) = StateSender::new();
        self.0.push((message, sender));
        receiver
    }

    pub(super) fn set(&self, message: MessageId, state: S) {
        if let Some((_, sender)) = self.0.iter().find(|it| it.0 == message) {
            sender.0.send_replace(state);
        }
    }

    /// Removes and returns the sender of a message.
    pub(super) fn remove(&mut self, message: MessageId) -> Option<StateSender<S>> {
        let place = self.0.iter().position(|it| it.0 == message)?;
        Some(self.0.swap_remove(place).1)
    }
}

impl<S: MessageState> FromIterator<(MessageId, StateSender<S>)> for StateSenders<S> {
    fn from_iter<T: IntoIterator<Item = (MessageId, StateSender<S>)>>(senders: T) -> Self {
        Self(senders.into_iter().collect())
    }
}

impl<S: MessageState> Drop for StateSender<S> {
    fn drop(&mut self) {
        self.0.send_if_modified(|state| {
            let is_open = !state.is_settled();
            if is_open {
                *state = S::UNKNOWN;
            }
            is_open
        });
    }
}

impl<S: fmt::Debug> StateReceiver<S> {
    /// Writes the state as the only field of a handle with this name.
    pub(super) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(name).field(&*self.0.borrow()).finish()
    }
}

impl UnsentInput {
    /// Writes the reason as the only field of an error with this name.
    pub(super) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name).field("kind", &self.kind).finish_non_exhaustive()
    }
}
