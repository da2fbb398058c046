//! An item that was begun.

use std::{collections::BTreeMap, fmt};

use crate::{
    event::{ContentPart, ResponseEvent},
    json::{Json, Text, TextBuf},
};

/// An item that was begun and not finished, with what had come of it.
#[derive(Clone, Default)]
pub struct PartialItem {
    output_index: u32,
    pub(super) skeleton: Option<Json>,
    pub(super) text: Parts,
    pub(super) refusal: Parts,
    pub(super) reasoning: Parts,
    pub(super) summary: Parts,
    pub(super) arguments: TextBuf,
    pub(super) input: TextBuf,
    pub(super) annotations: BTreeMap<(u32, u32), Json>,
    shell: BTreeMap<u32, ShellOutput>,
}

/// What a command of a hosted shell had printed.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShellOutput {
    /// To its standard output.
    pub stdout: String,
    /// To its standard error.
    pub stderr: String,
}

/// Texts by their place in the item; indices may have gaps.
pub(super) type Parts = BTreeMap<u32, TextBuf>;

impl PartialItem {
    pub(super) fn new(output_index: u32) -> Self {
        Self { output_index, ..Self::default() }
    }

    /// Its place in the output.
    pub fn output_index(&self) -> u32 {
        self.output_index
    }

    /// The item as it was when it began, where that was told.
    pub fn skeleton(&self) -> Option<&Json> {
        self.skeleton.as_ref()
    }

    /// The text of a message.
    pub fn text(&self) -> String {
        join(&self.text)
    }

    /// The refusal of a message.
    pub fn refusal(&self) -> String {
        join(&self.refusal)
    }

    /// The text of reasoning.
    pub fn reasoning(&self) -> String {
        join(&self.reasoning)
    }

    /// The summary of reasoning.
    pub fn reasoning_summary(&self) -> String {
        join(&self.summary)
    }

    /// The arguments of a function call: most likely no valid JSON. Never run them.
    pub fn arguments(&self) -> &str {
        self.arguments.as_str()
    }

    /// The input of a custom tool. Never run it.
    pub fn input(&self) -> &str {
        self.input.as_str()
    }

    /// The annotations of its texts, in order.
    pub fn annotations(&self) -> impl Iterator<Item = &Json> {
        self.annotations.values()
    }

    /// What the commands of a hosted shell had printed, by their place in the call.
    pub fn shell_output(&self) -> impl Iterator<Item = (u32, &ShellOutput)> {
        self.shell.iter().map(|(index, output)| (*index, output))
    }

    /// Adds what `event` says of this item.
    pub(super) fn add(&mut self, event: &ResponseEvent) {
        fn add(parts: &mut Parts, index: u32, delta: Option<&Text>) {
            let part = parts.entry(index).or_default();
            delta.into_iter().for_each(|delta| part.push(delta));
        }
        // An empty whole after deltas says nothing.
        fn set(to: &mut TextBuf, whole: Option<&Text>) {
            whole.into_iter().filter(|whole| !whole.is_empty()).for_each(|whole| to.set(whole));
        }
        match event {
            ResponseEvent::OutputTextDelta(e) => {
                add(&mut self.text, e.content_index, Some(&e.delta))
            }
            ResponseEvent::OutputTextDone(e) => {
                set(self.text.entry(e.content_index).or_default(), e.text.as_ref());
            }
            ResponseEvent::ContentPartDone(e) => {
                // Its text is told before, if the server tells it at all.
                let text = self.text.entry(e.content_index).or_default();
                if let (true, Some(ContentPart::OutputText(part))) =
                    (text.is_empty(), e.content_part())
                {
                    text.set(&part.text);
                }
            }
            ResponseEvent::RefusalDelta(e) => {
                add(&mut self.refusal, e.content_index, Some(&e.delta))
            }
            ResponseEvent::RefusalDone(e) => {
                set(self.refusal.entry(e.content_index).or_default(), e.refusal.as_ref());
            }
            ResponseEvent::ReasoningTextDelta(e) => {
                add(&mut self.reasoning, e.content_index, Some(&e.delta));
            }
            ResponseEvent::ReasoningTextDone(e) => {
                set(self.reasoning.entry(e.content_index).or_default(), e.text.as_ref());
            }
            ResponseEvent::ReasoningSummaryTextDelta(e) => {
                add(&mut self.summary, e.summary_index, Some(&e.delta));
            }
            ResponseEvent::ReasoningSummaryTextDone(e) => {
                set(self.summary.entry(e.summary_index).or_default(), e.text.as_ref());
            }
            // The same by the early names of other servers.
            ResponseEvent::ReasoningDelta(e) => {
                add(&mut self.reasoning, e.content_index, e.delta.as_ref());
            }
            ResponseEvent::ReasoningDone(e) => {
                set(self.reasoning.entry(e.content_index).or_default(), e.text.as_ref());
            }
            ResponseEvent::ReasoningSummaryDelta(e) => {
                add(&mut self.summary, e.summary_index, e.delta.as_ref());
            }
            ResponseEvent::ReasoningSummaryDone(e) => {
                set(self.summary.entry(e.summary_index).or_default(), e.text.as_ref());
            }
            ResponseEvent::FunctionCallArgumentsDelta(e) => self.arguments.push(&e.delta),
            ResponseEvent::FunctionCallArgumentsDone(e) => {
                set(&mut self.arguments, e.arguments.as_ref());
            }
            ResponseEvent::CustomToolCallInputDelta(e) => self.input.push(&e.delta),
            ResponseEvent::CustomToolCallInputDone(e) => set(&mut self.input, e.input.as_ref()),
            ResponseEvent::OutputTextAnnotationAdded(e) => {
                if let Some(annotation) = &e.annotation {
                    let place = (e.content_index, e.annotation_index);
                    self.annotations.insert(place, annotation.detached());
                }
            }
            ResponseEvent::ShellCallOutputContentDelta(e) => {
                let output = self.shell.entry(e.command_index).or_default();
                if let Some(delta) = &e.delta {
                    output.add(delta);
                }
            }
            ResponseEvent::ShellCallOutputContentDone(e) => {
                let whole: Option<Vec<Json>> = e.output.as_ref().and_then(|all| all.decode().ok());
                if let Some(whole) = whole {
                    let output = self.shell.entry(e.command_index).or_default();
                    *output = ShellOutput::default();
                    whole.iter().for_each(|part| output.add(part));
                }
            }
            _ => {}
        }
    }
}

impl ShellOutput {
    fn add(&mut self, part: &Json) {
        let text = |name| part.member::<String>(name).ok().flatten().unwrap_or_default();
        self.stdout.push_str(&text("stdout"));
        self.stderr.push_str(&text("stderr"));
    }
}

fn join(parts: &Parts) -> String {
    parts.values().map(TextBuf::as_str).collect()
}

impl fmt::Debug for PartialItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartialItem")
            .field("output_index", &self.output_index)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ShellOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = (self.stdout.len(), self.stderr.len());
        write!(f, "ShellOutput({} and {} bytes)", sizes.0, sizes.1)
    }
}
