//! The doors between rooms: which room, and which library, the code of a room may use.
//!
//! The rows say what is allowed, from the leaves up to the spine and what stands around it. `room::Item` allows that item alone: where a
//! room below needs one word of a room that is otherwise none of its business. Code of tests may use anything.

use crate::files::reached;
use crate::tokens::{Token, tokens, without_tests};
use crate::{File, assert_complains, assert_none, repository};

struct Room {
    name: &'static str,
    /// Rooms of the proxy.
    rooms: &'static [&'static str],
    /// Libraries; the standard one is at the end of this file.
    libraries: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    // Leaves: words that everyone shares. They know nobody.
    Room { name: "timeouts", rooms: &[], libraries: &[] },
    Room { name: "http", rooms: &[], libraries: &[] },
    Room { name: "budget", rooms: &[], libraries: &[] },
    Room { name: "buf", rooms: &["budget"], libraries: &[] },
    Room { name: "pieces", rooms: &["buf"], libraries: &[] },
    Room { name: "stop", rooms: &[], libraries: &["tokio::sync::Notify"] },
    Room { name: "fault", rooms: &["timeouts"], libraries: &[] },
    Room { name: "config", rooms: &[], libraries: &["slipstream_schema", "serde_json", "clap::Args"] },
    Room { name: "log", rooms: &[], libraries: &["tracing", "tracing_subscriber", "tokio::sync::mpsc"] },
    // Bytes to and from the kernel. Alone with the runtime, the system calls and unsafe code.
    Room {
        name: "io",
        rooms: &["buf", "pieces", "timeouts", "config::IoDriver"],
        libraries: &["monoio", "libc", "socket2", "io_uring", "slab"],
    },
    // Bytes and their meaning: no socket, no clock.
    Room { name: "h1", rooms: &["buf", "fault", "http", "config::Forwarded"], libraries: &["httparse", "memchr"] },
    Room {
        name: "tls",
        rooms: &["budget", "buf", "io", "config::TlsSettings", "config::TlsMode", "config::ClientAuth"],
        libraries: &["rustls", "arc_swap", "memchr", "x509_parser"],
    },
    // What requests were: made of their heads and of the time; it returns nothing that a request depends on.
    Room {
        name: "telemetry",
        rooms: &[
            "buf::Buf",
            "config::Forwarded",
            "config::Pattern",
            "config::RoutePolicy",
            "fault",
            "h1::RequestHead",
            "http",
            "io::exact_ns",
            "timeouts",
        ],
        libraries: &["rtrb", "tokio::sync::Notify"],
    },
    Room { name: "transport", rooms: &["buf", "io", "pieces", "tls"], libraries: &[] },
    Room { name: "leave", rooms: &["config", "fault", "io", "transport"], libraries: &[] },
    // Below the spine: none knows another.
    Room { name: "route", rooms: &["config", "h1", "http"], libraries: &[] },
    Room { name: "reply", rooms: &["buf", "fault", "h1", "http"], libraries: &[] },
    Room { name: "limits", rooms: &[], libraries: &[] },
    Room {
        name: "coalesce",
        rooms: &["buf", "config", "fault", "h1", "http", "io::Tick", "pieces", "telemetry"],
        libraries: &["atomic_waker", "slab", "tokio::sync::mpsc"],
    },
    Room {
        name: "pool",
        rooms: &["fault", "io", "telemetry", "timeouts"],
        // The errors of a connect have no other names; the task that sweeps lives as long as its pool.
        libraries: &[
            "monoio::spawn",
            "libc::ECONNREFUSED",
            "libc::EMFILE",
            "libc::ENFILE",
            "libc::ENOBUFS",
            "libc::ENOMEM",
            "libc::EADDRNOTAVAIL",
        ],
    },
    Room {
        name: "downstream",
        rooms: &["buf", "config", "fault", "h1", "http", "io", "stop", "timeouts", "transport"],
        libraries: &["memchr"],
    },
    Room {
        name: "upstream",
        rooms: &["buf", "config", "fault", "h1", "http", "io", "leave", "telemetry", "timeouts", "transport"],
        libraries: &[],
    },
    // What the tasks of a worker share; it knows none of them.
    Room {
        name: "worker",
        rooms: &["budget", "coalesce::Board", "config", "http", "io", "stop", "telemetry", "timeouts"],
        libraries: &["arc_swap", "monoio::spawn"],
    },
    // The spine.
    Room {
        name: "serve",
        rooms: &[
            "budget",
            "buf",
            "coalesce",
            "config",
            "downstream",
            "fault",
            "h1",
            "http",
            "io",
            "leave",
            "limits",
            "listen::Listening",
            "listen::EVICTED_AT_ONCE",
            "pieces",
            "pool",
            "reply",
            "route",
            "stop::Phase",
            "telemetry",
            "timeouts",
            "transport",
            "upstream",
            "worker",
        ],
        libraries: &[],
    },
    // Above the spine: connections come in, threads are made.
    Room {
        name: "listen",
        rooms: &[
            "budget",
            "buf",
            "config::TlsMode",
            "downstream",
            "io",
            "limits::Permits",
            "pool::Pool",
            "serve",
            "stop::Phase",
            "telemetry::UpstreamName",
            "telemetry::WorkerCounters",
            "timeouts",
            "tls",
            "transport",
            "worker",
        ],
        libraries: &["slab", "tokio::sync::mpsc"],
    },
    Room {
        name: "start",
        rooms: &[
            "budget",
            "buf::HEAD_BYTES",
            "coalesce",
            "config",
            "control",
            "io",
            "limits::Permits",
            "listen",
            "pool::Pool",
            "report::Upstream",
            "stop",
            "telemetry",
            "tls",
            "worker",
        ],
        libraries: &["arc_swap", "monoio::spawn"],
    },
    // What the fuzz targets see of the sans-I/O rooms.
    Room { name: "fuzzing", rooms: &["buf", "h1", "http"], libraries: &[] },
    // Beside the workers: the control thread, and who starts it all.
    Room {
        name: "control",
        rooms: &[
            "admin",
            "budget",
            "config",
            "io::Tick",
            "io::exact_ns",
            "limits::Permits",
            "log",
            "otlp",
            "report",
            "stop",
            "tell",
            "telemetry",
            "tls",
        ],
        libraries: &["arc_swap", "tokio", "tracing", "libc::SIGTERM", "libc::SIGINT"],
    },
    Room {
        name: "report",
        rooms: &[
            "budget",
            "config",
            "control",
            "fault",
            "http::Method",
            "io::Tick",
            "limits::Permits",
            "stop",
            "telemetry",
            "timeouts",
            "tls",
        ],
        libraries: &["arc_swap"],
    },
    Room {
        name: "admin",
        rooms: &["report", "stop", "telemetry::families"],
        libraries: &["axum", "hyper", "hyper_util", "tokio", "serde_json"],
    },
    // From what was told to messages, and away with them.
    Room {
        name: "tell",
        rooms: &["fault", "http", "log::Entry", "otlp", "telemetry"],
        libraries: &["opentelemetry_proto", "serde::Serialize", "serde_json", "time", "tracing::Level"],
    },
    Room {
        name: "otlp",
        rooms: &[
            "telemetry::Propagators",
            "telemetry::Ratio",
            "telemetry::Root",
            "telemetry::Sampler",
            "telemetry::exports",
            "telemetry::families",
        ],
        libraries: &[
            "flate2",
            "http_body_util",
            "hyper",
            "hyper_util",
            "opentelemetry_proto",
            "prost",
            "rustls",
            "rustls_native_certs",
            "tokio",
            "tokio_rustls",
            "tracing",
        ],
    },
    Room {
        name: "demo",
        rooms: &["config", "control", "fault", "otlp::Url", "start", "stop", "telemetry"],
        libraries: &["axum", "hyper", "rcgen", "rustls", "tokio"],
    },
    Room { name: "cli", rooms: &["config", "demo", "otlp::Url"], libraries: &["clap", "slipstream_schema"] },
    Room { name: "drain", rooms: &[], libraries: &[] },
    Room { name: "main", rooms: &["cli", "demo", "drain", "log", "start"], libraries: &["tracing"] },
];

