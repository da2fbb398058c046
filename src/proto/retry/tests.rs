use super::*;
use crate::{
    error::{ApiError, Cause as ErrorCause, CloseFrame, RetryAfter},
    proto::fallback::Mark,
};

fn ladder(replay: ReplayPolicy, transports: TransportPolicy) -> Ladder {
    Ladder::new(RetryPolicy { replay, ..RetryPolicy::default() }, transports)
}

fn auto() -> Ladder {
    ladder(ReplayPolicy::default(), TransportPolicy::Auto)
}

fn failed(error: &Error, transport: Transport) -> Failed<'_> {
    Failed { error, transport, reused: false, incremental: false }
}

fn websocket(error: &Error) -> Failed<'_> {
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

fn again(action: Action) -> Again {
    match action {
        Action::Again(again) => again,
        Action::GiveUp => panic!("gave up"),
    }
}

#[test]
fn c030_a_refused_upgrade_goes_to_sse_at_once_and_costs_no_attempt() {
    for (status, mark) in [
        (426, Mark::Unsupported),
        (404, Mark::Unsupported),
        (405, Mark::Unsupported),
        (501, Mark::Unsupported),
        (301, Mark::Unsupported),
        (200, Mark::Unsupported),
        (400, Mark::Ambiguous),
        (403, Mark::Ambiguous),
    ] {
        let error = refused(status);
        let mut ladder = auto();
        let next = again(ladder.next(websocket(&error), 0.5));
        assert!(next.over_sse && next.delay.is_zero(), "{status}");
        assert_eq!(next.mark, Some(mark), "{status}");
        assert_eq!(ladder.attempts, 1);
        let mut only = super::Ladder::new(RetryPolicy::default(), TransportPolicy::WebSocketOnly);
        assert_eq!(only.next(websocket(&error), 0.5), Action::GiveUp);
    }
}

#[test]
fn c034_a_broken_handshake_goes_to_sse_at_once_and_is_remembered() {
    let timeout = Error::new(ErrorKind::Timeout, Phase::Connect, ErrorCause::None);
    let tls = Error::new(ErrorKind::Tls, Phase::Connect, ErrorCause::None);
    let reset = Error::new(ErrorKind::Truncated, Phase::Connect, ErrorCause::None);
    for error in [timeout, tls, reset] {
        let mut ladder = auto();
        let next = again(ladder.next(websocket(&error), 0.5));
        assert!(next.over_sse && next.delay.is_zero(), "{error}");
        assert_eq!(next.mark, Some(Mark::Transient), "{error}");
        assert_eq!(ladder.attempts, 1);
    }
}

#[test]
fn busy_servers_are_asked_again_and_never_marked() {
    for status in [429, 500, 503] {
        let error = api(Phase::Connect, status, "", Delivery::NotSent);
        let mut ladder = auto();
        for attempt in 2..=4 {
            let next = again(ladder.next(websocket(&error), 1.0));
            assert_eq!(next.over_sse, attempt == 4, "the last one tries SSE");
            assert_eq!(next.mark, None);
            assert_eq!(next.delay, Duration::from_millis(200 << (attempt - 2)));
        }
        assert_eq!(ladder.next(failed(&error, Transport::Sse), 1.0), Action::GiveUp);
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
            let next = ladder(policy, TransportPolicy::Auto).next(websocket(&error), 0.0);
            assert_eq!(
                next != Action::GiveUp,
                allowed.contains(&delivery),
                "{policy:?} {delivery:?}"
            );
        }
    }
}

#[test]
fn c036_an_uncertain_request_is_replayed_once() {
    let error = closed(Some(1006), Delivery::Unknown);
    let mut ladder = auto();
    assert!(again(ladder.next(websocket(&error), 0.0)).fresh_socket);
    assert_eq!(ladder.next(websocket(&error), 0.0), Action::GiveUp);
}

