//! Requests: the create body, its history, and their encoding.

pub use error::RequestError;
pub use fields::ResponsesRequest;
pub use history::History;
pub use item::Item;
pub use part::InputPart;
pub use settings::{ReasoningConfig, TextConfig, ToolChoice};
pub use tool::Tool;

pub(crate) use encode::CreateBody;
pub(crate) use fields::FieldDifference;

mod build;
mod encode;
mod error;
mod fields;
mod history;
mod item;
mod member;
mod part;
mod settings;
mod tool;
