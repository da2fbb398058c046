//! The connection of the next attempt, in each case with all that the attempt is.

use super::*;

fn plain(kind: ErrorKind, phase: Phase) -> Error {
    Error::new(kind, phase, ErrorCause::None)
}

fn fresh(millis: u64) -> NextAttempt {
    NextAttempt { delay: Duration::from_millis(millis), fresh: true, ..IMMEDIATE }
}

fn over_sse(millis: u64, trip: Option<BreakerTrip>) -> NextAttempt {
    NextAttempt { delay: Duration::from_millis(millis), over_sse: true, trip, ..IMMEDIATE }
}

const POLICIES: [TransportPolicy; 2] = [TransportPolicy::Auto, TransportPolicy::WebSocketOnly];

#[test]
fn the_last_attempt_after_failed_connections_goes_over_sse_unless_the_policy_forbids_it() {
    let timeout = plain(ErrorKind::Timeout, Phase::Send).with_delivery(Delivery::NotSent);
    let unreachable = plain(ErrorKind::Connect, Phase::Connect);
    let policy = RetryPolicy { network_down_deadline: None, ..RetryPolicy::default() };
    // An unreachable server says nothing about WebSockets.
    for (error, trip) in [(timeout, Some(BreakerTrip::Transient)), (unreachable, None)] {
        for transports in POLICIES {
            let mut retry = RetryState::new(policy, transports);
            let mut next = || retry.next(websocket(&error), 1.0);
            assert_eq!((again(next()), again(next())), (fresh(200), fresh(400)));
            let last = match transports {
                TransportPolicy::Auto => over_sse(800, trip),
                _ => fresh(800),
            };
            assert_eq!(again(next()), last, "{error}");
            assert_eq!(next(), RetryDecision::Fail, "{error}");
        }
        let mut retry = RetryState::new(policy, TransportPolicy::Auto);
        for millis in [200, 400, 800] {
            assert_eq!(again(retry.next(failed(&error, Transport::Sse), 1.0)), fresh(millis));
        }
    }
}

#[test]
fn a_broken_handshake_is_repeated_where_the_policy_forbids_sse() {
    let handshake = Error::protocol(Phase::Connect, ProtocolError::Handshake("no WebSocket"));
    // The last column is the next attempt if the failed one went over SSE.
    for (error, after_sse) in [
        (plain(ErrorKind::Timeout, Phase::Connect), Some(fresh(200))),
        (plain(ErrorKind::Truncated, Phase::Connect), Some(fresh(200))),
        (handshake, None),
    ] {
        let broken = |transports| retry(ReplayPolicy::default(), transports);
        let mut auto = broken(TransportPolicy::Auto);
        let transient = Some(BreakerTrip::Transient);
        assert_eq!(again(auto.next(websocket(&error), 1.0)), over_sse(0, transient));
        let mut only = broken(TransportPolicy::WebSocketOnly);
        assert_eq!(again(only.next(websocket(&error), 1.0)), fresh(200), "{error}");
        let decision = broken(TransportPolicy::Auto).next(failed(&error, Transport::Sse), 1.0);
        assert_eq!(
            decision,
            after_sse.map_or(RetryDecision::Fail, RetryDecision::Retry),
            "{error}"
        );
    }
    let redirect = ProtocolError::Redirect("https://elsewhere".into());
    let redirect = Error::protocol(Phase::Connect, redirect);
    assert_eq!(auto().next(websocket(&redirect), 1.0), RetryDecision::Fail, "it would be the same");
}

#[test]
fn c176_a_tls_fault_is_final_and_a_connection_that_is_cut_is_retried() {
    let failed_over = |error: &Error, transport| {
        retry(ReplayPolicy::default(), TransportPolicy::Auto).next(failed(error, transport), 1.0)
    };
    let connect = |error| Error::connect(error, "refused", None);
    for transport in [Transport::WebSocket, Transport::Sse] {
        for fault in [
            TlsError::UnknownIssuer { issuer: String::new() },
            TlsError::Expired { not_after: None, now: None },
            TlsError::NotTls,
            TlsError::ClientCertificateRequired,
        ] {
            let error = connect(ConnectError::Tls(fault));
            assert_eq!(failed_over(&error, transport), RetryDecision::Fail, "{error}");
        }
        for step in [ConnectStep::Tls, ConnectStep::ProxyTls, ConnectStep::Proxy] {
            let error = connect(ConnectError::Lost(step));
            assert_eq!(again(failed_over(&error, transport)), fresh(200), "{error}");
        }
    }
}

