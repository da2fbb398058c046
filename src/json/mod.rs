//! JSON, kept as the text in which it was received and compared by value.

pub use error::DecodeError;
pub use index::JsonIndex;
pub use text::Text;
pub use value::Json;

pub(crate) use canonical::{Digest, digest_of, digest_of_text};
pub(crate) use flat::{FlatMembers, FlatStep, FlatValue};
pub(crate) use key::Key;
pub(crate) use reader::{WITH_HALVES, from_slice, from_str};
pub(crate) use text::{Decoded, TextBuf};
pub(crate) use tolerant::same_item;

mod canonical;
mod convert;
mod error;
mod flat;
mod index;
mod key;
mod message;
mod number;
mod reader;
mod text;
mod tolerant;
mod tree;
mod value;
mod wtf8;
