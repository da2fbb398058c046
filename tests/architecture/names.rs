//! Checks that the names which the README lists exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use syn::{Fields, ImplItem, Item, Type, Visibility};

/// Public members by type: methods with `()`, fields and variants. What tables expand to has the name of no
/// type here.
type Members = BTreeMap<String, BTreeSet<String>>;

/// Key of the words in tables that macros expand.
const IN_TABLES: &str = "";

#[test]
fn the_names_in_the_readme_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut members = Members::new();
    add_folder(&root.join("src"), &mut members);
    // Calls on a final response reach the response.
    let of_final = members.get("FinalResponse").cloned().expect("the type");
    members.entry("Response".to_owned()).or_default().extend(of_final);

    let in_tables = members.remove(IN_TABLES).expect("tables");
    let readme = fs::read_to_string(root.join("README.md")).expect("the README");
    let mut count = 0;
    for line in readme.lines().filter_map(|line| line.strip_prefix("- `")) {
        let (name, list) = line.split_once("`: ").expect("a list of names");
        let name = match name {
            "builder()" => "ResponsesClientBuilder",
            "request.input" => "History",
            name => name,
        };
        let known = members.get(name).unwrap_or_else(|| panic!("no type {name}"));
        for code in list.split('`').skip(1).step_by(2) {
            let end = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
            let (member, shape) = code.split_at(end);
            let is_call = shape.starts_with('(') || shape.starts_with("::<");
            let is_variant = member.starts_with(char::is_uppercase);
            let wanted =
                if is_call && !is_variant { format!("{member}()") } else { member.to_owned() };
            let is_known = known.contains(&wanted) || in_tables.contains(member);
            assert!(is_known, "{name} has no {wanted}: {known:?}");
            count += 1;
        }
    }
    assert!(count > 80, "{count} names");
}

fn add_folder(folder: &Path, members: &mut Members) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            add_folder(&path, members);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            add_items(syn::parse_file(&text).expect("Rust").items, members);
        }
    }
}

fn add_items(items: Vec<Item>, members: &mut Members) {
    let is_public = |visibility: &Visibility| matches!(visibility, Visibility::Public(_));
    for item in items {
        match item {
            Item::Impl(block) => {
                let Type::Path(path) = *block.self_ty else { continue };
                let Some(name) = path.path.segments.last() else { continue };
                let known = members.entry(name.ident.to_string()).or_default();
                known.extend(block.items.into_iter().filter_map(|item| match item {
                    ImplItem::Fn(method) if is_public(&method.vis) => {
                        Some(format!("{}()", method.sig.ident))
                    }
                    _ => None,
                }));
            }
            Item::Struct(item) => {
                let Fields::Named(fields) = item.fields else { continue };
                let fields = fields.named.into_iter().filter(|field| is_public(&field.vis));
                let names = fields.filter_map(|field| Some(field.ident?.to_string()));
                members.entry(item.ident.to_string()).or_default().extend(names);
            }
            Item::Enum(item) => {
                let names = item.variants.into_iter().map(|variant| variant.ident.to_string());
                members.entry(item.ident.to_string()).or_default().extend(names);
            }
            Item::Macro(item) => {
                let words = item.mac.tokens.to_string();
                let words = words.split(|c: char| !c.is_alphanumeric() && c != '_');
                members.entry(IN_TABLES.to_owned()).or_default().extend(words.map(str::to_owned));
            }
            _ => {}
        }
    }
}
