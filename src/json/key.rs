//! Keys of objects.

use std::{borrow::Cow, ops::Deref};

use serde::Deserialize;

/// Key of an object, borrowed from the text if it has no escapes.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub(crate) struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Key<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
