use super::*;
use crate::{
    api::{ApiError, RetryAfter},
    error::{
        Cause as ErrorCause, CloseFrame, ConnectError, ConnectStep, Peer, ProxyAnswer, ProxyError,
        ProxyPeer, TlsError,
    },
    proto::route::BreakerTrip,
};

mod connections;

fn retry(replay: ReplayPolicy, transports: TransportPolicy) -> RetryState {
    RetryState::new(RetryPolicy { replay, ..RetryPolicy::default() }, transports)
}

fn auto() -> RetryState {
    retry(ReplayPolicy::default(), TransportPolicy::Auto)
}

fn failed(error: &Error, transport: Transport) -> AttemptFailure<'_> {
    let now = Instant::now();
    AttemptFailure {
        reached: true,
        resumable: false,
        progressed: false,
        error,
        transport,
        reused: false,
        incremental: false,
        stale: false,
        silent: false,
        answered: true,
        renewable: false,
        laned: false,
        began: now,
        at: now,
    }
}

fn websocket(error: &Error) -> AttemptFailure<'_> {
    failed(error, Transport::WebSocket)
}

fn api(phase: Phase, status: u16, code: &str, delivery: Delivery) -> Error {
    let error = ApiError {
        status: Some(status),
        code: (!code.is_empty()).then(|| code.into()),
        ..ApiError::default()
    };
    Error::api(phase, error).with_delivery(delivery)
}

fn refused(status: u16) -> Error {
    let error = ApiError { status: Some(status), ..ApiError::default() };
    Error::new(ErrorKind::UpgradeRefused, Phase::Connect, ErrorCause::Api(error))
}

fn closed(code: Option<u16>, delivery: Delivery) -> Error {
    let frame = code.map(|code| CloseFrame::new(code, String::new()));
    Error::new(ErrorKind::Closed, Phase::FirstEvent, ErrorCause::Closed(frame))
        .with_delivery(delivery)
}

fn again(action: RetryDecision) -> NextAttempt {
    match action {
        RetryDecision::Retry(again) => again,
        RetryDecision::Fail => panic!("gave up"),
    }
}

#[test]
fn c030_a_refused_upgrade_goes_to_sse_at_once_and_costs_no_attempt() {
    for (status, trip) in [
        (426, BreakerTrip::Unsupported),
        (404, BreakerTrip::Unsupported),
        (405, BreakerTrip::Unsupported),
        (501, BreakerTrip::Unsupported),
        (301, BreakerTrip::Unsupported),
        (200, BreakerTrip::Unsupported),
        (400, BreakerTrip::Unconfirmed),
        (403, BreakerTrip::Unconfirmed),
    ] {
        let error = refused(status);
        let mut retry = auto();
        let next = again(retry.next(websocket(&error), 0.5));
        assert!(next.over_sse && next.delay.is_zero(), "{status}");
        assert_eq!(next.trip, Some(trip), "{status}");
        assert_eq!(retry.attempts, 1);
        let mut only =
            super::RetryState::new(RetryPolicy::default(), TransportPolicy::WebSocketOnly);
        assert_eq!(only.next(websocket(&error), 0.5), RetryDecision::Fail);
    }
}

#[test]
fn c034_a_broken_handshake_goes_to_sse_at_once_and_is_remembered() {
    let timeout = Error::new(ErrorKind::Timeout, Phase::Connect, ErrorCause::None);
    let reset = Error::new(ErrorKind::Truncated, Phase::Connect, ErrorCause::None);
    for error in [timeout, reset] {
        let mut retry = auto();
        let next = again(retry.next(websocket(&error), 0.5));
        assert!(next.over_sse && next.delay.is_zero(), "{error}");
        assert_eq!(next.trip, Some(BreakerTrip::Transient), "{error}");
        assert_eq!(retry.attempts, 1);
    }
}

