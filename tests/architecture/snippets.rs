//! Checks of the analysis on small crates.

use crate::{
    describe_cycles, describe_cycles_of_modules,
    graph::cycles,
    resolve::{Links, links},
    tree::{Sources, Tree},
    upward,
};

fn links_of(files: &[(&str, &str)]) -> Links {
    let sources: Sources =
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    links(&Tree::read(&sources, "lib.rs"))
}

/// Returns the edges of a crate with the files `a.rs` and `b.rs`, which define `A` and `B`.
fn edges_of(lib: &str, a: &str, b: &str) -> Vec<String> {
    let a = format!("{a}\npub struct A;");
    let b = format!("{b}\npub struct B;");
    let links = links_of(&[("lib.rs", lib), ("a.rs", &a), ("b.rs", &b)]);
    assert!(links.unresolved.is_empty(), "{:?}", links.unresolved);
    let between = links.edges.iter().filter(|((from, _), _)| from != "lib.rs");
    between.map(crate::describe).collect()
}

const MODULES: &str = "mod a; mod b;";

#[test]
fn a_cycle_through_a_reexport_is_found() {
    for lib in ["mod a; mod b; pub use a::A;", "mod a; mod b; pub use a::*;"] {
        for import in ["use crate::A;", "use super::{A};", "use crate::*; type Other = A;"] {
            let a = "use crate::b::B; pub struct A;";
            let b = format!("{import} pub struct B;");
            let links = links_of(&[("lib.rs", lib), ("a.rs", a), ("b.rs", &b)]);
            let cycle = describe_cycles(&links.edges);
            assert_eq!(cycle, "a cycle of 2:\n  a.rs -> b.rs: B\n  b.rs -> a.rs: A\n");
            assert_eq!(describe_cycles_of_modules(&links.edges), cycle);
            assert_eq!(links.detours.len(), 1, "{import}: {:?}", links.detours);
        }
    }
}

#[test]
fn a_folder_may_name_its_own_items_but_no_others() {
    let links = links_of(&[
        ("lib.rs", "mod api; mod error; mod net;"),
        ("api/mod.rs", "pub use code::Code; mod code;"),
        ("api/code.rs", "pub struct Code;"),
        ("error.rs", "pub use crate::api::Code;"),
        ("net.rs", "use crate::{api::Code, error::Code as Other};"),
    ]);
    let detours: Vec<_> = links.detours.into_iter().collect();
    assert_eq!(detours, ["net.rs: crate::error::Code is defined in api/code.rs"]);
    assert!(links.edges.contains_key(&("net.rs".to_owned(), "api/code.rs".to_owned())));
}

#[test]
fn declarations_of_modules_are_no_edges() {
    assert!(edges_of(MODULES, "", "").is_empty());
    assert!(edges_of(MODULES, "use crate::b;", "use super::a;").is_empty());
}

#[test]
fn paths_are_edges_wherever_they_stand() {
    for code in [
        "use crate::b::B;",
        "use crate::b::{self}; type X = b::B;",
        "use super::b::*; fn f(_: &B) {}",
        "use crate::b as other; fn f() -> Option<other::B> { None }",
        "mod inner { use super::super::b::B; }",
        "fn f() { use crate::b::B; }",
        "fn f() { let _ = crate::b::B; }",
        "fn f() { println!(\"{:?}\", crate::b::B); }",
        "impl From<crate::b::B> for A { fn from(_: crate::b::B) -> Self { A } }",
    ] {
        assert_eq!(edges_of(MODULES, code, ""), ["a.rs -> b.rs: B"], "{code}");
    }
    for code in
        ["use ::b::B;", "use std::b::B;", "// crate::b::B", "const T: &str = \"crate::b::B\";"]
    {
        assert!(edges_of(MODULES, code, "").is_empty(), "{code}");
    }
}

