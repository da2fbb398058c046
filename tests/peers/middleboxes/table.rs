//! The tables of outcomes in `docs/network.md`.

use std::fs;

use super::{
    beside::{Beside, in_words},
    case::Case,
    run::Seen,
};

/// The document.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/network.md");
/// Variable that asks for the rows to be written.
const WRITE: &str = "RESPONSES_CLIENT_WRITE_TABLE";

/// Table of the document, between two marks.
struct Table {
    name: &'static str,
    head: &'static str,
    /// Number of columns that are compared; the others are times.
    compared: usize,
}

const TABLES: [Table; 2] = [
    Table {
        name: "sessions",
        head: "| program | configuration | `Auto` ends on | attempts | SSE alone | doctor | first \
               event or error after |\n|---|---|---|---|---|---|---|",
        compared: 6,
    },
    Table {
        name: "Codex",
        head: "| program | configuration | the crate ends on | Codex ends on | the crate ends \
               after | Codex ends after |\n|---|---|---|---|---|---|",
        compared: 4,
    },
];

/// Returns `true` if the rows are written to the document, whose times nothing may disturb.
pub(super) fn is_written() -> bool {
    std::env::var_os(WRITE).is_some()
}

/// Returns the rows of a case, one for each table.
pub(super) fn rows(name: &str, case: &Case, seen: &Seen, beside: &Beside) -> [String; 2] {
    let sessions = [
        name,
        case.setup,
        &seen.ends,
        &seen.attempts,
        &seen.sse,
        &seen.verdict.cell(),
        &in_words(seen.time),
    ];
    let Beside { ours, codex } = beside;
    let codex = [name, case.setup, ours.ends(), codex.ends(), &ours.time(), &codex.time()];
    [sessions.join(" | "), codex.join(" | ")].map(|cells| format!("| {cells} |"))
}

/// Compares the rows of a program with those in the document, or writes them there.
pub(super) fn check(name: &str, rows: &[[String; 2]]) {
    for (index, table) in TABLES.iter().enumerate() {
        let rows: Vec<&str> = rows.iter().map(|row| row[index].as_str()).collect();
        let text = fs::read_to_string(FILE).unwrap();
        let (before, written, after) = table.split(&text);
        if is_written() {
            let mut all: Vec<&str> = written.lines().skip(3).collect();
            all.retain(|row| table.compared(row)[0] != name);
            all.extend(rows);
            // Stable, so that the cases of a program keep their order.
            all.sort_by_key(|row| table.compared(row)[0].to_owned());
            let all = format!("\n{}\n{}\n", table.head, all.join("\n"));
            fs::write(FILE, format!("{before}{all}{after}")).unwrap();
            continue;
        }
        let mut written: Vec<_> = table.rows(written);
        written.retain(|row| row[0] == name);
        let rows: Vec<_> = rows.iter().map(|row| table.compared(row)).collect();
        assert_eq!(rows, written, "docs/network.md differs; {WRITE}=1 writes these rows there");
    }
}

/// Asserts that the tables have the rows of these programs, in this order.
pub(super) fn check_programs(names: &[&str]) {
    let text = fs::read_to_string(FILE).unwrap();
    for table in TABLES {
        let (_, written, _) = table.split(&text);
        let mut programs: Vec<_> = table.rows(written).iter().map(|row| row[0]).collect();
        programs.dedup();
        assert_eq!(programs, names, "{}", table.name);
    }
}

impl Table {
    /// Returns the document before, in and after the table.
    fn split<'a>(&self, text: &'a str) -> (&'a str, &'a str, &'a str) {
        let mark = |word| format!("<!-- {} of tests/peers/middleboxes: {word} -->", self.name);
        let begin = text.find(&mark("begin")).unwrap() + mark("begin").len();
        let end = text.find(&mark("end")).unwrap();
        (&text[..begin], &text[begin..end], &text[end..])
    }

    /// Returns the compared cells of each row of the table.
    fn rows<'a>(&self, written: &'a str) -> Vec<Vec<&'a str>> {
        // A line break, and the two lines of the head.
        written.lines().skip(3).map(|row| self.compared(row)).collect()
    }

    fn compared<'a>(&self, row: &'a str) -> Vec<&'a str> {
        let cells = row.trim_matches('|').split(" | ").map(str::trim);
        cells.take(self.compared).collect()
    }
}
