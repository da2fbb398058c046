//! Classification of a server's error, and its evidence about the request.

use http::header::CONTENT_TYPE;

use super::{
    ApiError, ErrorClass, ErrorCode,
    code::Group,
    types::{self, Fault},
};

/// Fault of a connection that a server with TLS reports by an answer, and not by an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsFault {
    /// The request came in plain HTTP.
    PlainHttp,
    /// The certificate of the client is missing or rejected.
    ClientCertificate,
}

impl ApiError {
    /// Returns the class of the error. A known code takes precedence over everything else, and
    /// `x-should-retry` over the status.
    pub(crate) fn class(&self) -> ErrorClass {
        if self.is_lost_parent() {
            return ErrorClass::LostParent;
        }
        let by_code = self.code.as_ref().and_then(ErrorCode::group);
        let by_type = self.error_type.as_deref().and_then(types::group);
        let group = match (by_code, by_type) {
            (None, Some(Group::Quota)) => by_type,
            // A status says more than the other types do.
            (None, _) if self.status.is_none() => by_type,
            _ => by_code,
        };
        let class = match group {
            Some(Group::Parent) => ErrorClass::LostParent,
            Some(Group::SocketAge) => ErrorClass::SocketAge,
            Some(Group::Transient) => ErrorClass::Transient,
            Some(Group::Overload) => ErrorClass::Overload,
            Some(Group::Quota) => ErrorClass::Quota,
            Some(Group::Credential) => ErrorClass::Credential,
            Some(Group::Permission) => ErrorClass::Permission,
            Some(Group::Policy | Group::Image | Group::Request) => ErrorClass::Request,
            None => match (self.by_status(), self.should_retry()) {
                (ErrorClass::Transient | ErrorClass::Overload, _) | (_, None | Some(false)) => {
                    self.by_status()
                }
                (_, Some(true)) => ErrorClass::Transient,
            },
        };
        match class {
            ErrorClass::Transient | ErrorClass::Overload if self.should_retry() == Some(false) => {
                ErrorClass::RetryForbidden
            }
            class => class,
        }
    }

    fn by_status(&self) -> ErrorClass {
        let told = self.code.is_some() || self.error_type.is_some();
        match self.status {
            None => ErrorClass::Unknown,
            Some(401) => ErrorClass::Credential,
            Some(402) => ErrorClass::Quota,
            Some(403) => ErrorClass::Permission,
            Some(404 | 405 | 501) if !told => ErrorClass::WrongEndpoint,
            Some(_) if self.tls_fault().is_some() => ErrorClass::WrongEndpoint,
            Some(503 | 529) => ErrorClass::Overload,
            Some(408 | 409 | 425 | 429 | 500..) => ErrorClass::Transient,
            Some(_) => ErrorClass::Request,
        }
    }

    /// Returns the fault of the connection that a server reports instead of the API. nginx does so
    /// with the title of a page, and the servers of Go do so with a line of text.
    pub(crate) fn tls_fault(&self) -> Option<TlsFault> {
        let told = self.code.is_some() || self.error_type.is_some();
        let media_type = self.headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let is_json = media_type.is_some_and(|it| it.to_ascii_lowercase().contains("json"));
        if self.status != Some(400) || told || is_json {
            return None;
        }
        let message = self.lower_message();
        let names_tls = ["https", "ssl", "tls"].iter().any(|name| message.contains(name));
        match message.contains("certificate") {
            true => Some(TlsFault::ClientCertificate),
            false => names_tls.then_some(TlsFault::PlainHttp),
        }
    }

    /// Returns the value of the header `x-should-retry`.
    fn should_retry(&self) -> Option<bool> {
        self.headers.get("x-should-retry")?.to_str().ok()?.trim().parse().ok()
    }

    /// Returns `true` if a request that continues a response can succeed when it is sent in full.
    /// Then the response is gone, the server does not accept `previous_response_id`, or it lacks a
    /// call or an output that the response was to supply.
    pub(crate) fn is_lost_parent(&self) -> bool {
        self.is_parent_gone() || self.names_parent() || self.lacks_call()
    }

    /// Returns `true` if the error calls `previous_response_id` itself unsupported, rather than its
    /// value gone. The server would refuse the next request with that parameter too.
    pub(crate) fn is_parent_unsupported(&self) -> bool {
        let by_status = matches!(self.status, None | Some(400 | 404 | 422));
        let by_param = self.param.as_deref() == Some(PARENT);
        let by_code =
            self.code.as_ref().is_some_and(|code| calls_unsupported(&code.as_str().to_lowercase()));
        let unsupported = by_param || by_code || calls_unsupported(&self.lower_message());
        by_status && self.names_parent() && !self.is_parent_gone() && unsupported
    }

