//! Sizes of items.

use serde_json::Value;

/// Returns the length of these items as JSON, in bytes.
pub(crate) fn json_size<'a>(items: impl IntoIterator<Item = &'a Value>) -> usize {
    items.into_iter().map(|item| serde_json::to_vec(item).map_or(0, |json| json.len())).sum()
}
