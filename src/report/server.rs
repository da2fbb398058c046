//! Headers of an answer.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderMap;

use crate::event::{MAX_HEADERS, PlanLimits, RateLimits};

/// Headers of an answer, and those added by metadata events of the response.
///
/// Over a WebSocket, the headers are those of its upgrade, so that their rates date from then.
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
