//! Requests: the create body, its history, and their encoding.

pub use error::RequestError;
pub use fields::ResponsesRequest;
pub use history::History;
pub use item::{InputPart, Item};
pub use tool::Tool;

pub(crate) use encode::CreateBody;
pub(crate) use fields::FieldDifference;

mod encode;
mod error;
mod fields;
mod history;
mod item;
mod member;
mod tool;
