//! Headers of an answer.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderMap;
use serde::{Serialize, Serializer};

use crate::{
    event::{MAX_HEADERS, PlanCredits, PlanLimits, RateLimits},
    format::milliseconds,
};

/// Headers of an answer, and those added by metadata events of the response.
///
/// Over a WebSocket, the headers are those of its upgrade, so that their rates date from then.
///
/// The type serializes as the values that its methods return, and never as the raw headers, which
/// may contain cookies and tokens. The time serializes as `processing_time_ms`, in milliseconds.
///
/// ```
/// # use responses_client::TurnReport;
/// fn show(report: &TurnReport) {
///     let server = &report.server;
///     println!("request {:?} by {:?}", server.request_id(), server.model());
///     println!("{:?} tokens left", server.rate_limits().tokens.remaining);
/// }
/// ```
#[derive(Clone, Default)]
pub struct ServerHeaders(Arc<HeaderMap>);

impl ServerHeaders {
    pub(crate) fn new(headers: Arc<HeaderMap>) -> Self {
        Self(headers)
    }

    /// Returns the value of a header. `None` if the header is absent or not text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    /// Returns `x-request-id`, the id to quote to the server's support.
    pub fn request_id(&self) -> Option<&str> {
        self.get("x-request-id")
    }

    /// Returns `openai-model`, the model that served the response. The model may differ from the
    /// requested one.
    pub fn model(&self) -> Option<&str> {
        self.get("openai-model").or_else(|| self.get("x-openai-model"))
    }

    /// Returns `x-codex-turn-state` of the ChatGPT backend. Pass the value back, as a member of
    /// `client_metadata`, only with the further requests of the same user turn.
    pub fn turn_state(&self) -> Option<&str> {
        self.get("x-codex-turn-state")
    }

    /// Returns `openai-processing-ms`, the time that the server took.
    pub fn processing_time(&self) -> Option<Duration> {
        let milliseconds: f64 = self.get("openai-processing-ms")?.trim().parse().ok()?;
        Duration::try_from_secs_f64(milliseconds / 1000.0).ok()
    }

    /// Returns the remaining rates in `x-ratelimit-*`.
    pub fn rate_limits(&self) -> RateLimits {
        RateLimits::read(|name| self.get(name))
    }

    /// Returns the remaining plan limits in `x-codex-*` of the ChatGPT backend.
    pub fn plan_limits(&self) -> PlanLimits {
        PlanLimits::read(|name| self.get(name))
    }

    /// Returns the credits in `x-codex-credits-*` of the ChatGPT backend. `None` if the server sent
    /// none of these headers.
    pub fn plan_credits(&self) -> Option<PlanCredits> {
        PlanCredits::read(|name| self.get(name))
    }

    /// Returns `x-codex-plan-type` of the ChatGPT backend, the name of the plan, for example `pro`.
    pub fn plan_type(&self) -> Option<&str> {
        self.get("x-codex-plan-type")
    }

    /// Returns `x-codex-active-limit` of the ChatGPT backend, the family of limits that applies to
    /// the request.
    pub fn active_limit(&self) -> Option<&str> {
        self.get("x-codex-active-limit")
    }

    /// Returns `x-codex-limit-name` of the ChatGPT backend, the name of the limit for people.
    pub fn limit_name(&self) -> Option<&str> {
        self.get("x-codex-limit-name")
    }

    /// Returns `x-codex-rate-limit-reached-type` of the ChatGPT backend, the kind of the limit that
    /// was reached.
    pub fn rate_limit_reached_type(&self) -> Option<&str> {
        self.get("x-codex-rate-limit-reached-type")
    }

    /// Returns `x-codex-promo-message` of the ChatGPT backend, a message for the user of a plan.
    pub fn promo_message(&self) -> Option<&str> {
        self.get("x-codex-promo-message")
    }

    /// Adds the headers of an event, which replace earlier values.
    pub(crate) fn add(&mut self, headers: HeaderMap) {
        let all = Arc::make_mut(&mut self.0);
        for (name, value) in &headers {
            if all.len() < MAX_HEADERS || all.contains_key(name) {
                all.insert(name, value.clone());
            }
        }
    }
}

