//! Remaining rates and plan limits, from headers and from events.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::{CodexRateLimits, ResponseEvent};
use crate::json::Json;

/// Maximum number of headers taken from the events of a response. The head of an answer holds at
/// most a hundred, and a map of very many headers panics.
pub(crate) const MAX_HEADERS: usize = 256;

/// Remaining rates of a key, from the headers `x-ratelimit-*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// Remaining requests.
    pub requests: RateLimit,
    /// Remaining tokens.
    pub tokens: RateLimit,
}

/// One rate; a field is `None` if the server did not send it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// Maximum per window.
    pub limit: Option<u64>,
    /// Remaining in the current window.
    pub remaining: Option<u64>,
    /// Time until the full limit is available again.
    pub reset: Option<Duration>,
}

/// Usage of a plan of the ChatGPT backend: a short and a long window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PlanLimits {
    /// Usage of the short window.
    pub primary: Option<PlanWindow>,
    /// Usage of the long window.
    pub secondary: Option<PlanWindow>,
}

/// Usage of one window of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
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

impl CodexRateLimits {
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
    fn headers_beyond_number_are_left_out() {
        let headers: serde_json::Map<String, Value> =
            (0..40_000).map(|i| (format!("x-{i}"), Value::from(i))).collect();
        let event = serde_json::json!({"type": "codex.response.metadata", "headers": headers});
        let kind = crate::event::EventKind::CodexResponseMetadata;
        let event = ResponseEvent::decode(kind, event.to_string().into()).unwrap();
        assert_eq!(event.headers().map(|headers| headers.len()), Some(MAX_HEADERS));
    }
}
