//! Checks that the pages of the documentation name files and modules that exist.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::LAYERS;

/// Folders of the repository whose files the pages name by their path from its root.
const FOLDERS: &[&str] = &[".ci", "benches", "docs", "examples", "fuzz", "src", "tests"];

#[test]
fn the_page_on_architecture_names_each_layer() {
    let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let is_named = |layer: &&&str| page.contains(&format!("`{layer}`"));
    let missing: Vec<_> = LAYERS.iter().filter(|layer| !is_named(layer)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn files_that_the_pages_name_exist() {
    // A published package lacks some of them.
    if !root().join(".ci").exists() {
        return;
    }
    let mut named = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for path in linked(&text).map(|link| page.with_file_name(link)).chain(quoted(&text)) {
            assert!(path.exists(), "{}: {}", page.display(), path.display());
            named += 1;
        }
    }
    assert!(named > 50, "{named}");
}

#[test]
fn the_page_on_observability_has_the_lines_of_its_example() {
    // A published package lacks the example.
    let Ok(example) = fs::read_to_string(root().join("examples/opentelemetry/src/main.rs")) else {
        return;
    };
    let page = fs::read_to_string(root().join("docs/observability.md")).unwrap();
    let block = page.split("```rs\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let indented: String = block.lines().map(|line| format!("    {line}\n")).collect();
    assert!(example.contains(&indented), "{indented}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the pages in the root of the repository and in `docs`, but for the guide: it is part of the
/// API's documentation, and rustdoc checks its links.
fn pages() -> Vec<PathBuf> {
    let files =
        [root().to_owned(), root().join("docs")].map(|folder| fs::read_dir(folder).unwrap());
    let paths = files.into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_page = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "md") && !path.ends_with("guide.md")
    };
    paths.filter(is_page).collect()
}

/// Returns the targets of links to other files.
fn linked(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let files = targets.filter_map(|target| target.split('#').next());
    files.filter(|file| !file.is_empty() && !file.contains("://"))
}

/// Returns the paths in inline code: from the root of the repository, or from `src`.
fn quoted(text: &str) -> impl Iterator<Item = PathBuf> {
    let prose = text.split("```").step_by(2);
    let code = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2));
    code.flat_map(str::split_whitespace).filter_map(|word| {
        let (folder, _) = word.split_once('/')?;
        let in_source = || LAYERS.contains(&folder).then(|| root().join("src").join(word));
        if FOLDERS.contains(&folder) { Some(root().join(word)) } else { in_source() }
    })
}