/// Parts of the standard library, and the only rooms that may use them.
const OF_STD: &[(&str, &[&str])] = &[
    ("std::fs", &["config", "demo", "report", "tls"]),
    ("std::process", &["cli", "control", "main", "start::abort", "demo"]),
    ("std::env", &["config", "log", "demo", "cli"]),
    ("std::net::TcpStream", &["demo", "drain", "io"]),
    ("std::net::TcpListener", &["control", "demo", "io", "start"]),
    ("std::net::UdpSocket", &[]),
    ("std::os::fd", &["io"]),
    ("std::os::unix", &["demo", "tls"]),
    ("std::sync::mpsc", &["start"]),
];

/// A path that code uses, from the root of the crate or with the name of a library.
#[derive(Debug, PartialEq, Eq)]
struct Used<'t> {
    path: Vec<&'t str>,
    line: usize,
}

/// All paths of a file that is the module `place`: of `use` items, and those written out.
fn used<'t>(all: &[Token<'t>], place: &[&'t str]) -> Vec<Used<'t>> {
    let mut found = Vec::new();
    // Modules within the file, each with the depth at which it ends.
    let (mut inner, mut depth): (Vec<(&str, usize)>, usize) = (Vec::new(), 0);
    let mut at = 0;
    while at < all.len() {
        let here = || place.iter().chain(inner.iter().map(|(name, _)| name)).copied().collect::<Vec<_>>();
        let is_path = all[at].is_word() && is_separator(&all[at + 1..]);
        match all[at].text {
            "mod" if all.get(at + 2).is_some_and(|token| token.text == "{") => inner.push((all[at + 1].text, depth)),
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inner.pop_if(|(_, outer)| *outer == depth);
            }
            "use" => {
                let mut leaves = Vec::new();
                at = tree(all, at + 1, &mut Vec::new(), &mut leaves);
                found.extend(leaves.into_iter().filter_map(|leaf| absolute(leaf, &here())));
                continue;
            }
            _ if is_path => {
                let mut used = Used { path: vec![all[at].text], line: all[at].line };
                while is_separator(&all[at + 1..]) && all.get(at + 3).is_some_and(Token::is_word) {
                    at += 3;
                    used.path.push(all[at].text);
                }
                found.extend(absolute(used, &here()));
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn is_separator(tokens: &[Token<'_>]) -> bool {
    crate::tokens::starts(tokens, &[":", ":"])
}

/// The leaves of a `use` tree that starts at `at`; returns where it ends.
fn tree<'t>(all: &[Token<'t>], mut at: usize, stem: &mut Vec<&'t str>, leaves: &mut Vec<Used<'t>>) -> usize {
    let own = stem.len();
    let mut line = all.get(at).map_or(0, |token| token.line);
    let mut is_leaf = false;
    while let Some(token) = all.get(at) {
        match token.text {
            ";" | "," | "}" => break,
            "{" => {
                at += 1;
                while all.get(at).is_some_and(|token| token.text != "}") {
                    at = tree(all, at, stem, leaves);
                    at += usize::from(all.get(at).is_some_and(|token| token.text == ","));
                }
                is_leaf = false;
            }
            // The new name says nothing.
            "as" => at += 1,
            ":" => {}
            "self" if own > 0 => is_leaf = true,
            name => {
                stem.push(name);
                (line, is_leaf) = (token.line, true);
            }
        }
        at += 1;
    }
    if is_leaf {
        leaves.push(Used { path: stem.clone(), line });
    }
    stem.truncate(own);
    at
}

/// From the root of the crate, or with a library's name; `None`: a path of the module itself.
fn absolute<'t>(mut used: Used<'t>, here: &[&'t str]) -> Option<Used<'t>> {
    let ups = used.path.iter().take_while(|part| **part == "super").count();
    match used.path[0] {
        "crate" => drop(used.path.remove(0)),
        "super" => {
            let above = &here[..here.len().saturating_sub(ups)];
            used.path.splice(..ups, above.iter().copied());
        }
        "self" | "Self" => return None,
        first => used.path = [&["::", first], &used.path[1..]].concat(),
    }
    (!used.path.is_empty()).then_some(used)
}

/// The module that a file of the proxy is: `["io", "stream"]`.
fn place_of(path: &str) -> Option<Vec<&str>> {
    let inside = path.strip_prefix("proxy/src/")?.strip_suffix(".rs")?;
    Some(inside.split('/').filter(|part| *part != "mod").collect())
}

/// `allowed` names the path or a part of it from the front.
fn allows(allowed: &str, path: &str) -> bool {
    path.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn broken(files: &[File], rooms: &[Room], libraries: &[String]) -> Vec<String> {
    let reached = reached(files);
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| reached.get(file.path.as_str()) == Some(&false)) {
        let Some(place) = place_of(&file.path).filter(|place| place[0] != "lib") else { continue };
        let Some(room) = rooms.iter().find(|room| room.name == place[0]) else {
            complaints.push(format!("{}:1: the room `{}` has no row in the table of doors", file.path, place[0]));
            continue;
        };
        let all = without_tests(&tokens(&file.text));
        for Used { path, line } in used(&all, &place) {
            complaints.extend(judge(room, &path, libraries).map(|why| format!("{}:{line}: {why}", file.path)));
        }
    }
    complaints
}

/// Why `room` may not use `path`.
fn judge(room: &Room, path: &[&str], libraries: &[String]) -> Option<String> {
    let name = room.name;
    match path {
        ["::", "std", ..] => {
            let path = path[1..].join("::");
            let (part, rooms) = OF_STD.iter().find(|(part, _)| allows(part, &path))?;
            let is_allowed = rooms.iter().any(|room| {
                let (room, item) = room.split_once("::").unwrap_or((room, ""));
                room == name && path.ends_with(item)
            });
            (!is_allowed).then(|| format!("`{name}` may not use {path}; {part} is for {rooms:?} alone"))
        }
        // The binary sees its library from outside.
        ["::", "slipstream_proxy", rest @ ..] => judge(room, rest, libraries),
        ["::", first, ..] if libraries.iter().any(|library| library == first) => {
            let path = path[1..].join("::");
            let is_allowed = room.libraries.iter().any(|allowed| allows(allowed, &path));
            (!is_allowed).then(|| format!("`{name}` may not use the library {path}; it has {:?}", room.libraries))
        }
        // A type, an enum or a module that a `use` has brought in.
        ["::", ..] => None,
        [first, rest @ ..] => {
            // What lib.rs hands on to the outside.
            let first = if matches!(*first, "Running" | "StartError") { "start" } else { first };
            let path = [&[first], rest].concat().join("::");
            let is_allowed = first == name || room.rooms.iter().any(|allowed| allows(allowed, &path));
            (!is_allowed).then(|| format!("`{name}` may not use {path}; its doors lead to {:?}", room.rooms))
        }
        [] => None,
    }
}

/// Names under which code uses the libraries of a manifest.
pub fn libraries(manifest: &str) -> Vec<String> {
    let sections = manifest.split("\n[").filter(|section| section.starts_with("dependencies]"));
    let lines = sections.flat_map(|section| section.lines().skip(1));
    let names = lines.filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| !name.is_empty());
    names.map(|name| name.replace('-', "_")).collect()
}

#[test]
fn every_room_keeps_to_its_doors() {
    let manifest = repository("proxy/Cargo.toml").remove(0);
    let libraries = libraries(&manifest.text);
    for library in ["monoio", "io_uring", "slipstream_schema", "tracing_subscriber"] {
        assert!(libraries.iter().any(|name| name == library), "{library} is not read off the manifest: {libraries:?}");
    }
    assert_none(&broken(&repository(".rs"), ROOMS, &libraries));
}

#[test]
fn no_room_below_the_spine_knows_one_beside_it_or_above() {
    const BESIDE: [&str; 7] = ["route", "reply", "limits", "pool", "downstream", "upstream", "worker"];
    const ABOVE: [&str; 11] =
        ["serve", "listen", "start", "control", "report", "admin", "otlp", "tell", "demo", "cli", "main"];
    let rows = |name: &str| ROOMS.iter().find(|room| room.name == name).unwrap_or_else(|| panic!("no row for {name}"));
    let leads_to = |room: &Room, names: &[&str]| {
        let door = room.rooms.iter().find(|door| names.contains(&door.split("::").next().unwrap_or_default()));
        door.map(|door| format!("{} > {door}", room.name))
    };
    for name in BESIDE {
        assert_eq!(leads_to(rows(name), &BESIDE), None);
    }
    for room in ROOMS.iter().filter(|room| !ABOVE.contains(&room.name)) {
        assert_eq!(leads_to(room, &ABOVE), None);
    }
    // The one door up from the spine is a table of what a listener's connections share.
    assert_eq!(leads_to(rows("serve"), &ABOVE).as_deref(), Some("serve > listen::Listening"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARIES: [&str; 3] = ["monoio", "libc", "rustls"];

    /// What the rules say of a file of `room` with this text.
    fn with(room: &str, text: &str) -> Vec<String> {
        let root = File::new("proxy/src/lib.rs", &format!("mod {room};"));
        let libraries = LIBRARIES.map(str::to_owned);
        broken(&[root, File::new(&format!("proxy/src/{room}.rs"), text)], ROOMS, &libraries)
    }

    #[test]
    fn path_of_any_form_is_found() {
        for text in [
            "\nuse crate::pool::Lease;",
            "\nuse crate::{buf::Buf, pool};",
            "use crate::{\nbuf::Buf, pool::{self, Lease as L}, h1};",
            "\npub(crate) use crate::pool::*;",
            "\nfn f() { let x = crate::pool::Pool::new(); }",
            "\nuse super::pool::Lease;",
            "mod inner {\nuse super::super::pool::Lease; }",
            "fn f(x: &str) -> u8 {\n    super::pool::warm(x)\n}",
        ] {
            let complaints = with("upstream", text);
            assert!(!complaints.is_empty(), "{text}");
            for complaint in complaints {
                assert!(complaint.starts_with("proxy/src/upstream.rs:2: `upstream` may not use pool"), "{complaint}");
            }
        }
    }

    #[test]
    fn what_is_no_use_is_not_taken_for_one() {
        for text in [
            "// crate::pool::Lease\n/// [`crate::pool::Lease`]\nconst A: &str = \"crate::pool\";",
            "mod inner { use super::pool; }\nfn f() { self::pool::g() }",
            "use crate::upstream::pool;",
            "#[cfg(test)]\nmod tests { use crate::pool::Lease; }",
            "fn f() { Pool::new(); pool::warm(); }",
        ] {
            assert_none(&with("upstream", text));
        }
    }

    #[test]
    fn door_for_one_item_lets_no_other_through() {
        assert_none(&with("h1", "use crate::config::Forwarded;"));
        assert_none(&with("h1", "fn f() { crate::config::Forwarded::Off }"));
        assert_complains(&with("h1", "\nuse crate::config::{Forwarded, Snapshot};"), &[".rs:2:", "config::Snapshot"]);
        assert_complains(&with("h1", "use crate::config;"), &["`h1` may not use config;"]);
        assert_complains(&with("h1", "use crate::config::ForwardedTo;"), &["config::ForwardedTo"]);
    }

    #[test]
    fn library_behind_the_wrong_door_is_found() {
        assert_none(&with("io", "use monoio::net::TcpStream;\nfn f() { libc::close(1); }"));
        assert_complains(
            &with("h1", "\nuse monoio::net::TcpStream;"),
            &[".rs:2:", "the library monoio::net::TcpStream"],
        );
        assert_complains(&with("pool", "fn f() {\n libc::close(1); }"), &[".rs:2:", "the library libc::close"]);
        assert_none(&with("pool", "fn f() { monoio::spawn(g()); libc::EMFILE }"));
        assert_complains(&with("serve", "fn f() { monoio::spawn(g()); }"), &["monoio::spawn"]);
        assert_complains(&with("downstream", "use rustls::ServerConfig;"), &["rustls::ServerConfig"]);
    }

    #[test]
    fn part_of_the_standard_library_behind_the_wrong_door_is_found() {
        assert_complains(&with("h1", "\nuse std::net::{IpAddr, TcpStream};"), &[".rs:2:", "std::net::TcpStream"]);
        assert_complains(&with("serve", "fn f() { std::fs::read(p) }"), &["std::fs::read"]);
        assert_complains(&with("tls", "use std::os::fd::AsRawFd;"), &["std::os::fd::AsRawFd"]);
        assert_complains(&with("start", "fn f() { std::process::exit(1) }"), &["std::process::exit"]);
        assert_none(&with("start", "fn f() { std::process::abort() }"));
        assert_none(&with("io", "use std::os::fd::AsRawFd;"));
    }

    #[test]
    fn room_without_a_row_is_found() {
        assert_complains(&with("attic", ""), &["proxy/src/attic.rs:1:", "`attic` has no row"]);
    }
}
