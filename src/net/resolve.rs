//! Name resolution, and the errors of name resolution and TCP.

use std::{
    error::Error as StdError,
    fmt, io,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use tower_service::Service;

use crate::error::{ConnectError, ConnectStep};

/// Returns the reason why no TCP connection was made.
pub(super) fn tcp_error(error: &(dyn StdError + 'static)) -> ConnectError {
    let causes = || std::iter::successors(Some(error), |&cause| cause.source());
    if causes().any(|cause| cause.is::<ResolveError>()) {
        return ConnectError::NameNotFound;
    }
    let kind = causes().filter_map(|cause| cause.downcast_ref::<io::Error>()).last();
    match kind.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => ConnectError::Refused,
        Some(io::ErrorKind::TimedOut) => ConnectError::TimedOut(ConnectStep::Tcp),
        _ => ConnectError::Unreachable,
    }
}

/// Resolver of the operating system, whose errors have a type of their own.
#[derive(Clone)]
pub(super) struct Resolver(GaiResolver);

impl Resolver {
    pub(super) fn new() -> Self {
        Self(GaiResolver::new())
    }
}

/// Error of a name that could not be resolved.
#[derive(Debug)]
pub(super) struct ResolveError(io::Error);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = ResolveError;
    type Future = BoxFuture<'static, Result<GaiAddrs, ResolveError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        self.0.poll_ready(cx).map_err(ResolveError)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        self.0.call(name).map(|found| found.map_err(ResolveError)).boxed()
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host name could not be resolved")
    }
}

impl StdError for ResolveError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}
