//! The agent's tools: they look at the files of one folder, and at nothing outside of it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use responses_client::Tool;
use serde::Deserialize;

use super::agent::tool;

pub(crate) fn list_files() -> Tool {
    tool("list_files", "Lists all files below a folder, a path a line.", "path", "the folder")
}

pub(crate) fn read_file() -> Tool {
    tool("read_file", "Shows a text file.", "path", "the file")
}

pub(crate) fn search_files() -> Tool {
    tool("search_files", "Finds the lines of all files that have a text.", "query", "the text")
}

pub(crate) fn count_lines() -> Tool {
    tool("count_lines", "Counts the lines of a text file.", "path", "the file")
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments {
    path: String,
    query: String,
}

/// Runs a call. What goes wrong is told to the model, which may do better next time.
pub(crate) fn run(folder: &Path, name: &str, arguments: &str) -> String {
    let Ok(arguments) = serde_json::from_str::<Arguments>(arguments) else {
        return "error: the arguments are not those of the tool".to_owned();
    };
    let result = match name {
        "list_files" => inside(folder, &arguments.path).and_then(|path| list(folder, &path)),
        "read_file" => inside(folder, &arguments.path).and_then(fs::read_to_string),
        "search_files" => search(folder, &arguments.query),
        "count_lines" => inside(folder, &arguments.path)
            .and_then(fs::read_to_string)
            .map(|text| text.lines().count().to_string()),
        _ => Ok(format!("error: there is no tool {name}")),
    };
    result.unwrap_or_else(|error| format!("error: {error}"))
}

/// The path that a model means, unless it leads out of the folder.
fn inside(folder: &Path, path: &str) -> io::Result<PathBuf> {
    let folder = folder.canonicalize()?;
    let path = folder.join(path).canonicalize()?;
    if path.starts_with(&folder) { Ok(path) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

fn list(folder: &Path, from: &Path) -> io::Result<String> {
    let folder = folder.canonicalize()?;
    let mut found = Vec::new();
    let mut folders = vec![from.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(path) = path.strip_prefix(&folder) {
                found.push(path.display().to_string());
            }
        }
    }
    // The order of a directory differs from machine to machine.
    found.sort();
    Ok(found.join("\n"))
}

fn search(folder: &Path, query: &str) -> io::Result<String> {
    let mut found = Vec::new();
    for path in list(folder, &folder.canonicalize()?)?.lines() {
        let text = fs::read_to_string(folder.join(path))?;
        for (number, line) in text.lines().enumerate() {
            if line.contains(query) {
                found.push(format!("{path}:{}: {line}", number + 1));
            }
        }
    }
    Ok(if found.is_empty() { "nothing found".to_owned() } else { found.join("\n") })
}
