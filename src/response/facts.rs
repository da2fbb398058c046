//! The few members of a response object that a turn looks at.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::InputTransformation;
use crate::{
    event::item::Read,
    json::{self, Json},
};

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
    /// `input_transformations`.
    pub(crate) transformations: Vec<InputTransformation>,
}

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
        let text = |raw: Option<&RawValue>| json::from_str::<String>(raw?.get()).ok();
        Self {
            id: text(wire.id).filter(|id| !id.is_empty()),
            status: text(wire.status),
            stored: wire.store.and_then(|store| json::from_str(store.get()).ok()),
            transformations: wire
                .input_transformations
                .and_then(|list| Read::read(&Json::slice_of(response.source(), list)))
                .unwrap_or_default(),
        }
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
            let transformations = Vec::new();
            assert_eq!(facts, Facts { id, stored, status, transformations }, "{response}");
        }
        let count = |list: &str| {
            let response = format!(r#"{{"input_transformations":{list}}}"#);
            Facts::of(&Json::parse(response).unwrap()).transformations.len()
        };
        let counts = ["null", "[]", "{}", r#"[{"id":"rs_1"},7,{}]"#].map(count);
        assert_eq!(counts, [0, 0, 0, 2]);
    }
}
