//! Detects the form of an HTTP body from its first bytes, whatever its label.
//!
//! Gateways label streams as `text/plain`, `application/octet-stream` or `application/json`, or do
//! not label them, and answer with JSON or a web page to a request for a stream. So a label is only
//! a hint, unless it is that of a web page. The first line that is neither blank nor a comment
//! decides.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};

use super::sign_in::is_sign_in_page;
use crate::error::WebPage;

/// Form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Server-sent events.
    Events,
    /// JSON values.
    Json,
    /// A web page.
    Page,
    /// Anything else.
    Other,
}

/// Detects the form of a body from its first bytes.
#[derive(Debug)]
pub(crate) struct Sniffer {
    at: Place,
    /// Bytes of an incomplete byte-order mark or field name.
    held: BytesMut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the first byte, where a byte-order mark may stand.
    Start,
    /// At the start of a line, or in the white space there.
    Line,
    Comment,
    /// In a possible field name.
    Name,
}

const BOM: &[u8] = b"\xef\xbb\xbf";
/// Field names of the SSE standard.
const FIELDS: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];

impl Sniffer {
    pub(crate) fn new() -> Self {
        Self { at: Place::Start, held: BytesMut::new() }
    }

    /// Takes the next piece. Once the form is known, returns the form, and the body from the
    /// deciding line on. Earlier lines are blank or comments, and are dropped.
    pub(crate) fn push(&mut self, piece: &Bytes) -> Option<(Form, [Bytes; 2])> {
        for (index, &byte) in piece.iter().enumerate() {
            if self.at == Place::Start {
                let seen = self.held.len();
                if BOM.get(seen) == Some(&byte) {
                    self.held.extend_from_slice(&[byte]);
                    if self.held.len() == BOM.len() {
                        self.held.clear();
                        self.at = Place::Line;
                    }
                    continue;
                }
                // The bytes only started like a byte-order mark.
                if seen > 0 {
                    return Some(self.decided(Form::Other, piece, index));
                }
                self.at = Place::Line;
            }
            let form = match (self.at, byte) {
                (Place::Comment, b'\n' | b'\r') => {
                    self.at = Place::Line;
                    continue;
                }
                (Place::Comment, _) | (Place::Line, b' ' | b'\t' | b'\n' | b'\r') => continue,
                (Place::Line, b':') => {
                    self.at = Place::Comment;
                    continue;
                }
                (Place::Line, b'{') => Form::Json,
                (Place::Line, b'<') => Form::Page,
                (Place::Name, b':' | b'\n' | b'\r') if FIELDS.contains(&&*self.held) => {
                    Form::Events
                }
                _ => {
                    self.at = Place::Name;
                    self.held.extend_from_slice(&[byte]);
                    if FIELDS.iter().any(|field| field.starts_with(&self.held)) {
                        continue;
                    }
                    // The current byte is part of the piece, and must not be returned twice.
                    let held = self.held.len() - 1;
                    self.held.truncate(held);
                    Form::Other
                }
            };
            return Some(self.decided(form, piece, index));
        }
        None
    }

    fn decided(&mut self, form: Form, piece: &Bytes, index: usize) -> (Form, [Bytes; 2]) {
        // Held bytes of this piece are returned as a slice of the piece.
        let from = index.saturating_sub(self.held.len());
        let earlier = self.held.len() - (index - from);
        let held = self.held.split_to(earlier).freeze();
        self.held.clear();
        (form, [held, piece.slice(from..)])
    }
}

/// Finds the end of each JSON object in a body.
#[derive(Debug, Default)]
pub(crate) struct JsonEnd {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl JsonEnd {
    /// Takes the next piece. Returns how many bytes of it belong to the object, if it ends there.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Option<usize> {
        for (index, byte) in piece.iter().enumerate() {
            match byte {
                // Braces in strings do not count, so strings and escapes are tracked.
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(index + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// Returns the media type of a body, or `""` if there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.split(';').next()).unwrap_or_default().trim()
}

/// Returns `true` if a body is labelled as a web page.
pub(crate) fn is_labelled_page(headers: &HeaderMap) -> bool {
    let media_type = media_type(headers);
    ["text/html", "application/xhtml+xml"].iter().any(|it| it.eq_ignore_ascii_case(media_type))
}

/// Returns `true` if a body that starts with these bytes is a web page.
pub(crate) fn is_page(headers: &HeaderMap, body: &[u8]) -> bool {
    let body = body.strip_prefix(BOM).unwrap_or(body).trim_ascii_start();
    is_labelled_page(headers) || body.starts_with(b"<")
}

/// Returns the content encoding of a body. `None` if it is absent or `identity`.
pub(crate) fn encoding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut others = codings
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"));
    let other = String::from_utf8_lossy(others.next()?).into_owned();
    Some(other.chars().take(64).collect())
}

/// Returns the description of a web page. The start of its body is enough.
pub(crate) fn page(status: u16, headers: &HeaderMap, body: &[u8]) -> WebPage {
    let server = headers.get(header::SERVER).and_then(|server| server.to_str().ok());
    let title = title(body);
    let title = title.as_deref();
    let sign_in = is_sign_in_page(status, title, body);
    WebPage { sign_in, ..WebPage::new(status, media_type(headers), title, server) }
}

/// Returns the text of the first `<title>` in the head of a page.
pub(crate) fn title(body: &[u8]) -> Option<String> {
    // Changing the case of ASCII letters keeps all offsets.
    let text = String::from_utf8_lossy(body);
    let lower = text.to_ascii_lowercase();
    let mut at = 0;
    loop {
        at += lower.get(at..)?.find('<')?;
        let rest = lower.get(at..)?;
        let skip_to = if rest.starts_with("<!--") {
            "-->"
        } else if rest.starts_with("<script") {
            "</script"
        } else if rest.starts_with("<style") {
            "</style"
        } else if rest.starts_with("<body") {
            return None;
        } else if is_tag(rest, "<title") {
            let start = at + rest.find('>')? + 1;
            let end = start + lower.get(start..)?.find("</title")?;
            let words: Vec<_> = text.get(start..end)?.split_whitespace().collect();
            return (!words.is_empty()).then(|| words.join(" "));
        } else {
            "<"
        };
        at += 1 + rest.get(1..)?.find(skip_to)?;
    }
}

fn is_tag(rest: &str, tag: &str) -> bool {
    let after = rest.strip_prefix(tag).and_then(|rest| rest.chars().next());
    after.is_some_and(|after| after == '>' || after.is_ascii_whitespace())
}

#[cfg(test)]
mod tests;
