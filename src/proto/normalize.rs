//! Normalizes the error shapes of servers into one [`ApiError`].
//!
//! | shape | from |
//! |---|---|
//! | `{type:"error", code, message, param}` | OpenAI over SSE |
//! | `{type:"error", status, error:{type, code, message, param}}` | OpenAI over a WebSocket |
//! | the same with `status_code`, or with neither | older versions, others |
//! | the same with `headers` outside or inside, values strings, numbers or bools | WebSocket |
//! | `{type:"error", status, error:{detail}}` | the ChatGPT backend |
//! | `{error:{…}}`, `{error:"…"}`, `{detail:"…"}`, `{message:"…"}` | gateways |
//! | `{type:"response.error", …}`, `{type:"rate_limit_error", …}` | others |
//! | any of these without a type, or plain text, in an SSE event that is named as an error | others |
//! | `{object:"error", type, code, message}`, `code` a number | vLLM |
//! | `response.failed` with `response.error`, null, or with null in it | all |
//! | an HTTP answer with any of these, with HTML or with nothing | all |

use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::{body, wire::Frame};
use crate::{
    api::{ApiError, ErrorCode, RetryAfter},
    event::{MAX_HEADERS, header},
    json::{self, Json},
};

/// Returns the error in an error frame.
pub(crate) fn error_frame(frame: &Frame) -> ApiError {
    let mut error = match json::from_str(&frame.payload) {
        Ok(Value::Object(frame)) => from_object(&frame),
        Ok(Value::String(text)) => from_text(&text),
        _ => from_text(&frame.payload),
    };
    // Gateways put the type into the name of the SSE event.
    if error.error_type.is_none() && says_more(&frame.name) {
        error.error_type = Some(frame.name.to_string());
    }
    error
}

fn from_text(text: &str) -> ApiError {
    let text = text.trim();
    ApiError { message: (!text.is_empty()).then(|| text.to_owned()), ..ApiError::default() }
}

/// Returns `true` if an error type is more specific than `error`.
fn says_more(error_type: &str) -> bool {
    !["", "error", "response.error"].iter().any(|it| error_type.eq_ignore_ascii_case(it))
}

/// Returns the error of a failed response.
pub(crate) fn failed_response(response: &Json) -> ApiError {
    let error: Option<Value> = response.member("error").ok().flatten();
    match error {
        Some(Value::Object(error)) => from_object(&error),
        Some(Value::String(message)) => from_text(&message),
        _ => ApiError::default(),
    }
}

/// Returns the error of an HTTP answer without success. `body` may be cut off.
pub(crate) fn http_error(status: u16, headers: &HeaderMap, body: &[u8]) -> ApiError {
    let mut error = match json::from_slice(body) {
        // Encoded bytes are not a message.
        _ if body::encoding(headers).is_some() => ApiError::default(),
        Ok(Value::Object(body)) => from_object(&body),
        Ok(Value::String(message)) => from_text(&message),
        // The title and the server of a middlebox's page help a human reader.
        _ if body::is_page(headers, body) => {
            let page = body::page(status, headers, body);
            let server = page.server.map(|server| format!("server: {server}"));
            let message = match (page.title, server) {
                (Some(title), Some(server)) => Some(format!("{title} ({server})")),
                (title, server) => title.or(server),
            };
            let message = match (message, page.sign_in) {
                (Some(message), true) => Some(format!("sign-in page: {message}")),
                (None, true) => Some("sign-in page".to_owned()),
                (message, false) => message,
            };
            ApiError { message, ..ApiError::default() }
        }
        _ => from_text(&String::from_utf8_lossy(body)),
    };
    error.status = Some(status);
    error.headers = headers.clone();
    error.retry_after = retry_after(&error).or(error.retry_after);
    error
}

fn from_object(frame: &Map<String, Value>) -> ApiError {
    let nested = frame.get("error").and_then(Value::as_object);
    // Nested members win over outer ones.
    let find =
        |name: &str| nested.and_then(|error| present(error, name)).or_else(|| present(frame, name));
    let text = |name: &str| find(name).and_then(Value::as_str).map(str::to_owned);
    let error_type = [nested, Some(frame)].into_iter().flatten().find_map(|map| {
        map.get("type")?.as_str().filter(|error_type| says_more(error_type)).map(str::to_owned)
    });
    let status = |name| find(name).and_then(number).and_then(|it| u16::try_from(it).ok());
    // vLLM and several gateways send the status as the code.
    let as_code = || status("code").filter(|status| (400..600).contains(status));
    let message = text("message")
        .or_else(|| text("detail"))
        .or_else(|| frame.get("error").and_then(Value::as_str).map(str::to_owned))
        .or_else(|| find("detail").map(Value::to_string));
    let mut error = ApiError {
        status: status("status").or_else(|| status("status_code")).or_else(as_code),
        error_type,
        code: code(find("code")),
        param: text("param"),
        message,
        headers: HeaderMap::new(),
        retry_after: None,
        misalignment: find("misalignment").map(|it| Json::from_trusted(it.to_string())),
    };
    for map in [present(frame, "headers"), nested.and_then(|error| present(error, "headers"))] {
        if let Some(Value::Object(map)) = map {
            let headers = map.iter().filter_map(|(name, value)| header(name, value));
            // A server could send more headers than a map can hold.
            error.headers.extend(headers.take(MAX_HEADERS));
        }
    }
    let resets = || find("resets_in_seconds").and_then(number).map(Duration::from_secs);
    error.retry_after = retry_after(&error).or_else(|| resets().map(RetryAfter::In));
    error
}

