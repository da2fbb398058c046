//! The table of outcomes in `docs/network.md`.

use std::fs;

use super::{case::Case, run::Seen};

/// The document.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/network.md");
/// Lines around the rows.
const BEGIN: &str = "<!-- rows of tests/peers/middleboxes: begin -->";
const END: &str = "<!-- rows of tests/peers/middleboxes: end -->";
const HEAD: &str = "\
| program | configuration | `Auto` ends on | attempts | SSE alone | Codex ends on | first event or \
error after | Codex ends after |
|---|---|---|---|---|---|---|---|";
/// Number of columns that are compared; the others are times.
const COMPARED: usize = 6;
/// Variable that asks for the rows to be written.
const WRITE: &str = "RESPONSES_CLIENT_WRITE_TABLE";

/// Returns the row of a case.
pub(super) fn row(name: &str, case: &Case, seen: &Seen) -> String {
    let codex = seen.codex.as_ref();
    let cells = [
        name.to_owned(),
        case.setup.to_owned(),
        seen.ends.clone(),
        seen.attempts.clone(),
        seen.sse.clone(),
        codex.map_or_else(|| "–".to_owned(), |codex| codex.ends()),
        match seen.time {
            long if long.as_secs() > 0 => format!("{:.1} s", long.as_secs_f64()),
            short => format!("{} ms", short.as_millis()),
        },
        codex.map_or_else(|| "–".to_owned(), |codex| codex.time()),
    ];
    format!("| {} |", cells.join(" | "))
}

/// Compares the rows of a program with those in the document, or writes them there.
pub(super) fn check(name: &str, rows: &[String]) {
    let text = fs::read_to_string(FILE).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    let written: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    if std::env::var_os(WRITE).is_some() {
        let is_ours = |row: &str| compared(row)[0] == name;
        let mut all: Vec<&str> = written.iter().copied().filter(|row| !is_ours(row)).collect();
        all.extend(rows.iter().map(String::as_str));
        // Stable, so that the cases of a program keep their order.
        all.sort_by_key(|row| compared(row)[0].to_owned());
        let all = all.join("\n");
        fs::write(FILE, format!("{before}{BEGIN}\n{HEAD}\n{all}\n{END}{after}")).unwrap();
        return;
    }
    let written: Vec<_> = written.into_iter().map(compared).filter(|row| row[0] == name).collect();
    let rows: Vec<_> = rows.iter().map(|row| compared(row)).collect();
    assert_eq!(rows, written, "docs/network.md differs; {WRITE}=1 writes these rows there");
}

/// Returns the programs in the document, each once.
pub(super) fn programs() -> Vec<String> {
    let text = fs::read_to_string(FILE).unwrap();
    let (_, rest) = text.split_once(BEGIN).unwrap();
    let (table, _) = rest.split_once(END).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut names: Vec<_> = rows.map(|row| compared(row)[0].to_owned()).collect();
    names.dedup();
    names
}

fn compared(row: &str) -> Vec<&str> {
    let cells = row.trim_matches('|').split(" | ").map(str::trim);
    cells.take(COMPARED).collect()
}
