//! Writes server-sent events.

use bytes::Bytes;

/// Name of the field of data, with the space after its colon.
pub(crate) const DATA: &str = "data: ";

/// Returns an event with its name, if it has one.
pub(crate) fn event(name: Option<&str>, data: &str) -> Bytes {
    match name {
        Some(name) => format!("event: {name}\n{DATA}{data}\n\n").into(),
        None => format!("{DATA}{data}\n\n").into(),
    }
}

/// Returns an event without a name: a field of data for each line of `text`.
pub(crate) fn data_lines(text: &[u8]) -> Bytes {
    let mut lines = Vec::with_capacity(text.len() + 8);
    for line in text.split(|byte| *byte == b'\n') {
        lines.extend_from_slice(DATA.as_bytes());
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }
    lines.push(b'\n');
    lines.into()
}

/// Returns a comment.
pub(crate) fn comment(text: &str) -> Bytes {
    format!(": {text}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_field_of_its_own() {
        assert_eq!(data_lines(b"a\nb"), "data: a\ndata: b\n\n");
        assert_eq!(data_lines(b""), "data: \n\n");
        assert_eq!(event(Some("x"), "{}"), "event: x\ndata: {}\n\n");
        assert_eq!(event(None, "{}"), "data: {}\n\n");
        assert_eq!(comment("hi"), ": hi\n\n");
    }
}
