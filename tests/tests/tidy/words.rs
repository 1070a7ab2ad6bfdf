//! Words that have no business where they stand.

use crate::files::reached;
use crate::tokens::{tokens, without_tests};
use crate::{File, assert_complains, assert_none, repository};

/// A word, and where it may stand: path prefixes, each with its reason.
struct Word {
    word: &'static str,
    /// Files that the rule is about.
    under: &'static str,
    allowed: &'static [(&'static str, &'static str)],
    why: &'static str,
}

const CLOCK: &str = "the data path reads time as `io::Tick`, once, coarsely";
const LOCK: &str = "a worker waits for no lock";

/// Of the code of the product; its tests are left out.
const WORDS: [Word; 8] = [
    Word {
        word: "unsafe",
        under: "",
        allowed: &[
            ("proxy/src/io/", "the one room that talks to the kernel"),
            ("tests/compare/src/sys.rs", "the benchmark's own door to the kernel"),
            ("tests/src/nursery.rs", "one call between fork and exec"),
        ],
        why: "`unsafe` lives in `io` alone",
    },
    Word {
        word: "Instant",
        under: "proxy/src/",
        allowed: &[
            ("proxy/src/demo/", "shows seconds to a person, on a thread of its own"),
            ("proxy/src/control/telling.rs", "tokio's: batches wait for their time"),
            ("proxy/src/otlp/send.rs", "tokio's: tries have a time"),
        ],
        why: CLOCK,
    },
    Word {
        word: "SystemTime",
        under: "proxy/src/",
        allowed: &[
            ("proxy/src/worker.rs", "the Date of an answer is wall time"),
            ("proxy/src/control", "certificates end by wall time"),
            ("proxy/src/tls/certs.rs", "certificates end by wall time, passed in"),
            ("proxy/src/demo/", "makes a certificate"),
            ("proxy/src/log.rs", "lines of the log have their time"),
        ],
        why: CLOCK,
    },
    Word { word: "Mutex", under: "proxy/src/", allowed: LOCKS, why: LOCK },
    Word { word: "RwLock", under: "proxy/src/", allowed: LOCKS, why: LOCK },
    Word { word: "Condvar", under: "proxy/src/", allowed: LOCKS, why: LOCK },
    Word {
        word: "sleep",
        under: "proxy/src/",
        allowed: &[
            ("proxy/src/admin/", "tokio's"),
            ("proxy/src/demo/", "the app thinks, on the control runtime"),
            ("proxy/src/otlp/send.rs", "tokio's"),
        ],
        why: "a blocked worker serves nobody; a task waits by `Reactor::sleep_until`",
    },
    Word { word: "dbg", under: "", allowed: &[], why: "left over from a search" },
];

const LOCKS: &[(&str, &str)] = &[
    ("proxy/src/stop.rs", "`Stop` is waited for by threads that are no workers"),
    ("proxy/src/demo/", "its traffic runs on threads of its own"),
    ("proxy/src/limits/permits.rs", "the line of who waits: held for a few instructions, while the limit is reached"),
];

fn misplaced(files: &[File], words: &[Word]) -> Vec<String> {
    let reached = reached(files);
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| reached.get(file.path.as_str()) == Some(&false)) {
        for token in without_tests(&tokens(&file.text)) {
            let rules = words.iter().filter(|rule| rule.word == token.text && file.path.starts_with(rule.under));
            for rule in rules.filter(|rule| !rule.allowed.iter().any(|(place, _)| file.path.starts_with(place))) {
                complaints.push(format!("{}:{}: `{}`: {}", file.path, token.line, rule.word, rule.why));
            }
        }
    }
    complaints
}

/// Marks of work that was not done, in any text. Spelt in two halves, or this file would have them.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

fn marked(files: &[File]) -> Vec<String> {
    let lines = files.iter().flat_map(|file| file.text.lines().enumerate().map(move |(n, line)| (file, n + 1, line)));
    let found = lines.filter_map(|(file, n, line)| {
        let mark =
            MARKS.into_iter().find(|mark| line.split(|c: char| !c.is_alphanumeric()).any(|word| word == *mark))?;
        Some(format!("{}:{n}: {mark}: do it, or say in the README what does not work", file.path))
    });
    found.collect()
}

#[test]
fn no_word_is_misplaced() {
    assert_none(&misplaced(&repository(".rs"), &WORDS));
}

#[test]
fn no_work_is_left_behind() {
    for ending in [".rs", ".md", ".toml", "justfile", ".ci/run"] {
        assert_none(&marked(&repository(ending)));
    }
}

#[test]
fn misplaced_word_is_found() {
    let root = File::new("proxy/src/lib.rs", "mod pool;\nmod io;\nmod demo;\nmod stop;\n");
    let with = |path: &str, text: &str| misplaced(&[root.clone(), File::new(path, text)], &WORDS);
    for (word, text) in [
        ("unsafe", "fn f() {\n unsafe { g() } }"),
        ("Instant", "fn f() {\n Instant::now(); }"),
        ("SystemTime", "\nuse std::time::{Duration, SystemTime};"),
        ("Mutex", "\nuse std::sync::{Arc, Mutex};"),
        ("RwLock", "\nstruct S(std::sync::RwLock<u8>);"),
        ("Condvar", "\nstruct S(Condvar);"),
        ("sleep", "fn f() {\n std::thread::sleep(d); }"),
        ("dbg", "fn f() {\n dbg!(1); }"),
    ] {
        assert_complains(&with("proxy/src/pool.rs", text), &["proxy/src/pool.rs:2: ", word]);
        assert_none(&with("proxy/src/pool.rs", &format!("// {word}\nconst A: &str = \"{word}\";")));
        assert_none(&with("proxy/src/pool.rs", &format!("#[cfg(test)]\nmod tests {{ {text} }}")));
    }
    assert_complains(&with("proxy/src/io.rs", "unsafe fn f() {}"), &["unsafe"]);
    let in_io = [root.clone(), File::new("proxy/src/io/mod.rs", "unsafe fn f() {}")];
    assert_none(&misplaced(&in_io, &WORDS));
    assert_none(&with("proxy/src/stop.rs", "use std::sync::Mutex;"));
}

#[test]
fn work_left_behind_is_found() {
    for mark in MARKS {
        let file = File::new("a.md", &format!("one\n// {mark}: later\n"));
        assert_complains(&marked(&[file]), &["a.md:2: ", mark]);
    }
    assert_none(&marked(&[File::new("a.md", concat!("TO", "DOS are none"))]));
}
