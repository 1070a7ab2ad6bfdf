//! No request that the proxy accepts is read by the app otherwise than by the proxy: random requests, well-formed and damaged, go
//! through it to an app that keeps their bytes, and nginx, Node and Go say how they read those bytes.
//!
//! A case holds where method, target, fields, body and the number of requests are the same for the client (by a straight reading of its
//! bytes), for the app (by the letter of the RFC), for the proxy (by its counter) and for every server that takes the request. That a server
//! refuses one is no other reading, but has to be in a table. A failed case prints its bytes, which may then go into `PINNED`.
//!
//! `DIFFERENTIAL_CASES` and `DIFFERENTIAL_SEED` in the environment ask for another run than the usual.

mod account;
mod compare;
mod literature;
mod mutations;
mod reading;
mod recorder;
mod refusals;
mod requests;
mod run;
mod witness;

use slipstream_tests::{Rng, asked, on_both_drivers};

use crate::account::Account;
use crate::compare::{Verdict, compare};
use crate::run::{Case, Stage};
use crate::witness::{SERVERS, Witnesses};

/// Cases under epoll and under io_uring, which reads bytes by other calls and gives them to the same parser. About 40 seconds in all.
const CASES: [u64; 2] = [4000, 1500];
const SEED: u64 = 9112;

/// Played before the random ones, as the literature is: what no run may miss.
const PINNED: &[&[u8]] = &[
    // An empty line before a request, which may come in two pieces.
    b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\rGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    // Legal, and refused by nginx and Node.
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\t\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nHost:\ta\r\nContent-Length:\t5\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\t\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    // A body that looks like the end of one and like a request.
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2d;0\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nX: aaaaaaaaaaaaaa\r\n0\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: bbb\r\n\r\n",
    // Broken off behind what could pass for an end.
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
    // A chunk that lies about its size.
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
    // Connection names what it must not.
    b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: Content-Length, Host\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
];

/// How many failed cases a run shows before it gives up.
const FAILURES_MAX: usize = 5;

on_both_drivers! {
    needs "nginx, node, go";

    fn what_is_accepted_is_read_alike_by_real_servers(driver: Driver) {
        let mut stage = Stage::set(driver);
        let (seed, cases) = (asked("DIFFERENTIAL_SEED", SEED), asked("DIFFERENTIAL_CASES", CASES[driver as usize]));
        let pinned = PINNED.iter().flat_map(|bytes| [Case::literal(bytes), Case::literal(bytes).in_single_bytes()]);
        let failures: Vec<String> = pinned
            .chain(literature::all().iter().map(|bytes| Case::literal(bytes)))
            .chain((0..cases).map(|number| Case::made(&mut Rng::of_case(seed, number))))
            .filter_map(|case| stage.play(&case).err().map(|why| format!("{why}\n    {case}")))
            .take(FAILURES_MAX)
            .collect();
        println!("{}, seed {seed}: {}", driver.flag(), stage.tally);
        assert!(failures.is_empty(), "seed {seed}:\n{}", failures.join("\n"));
        stage.tally.assert_worth_something();
    }
}

/// The comparison can fail: each server, asked about bytes that were meant otherwise, is found to differ.
#[test]
#[ignore = "needs nginx, node, go"]
fn another_reading_is_found_at_every_server() {
    let witnesses = Witnesses::start();
    let host = || vec![("Host".to_string(), "a".to_string())];
    let post = |body: &str| Account::new("POST", "/a", host(), Vec::new(), body.as_bytes().to_vec());
    let get = Account::new("GET", "/b", host(), Vec::new(), Vec::new());
    let bytes = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    for server in SERVERS {
        let verdict = |ours: &[Account]| compare(ours, true, &witnesses.ask(server, bytes, ours.len(), true));
        assert_eq!(verdict(&[post("hello"), get.clone()]), Verdict::Agrees, "{server:?}");
        for other in [
            vec![post("hell"), get.clone()],
            vec![post("hello")],
            vec![post("hello"), get.clone(), get.clone()],
            vec![post(""), get.clone()],
            vec![get.clone(), post("hello")],
        ] {
            assert!(matches!(verdict(&other), Verdict::Differs(_)), "{server:?}: {other:?}");
        }
    }
}