#[test]
fn busy_servers_are_asked_again_and_never_marked() {
    for (status, base) in [(429, 200), (500, 200), (503, 1000)] {
        let error = api(Phase::Connect, status, "", Delivery::NotSent);
        let mut retry = auto();
        for attempt in 2..=4 {
            let next = again(retry.next(websocket(&error), 1.0));
            assert_eq!(next.over_sse, attempt == 4, "the last one tries SSE");
            assert_eq!(next.trip, None);
            assert_eq!(next.delay, Duration::from_millis(base << (attempt - 2)));
        }
        assert_eq!(retry.next(failed(&error, Transport::Sse), 1.0), RetryDecision::Fail);
    }
}

#[test]
fn c036_what_may_be_sent_again_is_the_policys_to_say() {
    use Delivery::{Accepted, NotSent, OutputStarted, Refused, Unknown};
    use ReplayPolicy::{BeforeCreated, BeforeOutput, Never, Restart};
    for (policy, allowed) in [
        (Never, &[NotSent, Refused][..]),
        (BeforeCreated, &[NotSent, Refused, Unknown]),
        (BeforeOutput, &[NotSent, Refused, Unknown, Accepted]),
        (Restart, &[NotSent, Refused, Unknown, Accepted, OutputStarted]),
    ] {
        for delivery in [NotSent, Refused, Unknown, Accepted, OutputStarted] {
            let error = closed(None, delivery);
            let next = retry(policy, TransportPolicy::Auto).next(websocket(&error), 0.0);
            assert_eq!(
                next != RetryDecision::Fail,
                allowed.contains(&delivery),
                "{policy:?} {delivery:?}"
            );
        }
    }
}

#[test]
fn c036_an_uncertain_request_is_replayed_once() {
    let error = closed(Some(1006), Delivery::Unknown);
    let mut retry = auto();
    assert!(again(retry.next(websocket(&error), 0.0)).fresh);
    assert_eq!(retry.next(websocket(&error), 0.0), RetryDecision::Fail);
}

#[test]
fn c036_c047_c156_where_the_one_resend_after_a_close_or_a_reset_goes() {
    let fresh = |next: &NextAttempt| next.fresh && !next.over_sse && next.trip.is_none();
    let sse = |next: &NextAttempt| next.over_sse && next.trip == Some(BreakerTrip::Silent);
    assert!(BreakerTrip::Silent.needs_sse_confirmation(), "it is remembered if SSE works");
    let codes = [1000, 1001, 1005, 1006, 1011, 1012, 1013, 1015].map(Some);
    let mut errors: Vec<(Error, bool)> = codes
        .into_iter()
        .chain([None])
        .map(|code| (closed(code, Delivery::Unknown), false))
        .chain([1008, 4000, 4402, 4999].map(|it| (closed(Some(it), Delivery::Unknown), true)))
        .collect();
    let reset = Error::new(ErrorKind::Truncated, Phase::FirstEvent, ErrorCause::None);
    errors.push((reset, false));
    for (error, by_policy) in errors {
        let known = websocket(&error);
        let never_answered = AttemptFailure { answered: false, ..known };
        assert!(sse(&again(auto().next(never_answered, 0.5))), "{error}");
        let next = again(auto().next(known, 0.5));
        assert!(if by_policy { sse(&next) } else { fresh(&next) }, "{error}");

        let only = || retry(ReplayPolicy::default(), TransportPolicy::WebSocketOnly);
        for failed in [known, never_answered] {
            let next = only().next(failed, 0.5);
            assert!(if by_policy { next == RetryDecision::Fail } else { fresh(&again(next)) });
        }
        let mut once = only();
        once.next(known, 0.5);
        assert_eq!(once.next(known, 0.5), RetryDecision::Fail, "one fresh socket, then the error");
        let mut never = retry(ReplayPolicy::Never, TransportPolicy::Auto);
        assert_eq!(never.next(never_answered, 0.5), RetryDecision::Fail);
    }
    // Two consecutive losses: the path to this server now loses requests, despite earlier answers.
    let refused = closed(Some(1012), Delivery::Refused);
    let mut twice = auto();
    assert!(fresh(&again(twice.next(websocket(&refused), 0.5))) && !twice.loses_creates());
    assert!(sse(&again(twice.next(websocket(&refused), 0.5))) && twice.loses_creates());
    // The losses are not consecutive.
    let busy = api(Phase::FirstEvent, 429, "rate_limit_exceeded", Delivery::Refused);
    let mut apart = auto();
    for error in [&refused, &busy, &refused] {
        again(apart.next(websocket(error), 0.5));
        assert!(!apart.loses_creates());
    }
}

