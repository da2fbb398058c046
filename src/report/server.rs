//! What the head of an answer says besides its status.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderMap;

use crate::event::{MAX_HEADERS, PlanLimits, RateLimits};

/// The headers of an answer, and those that metadata events of the response added.
///
/// Over a WebSocket they are those of its upgrade: what is said of rates there was true then.
#[derive(Clone, Default)]
pub struct ServerHeaders(Arc<HeaderMap>);

impl ServerHeaders {
    pub(crate) fn new(headers: Arc<HeaderMap>) -> Self {
        Self(headers)
    }

    /// A header; `None` when there is none, or it is no text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    /// `x-request-id`: what the server's support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.get("x-request-id")
    }

    /// `openai-model`: the model that serves, where it is not the one that was asked for, say.
    pub fn model(&self) -> Option<&str> {
        self.get("openai-model").or_else(|| self.get("x-openai-model"))
    }

    /// `x-codex-turn-state` of the ChatGPT backend: give it back with the further requests of the
    /// same turn of the user, as a member of `client_metadata`, and with no others.
    pub fn turn_state(&self) -> Option<&str> {
        self.get("x-codex-turn-state")
    }

    /// `openai-processing-ms`.
    pub fn processing_time(&self) -> Option<Duration> {
        let milliseconds: f64 = self.get("openai-processing-ms")?.trim().parse().ok()?;
        Duration::try_from_secs_f64(milliseconds / 1000.0).ok()
    }

    /// What is left of the rates, by `x-ratelimit-*`.
    pub fn rate_limits(&self) -> RateLimits {
        RateLimits::read(|name| self.get(name))
    }

    /// What is left of the plan, by `x-codex-*` of the ChatGPT backend.
    pub fn plan_limits(&self) -> PlanLimits {
        PlanLimits::read(|name| self.get(name))
    }

    /// Adds what an event said; it is newer.
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
