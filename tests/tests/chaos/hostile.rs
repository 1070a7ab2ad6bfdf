//! Clients that break off, drip, and send what is nothing: they get what they get, and it ends.

use std::io::{Read, Write};

use slipstream_tests::{End, Inlet, Response, Rng};

use crate::clients::{Asked, Excuse, judge};
use crate::link::{Doors, Link, connected, reach};
use crate::plan::Plan;
use crate::storm::Storm;

/// Resets or closes at any point of a request, or of its answer.
pub fn breaker(doors: &Doors, storm: &Storm, mut rng: Rng) {
    while let Some(mut link) = reach(storm, || Link::open(doors, rng.percent(50))) {
        let asked = Asked::new(Plan::random(&mut rng), &mut rng);
        let at = rng.below(asked.bytes.len() + 1);
        // As often within the head as within the body.
        let at = if rng.percent(50) { at.min(rng.below(200)) } else { at };
        let _ = link.send(&asked.bytes[..at]);
        storm.count("breakers");
        if rng.percent(50) {
            storm.pause(rng.below(60));
        }
        if at == asked.bytes.len() {
            let _ = link.read(&mut [0; 1000]);
        }
        if rng.percent(60) {
            link.reset();
        }
    }
}

/// Sends a request in small pieces with pauses: some come to their end in time, some stop half-way and wait for what is said to that.
pub fn dripper(doors: &Doors, storm: &Storm, mut rng: Rng) {
    while let Some(link) = reach(storm, || Link::open(doors, rng.percent(50))) {
        let mut link = Inlet::new(link);
        let asked = Asked::new(Plan::harmless(&mut rng), &mut rng);
        let (pieces, ms) = (1 + rng.below(40), rng.below(120));
        let pieces_sent = if rng.percent(30) { pieces / 2 } else { pieces };
        storm.count("drippers");
        for piece in asked.bytes.chunks(asked.bytes.len().div_ceil(pieces)).take(pieces_sent) {
            if storm.is_over() || link.source.send(piece).is_err() {
                break;
            }
            storm.pause(ms);
        }
        if storm.is_over() {
            return;
        }
        let method = if asked.plan.up.is_some() { "POST" } else { "GET" };
        judge(&asked.plan, Response::read(&mut link, method), Excuse::Client, storm);
    }
}

/// Drips a TLS handshake: whole now and then, and otherwise given up.
pub fn handshake_dripper(doors: &Doors, storm: &Storm, mut rng: Rng) {
    while let Some(mut tcp) = reach(storm, || connected(doors.tls, None)) {
        let mut session = doors.trust.session();
        let mut hello = Vec::new();
        session.write_tls(&mut hello).expect("a Vec takes it");
        let end = if rng.percent(50) { hello.len() } else { rng.below(hello.len()) };
        let (bytes, ms) = (1 + rng.below(100), rng.below(60));
        storm.count("handshake drippers");
        for piece in hello[..end].chunks(bytes) {
            storm.pause(ms);
            if tcp.write_all(piece).is_err() {
                break;
            }
        }
        if end == hello.len()
            && let Ok(mut link) = Link::shake_hands(tcp, session)
        {
            let asked = Asked::new(Plan::harmless(&mut rng), &mut rng);
            let _ = link.send(&asked.bytes);
            let method = if asked.plan.up.is_some() { "POST" } else { "GET" };
            judge(&asked.plan, Response::read(&mut Inlet::new(link), method), Excuse::Client, storm);
        }
    }
}

/// Sends noise, damaged requests, TLS to the plain listener and the reverse. Whatever comes of it comes to an end.
pub fn garbage(doors: &Doors, storm: &Storm, mut rng: Rng) {
    const REQUEST: &[u8] = b"POST /noise HTTP/1.1\r\nHost: chaos\r\nContent-Length: 10\r\nX-A: b\r\n\r\n0123456789";
    loop {
        let noise: Vec<u8> = (0..rng.below(3_000)).map(|_| rng.byte()).collect();
        let mut hello = Vec::new();
        doors.trust.session().write_tls(&mut hello).expect("a Vec takes it");
        let mut bytes = rng.pick(&[&noise[..], REQUEST, &hello]).to_vec();
        for _ in 0..rng.below(4) {
            if !bytes.is_empty() {
                let at = rng.below(bytes.len());
                bytes[at] = rng.byte();
            }
        }
        storm.count("garbage");
        let end = if rng.percent(50) {
            let Some(mut link) = reach(storm, || Link::open(doors, rng.percent(50))) else { return };
            let _ = link.send(&bytes);
            Inlet::new(link).rest().1
        } else {
            let Some(mut tcp) = reach(storm, || connected(rng.pick(&[doors.plain, doors.tls]), None)) else { return };
            let _ = tcp.write_all(&bytes);
            Inlet::new(tcp).rest().1
        };
        if end == End::Deadline {
            storm.finding(format!("garbage holds its connection: {}", slipstream_tests::shown(&bytes)));
        }
    }
}