#[test]
fn c047_what_is_closed_within_its_response_is_not_tried_again_where_the_server_meant_it() {
    for (code, tried) in [(1000, false), (1008, false), (4402, false), (1011, true), (1012, true)] {
        for delivery in [Delivery::Accepted, Delivery::OutputStarted] {
            let error = closed(Some(code), delivery);
            let mut all = retry(ReplayPolicy::Restart, TransportPolicy::Auto);
            assert_eq!(all.next(websocket(&error), 0.0) != RetryDecision::Fail, tried, "{code}");
        }
    }
}

#[test]
fn c130_what_has_ended_is_tried_again_within_the_attempts_and_what_may_run_once() {
    let tries = |policy: RetryPolicy, status, code: &str| {
        let error = api(Phase::FirstEvent, status, code, Delivery::Unknown);
        let mut retry = RetryState::new(policy, TransportPolicy::Auto);
        let next = |_: &u32| retry.next(failed(&error, Transport::Sse), 1.0) != RetryDecision::Fail;
        1 + (1..10).take_while(next).count()
    };
    let policy = |replay| RetryPolicy { replay, ..RetryPolicy::default() };
    use ReplayPolicy::{BeforeCreated, BeforeOutput, Never, Restart};
    for status in [500, 502, 503] {
        for code in ["", "server_error"] {
            assert_eq!(tries(policy(Never), status, code), 1, "{status}");
            let none = RetryPolicy { max_replays: 0, ..RetryPolicy::default() };
            assert_eq!(tries(none, status, code), 4, "no replay: {status}");
            for replay in [BeforeCreated, BeforeOutput, Restart] {
                assert_eq!(tries(policy(replay), status, code), 4, "{status}");
            }
        }
    }
    for status in [408, 504, 520, 522, 524, 529] {
        assert_eq!(tries(policy(Never), status, ""), 1, "{status}");
        assert_eq!(tries(policy(BeforeCreated), status, ""), 2, "{status}");
        let more = RetryPolicy { max_replays: 2, ..RetryPolicy::default() };
        assert_eq!(tries(more, status, ""), 3, "{status}");
    }
    // The server reports the failure of a response that it had accepted.
    let gone = api(Phase::Events, 500, "server_error", Delivery::Accepted);
    for (replay, tried) in [(Never, false), (BeforeCreated, true), (BeforeOutput, true)] {
        let next = retry(replay, TransportPolicy::Auto).next(websocket(&gone), 0.5);
        assert_eq!(next != RetryDecision::Fail, tried, "{replay:?}");
    }
    let output = api(Phase::Events, 500, "server_error", Delivery::OutputStarted);
    let mut all = retry(Restart, TransportPolicy::Auto);
    again(all.next(websocket(&output), 0.5));
    assert_eq!(all.next(websocket(&output), 0.5), RetryDecision::Fail, "output is paid for");
}

#[test]
fn c134_a_kept_connection_that_died_is_replaced_once_for_free_but_not_under_never() {
    let lost = Error::new(ErrorKind::Truncated, Phase::FirstEvent, ErrorCause::None);
    assert_eq!(lost.delivery(), Delivery::Unknown);
    let stale = AttemptFailure { stale: true, reused: true, ..failed(&lost, Transport::Sse) };
    let one = RetryPolicy { max_attempts: 1, max_replays: 0, ..RetryPolicy::default() };
    let mut retry = RetryState::new(one, TransportPolicy::Auto);
    let next = again(retry.next(stale, 0.5));
    assert_eq!(next, NextAttempt { fresh: true, ..IMMEDIATE });
    assert_eq!((retry.attempts, retry.replays), (1, 0));
    assert_eq!(retry.next(stale, 0.5), RetryDecision::Fail, "once a turn");
    let never = RetryPolicy { replay: ReplayPolicy::Never, ..one };
    let mut retry = RetryState::new(never, TransportPolicy::Auto);
    assert_eq!(
        retry.next(stale, 0.5),
        RetryDecision::Fail,
        "it cannot be proved that it did not run"
    );
    let unsent = Error::new(ErrorKind::Truncated, Phase::FirstEvent, ErrorCause::None)
        .with_delivery(Delivery::NotSent);
    let unsent = AttemptFailure { error: &unsent, stale: false, ..stale };
    assert!(again(retry.next(unsent, 0.5)).fresh);
    // A request to resume a response is repeated unchanged.
    let mut retry = RetryState::new(never, TransportPolicy::Auto);
    let next = again(retry.next(AttemptFailure { resumable: true, ..stale }, 0.5));
    assert!(next.fresh && next.over_sse && next.delay.is_zero());
}

