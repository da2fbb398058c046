//! Keys of objects.

use std::{borrow::Cow, ops::Deref};

use serde::Deserialize;

/// A key of an object; it borrows from the text where it can.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub(crate) struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Key<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
