//! Architecture of the crate: imports point down one list of layers, and no file and no module is
//! on a cycle.
//!
//! An edge is a path to an item that another file defines, with re-exports followed. Declarations
//! of modules and code under `#[cfg(test)]` do not count.

use std::{collections::BTreeSet, fs, path::Path, sync::LazyLock};

use graph::cycles;
use resolve::{Edges, Links, layer_of, links};
use tree::{File, Sources, Tree};

mod examples;
mod graph;
mod names;
mod pages;
mod resolve;
mod snippets;
mod tree;

/// Layers from the bottom up: a file imports its own layer and those below.
const LAYERS: &[&str] = &[
    "sync",
    "json",
    "format",
    "kind",
    "api",
    "config",
    "request",
    "event",
    "response",
    "report",
    "error",
    "proto",
    "auth",
    "net",
    "transport",
    "observe",
    "pool",
    "endpoint",
    "server",
    "testing",
    "session",
    "endpoints",
    "client",
    "internal",
    "lib",
    "bin",
];

/// Crates and keywords that do not occur in `proto`, which has no IO, no clock and no randomness.
const NOT_IN_PROTO: &[&str] = &[
    "async",
    "await",
    "fastrand",
    "futures",
    "futures_util",
    "hyper",
    "hyper_util",
    "rand",
    "rustls",
    "tokio",
    "tokio_rustls",
    "tokio_tungstenite",
    "tracing",
    "tungstenite",
];

/// Crates and keywords that do not occur in the scripts of the test server, and in its model of
/// TCP, which have no IO.
const NOT_IN_SCRIPTS: &[&str] =
    &["async", "await", "futures_util", "hyper", "tokio", "tokio_tungstenite", "tungstenite"];

#[test]
fn no_file_is_on_a_cycle() {
    for (_, links) in crates() {
        let found = describe_cycles(&links.edges);
        assert!(found.is_empty(), "{found}");
    }
}

#[test]
fn no_module_is_on_a_cycle() {
    for (_, links) in crates() {
        let found = describe_cycles_of_modules(&links.edges);
        assert!(found.is_empty(), "{found}");
    }
}

#[test]
fn imports_point_down() {
    for (tree, links) in crates() {
        for file in &tree.files {
            assert!(LAYERS.contains(&layer_of(&file.path)), "no layer for {}", file.path);
        }
        let upward = upward(&links.edges, LAYERS);
        assert!(upward.is_empty(), "{upward:#?}");
    }
}

#[test]
fn items_are_imported_from_the_module_that_defines_them() {
    for (_, links) in crates() {
        assert!(links.detours.is_empty(), "{:#?}", links.detours);
    }
}

#[test]
fn every_path_into_the_crate_is_followed() {
    let (tree, links) = library();
    assert!(links.unresolved.is_empty(), "{:#?}", links.unresolved);
    let (files, edges) = (tree.files.len(), links.edges.len());
    assert!(files > 100 && edges > 600, "{files} files with {edges} edges");
    for (from, to, item) in [
        // By an import, by a macro's `$crate`, by a path in code, and by an item that a macro makes.
        ("error/failure.rs", "response/object.rs", "Response"),
        ("event/item/table.rs", "json/error.rs", "DecodeError"),
        ("event/define.rs", "json/reader.rs", "from_str"),
        ("proto/turn/reading.rs", "event/kinds.rs", "ResponseEvent"),
    ] {
        let items = links.edges.get(&(from.to_owned(), to.to_owned()));
        assert!(items.is_some_and(|items| items.contains(item)), "{from} -> {to}: {item}");
    }
}

#[test]
fn proto_has_no_io_no_clock_and_no_randomness() {
    let (tree, _) = library();
    let files: Vec<&File> = tree.files.iter().filter(|it| layer_of(&it.path) == "proto").collect();
    assert!(files.len() > 10);
    for file in files {
        let found = NOT_IN_PROTO.iter().find(|word| file.words.contains(**word));
        assert_eq!(found, None, "{}", file.path);
    }
    for mention in &tree.mentions {
        let path = &tree.files[mention.file].path;
        let names: Vec<_> = mention.segments.iter().map(String::as_str).collect();
        let is_outside = matches!(*names, [.., _, "now"] | ["std", "fs" | "net" | "thread", ..]);
        assert!(layer_of(path) != "proto" || !is_outside, "{path}: {names:?}");
    }
}