#[test]
fn c143_progress_of_a_response_that_is_gone_on_with_renews_the_attempts() {
    let cut = Error::new(ErrorKind::Truncated, Phase::Events, ErrorCause::None);
    let with =
        |progressed| AttemptFailure { resumable: true, progressed, ..failed(&cut, Transport::Sse) };
    let mut retry = auto();
    for _ in 0..20 {
        assert_eq!(again(retry.next(with(true), 1.0)).delay, Duration::from_millis(200));
    }
    let waits: Vec<u128> = std::iter::from_fn(|| match retry.next(with(false), 1.0) {
        RetryDecision::Retry(again) => Some(again.delay.as_millis()),
        RetryDecision::Fail => None,
    })
    .take(9)
    .collect();
    assert_eq!(waits, [400, 800]);
}

#[test]
fn c149_a_server_that_names_no_time_at_all_is_left_alone_for_the_first_step() {
    use std::time::SystemTime;
    for retry_after in [
        RetryAfter::In(Duration::ZERO),
        RetryAfter::In(Duration::from_millis(1)),
        RetryAfter::At(SystemTime::UNIX_EPOCH),
    ] {
        let error =
            ApiError { status: Some(503), retry_after: Some(retry_after), ..ApiError::default() };
        let error = Error::api(Phase::FirstEvent, error).with_delivery(Delivery::Refused);
        let mut retry = auto();
        for _ in 0..3 {
            let delay = again(retry.next(websocket(&error), 1.0)).delay;
            assert_eq!(delay, Duration::from_millis(200), "{retry_after:?}");
        }
    }
}

#[test]
fn c038_a_frame_that_is_too_large_goes_over_sse_at_once_and_costs_no_attempt() {
    let error = closed(Some(1009), Delivery::Refused);
    let policy = RetryPolicy { max_attempts: 1, ..RetryPolicy::default() };
    let next = again(RetryState::new(policy, TransportPolicy::Auto).next(websocket(&error), 0.0));
    assert!(next.over_sse && next.delay.is_zero());
    assert_eq!(next.trip, None, "it is about this request");
    let mut only = retry(ReplayPolicy::Restart, TransportPolicy::WebSocketOnly);
    assert_eq!(only.next(websocket(&error), 0.0), RetryDecision::Fail);
}

#[test]
fn a_lost_parent_is_resent_in_full_once_at_once_and_for_free() {
    let error = api(Phase::FirstEvent, 400, "previous_response_not_found", Delivery::Refused);
    let mut retry = auto();
    let lost = AttemptFailure { incremental: true, ..websocket(&error) };
    let next = again(retry.next(lost, 0.5));
    assert_eq!(next.reason, FullSendReason::ParentNotFound);
    assert!(next.delay.is_zero() && !next.fresh && !next.over_sse);
    assert_eq!(retry.attempts, 1);
    assert_eq!(retry.next(lost, 0.5), RetryDecision::Fail);
    assert_eq!(auto().next(websocket(&error), 0.5), RetryDecision::Fail, "the caller's own parent");
}

#[test]
fn c045_an_old_socket_is_replaced_at_once_for_free() {
    let limit =
        api(Phase::FirstEvent, 400, "websocket_connection_limit_reached", Delivery::Refused);
    let idle = AttemptFailure { reused: true, ..websocket(&limit) };
    let gone = closed(None, Delivery::NotSent);
    for failed in [idle, AttemptFailure { error: &gone, ..idle }] {
        let mut retry = auto();
        let next = again(retry.next(failed, 0.5));
        assert!(next.fresh && next.delay.is_zero());
        assert_eq!(retry.attempts, 1);
    }
}

