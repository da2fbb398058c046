//! Comparison of the summaries of two runs.

use std::{fmt::Write, fs, path::Path};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::{
    sample::title_of,
    stats::{CONFIDENCE, Interval},
    summary::{ModeSummary, Summary},
    table::{FigureUnit, ROWS, Row, Scale, WARNING},
};
use crate::{notes::printable, stop::Stop};

const BOLD: Style = Style::new().bold();
const BETTER: Style = AnsiColor::Green.on_default();
const WORSE: Style = AnsiColor::Red.on_default();
const TITLE_WIDTH: usize = 24;
const WIDTH: usize = 12;

/// Means, which only a comparison of two runs shows.
const MEANS: [Row; 3] = [
    Row::new("First event mean", FigureUnit::Ms, |it| it.first_event_ms.map(|it| it.mean))
        .with_mean(|it| Some(it.first_event_ms)),
    Row::new("First text mean", FigureUnit::Ms, |it| it.first_text_ms.map(|it| it.mean))
        .with_mean(|it| it.first_text_ms),
    Row::new("Turn mean", FigureUnit::Ms, |it| it.turn_ms.map(|it| it.mean))
        .with_mean(|it| Some(it.turn_ms)),
];

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
    for (summary, file) in [(old, "old"), (new, "new")] {
        if let Some(error) = &summary.error {
            let error: String = printable(&error.to_string()).collect();
            let _ = writeln!(text, "{WARNING}The {file} run ended early: {error}{WARNING:#}\n");
        }
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
    for row in ROWS.iter().chain(&MEANS) {
        text.push_str(&line(row, old, new));
    }
    text.push('\n');
    text
}

/// Returns the line of a figure, empty if neither run has it. Less is better. A change is coloured
/// if its interval excludes zero: without an interval, it may be noise.
fn line(row: &Row, old: &ModeSummary, new: &ModeSummary) -> String {
    let interval = row.mean.and_then(|mean| {
        let means = |it: &ModeSummary| it.whole_rounds().filter_map(mean).collect::<Vec<_>>();
        Interval::between(&means(old), &means(new))
    });
    let (old, new) = ((row.figure)(old), (row.figure)(new));
    if old.or(new).is_none() {
        return String::new();
    }
    let scale = Scale::of_row(row.unit, old.into_iter().chain(new));
    let value = |it: Option<f64>| it.map_or_else(|| "-".to_owned(), |it| scale.with_unit(it));
    let change = old.zip(new).map_or_else(|| "-".to_owned(), |(old, new)| change(old, new));
    let style = match interval.filter(Interval::excludes_zero) {
        None => Style::new(),
        Some(interval) if interval.mean < 0.0 => BETTER,
        Some(_) => WORSE,
    };
    let ends = interval.filter(|it| it.low < it.high).zip(old.filter(|it| *it > 0.0));
    let ends = ends.map_or_else(String::new, |(interval, old)| {
        let [low, high] = [interval.low, interval.high].map(|it| it / old * 100.0);
        format!("  ({} % interval {low:+.1} to {high:+.1} %)", CONFIDENCE * 100.0)
    });
    format!(
        "  {:width$}{:>WIDTH$}{:>WIDTH$}{style}{change:>WIDTH$}{style:#}{ends}\n",
        row.title,
        value(old),
        value(new),
        width = TITLE_WIDTH - 2,
    )
}

/// Returns the change in percent.
fn change(old: f64, new: f64) -> String {
    if old == 0.0 {
        return if new == 0.0 { "0.0 %" } else { "-" }.to_owned();
    }
    match format!("{:+.1} %", (new / old - 1.0) * 100.0) {
        text if text == "+0.0 %" || text == "-0.0 %" => "0.0 %".to_owned(),
        text => text,
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
    use std::{path::PathBuf, time::Duration};

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

    /// Returns the styles of the changes of these rows of the first mode.
    fn style(text: &str, title: &str) -> Option<Style> {
        let line = text.lines().find(|it| it.trim_start().starts_with(title)).unwrap();
        [BETTER, WORSE].into_iter().find(|style| line.contains(&format!("{style}")))
    }

    #[test]
    fn only_changes_beyond_the_noise_are_coloured() {
        let old = made_up::summary();
        let slower = |by: Duration| {
            let mut runs = made_up::runs();
            let samples = runs.iter_mut().flat_map(|run| &mut run.samples);
            samples.for_each(|it| {
                it.total += by;
                it.bytes_up -= 1;
            });
            made_up::summary_of(&runs)
        };
        // A millisecond is within the noise of the conversations, 50 ms are not.
        let text = in_words(&old, &slower(Duration::from_millis(1)));
        assert_eq!(style(&text, "Turn mean"), None, "{text}");
        assert_eq!(style(&text, "Sent"), Some(BETTER), "each conversation sends less");
        let line =
            |text: &str| text.lines().find(|it| it.contains("Turn mean")).unwrap().to_owned();
        assert!(line(&text).contains("(99 % interval -"), "{text}");
        let text = in_words(&old, &slower(Duration::from_millis(50)));
        assert_eq!(style(&text, "Turn mean"), Some(WORSE), "{text}");
        assert!(line(&text).contains("(99 % interval +"), "{text}");
        assert_eq!(style(&text, "First event mean"), None);
        // Percentiles have no interval.
        assert_eq!(style(&text, "Turn p99"), None);
        let text = in_words(&slower(Duration::from_millis(50)), &old);
        assert_eq!(style(&text, "Turn mean"), Some(BETTER), "{text}");
    }

    #[test]
    fn files_of_an_earlier_version_are_compared_without_intervals() {
        let mut old = serde_json::to_value(made_up::summary()).unwrap();
        old.as_object_mut().unwrap().remove("error");
        for mode in old["modes"].as_object_mut().unwrap().values_mut() {
            let mode = mode.as_object_mut().unwrap();
            for new in ["by_round", "first_turn_ms", "later_turns_ms"] {
                mode.remove(new).unwrap();
            }
        }
        for point in old["sweep"]["points"].as_array_mut().unwrap() {
            point.as_object_mut().unwrap().remove("self_check").unwrap();
        }
        let old: Summary = serde_json::from_value(old).unwrap();
        let text = in_words(&old, &made_up::summary());
        assert_eq!(style(&text, "Turn mean"), None);
        assert!(!text.contains("interval"), "{text}");
    }

    #[test]
    fn a_run_that_ended_early_is_named() {
        let new = Summary { error: Some(made_up::failed_turn()), ..made_up::summary() };
        let text = plain(&in_words(&made_up::summary(), &new));
        let expected = "The new run ended early: websocket_full, turn 3: no good\n\nWebSocket,";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn changes_from_zero_have_no_percentage() {
        for ((old, new), text) in [
            ((0.0, 0.0), "0.0 %"),
            ((0.0, 1.0), "-"),
            ((1.0, 1.0001), "0.0 %"),
            ((2.0, 1.0), "-50.0 %"),
        ] {
            assert_eq!(change(old, new), text);
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
