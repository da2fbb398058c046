//! Module tree of a crate, read from its sources with `syn`.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{
    Attribute, Item, Meta, UseTree,
    ext::IdentExt as _,
    punctuated::Punctuated,
    visit::{self, Visit},
};

/// Sources by path, relative to the folder of the crate root.
pub(crate) type Sources = BTreeMap<String, String>;

/// A parsed crate. Code under `#[cfg(test)]` is left out.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    pub(crate) modules: Vec<Module>,
    pub(crate) mentions: Vec<Mention>,
    /// Files of the `macro_rules` macros, by name: their scope is textual.
    pub(crate) macros: BTreeMap<String, usize>,
    /// Names that the bodies of macros define, by macro.
    macro_items: BTreeMap<String, BTreeSet<String>>,
    /// Macro calls at the place of an item, by module.
    calls: Vec<(usize, String)>,
}

pub(crate) struct File {
    pub(crate) path: String,
    /// Identifiers in the code, and the keywords `async` and `await`.
    pub(crate) words: BTreeSet<String>,
}

#[derive(Default)]
pub(crate) struct Module {
    pub(crate) file: usize,
    pub(crate) parent: Option<usize>,
    pub(crate) children: BTreeMap<String, usize>,
    /// Items defined in the module itself.
    pub(crate) items: BTreeSet<String>,
    /// Names in macro calls at the place of an item, which may define them.
    pub(crate) likely_items: BTreeSet<String>,
    /// Imported names and their paths.
    pub(crate) imports: BTreeMap<String, Vec<Vec<String>>>,
    pub(crate) globs: Vec<Vec<String>>,
}

/// A path in the code.
pub(crate) struct Mention {
    pub(crate) module: usize,
    pub(crate) file: usize,
    pub(crate) segments: Vec<String>,
    pub(crate) is_macro: bool,
}

impl Tree {
    /// Reads the crate with the root `root`, such as `lib.rs`.
    pub(crate) fn read(sources: &Sources, root: &str) -> Self {
        let mut tree = Self::default();
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        tree.read_file(sources, root, folder, None);
        for (module, name) in &tree.calls {
            let items = tree.macro_items.get(name).into_iter().flatten().cloned();
            tree.modules[*module].items.extend(items);
        }
        tree
    }

    fn read_file(
        &mut self,
        sources: &Sources,
        path: &str,
        folder: &str,
        parent: Option<usize>,
    ) -> usize {
        let text = sources.get(path).unwrap_or_else(|| panic!("no file {path}"));
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let file = self.files.len();
        self.files.push(File { path: path.to_owned(), words: BTreeSet::new() });
        let module = self.modules.len();
        self.modules.push(Module { file, parent, ..Module::default() });
        let mut reader =
            Reader { tree: self, sources, file, module, folder: folder.to_owned(), depth: 0 };
        reader.visit_file(&parsed);
        module
    }
}

struct Reader<'a> {
    tree: &'a mut Tree,
    sources: &'a Sources,
    file: usize,
    module: usize,
    /// Folder of the files of child modules.
    folder: String,
    /// Number of blocks around the current place.
    depth: usize,
}

