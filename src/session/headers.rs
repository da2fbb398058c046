//! Headers of one session.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::SessionHeaders;

/// Headers of the requests and upgrades of a session.
#[derive(Clone, Default)]
pub(super) struct OwnHeaders {
    conversation_id: Option<HeaderValue>,
    source: Option<HeaderValue>,
    named: HeaderMap,
}

impl OwnHeaders {
    pub(super) fn set_conversation_id(&mut self, id: HeaderValue) {
        self.conversation_id = Some(id);
    }

    pub(super) fn set_source(&mut self, source: HeaderValue) {
        self.source = Some(source);
    }

    /// Sets a header by its name, which replaces a header of the provider.
    pub(super) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.named.insert(name, value);
    }

    /// Returns the headers for a provider with these names.
    pub(super) fn of(&self, names: SessionHeaders) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let (conversation, source) = (&self.conversation_id, &self.source);
        for (names, value) in [(names.conversation, conversation), (names.source, source)] {
            for (name, value) in names.iter().zip(value.iter().cycle()) {
                headers.insert(*name, value.clone());
            }
        }
        headers.extend(self.named.clone());
        headers
    }
}
