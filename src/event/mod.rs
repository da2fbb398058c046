//! The events of a response, the same on both transports.
//!
//! A [`ResponseEvent`] has a variant for each event of the API, and keeps events of other types as
//! [`Unknown`]. Most callers only need [`text_delta`](ResponseEvent::text_delta),
//! [`reasoning_delta`](ResponseEvent::reasoning_delta),
//! [`function_call`](ResponseEvent::function_call) and
//! [`custom_tool_call`](ResponseEvent::custom_tool_call). A match reads everything else:
//!
//! ```
//! use responses_client::event::ResponseEvent;
//!
//! fn show(event: &ResponseEvent) {
//!     match event {
//!         ResponseEvent::OutputTextDelta(event) => print!("{}", event.delta),
//!         ResponseEvent::OutputItemAdded(event) => println!("item {:?}", event.output_index),
//!         ResponseEvent::Restarted => println!("discard the output: the response starts anew"),
//!         other => println!("{}", other.raw()),
//!     }
//! }
//! ```

pub use item::{
    Annotation, ContentPart, CustomToolCall, FunctionCall, ImageGenerationCall, Message,
    MessagePhase, OutputItem, Reasoning,
};
pub use kinds::*;
pub(crate) use limits::{MAX_HEADERS, header};
pub use limits::{PlanCredits, PlanLimits, PlanWindow, RateLimit, RateLimits};
pub(crate) use piece::PartKey;
pub use steered::Steered;
pub use unknown::Unknown;
pub use usage::{CacheWriteTokensDetails, InputTokensDetails, OutputTokensDetails, Usage};

mod access;
mod bare;
mod define;
mod fields;
pub mod item;
mod kinds;
mod limits;
mod parse;
mod piece;
mod steered;
mod unknown;
mod usage;
