//! Remaining rates and plan limits, from headers and from events.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CodexRateLimits, ResponseEvent};
use crate::{format::milliseconds, json::Json};

/// Maximum number of headers taken from the events of a response. The head of an answer holds at
/// most a hundred, and a map of very many headers panics.
pub(crate) const MAX_HEADERS: usize = 256;

/// Remaining rates of a key, from the headers `x-ratelimit-*`.
///
/// ```
/// use responses_client::FinalResponse;
///
/// fn is_short_of_tokens(response: &FinalResponse) -> bool {
///     response.rate_limits().tokens.remaining.is_some_and(|tokens| tokens < 10_000)
/// }
/// # let _ = is_short_of_tokens;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RateLimits {
    /// Remaining requests.
    pub requests: RateLimit,
    /// Remaining tokens.
    pub tokens: RateLimit,
}

/// One rate; a field is `None` if the server did not send it. The time serializes as `reset_ms`, in
/// milliseconds.
///
/// ```
/// use std::time::Duration;
///
/// use responses_client::event::RateLimit;
///
/// /// Returns the delay before the next request, if the current window has no more.
/// fn delay(rate: RateLimit) -> Option<Duration> {
///     rate.reset.filter(|_| rate.remaining == Some(0))
/// }
/// # assert_eq!(delay(RateLimit::default()), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RateLimit {
    /// Maximum per window.
    pub limit: Option<u64>,
    /// Remaining in the current window.
    pub remaining: Option<u64>,
    /// Time until the full limit is available again.
    #[serde(rename = "reset_ms", serialize_with = "milliseconds")]
    pub reset: Option<Duration>,
}

/// Usage of a plan of the ChatGPT backend: a short and a long window.
///
/// ```
/// use responses_client::TurnReport;
///
/// /// Returns the used share of the window that is nearer to its limit, in percent.
/// fn used_percent(report: &TurnReport) -> Option<f64> {
///     let limits = report.server.plan_limits();
///     let windows = [limits.primary, limits.secondary].into_iter().flatten();
///     windows.map(|window| window.used_percent).reduce(f64::max)
/// }
/// # let _ = used_percent;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PlanLimits {
    /// Usage of the short window.
    pub primary: Option<PlanWindow>,
    /// Usage of the long window.
    pub secondary: Option<PlanWindow>,
}

/// Usage of one window of a plan.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use responses_client::event::PlanWindow;
///
/// /// Returns the time at which a used-up window resets.
/// fn resets(window: &PlanWindow) -> Option<SystemTime> {
///     let at = window.reset_at.filter(|_| window.used_percent >= 100.0)?;
///     Some(SystemTime::UNIX_EPOCH + Duration::from_secs(at))
/// }
/// # assert_eq!(resets(&PlanWindow::default()), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PlanWindow {
    /// Used share in percent, from 0 to 100.
    pub used_percent: f64,
    /// Length of the window, in minutes.
    pub window_minutes: Option<u64>,
    /// Time at which the window resets, in seconds since 1970.
    pub reset_at: Option<u64>,
}

/// Credits of an account of the ChatGPT backend.
///
/// ```
/// # use responses_client::TurnReport;
/// fn may_continue(report: &TurnReport) -> bool {
///     report.server.plan_credits().is_none_or(|it| it.has_credits || it.unlimited)
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlanCredits {
    /// `true` if the account has credits.
    pub has_credits: bool,
    /// `true` if the credits are not limited.
    pub unlimited: bool,
    /// Remaining credits, as the server writes the number; `None` if the server did not send it.
    pub balance: Option<String>,
}

impl RateLimits {
    pub(crate) fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Self {
        let rate = |of: &str| {
            let value = |what: &str| header(&format!("x-ratelimit-{what}-{of}"));
            RateLimit {
                limit: value("limit").and_then(|text| text.trim().parse().ok()),
                remaining: value("remaining").and_then(|text| text.trim().parse().ok()),
                reset: value("reset").and_then(duration),
            }
        };
        Self { requests: rate("requests"), tokens: rate("tokens") }
    }
}

impl PlanLimits {
    pub(crate) fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Self {
        let window = |which: &str| {
            let value = |what: &str| header(&format!("x-codex-{which}-{what}")).map(str::trim);
            Some(PlanWindow {
                used_percent: value("used-percent")?.parse().ok()?,
                window_minutes: value("window-minutes").and_then(|text| text.parse().ok()),
                reset_at: value("reset-at").and_then(|text| text.parse().ok()),
            })
        };
        Self { primary: window("primary"), secondary: window("secondary") }
    }
}

impl PlanCredits {
    pub(crate) fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let value = |what: &str| header(&format!("x-codex-credits-{what}")).map(str::trim);
        let is_true = |text: Option<&str>| text.is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let [has_credits, unlimited, balance] = ["has-credits", "unlimited", "balance"].map(value);
        has_credits.or(unlimited).or(balance)?;
        Some(Self {
            has_credits: is_true(has_credits),
            unlimited: is_true(unlimited),
            balance: balance.filter(|text| !text.is_empty()).map(str::to_owned),
        })
    }
}

