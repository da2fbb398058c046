//! Values of the create body, as written.

use super::Tool;
use crate::json::Json;

/// Value of a member of the body.
pub(crate) trait Member {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()>;
}

/// Field of a request.
pub(super) trait Field {
    /// Returns the value to send, or `None` to omit the member.
    fn value(&self) -> Option<&dyn Member>;
}

impl<T: Member> Field for Option<T> {
    fn value(&self) -> Option<&dyn Member> {
        self.as_ref().map(|value| value as _)
    }
}

impl Field for String {
    fn value(&self) -> Option<&dyn Member> {
        (!self.is_empty()).then_some(self)
    }
}

impl<T> Field for Vec<T>
where
    Self: Member,
{
    fn value(&self) -> Option<&dyn Member> {
        (!self.is_empty()).then_some(self)
    }
}

impl Member for Json {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.extend_from_slice(self.as_str().as_bytes());
        Ok(())
    }
}

impl Member for Vec<Tool> {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        join(out, self.iter().map(|tool| tool.json().as_str()));
        Ok(())
    }
}

macro_rules! serde_members {
    ($($type:ty),*) => {$(
        impl Member for $type {
            fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
                serde_json::to_writer(out, self)
            }
        }
    )*};
}

serde_members!(String, bool, u64, f64, Vec<String>);

/// Writes a list of JSON texts.
pub(super) fn join<'a>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'a str>) {
    out.push(b'[');
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b']');
}
