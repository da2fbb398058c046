//! Responses: complete or partial.

pub use anomaly::Anomaly;
pub use detail::{InputTransformation, ResponseError, ToolUsage, WebSearchUsage};
pub use object::{Response, ResponseStatus};
pub use output::OutputError;
pub use partial::{PartialItem, ShellOutput};

pub(crate) use accumulate::Accumulator;
pub(crate) use facts::{Facts, InputChanges};

mod accumulate;
mod anomaly;
mod detail;
mod facts;
mod head;
mod members;
mod merge;
mod object;
mod output;
mod parse;
mod partial;
mod settle;
mod slot;
