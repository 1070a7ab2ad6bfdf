//! The app: does to each request what its target asks for, and judges what reached it. A thread for each connection; the proxy's limits
//! bound how many there are.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use slipstream_tests::{DEADLINE, End, Inlet, Origin, Request, Rng};
use socket2::SockRef;

use crate::plan::{Act, Framed, Plan};
use crate::storm::Storm;

/// An app of the storm; it goes on until the process ends.
pub struct Sea(SocketAddr);

impl Origin for Sea {
    fn address(&self) -> SocketAddr {
        self.0
    }
}

impl Sea {
    pub fn open(storm: &Storm) -> Sea {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let storm = storm.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, storm) = (stream.expect("a connection"), storm.clone());
                std::thread::spawn(move || serve(stream, &storm));
            }
        });
        Sea(address)
    }
}

/// What becomes of the app's connection after a request.
enum Then {
    Keep,
    Close,
    Reset,
}

fn serve(stream: TcpStream, storm: &Storm) {
    stream.set_nodelay(true).expect("an option of TCP");
    stream.set_read_timeout(Some(DEADLINE)).expect("not zero");
    stream.set_write_timeout(Some(DEADLINE)).expect("not zero");
    let mut inlet = Inlet::new(stream.try_clone().expect("a descriptor"));
    loop {
        let head = match Request::read_head(&mut inlet) {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(broken) => return malformed(storm, broken.end),
        };
        let plan = Plan::read(&head.target);
        if let Some(plan) = plan.filter(|plan| plan.act == Act::Early)
            && answer(&stream, &plan, 0, storm).is_err()
        {
            return;
        }
        let request = match head.read_body(&mut inlet) {
            Ok(request) => request,
            Err(broken) => return malformed(storm, broken.end),
        };
        let then = match plan {
            None => unknown(&stream, &request, storm),
            Some(plan) => {
                judge(&request, &plan, storm);
                act(&stream, &mut inlet, &plan, storm)
            }
        };
        match then {
            Ok(Then::Keep) => {}
            Ok(Then::Close) | Err(_) => return,
            Ok(Then::Reset) => {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
        }
    }
}

fn malformed(storm: &Storm, end: End) {
    match end {
        End::Malformed(why) => storm.finding(format!("the app got what is no request: {why}")),
        _ => storm.count("app: requests broken off"),
    }
}

/// A request that came whole must be the one that was sent, or the client has broken it off and the proxy made it whole.
pub fn judge(request: &Request, plan: &Plan, storm: &Storm) {
    storm.count(format!("app: {}", plan.act.name()));
    let method = if plan.up.is_some() { "POST" } else { "GET" };
    if request.method != method || request.body != plan.request_body() {
        let (have, bytes) = (&request.method, request.body.len());
        storm.finding(format!("the app got {have} with {bytes} bytes, which are not those of {plan:?}"));
    }
}

/// What garbage asks for that was a request after all.
fn unknown(stream: &TcpStream, request: &Request, storm: &Storm) -> std::io::Result<Then> {
    storm.count("app: unknown");
    let body = if request.method == "HEAD" { "" } else { "none" };
    write!(&mut &*stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\n{body}")?;
    Ok(Then::Keep)
}

fn act(mut stream: &TcpStream, inlet: &mut Inlet<TcpStream>, plan: &Plan, storm: &Storm) -> std::io::Result<Then> {
    let mut rng = Rng::of_case(plan.tag, 1);
    // Short of the end, whatever the framing.
    let part = if plan.down == 0 { 0 } else { rng.below(plan.down) };
    match plan.act {
        Act::Whole => answer(stream, plan, 0, storm)?,
        Act::Slow => answer(stream, plan, rng.below(40), storm)?,
        // Answered already.
        Act::Early => {}
        Act::Cut | Act::Reset | Act::Stall => {
            stream.write_all(head(plan).as_bytes())?;
            let cut = &plan.answer_body()[..part];
            match plan.framed {
                Framed::Chunked => write_chunks(stream, cut, 0, storm)?,
                Framed::Length | Framed::Close => stream.write_all(cut)?,
            }
            match plan.act {
                Act::Cut => return Ok(Then::Close),
                Act::Reset => return Ok(Then::Reset),
                _ => drop(inlet.rest()),
            }
            return Ok(Then::Reset);
        }
        Act::Refuse if rng.percent(50) => return Ok(Then::Close),
        Act::Refuse => return Ok(Then::Reset),
        Act::Garbage => {
            let noise: Vec<u8> = (0..rng.below(300)).map(|_| rng.byte()).collect();
            let started: &[u8] = rng.pick(&[
                b"",
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
                b"HTTP/3.0 200 OK\r\n\r\n",
                b"HTTP/1.1 2000 OK\r\n\r\n",
            ]);
            stream.write_all(&[started, b"\0", &noise].concat())?;
            return Ok(Then::Close);
        }
        Act::Silent => {
            drop(inlet.rest());
            return Ok(Then::Close);
        }
    }
    if plan.framed == Framed::Close {
        return Ok(Then::Close);
    }
    // An idle connection that ends when it likes.
    Ok(match rng.below(40) {
        0 => Then::Close,
        // A larger answer may be on its way still, and a reset takes that back.
        1 if plan.down < 4_000 => Then::Reset,
        2 => {
            storm.pause(rng.below(30));
            Then::Close
        }
        _ => Then::Keep,
    })
}

/// An answer that is for one client has a cookie that no other has.
fn head(plan: &Plan) -> String {
    static COOKIES: AtomicU64 = AtomicU64::new(0);
    let framing = match plan.framed {
        Framed::Length => format!("Content-Length: {}", plan.down),
        Framed::Chunked => "Transfer-Encoding: chunked".into(),
        Framed::Close => "Connection: close".into(),
    };
    let cookie = match plan.is_for_one() {
        true => format!("Set-Cookie: for={}\r\n", COOKIES.fetch_add(1, Relaxed)),
        false => String::new(),
    };
    format!("HTTP/1.1 200 OK\r\nX-Tag: {}\r\n{cookie}{framing}\r\n\r\n", plan.tag)
}

/// The right answer, with a pause of `pause_ms` after each of a few pieces.
fn answer(mut stream: &TcpStream, plan: &Plan, pause_ms: usize, storm: &Storm) -> std::io::Result<()> {
    let (head, body) = (head(plan), plan.answer_body());
    if pause_ms > 0 {
        storm.pause(pause_ms);
    }
    match plan.framed {
        Framed::Chunked => {
            stream.write_all(head.as_bytes())?;
            write_chunks(stream, body, pause_ms, storm)?;
            stream.write_all(b"0\r\n\r\n")
        }
        Framed::Length | Framed::Close if pause_ms == 0 => stream.write_all(&[head.as_bytes(), body].concat()),
        Framed::Length | Framed::Close => {
            stream.write_all(head.as_bytes())?;
            for piece in body.chunks(piece_bytes(body)) {
                storm.pause(pause_ms);
                stream.write_all(piece)?;
            }
            Ok(())
        }
    }
}

fn write_chunks(mut stream: &TcpStream, body: &[u8], pause_ms: usize, storm: &Storm) -> std::io::Result<()> {
    for piece in body.chunks(piece_bytes(body)) {
        if pause_ms > 0 {
            storm.pause(pause_ms);
        }
        stream.write_all(&[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())?;
    }
    Ok(())
}

/// A body goes in eight pieces at most.
fn piece_bytes(body: &[u8]) -> usize {
    body.len().div_ceil(8).max(1)
}
