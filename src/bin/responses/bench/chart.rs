//! Charts of a run, as SVG files that are readable on light and on dark pages.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    plot::{self, Axis, Plot},
    sample::{ModeRun, title_of},
    stats::{nearest_rank, sorted},
    summary::{ModeSummary, Summary, Sweep, TurnSummary, in_ms},
    table::{FigureUnit, Scale},
};
use crate::stop::Stop;

/// Chart: stem of its file name, and its SVG.
pub(crate) type Chart = (&'static str, String);

/// Most dots of a mode in the chart of the distribution.
const MAX_DOTS: usize = 400;

/// Draws the charts of a run: the distribution of turn times, turn time by turn, bytes sent by
/// turn, and with a sweep the time of the first event by the property that varies.
pub(crate) fn charts(runs: &[ModeRun], summary: &Summary) -> Result<Vec<Chart>, Stop> {
    let draw = || -> Result<Vec<Chart>, plot::Error> {
        let mut charts = vec![
            ("turn-times", turn_times(runs)?),
            ("turn-time-by-turn", turn_time_by_turn(summary)?),
            ("bytes-sent-by-turn", bytes_sent_by_turn(summary)?),
        ];
        if let Some(sweep) = &summary.sweep {
            charts.push(("first-event-by-setting", first_event_by_setting(summary, sweep)?));
        }
        Ok(charts)
    };
    draw().map_err(|error| Stop::Bad(format!("could not draw the charts: {error}")))
}

/// Makes the folder of the charts if it is missing, and checks that files can be written to it.
pub(crate) fn check_folder(folder: &Path) -> Result<(), Stop> {
    let bad = |doing, error| {
        Stop::Bad(format!(
            "could not {doing} the folder of the charts, {}: {error}",
            folder.display()
        ))
    };
    fs::create_dir_all(folder).map_err(|error| bad("make", error))?;
    let probe = folder.join(format!(".responses-bench-{}", std::process::id()));
    fs::write(&probe, "").and_then(|()| fs::remove_file(&probe)).map_err(|it| bad("write to", it))
}

/// Writes the charts to a folder that exists. Returns the paths of the files.
pub(crate) fn write(folder: &Path, charts: &[Chart]) -> Result<Vec<PathBuf>, Stop> {
    let write_one = |(stem, svg): &Chart| {
        let path = folder.join(format!("{stem}.svg"));
        match fs::write(&path, svg) {
            Ok(()) => Ok(path),
            Err(it) => Err(Stop::Bad(format!("could not write {}: {it}", path.display()))),
        }
    };
    charts.iter().map(write_one).collect()
}

/// Draws the time of each turn as a dot, with a box from the lower to the upper quartile and a
/// line at the median. Each mode has a band of its own.
fn turn_times(runs: &[ModeRun]) -> Result<String, plot::Error> {
    let times: Vec<Vec<f64>> =
        runs.iter().map(|run| sorted(run.samples.iter().map(|it| in_ms(it.total)))).collect();
    let (scale, end) = scale_of(FigureUnit::Ms, times.iter().flatten().copied());
    let bands = runs.len() as f64;
    let mut svg = String::new();
    let mut plot = Plot::with_bands(
        &mut svg,
        "Turn times: each turn a dot; box: middle half, line: median",
        Axis { label: format!("turn time ({})", scale.suffix), range: 0.0..end, numbers: 12 },
        &runs.iter().map(|it| title_of(&it.label)).collect::<Vec<_>>(),
    )?;
    for (index, times) in times.iter().enumerate() {
        let middle = bands - 0.5 - index as f64;
        let scaled = |share| nearest_rank(times, share).map(|it| scale.scaled(it));
        let step = times.len().div_ceil(MAX_DOTS).max(1);
        // From the last, so that the slowest turn is always shown.
        for (number, time) in times.iter().rev().step_by(step).enumerate() {
            // The golden ratio spreads the dots evenly, and in the same way in each run.
            let spread = (number as f64 * 0.618_034).fract() - 0.5;
            plot.dot(index, (scale.scaled(*time), middle + 0.6 * spread))?;
        }
        let quartiles = (scaled(0.25), scaled(0.5), scaled(0.75));
        if let (Some(lower), Some(median), Some(upper)) = quartiles {
            let (bottom, top) = (middle - 0.36, middle + 0.36);
            let corners =
                [(lower, bottom), (lower, top), (upper, top), (upper, bottom), (lower, bottom)];
            plot.path(index, 2, &corners)?;
            plot.path(index, 5, &[(median, bottom), (median, top)])?;
        }
    }
    plot.finish()?;
    Ok(plot::with_style(svg))
}

fn turn_time_by_turn(summary: &Summary) -> Result<String, plot::Error> {
    let title = "Turn time by turn";
    by_turn(summary, title, "median turn time", FigureUnit::Ms, |it| it.turn_ms)
}

fn bytes_sent_by_turn(summary: &Summary) -> Result<String, plot::Error> {
    let title = "Bytes sent up to each turn";
    by_turn(summary, title, "sent since the first turn", FigureUnit::Bytes, |it| {
        it.cumulative_bytes_up as f64
    })
}

fn by_turn(
    summary: &Summary,
    title: &str,
    label: &str,
    unit: FigureUnit,
    figure: fn(&TurnSummary) -> f64,
) -> Result<String, plot::Error> {
    let line =
        |mode: &ModeSummary| mode.by_turn.iter().map(|it| (it.turn as f64, figure(it))).collect();
    let lines = summary.modes.iter().map(|(label, mode)| (title_of(label), line(mode))).collect();
    let turns = summary
        .modes
        .iter()
        .filter_map(|(_, it)| it.by_turn.last())
        .map(|it| it.turn)
        .max()
        .unwrap_or(1);
    let range = 0.5..turns as f64 + 0.5;
    let x = Axis { label: "turn".to_owned(), range, numbers: turns.min(12) };
    lines_of(title, x, (label, unit), lines)
}

fn first_event_by_setting(summary: &Summary, sweep: &Sweep) -> Result<String, plot::Error> {
    let line = |label: &str| {
        let point =
            |it: &super::summary::SweepPoint| Some((it.value, *it.first_event_ms.get(label)?));
        sweep.points.iter().filter_map(point).collect()
    };
    let lines = summary.modes.iter().map(|(label, _)| (title_of(label), line(label))).collect();
    let end = sweep.points.iter().map(|it| it.value).fold(0.0, f64::max);
    let (title, label) = match sweep.variable.as_str() {
        "rtt_ms" => ("First event by round-trip time", "round-trip time (ms)"),
        other => ("First event by setting", other),
    };
    let range = 0.0..if end > 0.0 { end * 1.03 } else { 1.0 };
    let x = Axis { label: label.to_owned(), range, numbers: 12 };
    lines_of(title, x, ("median time to the first event", FigureUnit::Ms), lines)
}

/// Name of a mode, and the points of its line.
type Line = (String, Vec<(f64, f64)>);

/// Draws one line for each mode.
fn lines_of(
    title: &str,
    x: Axis,
    (label, unit): (&str, FigureUnit),
    lines: Vec<Line>,
) -> Result<String, plot::Error> {
    let (scale, end) =
        scale_of(unit, lines.iter().flat_map(|(_, points)| points.iter().map(|it| it.1)));
    let y = Axis { label: format!("{label} ({})", scale.suffix), range: 0.0..end, numbers: 8 };
    let names: Vec<String> = lines.iter().map(|(name, _)| name.clone()).collect();
    let mut svg = String::new();
    let mut plot = Plot::with_legend(&mut svg, title, x, y, &names)?;
    for (index, (_, points)) in lines.iter().enumerate() {
        let points: Vec<_> = points.iter().map(|(x, y)| (*x, scale.scaled(*y))).collect();
        plot.line(index, &points)?;
    }
    plot.finish()?;
    Ok(plot::with_style(svg))
}

/// Returns the scale of an axis for `values`, and the scaled end of the axis.
fn scale_of(unit: FigureUnit, values: impl Iterator<Item = f64>) -> (Scale, f64) {
    let greatest = values.fold(0.0, f64::max);
    let scale = Scale::of(unit, greatest);
    (scale, if greatest > 0.0 { scale.scaled(greatest) * 1.05 } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{made_up, sample::SECOND},
        *,
    };

    fn drawn(runs: &[ModeRun], summary: &Summary) -> Vec<Chart> {
        charts(runs, summary).ok().unwrap()
    }

    /// Checks that the tags of `svg` are balanced, and that the text has no bare `<` or `&`.
    fn check_xml(svg: &str) {
        let mut open = Vec::new();
        for piece in svg.split('<').skip(1) {
            let (tag, text) = piece.split_once('>').unwrap();
            assert!(!text.contains('&') || text.contains("&amp;"), "{text}");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if tag.ends_with('/') => {}
                None => open.push(tag.split(' ').next().unwrap()),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn charts_have_titles_units_and_each_mode() {
        let runs = made_up::runs();
        let charts = drawn(&runs, &made_up::summary());
        let labels = [
            ("turn-times", "turn time (ms)", "Turn times"),
            ("turn-time-by-turn", "median turn time (ms)", "Turn time by turn"),
            ("bytes-sent-by-turn", "sent since the first turn (MB)", "Bytes sent"),
            ("first-event-by-setting", "round-trip time (ms)", "First event by round-trip time"),
        ];
        assert_eq!(charts.len(), labels.len());
        for ((stem, svg), (expected, label, title)) in charts.iter().zip(labels) {
            assert_eq!(*stem, expected);
            assert!(svg.contains(&format!(">\n{label}\n</text>")), "{stem}");
            assert!(svg.contains(&format!(">\n{title}")), "{stem}");
            for (run, color) in runs.iter().zip(["0072B2", "D55E00", "009E73", "CC79A7"]) {
                assert_eq!(svg.matches(&format!(">\n{}\n", run.mode.title())).count(), 1, "{stem}");
                let drawn = svg.matches(&format!("\"#{color}\"")).count();
                assert!(drawn >= 7, "{stem} draws {} in {drawn} places", run.mode.title());
            }
            check_xml(svg);
        }
    }

    #[test]
    fn each_rule_for_dark_pages_matches_an_element() {
        for (stem, svg) in drawn(&made_up::runs(), &made_up::summary()) {
            let (style, body) = svg.split_once("</style>").unwrap();
            assert!(style.contains("(prefers-color-scheme: dark)"));
            let rules: Vec<&str> = style
                .lines()
                .filter_map(|it| it.trim().strip_prefix('[')?.split(']').next())
                .collect();
            assert_eq!(rules.len(), 9);
            for rule in rules {
                assert!(body.contains(&format!(" {rule}")), "{stem} has nothing with {rule}");
            }
            assert!(!body.contains("#FFFFFF") && !body.contains("#000000"), "{stem}");
        }
    }

    #[test]
    fn the_legend_is_above_the_data() {
        let (_, svg) = drawn(&made_up::runs(), &made_up::summary()).remove(1);
        let heights: Vec<i32> = svg
            .lines()
            .filter_map(|it| it.strip_prefix("<circle ")?.split("cy=\"").nth(1)?.split('"').next())
            .map(|it| it.parse().unwrap())
            .collect();
        let (legend, data) = heights.split_first().unwrap();
        assert_eq!(data.len(), 20);
        assert!(data.iter().all(|it| *it > legend + 20), "{heights:?}");
    }

    #[test]
    fn small_and_odd_runs_have_charts() {
        let mut runs = made_up::runs();
        let label = format!("{}{SECOND}", runs[0].label);
        runs.push(ModeRun { label, ..runs[0].clone() });
        let charts = drawn(&runs, &made_up::summary_of(&runs));
        assert_eq!(charts.len(), 3, "no sweep");
        assert!(charts.iter().all(|(_, svg)| svg.contains("\nWebSocket, incremental (2)\n")));

        runs.iter_mut().for_each(|it| it.samples.truncate(1));
        runs[1].samples.clear();
        let charts = drawn(&runs, &made_up::summary_of(&runs));
        charts.iter().for_each(|(_, svg)| check_xml(svg));
        assert!(charts.iter().all(|(_, svg)| !svg.contains("NaN") && !svg.contains("inf")));
        assert_eq!(drawn(&[], &made_up::summary_of(&[])).len(), 3);
    }

    #[test]
    fn a_long_run_has_few_dots_and_its_slowest_turn() {
        let mut runs = made_up::runs();
        runs.truncate(1);
        let samples = runs[0].samples.clone();
        runs[0].samples = samples.iter().cycle().take(5_000).cloned().collect();
        runs[0].samples[7].total *= 50;
        let (_, svg) = drawn(&runs, &made_up::summary_of(&runs)).remove(0);
        assert!((300..=MAX_DOTS).contains(&svg.matches("<circle").count()));
        let xs = svg.lines().filter_map(|it| it.strip_prefix("<circle cx=\"")?.split('"').next());
        assert!(xs.map(|it| it.parse::<i32>().unwrap()).max().unwrap() > 800);
    }

    #[test]
    fn charts_are_written_to_a_folder_that_is_made() {
        let folder = std::env::temp_dir().join(format!("bench-charts-{}", std::process::id()));
        let inner = folder.join("made/for/it");
        assert!(check_folder(&inner).is_ok());
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
        let paths = write(&inner, &[("a", "<svg/>".to_owned())]).ok().unwrap();
        assert_eq!(paths, [inner.join("a.svg")]);
        assert_eq!(fs::read_to_string(&paths[0]).unwrap(), "<svg/>");

        let Err(Stop::Bad(why)) = check_folder(&paths[0].join("below")) else { panic!("no error") };
        assert!(why.starts_with("could not make the folder of the charts, "), "{why}");
        assert!(why.contains("a.svg/below: "), "{why}");
        let missing = inner.join("missing");
        let Err(Stop::Bad(why)) = write(&missing, &[("a", String::new())]) else {
            panic!("no error")
        };
        assert!(why.starts_with(&format!("could not write {}: ", missing.join("a.svg").display())));
        fs::remove_dir_all(folder).unwrap();
    }
}