#[test]
fn errors_that_stay_are_returned() {
    for error in [
        api(Phase::FirstEvent, 400, "invalid_value", Delivery::Refused),
        api(Phase::Connect, 401, "invalid_api_key", Delivery::NotSent),
        api(Phase::FirstEvent, 429, "insufficient_quota", Delivery::Refused),
        api(Phase::FirstEvent, 429, "usage_limit_reached", Delivery::Refused),
        api(Phase::FirstEvent, 402, "", Delivery::Refused),
        Error::new(ErrorKind::Proxy, Phase::Connect, ErrorCause::None),
        Error::protocol(Phase::FirstEvent, ProtocolError::BinaryFrame),
    ] {
        assert_eq!(auto().next(websocket(&error), 0.5), RetryDecision::Fail, "{error}");
    }
}

#[test]
fn c046_the_connection_limit_is_known_by_its_code() {
    for status in [None, Some(400), Some(408), Some(429)] {
        let code = Some("websocket_connection_limit_reached".into());
        let error = ApiError { status, code, ..ApiError::default() };
        let error = Error::api(Phase::FirstEvent, error).with_delivery(Delivery::Refused);
        let mut retry = auto();
        assert!(again(retry.next(websocket(&error), 0.5)).fresh, "{status:?}");
        assert_eq!(retry.attempts, 1);
        assert!(retires_socket(&error, true));
    }
}

#[test]
fn c048_the_budget_is_one_whatever_fails_and_wherever() {
    let busy = api(Phase::FirstEvent, 500, "", Delivery::Refused);
    let limited = api(Phase::FirstEvent, 429, "rate_limit_exceeded", Delivery::Refused);
    let cut = closed(None, Delivery::NotSent);
    let mut retry = auto();
    again(retry.next(websocket(&busy), 0.5));
    again(retry.next(websocket(&cut), 0.5));
    again(retry.next(failed(&limited, Transport::Sse), 0.5));
    assert_eq!(retry.next(failed(&busy, Transport::Sse), 0.5), RetryDecision::Fail);
}

#[test]
fn c049_bytes_that_are_sent_again_are_counted() {
    let mut retry = RetryState::new(
        RetryPolicy { max_resend_bytes: 100, ..RetryPolicy::default() },
        TransportPolicy::Auto,
    );
    assert!(retry.may_resend(1000), "nothing was sent so far");
    retry.sent(1000);
    assert!(retry.may_resend(100) && !retry.may_resend(101));
    retry.sent(60);
    assert!(retry.may_resend(40) && !retry.may_resend(41));
}

#[test]
fn c051_a_replay_under_another_name_is_one() {
    // The credential is refused after the request may have run.
    let error = api(Phase::FirstEvent, 401, "", Delivery::Unknown);
    let cut = closed(None, Delivery::Unknown);
    let mut retry = auto();
    again(retry.next(AttemptFailure { renewable: true, ..websocket(&error) }, 0.5));
    assert_eq!(retry.next(websocket(&cut), 0.5), RetryDecision::Fail);
    // What was not sent or was refused is no replay, and neither is what has ended.
    for delivery in [Delivery::NotSent, Delivery::Refused, Delivery::Unknown] {
        let before = api(Phase::FirstEvent, 500, "", delivery);
        let mut retry = auto();
        again(retry.next(websocket(&before), 0.5));
        again(retry.next(websocket(&cut), 0.5));
        assert_eq!(retry.next(websocket(&cut), 0.5), RetryDecision::Fail);
    }
}

#[test]
fn c052_what_was_not_sent_is_sent_elsewhere_once_for_free() {
    let gone = closed(None, Delivery::NotSent);
    let reused = AttemptFailure { reused: true, ..websocket(&gone) };
    let mut retry = retry(ReplayPolicy::Never, TransportPolicy::Auto);
    let next = again(retry.next(reused, 0.5));
    assert!(next.fresh && next.delay.is_zero());
    assert_eq!(retry.attempts, 1);
    assert!(!again(retry.next(reused, 0.5)).delay.is_zero());
    assert_eq!(retry.attempts, 2);
}

