//! Responses that the server keeps: how they stand, and their end.

use std::{sync::Arc, time::Duration};

use http::Method;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    config::{Transport, TransportPolicy},
    error::{Cause, Error, ProtocolError},
    kind::{Delivery, ErrorKind, Phase},
    proto::{
        retry::{Action, Failed, Ladder},
        turn,
    },
    response::Response,
    shared::Shared,
    transport::call,
};

/// What is asked of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// How it stands.
    Retrieve,
    /// That it end.
    Cancel,
}

/// Asks for a response that the server keeps. Asking twice harms nothing, so that every failure
/// that may pass is followed by another attempt, within the budget of a turn.
pub(crate) async fn ask(shared: Arc<Shared>, id: &str, what: Ask) -> Result<Response, Error> {
    let deadline = shared.timeouts.request.map(|time| after(Instant::now(), time));
    let asking = async {
        let mut ladder = Ladder::new(shared.retry, TransportPolicy::SseOnly);
        loop {
            let error = match ask_once(&shared, id, what, deadline).await {
                Ok(response) => return Ok(response),
                Err(error) => error.with_delivery(Delivery::Refused),
            };
            if error.kind() == ErrorKind::Api && error.is_authentication() {
                shared.auth.refused();
            }
            let failed = Failed {
                error: &error,
                transport: Transport::Sse,
                reused: false,
                incremental: false,
                stale: call::is_stale(&error),
                silent: false,
                answered: true,
                resumable: false,
                progressed: false,
                renewable: shared.auth.is_renewable(),
                at: Instant::now().into_std(),
            };
            let Action::Again(again) = ladder.next(failed, fastrand::f64()) else {
                return Err(error);
            };
            // No attempt would follow: the error says more than that the time was over.
            if deadline.is_some_and(|deadline| after(Instant::now(), again.delay) >= deadline) {
                return Err(error);
            }
            sleep(again.delay).await;
        }
    };
    match deadline {
        Some(deadline) => timeout_at(deadline, asking).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, Phase::FirstEvent, Cause::None))
        }),
        None => asking.await,
    }
}

async fn ask_once(
    shared: &Shared,
    id: &str,
    what: Ask,
    deadline: Option<Instant>,
) -> Result<Response, Error> {
    let (method, action) = match what {
        Ask::Retrieve => (Method::GET, None),
        Ask::Cancel => (Method::POST, Some("cancel")),
    };
    let uri = shared.uri_of(id, action)?;
    let request = call::request(method, uri, shared.headers().await?, None);
    let deadline = deadline.unwrap_or_else(|| after(Instant::now(), Duration::MAX));
    let body = call::fetch(&*shared.network, request, deadline, shared.limits).await?;
    Response::read(body).map_err(|source| {
        let event = "response".to_owned();
        Error::protocol(Phase::Events, ProtocolError::Event { event, source })
    })
}

fn after(start: Instant, time: Duration) -> Instant {
    Instant::from_std(turn::after(start.into_std(), time))
}
