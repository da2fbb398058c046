//! Checks that the docs of the types that callers name have an example.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{Attribute, Item, UseTree, Visibility};

/// Modules whose types come from a table and are exported as a whole, with the enum whose example
/// shows them.
const TABLES: &[(&str, &str)] =
    &[("event", "ResponseEvent"), ("event/item", "OutputItem"), ("event/item", "ContentPart")];

#[test]
fn each_public_type_has_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut exports = Exports::default();
    exports.read_file(&root.join("lib.rs"), &root);
    let tables: BTreeSet<_> = TABLES.iter().map(|(module, _)| root.join(module)).collect();
    assert_eq!(exports.globs, tables);
    let mut names = exports.names;
    names.extend(TABLES.iter().map(|(module, of)| (root.join(module), (*of).to_owned())));
    assert!(names.len() > 100, "{names:?}");

    let mut docs = Docs::new();
    read_docs(&root, &mut docs);
    let without = |(module, name): &(PathBuf, String)| {
        let definitions = docs.get(name).unwrap_or_else(|| panic!("no definition of {name}"));
        // Types of other modules may have the same name.
        let (inside, elsewhere): (Vec<_>, Vec<_>) =
            definitions.iter().partition(|(file, _)| file.starts_with(module));
        let definitions = if inside.is_empty() { elsewhere } else { inside };
        !definitions.iter().all(|(_, has_example)| *has_example)
    };
    let without: Vec<_> = names.iter().filter(|it| without(it)).map(|(_, name)| name).collect();
    assert!(without.is_empty(), "types without an example: {without:#?}");
}

/// Types that the public modules of the crate export or define.
#[derive(Default)]
struct Exports {
    /// Each with the folder of the module.
    names: BTreeSet<(PathBuf, String)>,
    /// Folders of the modules that export all of another module.
    globs: BTreeSet<PathBuf>,
}

impl Exports {
    /// Reads the module in `file`. Its submodules are in `folder`.
    fn read_file(&mut self, file: &Path, folder: &Path) {
        let text = fs::read_to_string(file).expect("a source file");
        self.read(&syn::parse_file(&text).expect("Rust").items, folder);
    }

    fn read(&mut self, items: &[Item], folder: &Path) {
        for item in items {
            match item {
                Item::Use(it) if is_public(&it.vis, &it.attrs) => self.read_use(&it.tree, folder),
                Item::Mod(it) if is_public(&it.vis, &it.attrs) => {
                    let below = folder.join(it.ident.to_string());
                    match &it.content {
                        Some((_, items)) => self.read(items, &below),
                        None if below.is_dir() => self.read_file(&below.join("mod.rs"), &below),
                        None => self.read_file(&below.with_extension("rs"), &below),
                    }
                }
                Item::Struct(it) if is_public(&it.vis, &it.attrs) => self.add(&it.ident, folder),
                Item::Enum(it) if is_public(&it.vis, &it.attrs) => self.add(&it.ident, folder),
                Item::Trait(it) if is_public(&it.vis, &it.attrs) => self.add(&it.ident, folder),
                Item::Type(it) if is_public(&it.vis, &it.attrs) => self.add(&it.ident, folder),
                _ => {}
            }
        }
    }

    fn read_use(&mut self, tree: &UseTree, folder: &Path) {
        match tree {
            UseTree::Path(it) => self.read_use(&it.tree, folder),
            UseTree::Group(it) => it.items.iter().for_each(|tree| self.read_use(tree, folder)),
            UseTree::Name(it) => self.add(&it.ident, folder),
            UseTree::Rename(it) => self.add(&it.rename, folder),
            UseTree::Glob(_) => {
                self.globs.insert(folder.to_owned());
            }
        }
    }

    /// Adds a type; functions and modules begin with a small letter.
    fn add(&mut self, ident: &syn::Ident, folder: &Path) {
        let name = ident.to_string();
        if name.starts_with(char::is_uppercase) {
            self.names.insert((folder.to_owned(), name));
        }
    }
}

fn is_public(visibility: &Visibility, attributes: &[Attribute]) -> bool {
    let hidden = |it: &Attribute| {
        it.path().is_ident("doc")
            && it.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "hidden")
    };
    matches!(visibility, Visibility::Public(_)) && !attributes.iter().any(hidden)
}

/// The files that define a type of this name, and whether the type's docs have an example.
type Docs = BTreeMap<String, Vec<(PathBuf, bool)>>;

fn read_docs(folder: &Path, docs: &mut Docs) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        // The tool and the benchmarks' view of the core are not the public API.
        if path.is_dir() && !path.ends_with("bin") {
            read_docs(&path, docs);
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("internal.rs") {
            // A row of a table has docs; other uses of a macro with the same name do not.
            let (mut has_docs, mut has_example) = (false, false);
            for line in fs::read_to_string(&path).expect("a source file").lines() {
                let line = line.trim_start();
                if line.starts_with("///") {
                    has_docs = true;
                    has_example |= line.contains("```");
                } else if let Some(name) = defined(line, has_docs && in_table(&path)) {
                    docs.entry(name).or_default().push((path.clone(), has_example));
                }
                // Attributes may stand between the docs and the type.
                if !line.starts_with("///") && !line.starts_with("#[") {
                    (has_docs, has_example) = (false, false);
                }
            }
        }
    }
}

/// Returns `true` if a file has types that a macro expands from a table.
fn in_table(path: &Path) -> bool {
    let path = path.to_string_lossy();
    path.contains("src/event/item/") || path.ends_with("src/response/detail.rs")
}

/// Returns the name of the type that `line` defines, as an item or as a row of a table.
fn defined(line: &str, may_be_row: bool) -> Option<String> {
    let item = ["struct ", "enum ", "trait ", "type "]
        .iter()
        .find_map(|kind| line.strip_prefix("pub ")?.strip_prefix(kind));
    let row = || Some(line).filter(|_| may_be_row && line.ends_with(" {"));
    let name = item.or_else(row)?.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    name.starts_with(char::is_uppercase).then(|| name.to_owned())
}
