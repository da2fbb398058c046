//! Cuts an event into the pieces in which it is sent.

use bytes::Bytes;

/// Cuts `bytes` into at most `pieces` pieces of about the same length; at least one.
pub(crate) fn split(bytes: Bytes, pieces: usize) -> Vec<Bytes> {
    let size = bytes.len().div_ceil(pieces.max(1)).max(1);
    let mut rest = bytes;
    let mut split = Vec::new();
    while rest.len() > size {
        split.push(rest.split_to(size));
    }
    split.push(rest);
    split
}

/// Cuts `bytes` at these offsets; ignores those beyond its end.
pub(crate) fn split_at(bytes: Bytes, at: &[usize]) -> Vec<Bytes> {
    let mut rest = bytes;
    let mut split = Vec::new();
    let mut taken = 0;
    for offset in at {
        if let Some(length) = offset.checked_sub(taken).filter(|length| *length < rest.len()) {
            split.push(rest.split_to(length));
            taken = *offset;
        }
    }
    split.push(rest);
    split
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_about_equal_and_make_up_the_whole() {
        let text = Bytes::from_static(b"abcdefg");
        assert_eq!(split(text.clone(), 3), ["abc", "def", "g"]);
        assert_eq!(split(text.clone(), 0), ["abcdefg"]);
        assert_eq!(split(text, 100).len(), 7);
        assert_eq!(split(Bytes::new(), 3), [""]);
    }

    #[test]
    fn offsets_beyond_the_end_are_ignored() {
        let text = Bytes::from_static(b"abcdefg");
        assert_eq!(split_at(text.clone(), &[1, 5, 9]), ["a", "bcde", "fg"]);
        assert_eq!(split_at(text, &[7]), ["abcdefg"]);
    }
}
