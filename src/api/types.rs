//! The error types of servers, and the meaning of each for the request.

use super::{ErrorCode, code::Group};

/// Returns the group of an error type such as `rate_limit_error` or `RateLimitError`, or of a code
/// in its place. `None` if the type is not known.
pub(super) fn group(error_type: &str) -> Option<Group> {
    ErrorCode::from(error_type).group().or_else(|| by_name(error_type))
}

/// Meaning for a request of an error type or a code that names only a failure of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Like status 500 or 502: the request failed, and no part of it runs any more.
    Ended,
    /// Like status 504, or unspecified: the request may still run.
    Open,
}

/// Returns the fault that a type or a code names, if the name only repeats a status. Such a name
/// does not prove that the server did not run the request.
pub(super) fn fault(name: &str) -> Option<Fault> {
    Some(match &*plain(name) {
        "server" | "internal" | "internalserver" | "api" | "badgateway" => Fault::Ended,
        "" | "unknown" | "unexpected" | "upstream" | "provider" | "apiconnection" | "timeout"
        | "apitimeout" | "requesttimeout" | "gatewaytimeout" | "upstreamtimeout" => Fault::Open,
        name if name.parse::<u16>().is_ok() => Fault::Open,
        _ => return None,
    })
}

/// Servers spell the same name in several ways, so case, `_` and a final `error` are ignored.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_ascii_alphanumeric()).take(64);
    let name = letters.collect::<String>().to_ascii_lowercase();
    name.strip_suffix("error").map(str::to_owned).unwrap_or(name)
}

fn by_name(error_type: &str) -> Option<Group> {
    Some(match &*plain(error_type) {
        "ratelimit" | "ratelimitexceeded" | "ratelimitreached" | "toomanyrequests" | "tokens"
        | "requests" | "api" | "apiconnection" | "apitimeout" | "timeout" | "server"
        | "internal" | "internalserver" | "badgateway" | "gatewaytimeout" | "upstream"
        | "provider" => Group::Transient,
        "overloaded" | "engineoverloaded" | "modeloverloaded" | "serviceunavailable" => {
            Group::Overload
        }
        "billing"
        | "insufficientquota"
        | "insufficientcredits"
        | "insufficientbalance"
        | "exceededcurrentquota"
        | "quotaexceeded"
        | "paymentrequired" => Group::Quota,
        "authentication"
        | "invalidauthentication"
        | "incorrectapikey"
        | "invalidapikey"
        | "unauthorized" => Group::Credential,
        "permission" | "permissiondenied" | "accessdenied" | "accessterminated" | "forbidden" => {
            Group::Permission
        }
        "invalidrequest"
        | "badrequest"
        | "notfound"
        | "modelnotfound"
        | "resourcenotfound"
        | "unprocessableentity"
        | "validation"
        | "requesttoolarge"
        | "contextlengthexceeded"
        | "contextwindowexceeded"
        | "unsupportedparams"
        | "contentfilter"
        | "contentpolicyviolation" => Group::Request,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c146_one_type_is_known_in_all_its_spellings() {
        for (types, expected) in [
            (&["rate_limit_error", "RateLimitError", "rate_limit", "tokens"][..], Group::Transient),
            (&["api_error", "APIError", "timeout_error", "server_error"], Group::Transient),
            (&["overloaded_error", "ServiceUnavailableError", "slow_down"], Group::Overload),
            (&["billing_error", "insufficient_quota"], Group::Quota),
            (&["authentication_error", "AuthenticationError"], Group::Credential),
            (&["permission_error", "PermissionDeniedError"], Group::Permission),
            (&["invalid_request_error", "not_found_error", "BadRequestError"], Group::Request),
        ] {
            for name in types {
                assert_eq!(group(name), Some(expected), "{name}");
            }
        }
        for name in ["", "error", "t", "brand_new_error", "response.error"] {
            assert_eq!(group(name), None, "{name}");
        }
    }

    #[test]
    fn c130_a_name_that_says_no_more_than_a_status_is_no_evidence() {
        for name in ["server_error", "InternalServerError", "internal_error", "bad_gateway"] {
            assert_eq!(fault(name), Some(Fault::Ended), "{name}");
        }
        for name in ["", "error", "504", "timeout", "gateway_timeout", "APITimeoutError"] {
            assert_eq!(fault(name), Some(Fault::Open), "{name}");
        }
        for name in ["vector_store_timeout", "rate_limit_error", "server_is_overloaded", "new"] {
            assert_eq!(fault(name), None, "{name}");
        }
    }
}
