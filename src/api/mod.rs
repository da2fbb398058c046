//! Errors reported by a server, and their meaning for the request.

pub use code::ErrorCode;
pub use error::ApiError;

pub(crate) use class::ErrorClass;
pub(crate) use classify::TlsFault;
pub(crate) use error::RetryAfter;
pub(crate) use mask::masked;

mod class;
mod classify;
mod code;
mod error;
mod mask;
mod types;
