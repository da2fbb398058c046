use std::{error::Error as _, time::Duration};

mod texts;

use super::*;
use crate::request::ResponsesRequest;
use crate::{
    api::{ErrorClass, RetryAfter},
    report::TurnReport,
};

#[test]
fn it_is_one_word_wide_and_travels() {
    fn travels<T: Send + Sync + 'static>() {}
    travels::<Error>();
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
}

#[test]
fn faults_of_settings_and_requests_become_errors_of_their_kind() {
    let config = Error::from(ConfigError::BaseUrl("not an absolute URL"));
    let decode = DecodeError::expected("a call", "an object");
    let request = Error::from(RequestError::Body(decode.clone()));
    for (error, kind, what) in [
        (
            &config,
            ErrorKind::InvalidConfig,
            "the settings are invalid: invalid base URL: not an absolute URL",
        ),
        (&request, ErrorKind::InvalidRequest, "the request is invalid: a call: expected an object"),
    ] {
        let place = (error.kind(), error.phase(), error.delivery());
        assert_eq!(place, (kind, Phase::Prepare, Delivery::NotSent));
        assert_eq!(error.to_string(), what);
    }
    assert!(config.source().is_none(), "the text is already shown");
    assert!(request.source().is_none(), "the text is already shown");
    assert_eq!(config.config_error(), Some(&ConfigError::BaseUrl("not an absolute URL")));
    assert_eq!(request.request_error(), Some(&RequestError::Body(decode)));
    assert!(config.request_error().is_none() && request.config_error().is_none());
    assert_eq!(config.clone().to_string(), config.to_string());
}

