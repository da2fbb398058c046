//! Responses: complete or partial.

pub use anomaly::Anomaly;
pub use detail::{InputTransformation, ResponseError, ToolUsage, WebSearchUsage};
pub use object::{Response, ResponseStatus};
pub use partial::PartialItem;

pub(crate) use accumulate::{Accumulator, id_of};

mod accumulate;
mod anomaly;
mod detail;
mod head;
mod merge;
mod object;
mod partial;
mod settle;
mod slot;
