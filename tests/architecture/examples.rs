//! Checks that the docs of the types that callers name have an example.

use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn each_type_at_the_root_has_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(root.join("lib.rs")).expect("the root");
    let mut names = BTreeSet::new();
    for exported in lib.split("pub use ").skip(1) {
        let statement = exported.split(';').next().unwrap_or_default();
        let words = statement.split(|c: char| !c.is_alphanumeric() && c != '_');
        names.extend(words.filter(|word| word.starts_with(char::is_uppercase)));
    }
    assert!(names.len() > 30, "{names:?}");
    let mut sources = Vec::new();
    read_sources(&root, &mut sources);
    for name in names {
        let docs = sources.iter().find_map(|source| docs_of(source, name));
        let docs = docs.unwrap_or_else(|| panic!("no definition of {name}"));
        assert!(docs.iter().any(|line| line.contains("```")), "{name} has no example");
    }
}

/// Returns the docs of the type `name` in `source`, if `source` defines it.
fn docs_of<'a>(source: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let defined = |line: &&str| {
        ["struct", "enum", "trait", "type"].iter().any(|kind| {
            let rest = line.strip_prefix(&format!("pub {kind} {name}"));
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    };
    let at = lines.iter().position(defined)?;
    let above = lines.get(..at)?.iter().rev();
    let attached = above.take_while(|line| !line.is_empty() && !matches!(**line, "}" | ")}"));
    Some(attached.copied().filter(|line| line.starts_with("///")).collect())
}

fn read_sources(folder: &Path, sources: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|it| it == "rs") {
            sources.push(fs::read_to_string(&path).expect("a source file"));
        }
    }
}
