//! The events of a response, the same on both transports.

pub use item::{CustomToolCall, FunctionCall, Message, OutputItem, Reasoning};
pub use kinds::*;
pub use usage::Usage;

mod fields;
mod item;
mod kinds;
mod usage;