    /// Returns `true` if the error refuses the lane of the request. The same request may succeed on
    /// another WebSocket without a lane.
    pub(crate) fn is_lane_refused(&self) -> bool {
        let by_code =
            matches!(self.code, Some(ErrorCode::InvalidStreamId | ErrorCode::StreamLimitReached));
        let by_name = self.param.as_deref() == Some(LANE) || self.lower_message().contains(LANE);
        by_code || by_name && self.is_about_request()
    }

    /// Returns `true` if the error proves that the server did not run the request, provided that no
    /// event of a response arrived. Any other error leaves that open.
    pub(crate) fn is_refusal(&self) -> bool {
        // Some gateways leave the code empty, or repeat the status as the code.
        let says_more = |code: &&ErrorCode| types::fault(code.as_str()).is_none();
        match (self.code.as_ref().filter(says_more), self.status) {
            (Some(_), _) => true,
            (None, Some(408)) => false,
            (None, Some(400..500)) => true,
            (None, Some(503)) => self.retry_after.is_some(),
            (None, Some(_)) => false,
            (None, None) => self.is_refusal_by_words(),
        }
    }

    /// Returns `true` if the error proves that any execution of the request has ended, so that a
    /// retry does not run in parallel.
    pub(crate) fn has_ended(&self) -> bool {
        match self.status {
            Some(status) => matches!(status, 500 | 502 | 503),
            None => {
                let code = self.code.as_ref().map(ErrorCode::as_str);
                let name = code.or(self.error_type.as_deref());
                name.and_then(types::fault) == Some(Fault::Ended)
            }
        }
    }

    /// Like [`is_refusal`](Self::is_refusal), for an error with neither code nor status.
    fn is_refusal_by_words(&self) -> bool {
        let by_type = self.error_type.as_deref().is_some_and(|it| types::fault(it).is_none());
        self.is_lost_parent() || by_type && self.class() != ErrorClass::Unknown
    }

    fn is_parent_gone(&self) -> bool {
        if self.code == Some(ErrorCode::PreviousResponseNotFound) {
            return true;
        }
        let message = self.lower_message();
        // A parameter that is no longer supported is not a response that is gone.
        let may_be = !calls_unsupported(&message);
        let gone = message.contains("not found")
            || may_be && GONE.iter().any(|words| message.contains(words));
        let invalid = may_be && message.contains("invalid");
        matches!(self.status, None | Some(400 | 404 | 410 | 422))
            && (self.mentions_parent() && (gone || message.contains(PARENT) && invalid)
                || message.contains("previous response") && gone)
    }

    fn names_parent(&self) -> bool {
        self.is_about_request() && self.mentions_parent()
    }

    fn mentions_parent(&self) -> bool {
        self.param.as_deref() == Some(PARENT) || self.lower_message().contains(PARENT)
    }

    fn lacks_call(&self) -> bool {
        let message = self.lower_message();
        let lacks = ["no tool call found", "no tool output found"];
        self.is_about_request() && lacks.iter().any(|text| message.contains(text))
    }

    /// Returns `true` if status and code allow that the request itself is at fault.
    fn is_about_request(&self) -> bool {
        let by_status = matches!(self.status, None | Some(400 | 403..=407 | 409..=428 | 430..=499));
        let group = self.code.as_ref().and_then(ErrorCode::group);
        by_status && matches!(group, None | Some(Group::Parent | Group::Request))
    }

    fn lower_message(&self) -> String {
        self.message.as_deref().map(str::to_lowercase).unwrap_or_default()
    }
}

const PARENT: &str = "previous_response_id";
const LANE: &str = "stream_id";

/// Phrases, in lower case, that servers use for a response that is gone.
const GONE: [&str; 5] = ["not be found", "not exist", "n't exist", "expired", "no longer"];

