//! One account of an error from all the shapes that servers give it.
//!
//! | shape | from |
//! |---|---|
//! | `{type:"error", code, message, param}` | OpenAI over SSE |
//! | `{type:"error", status, error:{type, code, message, param}}` | OpenAI over a WebSocket |
//! | the same with `status_code`, or with neither | older versions, others |
//! | the same with `headers` outside or inside, values strings, numbers or bools | WebSocket |
//! | `{type:"error", status, error:{detail}}` | the ChatGPT backend |
//! | `{error:{…}}`, `{error:"…"}`, `{detail:"…"}`, `{message:"…"}` | gateways |
//! | `{type:"response.error", …}` | others |
//! | `response.failed` with `response.error`, null, or with null in it | all |
//! | an HTTP answer with any of these, with HTML or with nothing | all |

use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::{
    error::{ApiError, ErrorCode, RetryAfter},
    event::{MAX_HEADERS, header},
    json::{self, Json},
};

/// The account of an error frame.
pub(crate) fn error_frame(payload: &str) -> ApiError {
    match json::from_str(payload) {
        Ok(Value::Object(frame)) => from_object(&frame),
        _ => ApiError::default(),
    }
}

/// The account of a failed response.
pub(crate) fn failed_response(response: &Json) -> ApiError {
    let error: Option<Value> = response.member("error").ok().flatten();
    match error {
        Some(Value::Object(error)) => from_object(&error),
        Some(Value::String(message)) => ApiError { message: Some(message), ..ApiError::default() },
        _ => ApiError::default(),
    }
}

/// The account of an HTTP answer that is no success; `body` may be cut off.
pub(crate) fn http_error(status: u16, headers: &HeaderMap, body: &[u8]) -> ApiError {
    let mut error = match json::from_slice(body) {
        Ok(Value::Object(body)) => from_object(&body),
        Ok(Value::String(message)) => ApiError { message: Some(message), ..ApiError::default() },
        // HTML and the like: a middlebox spoke. The text may help a person.
        _ => {
            let text = String::from_utf8_lossy(body).trim().to_owned();
            ApiError { message: (!text.is_empty()).then_some(text), ..ApiError::default() }
        }
    };
    error.status = Some(status);
    error.headers = headers.clone();
    error.retry_after = retry_after(&error).or(error.retry_after);
    error
}

fn from_object(frame: &Map<String, Value>) -> ApiError {
    let nested = frame.get("error").and_then(Value::as_object);
    // What stands inside counts before what stands outside.
    let find =
        |name: &str| nested.and_then(|error| present(error, name)).or_else(|| present(frame, name));
    let text = |name: &str| find(name).and_then(Value::as_str).map(str::to_owned);
    let status = find("status").or_else(|| find("status_code"));
    let message = text("message")
        .or_else(|| text("detail"))
        .or_else(|| frame.get("error").and_then(Value::as_str).map(str::to_owned))
        .or_else(|| find("detail").map(Value::to_string));
    let outer_type = |name: &String| name != "error" && name != "response.error";
    let mut error = ApiError {
        status: status.and_then(number).and_then(|status| u16::try_from(status).ok()),
        error_type: text("type").filter(outer_type),
        code: code(find("code")),
        param: text("param"),
        message,
        headers: HeaderMap::new(),
        retry_after: None,
        misalignment: find("misalignment").map(|it| Json::trusted(it.to_string())),
    };
    for map in [present(frame, "headers"), nested.and_then(|error| present(error, "headers"))] {
        if let Some(Value::Object(map)) = map {
            let headers = map.iter().filter_map(|(name, value)| header(name, value));
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

/// When to come back, by the headers or, for errors about rates, by the message.
fn retry_after(error: &ApiError) -> Option<RetryAfter> {
    let header = |name: &str| error.headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(milliseconds) = header("retry-after-ms").and_then(|text| text.parse().ok()) {
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
    let about_rates = matches!(
        error.code,
        Some(ErrorCode::RateLimitExceeded | ErrorCode::SlowDown | ErrorCode::ServerIsOverloaded)
    ) || error.status == Some(429);
    // A server's text is as long as it likes; the time stands near its beginning.
    let message = error.message.as_deref().filter(|_| about_rates)?;
    let end = (0..=message.len().min(512)).rev().find(|&end| message.is_char_boundary(end))?;
    in_words(message.get(..end)?).map(RetryAfter::In)
}

fn seconds(number: f64, unit: f64) -> Option<RetryAfter> {
    Duration::try_from_secs_f64(number * unit).ok().map(RetryAfter::In)
}

/// The time in "try again in 1m2.5s", "… in 28ms", "… in 35 seconds".
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
    fn bodies_of_middleboxes_are_kept_as_text() {
        let error = http_error(502, &HeaderMap::new(), b"<html>Bad Gateway</html>");
        assert_eq!(
            (error.status(), error.message()),
            (Some(502), Some("<html>Bad Gateway</html>"))
        );
        assert_eq!(http_error(403, &HeaderMap::new(), b"").message(), None);
    }
}