#[test]
fn paths_in_macros_are_edges() {
    for code in [
        "macro_rules! m { () => { $crate::b::B }; }",
        "macro_rules! m { ($t:ty) => { impl From<$crate::b::B> for $t {} }; }",
        "use crate::b::B; macro_rules! m { () => { B }; }",
    ] {
        assert_eq!(edges_of(MODULES, code, ""), ["a.rs -> b.rs: B"], "{code}");
    }
    let exported = "macro_rules! m { () => {}; } pub(crate) use m;";
    assert_eq!(edges_of(MODULES, "crate::b::m!();", exported), ["a.rs -> b.rs: m"]);
    let textual = "#[macro_use] mod b; mod a;";
    assert_eq!(edges_of(textual, "fn f() { m!() }", exported), ["a.rs -> b.rs: m"]);
}

#[test]
fn items_that_a_macro_defines_are_found_where_it_is_called() {
    let table = "macro_rules! table { ($($n:ident)*) => { pub enum Kind { $($n),* } }; }";
    let call = format!("{table} table! {{ One Two }}");
    assert_eq!(edges_of(MODULES, "use crate::b::Kind;", &call), ["a.rs -> b.rs: Kind"]);
    let each = "macro_rules! each { ($($n:ident)*) => { $(pub struct $n;)* }; } each! { One Two }";
    assert_eq!(edges_of(MODULES, "use crate::b::Two;", each), ["a.rs -> b.rs: Two"]);
}

#[test]
fn code_of_tests_does_not_count() {
    for code in [
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "#[cfg(test)] use crate::b::B;",
        "#[cfg(all(test, feature = \"x\"))] use crate::b::B;",
        "#[test] fn f() { crate::b::B; }",
        "impl A { #[cfg(test)] fn f() { crate::b::B; } }",
        "macro_rules! m { () => { #[cfg(test)] let b = $crate::b::B; }; }",
    ] {
        assert!(edges_of(MODULES, code, "").is_empty(), "{code}");
    }
    for code in [
        "#[cfg(not(test))] use crate::b::B;",
        "#[cfg(any(test, feature = \"x\"))] use crate::b::B;",
        "#[cfg(feature = \"test\")] use crate::b::B;",
        "macro_rules! m { () => { #[cfg(test)] let b = 1; $crate::b::B }; }",
    ] {
        assert_eq!(edges_of(MODULES, code, ""), ["a.rs -> b.rs: B"], "{code}");
    }
}

#[test]
fn unresolved_paths_are_reported() {
    let links = links_of(&[("lib.rs", "mod a;"), ("a.rs", "use crate::b::B; use super::a::Gone;")]);
    let unresolved: Vec<_> = links.unresolved.into_iter().collect();
    assert_eq!(unresolved, ["a.rs: crate::b::B", "a.rs: super::a::Gone"]);
}

#[test]
fn an_edge_that_points_up_is_found() {
    let files = [("lib.rs", MODULES), ("a.rs", "use crate::b::B;"), ("b.rs", "pub struct B;")];
    let edges = links_of(&files).edges;
    assert_eq!(upward(&edges, &["a", "b", "lib"]), ["a.rs -> b.rs: B"]);
    assert!(upward(&edges, &["b", "a", "lib"]).is_empty());
}

#[test]
fn components_are_found_by_their_members() {
    let edges = [(1, 2), (2, 3), (3, 1), (3, 4), (4, 5), (5, 4), (5, 6), (0, 1), (6, 6)];
    let names = ["0", "1", "2", "3", "4", "5", "6"];
    let mut found: Vec<Vec<&str>> = cycles(edges.map(|(from, to)| (names[from], names[to])))
        .into_iter()
        .map(|cycle| cycle.into_iter().collect())
        .collect();
    found.sort();
    assert_eq!(found, [vec!["1", "2", "3"], vec!["4", "5"]]);
    assert!(cycles([("0", "1"), ("0", "2"), ("1", "2")]).is_empty());
}
