//! Joins the events of one item into the item.
//!
//! Members are moved as raw text, so that they go back to the server as received, escapes included.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
};

use serde::Serialize;

use super::{PartialItem, head::Head, partial::Parts};
use crate::{
    event::item::{Arguments, Members, Read as _, elements},
    json::{Json, Text, TextBuf},
    request::Item,
};

/// Members with the content of an item: an empty one does not overrule another value.
const CONTENTS: [&str; 9] = [
    "encrypted_content",
    "content",
    "arguments",
    "input",
    "summary",
    "result",
    "outputs",
    "action",
    "name",
];

/// Members that identify an item; a tool may have run under them already.
const IDENTITY: [&str; 3] = ["type", "id", "call_id"];

/// Returns a finished item in the form to send back. Missing values come from `parts`.
pub(super) fn finished(item: &Item, head: &Head, parts: Option<&PartialItem>) -> Item {
    let Some(mut draft) = Draft::of(item) else { return item.clone() };
    if let Some(parts) = parts {
        draft.fill(head, parts);
    }
    draft.make_acceptable(&head.kind);
    draft.into_item()
}

/// Returns a finished item with the text streamed after its end.
pub(super) fn continued(item: &Item, head: &Head, late: &PartialItem) -> Item {
    let Some(mut draft) = Draft::of(item) else { return item.clone() };
    let content = draft.json("content");
    draft.fill(head, late);
    // Some servers end a message after its first delta and continue with its text.
    if head.kind == "message"
        && let Some(content) = content
        && let Some(more) = message_content(late)
    {
        let (text, added) = (text_of(&content), late.text());
        if added.starts_with(&text) {
            draft.set("content", more);
        } else if !text.contains(&added) {
            draft.set("content", joined(content.as_str(), &more));
        }
    }
    draft.into_item()
}

/// Joins two lists of parts. A string in place of a list is one part.
fn joined(content: &str, more: &str) -> String {
    let parts = |list: &str| match list.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        Some(parts) => parts.to_owned(),
        None => output_text(list),
    };
    format!("[{},{}]", parts(content), parts(more))
}