#[test]
fn c174_sse_is_used_where_it_needs_no_tunnel() {
    let through = |forwards, error| {
        let proxy = ProxyPeer { address: "p:1".to_owned(), setting: "", is_local: true, forwards };
        let peer = Peer::new(&"http://api.example/v1".parse().unwrap(), Some(proxy));
        Error::connect(ConnectError::Proxy(error), "refused", Some(peer))
    };
    for error in [ProxyError::Refused, ProxyError::NotAProxy, ProxyError::CredentialsRequired] {
        let refused = through(true, error(ProxyAnswer::default()));
        let unconfirmed = Some(BreakerTrip::Unconfirmed);
        assert_eq!(again(auto().next(websocket(&refused), 1.0)), over_sse(0, unconfirmed));
        assert_eq!(auto().next(failed(&refused, Transport::Sse), 1.0), RetryDecision::Fail);
        let https = through(false, error(ProxyAnswer::default()));
        assert_eq!(auto().next(websocket(&https), 1.0), RetryDecision::Fail);
    }
    // Proxies without tunnels answer like this as well. SSE shows immediately if the server is down.
    let down = through(true, ProxyError::ServerUnreachable(ProxyAnswer::default()));
    assert!(again(auto().next(websocket(&down), 1.0)).over_sse);
}

#[test]
fn a_server_that_answers_later_is_asked_over_the_same_connection() {
    let limited = |phase| api(phase, 429, "rate_limit_exceeded", Delivery::Refused);
    let later = |millis| NextAttempt {
        delay: Duration::from_millis(millis),
        reason: FullSendReason::PriorNotCompleted,
        ..IMMEDIATE
    };
    for (phase, transports, last) in [
        (Phase::FirstEvent, TransportPolicy::Auto, later(800)),
        (Phase::Connect, TransportPolicy::WebSocketOnly, later(800)),
        (Phase::Connect, TransportPolicy::Auto, over_sse(800, None)),
    ] {
        let error = limited(phase);
        let mut retry = retry(ReplayPolicy::default(), transports);
        for expected in [later(200), later(400), last] {
            assert_eq!(again(retry.next(websocket(&error), 1.0)), expected, "{phase:?}");
        }
    }
}

#[test]
fn a_lost_create_waits_before_it_is_sent_again() {
    let lost = closed(None, Delivery::Unknown);
    let unanswered = AttemptFailure { answered: false, ..websocket(&lost) };
    assert_eq!(again(auto().next(websocket(&lost), 1.0)), fresh(200));
    let silent = Some(BreakerTrip::Silent);
    assert_eq!(again(auto().next(unanswered, 1.0)), over_sse(200, silent));
}

#[test]
fn only_a_request_without_an_event_over_a_websocket_is_a_lost_create() {
    let lost = closed(None, Delivery::Refused);
    let mut over_sse = auto();
    for millis in [200, 400] {
        assert_eq!(again(over_sse.next(failed(&lost, Transport::Sse), 1.0)), fresh(millis));
        assert!(!over_sse.loses_creates());
    }
    let begun = closed(None, Delivery::Accepted);
    let begun = AttemptFailure { answered: false, ..websocket(&begun) };
    let mut retry = retry(ReplayPolicy::BeforeOutput, TransportPolicy::Auto);
    assert_eq!(again(retry.next(begun, 1.0)), fresh(200));
}

#[test]
fn only_silence_of_a_whole_websocket_after_the_request_blames_its_frames() {
    let timeout = |phase| plain(ErrorKind::Timeout, phase).with_delivery(Delivery::NotSent);
    let (late, sending) = (timeout(Phase::FirstEvent), timeout(Phase::Send));
    let silent = AttemptFailure { silent: true, answered: false, ..websocket(&late) };
    for (failed, expected) in [
        (silent, over_sse(0, Some(BreakerTrip::Silent))),
        (AttemptFailure { silent: false, ..silent }, fresh(200)),
        (AttemptFailure { answered: true, ..silent }, fresh(200)),
        (AttemptFailure { transport: Transport::Sse, ..silent }, fresh(200)),
        (AttemptFailure { error: &sending, ..silent }, fresh(200)),
    ] {
        assert_eq!(again(auto().next(failed, 1.0)), expected, "{failed:?}");
    }
    let mut only = retry(ReplayPolicy::default(), TransportPolicy::WebSocketOnly);
    assert_eq!(again(only.next(silent, 1.0)), fresh(200));
    let credentials = timeout(Phase::Prepare);
    assert_eq!(auto().next(websocket(&credentials), 1.0), RetryDecision::Fail);
}

