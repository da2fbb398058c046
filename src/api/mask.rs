//! Masking of server texts before they are shown.

/// Returns at most `most` bytes of `text`, without control characters, and with strings that look
/// like a key or a token masked: servers quote the key that they refuse.
pub(crate) fn masked(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for (index, word) in text.split_whitespace().enumerate() {
        if index > 0 {
            shown.push(' ');
        }
        let mut rest = word;
        // A key may stand in quotes, in a URL, in JSON.
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| of_key(c) != of_key(first)).unwrap_or(rest.len());
            let (run, tail) = rest.split_at(end);
            if is_key(run) {
                shown.push_str("[masked]");
            } else {
                shown.extend(run.chars().filter(|c| !c.is_control()));
            }
            rest = tail;
        }
        if shown.len() > most {
            let end = (0..=most).rev().find(|&end| shown.is_char_boundary(end));
            shown.truncate(end.unwrap_or_default());
            shown.push('…');
            break;
        }
    }
    shown
}

fn of_key(c: char) -> bool {
    c.is_alphanumeric() || "-_.*".contains(c)
}

/// Returns `true` if a run of key characters looks like a key.
fn is_key(run: &str) -> bool {
    let bare = run.trim_matches(|c: char| !c.is_alphanumeric());
    let lower = bare.to_ascii_lowercase();
    let keyed = ["sk-", "sess-", "eyj", "bearer"].iter().any(|prefix| lower.starts_with(prefix));
    let random = bare.len() >= 32 && bare.is_ascii() && bare.chars().any(|c| c.is_ascii_digit());
    keyed && bare.len() > 6 || random
}