#[test]
fn transports_contain_no_json() {
    let (tree, links) = library();
    let of_transport = |file: &&File| layer_of(&file.path) == "transport";
    let files: Vec<&File> = tree.files.iter().filter(of_transport).collect();
    assert!(files.len() > 5);
    for file in files {
        assert!(!file.words.contains("serde_json"), "{}", file.path);
    }
    let mut ends = links.edges.keys().map(|(from, to)| (layer_of(from), layer_of(to)));
    assert!(!ends.any(|ends| ends == ("transport", "json")));
}

#[test]
fn scripts_are_pure_data_and_know_no_server() {
    let (tree, links) = library();
    let is_script = |path: &str| path.starts_with("testing/script/");
    let files: Vec<&File> = tree.files.iter().filter(|it| is_script(&it.path)).collect();
    assert!(files.len() > 20);
    for file in files {
        let found = NOT_IN_SCRIPTS.iter().find(|word| file.words.contains(**word));
        assert_eq!(found, None, "{}", file.path);
    }
    let is_server = |path: &str| path.starts_with("testing/server/");
    let backward = links.edges.keys().find(|(from, to)| is_script(from) && is_server(to));
    assert_eq!(backward, None);
}

#[test]
fn the_emulated_tcp_has_no_io_and_the_network_knows_no_server() {
    let (tree, links) = library();
    let is_model = |path: &str| path.starts_with("testing/network/tcp/");
    let files: Vec<&File> = tree.files.iter().filter(|it| is_model(&it.path)).collect();
    assert!(files.len() > 5);
    for file in files {
        let found = NOT_IN_SCRIPTS.iter().find(|word| file.words.contains(**word));
        assert_eq!(found, None, "{}", file.path);
    }
    let is_network = |path: &str| path.starts_with("testing/network/");
    let is_beside = |path: &str| path.starts_with("testing/") && !is_network(path);
    let sideways = links.edges.keys().find(|(from, to)| is_network(from) && is_beside(to));
    assert_eq!(sideways, None);
}

/// Returns the edges that point to a higher layer.
fn upward(edges: &Edges, layers: &[&str]) -> Vec<String> {
    let layer = |file: &str| layers.iter().position(|layer| *layer == layer_of(file));
    let upward = edges.iter().filter(|((from, to), _)| layer(from) < layer(to));
    upward.map(describe).collect()
}

/// Lists each cycle of files with the edges that tie it.
fn describe_cycles(edges: &Edges) -> String {
    list_cycles(edges, |file| file)
}

/// Lists each cycle of modules with the edges between files that tie it.
fn describe_cycles_of_modules(edges: &Edges) -> String {
    list_cycles(edges, layer_of)
}

fn list_cycles(edges: &Edges, node: impl Fn(&str) -> &str) -> String {
    let mut text = String::new();
    for cycle in cycles(edges.keys().map(|(from, to)| (node(from), node(to)))) {
        text.push_str(&format!("a cycle of {}:\n", cycle.len()));
        let ties = |from: &str, to: &str| from != to && cycle.contains(from) && cycle.contains(to);
        for edge in edges.iter().filter(|((from, to), _)| ties(node(from), node(to))) {
            text.push_str(&format!("  {}\n", describe(edge)));
        }
    }
    text
}

fn describe(((from, to), items): (&(String, String), &BTreeSet<String>)) -> String {
    let items: Vec<_> = items.iter().map(String::as_str).collect();
    format!("{from} -> {to}: {}", items.join(", "))
}

/// The library and the tool.
fn crates() -> [&'static (Tree, Links); 2] {
    static TOOL: LazyLock<(Tree, Links)> = LazyLock::new(|| read("bin/responses/main.rs"));
    [library(), &TOOL]
}

fn library() -> &'static (Tree, Links) {
    static LIBRARY: LazyLock<(Tree, Links)> = LazyLock::new(|| read("lib.rs"));
    &LIBRARY
}

fn read(root: &str) -> (Tree, Links) {
    let tree = Tree::read(&sources(), root);
    let links = links(&tree);
    (tree, links)
}

fn sources() -> Sources {
    fn collect(root: &Path, folder: &Path, found: &mut Sources) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let parts = path.strip_prefix(root).unwrap().iter();
                let parts: Vec<_> = parts.map(|part| part.to_str().unwrap()).collect();
                found.insert(parts.join("/"), fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Sources::new();
    collect(&root, &root, &mut found);
    found
}
