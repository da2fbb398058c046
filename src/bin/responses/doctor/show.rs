//! Findings as text for people.

use anstyle::{AnsiColor, Style};

use super::{
    diagnosis::Diagnosis,
    finding::{Finding, Status},
};
use crate::notes::printable;

/// Returns the lines of a finding, with colours if `is_terminal` and `NO_COLOR` is not set.
pub(super) fn finding(finding: &Finding, is_terminal: bool) -> String {
    let (word, style) = match finding.status {
        Status::Ok => ("ok", AnsiColor::Green.on_default()),
        Status::Note => ("note", Style::new().dimmed()),
        Status::Limit => ("limit", AnsiColor::Yellow.on_default()),
        Status::Fail => ("fail", AnsiColor::Red.on_default()),
    };
    let style = if is_terminal && has_colors() { style } else { Style::new() };
    let time = finding.ms.map_or_else(String::new, |ms| format!(" ({ms} ms)"));
    let message: String = printable(&finding.message).collect();
    let separator = if message.is_empty() { "" } else { ": " };
    let mut line = format!("{style}{word:<5}{style:#} {}{separator}{message}{time}", finding.id);
    if let Some(advice) = &finding.advice {
        let advice: String = printable(advice).collect();
        line.push_str(&format!("\n      {advice}"));
    }
    line
}

/// Returns the last line: which transport works, and the flags to use.
pub(super) fn conclusion(diagnosis: &Diagnosis, is_terminal: bool) -> String {
    let bold = if is_terminal && has_colors() { Style::new().bold() } else { Style::new() };
    let text = match (diagnosis.transport, diagnosis.flags.as_slice()) {
        (None, _) => "result: turns do not work from here".to_owned(),
        (Some(transport), []) if diagnosis.is_limited() => {
            format!("result: turns work over {transport}, with limits")
        }
        (Some(transport), []) => {
            format!("result: turns work over {transport}, no flags are needed")
        }
        (Some(transport), flags) => {
            format!("result: turns work over {transport} only, use {}", flags.join(" "))
        }
    };
    format!("{bold}{text}{bold:#}")
}

fn has_colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