#[test]
fn display_does_not_repeat_its_source() {
    for error in [
        ResponsesRequest::from_json(r#"{"input":7}"#).unwrap_err().into(),
        Error::protocol(Phase::Events, ProtocolError::BinaryFrame),
        Error::new(ErrorKind::Connect, Phase::Connect, Cause::other("refused")),
    ] {
        let source = error.source().unwrap().to_string();
        assert!(!error.to_string().contains(&source), "{error}");
    }
}

fn told(status: impl Into<Option<u16>>, code: &str) -> Error {
    let code = (!code.is_empty()).then(|| code.into());
    let error = ApiError { status: status.into(), code, ..ApiError::default() };
    Error::api(Phase::FirstEvent, error).with_delivery(Delivery::Refused)
}

fn closed(code: u16) -> Error {
    let frame = CloseFrame::new(code, "the reason".to_owned());
    Error::new(ErrorKind::Closed, Phase::FirstEvent, Cause::Closed(Some(frame)))
}

/// Each kind with a typical cause, and what to do about it.
fn typical() -> Vec<(Error, RetryAction, &'static str)> {
    use RetryAction::{ChangeRequest, Reauthenticate, Reconfigure, Retry, RetryMayRepeat, Stop};
    let (again, repeat) = (Retry, RetryMayRepeat);
    let bare = |kind, phase| Error::new(kind, phase, Cause::None);
    let protocol = |cause| Error::protocol(Phase::FirstEvent, cause);
    let decode = DecodeError::expected("a call", "an object");
    vec![
        (
            Error::invalid_request(RequestError::ReservedField("stream".into())),
            ChangeRequest,
            "remove it from the request",
        ),
        (
            Error::invalid_request(RequestError::NoTransport("`background` needs HTTP")),
            Reconfigure,
            "use `TransportPolicy::Auto`",
        ),
        (
            Error::invalid_config(ConfigError::ExposedCredentials),
            Reconfigure,
            "`Provider::allow_credentials_over_http`",
        ),
        (bare(ErrorKind::Auth, Phase::Prepare), Reauthenticate, "the client's `AuthProvider`"),
        (bare(ErrorKind::Connect, Phase::Connect), again, "check the base URL"),
        (bare(ErrorKind::Tls, Phase::Connect), Reconfigure, "check the base URL"),
        (bare(ErrorKind::Proxy, Phase::Connect), Reconfigure, "check the proxy setting"),
        (bare(ErrorKind::ProxyAuthentication, Phase::Connect), Reconfigure, "user:password@"),
        (bare(ErrorKind::Timeout, Phase::Connect), again, "timed out connecting"),
        (bare(ErrorKind::Timeout, Phase::FirstEvent), repeat, "double billing"),
        (
            Error::new(ErrorKind::UpgradeRefused, Phase::Connect, Cause::Api(ApiError::default())),
            Reconfigure,
            "WebSocket upgrade: the server answered",
        ),
        (bare(ErrorKind::UpgradeRefused, Phase::Connect), Reconfigure, "TransportPolicy::Auto"),
        (told(429, "rate_limit_exceeded"), again, ": retry"),
        (told(503, ""), again, ": retry"),
        (told(None, ""), again, ": retry"),
        (told(429, "insufficient_quota"), Stop, "does not help"),
        (told(401, ""), Reauthenticate, "check the API key"),
        (told(403, ""), Reauthenticate, "check the API key"),
        (told(400, "context_length_exceeded"), ChangeRequest, "change the request"),
        (told(400, "previous_response_not_found"), ChangeRequest, "change the request"),
        (told(404, ""), Reconfigure, "check the base URL"),
        (closed(1011), repeat, "double billing"),
        (closed(1008), ChangeRequest, "change the request"),
        (closed(4402), Stop, "does not help"),
        (bare(ErrorKind::Truncated, Phase::Events), repeat, "double billing"),
        (protocol(ProtocolError::BinaryFrame), repeat, "double billing"),
        (protocol(ProtocolError::ContentType("text/html".into())), Reconfigure, "base URL"),
        (protocol(ProtocolError::ContentEncoding("gzip".into())), Reconfigure, "base URL"),
        (
            protocol(ProtocolError::WebPage(WebPage::new(200, "", None, None))),
            Reconfigure,
            "base URL",
        ),
        (bare(ErrorKind::TooLarge, Phase::Events), Reconfigure, "raise `Limits::max_event_bytes`"),
        (bare(ErrorKind::FellBehind, Phase::Events), Reconfigure, "read the stream faster"),
        (bare(ErrorKind::PoolFull, Phase::Prepare), again, "allow more WebSockets"),
        (bare(ErrorKind::Superseded, Phase::Events), Stop, "read the stream of the newer turn"),
        (bare(ErrorKind::SessionClosed, Phase::Events), Stop, "start another session"),
        (bare(ErrorKind::Stopped, Phase::Events), Stop, "the partial response"),
        (bare(ErrorKind::NoRuntime, Phase::Prepare), Reconfigure, "inside a tokio runtime"),
        (decode.into(), Stop, "the source has the reason"),
    ]
}

#[test]
fn every_error_says_what_happened_and_what_to_do() {
    let mut kinds = std::collections::HashSet::new();
    for (error, action, words) in typical() {
        let text = error.to_string();
        assert_eq!(error.retry_action(), action, "{text}");
        assert_eq!(error.is_retryable(), action == RetryAction::Retry, "{text}");
        assert!(text.contains(words), "{text}");
        assert!(!text.contains('\n') && text.len() < 400, "{text}");
        kinds.insert(error.kind());
    }
    let last = ErrorKind::Decode as usize;
    assert_eq!(kinds.len(), last + 1, "each kind is here");
}

#[test]
fn what_the_server_asked_for_is_said() {
    let error = ApiError {
        status: Some(429),
        retry_after: Some(RetryAfter::In(Duration::from_millis(7500))),
        ..ApiError::default()
    };
    let error = Error::api(Phase::FirstEvent, error).with_delivery(Delivery::Refused);
    assert_eq!(error.retry_action(), RetryAction::Retry);
    assert_eq!(error.retry_after(), Some(Duration::from_millis(7500)));
    assert!(error.to_string().ends_with(": retry after 7.5s"), "{error}");
    assert!(closed(1011).to_string().contains("code 1011 (the reason)"));
}

#[test]
fn predicates_tell_the_causes_apart() {
    let is = |error: &Error| {
        [
            error.is_rate_limited(),
            error.is_quota_exhausted(),
            error.is_context_length_exceeded(),
            error.is_overloaded(),
            error.is_authentication(),
            error.is_policy_violation(),
        ]
        .map(u8::from)
    };
    for (error, expected) in [
        (told(429, "rate_limit_exceeded"), [1, 0, 0, 0, 0, 0]),
        (told(429, ""), [1, 0, 0, 0, 0, 0]),
        (told(429, "slow_down"), [1, 0, 0, 1, 0, 0]),
        (told(429, "credit_balance_exhausted"), [0, 1, 0, 0, 0, 0]),
        (told(402, ""), [0, 1, 0, 0, 0, 0]),
        (told(400, "context_length_exceeded"), [0, 0, 1, 0, 0, 0]),
        (told(503, ""), [0, 0, 0, 1, 0, 0]),
        (told(500, "server_is_overloaded"), [0, 0, 0, 1, 0, 0]),
        (told(401, ""), [0, 0, 0, 0, 1, 0]),
        (told(None, "invalid_api_key"), [0, 0, 0, 0, 1, 0]),
        (Error::new(ErrorKind::Auth, Phase::Prepare, Cause::None), [0, 0, 0, 0, 1, 0]),
        (told(400, "cyber_policy"), [0, 0, 0, 0, 0, 1]),
        (told(400, "invalid_value"), [0; 6]),
        (closed(1011), [0; 6]),
    ] {
        assert_eq!(is(&error), expected, "{error}");
    }
}

#[test]
fn a_quota_is_known_by_its_type_too() {
    for name in ["insufficient_quota", "usage_limit_reached"] {
        let error_type = Some(name.to_owned());
        let error = ApiError { status: Some(429), error_type, ..ApiError::default() };
        assert_eq!(error.class(), ErrorClass::Quota, "{name}");
    }
    let error_type = Some("server_error".to_owned());
    let busy = ApiError { status: Some(503), error_type, ..ApiError::default() };
    assert_eq!(busy.class(), ErrorClass::Overload, "the status says more");
    assert_eq!(ApiError { status: None, ..busy }.class(), ErrorClass::Transient);
}

#[test]
fn the_id_of_the_request_is_that_of_the_error_or_of_the_turn() {
    let mut headers = http::HeaderMap::new();
    headers.insert("x-request-id", http::HeaderValue::from_static("of the turn"));
    let server = crate::report::ServerHeaders::new(std::sync::Arc::new(headers));
    let report = TurnReport { server, ..TurnReport::default() };
    let error = told(500, "").with_report(report.clone());
    assert_eq!(error.request_id(), Some("of the turn"));
    for header in ["x-request-id", "x-oai-request-id"] {
        let mut api = ApiError::default();
        api.headers.insert(header, http::HeaderValue::from_static("of the error"));
        let error = Error::api(Phase::FirstEvent, api).with_report(report.clone());
        assert_eq!(error.request_id(), Some("of the error"));
    }
}

#[test]
fn what_an_error_is_told_by_is_shown_as_the_tool_writes_it() {
    let error = Error::new(ErrorKind::UpgradeRefused, Phase::FirstEvent, Cause::None);
    let shown = format!("{} {} {}", error.kind(), error.phase(), error.delivery());
    assert_eq!(shown, "upgrade_refused first_event unknown");
}
