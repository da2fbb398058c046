//! Summary of a run as text for people.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::{
    sample::title_of,
    stats::MIN_DIFFERENCES,
    summary::{Difference, Figure, ModeSummary, RoundSummary, Summary},
};
use crate::notes::printable;

const BOLD: Style = Style::new().bold();
const BEST: Style = AnsiColor::Green.on_default().bold();
pub(super) const WARNING: Style = AnsiColor::Yellow.on_default();
/// Mark of the best value of a row, which is readable without colours.
const MARK: &str = " *";
const GAP: &str = "  ";

/// Row of a table: one figure of each mode. Smaller is better.
pub(super) struct Row {
    pub title: &'static str,
    pub unit: FigureUnit,
    pub figure: fn(&ModeSummary) -> Option<f64>,
    /// `true` if the figure repeats exactly, so that the best one is marked.
    pub is_exact: bool,
    /// The figure of one conversation, if the figure of the mode is the mean of them.
    pub mean: Option<fn(&RoundSummary) -> Option<f64>>,
}

pub(super) const ROWS: [Row; 14] = [
    Row::new("Connecting p50", FigureUnit::Ms, |it| it.connect_ms.map(|it| it.p50)),
    Row::new("First event p50", FigureUnit::Ms, |it| it.first_event_ms.map(|it| it.p50)),
    Row::new("First event p90", FigureUnit::Ms, |it| it.first_event_ms.map(|it| it.p90)),
    Row::new("First text p50", FigureUnit::Ms, |it| it.first_text_ms.map(|it| it.p50)),
    Row::new("Turn p50", FigureUnit::Ms, |it| it.turn_ms.map(|it| it.p50)),
    Row::new("Turn p90", FigureUnit::Ms, |it| it.turn_ms.map(|it| it.p90)),
    Row::new("Turn p99", FigureUnit::Ms, |it| it.turn_ms.map(|it| it.p99)),
    Row::new("Turn max", FigureUnit::Ms, |it| it.turn_ms.map(|it| it.max)),
    Row::new("First turn p50", FigureUnit::Ms, |it| it.first_turn_ms.map(|it| it.p50)),
    Row::new("Later turns p50", FigureUnit::Ms, |it| it.later_turns_ms.map(|it| it.p50)),
    Row::new("Whole conversation", FigureUnit::Ms, ModeSummary::conversation_ms),
    Row::new("Sent", FigureUnit::Bytes, |it| it.per_conversation(it.bytes_up))
        .with_mean(|it| Some(it.bytes_up as f64)),
    Row::new("Received", FigureUnit::Bytes, |it| it.per_conversation(it.bytes_down))
        .with_mean(|it| Some(it.bytes_down as f64)),
    Row { is_exact: false, ..Row::new("Client CPU per turn", FigureUnit::Ms, |it| it.cpu_ms) },
];

impl Row {
    pub(super) const fn new(
        title: &'static str,
        unit: FigureUnit,
        figure: fn(&ModeSummary) -> Option<f64>,
    ) -> Self {
        Self { title, unit, figure, is_exact: true, mean: None }
    }

    pub(super) const fn with_mean(self, mean: fn(&RoundSummary) -> Option<f64>) -> Self {
        Self { mean: Some(mean), ..self }
    }
}

/// Unit of a figure in JSON.
#[derive(Clone, Copy)]
pub(super) enum FigureUnit {
    Ms,
    Bytes,
}

/// Unit and number of decimals for people.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    divisor: f64,
    pub suffix: &'static str,
    decimals: usize,
}

impl Scale {
    /// Returns the scale that shows a value of this size with three digits.
    pub(super) fn of(unit: FigureUnit, size: f64) -> Self {
        let (divisor, suffix) = match unit {
            FigureUnit::Ms if size < 1e3 => (1.0, "ms"),
            FigureUnit::Ms => (1e3, "s"),
            FigureUnit::Bytes if size < 1e3 => (1.0, "B"),
            FigureUnit::Bytes if size < 1e6 => (1e3, "kB"),
            FigureUnit::Bytes => (1e6, "MB"),
        };
        let decimals = match size / divisor {
            _ if suffix == "B" => 0,
            it if it < 1.0 => 3,
            it if it < 10.0 => 2,
            it if it < 100.0 => 1,
            _ => 0,
        };
        Self { divisor, suffix, decimals }
    }

