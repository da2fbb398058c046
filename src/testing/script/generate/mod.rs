//! Generates the events with which the API announces a response and its items.

mod events;
mod item_events;
mod item_kind;
mod kind_events;
mod response;
mod text;

pub(crate) use events::events;
pub(crate) use response::ResponseEnding;
