//! Unfinished items.

use std::{collections::BTreeMap, fmt};

use crate::{
    event::{ContentPart, ResponseEvent},
    json::{Json, Text, TextBuf},
};

/// Item that started but did not finish, with the content received so far.
///
/// ```
/// use responses_client::Error;
///
/// /// Shows the text that had arrived before the turn failed.
/// fn show(error: &Error) {
///     let cut = error.response().map(|response| response.unfinished_items());
///     for item in cut.unwrap_or_default() {
///         println!("{}", item.text());
///     }
/// }
/// # let _ = show;
/// ```
#[derive(Clone, Default)]
pub struct PartialItem {
    output_index: u32,
    pub(super) initial: Option<Json>,
    pub(super) text: Parts,
    pub(super) refusal: Parts,
    pub(super) reasoning: Parts,
    pub(super) summary: Parts,
    pub(super) arguments: TextBuf,
    pub(super) input: TextBuf,
    pub(super) annotations: BTreeMap<(u32, u32), Json>,
    shell: BTreeMap<u32, ShellOutput>,
}

/// Output of a command of a hosted shell, as far as received.
///
/// ```
/// use responses_client::response::PartialItem;
///
/// fn show(item: &PartialItem) {
///     for (command, output) in item.shell_output() {
///         println!("{command}: {}{}", output.stdout, output.stderr);
///     }
/// }
/// # let _ = show;
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShellOutput {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Texts by their place in the item. Indices may have gaps.
pub(super) type Parts = BTreeMap<u32, TextBuf>;

impl PartialItem {
    pub(super) fn new(output_index: u32) -> Self {
        Self { output_index, ..Self::default() }
    }

    /// Returns the place of the item in the output.
    pub fn output_index(&self) -> u32 {
        self.output_index
    }

    /// Returns the item as announced at its start. `None` if the server did not announce it.
    pub fn initial(&self) -> Option<&Json> {
        self.initial.as_ref()
    }

    /// Returns the text of a message.
    pub fn text(&self) -> String {
        join(&self.text)
    }

    /// Returns the refusal of a message.
    pub fn refusal(&self) -> String {
        join(&self.refusal)
    }

    /// Returns the text of the reasoning.
    pub fn reasoning(&self) -> String {
        join(&self.reasoning)
    }

    /// Returns the summary of the reasoning.
    pub fn reasoning_summary(&self) -> String {
        join(&self.summary)
    }

    /// Returns the arguments of a function call, most likely invalid JSON. Never run them.
    pub fn arguments(&self) -> &str {
        self.arguments.as_str()
    }

    /// Returns the input of a custom tool. Never run it.
    pub fn input(&self) -> &str {
        self.input.as_str()
    }

    /// Returns the annotations of the texts, in order.
    pub fn annotations(&self) -> impl Iterator<Item = &Json> {
        self.annotations.values()
    }

    /// Returns the output of the commands of a hosted shell, by their place in the call.
    pub fn shell_output(&self) -> impl Iterator<Item = (u32, &ShellOutput)> {
        self.shell.iter().map(|(index, output)| (*index, output))
    }

    /// Adds `event` to the item.
    pub(super) fn add(&mut self, event: &ResponseEvent) {
        fn add(parts: &mut Parts, index: u32, delta: Option<&Text>) {
            let part = parts.entry(index).or_default();
            delta.into_iter().for_each(|delta| part.push(delta));
        }
        // An empty complete text after deltas adds no information.
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
                // The server sends the text of the part before, if at all.
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
            // Early names of the same events, used by other servers.
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
                    self.annotations.insert(place, annotation.to_detached());
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
