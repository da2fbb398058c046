//! Sends messages about a running response, and tracks their states.

use std::task::{Context, Poll};

use super::{Work, step_of};
use crate::{
    proto::{
        lane::{Message, SeatId},
        turn::message::MessageId,
    },
    transport::Exchange,
};

impl Work {
    pub(super) fn send_during(&mut self, seat: SeatId, message: Message, id: MessageId) {
        let sending = self.core.with_lease(seat, |lease| lease.send_during(message));
        let Some(sending) = sending else {
            return self.machine.handle_message_sent(id, false);
        };
        if let Some(Exchange::WebSocket(exchange)) = &mut self.exchange {
            exchange.set_messaged(id.kind);
        }
        step_of(&mut self.outgoing).push_back((id, Box::pin(sending)));
    }

    /// Sends messages about the running response. Resolves when one is sent.
    pub(in crate::session) fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let outgoing = step_of(&mut self.outgoing);
        let Some((message, sending)) = outgoing.front_mut() else { return Poll::Pending };
        let (message, sent) = (*message, std::task::ready!(sending.as_mut().poll(cx)));
        outgoing.pop_front();
        self.machine.handle_message_sent(message, sent);
        Poll::Ready(())
    }

    /// Shows the callers the states of their messages.
    pub(super) fn update_messages(&mut self) {
        while let Some((message, state)) = self.machine.poll_steer() {
            self.steers.set(message, state);
        }
        while let Some((message, state)) = self.machine.poll_inject() {
            self.injects.set(message, state);
        }
    }
}
