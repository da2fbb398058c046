//! Output items and their parts, decoded from the JSON that the server sent.

pub use detail::*;
pub use kinds::*;
pub use message::MessagePhase;
pub use part::*;

pub(crate) use define::objects;
pub(crate) use read::{Arguments, Members, Read, elements, type_of};

mod define;
mod detail;
mod image;
mod kinds;
mod message;
mod part;
mod read;
mod table;
