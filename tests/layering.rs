//! Who may import whom: imports point down only, and the core touches neither IO nor clocks.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What each module may import besides itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    // Its macro is `false` but in unit tests.
    ("defects", &["defects"]),
    ("json", &["error"]),
    ("auth", &[]),
    ("config", &["error", "json"]),
    ("error", &["config", "json", "report", "response"]),
    ("report", &["config", "error", "event"]),
    ("event", &["error", "json", "request"]),
    ("request", &["error", "json"]),
    ("response", &["error", "event", "json", "report", "request"]),
    ("proto", &["config", "error", "event", "json", "report", "request", "response"]),
    ("net", &["auth", "config"]),
    ("transport", &["config", "error", "json", "net", "proto"]),
    ("shared", &["auth", "config", "error", "net", "proto"]),
    (
        "session",
        &[
            "config",
            "error",
            "event",
            "proto",
            "report",
            "request",
            "response",
            "shared",
            "transport",
        ],
    ),
    (
        "client",
        &["auth", "config", "error", "net", "proto", "response", "session", "shared", "testing"],
    ),
    ("testing", &["config", "error", "json", "net"]),
];

/// What the core must not contain.
const NOT_IN_PROTO: &[&str] = &[
    "tokio",
    "futures",
    "reqwest",
    "tungstenite",
    "tracing",
    "fastrand",
    "::now()",
    "async ",
    ".await",
    "std::net",
    "std::fs",
];

#[test]
fn imports_point_down() {
    let exports = exports();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let module = module_of(&file);
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            assert!(
                // The tool has what the crate makes public, and no more.
                matches!(module.as_str(), "lib" | "bench" | "bin"),
                "a module without a rule: {module}"
            );
            continue;
        };
        for name in imports(&text) {
            let target = exports.get(&name).unwrap_or(&name);
            if *target != module && !allowed.contains(&target.as_str()) {
                wrong.push(format!("{}: {name} ({target})", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_core_touches_neither_io_nor_clocks_nor_chance() {
    let mut looked_at = 0;
    for (file, text) in sources() {
        if module_of(&file) != "proto" {
            continue;
        }
        looked_at += 1;
        for word in NOT_IN_PROTO {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
    assert!(looked_at > 5);
}

#[test]
fn transports_know_no_json() {
    let is_websocket = |file: &Path| file.starts_with("transport/websocket");
    let files = sources().into_iter().filter(|(file, _)| is_websocket(file));
    let looked_at = files.inspect(|(_, text)| assert!(!text.contains("serde_json"))).count();
    assert!(looked_at >= 3);
}

/// The code of each file, without comments and tests.
fn sources() -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                collect(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let code = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        text[..end].lines().filter(is_code).collect::<Vec<_>>().join("\n")
    };
    let relative = |file: &PathBuf| file.strip_prefix(&root).unwrap().to_owned();
    files.iter().map(|file| (relative(file), code(file))).collect()
}

fn module_of(file: &Path) -> String {
    let first = file.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules of the names that the crate's root has from elsewhere.
fn exports() -> BTreeMap<String, String> {
    let (_, lib) = sources().into_iter().find(|(file, _)| file.ends_with("lib.rs")).unwrap();
    let mut exports = BTreeMap::new();
    for line in lib.split("pub use ").skip(1) {
        let (path, _) = line.split_once(';').unwrap();
        let Some((module, names)) = path.split_once("::") else { continue };
        let names = names.rsplit("::").next().unwrap();
        for name in names.trim_matches(['{', '}']).split(',').map(str::trim) {
            exports.insert(name.to_owned(), module.to_owned());
        }
    }
    exports
}

/// The first name behind each `crate::`.
fn imports(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            names.push(identifier(rest));
            continue;
        };
        let (mut depth, mut item) = (1, String::new());
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || depth == 1 && c == ',' {
                names.push(identifier(item.trim()));
                item.clear();
            } else {
                item.push(c);
            }
            if depth == 0 {
                break;
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