#[test]
fn each_attempt_while_the_network_is_down_opens_a_connection() {
    let down = plain(ErrorKind::Connect, Phase::Connect);
    let trying_for = Some(Duration::from_secs(60));
    let waiting = NextAttempt { trying_for, ..fresh(1000) };
    assert_eq!(again(auto().next(websocket(&down), 1.0)), waiting);
}

#[test]
fn c179_a_server_that_was_never_reached_is_given_up_early() {
    let down = plain(ErrorKind::Connect, Phase::Connect);
    let start = Instant::now();
    let given_up_after = |policy: RetryPolicy, reached| {
        let mut retry = RetryState::new(policy, TransportPolicy::Auto);
        let mut passed = Duration::ZERO;
        loop {
            let at = start + passed;
            match retry.next(AttemptFailure { reached, began: at, at, ..websocket(&down) }, 1.0) {
                RetryDecision::Fail => return passed,
                RetryDecision::Retry(next) => {
                    let end = policy.network_down_deadline.unwrap();
                    let end = if reached { end } else { end.min(Duration::from_secs(5)) };
                    assert_eq!(next.trying_for, Some(end - passed));
                    passed += next.delay;
                }
            }
        }
    };
    let policy = RetryPolicy::default();
    assert_eq!(given_up_after(policy, false), Duration::from_secs(5));
    assert_eq!(given_up_after(policy, true), Duration::from_secs(60));
    let short = policy.network_down_deadline(Duration::from_secs(2));
    assert_eq!(given_up_after(short, false), Duration::from_secs(2));
    let mut patient = RetryState::new(policy.unreached_deadline(None), TransportPolicy::Auto);
    let first = patient.next(AttemptFailure { reached: false, ..websocket(&down) }, 1.0);
    assert_eq!(again(first).trying_for, Some(Duration::from_secs(60)));
}

#[test]
fn c179_a_host_that_does_not_answer_is_a_network_that_is_down() {
    let timed_out = |step| Error::connect(ConnectError::TimedOut(step), "timed out", None);
    let ten = Duration::from_secs(10);
    for step in [ConnectStep::Dns, ConnectStep::Tcp] {
        let error = timed_out(step);
        for transport in [Transport::WebSocket, Transport::Sse] {
            let first = failed(&error, transport);
            let first = AttemptFailure { at: first.began + ten, ..first };
            let trying_for = Some(Duration::from_secs(50));
            let next = again(auto().next(first, 1.0));
            assert_eq!(next, NextAttempt { trying_for, ..fresh(1000) });
            // The attempt took longer than an unreached server is tried for.
            let unreached = AttemptFailure { reached: false, ..first };
            assert_eq!(auto().next(unreached, 1.0), RetryDecision::Fail);
        }
    }
    // Counted like other failures, it is no evidence against WebSockets either.
    let policy = RetryPolicy::default().network_down_deadline(None).max_attempts(2);
    let error = timed_out(ConnectStep::Tcp);
    let mut counted = RetryState::new(policy, TransportPolicy::Auto);
    assert_eq!(again(counted.next(websocket(&error), 1.0)), over_sse(200, None));
    // The host answers, and a middlebox may hold the handshake of a WebSocket back.
    let error = timed_out(ConnectStep::Tls);
    let expected = over_sse(0, Some(BreakerTrip::Transient));
    assert_eq!(again(auto().next(websocket(&error), 1.0)), expected);
}

#[test]
fn a_response_is_resumed_over_sse() {
    let unfinished = Error::protocol(Phase::Events, ProtocolError::Unfinished);
    let unreadable = Error::protocol(Phase::Events, ProtocolError::NotAnEvent);
    let cut = plain(ErrorKind::Truncated, Phase::Events);
    let resumed = Some(over_sse(200, None));
    for (error, resumable, expected) in [
        (&cut, true, resumed.clone()),
        (&unfinished, true, resumed),
        (&unfinished, false, None),
        (&unreadable, true, None),
    ] {
        let failed = AttemptFailure { resumable, ..failed(error, Transport::Sse) };
        let decision = auto().next(failed, 1.0);
        assert_eq!(decision, expected.map_or(RetryDecision::Fail, RetryDecision::Retry), "{error}");
    }
    let stale = AttemptFailure { resumable: true, stale: true, ..failed(&cut, Transport::Sse) };
    let mut retry = auto();
    let next = again(retry.next(stale, 1.0));
    assert_eq!(next, NextAttempt { fresh: true, ..over_sse(0, None) });
    assert_eq!(retry.next(stale, 1.0), RetryDecision::Fail, "once a turn");
}
