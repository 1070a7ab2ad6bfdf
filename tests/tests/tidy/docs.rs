//! Documents name only what there is: files, and in ARCHITECTURE.md the items of the sources.

use std::collections::BTreeSet;

use crate::doors::libraries;
use crate::tokens::{Token, tokens};
use crate::{File, assert_complains, assert_none, repository};

/// Where a file named in a document may lie, in the order in which a reader would look.
const FOLDERS: [&str; 4] = ["", "proxy/", "proxy/src/", "tests/"];

/// Endings by which a word is seen to be a file of ours. (A user's `tls.crt` is not.)
const ENDINGS: [&str; 5] = [".rs", ".md", ".toml", ".lock", ".sh"];

/// Words of a document: what stands between white space, brackets and quotes.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let cut = |c: char| c.is_whitespace() || "()[]{}<>`\"',;".contains(c);
    let lines = text.lines().enumerate();
    lines.flat_map(move |(n, line)| line.split(cut).map(move |word| (n + 1, word.trim_end_matches(['.', ':']))))
}

/// `a/../b` is `b`.
fn straight(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn absent(documents: &[File], paths: &BTreeSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    for document in documents {
        let folder = document.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        for (line, word) in words(&document.text) {
            let path = word.trim_start_matches("./");
            let is_file = ENDINGS.iter().any(|ending| path.len() > ending.len() && path.ends_with(ending));
            if word.contains("://") || !(is_file || path.starts_with(".ci/")) {
                continue;
            }
            let mut folders = FOLDERS.into_iter().chain([folder.as_str()]);
            if !folders.any(|folder| paths.contains(&straight(&format!("{folder}{path}")))) {
                complaints.push(format!("{}:{line}: there is no file {word}", document.path));
            }
        }
    }
    complaints
}

/// The words of the sources, and which of them name something.
struct Names {
    words: BTreeSet<String>,
    /// Behind `fn`, `struct` and the like; fields, variants and modules too.
    items: BTreeSet<(String, String)>,
    libraries: Vec<String>,
}

impl Names {
    /// An item is known by its room and its name; a room is known by the name of its file or folder.
    fn of(sources: &[File], libraries: Vec<String>) -> Names {
        let (mut known, mut items) = (BTreeSet::new(), BTreeSet::new());
        for file in sources {
            let Some(inside) = file.path.strip_prefix("proxy/src/") else { continue };
            let room = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
            let all = tokens(&file.text);
            known.extend(all.iter().filter(|token| token.is_word()).map(|token| token.text.to_owned()));
            items.insert((room.to_owned(), String::new()));
            items.extend(inside.trim_end_matches(".rs").split('/').map(|part| (room.to_owned(), part.to_owned())));
            items.extend(defined(&all).map(|name| (room.to_owned(), name.to_owned())));
        }
        Names { words: known, items, libraries }
    }

    /// `room::item`, `room::file`, `Type::method`, `Enum::Variant`: both halves are defined, in one room. Of a library: the sources use it.
    fn know(&self, first: &str, last: &str) -> bool {
        if self.libraries.iter().any(|library| library == first) {
            return self.words.contains(first) && self.words.contains(last);
        }
        let is_room = self.items.contains(&(first.to_owned(), String::new()));
        let mut rooms = self.items.iter().filter(|(_, name)| name == first).map(|(room, _)| room);
        let in_room = |room: &str| self.items.contains(&(room.to_owned(), last.to_owned()));
        (is_room && in_room(first)) || rooms.any(|room| in_room(room))
    }
}

/// What the tokens of a file define: a word behind a keyword of items, or one that stands where fields and variants do.
fn defined<'t>(all: &'t [Token<'t>]) -> impl Iterator<Item = &'t str> {
    const KEYWORDS: [&str; 9] = ["fn", "struct", "enum", "trait", "type", "const", "static", "mod", "union"];
    all.windows(3).filter_map(|three| {
        let [before, name, behind] = three else { return None };
        let is_item = KEYWORDS.contains(&before.text);
        let is_member = matches!(before.text, "{" | "," | "]" | "pub" | ")")
            && matches!(behind.text, ":" | "," | "(" | "{" | "}" | "=");
        (name.is_word() && (is_item || is_member)).then_some(name.text)
    })
}

/// Code in a document: what stands between two back-quotes.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines.flat_map(|(n, line)| line.split('`').skip(1).step_by(2).map(move |code| (n + 1, code)))
}

fn unknown(documents: &[File], names: &Names) -> Vec<String> {
    let mut complaints = Vec::new();
    for document in documents {
        for (line, code) in code(&document.text) {
            let word = code.trim_end_matches("()");
            let parts: Vec<&str> = word.split("::").collect();
            let is_name = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
            if !parts.iter().all(is_name) {
                continue;
            }
            let is_known = match parts[..] {
                [.., first, last] => names.know(first, last),
                // Alone, a word may be one of HTTP's: only such as look like Rust's are asked for.
                [word] if is_rust(word) => names.words.contains(word),
                _ => true,
            };
            if !is_known {
                complaints.push(format!("{}:{line}: the sources have no `{code}`", document.path));
            }
        }
    }
    complaints
}

/// `snake_case`, or `CamelCase` of two words at least.
fn is_rust(word: &str) -> bool {
    let lower = word.chars().any(char::is_lowercase);
    let humps = word.chars().zip(word.chars().skip(1)).filter(|(a, b)| a.is_lowercase() && b.is_uppercase()).count();
    lower && (word.contains('_') || (humps > 0 && word.starts_with(char::is_uppercase)))
}

#[test]
fn documents_name_only_files_that_exist() {
    let paths = repository("").into_iter().map(|file| file.path).collect();
    let documents = repository(".md");
    for needed in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        assert!(documents.iter().any(|document| document.path == needed), "{needed}");
    }
    assert_none(&absent(&documents, &paths));
}