impl Reader<'_> {
    fn here(&mut self) -> &mut Module {
        &mut self.tree.modules[self.module]
    }

    fn word(&mut self, word: &str) {
        self.tree.files[self.file].words.insert(word.to_owned());
    }

    fn define(&mut self, name: String) {
        if self.depth == 0 {
            self.here().items.insert(name);
        }
    }

    fn mention(&mut self, segments: Vec<String>, is_macro: bool) {
        let (module, file) = (self.module, self.file);
        self.tree.mentions.push(Mention { module, file, segments, is_macro });
    }

    fn module(&mut self, item: &syn::ItemMod) {
        let name = item.ident.unraw().to_string();
        let parent = self.module;
        let below = format!("{}/{name}", self.folder).trim_start_matches('/').to_owned();
        let child = match &item.content {
            Some((_, items)) => {
                let child = self.tree.modules.len();
                let module = Module { file: self.file, parent: Some(parent), ..Module::default() };
                self.tree.modules.push(module);
                let folder = std::mem::replace(&mut self.folder, below);
                self.module = child;
                items.iter().for_each(|item| self.visit_item(item));
                self.module = parent;
                self.folder = folder;
                child
            }
            None => {
                let flat = format!("{below}.rs");
                let path =
                    if self.sources.contains_key(&flat) { flat } else { format!("{below}/mod.rs") };
                self.tree.read_file(self.sources, &path, &below, Some(parent))
            }
        };
        self.here().children.insert(name, child);
    }

    fn import(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &str| [before, &[name.to_owned()]].concat();
        match tree {
            UseTree::Path(path) => {
                self.import(&path.tree, &with(&path.ident.unraw().to_string()));
            }
            UseTree::Group(group) => group.items.iter().for_each(|it| self.import(it, before)),
            UseTree::Glob(_) => self.here().globs.push(before.to_vec()),
            UseTree::Name(name) => {
                let name = name.ident.unraw().to_string();
                let path = if name == "self" { before.to_vec() } else { with(&name) };
                let last = path.last().cloned().unwrap_or(name);
                self.named_import(last, path);
            }
            UseTree::Rename(rename) => {
                let name = rename.ident.unraw().to_string();
                let path = if name == "self" { before.to_vec() } else { with(&name) };
                self.named_import(rename.rename.unraw().to_string(), path);
            }
        }
    }

    fn named_import(&mut self, name: String, path: Vec<String>) {
        path.iter().for_each(|word| self.word(word));
        self.here().imports.entry(name).or_default().push(path.clone());
        self.mention(path, false);
    }

    /// Reads the paths in the tokens of a macro.
    fn tokens(&mut self, tokens: TokenStream, defines: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let punct = |at: usize, c: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == c);
        let ident = |at: usize| match tokens.get(at) {
            Some(TokenTree::Ident(ident)) => Some(ident.unraw().to_string()),
            _ => None,
        };
        let joined = |at: usize| punct(at, ':') && punct(at + 1, ':');
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            if is_test_attribute(token, tokens.get(at + 1)) {
                at += 2;
                while tokens.get(at).is_some_and(|token| !is_end(token)) {
                    at += 1;
                }
                at += 1;
                continue;
            }
            if let TokenTree::Group(group) = token {
                self.tokens(group.stream(), defines);
            }
            let Some(first) = ident(at) else {
                at += 1;
                continue;
            };
            let start = at;
            let mut segments = vec![first];
            at += 1;
            while joined(at)
                && let Some(next) = ident(at + 2)
            {
                segments.push(next);
                at += 3;
            }
            segments.iter().for_each(|word| self.word(word));
            if defines {
                self.here().likely_items.extend(segments.first().cloned());
            }
            let is_member = start > 0 && punct(start - 1, '.');
            let is_external = start > 1 && joined(start - 2) && segments[0] != "crate";
            // `$name` is an argument of the macro; `$crate` is a path.
            let is_argument = start > 0 && punct(start - 1, '$') && segments[0] != "crate";
            if !(is_member || is_external || is_argument) {
                self.mention(segments, punct(at, '!'));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        let name = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(name) = name {
            self.define(name.unraw().to_string());
        }
        match item {
            Item::Mod(item) => self.module(item),
            Item::Use(item) if item.leading_colon.is_none() => self.import(&item.tree, &[]),
            Item::Use(_) | Item::ExternCrate(_) => {}
            Item::Macro(item) => {
                if let Some(name) = &item.ident {
                    self.define(name.to_string());
                    self.tree.macros.insert(name.to_string(), self.file);
                    let items = &mut self.tree.macro_items;
                    defined(item.mac.tokens.clone(), items.entry(name.to_string()).or_default());
                } else {
                    let names = item.mac.path.segments.iter().map(|it| it.ident.to_string());
                    let names: Vec<_> = names.collect();
                    self.tree.calls.extend(names.last().map(|name| (self.module, name.clone())));
                    self.mention(names, true);
                }
                self.tokens(item.mac.tokens.clone(), self.depth == 0 && item.ident.is_none());
            }
            item => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !is_for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.depth += 1;
        visit::visit_block(self, block);
        self.depth -= 1;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names = path.segments.iter().map(|it| it.ident.unraw().to_string());
            self.mention(names.collect(), false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let names = mac.path.segments.iter().map(|it| it.ident.to_string());
        self.mention(names.collect(), true);
        self.tokens(mac.tokens.clone(), false);
    }

    fn visit_ident(&mut self, ident: &'ast proc_macro2::Ident) {
        self.word(&ident.unraw().to_string());
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if signature.asyncness.is_some() {
            self.word("async");
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, expression: &'ast syn::ExprAsync) {
        self.word("async");
        visit::visit_expr_async(self, expression);
    }

    fn visit_expr_await(&mut self, expression: &'ast syn::ExprAwait) {
        self.word("await");
        visit::visit_expr_await(self, expression);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// Returns `true` for the two tokens of an attribute that makes what follows code of tests.
fn is_test_attribute(hash: &TokenTree, group: Option<&TokenTree>) -> bool {
    let (TokenTree::Punct(hash), Some(TokenTree::Group(group))) = (hash, group) else {
        return false;
    };
    let condition = || syn::parse2::<Meta>(group.stream()).ok();
    hash.as_char() == '#' && condition().is_some_and(|it| is_cfg_of_tests(&it))
}

/// Returns `true` for a token that ends an item, a statement or a field.
fn is_end(token: &TokenTree) -> bool {
    match token {
        TokenTree::Punct(punct) => [';', ','].contains(&punct.as_char()),
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    }
}

/// Collects the names after keywords that define an item.
fn defined(tokens: TokenStream, found: &mut BTreeSet<String>) {
    let mut is_definition = false;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                let word = ident.unraw().to_string();
                let keyword = ["struct", "enum", "trait", "type", "union", "fn", "const", "static"];
                if is_definition {
                    found.insert(word.clone());
                }
                is_definition = keyword.contains(&word.as_str());
            }
            TokenTree::Group(group) => {
                is_definition = false;
                defined(group.stream(), found);
            }
            _ => is_definition = false,
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Returns `true` if an attribute leaves the code out of every build but one of tests.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    let of_tests = |it: &Attribute| it.path().is_ident("test") || is_cfg_of_tests(&it.meta);
    attributes.iter().any(of_tests)
}

fn is_cfg_of_tests(attribute: &Meta) -> bool {
    let Meta::List(list) = attribute else { return false };
    list.path.is_ident("cfg") && list.parse_args::<Meta>().is_ok_and(|it| needs_test(&it))
}

/// Returns `true` if a condition of `cfg` never holds outside of tests.
fn needs_test(condition: &Meta) -> bool {
    let parts = |list: &syn::MetaList| -> Vec<Meta> {
        let parts = list.parse_args_with(Punctuated::<Meta, syn::Token![,]>::parse_terminated);
        parts.map(|parts| parts.into_iter().collect()).unwrap_or_default()
    };
    match condition {
        Meta::Path(path) => path.is_ident("test") || path.is_ident("doctest"),
        Meta::List(list) if list.path.is_ident("all") => parts(list).iter().any(needs_test),
        Meta::List(list) if list.path.is_ident("any") => {
            let parts = parts(list);
            !parts.is_empty() && parts.iter().all(needs_test)
        }
        _ => false,
    }
}
