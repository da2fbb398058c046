//! The events of a response, the same on both transports.

pub use item::{
    Annotation, ContentPart, CustomToolCall, FunctionCall, ImageGenerationCall, Message,
    OutputItem, Reasoning,
};
pub use kinds::*;
pub(crate) use limits::{MAX_HEADERS, header};
pub use limits::{PlanLimits, PlanWindow, RateLimit, RateLimits};
pub use unknown::Unknown;
pub use usage::{CacheWriteTokensDetails, InputTokensDetails, OutputTokensDetails, Usage};

mod access;
mod define;
mod fields;
pub mod item;
mod kinds;
mod limits;
mod unknown;
mod usage;
