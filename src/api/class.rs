//! Classes of a server's errors.

/// Class of a server's error: what the error means for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// The response to continue is gone.
    LostParent,
    /// The WebSocket has reached its maximum age.
    SocketAge,
    /// A retry may succeed after a short delay.
    Transient,
    /// A retry may succeed after a longer delay.
    Overload,
    /// A retry might succeed, but the server forbids it.
    RetryForbidden,
    /// A quota or a budget is used up.
    Quota,
    /// The credentials are invalid.
    Credential,
    /// The credentials are valid and do not allow the request.
    Permission,
    /// The address is not an endpoint of the API.
    WrongEndpoint,
    /// The request cannot succeed unchanged.
    Request,
    /// The error matches no known class.
    Unknown,
}

impl ErrorClass {
    /// Returns `true` if the same request may succeed later: the server refused the request without
    /// running it to a failure.
    pub(crate) fn is_transient(self) -> bool {
        matches!(self, Self::SocketAge | Self::Transient | Self::Overload)
    }
}
