//! What the example prints: a table for people, or JSON lines.

use std::time::Duration;

use responses_client::report::{Plan, TurnReport};
use serde_json::{Value, json};

use super::{Summary, agent::Turn};

pub(crate) fn heading() {
    println!(
        "{:>4}  {:<9}  {:<6}  {:<34}  {:>5}  {:>7}  {:>9}  {:>9}",
        "turn", "transport", "reused", "plan", "new", "bytes", "first", "total"
    );
}

pub(crate) fn row(turn: &Turn) {
    let report = &turn.report;
    let warning = if turn.same_history == Some(false) { "  HISTORY DIFFERS" } else { "" };
    println!(
        "{:>4}  {:<9}  {:<6}  {:<34}  {:>5}  {:>7}  {:>9}  {:>9}{warning}",
        turn.number,
        transport(report),
        if report.reused { "yes" } else { "no" },
        plan(report),
        new_items(report).map_or_else(|| "all".to_owned(), |n| n.to_string()),
        report.bytes_sent,
        time(report.timings.first_event),
        time(report.timings.done),
    );
}

pub(crate) fn json_line(mode: &str, turn: &Turn) {
    let report = &turn.report;
    let line = json!({
        "mode": mode,
        "turn": turn.number,
        "transport": transport(report),
        "reused": report.reused,
        "plan": if new_items(report).is_some() { "incremental" } else { "full" },
        "reason": reason(report),
        "new_items": new_items(report),
        "bytes_sent": report.bytes_sent,
        "bytes_received": report.bytes_received,
        "first_event_ms": milliseconds(report.timings.first_event),
        "total_ms": milliseconds(report.timings.done),
        "same_history": turn.same_history,
    });
    println!("{line}");
}

pub(crate) fn summary(runs: &[Summary], same_output: Option<bool>) {
    println!(
        "{:<9}  {:>5}  {:>11}  {:>10}  {:>11}  {:>12}  {:>12}",
        "mode", "turns", "connections", "full sends", "bytes sent", "median first", "median turn"
    );
    for run in runs {
        println!(
            "{:<9}  {:>5}  {:>11}  {:>10}  {:>11}  {:>12}  {:>12}",
            run.mode,
            run.turns,
            run.connections,
            run.full_sends,
            run.bytes_sent,
            time(median(&run.first)),
            time(median(&run.total)),
        );
    }
    if let Some(first) = runs.first().filter(|run| run.bytes_sent > 0) {
        for run in runs.iter().skip(1) {
            let ratio = run.bytes_sent as f64 / first.bytes_sent as f64;
            println!("{} sent {ratio:.1} times the bytes of {}", run.mode, first.mode);
        }
    }
    match same_output {
        Some(true) => {
            println!("All gave the same output, and the server always had the same history.")
        }
        Some(false) => println!("THE OUTPUTS OR HISTORIES DIFFER."),
        None => {}
    }
}

pub(crate) fn json_summary(runs: &[Summary], same_output: Option<bool>) {
    let mut summary = serde_json::Map::new();
    for run in runs {
        let figures = json!({
            "turns": run.turns,
            "connections": run.connections,
            "full_sends": run.full_sends,
            "bytes_sent": run.bytes_sent,
            "median_first_event_ms": milliseconds(median(&run.first)),
            "median_turn_ms": milliseconds(median(&run.total)),
        });
        summary.insert(run.mode.to_owned(), figures);
    }
    summary.insert("same_output".to_owned(), same_output.map_or(Value::Null, Value::from));
    println!("{}", json!({ "summary": summary }));
}

fn transport(report: &TurnReport) -> &'static str {
    report.transport.map_or("none", |transport| transport.as_str())
}

fn plan(report: &TurnReport) -> String {
    match &report.plan {
        Some(Plan::Full(reason)) => format!("full: {reason}"),
        Some(_) => "incremental".to_owned(),
        None => "nothing sent".to_owned(),
    }
}

fn reason(report: &TurnReport) -> Option<&'static str> {
    match &report.plan {
        Some(Plan::Full(reason)) => Some(reason.as_str()),
        _ => None,
    }
}

fn new_items(report: &TurnReport) -> Option<usize> {
    match report.plan {
        Some(Plan::Incremental { new_items, .. }) => Some(new_items),
        _ => None,
    }
}

fn median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).copied()
}

fn milliseconds(time: Option<Duration>) -> Option<f64> {
    time.map(|time| (time.as_secs_f64() * 1e6).round() / 1e3)
}

fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.2} ms", time.as_secs_f64() * 1e3))
}
