//! The upgrade of an HTTP connection to a WebSocket (RFC 6455 §4.1).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header, response::Parts};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::error::ProtocolError;
#[cfg(feature = "deflate")]
use crate::proto::deflate::{self, Agreement};

/// Adds the headers that request the upgrade. Returns the key that the response must match.
pub(super) fn request_headers(headers: &mut HeaderMap) -> Result<HeaderValue, ProtocolError> {
    let nonce: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    let key = HeaderValue::try_from(STANDARD.encode(nonce))
        .map_err(|_| ProtocolError::Handshake("could not create a key"))?;
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_KEY, key.clone());
    Ok(key)
}

/// Checks the response with status 101.
pub(super) fn check(head: &Parts, key: &HeaderValue) -> Result<(), ProtocolError> {
    let lists = |name, token: &str| {
        let values = head.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    };
    if !lists(header::UPGRADE, "websocket") || !lists(header::CONNECTION, "upgrade") {
        return Err(ProtocolError::Handshake("the server switched to another protocol"));
    }
    let accept = derive_accept_key(key.as_bytes());
    if head.headers.get(header::SEC_WEBSOCKET_ACCEPT).is_none_or(|it| it != accept.as_str()) {
        return Err(ProtocolError::Handshake("`Sec-WebSocket-Accept` does not match"));
    }
    if head.headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return Err(ProtocolError::Handshake("the server chose a subprotocol without an offer"));
    }
    Ok(())
}

/// Checks that the response chooses no extension.
pub(super) fn check_no_extension(head: &Parts) -> Result<(), ProtocolError> {
    match head.headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        true => Err(ProtocolError::Handshake("the server chose an extension without an offer")),
        false => Ok(()),
    }
}

/// Offers to compress the messages.
#[cfg(feature = "deflate")]
pub(super) fn offer_deflate(headers: &mut HeaderMap) {
    let offer = HeaderValue::from_static(deflate::OFFER);
    headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, offer);
}

/// Returns the parameters of the compression that the server chose; `None` if it declined.
#[cfg(feature = "deflate")]
pub(super) fn deflate_answer(head: &Parts) -> Result<Option<Agreement>, ProtocolError> {
    let values = head.headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    // A value that is no text has no name that was offered.
    deflate::answer(values.iter().map(|value| value.to_str().unwrap_or("?")))
        .map_err(ProtocolError::Handshake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_answer_is_taken() {
        let mut asked = HeaderMap::new();
        let key = request_headers(&mut asked).unwrap();
        assert_eq!(asked.len(), 4);
        let accept = derive_accept_key(key.as_bytes());
        let right = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-accept", &accept),
        ];
        let check = |headers: &[(&'static str, &str)]| {
            let mut response = http::Response::new(());
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            let head = response.into_parts().0;
            super::check(&head, &key).and_then(|()| check_no_extension(&head))
        };
        assert_eq!(check(&right), Ok(()));
        for wrong in [
            ("upgrade", "h2c"),
            ("connection", "close"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("sec-websocket-protocol", "realtime"),
        ] {
            let mut headers = right.to_vec();
            headers.push(wrong);
            assert!(matches!(check(&headers), Err(ProtocolError::Handshake(_))), "{wrong:?}");
        }
        for missing in 0..right.len() {
            let mut headers = right.to_vec();
            headers.remove(missing);
            assert!(check(&headers).is_err());
        }
    }
}
