//! Files: each is reached from a crate's root by `mod` lines, and none is longer than a reader bears.

use std::collections::BTreeMap;

use crate::tokens::tokens;
use crate::{File, assert_complains, assert_none, repository};

const LINES_MAX: usize = 600;

/// Files that may be longer, each with its reason.
const LONG: [(&str, &str); 0] = [];

/// Where a walk over `mod` lines begins.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        [.., "src", "lib.rs" | "main.rs"] => true,
        // A fuzz target.
        ["proxy", "fuzz", "targets", _] => true,
        // An integration test: a file, or a folder with a main.rs.
        [.., "tests", _] => !parts.contains(&"src"),
        [.., "tests", _, "main.rs"] => !parts.contains(&"src"),
        _ => false,
    }
}

/// Where files named by the `mod` lines of `path` lie.
fn folder_of(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        _ if is_root(path) || name == "mod.rs" => folder.to_owned(),
        name => format!("{folder}/{}", name.trim_end_matches(".rs")),
    }
}

/// All files that a root reaches, and whether only tests do.
pub fn reached(files: &[File]) -> BTreeMap<&str, bool> {
    let by_path: BTreeMap<&str, &File> = files.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut seen: BTreeMap<&str, bool> = BTreeMap::new();
    let roots = files.iter().filter(|file| is_root(&file.path));
    let mut open: Vec<(&File, bool)> = roots.map(|root| (root, !root.path.contains("src/"))).collect();
    while let Some((file, for_tests)) = open.pop() {
        // Reached both ways it is no test.
        if seen.get(file.path.as_str()).is_some_and(|&before| !before || for_tests) {
            continue;
        }
        seen.insert(file.path.as_str(), for_tests);
        let folder = folder_of(&file.path);
        for (name, is_test) in modules(&file.text) {
            for path in [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")] {
                if let Some(child) = by_path.get(path.as_str()) {
                    open.push((child, for_tests || is_test));
                }
            }
        }
    }
    seen
}

/// `mod name;` lines, and whether `#[cfg(test)]` stands before them.
fn modules(text: &str) -> Vec<(String, bool)> {
    let all = tokens(text);
    let named = all.windows(3).enumerate().filter(|(_, three)| three[0].text == "mod" && three[2].text == ";");
    named
        .map(|(at, three)| {
            let attributes = all[..at].iter().rev().take_while(|token| !matches!(token.text, ";" | "}"));
            let attributes: Vec<&str> = attributes.map(|token| token.text).collect();
            let is_test = attributes.windows(4).any(|backwards| backwards == [")", "test", "(", "cfg"]);
            (three[1].text.to_owned(), is_test)
        })
        .collect()
}

fn unreached(files: &[File]) -> Vec<String> {
    let reached = reached(files);
    let dead = files.iter().filter(|file| !reached.contains_key(file.path.as_str()));
    dead.map(|file| format!("{}:1: no `mod` line leads here: a dead file is deleted", file.path)).collect()
}

fn too_long(files: &[File], long: &[(&str, &str)]) -> Vec<String> {
    let is_long = |file: &File| file.text.lines().count() > LINES_MAX;
    let allowed = |path: &str| long.iter().any(|(long, _)| *long == path);
    let over = files.iter().filter(|file| is_long(file) && !allowed(&file.path));
    let stale = long.iter().filter(|(path, _)| !files.iter().any(|file| file.path == *path && is_long(file)));
    over.map(|file| format!("{}:{LINES_MAX}: over {LINES_MAX} lines: split it by ideas", file.path))
        .chain(stale.map(|(path, _)| format!("{path}:1: needs no place in the list of long files any more")))
        .collect()
}

#[test]
fn every_file_is_reached() {
    assert_none(&unreached(&repository(".rs")));
}

#[test]
fn no_file_is_over_600_lines() {
    assert_none(&too_long(&repository(".rs"), &LONG));
}

#[test]
fn dead_file_is_found() {
    let root = File::new("proxy/src/lib.rs", "mod a;\n#[cfg(test)]\nmod probe;\n");
    let live = [
        root,
        File::new("proxy/src/a/mod.rs", "pub mod b;\n"),
        File::new("proxy/src/a/b.rs", "#[cfg(test)]\nmod tests;\n"),
        File::new("proxy/src/a/b/tests.rs", ""),
        File::new("proxy/src/probe.rs", ""),
        File::new("tests/tests/pool/main.rs", "mod cases;\n"),
        File::new("tests/tests/pool/cases.rs", ""),
        File::new("proxy/tests/cli.rs", ""),
    ];
    assert_none(&unreached(&live));
    let tests: Vec<&str> = reached(&live).into_iter().filter(|(_, is_test)| *is_test).map(|(path, _)| path).collect();
    assert_eq!(
        tests,
        [
            "proxy/src/a/b/tests.rs",
            "proxy/src/probe.rs",
            "proxy/tests/cli.rs",
            "tests/tests/pool/cases.rs",
            "tests/tests/pool/main.rs"
        ]
    );
    for dead in ["proxy/src/a/c.rs", "proxy/src/b.rs", "tests/tests/pool/more.rs", "proxy/schema/src/x.rs"] {
        let mut all = live.to_vec();
        all.push(File::new(dead, "// mod c;"));
        assert_complains(&unreached(&all), &[dead, "no `mod` line"]);
    }
}

#[test]
fn long_file_is_found() {
    let with_lines = |count: usize| [File::new("a.rs", &"x\n".repeat(count))];
    assert_none(&too_long(&with_lines(LINES_MAX), &[]));
    assert_complains(&too_long(&with_lines(LINES_MAX + 1), &[]), &["a.rs", "over 600 lines"]);
    assert_none(&too_long(&with_lines(LINES_MAX + 1), &[("a.rs", "a table")]));
    assert_complains(&too_long(&with_lines(1), &[("a.rs", "a table")]), &["a.rs", "needs no place"]);
}
