//! Holds `BEHAVIOURS.md` against the tests: each test that is named after a behaviour is listed
//! there, and each test that is listed there exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// A line of the list: a behaviour, and the paths of the tests that show it.
struct Row<'a> {
    id: &'a str,
    is_planned: bool,
    sentence: &'a str,
    tests: Vec<&'a str>,
}

/// Returns the rows of the list, which look like ``- **C001** One sentence. `path::of_a_test` ``.
fn rows(list: &str) -> Vec<Row<'_>> {
    let (built, planned) = list.split_once("\n# Planned\n").expect("two chapters");
    let mut rows = Vec::new();
    for (chapter, is_planned) in [(built, false), (planned, true)] {
        for line in chapter.lines().filter_map(|line| line.strip_prefix("- **")) {
            let (id, text) = line.split_once("** ").expect("an id");
            // Names in the sentence stand before its full stop.
            let (sentence, tests) = text.split_once(". `").unwrap_or((text, ""));
            let tests = tests.split('`').step_by(2).filter(|name| !name.is_empty()).collect();
            rows.push(Row { id, is_planned, sentence, tests });
        }
    }
    rows
}

/// Adds the paths of all tests in the Rust files of `folder`, whose module is `module`.
fn find_tests(folder: &Path, module: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            find_tests(&path, &format!("{module}{stem}::"), found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let source = fs::read_to_string(&path).expect("a text");
            let is_root = ["main", "mod", "lib"].contains(&&*stem);
            let module = if is_root { module.to_owned() } else { format!("{module}{stem}::") };
            find_tests_in(&source, &module, found);
        }
    }
}

fn find_tests_in(source: &str, module: &str, found: &mut BTreeSet<String>) {
    let (mut inner, mut is_test) = ("", false);
    for line in source.lines() {
        if let Some(name) = line.strip_prefix("mod ").and_then(|it| it.strip_suffix(" {")) {
            inner = name;
        } else if line == "}" {
            inner = "";
        }
        let line = line.trim_start();
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if is_test && let Some((_, rest)) = line.split_once("fn ") {
            let name: String = rest.chars().take_while(|it| *it != '(').collect();
            let inner = if inner.is_empty() { String::new() } else { format!("{inner}::") };
            found.insert(format!("{module}{inner}{name}"));
            is_test = false;
        }
    }
}

/// Returns the ids in the name of a test: C036 and C047 for `replay::c036_c047_a_close`.
fn ids(path: &str) -> Vec<String> {
    let name = path.rsplit("::").next().unwrap_or(path);
    let is_id = |part: &&str| {
        part.len() == 4
            && part.strip_prefix('c').is_some_and(|it| it.bytes().all(|it| it.is_ascii_digit()))
    };
    name.split('_').take_while(is_id).map(str::to_uppercase).collect()
}

#[test]
fn the_list_of_behaviours_is_that_of_the_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    find_tests(&root.join("src"), "lib::", &mut tests);
    find_tests(&root.join("tests"), "", &mut tests);
    assert!(tests.len() > 500, "only {} tests were found", tests.len());

    let list = fs::read_to_string(root.join("tests/conformance/BEHAVIOURS.md")).expect("the list");
    let mut faults = Vec::new();
    let mut listed: BTreeMap<&str, Row> = BTreeMap::new();
    for row in rows(&list) {
        let Row { id, is_planned, sentence, tests: named } = &row;
        if sentence.len() < 20 {
            faults.push(format!("{id} needs a sentence"));
        }
        if *is_planned != named.is_empty() {
            faults.push(format!("{id} must name its tests, or be planned"));
        }
        let unknown = named.iter().filter(|it| !tests.contains(**it));
        faults.extend(unknown.map(|it| format!("{id} names a test that does not exist: {it}")));
        if let Some(earlier) = listed.insert(id, row) {
            faults.push(format!("{} is listed twice", earlier.id));
        }
    }
    for path in &tests {
        for id in ids(path) {
            if !listed.get(&*id).is_some_and(|row| row.tests.contains(&&**path)) {
                faults.push(format!("{id} does not name its test `{path}`"));
            }
        }
    }
    assert!(faults.is_empty(), "tests/conformance/BEHAVIOURS.md:\n{}", faults.join("\n"));
}
