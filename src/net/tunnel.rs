//! Tunnels through HTTP proxies (RFC 9110 §9.3.6).

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{Io, NetError};
use crate::{
    api::masked,
    error::{ConnectError, ConnectStep, ProxyAnswer, ProxyError},
    proto::body,
};

/// Maximum size of the part of a refusal that is read, in bytes. Its page is searched for a title.
const MAX_PAGE: usize = 16 * 1024;

/// Maximum time to read that part. The status of a refusal matters more than its page.
const PAGE_TIME: Duration = Duration::from_secs(1);

/// Asks the proxy at the other end of `io` for a tunnel to `target`, a host and a port, and returns
/// the tunnel.
pub(super) async fn open(
    io: Box<dyn Io>,
    target: &str,
    authorization: Option<&HeaderValue>,
) -> Result<Box<dyn Io>, NetError> {
    let mut request = Request::new(Empty::<&[u8]>::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = Uri::try_from(target).map_err(NetError::setting)?;
    let host = HeaderValue::try_from(target).map_err(NetError::setting)?;
    request.headers_mut().insert(header::HOST, host);
    if let Some(authorization) = authorization {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization.clone());
    }
    let (mut requests, driver) = http1::handshake(TokioIo::new(io)).await.map_err(no_answer)?;
    let driver = driver.with_upgrades();
    let exchange = async {
        let mut response = requests.send_request(request).await.map_err(no_answer)?;
        if response.status().is_success() {
            return hyper::upgrade::on(&mut response).await.map_err(no_answer);
        }
        Err(refused(response, authorization.is_some()).await)
    };
    // The connection works only while its driver is polled.
    tokio::pin!(driver, exchange);
    let upgraded = tokio::select! {
        biased;
        upgraded = &mut exchange => upgraded,
        _ = &mut driver => exchange.await,
    };
    Ok(Box::new(TokioIo::new(upgraded?)))
}

/// Returns the error of a connection without a readable answer.
fn no_answer(error: hyper::Error) -> NetError {
    if error.is_parse() {
        let fault = ProxyError::NotAProxy(ProxyAnswer::default());
        return NetError::connect(ConnectError::Proxy(fault), error);
    }
    NetError::connect(ConnectError::Lost(ConnectStep::Proxy), error)
}

async fn refused(response: Response<Incoming>, has_login: bool) -> NetError {
    let (head, mut body) = response.into_parts();
    let mut page = Vec::new();
    let reading = async {
        while page.len() < MAX_PAGE
            && let Some(Ok(frame)) = body.frame().await
        {
            page.extend(frame.data_ref().into_iter().flatten().take(MAX_PAGE - page.len()));
        }
    };
    _ = timeout(PAGE_TIME, reading).await;
    let mut response = Response::from_parts(head, page);
    let title = body::title(response.body()).map(|title| masked(&title, 128));
    let status = response.status();
    *response.body_mut() = Vec::new();
    let error = refusal_with(&response, title, has_login);
    let why = format!("the proxy answered with status {status}");
    NetError::connect(ConnectError::Proxy(error), why)
}

/// Returns the error of a proxy that answered with `response`.
pub(super) fn refusal<B>(response: &Response<B>, has_login: bool) -> ProxyError {
    refusal_with(response, None, has_login)
}

fn refusal_with<B>(response: &Response<B>, title: Option<String>, has_login: bool) -> ProxyError {
    let headers = response.headers();
    // Squid names its error in a header of its own, for example `ERR_CONNECT_FAIL 111`.
    let squid = headers.get("x-squid-error").and_then(|value| value.to_str().ok());
    let squid = squid.and_then(|value| value.split(' ').next()).map(|name| masked(name, 128));
    let status = response.status();
    let is_proxy = squid.is_some() || headers.contains_key(header::VIA);
    let names_gateway = title.as_deref().is_some_and(names_gateway);
    let answer = ProxyAnswer {
        status: Some(status.as_u16()),
        reason: squid.or(title),
        schemes: schemes(headers),
    };
    match status {
        // tinyproxy answers a wrong login with 401.
        StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED => {
            let basic = answer.schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("basic"));
            match has_login {
                _ if !basic && !answer.schemes.is_empty() => ProxyError::UnsupportedScheme(answer),
                true => ProxyError::CredentialsRejected(answer),
                false => ProxyError::CredentialsRequired(answer),
            }
        }
        // tinyproxy answers with 500 if it cannot connect.
        StatusCode::INTERNAL_SERVER_ERROR
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => ProxyError::ServerUnreachable(answer),
        StatusCode::NOT_FOUND if names_gateway => ProxyError::ServerUnreachable(answer),
        // Web servers answer a CONNECT with these.
        StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::NOT_IMPLEMENTED
            if !is_proxy =>
        {
            ProxyError::NotAProxy(answer)
        }
        status if status.is_redirection() && !is_proxy => ProxyError::NotAProxy(answer),
        _ => ProxyError::Refused(answer),
    }
}

/// Returns `true` if a title has the status of a gateway: privoxy answers with 404 for a host name
/// without an address, and titles its page `502 - Bad Gateway (Privoxy@localhost)`.
fn names_gateway(title: &str) -> bool {
    ["502 ", "503 ", "504 "].iter().any(|status| title.starts_with(status))
}

/// Returns the authentication schemes that a proxy offers, at most four.
fn schemes(headers: &HeaderMap) -> Vec<String> {
    let offered = headers.get_all(header::PROXY_AUTHENTICATE).into_iter();
    let offered = offered.filter_map(|value| value.to_str().ok()?.split(' ').next());
    offered.filter(|name| !name.is_empty()).take(4).map(|name| masked(name, 32)).collect()
}
