//! The orders of a session that cancels a turn, and the driver of the turn. A driver that is not
//! woken is a deadlock, which loom reports.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex},
    task::Poll,
};

use futures_util::stream;
use loom::{future::block_on, model::Builder, thread};

use super::TurnControl;
use crate::{
    kind::ErrorKind,
    net::Body,
    transport::{ExchangeAbort, sse},
};

fn in_all_orders(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(test);
}

/// A connection, and the handle that closes it.
fn connection() -> (Arc<Mutex<Option<Body>>>, ExchangeAbort) {
    let body = Arc::new(Mutex::new(Some(Box::pin(stream::pending()) as Body)));
    let abort = ExchangeAbort::Sse(sse::AbortHandle::of(&body));
    (body, abort)
}

/// Waits for the cancellation, as the driver does while its exchange has nothing.
fn wait(control: &TurnControl) -> ErrorKind {
    block_on(poll_fn(|cx| {
        if let Some(reason) = control.cancelled() {
            return Poll::Ready(reason);
        }
        control.register(cx.waker());
        match control.cancelled() {
            Some(reason) => Poll::Ready(reason),
            None => Poll::Pending,
        }
    }))
}

#[test]
fn c062_a_cancellation_wakes_the_driver_and_closes_its_connection() {
    in_all_orders(|| {
        let control = Arc::new(TurnControl::default());
        let session = Arc::clone(&control);
        let cancelling = thread::spawn(move || session.cancel(ErrorKind::Superseded));
        let (body, abort) = connection();
        control.arm(abort);
        assert_eq!(wait(&control), ErrorKind::Superseded);
        cancelling.join().unwrap();
        assert!(body.lock().unwrap().is_none(), "the connection stays open");
        assert!(!control.is_running());
    });
}

#[test]
fn c062_of_two_cancellations_the_driver_sees_one_reason() {
    in_all_orders(|| {
        let control = Arc::new(TurnControl::default());
        let reasons = [ErrorKind::Superseded, ErrorKind::SessionClosed];
        let cancelling = reasons.map(|reason| {
            let session = Arc::clone(&control);
            thread::spawn(move || session.cancel(reason))
        });
        let first = wait(&control);
        assert!(reasons.contains(&first));
        cancelling.into_iter().for_each(|it| it.join().unwrap());
        assert_eq!(control.cancelled(), Some(first));
    });
}

#[test]
fn c062_nothing_keeps_the_connection_of_a_turn_that_has_ended() {
    in_all_orders(|| {
        let control = Arc::new(TurnControl::default());
        let (body, abort) = connection();
        let session = Arc::clone(&control);
        let cancelling = thread::spawn(move || session.cancel(ErrorKind::Superseded));
        control.arm(abort);
        control.finish();
        assert!(!control.is_running());
        cancelling.join().unwrap();
        // The handle was either used, or dropped with the end of the turn.
        assert_eq!(Arc::strong_count(&body), 1);
        assert_eq!(control.cancelled(), Some(ErrorKind::Superseded));
    });
}
