//! The events of a response, the same on both transports.

pub use item::{CustomToolCall, FunctionCall, Message, OutputItem, Reasoning};
pub use kinds::*;
pub(crate) use limits::header;
pub use limits::{PlanLimits, PlanWindow, RateLimit, RateLimits};
pub use unknown::Unknown;
pub use usage::{InputTokensDetails, OutputTokensDetails, Usage};

mod define;
mod fields;
mod item;
mod kinds;
mod limits;
mod unknown;
mod usage;
