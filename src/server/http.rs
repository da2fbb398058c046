//! HTTP answers and their bodies.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, stream};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;

/// Body of an answer.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// Returns an empty body.
pub(crate) fn empty() -> AnswerBody {
    whole(Bytes::new())
}

/// Returns a body of these bytes.
pub(crate) fn whole(bytes: Bytes) -> AnswerBody {
    Full::new(bytes).boxed_unsync()
}

/// Returns a body that sends each piece as soon as it is there.
pub(crate) fn streamed(pieces: impl Stream<Item = Bytes> + Send + 'static) -> AnswerBody {
    StreamBody::new(pieces.map(|bytes| Ok(Frame::data(bytes)))).boxed_unsync()
}

/// Returns a body that sends `bytes` and never ends.
pub(crate) fn stalled(bytes: Bytes) -> AnswerBody {
    streamed(stream::once(future::ready(bytes)).chain(stream::pending()))
}

/// Returns a body that sends `bytes` again and again.
pub(crate) fn endless(bytes: Bytes) -> AnswerBody {
    streamed(stream::repeat(bytes))
}

/// Returns an answer with these headers.
///
/// # Errors
///
/// Returns an error if the status or a header is invalid.
pub(crate) fn response(
    status: u16,
    headers: &[(String, String)],
    body: AnswerBody,
) -> http::Result<Response<AnswerBody>> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body)
}

/// Returns an empty answer with status 500.
pub(crate) fn internal_error() -> Response<AnswerBody> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// Returns names and values of headers as text.
pub(crate) fn header_pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}

/// Query of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a>(pub(crate) &'a str);

impl Query<'_> {
    /// Returns the first value of this name.
    pub(crate) fn get(self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.0.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_header_is_an_error() {
        let header = |value: &str| vec![("x-a".to_owned(), value.to_owned())];
        assert_eq!(response(404, &header("1"), empty()).unwrap().headers()["x-a"], "1");
        response(200, &header("a\nb"), empty()).unwrap_err();
        response(1, &[], empty()).unwrap_err();
    }

    #[test]
    fn the_first_value_of_a_query_counts() {
        let query = Query("a=1&a=2&b=x%20y");
        assert_eq!(query.get("a").as_deref(), Some("1"));
        assert_eq!(query.get("b").as_deref(), Some("x y"));
        assert_eq!(query.get("c"), None);
    }
}