    /// Returns the scale for values in one row: the smallest has three digits.
    pub(super) fn of_row(unit: FigureUnit, values: impl IntoIterator<Item = f64>) -> Self {
        let smallest = values.into_iter().filter(|it| *it > 0.0).min_by(f64::total_cmp);
        Self::of(unit, smallest.unwrap_or_default())
    }

    /// Returns `value` in the unit of the scale.
    pub(super) fn scaled(self, value: f64) -> f64 {
        value / self.divisor
    }

    /// Returns `value` without its unit.
    pub(super) fn number(self, value: f64) -> String {
        format!("{:.*}", self.decimals, self.scaled(value))
    }

    /// Returns `value` with its unit.
    pub(super) fn with_unit(self, value: f64) -> String {
        format!("{} {}", self.number(value), self.suffix)
    }
}

/// Returns a table of the modes, and a sentence for each difference. The text contains styles:
/// write it with `anstream`, which removes them where colours are off.
pub(crate) fn table(summary: &Summary) -> String {
    let rows: Vec<(&str, Vec<Cell>)> = ROWS
        .iter()
        .map(|row| (row.title, cells(row, summary)))
        .filter(|(_, cells)| cells.iter().any(|it| !it.text.is_empty()))
        .collect();
    let title_width = rows.iter().map(|(title, _)| title.len()).max().unwrap_or_default();
    let columns: Vec<Column> = (summary.modes.iter().enumerate())
        .map(|(index, (label, _))| {
            let cells = rows.iter().filter_map(|(_, cells)| cells.get(index));
            Column::new(label, cells)
        })
        .collect();

    let mut text = String::new();
    if let Some(error) = &summary.error {
        let error: String = printable(&error.to_string()).collect();
        let _ = writeln!(text, "{WARNING}The run ended early: {error}{WARNING:#}\n");
    }
    for line in [|it: &Column| it.head.0.clone(), |it: &Column| it.head.1.clone()] {
        let heads: String = (columns.iter())
            .map(|it| format!("{GAP}{:>width$}", line(it), width = it.width))
            .collect();
        let _ = writeln!(text, "{:title_width$}{BOLD}{heads}{BOLD:#}", "");
    }
    for (title, cells) in &rows {
        let _ = write!(text, "{title:title_width$}");
        for (cell, column) in cells.iter().zip(&columns) {
            text.push_str(&cell.padded(column.width));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    if rows.iter().any(|(_, cells)| cells.iter().any(|it| it.is_best)) {
        let _ = writeln!(text, "{BEST}{}{BEST:#} best of the row", MARK.trim());
    }
    if !summary.differences.is_empty() {
        text.push('\n');
    }
    for difference in &summary.differences {
        text.push_str(&sentence(difference));
        text.push('\n');
    }
    if summary.differences.is_empty() && columns.len() > 1 {
        let _ = writeln!(
            text,
            "\nToo few turns to compare: a difference takes {MIN_DIFFERENCES} pairs of turns."
        );
    }
    text
}

/// Value of one mode in a row.
struct Cell {
    /// Value with its unit, empty if the mode has none.
    text: String,
    is_best: bool,
}

impl Cell {
    fn padded(&self, width: usize) -> String {
        let text = if self.text.is_empty() { "-" } else { &self.text };
        let padding = " ".repeat(width.saturating_sub(text.chars().count() + MARK.len()));
        if self.is_best {
            format!("{GAP}{padding}{BEST}{text}{MARK}{BEST:#}")
        } else {
            format!("{GAP}{padding}{text}{:width$}", "", width = MARK.len())
        }
    }
}

/// Returns the cells of a row. The best value is marked unless another one reads the same.
fn cells(row: &Row, summary: &Summary) -> Vec<Cell> {
    let values: Vec<Option<f64>> =
        summary.modes.iter().map(|(_, mode)| (row.figure)(mode)).collect();
    let scale = Scale::of_row(row.unit, values.iter().flatten().copied());
    let texts = values.iter().map(|it| it.map(|it| scale.with_unit(it)).unwrap_or_default());
    let texts: Vec<String> = texts.collect();
    let best = values.iter().flatten().copied().min_by(f64::total_cmp);
    let best = best.map(|it| scale.with_unit(it)).filter(|best| {
        row.is_exact
            && texts.iter().filter(|it| *it == best).count() == 1
            && texts.iter().filter(|it| !it.is_empty()).count() > 1
    });
    let cell = |text| Cell { is_best: Some(&text) == best.as_ref(), text };
    texts.into_iter().map(cell).collect()
}

struct Column {
    /// Two lines of the heading.
    head: (String, String),
    width: usize,
}

impl Column {
    fn new<'a>(label: &str, cells: impl Iterator<Item = &'a Cell>) -> Self {
        let title = title_of(label);
        let (top, bottom) = title.split_once(", ").unwrap_or(("", &title));
        let width = cells.map(|it| it.text.chars().count() + MARK.len()).max().unwrap_or_default();
        Self {
            width: width.max(top.chars().count()).max(bottom.chars().count()),
            head: (top.to_owned(), bottom.to_owned()),
        }
    }
}

/// Returns the sentence that states a difference.
fn sentence(difference: &Difference) -> String {
    let Difference { figure, mean_ms, low_ms, high_ms, confidence, shown, .. } = *difference;
    let (mode, than) = (title_of(&difference.mode), title_of(&difference.than));
    let size = if shown { mean_ms.abs() } else { low_ms.abs().max(high_ms.abs()) };
    let scale = Scale::of(FigureUnit::Ms, size);
    let interval = |low, high| {
        if low_ms == high_ms {
            return "the same in every pair of turns".to_owned();
        }
        let percent = confidence * 100.0;
        format!("{percent} % interval {} to {}", scale.number(low), scale.with_unit(high))
    };
    if !shown {
        let what = match figure {
            Figure::FirstEvent => "the time to the first event",
            Figure::FirstText => "the time to the first text",
            Figure::Turn => "the time of a turn",
        };
        let interval = interval(low_ms, high_ms);
        return format!(
            "No difference was shown between {than} and {mode} in {what} ({interval})."
        );
    }
    let (faster, slower, interval) = if mean_ms > 0.0 {
        (than, mode, interval(low_ms, high_ms))
    } else {
        (mode, than, interval(-high_ms, -low_ms))
    };
    let gain = scale.with_unit(mean_ms.abs());
    let gain = match figure {
        Figure::FirstEvent => format!("The first event comes {gain} earlier"),
        Figure::FirstText => format!("The first text comes {gain} earlier"),
        Figure::Turn => format!("A turn takes {gain} less"),
    };
    let comma = if faster.contains(',') { "," } else { "" };
    format!("{gain} over {faster}{comma} than over {slower} ({interval}).")
}

#[cfg(test)]
mod tests {
    use super::{super::made_up, *};

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn scales_show_three_digits() {
        let of = |unit, value| Scale::of(unit, value).with_unit(value);
        for (ms, text) in [
            (0.1234, "0.123 ms"),
            (1.234, "1.23 ms"),
            (43.14, "43.1 ms"),
            (431.4, "431 ms"),
            (1234.0, "1.23 s"),
            (0.0, "0.000 ms"),
        ] {
            assert_eq!(of(FigureUnit::Ms, ms), text);
        }
        for (bytes, text) in [(999.0, "999 B"), (1_840.0, "1.84 kB"), (2_500_000.0, "2.50 MB")] {
            assert_eq!(of(FigureUnit::Bytes, bytes), text);
        }
    }

    #[test]
    fn rows_have_one_unit_and_the_winner_is_marked() {
        let text = plain(&table(&made_up::summary()));
        let row = |title| text.lines().find(|it| it.starts_with(title)).unwrap().to_owned();
        let heads: Vec<&str> = text.lines().take(2).collect();
        assert!(heads[0].trim().starts_with("WebSocket"), "{text}");
        assert!(heads[1].ends_with("new connection"), "{text}");
        assert_eq!(row("Turn p50").matches(" *").count(), 1);
        assert_eq!(row("Turn p50").matches(" ms").count(), 4);
        assert_eq!(row("Connecting").matches(" - ").count(), 0);
        assert!(row("Sent").contains(" kB * "));
        assert!(text.contains("* best of the row\n\n"), "{text}");
        assert!(text.lines().take(16).all(|it| it.len() <= 80), "{text}");
        assert!(text.lines().all(|it| !it.ends_with(' ')), "{text}");
    }

    #[test]
    fn a_tie_has_no_winner() {
        let mut runs = made_up::runs();
        let twin = crate::bench::sample::ModeRun {
            label: "websocket_incremental_2".to_owned(),
            ..runs[0].clone()
        };
        runs.truncate(1);
        let alone = plain(&table(&made_up::summary_of(&runs)));
        assert!(!alone.contains('*'), "{alone}");
        runs.push(twin);
        let text = table(&made_up::summary_of(&runs));
        assert!(!text.contains('*') && !text.contains("\x1b[32m"), "{text}");
        assert!(plain(&text).ends_with(
            "No difference was shown between WebSocket, incremental and WebSocket, incremental (2) \
             in the time of a turn (the same in every pair of turns).\n"
        ));
        assert!(text.contains("incremental (2)"));
    }

    #[test]
    fn a_run_that_ended_early_says_so_and_shows_what_was_measured() {
        let mut runs = made_up::runs();
        runs[3].samples.clear();
        let error = Some(made_up::failed_turn());
        let text = plain(&table(&Summary { error, ..made_up::summary_of(&runs) }));
        let first = "The run ended early: websocket_full, turn 3: no good\n\n";
        assert!(text.starts_with(first), "{text}");
        let sent = text.lines().find(|it| it.starts_with("Sent")).unwrap();
        assert!(sent.contains(" kB") && sent.ends_with(" -"), "{text}");
    }

    #[test]
    fn two_pairs_of_turns_are_too_few_to_compare() {
        let sentence = "\n\nToo few turns to compare: a difference takes 3 pairs of turns.\n";
        for (turns, is_enough) in [(2, false), (3, true)] {
            let mut runs = made_up::runs();
            runs.iter_mut().for_each(|run| run.samples.truncate(turns));
            let summary = made_up::summary_of(&runs);
            assert_eq!(summary.differences.is_empty(), !is_enough);
            let text = plain(&table(&summary));
            assert_eq!(text.ends_with(sentence), !is_enough, "{text}");
        }
        let one = plain(&table(&made_up::summary_of(&made_up::runs()[..1])));
        assert!(!one.contains("Too few"), "{one}");
    }

    #[test]
    fn figures_that_no_mode_has_are_left_out() {
        let mut runs = made_up::runs();
        for run in &mut runs {
            run.cpu = None;
            run.samples.iter_mut().for_each(|it| it.first_text = None);
        }
        let text = table(&made_up::summary_of(&runs));
        assert!(!text.contains("CPU") && !text.contains("First text"), "{text}");
    }

    #[test]
    fn sentences_name_the_faster_mode_first() {
        let mut difference = Difference {
            figure: Figure::Turn,
            mode: "sse_keep_alive".to_owned(),
            than: "websocket_incremental".to_owned(),
            mean_ms: 43.1,
            low_ms: 40.2,
            high_ms: 46.0,
            confidence: 0.99,
            unit: super::super::summary::ComparisonUnit::Conversation,
            shown: true,
        };
        assert_eq!(
            sentence(&difference),
            "A turn takes 43.1 ms less over WebSocket, incremental, than over SSE, kept connection \
             (99 % interval 40.2 to 46.0 ms)."
        );
        difference.figure = Figure::FirstEvent;
        (difference.mean_ms, difference.low_ms, difference.high_ms) = (-2.0, -3.0, -1.0);
        assert_eq!(
            sentence(&difference),
            "The first event comes 2.00 ms earlier over SSE, kept connection, than over WebSocket, \
             incremental (99 % interval 1.00 to 3.00 ms)."
        );
        (difference.figure, difference.shown) = (Figure::FirstText, false);
        difference.high_ms = 0.5;
        assert_eq!(
            sentence(&difference),
            "No difference was shown between WebSocket, incremental and SSE, kept connection in \
             the time to the first text (99 % interval -3.00 to 0.50 ms)."
        );
    }
}
