//! Output as text: the answers of the model, without JSON.

use std::io::{self, Write};

use responses_client::{Error, Response, ResponseEvent};

use crate::{
    notes::{error, note, printable},
    stop::in_words,
};

/// Writer of the text of turns.
pub(super) struct TextWriter {
    /// `true` if control characters are left out, because a terminal would obey them.
    for_terminal: bool,
    /// Item and part of the text written last, in the running turn.
    part: Option<(u32, u32)>,
    is_line_open: bool,
}

impl TextWriter {
    pub(super) fn new(for_terminal: bool) -> Self {
        Self { for_terminal, part: None, is_line_open: false }
    }

    /// Writes the text of an event, if the event has text for the user.
    pub(super) fn event(&mut self, event: &ResponseEvent, out: &mut impl Write) -> io::Result<()> {
        let (part, text) = match event {
            ResponseEvent::OutputTextDelta(it) => ((it.output_index, it.content_index), &it.delta),
            ResponseEvent::RefusalDelta(it) => ((it.output_index, it.content_index), &it.delta),
            ResponseEvent::Restarted => {
                self.end_line(out)?;
                self.part = None;
                note("the answer starts again");
                return Ok(());
            }
            _ => return Ok(()),
        };
        if self.part.replace(part).is_some_and(|last| last != part) {
            self.end_line(out)?;
        }
        self.write(text, out)
    }

    /// Writes the end of a turn: its text, if no event had text, and a message if the turn failed
    /// or is incomplete.
    pub(super) fn end(
        &mut self,
        turn: u64,
        failure: Option<&Error>,
        response: Option<&Response>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        if let Some(response) = response.filter(|_| self.part.take().is_none()) {
            self.write(&response.output_text(), out)?;
            if let Some(refusal) = response.refusal() {
                self.end_line(out)?;
                self.write(&refusal, out)?;
            }
        }
        self.end_line(out)?;
        // On a terminal, the message must come after the text.
        out.flush()?;
        let calls =
            response.map_or(0, |it| it.function_calls().len() + it.custom_tool_calls().len());
        if let Some(failure) = failure {
            error(&format!("turn {turn}: {}", in_words(failure)));
        } else if calls > 0 {
            note(&format!("turn {turn}: the model calls tools; --json shows the calls"));
        } else if let Some(reason) = response.and_then(Response::incomplete_reason) {
            note(&format!("turn {turn}: the answer is incomplete ({reason})"));
        }
        Ok(())
    }

    fn write(&mut self, text: &str, out: &mut impl Write) -> io::Result<()> {
        if self.for_terminal {
            printable(text).try_for_each(|piece| self.write_piece(piece, out))
        } else {
            self.write_piece(text, out)
        }
    }

    fn write_piece(&mut self, piece: &str, out: &mut impl Write) -> io::Result<()> {
        if let Some(last) = piece.chars().next_back() {
            self.is_line_open = last != '\n';
        }
        out.write_all(piece.as_bytes())
    }

    fn end_line(&mut self, out: &mut impl Write) -> io::Result<()> {
        if std::mem::take(&mut self.is_line_open) { out.write_all(b"\n") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_without_events_shows_its_text_and_its_refusal() {
        let response = Response::from_json(
            r#"{"id":"r","object":"response","status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"refusal","refusal":"I must not."}]}]}"#,
        )
        .unwrap();
        let (mut writer, mut out) = (TextWriter::new(false), Vec::new());
        writer.end(1, None, Some(&response), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "I must not.\n");
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        for (for_terminal, expected) in [(true, "a[31mb\tc\n"), (false, "a\x1b[31mb\tc")] {
            let (mut writer, mut out) = (TextWriter::new(for_terminal), Vec::new());
            writer.write("a\x1b[31mb\tc", &mut out).unwrap();
            if for_terminal {
                writer.end_line(&mut out).unwrap();
                writer.end_line(&mut out).unwrap();
            }
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        let (mut writer, mut out) = (TextWriter::new(true), Vec::new());
        writer.write("a\n\x1b", &mut out).unwrap();
        writer.end_line(&mut out).unwrap();
        assert_eq!(out, b"a\n", "no empty line");
    }

    #[test]
    fn a_refusal_without_deltas_is_written() {
        let refused = Response::from_json(
            r#"{"status":"completed","output":[{"type":"message","content":[{"type":"refusal","refusal":"No."}]}]}"#,
        );
        let (mut writer, mut out) = (TextWriter::new(false), Vec::new());
        writer.end(1, None, Some(&refused.unwrap()), &mut out).unwrap();
        assert_eq!(out, b"No.\n");
    }
}