impl Serialize for ServerHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Values<'a> {
            request_id: Option<&'a str>,
            model: Option<&'a str>,
            #[serde(rename = "processing_time_ms", serialize_with = "milliseconds")]
            processing_time: Option<Duration>,
            rate_limits: RateLimits,
            plan_limits: PlanLimits,
            plan_credits: Option<PlanCredits>,
            plan_type: Option<&'a str>,
            active_limit: Option<&'a str>,
            limit_name: Option<&'a str>,
            rate_limit_reached_type: Option<&'a str>,
            promo_message: Option<&'a str>,
        }
        let values = Values {
            request_id: self.request_id(),
            model: self.model(),
            processing_time: self.processing_time(),
            rate_limits: self.rate_limits(),
            plan_limits: self.plan_limits(),
            plan_credits: self.plan_credits(),
            plan_type: self.plan_type(),
            active_limit: self.active_limit(),
            limit_name: self.limit_name(),
            rate_limit_reached_type: self.rate_limit_reached_type(),
            promo_message: self.promo_message(),
        };
        values.serialize(serializer)
    }
}

impl fmt::Debug for ServerHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A value may be a cookie.
        f.debug_list().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn what_an_event_says_takes_the_place_of_what_was_said_before() {
        let mut headers = HeaderMap::new();
        headers.insert("openai-model", HeaderValue::from_static("a"));
        headers.insert("set-cookie", HeaderValue::from_static("secret"));
        headers.insert("openai-processing-ms", HeaderValue::from_static("12.5"));
        let mut server = ServerHeaders::new(Arc::new(headers));
        assert_eq!(server.processing_time(), Some(Duration::from_micros(12_500)));
        let mut newer = HeaderMap::new();
        newer.insert("openai-model", HeaderValue::from_static("b"));
        newer.insert("x-codex-turn-state", HeaderValue::from_static("state"));
        server.add(newer);
        assert_eq!((server.model(), server.turn_state()), (Some("b"), Some("state")));
        let shown = format!("{server:?}");
        assert!(shown.contains("set-cookie") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn the_values_serialize_without_the_headers() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("set-cookie", "secret"),
            ("x-codex-turn-state", "secret"),
            ("x-request-id", "req_1"),
            ("openai-model", "m"),
            ("openai-processing-ms", "12.5"),
            ("x-ratelimit-remaining-tokens", "5"),
            ("x-ratelimit-reset-tokens", "1s"),
            ("x-codex-primary-used-percent", "50"),
            ("x-codex-credits-unlimited", "true"),
            ("x-codex-plan-type", "pro"),
            ("x-codex-active-limit", "codex"),
            ("x-codex-limit-name", "five hours"),
            ("x-codex-rate-limit-reached-type", "primary"),
            ("x-codex-promo-message", "more"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let server = ServerHeaders::new(Arc::new(headers));
        let expected = serde_json::json!({
            "request_id": "req_1", "model": "m", "processing_time_ms": 12.5,
            "rate_limits": {
                "requests": {"limit": null, "remaining": null, "reset_ms": null},
                "tokens": {"limit": null, "remaining": 5, "reset_ms": 1000.0},
            },
            "plan_limits": {
                "primary": {"used_percent": 50.0, "window_minutes": null, "reset_at": null},
                "secondary": null,
            },
            "plan_credits": {"has_credits": false, "unlimited": true, "balance": null},
            "plan_type": "pro", "active_limit": "codex", "limit_name": "five hours",
            "rate_limit_reached_type": "primary", "promo_message": "more",
        });
        assert_eq!(serde_json::to_value(&server).unwrap(), expected);
    }

    #[test]
    fn no_number_of_headers_is_too_many() {
        let mut server = ServerHeaders::default();
        for round in 0..200 {
            let name = |i| HeaderName::try_from(format!("x-{round}-{i}")).unwrap();
            let headers = (0..MAX_HEADERS).map(|i| (name(i), HeaderValue::from_static("1")));
            server.add(headers.collect());
        }
        assert_eq!(server.0.len(), MAX_HEADERS);
        assert_eq!(server.get("x-0-0"), Some("1"));
        let newer =
            HeaderMap::from_iter([(HeaderName::from_static("x-0-0"), "2".parse().unwrap())]);
        server.add(newer);
        assert_eq!(server.get("x-0-0"), Some("2"), "what is known is kept up to date");
    }
}
