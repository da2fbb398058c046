//! Edges between files: paths followed to the items that they name.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{Mention, Tree};

/// Names of items, by the file that uses them and the file that defines them.
pub(crate) type Edges = BTreeMap<(String, String), BTreeSet<String>>;

/// Edges of a crate, and the paths that break a rule or cannot be resolved.
#[derive(Default)]
pub(crate) struct Links {
    pub(crate) edges: Edges,
    /// Paths that name an item through a re-export of another layer, or of the crate root.
    pub(crate) detours: BTreeSet<String>,
    /// Paths into the crate that do not resolve: each is a missing edge.
    pub(crate) unresolved: BTreeSet<String>,
}

/// Target of a path.
struct Found {
    target: Target,
    /// Modules whose imports the path goes through.
    hops: Vec<usize>,
    /// Number of segments up to the target; an associated item or a variant may follow.
    len: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Module(usize),
    /// An item, by the file that defines it.
    Item(usize),
}

/// Depth at which following imports stops, because globs may import each other.
const MAX_DEPTH: usize = 32;

/// Follows every path in a crate to the item that it names.
pub(crate) fn links(tree: &Tree) -> Links {
    let mut links = Links::default();
    for mention in &tree.mentions {
        let from = &tree.files[mention.file].path;
        let shown = || mention.segments.join("::");
        let Some(found) = tree.find(mention) else {
            if tree.is_local(mention) {
                links.unresolved.insert(format!("{from}: {}", shown()));
            }
            continue;
        };
        let Target::Item(file) = found.target else { continue };
        let to = &tree.files[file].path;
        if to == from {
            continue;
        }
        let name = mention.segments[..found.len].last().cloned().unwrap_or_default();
        links.edges.entry((from.clone(), to.clone())).or_default().insert(name);
        let is_detour = |hop: &usize| {
            let through = &tree.files[tree.modules[*hop].file].path;
            through != from && layer_of(through) != layer_of(to)
        };
        if found.hops.iter().any(is_detour) {
            links.detours.insert(format!("{from}: {} is defined in {to}", shown()));
        }
    }
    links
}

/// Returns the top-level module of a file: its folder, or the file itself.
pub(crate) fn layer_of(path: &str) -> &str {
    path.split_once('/').map_or(path, |(folder, _)| folder).trim_end_matches(".rs")
}

impl Tree {
    fn find(&self, mention: &Mention) -> Option<Found> {
        let found = self.follow(mention.module, &mention.segments, 0);
        match (&found, mention.is_macro, mention.segments.as_slice()) {
            (None, true, [name]) => {
                let target = Target::Item(*self.macros.get(name)?);
                Some(Found { target, hops: Vec::new(), len: 1 })
            }
            _ => found,
        }
    }

    /// Returns `true` for a path that begins in the crate.
    fn is_local(&self, mention: &Mention) -> bool {
        let [first, _, ..] = mention.segments.as_slice() else { return false };
        let is_module = || {
            let found = self.follow(mention.module, std::slice::from_ref(first), 0);
            found.is_some_and(|found| matches!(found.target, Target::Module(_)))
        };
        ["crate", "self", "super"].contains(&first.as_str()) || is_module()
    }

    /// Follows `path`, which stands in `module`.
    fn follow(&self, module: usize, path: &[String], depth: usize) -> Option<Found> {
        let (first, mut rest) = path.split_first()?;
        let mut hops = Vec::new();
        let mut target = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(module),
            "super" => Target::Module(self.modules[module].parent?),
            name => {
                let found = self.lookup(module, name, rest.is_empty(), depth)?;
                hops.extend(found.hops);
                found.target
            }
        };
        while let (Target::Module(module), Some((name, after))) = (target, rest.split_first()) {
            target = match name.as_str() {
                "super" => Target::Module(self.modules[module].parent?),
                name => {
                    let found = self.lookup(module, name, after.is_empty(), depth)?;
                    hops.extend(found.hops);
                    found.target
                }
            };
            rest = after;
        }
        Some(Found { target, hops, len: path.len() - rest.len() })
    }

    /// Resolves `name` in `module`. A name may stand for a module and for an item; `is_last` selects
    /// the item.
    fn lookup(&self, module: usize, name: &str, is_last: bool, depth: usize) -> Option<Found> {
        let here = &self.modules[module];
        let direct = |target| Found { target, hops: Vec::new(), len: 1 };
        let through = |mut found: Found| {
            found.hops.push(module);
            found
        };
        if depth > MAX_DEPTH {
            return None;
        }
        let mut found = Vec::new();
        if here.items.contains(name) {
            found.push(direct(Target::Item(here.file)));
        }
        for path in here.imports.get(name).into_iter().flatten() {
            // `use serde_json;` in a module with a child of that name.
            if *path != [name] {
                found.extend(self.follow(module, path, depth + 1).map(through));
            }
        }
        if let Some(&child) = here.children.get(name) {
            found.push(direct(Target::Module(child)));
        }
        if found.is_empty() {
            for glob in &here.globs {
                let source = self.follow(module, glob, depth + 1).map(|found| found.target);
                if let Some(Target::Module(source)) = source
                    && source != module
                {
                    found.extend(self.lookup(source, name, is_last, depth + 1).map(through));
                }
            }
        }
        let is_type = name.starts_with(|c: char| c.is_ascii_uppercase());
        if found.is_empty() && is_type && here.likely_items.contains(name) {
            found.push(direct(Target::Item(here.file)));
        }
        let is_module = |found: &Found| matches!(found.target, Target::Module(_));
        let meant = found.iter().position(|it| is_module(it) != is_last).unwrap_or_default();
        (!found.is_empty()).then(|| found.swap_remove(meant))
    }
}
