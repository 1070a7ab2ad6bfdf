//! The house rules that a reader of the source can check: which room may use which, no file that nothing reaches, words that have no
//! business where they stand, and documents that name only what there is.
//!
//! Each rule is a function from texts to complaints, each a line `file:line: rule`. Beside the repository it is given made-up texts that
//! break it, so that a rule which can no longer fail is seen.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the repository must panic")]

mod docs;
mod doors;
mod files;
mod tokens;
mod words;

use std::path::{Path, PathBuf};

/// A file of the repository, or one made up.
#[derive(Debug, Clone)]
struct File {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }
}

/// All text files whose path ends in `ending`, in order; build output and hidden folders but `.ci` are left out.
fn repository(ending: &str) -> Vec<File> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let files: Vec<File> = paths
        .iter()
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .filter_map(|path| {
            let inside = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            // What is no text has none of our words in it.
            Some(File { path: inside, text: std::fs::read_to_string(path).ok()? })
        })
        .collect();
    assert!(!files.is_empty(), "nothing ends in {ending} under {}", root.display());
    files
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink() || name == "target" || (name.starts_with('.') && name != ".ci") {
            continue;
        }
        if path.is_dir() { collect(&path, paths) } else { paths.push(path) }
    }
}

/// Fails with all complaints at once.
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

/// The rule complains once, and its complaint has all of `parts` in it.
fn assert_complains(complaints: &[String], parts: &[&str]) {
    assert_eq!(complaints.len(), 1, "one complaint expected with {parts:?}, got {complaints:#?}");
    for part in parts {
        assert!(complaints[0].contains(part), "{part:?} in {:?}", complaints[0]);
    }
}