fn present<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).filter(|value| !value.is_null())
}

fn code(value: Option<&Value>) -> Option<ErrorCode> {
    match value? {
        Value::String(code) => Some(code.as_str().into()),
        Value::Number(code) => Some(code.to_string().as_str().into()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// Returns the delay before a retry, from the headers or, for rate errors, from the message.
fn retry_after(error: &ApiError) -> Option<RetryAfter> {
    // Headers win over the message, and the more precise header over the standard one.
    let header = |name: &str| error.headers.get(name)?.to_str().ok().map(str::trim);
    // Azure has a header of its own.
    let precise = ["retry-after-ms", "x-ms-retry-after-ms"];
    if let Some(milliseconds) = precise.into_iter().find_map(|name| header(name)?.parse().ok()) {
        return seconds(milliseconds, 0.001);
    }
    if let Some(text) = header("retry-after") {
        if let Ok(number) = text.parse() {
            return seconds(number, 1.0);
        }
        if let Ok(time) = httpdate::parse_http_date(text) {
            return Some(RetryAfter::At(time));
        }
    }
    // Other messages may contain a time that is no delay.
    let about_rates = matches!(
        error.code,
        Some(ErrorCode::RateLimitExceeded | ErrorCode::SlowDown | ErrorCode::ServerIsOverloaded)
    ) || error.status == Some(429);
    // The message may be long; the time stands near its start.
    let message = error.message.as_deref().filter(|_| about_rates)?;
    let end = (0..=message.len().min(512)).rev().find(|&end| message.is_char_boundary(end))?;
    in_words(message.get(..end)?).map(RetryAfter::In)
}

fn seconds(number: f64, unit: f64) -> Option<RetryAfter> {
    Duration::try_from_secs_f64(number * unit).ok().map(RetryAfter::In)
}

/// Returns the time in "try again in 1m2.5s", "… in 28ms", "… in 35 seconds".
fn in_words(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    let mut rest = lower.split("try again in ").nth(1)?;
    let mut total = None;
    loop {
        let digits =
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, tail) = rest.split_at_checked(digits)?;
        let Ok(number) = number.trim_end_matches('.').parse::<f64>() else { return total };
        let tail = tail.trim_start();
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at_checked(letters)?;
        let unit = match unit {
            "ms" | "millisecond" | "milliseconds" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            _ => return total,
        };
        let part = Duration::try_from_secs_f64(number * unit).ok()?;
        total = Some(total.unwrap_or_default().checked_add(part)?);
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::{
        api::ErrorClass,
        proto::wire::{Wire, responses::Responses},
    };

    fn error_frame(payload: &str) -> ApiError {
        super::error_frame(&Responses.classify("", payload.into()))
    }

    #[test]
    fn headers_beyond_number_are_left_out() {
        let headers: Map<String, Value> =
            (0..40_000).map(|i| (format!("x-{i}"), Value::from(i))).collect();
        let frame = serde_json::json!({"type": "error", "headers": headers});
        assert_eq!(error_frame(&frame.to_string()).headers.len(), MAX_HEADERS);
    }

    #[test]
    fn c075_all_shapes_give_one_account() {
        let expect = |frame: &str, status: Option<u16>| {
            let error = error_frame(frame);
            assert_eq!(error.status(), status, "{frame}");
            assert_eq!(error.message(), Some("Slow."), "{frame}");
            error
        };
        let body = r#""type":"t","code":"rate_limit_exceeded","message":"Slow.","param":"p""#;
        for (frame, status) in [
            (format!(r#"{{"type":"error","status":429,"error":{{{body}}}}}"#), Some(429)),
            (format!(r#"{{"type":"error","status_code":429,"error":{{{body}}}}}"#), Some(429)),
            (format!(r#"{{"type":"error","error":{{{body}}}}}"#), None),
            (format!(r#"{{"error":{{{body}}}}}"#), None),
            (format!(r#"{{"type":"response.error","error":{{{body}}}}}"#), None),
        ] {
            let error = expect(&frame, status);
            assert_eq!(error.error_type(), Some("t"));
            assert_eq!(error.code(), Some(&ErrorCode::RateLimitExceeded));
            assert_eq!(error.param(), Some("p"));
        }
        let flat = expect(
            r#"{"type":"error","code":"server_error","message":"Slow.","param":null,"sequence_number":3}"#,
            None,
        );
        assert_eq!(flat.code(), Some(&ErrorCode::ServerError));
        assert_eq!(flat.error_type(), None);
        for (frame, status) in [
            (r#"{"type":"error","status":400,"error":{"detail":"Slow."}}"#, Some(400)),
            (r#"{"error":"Slow."}"#, None),
            (r#"{"detail":"Slow."}"#, None),
            (r#"{"message":"Slow."}"#, None),
            (r#"{"type":"response.error","message":"Slow."}"#, None),
        ] {
            expect(frame, status);
        }
    }

    #[test]
    fn c076_an_error_needs_no_sequence_number_nor_anything_else() {
        assert_eq!(error_frame(r#"{"type":"error"}"#).message(), None);
        assert_eq!(
            error_frame(r#"{"type":"error","error":{"code":null,"message":null}}"#).code(),
            None
        );
    }

    #[test]
    fn c077_headers_are_read_wherever_they_stand_and_whatever_they_are() {
        for frame in [
            r#"{"type":"error","headers":{"Retry-After":"2","x-request-id":"req_1"},"error":{}}"#,
            r#"{"type":"error","error":{"headers":{"retry-after":2,"x-request-id":"req_1","ok":true}}}"#,
        ] {
            let error = error_frame(frame);
            assert_eq!(error.retry_after(), Some(Duration::from_secs(2)), "{frame}");
            assert_eq!(error.request_id(), Some("req_1"), "{frame}");
        }
    }

    #[test]
    fn failed_responses_may_say_nothing() {
        let read = |response: &str| failed_response(&Json::parse(response).unwrap());
        assert_eq!(read(r#"{"error":null}"#).message(), None);
        assert_eq!(read("{}").code(), None);
        assert_eq!(read(r#"{"error":{"code":null,"message":"m"}}"#).message(), Some("m"));
        assert_eq!(
            read(r#"{"error":{"code":"server_error"}}"#).code(),
            Some(&ErrorCode::ServerError)
        );
    }

    #[test]
    fn what_else_an_error_tells_is_kept() {
        let failed = r#"{"error":{"code":"misalignment_policy_violation","message":"m",
            "misalignment":{"error_type":"other","steer":{"message":"s"}}}}"#;
        let error = failed_response(&Json::parse(failed).unwrap());
        let kind: Option<String> = error.misalignment().unwrap().member("error_type").unwrap();
        assert_eq!(kind.as_deref(), Some("other"));
        assert!(!format!("{error:?}").contains("other"), "it may quote the conversation");
        assert!(error_frame(r#"{"error":{"misalignment":null}}"#).misalignment().is_none());

        let used_up = br#"{"error":{"type":"usage_limit_reached","resets_in_seconds":90}}"#;
        let error = http_error(429, &HeaderMap::new(), used_up);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(90)));
    }

    #[test]
    fn retry_after_in_every_form() {
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            http_error(429, &headers, b"").retry_after
        };
        let after = |seconds: f64| Some(RetryAfter::In(Duration::from_secs_f64(seconds)));
        assert_eq!(with("retry-after", "3"), after(3.0));
        assert_eq!(with("retry-after", "1.5"), after(1.5));
        assert_eq!(with("retry-after-ms", "250"), after(0.25));
        assert_eq!(with("x-ms-retry-after-ms", "250"), after(0.25));
        assert!(matches!(
            with("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"),
            Some(RetryAfter::At(_))
        ));
        assert_eq!(with("retry-after", "soon"), None);
        assert_eq!(with("retry-after", "-1"), None);
        let said = |message: &str| {
            let body =
                serde_json::json!({"error": {"code": "rate_limit_exceeded", "message": message}});
            http_error(429, &HeaderMap::new(), body.to_string().as_bytes()).retry_after
        };
        assert_eq!(said("Limit reached. Please try again in 11.054s. Visit"), after(11.054));
        assert_eq!(said("Please try again in 28ms."), after(0.028));
        assert_eq!(said("Try again in 35 seconds."), after(35.0));
        assert_eq!(said("try again in 1m2.5s"), after(62.5));
        assert_eq!(said("try again in a while"), None);
        assert_eq!(said(&format!("try again in {0}{0}", "10000000000000000000s")), None);
    }

    #[test]
    fn c127_an_error_may_have_its_type_from_the_name_of_its_event() {
        let named = |name: &str, payload: &str| {
            super::error_frame(&Responses.classify(name, payload.into()))
        };
        for (name, payload, error_type, message) in [
            ("error", r#"{"message":"Slow."}"#, None, Some("Slow.")),
            ("rate_limit_error", r#"{"message":"Slow."}"#, Some("rate_limit_error"), Some("Slow.")),
            ("rate_limit_error", r#"{"error":"Slow."}"#, Some("rate_limit_error"), Some("Slow.")),
            ("x_error", r#"{"error":{"type":"y","message":"m"}}"#, Some("y"), Some("m")),
            ("error", "Slow.\n", None, Some("Slow.")),
            ("error", "\"Slow.\"", None, Some("Slow.")),
            ("Error", "", None, None),
        ] {
            let error = named(name, payload);
            assert_eq!((error.error_type(), error.message()), (error_type, message), "{payload}");
        }
    }

    #[test]
    fn c127_foreign_errors_are_read() {
        let vllm =
            r#"{"object":"error","message":"m","type":"NotFoundError","param":null,"code":404}"#;
        let error = error_frame(vllm);
        assert_eq!((error.status(), error.message()), (Some(404), Some("m")));
        assert_eq!(error.error_type(), Some("NotFoundError"));
        let router = r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#;
        assert_eq!(error_frame(router).status(), Some(429));
        let own = r#"{"type":"error","error":{"type":"error","code":7,"message":"m"}}"#;
        assert_eq!((error_frame(own).status(), error_frame(own).error_type()), (None, None));
    }

    #[test]
    fn c146_errors_with_only_a_type_are_classified_by_it() {
        for (error_type, class) in [
            ("rate_limit_error", ErrorClass::Transient),
            ("api_error", ErrorClass::Transient),
            ("timeout_error", ErrorClass::Transient),
            ("overloaded_error", ErrorClass::Overload),
            ("authentication_error", ErrorClass::Credential),
            ("permission_error", ErrorClass::Permission),
            ("invalid_request_error", ErrorClass::Request),
            ("not_found_error", ErrorClass::Request),
            ("billing_error", ErrorClass::Quota),
            ("insufficient_quota", ErrorClass::Quota),
        ] {
            for frame in [
                format!(r#"{{"type":"error","error":{{"type":"{error_type}","message":"m"}}}}"#),
                format!(r#"{{"type":"{error_type}","message":"m"}}"#),
                format!(r#"{{"type":"{error_type}","error":{{"message":"m"}}}}"#),
                format!(r#"{{"error":{{"type":"{error_type}","code":null}}}}"#),
            ] {
                let error = error_frame(&frame);
                assert_eq!((error.class(), error.error_type()), (class, Some(error_type)));
            }
        }
        let told = r#"{"type":"error","status":503,"error":{"type":"invalid_request_error"}}"#;
        assert_eq!(error_frame(told).class(), ErrorClass::Overload, "a status says more");
    }

    #[test]
    fn c132_of_a_web_page_its_title_and_server_are_told() {
        let page = b"<html><head><title>502 Bad\n Gateway</title></head><body>secret</body></html>";
        let mut headers = HeaderMap::new();
        let said = |headers: &HeaderMap, body: &[u8]| {
            let error = http_error(502, headers, body);
            assert_eq!(error.status(), Some(502));
            error.message().map(str::to_owned)
        };
        assert_eq!(said(&headers, page).as_deref(), Some("502 Bad Gateway"));
        assert_eq!(said(&headers, b"<html>Bad Gateway</html>"), None);
        headers.insert("server", HeaderValue::from_static("nginx"));
        assert_eq!(said(&headers, page).as_deref(), Some("502 Bad Gateway (server: nginx)"));
        assert_eq!(said(&headers, b"<html>x</html>").as_deref(), Some("server: nginx"));
        headers.insert("content-type", HeaderValue::from_static("text/html"));
        assert_eq!(said(&headers, b"Bad Gateway").as_deref(), Some("server: nginx"));
        assert_eq!(said(&headers, br#"{"error":"m"}"#).as_deref(), Some("m"), "it is JSON");
        assert_eq!(http_error(403, &HeaderMap::new(), b"").message(), None);
        assert_eq!(http_error(403, &HeaderMap::new(), b"Go away.").message(), Some("Go away."));
    }

    #[test]
    fn c133_an_encoded_error_body_is_not_taken_for_a_message() {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", HeaderValue::from_static("gzip"));
        let error = http_error(500, &headers, b"\x1f\x8bgarbage");
        assert_eq!((error.status(), error.message()), (Some(500), None));
    }

    #[test]
    fn c149_a_time_of_zero_or_in_the_past_stays_what_it_is() {
        let after = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            http_error(429, &headers, b"").retry_after()
        };
        assert_eq!(after("retry-after", "0"), Some(Duration::ZERO));
        assert_eq!(after("retry-after-ms", "0"), Some(Duration::ZERO));
        let past = after("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(past, Some(Duration::ZERO));
        assert_eq!(after("retry-after", "-1"), None);
    }
}