/// Returns an item that never finished, built from its streamed parts.
pub(super) fn streamed(head: &Head, parts: &PartialItem) -> Item {
    let item = match parts.initial() {
        Some(announced) if announced.as_str().starts_with('{') => announced.clone(),
        _ => {
            let id = head.id.as_ref().map(|id| format!(r#","id":{}"#, quoted(id.as_str())));
            let id = id.unwrap_or_default();
            Json::from_trusted(format!(r#"{{"type":{}{id}}}"#, quoted(head.kind.as_str())))
        }
    };
    let item = Item::from_trusted(item);
    let Some(mut draft) = Draft::of(&item) else { return item };
    if head.kind == "message" && draft.lacks("role") {
        draft.set("role", "\"assistant\"");
    }
    draft.set("status", "\"completed\"");
    draft.fill(head, parts);
    draft.make_acceptable(&head.kind);
    Item::from_trusted(Json::from_trusted(draft.written()))
}

/// Returns a finished item with the values of the terminal event.
///
/// The identity of the item stays. Every other value of the terminal event wins, unless it is
/// blank.
pub(super) fn overruled(item: &Item, terminal: &Json, head: &Head) -> Item {
    if item.received().as_str() == terminal.as_str() {
        return item.clone();
    }
    let (Some(mut draft), Ok(told)) = (Draft::of(item), Members::of(terminal)) else {
        return item.clone();
    };
    let own: HashMap<&str, &str> = draft.members.iter().collect();
    for (name, raw) in told.iter() {
        let own = own.get(name).copied();
        let is_kept = IDENTITY.contains(&name) && own.is_some_and(|own| !is_void(own));
        let value = Json::from_trusted(raw);
        let says_nothing = raw == "null" || CONTENTS.contains(&name) && is_blank(name, &value);
        if is_kept || says_nothing && (own.is_some() || raw == "null") {
            continue;
        }
        if own == Some(raw) {
            draft.changes.remove(name);
        } else {
            draft.changes.insert(Cow::Owned(name.to_owned()), raw.to_owned());
        }
    }
    draft.make_acceptable(&head.kind);
    draft.into_item()
}

/// Returns a message with the text of the response.
pub(super) fn message_of(raw_text: &str) -> Item {
    let part = output_text(raw_text);
    let message = format!(r#"{{"type":"message","role":"assistant","content":[{part}]}}"#);
    Item::from_trusted(Json::from_trusted(message))
}

/// Returns a part of a message with this JSON string as its text.
fn output_text(raw: &str) -> String {
    format!(r#"{{"type":"output_text","text":{raw},"annotations":[]}}"#)
}

/// Returns the text and refusals of a `content`: a list of parts, or a string.
pub(super) fn text_of(content: &Json) -> String {
    texts(content).iter().flatten().map(Text::as_str).collect()
}

/// Returns `true` if a member with this value is blank: it has no element, or no text.
pub(super) fn is_blank(name: &str, value: &Json) -> bool {
    is_void(value.as_str()) || matches!(name, "content" | "summary") && has_only_empty_texts(value)
}

/// Returns `true` if each part of `content` is an empty text. Texts are not decoded, since only
/// `""` is empty.
fn has_only_empty_texts(content: &Json) -> bool {
    let is_empty = |part: Json| {
        let Ok(members) = Members::of(&part) else { return false };
        let text = |name| members.raw(name).filter(|raw| raw.starts_with('"'));
        text("text").or_else(|| text("refusal")) == Some("\"\"")
    };
    // A string in place of a list is not void, and therefore not empty.
    elements(content).is_some_and(|mut parts| parts.all(is_empty))
}

/// Returns `true` for `null`, `""`, `[]` and `{}`.
fn is_void(raw: &str) -> bool {
    match raw.as_bytes() {
        [b'[', inner @ .., b']'] | [b'{', inner @ .., b'}'] => inner.trim_ascii().is_empty(),
        raw => matches!(raw, b"null" | b"\"\""),
    }
}

/// Returns the text of each part; `None` for a part that is not text.
fn texts(content: &Json) -> Vec<Option<Text>> {
    let text = |part: Json| {
        let members = Members::of(&part).ok()?;
        let text = |name| members.read::<Option<Text>>(name).ok().flatten();
        text("text").or_else(|| text("refusal"))
    };
    match elements(content) {
        Some(parts) => parts.map(text).collect(),
        None => vec![Text::read(content)],
    }
}

/// Returns the text of a string, or the JSON text of any other value.
pub(super) fn string_or_json(value: &Json) -> String {
    Arguments::read(value).map_or_else(String::new, |Arguments(text)| text.as_str().to_owned())
}

/// An item with changes to some of its members; the others stay byte for byte.
struct Draft<'a> {
    item: &'a Item,
    members: Members<'a>,
    changes: BTreeMap<Cow<'static, str>, String>,
}

impl<'a> Draft<'a> {
    fn of(item: &'a Item) -> Option<Self> {
        let members = Members::of(item.json()).ok()?;
        Some(Self { item, members, changes: BTreeMap::new() })
    }

    fn raw(&self, name: &str) -> Option<&str> {
        self.changes.get(name).map(String::as_str).or_else(|| self.members.raw(name))
    }

    /// Returns a member that is not null.
    fn json(&self, name: &'static str) -> Option<Json> {
        match self.changes.get(name) {
            Some(raw) => Some(Json::from_trusted(raw.clone())),
            None => self.members.read(name).ok().flatten(),
        }
    }

    fn lacks(&self, name: &'static str) -> bool {
        self.json(name).is_none_or(|value| is_blank(name, &value))
    }

    fn set(&mut self, name: impl Into<Cow<'static, str>>, raw: impl Into<String>) {
        self.changes.insert(name.into(), raw.into());
    }

    /// Fills missing values from the parts, then from the item as it was announced.
    fn fill(&mut self, head: &Head, parts: &PartialItem) {
        // Nearly always the item lacks nothing, and the text of the parts is not written again.
        for name in streamed_members(&head.kind) {
            if self.lacks(name)
                && let Some(raw) = streamed_member(&head.kind, name, parts)
            {
                self.set(*name, raw);
            }
        }
        if head.is_call() {
            for (name, value) in [("name", &head.name), ("call_id", &head.call_id)] {
                if let Some(value) = value
                    && self.lacks(name)
                {
                    self.set(name, quoted(value.as_str()));
                }
            }
        }
        let Some(Ok(announced)) = parts.initial().map(Members::of) else { return };
        // An announced `encrypted_content` is only a prefix, and useless.
        for name in CONTENTS.into_iter().filter(|name| *name != "encrypted_content") {
            if let Ok(Some(value)) = announced.read::<Option<Json>>(name)
                && !is_blank(name, &value)
                && self.lacks(name)
            {
                self.set(name, value.as_str());
            }
        }
    }

    /// Rewrites forms that servers send and the API does not take back.
    fn make_acceptable(&mut self, kind: &str) {
        for name in ["content", "summary"] {
            if self.raw(name) == Some("null") {
                self.set(name, "[]");
            }
        }
        let (name, default) = match kind {
            "function_call" => ("arguments", Some("\"{}\"")),
            "custom_tool_call" => ("input", None),
            "mcp_call" | "mcp_approval_request" => ("arguments", None),
            _ => return,
        };
        match self.raw(name) {
            None | Some("null" | "\"\"") => {
                if let Some(default) = default {
                    self.set(name, default);
                }
            }
            Some(raw) if !raw.starts_with('"') => {
                let raw = quoted(raw);
                self.set(name, raw);
            }
            Some(_) => {}
        }
    }

    /// Returns the changed item, together with its form as received.
    fn into_item(self) -> Item {
        if self.changes.is_empty() {
            return self.item.clone();
        }
        let received = self.item.received().clone();
        Item::rewritten(Json::from_trusted(self.written()), received)
    }

    fn written(&self) -> String {
        let mut written = HashSet::new();
        let mut text = String::with_capacity(self.item.json().as_str().len() + 64);
        let own = self.members.iter().map(|(name, raw)| {
            written.insert(name);
            (name, self.changes.get(name).map_or(raw, String::as_str))
        });
        for (name, raw) in own {
            member(&mut text, name, raw);
        }
        for (name, raw) in &self.changes {
            if !written.contains(&**name) {
                member(&mut text, name, raw);
            }
        }
        text.push('}');
        text
    }
}

/// Appends a member to an object.
fn member(object: &mut String, name: &str, raw: &str) {
    object.push(if object.is_empty() { '{' } else { ',' });
    object.push_str(&quoted(name));
    object.push(':');
    object.push_str(raw);
}

/// Returns the members that the stream of an item of this type sets.
fn streamed_members(kind: &str) -> &'static [&'static str] {
    match kind {
        "message" => &["content"],
        "function_call" => &["arguments"],
        "custom_tool_call" => &["input"],
        "reasoning" => &["summary", "content"],
        _ => &[],
    }
}

/// Returns the JSON text of such a member, or `None` if the stream did not set it.
fn streamed_member(kind: &str, name: &str, parts: &PartialItem) -> Option<String> {
    let string = |text: &TextBuf| (!text.is_empty()).then(|| quoted(text));
    let none = |_| String::new();
    match (kind, name) {
        ("message", "content") => message_content(parts),
        ("function_call", "arguments") => string(&parts.arguments),
        ("custom_tool_call", "input") => string(&parts.input),
        ("reasoning", "summary") => list(texts_of(&parts.summary, "summary_text", "text", none)),
        ("reasoning", "content") => {
            list(texts_of(&parts.reasoning, "reasoning_text", "text", none))
        }
        _ => None,
    }
}

fn message_content(parts: &PartialItem) -> Option<String> {
    let annotations = |index: u32| {
        let own = parts.annotations.range((index, 0)..=(index, u32::MAX));
        let own: Vec<&str> = own.map(|(_, annotation)| annotation.as_str()).collect();
        format!(r#","annotations":[{}]"#, own.join(","))
    };
    let none = |_| String::new();
    let mut content = texts_of(&parts.text, "output_text", "text", annotations);
    content.extend(texts_of(&parts.refusal, "refusal", "refusal", none));
    content.sort_by_key(|(index, _)| *index);
    list(content)
}

/// Returns the parts that have text, by their place.
fn texts_of(
    texts: &Parts,
    kind: &str,
    member: &str,
    more: impl Fn(u32) -> String,
) -> Vec<(u32, String)> {
    let part = |(index, text): (&u32, &TextBuf)| {
        let (text, more) = (quoted(text), more(*index));
        (*index, format!(r#"{{"type":"{kind}","{member}":{text}{more}}}"#))
    };
    texts.iter().filter(|(_, text)| !text.is_empty()).map(part).collect()
}

fn list(parts: Vec<(u32, String)>) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().map(|(_, part)| part).collect();
    (!parts.is_empty()).then(|| format!("[{}]", parts.join(",")))
}

/// Returns the JSON text of a string.
fn quoted(text: &(impl Serialize + ?Sized)) -> String {
    // Serializing a string never fails.
    serde_json::to_string(text).unwrap_or_default()
}
