//! The page on the doctor lists the ids of all findings.

use std::{collections::BTreeSet, fs, path::Path};

/// Short texts in the sources of the doctor that are not ids.
const OTHER: [&str; 13] = [
    "are",
    "certificate",
    "connected",
    "fail",
    "is",
    "json",
    "limit",
    "localhost",
    "note",
    "ok",
    "snake_case",
    "socks",
    "sse",
];
/// Ids of the steps of a connection, which the library names.
const STEPS: [&str; 5] = ["dns", "proxy", "proxy_tls", "tcp", "tls"];

/// Returns the ids in the first column of the tables of the page.
fn listed(page: &str) -> BTreeSet<&str> {
    let tables = page.split("\n## ").skip(1);
    let rows = tables.flat_map(str::lines).filter(|line| line.starts_with("| `"));
    let columns = rows.filter_map(|row| row.split('|').nth(1));
    columns.flat_map(|column| column.split('`').skip(1).step_by(2)).collect()
}

/// Returns the texts that look like ids in a source, without its tests.
fn ids_in(source: &str) -> Vec<String> {
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    let is_id = |text: &&str| {
        !text.is_empty() && text.chars().all(|it| it.is_ascii_lowercase() || it == '_')
    };
    let code = product.lines().filter(|line| !line.trim_start().starts_with("//"));
    let texts = code.flat_map(|line| line.split('"').skip(1).step_by(2).collect::<Vec<_>>());
    texts.filter(is_id).map(str::to_owned).collect()
}

#[test]
fn c183_the_page_on_the_doctor_lists_each_id() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/doctor.md")).unwrap();
    let mut ids: BTreeSet<String> = STEPS.map(str::to_owned).into();
    for file in fs::read_dir(root.join("src/bin/responses/doctor")).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        ids.extend(ids_in(&source).into_iter().filter(|id| !OTHER.contains(&id.as_str())));
    }
    let ids: BTreeSet<_> = ids.iter().map(String::as_str).collect();
    assert_eq!(listed(&page), ids);
}

/// Returns the texts in the tests of a source that are an id, or a status and an id.
fn tested_in(source: &str) -> Vec<&str> {
    let texts = source.lines().flat_map(|line| line.split('"').skip(1).step_by(2));
    let id = |text| {
        let statuses = ["ok ", "note ", "limit ", "fail "];
        statuses.iter().find_map(|status| str::strip_prefix(text, status)).unwrap_or(text)
    };
    texts.map(id).collect()
}

#[test]
fn c183_each_id_on_the_page_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/doctor.md")).unwrap();
    let mut tested = BTreeSet::new();
    for folder in ["src/bin/responses/doctor", "tests/process/doctor"] {
        for file in fs::read_dir(root.join(folder)).unwrap() {
            let path = file.unwrap().path();
            let source = fs::read_to_string(&path).unwrap();
            let tests = match folder.starts_with("src") {
                true => source.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests),
                false if path.ends_with("page.rs") => "",
                false => &source,
            };
            tested.extend(tested_in(tests).into_iter().map(str::to_owned));
        }
    }
    let missing: Vec<_> = listed(&page).into_iter().filter(|id| !tested.contains(*id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
