//! Comparison of the summaries of two runs.

use std::{fmt::Write, fs, path::Path};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::{
    sample::title_of,
    summary::{ModeSummary, Summary},
    table::{ROWS, Row, Scale},
};
use crate::stop::Stop;

const BOLD: Style = Style::new().bold();
const BETTER: Style = AnsiColor::Green.on_default();
const WORSE: Style = AnsiColor::Red.on_default();
const WARNING: Style = AnsiColor::Yellow.on_default();
const TITLE_WIDTH: usize = 24;
const WIDTH: usize = 12;

/// Returns the comparison of the summaries in two files, each the last line of its file. The text
/// contains styles: write it with `anstream`, which removes them where colours are off.
pub(crate) fn compare(old: &Path, new: &Path) -> Result<String, Stop> {
    Ok(in_words(&read(old)?, &read(new)?))
}

fn read(path: &Path) -> Result<Summary, Stop> {
    let bad = |why: &dyn std::fmt::Display| Stop::Bad(format!("{}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|it| bad(&format!("could not read: {it}")))?;
    let line = text.lines().rev().find(|it| !it.trim().is_empty());
    let line = line.ok_or_else(|| bad(&"the file is empty"))?;
    serde_json::from_str(line).map_err(|it| {
        bad(&format!("the last line is not a summary of `responses bench --json`: {it}"))
    })
}

fn in_words(old: &Summary, new: &Summary) -> String {
    let mut text = String::new();
    let mut changed = Vec::new();
    let version = |it: &Summary| Value::from(it.version.clone());
    changes("version", &version(old), &version(new), &mut changed);
    changes("", &old.settings, &new.settings, &mut changed);
    if !changed.is_empty() {
        let _ = writeln!(text, "{WARNING}The settings differ:{WARNING:#}");
        for change in changed {
            let _ = writeln!(text, "  {change}");
        }
        text.push('\n');
    }
    let mut missing = Vec::new();
    for (label, old) in old.modes.iter() {
        match new.modes.get(label) {
            Some(new) => text.push_str(&mode(label, old, new)),
            None => missing.push((label, "old")),
        }
    }
    let added = new.modes.iter().map(|(label, _)| label);
    missing.extend(added.filter(|it| old.modes.get(it).is_none()).map(|it| (it, "new")));
    for (label, file) in missing {
        let _ = writeln!(text, "{} is only in the {file} file.", title_of(label));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Returns a table of the figures of one mode.
fn mode(label: &str, old: &ModeSummary, new: &ModeSummary) -> String {
    let title = title_of(label);
    let mut text = format!(
        "{BOLD}{title:TITLE_WIDTH$}{:>WIDTH$}{:>WIDTH$}{:>WIDTH$}{BOLD:#}\n",
        "old", "new", "change"
    );
    for Row { title, unit, figure, .. } in &ROWS {
        let (old, new) = (figure(old), figure(new));
        if old.or(new).is_none() {
            continue;
        }
        let scale = Scale::of_row(*unit, old.into_iter().chain(new));
        let value = |it: Option<f64>| it.map_or_else(|| "-".to_owned(), |it| scale.with_unit(it));
        let (style, change) = match old.zip(new) {
            Some((old, new)) => change(old, new),
            None => (Style::new(), "-".to_owned()),
        };
        let _ = writeln!(
            text,
            "  {title:width$}{:>WIDTH$}{:>WIDTH$}{style}{change:>WIDTH$}{style:#}",
            value(old),
            value(new),
            width = TITLE_WIDTH - 2,
        );
    }
    text.push('\n');
    text
}

/// Returns the change in percent. Less is better.
fn change(old: f64, new: f64) -> (Style, String) {
    if old == 0.0 {
        let text = if new == 0.0 { "0.0 %" } else { "-" };
        return (Style::new(), text.to_owned());
    }
    let percent = (new / old - 1.0) * 100.0;
    match format!("{percent:+.1} %") {
        text if text == "+0.0 %" || text == "-0.0 %" => (Style::new(), "0.0 %".to_owned()),
        text => (if percent < 0.0 { BETTER } else { WORSE }, text),
    }
}

/// Adds a line for each value that differs. `path` is the name of the value, empty for the whole.
fn changes(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        if old != new {
            let name = if path.is_empty() { "settings" } else { path };
            lines.push(format!("{name}: {old}, now {new}"));
        }
        return;
    };
    let added = new.keys().filter(|it| !old.contains_key(*it));
    for key in old.keys().chain(added) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let value = |it: &serde_json::Map<String, Value>| it.get(key).cloned().unwrap_or_default();
        changes(&path, &value(old), &value(new), lines);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::{super::made_up, *};

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    /// Makes a file in a folder for the tests of this process, and returns its path.
    fn file(name: &str, text: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("bench-compare-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn failure(path: &Path) -> String {
        match compare(path, path) {
            Err(Stop::Bad(why)) => why,
            _ => panic!("no error"),
        }
    }

    #[test]
    fn figures_are_compared_in_percent() {
        let old = made_up::summary();
        let mut new = old.clone();
        new.modes = (old.modes.iter())
            .map(|(label, it)| {
                let mut it = it.clone();
                it.turn_ms = it.turn_ms.map(|it| it.map(|it| it * 1.5));
                it.bytes_up /= 2;
                (label.to_owned(), it)
            })
            .collect();
        let line =
            |it: &Summary| format!("{{\"turn\":1}}\n{}\n", serde_json::to_string(it).unwrap());
        let text =
            compare(&file("old.json", &line(&old)), &file("new.json", &line(&new))).ok().unwrap();
        let text = plain(&text);
        assert_eq!(text.matches("+50.0 %\n").count(), 4 * 4, "{text}");
        assert_eq!(text.matches("-50.0 %\n").count(), 4, "{text}");
        assert!(text.starts_with("WebSocket, incremental           old         new      change\n"));
        assert!(!text.contains("differ"), "{text}");
    }

    #[test]
    fn differing_settings_and_modes_are_named() {
        let mut old = made_up::summary();
        let mut new = made_up::summary_of(&made_up::runs()[1..]);
        old.settings = json!({"link": {"rtt_ms": 50, "loss": 0}, "turns": 20});
        new.settings = json!({"link": {"rtt_ms": 100, "loss": 0}, "turns": 20, "live": true});
        new.version = "9.0.0".to_owned();
        let text = plain(&in_words(&old, &new));
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "The settings differ:\n  version: \"{version}\", now \"9.0.0\"\n  \
             link.rtt_ms: 50, now 100\n  live: null, now true\n\n"
        );
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.ends_with("\n\nWebSocket, incremental is only in the old file.\n"), "{text}");
    }

    #[test]
    fn changes_from_zero_have_no_percentage() {
        for ((old, new), text) in [
            ((0.0, 0.0), "0.0 %"),
            ((0.0, 1.0), "-"),
            ((1.0, 1.0001), "0.0 %"),
            ((2.0, 1.0), "-50.0 %"),
        ] {
            assert_eq!(change(old, new).1, text);
        }
    }

    #[test]
    fn errors_name_the_file() {
        let empty = file("empty.json", "\n");
        assert_eq!(failure(&empty), format!("{}: the file is empty", empty.display()));
        let other = file("other.json", "{\"settings\":{}}\n");
        let why = failure(&other);
        assert!(why.starts_with(&format!("{}: the last line is not a summary", other.display())));
        assert!(why.contains("missing field"), "{why}");
        let why = failure(Path::new("/nowhere/at/all.json"));
        assert!(why.starts_with("/nowhere/at/all.json: could not read: "), "{why}");
    }
}