#[test]
fn architecture_names_only_what_the_sources_have() {
    let page: Vec<File> =
        repository("ARCHITECTURE.md").into_iter().filter(|file| file.path == "ARCHITECTURE.md").collect();
    let libraries = libraries(&repository("proxy/Cargo.toml").remove(0).text);
    assert_none(&unknown(&page, &Names::of(&repository(".rs"), libraries)));
}

#[test]
fn absent_file_is_found() {
    let paths: BTreeSet<String> =
        ["README.md", "proxy/src/start.rs", ".ci/run", "tests/compare/README.md", "tests/src/driver.rs"]
            .map(str::to_owned)
            .into();
    let with = |text: &str| absent(&[File::new("README.md", text)], &paths);
    assert_none(&with(
        "See [the readme](README.md), `start.rs`, `src/driver.rs`, .ci/run, https://x.example/a.md, tls.crt.",
    ));
    assert_none(&absent(&[File::new("tests/compare/README.md", "README.md")], &paths));
    for gone in ["[x](GONE.md)", "`gone.rs`", ".ci/gone", "proxy/gone.rs.", "(justfile.toml)"] {
        assert_complains(&with(&format!("one\ntwo {gone}\n")), &["README.md:2: there is no file"]);
    }
}

#[test]
fn unknown_name_is_found() {
    let sources = [
        File::new(
            "proxy/src/pool/mod.rs",
            "pub struct Lease { pub reused: bool }\nimpl Lease { pub fn keep(&self) {} }",
        ),
        File::new("proxy/src/pool/idle.rs", "fn sweep() { monoio::spawn(x); }"),
        File::new("proxy/src/io/mod.rs", "pub enum IoError { Expired(Timer), Os }\nfn recv() {}"),
    ];
    let names = Names::of(&sources, vec!["monoio".to_owned()]);
    let with = |text: &str| unknown(&[File::new("ARCHITECTURE.md", text)], &names);
    assert_none(&with(
        "`pool::Lease` `Lease::keep()` `pool::idle` `pool::sweep` `IoError::Expired` `Lease::reused` `monoio::spawn`",
    ));
    assert_none(&with("`Proxy-Status` `Connection: close` `Via` `IoError` `SHUT_RD` `forwarded: off` `a::<b>`"));
    for gone in [
        "`pool::Gone`",
        "`Lease::gone`",
        "`gone::keep`",
        "`monoio::gone`",
        "`Lease::recv`",
        "`IoError::Gone`",
        "`GoneAway`",
        "`gone_away`",
    ] {
        assert_complains(&with(&format!("one\ntwo {gone}\n")), &["ARCHITECTURE.md:2:", gone]);
    }
}
