//! One request and its whole response, with retries. Turns have their own retries.

use std::time::Duration;

use http::{HeaderMap, Method, Uri};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    auth::Secret,
    config::{Transport, TransportPolicy},
    endpoint::Endpoint,
    error::{Cause, Error},
    kind::{Delivery, ErrorKind, Phase},
    proto::{
        retry::{AttemptFailure, RetryDecision, RetryState},
        turn,
    },
    transport,
};

/// A request without a body. Repeating the request must be harmless.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) uri: Uri,
}

/// Sends a request and returns the body of its response.
///
/// Transient failures are retried, within the retry policy of a turn and
/// [`Timeouts::request`](crate::Timeouts::request).
///
/// # Errors
///
/// Returns the error of the last attempt.
pub(super) async fn call(endpoint: &Endpoint, call: Call) -> Result<Vec<u8>, Error> {
    let deadline = endpoint.policy.timeouts.request.map(|time| after(Instant::now(), time));
    let attempts = try_until_done(endpoint, &call, deadline);
    match deadline {
        Some(deadline) => timeout_at(deadline, attempts).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, Phase::FirstEvent, Cause::None))
        }),
        None => attempts.await,
    }
}

async fn try_until_done(
    endpoint: &Endpoint,
    call: &Call,
    deadline: Option<Instant>,
) -> Result<Vec<u8>, Error> {
    let mut retry = RetryState::new(endpoint.policy.retry, TransportPolicy::SseOnly);
    loop {
        let began = Instant::now().into_std();
        let mut token = None;
        let mut error = match try_once(endpoint, call, deadline, &mut token).await {
            Ok(body) => {
                endpoint.origin.set_reached();
                return Ok(body);
            }
            // Repeating the request is harmless, so that every failure counts as a refusal.
            Err(error) => error.with_delivery(Delivery::Refused),
        };
        error.set_context(&endpoint.error_context);
        if error.kind() == ErrorKind::Api && error.is_authentication() {
            endpoint.auth.refused(token.as_ref());
        }
        let failed = AttemptFailure {
            reached: endpoint.origin.is_reached(),
            error: &error,
            transport: Transport::Sse,
            reused: false,
            incremental: false,
            stale: transport::http1::is_stale(&error),
            silent: false,
            answered: true,
            resumable: false,
            progressed: false,
            laned: false,
            renewable: endpoint.auth.is_renewable(),
            began,
            at: Instant::now().into_std(),
        };
        let RetryDecision::Retry(again) = retry.next(failed, fastrand::f64()) else {
            return Err(error);
        };
        // The next attempt would begin after the deadline. The error of this attempt is more useful
        // to the caller than a timeout.
        if deadline.is_some_and(|deadline| after(Instant::now(), again.delay) >= deadline) {
            return Err(error);
        }
        sleep(again.delay).await;
    }
}

/// Sends the request once. Sets `token` to the token of the request, if a provider returned it.
async fn try_once(
    endpoint: &Endpoint,
    call: &Call,
    deadline: Option<Instant>,
    token: &mut Option<Secret>,
) -> Result<Vec<u8>, Error> {
    let (method, uri) = (call.method.clone(), call.uri.clone());
    let authorized = endpoint.authorize(HeaderMap::new()).await?;
    *token = authorized.token;
    let mut request = transport::http1::request(method, uri, authorized.headers, None);
    transport::http1::count_by(&mut request, endpoint.connection_counts());
    let request = endpoint.sign(request, token.as_ref())?;
    let deadline = deadline.unwrap_or_else(|| after(Instant::now(), Duration::MAX));
    transport::http1::fetch(&*endpoint.network, request, deadline, endpoint.policy.limits).await
}

fn after(start: Instant, time: Duration) -> Instant {
    Instant::from_std(turn::after(start.into_std(), time))
}
