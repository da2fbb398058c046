//! Sends messages about a running response, and tracks its steers.

use std::task::{Context, Poll};

use super::{Work, step_of};
use crate::{
    proto::{lane::SeatId, turn::steer::SteerNumber},
    session::steer::SteerSender,
    transport::Exchange,
};

impl Work {
    /// Adds a steer whose state `sender` receives.
    pub(in crate::session) fn add_steer(&mut self, number: SteerNumber, sender: SteerSender) {
        self.steers.push((number, sender));
    }

    pub(super) fn send_during(&mut self, seat: SeatId, frame: String, steer: Option<SteerNumber>) {
        let sending = self.core.with_lease(seat, |lease| lease.send_during(frame, steer.is_some()));
        let Some(sending) = sending else { return self.handle_sent_during(steer, false) };
        if let (Some(_), Some(Exchange::WebSocket(exchange))) = (steer, &mut self.exchange) {
            exchange.set_steered();
        }
        step_of(&mut self.outgoing).push_back((steer, Box::pin(sending)));
    }

    /// Sends messages about the running response. Resolves when one is sent.
    pub(in crate::session) fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let outgoing = step_of(&mut self.outgoing);
        let Some((steer, sending)) = outgoing.front_mut() else { return Poll::Pending };
        let (steer, sent) = (*steer, std::task::ready!(sending.as_mut().poll(cx)));
        outgoing.pop_front();
        self.handle_sent_during(steer, sent);
        Poll::Ready(())
    }

    fn handle_sent_during(&mut self, steer: Option<SteerNumber>, sent: bool) {
        match steer {
            Some(number) => self.machine.handle_steer_sent(number, sent),
            None if !sent => self.machine.handle_interrupt_lost(),
            None => {}
        }
    }
}
