//! Name resolution, and the errors of TCP.

use std::{
    convert::Infallible,
    error::Error as StdError,
    future::{Ready, ready},
    io,
    net::SocketAddr,
    task::{Context, Poll},
    vec,
};

use futures_util::{FutureExt, future::BoxFuture};
use hyper_util::client::legacy::connect::dns::Name;
use tokio::net::lookup_host;
use tower_service::Service;

use crate::error::{ConnectError, ConnectStep};

/// Function that finds the addresses of a host name. Their port is 0.
pub(crate) type Lookup = dyn Fn(String) -> Found + Send + Sync;
type Found = BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// Finds the addresses of a host name by the operating system.
pub(super) fn lookup(host: String) -> Found {
    async { Ok(lookup_host((host, 0)).await?.collect()) }.boxed()
}

/// Returns the reason why no TCP connection was made.
pub(super) fn tcp_error(error: &(dyn StdError + 'static)) -> ConnectError {
    let causes = std::iter::successors(Some(error), |&cause| cause.source());
    let kind = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).last();
    match kind.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => ConnectError::Refused,
        Some(io::ErrorKind::TimedOut) => ConnectError::TimedOut(ConnectStep::Tcp),
        _ => ConnectError::Unreachable,
    }
}

/// Resolver of one TCP connection, whose host has been resolved before: as a step of its own, name
/// resolution has its own time and its own errors.
#[derive(Clone)]
pub(super) struct Resolved(pub(super) Vec<SocketAddr>);

impl Service<Name> for Resolved {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}
