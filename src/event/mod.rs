//! The events of a response, the same on both transports.

pub use item::{CustomToolCall, FunctionCall, Message, OutputItem, Reasoning};
pub use kinds::*;
pub use unknown::Unknown;
pub use usage::{InputTokensDetails, OutputTokensDetails, Usage};

mod define;
mod fields;
mod item;
mod kinds;
mod unknown;
mod usage;