/// Returns `true` if a code or a message, in lower case, calls a parameter unsupported.
fn calls_unsupported(text: &str) -> bool {
    let words =
        ["support", "unknown", "unrecognized", "unexpected", "not permitted", "not allowed"];
    words.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::RetryAfter, *};

    #[test]
    fn a_lost_parent_is_known_in_all_its_wordings() {
        let error =
            |status, code: Option<&str>, param: Option<&str>, message: Option<&str>| ApiError {
                status,
                code: code.map(ErrorCode::from),
                param: param.map(str::to_owned),
                message: message.map(str::to_owned),
                ..ApiError::default()
            };
        let not_found = "Previous response with id 'resp_1' not found.";
        for lost in [
            error(None, Some("previous_response_not_found"), None, None),
            error(Some(400), None, None, Some(not_found)),
            error(Some(404), None, None, Some(not_found)),
            error(Some(400), None, None, Some("Invalid previous_response_id.")),
            error(Some(404), None, None, Some("The previous response could not be found.")),
            error(Some(400), None, None, Some("Previous response 'resp_1' does not exist.")),
            error(Some(410), None, None, Some("Previous response has expired.")),
            error(Some(400), None, Some("previous_response_id"), None),
            error(Some(422), None, None, Some("previous_response_id is only supported on sockets")),
            error(Some(403), None, None, Some("previous_response_id is not for you")),
            error(Some(400), Some("unknown_parameter"), None, Some("'previous_response_id'?")),
            error(Some(400), None, Some("input"), Some("No tool call found for call_1.")),
            error(None, None, None, Some("No tool output found for function call call_1.")),
        ] {
            assert!(lost.is_lost_parent(), "{lost}");
        }
        for other in [
            error(Some(400), Some("invalid_value"), Some("model"), Some("no")),
            error(Some(500), None, None, Some(not_found)),
            error(Some(404), Some("model_not_found"), None, Some("The model was not found.")),
            error(Some(429), None, None, Some("previous_response_id: too many")),
            error(Some(500), None, Some("previous_response_id"), None),
            error(Some(400), Some("insufficient_quota"), None, Some("previous_response_id")),
        ] {
            assert!(!other.is_lost_parent(), "{other}");
        }
    }

    #[test]
    fn c128_only_refusals_of_the_parameter_itself_call_it_unsupported() {
        let error = |status, code: Option<&str>, param: Option<&str>, message: &str| ApiError {
            status,
            code: code.map(ErrorCode::from),
            param: param.map(str::to_owned),
            message: Some(message.to_owned()),
            ..ApiError::default()
        };
        let parent = Some("previous_response_id");
        for unsupported in [
            error(Some(400), Some("unsupported_parameter"), parent, "Unsupported parameter."),
            error(Some(422), None, None, "previous_response_id is only supported on WebSockets."),
            error(None, None, None, "Unknown parameter: 'previous_response_id'."),
            error(Some(400), Some("unknown_parameter"), None, "previous_response_id?"),
            error(Some(404), None, parent, "No."),
            error(None, None, None, "previous_response_id is no longer supported."),
        ] {
            assert!(unsupported.is_parent_unsupported(), "{unsupported}");
        }
        let not_found = "Previous response with id 'resp_1' not found.";
        for gone in [
            error(Some(400), Some("previous_response_not_found"), parent, not_found),
            error(Some(400), None, parent, not_found),
            error(Some(400), None, parent, "The response does not exist on this server."),
            error(Some(400), None, None, "previous_response_id has expired."),
            error(Some(400), None, None, "Invalid previous_response_id."),
            error(Some(403), None, parent, "It is not supported for you."),
            error(Some(400), None, Some("input"), "No tool call found for call_1."),
        ] {
            assert!(gone.is_lost_parent() && !gone.is_parent_unsupported(), "{gone}");
        }
    }

    #[test]
    fn c130_refused_needs_evidence() {
        let error = |status, code: Option<&str>, error_type: Option<&str>, after| ApiError {
            status,
            code: code.map(ErrorCode::from),
            error_type: error_type.map(str::to_owned),
            retry_after: after,
            ..ApiError::default()
        };
        let second = Some(RetryAfter::In(Duration::from_secs(1)));
        for status in (400..500).filter(|status| *status != 408) {
            assert!(error(Some(status), None, None, None).is_refusal(), "{status}");
        }
        for refusal in [
            error(Some(503), None, None, second),
            error(Some(503), Some("server_is_overloaded"), None, None),
            error(Some(502), Some("openai_routing_failed"), None, None),
            error(Some(408), Some("websocket_connection_limit_reached"), None, None),
            error(None, Some("brand_new"), None, None),
            error(None, None, Some("insufficient_quota"), None),
        ] {
            assert!(refusal.is_refusal(), "{refusal:?}");
        }
        for open in [408, 500, 502, 503, 504, 520, 522, 524, 529] {
            assert!(!error(Some(open), None, None, None).is_refusal(), "{open}");
            assert!(!error(Some(open), Some("server_error"), None, None).is_refusal(), "{open}");
            let repeated = open.to_string();
            assert!(!error(Some(open), Some(&repeated), None, None).is_refusal(), "{open}");
            assert!(!error(Some(open), Some(""), None, None).is_refusal(), "{open}");
            let ended = matches!(open, 500 | 502 | 503);
            assert_eq!(error(Some(open), None, None, None).has_ended(), ended, "{open}");
        }
        assert!(!error(Some(500), None, None, second).is_refusal());
        assert!(!error(None, None, None, None).is_refusal());
        assert!(!error(None, None, None, None).has_ended());
        assert!(!error(None, None, Some("server_error"), None).is_refusal());
        assert!(error(None, Some("server_error"), None, None).has_ended());
    }
}