impl CodexRateLimits {
    /// Returns the credits of the account; `None` if the server did not send them.
    pub fn plan_credits(&self) -> Option<PlanCredits> {
        let credits = self.credits.as_ref()?;
        let is_true = |name| matches!(credits.member(name), Ok(Some(true)));
        let balance = credits.get("balance").and_then(|balance| match balance.decode() {
            Ok(Value::String(text)) => Some(text).filter(|text| !text.is_empty()),
            Ok(Value::Number(_)) => Some(balance.as_str().to_owned()),
            _ => None,
        });
        let has_credits = is_true("has_credits");
        Some(PlanCredits { has_credits, unlimited: is_true("unlimited"), balance })
    }

    /// Returns the usage of the plan. Values that cannot be parsed are omitted.
    pub fn plan_limits(&self) -> PlanLimits {
        let window = |limits: &Json, name| limits.member(name).ok().flatten();
        self.rate_limits.as_ref().map_or_else(PlanLimits::default, |limits| PlanLimits {
            primary: window(limits, "primary"),
            secondary: window(limits, "secondary"),
        })
    }
}

impl ResponseEvent {
    /// Returns the headers in the event: over a WebSocket, a response has no HTTP headers of its
    /// own.
    pub(crate) fn headers(&self) -> Option<HeaderMap> {
        let headers = match self {
            Self::ResponseMetadata(event) => event.headers.as_ref(),
            Self::CodexResponseMetadata(event) => event.headers.as_ref(),
            _ => None,
        };
        let Value::Object(members) = headers?.decode().ok()? else { return None };
        let pairs = members.iter().filter_map(|(name, value)| header(name, value));
        Some(pairs.take(MAX_HEADERS).collect())
    }
}

/// Returns a header from JSON, in which servers write values as strings, numbers or bools.
pub(crate) fn header(name: &str, value: &Value) -> Option<(HeaderName, HeaderValue)> {
    let value = match value {
        Value::String(text) => HeaderValue::from_str(text),
        Value::Number(_) | Value::Bool(_) => HeaderValue::from_str(&value.to_string()),
        _ => return None,
    };
    Some((name.parse().ok()?, value.ok()?))
}

/// Parses a duration in Go's form, for example `1h2m3.5s`, or in seconds without a unit.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(end)?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    (!text.trim().is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read() {
        for (text, milliseconds) in [
            ("20ms", 20),
            ("1s", 1_000),
            ("6m0s", 360_000),
            ("1h2m3s", 3_723_000),
            ("1.5s", 1_500),
            ("2", 2_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "soon", "1x", "s", "-1s", "1e300h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn rates_and_plans_are_read_from_headers() {
        let header = |name: &str| match name {
            "x-ratelimit-limit-requests" => Some("60"),
            "x-ratelimit-remaining-requests" => Some("59"),
            "x-ratelimit-reset-requests" => Some("1s"),
            "x-ratelimit-remaining-tokens" => Some("many"),
            "x-codex-primary-used-percent" => Some("12.5"),
            "x-codex-primary-window-minutes" => Some("300"),
            _ => None,
        };
        let rates = RateLimits::read(header);
        let reset = Some(Duration::from_secs(1));
        assert_eq!(rates.requests, RateLimit { limit: Some(60), remaining: Some(59), reset });
        assert_eq!(rates.tokens, RateLimit::default());
        let plan = PlanLimits::read(header);
        let window = PlanWindow { used_percent: 12.5, window_minutes: Some(300), reset_at: None };
        assert_eq!((plan.primary, plan.secondary), (Some(window), None));
    }

    #[test]
    fn credits_are_read_from_headers_and_from_events() {
        let read = |has: &'static str, balance: &'static str| {
            PlanCredits::read(move |name| match name {
                "x-codex-credits-has-credits" => Some(has),
                "x-codex-credits-balance" => Some(balance),
                _ => None,
            })
        };
        let credits = |has_credits, balance: Option<&str>| {
            let balance = balance.map(str::to_owned);
            Some(PlanCredits { has_credits, unlimited: false, balance })
        };
        assert_eq!(read("True", " 12.50 "), credits(true, Some("12.50")));
        assert_eq!(read("false", ""), credits(false, None));
        assert_eq!(PlanCredits::read(|_| None), None);

        let event = |credits: &str| {
            let event = format!(r#"{{"type":"codex.rate_limits","credits":{credits}}}"#);
            match ResponseEvent::from_json(event).unwrap() {
                ResponseEvent::CodexRateLimits(event) => event.plan_credits(),
                _ => None,
            }
        };
        assert_eq!(event(r#"{"has_credits":true,"balance":"7"}"#), credits(true, Some("7")));
        assert_eq!(event(r#"{"has_credits":true,"balance":7.50}"#), credits(true, Some("7.50")));
        assert_eq!(event(r#"{"has_credits":null,"balance":""}"#), credits(false, None));
        assert_eq!(event("null"), None);
    }

    #[test]
    fn headers_beyond_number_are_left_out() {
        let headers: serde_json::Map<String, Value> =
            (0..40_000).map(|i| (format!("x-{i}"), Value::from(i))).collect();
        let event = serde_json::json!({"type": "codex.response.metadata", "headers": headers});
        let kind = crate::event::EventKind::CodexResponseMetadata;
        let event = ResponseEvent::decode(kind, event.to_string().into()).unwrap();
        assert_eq!(event.headers().map(|headers| headers.len()), Some(MAX_HEADERS));
    }
}
