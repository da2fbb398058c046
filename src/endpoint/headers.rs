//! Headers that callers set.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    api::masked,
    auth::{Auth, header_value},
    config::ConfigError,
    request::RequestError,
};

/// Headers that belong to the transports.
const RESERVED: [HeaderName; 9] = [
    header::HOST,
    header::CONNECTION,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONTENT_TYPE,
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::EXPECT,
];

/// Headers that hold credentials, whether the caller or a provider preset sets them.
pub(crate) const CREDENTIALS: [&str; 5] =
    ["authorization", "proxy-authorization", "api-key", "x-api-key", "cookie"];

/// Header that turns on betas of the API.
const BETA: HeaderName = HeaderName::from_static("openai-beta");

/// Returns `true` if the transports set this header themselves.
fn is_reserved(name: &HeaderName) -> bool {
    RESERVED.contains(name) || name.as_str().starts_with("sec-websocket-")
}

/// Returns the name of a header that a caller may set.
pub(crate) fn parse_name(name: &str) -> Result<HeaderName, ConfigError> {
    let parsed = HeaderName::try_from(name).map_err(|_| {
        let fault =
            if name.is_empty() { "is empty" } else { "has characters that HTTP does not allow" };
        ConfigError::InvalidHeader { header: masked(name, 64), part: "name", fault }
    })?;
    match is_reserved(&parsed) {
        true => Err(ConfigError::ReservedHeader(parsed.to_string())),
        false => Ok(parsed),
    }
}

/// Returns a header that a caller may set. Its value is kept out of logs, because any header may be
/// a credential.
pub(crate) fn parse_header(
    name: &str,
    value: &str,
) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let parsed = parse_name(name)?;
    let value = header_value(value).map_err(|fault| {
        let header = masked(parsed.as_str(), 64);
        ConfigError::InvalidHeader { header, part: "value", fault }
    })?;
    Ok((parsed, value))
}

/// Returns a header of one session of a client with `auth`.
pub(crate) fn header_of_session(
    name: &str,
    value: &str,
    auth: &Auth,
) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let (name, value) = parse_header(name, value)?;
    if CREDENTIALS.contains(&name.as_str()) || auth.is_in_header(&name) {
        let header = masked(name.as_str(), 64);
        let fault = "stands for a credential, which only a client can have";
        return Err(ConfigError::InvalidHeader { header, part: "name", fault });
    }
    Ok((name, value))
}

/// Adds a version of a beta to the header `OpenAI-Beta`, unless the header names the beta already.
pub(super) fn add_beta(headers: &mut HeaderMap, beta: &str, version: &str) {
    let is_named = |value: &HeaderValue| {
        let mut betas = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        betas.any(|named| {
            let name = named.split(|byte| *byte == b'=').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(beta.as_bytes())
        })
    };
    if headers.get_all(BETA).iter().any(is_named) {
        return;
    }
    let mut value = headers.get(BETA).map(|value| value.as_bytes().to_vec()).unwrap_or_default();
    if !value.trim_ascii().is_empty() {
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(format!("{beta}={version}").as_bytes());
    // Two values that can be sent are one that can be sent.
    let Ok(mut merged) = HeaderValue::try_from(value) else { return };
    merged.set_sensitive(headers.get(BETA).is_some_and(HeaderValue::is_sensitive));
    // Replaces all values of the header, of which callers can set one.
    headers.insert(BETA, merged);
}

/// Returns the headers of one turn of a client with `auth`. A later header of the same name replaces
/// an earlier one.
pub(crate) fn headers_of_turn(
    given: Vec<(String, String)>,
    auth: &Auth,
) -> Result<HeaderMap, RequestError> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        // A caller may have confused the name with the value.
        let fault = |reason| RequestError::TurnHeader { name: masked(&name, 64), reason };
        let Ok(parsed) = HeaderName::try_from(name.as_str()) else {
            return Err(fault("the name is empty or has characters that HTTP does not allow"));
        };
        if is_reserved(&parsed) {
            return Err(fault("the transport sets it"));
        }
        if CREDENTIALS.contains(&parsed.as_str()) || auth.is_in_header(&parsed) {
            return Err(fault("it is a credential, which only a client can set"));
        }
        let Ok(mut value) = HeaderValue::try_from(value) else {
            return Err(fault("the value has characters that HTTP does not allow"));
        };
        // Any header may be a credential.
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(name: &str, value: &str) -> String {
        let given = vec![(name.to_owned(), value.to_owned())];
        headers_of_turn(given, &Auth::header("x-secret", "key")).unwrap_err().to_string()
    }

    #[test]
    fn c254_a_header_that_cannot_go_with_one_turn_is_refused_by_its_name() {
        for (name, value, text) in [
            (
                "Content-Type",
                "text/plain",
                "cannot send the header `Content-Type` with one turn: the transport sets it",
            ),
            (
                "Sec-WebSocket-Key",
                "x",
                "cannot send the header `Sec-WebSocket-Key` with one turn: the transport sets it",
            ),
            (
                "Authorization",
                "Bearer canary",
                "cannot send the header `Authorization` with one turn: it is a credential, which \
                 only a client can set",
            ),
            (
                "X-Secret",
                "canary",
                "cannot send the header `X-Secret` with one turn: it is a credential, which only \
                 a client can set",
            ),
            (
                "a b",
                "x",
                "cannot send the header `a b` with one turn: the name is empty or has characters \
                 that HTTP does not allow",
            ),
            (
                "x-tag",
                "canary\r\nx-other: 1",
                "cannot send the header `x-tag` with one turn: the value has characters that HTTP \
                 does not allow",
            ),
        ] {
            assert_eq!(fault(name, value), text);
        }
        assert!(!fault("Bearer sk-canary-0123456789abcdef", "authorization").contains("canary"));
    }

    #[test]
    fn c253_the_last_header_of_a_name_counts_and_no_value_is_printed() {
        let given = [("X-Tag", "canary"), ("x-tag", "canary 2"), ("x-empty", "")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = headers_of_turn(given.to_vec(), &Auth::None).unwrap();
        assert_eq!((headers.len(), &headers["x-tag"]), (2, &HeaderValue::from_static("canary 2")));
        assert!(!format!("{headers:?}").contains("canary"));
    }

    #[test]
    fn c292_a_beta_is_added_to_those_of_the_caller_once() {
        let added = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let mut value = HeaderValue::from_str(value).unwrap();
                value.set_sensitive(true);
                headers.append(BETA, value);
            }
            add_beta(&mut headers, "agents", "v1");
            add_beta(&mut headers, "agents", "v1");
            assert!(headers.get_all(BETA).iter().all(|it| it.is_sensitive() || values.is_empty()));
            let values = headers.get_all(BETA).iter().map(|it| it.to_str().unwrap().to_owned());
            values.collect::<Vec<_>>()
        };
        for (given, expected) in [
            (&[][..], vec!["agents=v1"]),
            (&[""], vec!["agents=v1"]),
            (&["a=1"], vec!["a=1, agents=v1"]),
            (&["a=1, b=2"], vec!["a=1, b=2, agents=v1"]),
            (&["agents=v1"], vec!["agents=v1"]),
            (&["a=1 ,Agents = v2"], vec!["a=1 ,Agents = v2"]),
            (&["a=1", "agents=v1"], vec!["a=1", "agents=v1"]),
            (&["agents_of_others=v1"], vec!["agents_of_others=v1, agents=v1"]),
        ] {
            assert_eq!(added(given), expected, "{given:?}");
        }
    }
}