#[test]
fn c056_an_overloaded_server_is_left_alone_for_longer() {
    for (status, code) in [
        (503, "server_is_overloaded"),
        (429, "slow_down"),
        (503, ""),
        (529, ""),
        (500, "server_is_overloaded"),
    ] {
        let error = api(Phase::FirstEvent, status, code, Delivery::Refused);
        let mut retry = auto();
        for seconds in [1, 2, 4] {
            let next = again(retry.next(websocket(&error), 1.0));
            assert_eq!(next.delay, Duration::from_secs(seconds), "{status} {code}");
        }
        let late = api(Phase::Events, status, code, Delivery::OutputStarted);
        assert_eq!(auto().next(websocket(&late), 1.0), RetryDecision::Fail);
    }
}

#[test]
fn c057_a_network_that_is_down_is_waited_for_by_a_schedule_of_its_own() {
    let error = Error::new(ErrorKind::Connect, Phase::Connect, ErrorCause::None);
    let start = Instant::now();
    let at = |after: u64| {
        let at = start + Duration::from_secs(after);
        AttemptFailure { began: at, at, ..websocket(&error) }
    };
    let mut retry = auto();
    let mut now = 0;
    for wait in [1, 2, 4, 8, 16, 29] {
        let next = again(retry.next(at(now), 1.0));
        assert_eq!(next.delay, Duration::from_secs(wait), "the last one ends at the deadline");
        assert!(!next.over_sse && next.trip.is_none());
        now += wait;
    }
    assert_eq!(retry.attempts, 1);
    assert_eq!(retry.next(at(60), 1.0), RetryDecision::Fail);

    // Success of the network in between resets the count.
    let busy = api(Phase::FirstEvent, 500, "", Delivery::Refused);
    again(retry.next(websocket(&busy), 1.0));
    assert_eq!(again(retry.next(at(100), 1.0)).delay, Duration::from_secs(1));

    let with = |deadline| {
        let policy = RetryPolicy { network_down_deadline: deadline, ..RetryPolicy::default() };
        RetryState::new(policy, TransportPolicy::Auto)
    };
    assert_eq!(with(Some(Duration::ZERO)).next(at(0), 1.0), RetryDecision::Fail);
    let mut counted = with(None);
    assert_eq!(again(counted.next(at(0), 1.0)).delay, Duration::from_millis(200));
    assert_eq!(counted.attempts, 2);
}

#[test]
fn c031_a_refused_credential_is_renewed_once() {
    for phase in [Phase::Connect, Phase::FirstEvent] {
        let error = api(phase, 401, "", Delivery::Refused);
        let renewable = AttemptFailure { renewable: true, ..websocket(&error) };
        let mut retry = auto();
        let next = again(retry.next(renewable, 0.5));
        assert!(next.delay.is_zero() && next.fresh && !next.over_sse);
        assert_eq!(retry.attempts, 1);
        assert_eq!(retry.next(renewable, 0.5), RetryDecision::Fail);
        assert_eq!(
            auto().next(websocket(&error), 0.5),
            RetryDecision::Fail,
            "it would be the same"
        );
        let forbidden = api(phase, 403, "", Delivery::Refused);
        let forbidden = AttemptFailure { renewable: true, ..websocket(&forbidden) };
        assert_eq!(auto().next(forbidden, 0.5), RetryDecision::Fail);
    }
}

#[test]
fn c035_silence_on_a_socket_that_never_answered_leads_to_sse() {
    let error = Error::new(ErrorKind::Timeout, Phase::FirstEvent, ErrorCause::None);
    let silent = AttemptFailure { silent: true, answered: false, ..websocket(&error) };
    let next = again(auto().next(silent, 0.5));
    assert!(next.over_sse && next.delay.is_zero());
    assert_eq!(next.trip, Some(BreakerTrip::Silent));
    assert!(BreakerTrip::Silent.needs_sse_confirmation(), "the server itself may be slow");
    let known = again(auto().next(AttemptFailure { answered: true, ..silent }, 0.5));
    assert!(known.fresh && !known.over_sse && known.trip.is_none());
    let mut only = retry(ReplayPolicy::default(), TransportPolicy::WebSocketOnly);
    assert!(again(only.next(silent, 0.5)).fresh);
    let mut never = retry(ReplayPolicy::Never, TransportPolicy::Auto);
    assert_eq!(never.next(silent, 0.5), RetryDecision::Fail);
}

