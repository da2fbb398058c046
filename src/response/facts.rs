//! The few members of a response object that a turn looks at.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::json::{self, Json};

/// Identity and state of a response, as its object states them.
///
/// All are read in one pass, once for each event: the object repeats instructions and tools, and each
/// look at a member walks through them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// `id`. An empty one is missing.
    pub(crate) id: Option<String>,
    /// `store`: the server keeps the response.
    pub(crate) stored: Option<bool>,
    /// `status`, known or unknown.
    pub(crate) status: Option<String>,
    /// Summary of `input_transformations`.
    pub(crate) changes: InputChanges,
}

/// Changes that the server made to the input. Only a summary, because a server can list millions of
/// them in one event.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct InputChanges {
    /// Number of changed items.
    pub(crate) items: usize,
    /// Different reasons, at most [`MAX_REASONS`].
    pub(crate) reasons: Vec<String>,
}

/// Maximum number of reasons kept. The API has five.
const MAX_REASONS: usize = 8;

impl Facts {
    /// Reads `response`. Members of another type count as missing.
    pub(crate) fn of(response: &Json) -> Self {
        #[derive(Default, Deserialize)]
        struct Wire<'a> {
            #[serde(borrow, default)]
            id: Option<&'a RawValue>,
            #[serde(borrow, default)]
            store: Option<&'a RawValue>,
            #[serde(borrow, default)]
            status: Option<&'a RawValue>,
            #[serde(borrow, default)]
            input_transformations: Option<&'a RawValue>,
        }
        let wire: Wire<'_> = response.decode().unwrap_or_default();
        Self {
            id: text(wire.id).filter(|id| !id.is_empty()),
            status: text(wire.status),
            stored: wire.store.and_then(|store| json::from_str(store.get()).ok()),
            changes: wire
                .input_transformations
                .and_then(|list| json::from_str(list.get()).ok())
                .unwrap_or_default(),
        }
    }
}

impl InputChanges {
    fn add(&mut self, change: &str) {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Change<'a> {
            #[serde(borrow)]
            reason: Option<&'a RawValue>,
        }
        if !change.starts_with('{') {
            return;
        }
        self.items += 1;
        if self.reasons.len() == MAX_REASONS {
            return;
        }
        let Change { reason } = json::from_str(change).unwrap_or_default();
        self.reasons.extend(text(reason).filter(|reason| !self.reasons.contains(reason)));
    }
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    json::from_str(raw?.get()).ok()
}

impl<'de> Deserialize<'de> for InputChanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = InputChanges;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<InputChanges, A::Error> {
                let mut changes = InputChanges::default();
                while let Some(change) = list.next_element::<&RawValue>()? {
                    changes.add(change.get());
                }
                Ok(changes)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_another_type_are_missing_and_leave_the_others() {
        for (response, id, stored, status) in [
            (r#"{"id":"r","store":true,"status":"failed"}"#, Some("r"), Some(true), Some("failed")),
            (r#"{"store":false,"x":{"id":"other"},"id":"r"}"#, Some("r"), Some(false), None),
            (r#"{"id":"","store":null,"status":null}"#, None, None, None),
            (r#"{"id":7,"store":true,"status":1}"#, None, Some(true), None),
            (r#"{"id":"r","store":"no","status":"new"}"#, Some("r"), None, Some("new")),
            (r#"{"id":"r\ud83d","id":"s"}"#, Some("s"), None, None),
            ("{}", None, None, None),
            ("[]", None, None, None),
        ] {
            let facts = Facts::of(&Json::parse(response).unwrap());
            let (id, status) = (id.map(str::to_owned), status.map(str::to_owned));
            let changes = InputChanges::default();
            assert_eq!(facts, Facts { id, stored, status, changes }, "{response}");
        }
    }

    #[test]
    fn changes_of_the_input_are_counted_and_few_reasons_are_kept() {
        let changes = |list: &str| {
            let response = format!(r#"{{"input_transformations":{list}}}"#);
            Facts::of(&Json::parse(response).unwrap()).changes
        };
        let counts = ["null", "[]", "{}", r#"[{"id":"rs_1"},7,{}]"#];
        assert_eq!(counts.map(|list| changes(list).items), [0, 0, 0, 2]);
        let odd = changes(r#"[{"reason":"a"},{"reason":7},{"reason":null},{"reason":"\u0061"}]"#);
        assert_eq!(odd, InputChanges { items: 4, reasons: vec!["a".to_owned()] });
        let many: Vec<String> = (0..20_000).map(|n| format!(r#"{{"reason":"r{n}"}}"#)).collect();
        let many = changes(&format!("[{}]", many.join(",")));
        assert_eq!((many.items, many.reasons.len()), (20_000, MAX_REASONS));
    }
}