#[test]
fn close_codes() {
    for (code, again) in [
        (Some(1001), true),
        (None, true),
        (Some(1006), true),
        (Some(1011), true),
        (Some(1012), true),
        (Some(1013), true),
        (Some(1015), true),
        (Some(1000), false),
        (Some(1008), false),
        (Some(4402), false),
    ] {
        let error = closed(code, Delivery::Refused);
        assert_eq!(auto().next(websocket(&error), 0.0) != Action::GiveUp, again, "{code:?}");
    }
    let error = closed(Some(1009), Delivery::Unknown);
    assert!(super::tests::again(auto().next(websocket(&error), 0.0)).over_sse);
    let mut only = ladder(ReplayPolicy::Restart, TransportPolicy::WebSocketOnly);
    assert_eq!(only.next(websocket(&error), 0.0), Action::GiveUp);
}

#[test]
fn a_lost_parent_is_resent_in_full_once_at_once_and_for_free() {
    let error = api(Phase::FirstEvent, 400, "previous_response_not_found", Delivery::Refused);
    let mut ladder = auto();
    let lost = Failed { incremental: true, ..websocket(&error) };
    let next = again(ladder.next(lost, 0.5));
    assert_eq!(next.reason, FullReason::ParentNotFound);
    assert!(next.delay.is_zero() && !next.fresh_socket && !next.over_sse);
    assert_eq!(ladder.attempts, 1);
    assert_eq!(ladder.next(lost, 0.5), Action::GiveUp);
    assert_eq!(auto().next(websocket(&error), 0.5), Action::GiveUp, "the caller's own parent");
}

#[test]
fn c045_an_old_socket_is_replaced_at_once_for_free() {
    let limit =
        api(Phase::FirstEvent, 400, "websocket_connection_limit_reached", Delivery::Refused);
    let idle = Failed { reused: true, ..websocket(&limit) };
    let gone = closed(None, Delivery::NotSent);
    for failed in [idle, Failed { error: &gone, ..idle }] {
        let mut ladder = auto();
        let next = again(ladder.next(failed, 0.5));
        assert!(next.fresh_socket && next.delay.is_zero());
        assert_eq!(ladder.attempts, 1);
    }
}

#[test]
fn errors_that_stay_are_returned() {
    for error in [
        api(Phase::FirstEvent, 400, "invalid_value", Delivery::Refused),
        api(Phase::Connect, 401, "invalid_api_key", Delivery::NotSent),
        api(Phase::FirstEvent, 429, "insufficient_quota", Delivery::Refused),
        Error::new(ErrorKind::Proxy, Phase::Connect, ErrorCause::None),
        Error::protocol(Phase::FirstEvent, ProtocolError::BinaryFrame),
    ] {
        assert_eq!(auto().next(websocket(&error), 0.5), Action::GiveUp, "{error}");
    }
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
    assert_eq!(auto().next(websocket(&error(61)), 0.0), Action::GiveUp);
}

#[test]
fn waits_double_to_a_limit_and_are_spread() {
    let policy = RetryPolicy { attempts: 12, ..RetryPolicy::default() };
    let error = api(Phase::FirstEvent, 500, "", Delivery::Refused);
    for (chance, share) in [(0.0, 0.75), (1.0, 1.0)] {
        let mut ladder = Ladder::new(policy, TransportPolicy::Auto);
        for full in [200, 400, 800, 1600, 3200, 6400, 8000, 8000] {
            let delay = again(ladder.next(websocket(&error), chance)).delay;
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
        (error(400, "websocket_connection_limit_reached"), true),
    ] {
        assert_eq!(retires_socket(&error, true), retires, "{error}");
        assert!(retires_socket(&error, false));
    }
    // The terminal event itself was broken: the socket is where it should be.
    let unreadable = Error::protocol(Phase::Events, ProtocolError::NotAnEvent);
    assert!(!retires_socket(&unreadable, true));
}