#[test]
fn what_the_server_says_about_trying_again_counts_more_than_the_status() {
    let said = |status, code: Option<&str>, header| {
        let mut error =
            ApiError { status: Some(status), code: code.map(Into::into), ..ApiError::default() };
        error.headers.insert("x-should-retry", http::HeaderValue::from_static(header));
        let error = Error::api(Phase::FirstEvent, error).with_delivery(Delivery::Refused);
        auto().next(websocket(&error), 0.5) != RetryDecision::Fail
    };
    assert!(said(400, None, "true") && said(422, None, "true"));
    assert!(!said(500, None, "false") && !said(429, Some("rate_limit_exceeded"), "false"));
    assert!(!said(429, Some("insufficient_quota"), "true"), "that it cannot go well is known");
    assert!(said(500, None, "perhaps") && !said(400, None, "perhaps"));
}

#[test]
fn a_server_that_names_a_time_is_obeyed_up_to_a_limit() {
    let error = |seconds| {
        let error = ApiError {
            status: Some(429),
            retry_after: Some(RetryAfter::In(Duration::from_secs(seconds))),
            ..ApiError::default()
        };
        Error::api(Phase::FirstEvent, error).with_delivery(Delivery::Refused)
    };
    assert_eq!(again(auto().next(websocket(&error(7)), 0.0)).delay, Duration::from_secs(7));
    assert_eq!(again(auto().next(websocket(&error(60)), 0.0)).delay, Duration::from_secs(60));
    assert_eq!(auto().next(websocket(&error(61)), 0.0), RetryDecision::Fail);
}

#[test]
fn waits_double_to_a_limit_and_are_spread() {
    let policy = RetryPolicy { max_attempts: 12, ..RetryPolicy::default() };
    let error = api(Phase::FirstEvent, 500, "", Delivery::Refused);
    for (chance, share) in [(0.0, 0.75), (1.0, 1.0)] {
        let mut retry = RetryState::new(policy, TransportPolicy::Auto);
        for full in [200, 400, 800, 1600, 3200, 6400, 8000, 8000] {
            let delay = again(retry.next(websocket(&error), chance)).delay;
            assert_eq!(delay, Duration::from_millis(full).mul_f64(share));
        }
    }
}

#[test]
fn c106_a_socket_goes_on_after_an_error_unless_the_error_or_the_provider_says_otherwise() {
    let error = |status, code| api(Phase::FirstEvent, status, code, Delivery::Refused);
    for (error, retires) in [
        (error(400, "invalid_value"), false),
        (error(500, "server_error"), false),
        (error(401, "invalid_api_key"), true),
        (error(401, "insufficient_quota"), true),
        (error(403, "invalid_api_key"), true),
        (error(400, "websocket_connection_limit_reached"), true),
    ] {
        assert_eq!(retires_socket(&error, true), retires, "{error}");
        assert!(retires_socket(&error, false));
    }
    // Only the terminal event was malformed. The exchange has ended, so that the socket is usable.
    let unreadable = Error::protocol(Phase::Events, ProtocolError::NotAnEvent);
    assert!(!retires_socket(&unreadable, true));
}

#[test]
fn a_response_is_gone_on_with_by_another_credential_only_where_there_is_one() {
    let error = api(Phase::FirstEvent, 401, "invalid_api_key", Delivery::Refused);
    let cut =
        |renewable| AttemptFailure { resumable: true, renewable, ..failed(&error, Transport::Sse) };
    assert_eq!(auto().next(cut(false), 0.5), RetryDecision::Fail);
    let mut retry = auto();
    again(retry.next(cut(true), 0.5));
    assert_eq!(retry.next(cut(true), 0.5), RetryDecision::Fail, "once a turn");
}
