//! The error types of servers, and what each means for the request.

use super::{ErrorCode, code::Group};

/// Returns the group of an error type such as `rate_limit_error` or `RateLimitError`, or of a code
/// in its place. `None` if the type is not known.
pub(super) fn group(error_type: &str) -> Option<Group> {
    ErrorCode::from(error_type).group().or_else(|| by_name(error_type))
}

/// Servers spell one type in several ways, so case, `_` and a final `error` are ignored.
fn by_name(error_type: &str) -> Option<Group> {
    let letters = error_type.chars().filter(|c| c.is_ascii_alphanumeric()).take(64);
    let name = letters.collect::<String>().to_ascii_lowercase();
    Some(match name.strip_suffix("error").unwrap_or(&name) {
        "ratelimit" | "ratelimitexceeded" | "ratelimitreached" | "toomanyrequests" | "tokens"
        | "requests" | "api" | "apiconnection" | "apitimeout" | "timeout" | "server"
        | "internal" | "internalserver" | "badgateway" | "gatewaytimeout" | "upstream"
        | "provider" => Group::Moment,
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
            (&["rate_limit_error", "RateLimitError", "rate_limit", "tokens"][..], Group::Moment),
            (&["api_error", "APIError", "timeout_error", "server_error"], Group::Moment),
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
}
