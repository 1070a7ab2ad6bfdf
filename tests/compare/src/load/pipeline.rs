//! Pipelines: each connection sends many identical requests in one write, waits for all their answers, and sends the next ones.
//!
//! Each write asks for a path that no other has, so answers that were stored, or shared with another write, are seen as wrong. An answer is
//! compared as a whole with the one before it, which costs the load core less than reading its head does.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Counts, DRAIN_MAX, Edge, Load, OnEdge, Outcome, Plan, TURN_MAX};
use crate::stats::Latencies;
use crate::sys::{self, Epoll};
use crate::wire::{self, Verdict};

/// One read: all answers to one write of 64 requests for 1 KiB are some 80 KiB.
const READ_BYTES: usize = 256 * 1024;

struct Pipe {
    stream: TcpStream,
    path: Vec<u8>,
    out: Vec<u8>,
    /// The beginning of an answer whose rest has not come.
    kept: Vec<u8>,
    /// The last right answer to this write.
    model: Vec<u8>,
    waits_for: usize,
    sent: Instant,
}

struct Pipes<'a> {
    plan: &'a Plan,
    depth: usize,
    epoll: Epoll,
    pipes: Vec<Option<Pipe>>,
    scratch: Vec<u8>,
    writes: u64,
    counts: Counts,
    waits_for: usize,
}

/// What has been answered while the window is open.
struct Window {
    begin: Option<Instant>,
    answers: u64,
    latencies: Latencies,
}

pub fn pipelined(plan: &Plan, depth: usize, edge: OnEdge<'_>) -> Outcome<Load> {
    let mut pipes = Pipes {
        plan,
        depth,
        epoll: Epoll::new()?,
        pipes: Vec::new(),
        scratch: Vec::new(),
        writes: 0,
        counts: Counts::default(),
        waits_for: 0,
    };
    for number in 0..plan.connections {
        let stream = TcpStream::connect(plan.target)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        pipes.epoll.add(&stream, number as u64, sys::READ)?;
        pipes.pipes.push(Some(Pipe::new(stream)));
        pipes.send(number);
    }
    let mut window = Window { begin: None, answers: 0, latencies: Latencies::new() };
    for (length, measured) in [(plan.warm_up, false), (plan.window, true)] {
        if measured {
            edge(Edge::Begin).map(drop)?;
            window.begin = Some(Instant::now());
        }
        let end = Instant::now() + length;
        while Instant::now() < end && pipes.waits_for > 0 {
            pipes.turn(TURN_MAX, Some(&mut window))?;
        }
    }
    edge(Edge::End).map(drop)?;
    let length = window.begin.map_or(Duration::ZERO, |begin| begin.elapsed());
    pipes.drain()?;
    Ok(Load {
        counts: pipes.counts,
        window_answers: window.answers,
        transfer_bytes: 0,
        window: length,
        latencies: window.latencies,
        herds: Vec::new(),
    })
}

impl Pipes<'_> {
    /// Sends the next requests on connection `number`; a failure is counted and ends that connection.
    fn send(&mut self, number: usize) {
        let Some(pipe) = self.pipes[number].as_mut() else { return };
        self.writes += 1;
        self.counts.requests += self.depth as u64;
        self.waits_for += self.depth;
        let (body_bytes, writes) = (self.plan.body_bytes, self.writes);
        if let Err(error) = pipe.send(self.depth, |path| wire::write_path(path, body_bytes, number, writes)) {
            self.fail(number, &error);
        }
    }

    /// Takes what has arrived within `timeout`. Without a window nothing new is sent.
    fn turn(&mut self, timeout: Duration, mut window: Option<&mut Window>) -> Outcome<()> {
        for index in 0..self.epoll.wait(Some(timeout))? {
            let number = self.epoll.event(index).0 as usize;
            let Some(pipe) = self.pipes[number].as_mut() else { continue };
            let before = pipe.waits_for;
            let counts = &mut self.counts;
            let taken = pipe.take(&mut self.scratch, |verdict| {
                counts.answers += 1;
                if verdict.status != 200 {
                    counts.not_ok += 1;
                } else if !verdict.body_right {
                    counts.wrong_bodies += 1;
                }
            });
            let (answers, is_done, sent) = (before - pipe.waits_for, pipe.waits_for == 0, pipe.sent);
            self.waits_for -= answers;
            if let Err(error) = taken {
                self.fail(number, &error);
                continue;
            }
            let Some(window) = window.as_deref_mut() else { continue };
            if window.begin.is_some() {
                window.answers += answers as u64;
                if is_done {
                    window.latencies.record(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
                }
            }
            if is_done {
                self.send(number);
            }
        }
        if sys::interrupted() { Err("interrupted".into()) } else { Ok(()) }
    }

    fn fail(&mut self, number: usize, error: &io::Error) {
        if let Some(pipe) = self.pipes[number].take() {
            self.waits_for -= pipe.waits_for;
        }
        self.counts.errors += 1;
        self.counts.first_error.get_or_insert_with(|| format!("connection {number}: {error}"));
    }

    /// Waits for the answers that are on their way. One that never comes is an error.
    fn drain(&mut self) -> Outcome<()> {
        let end = Instant::now() + DRAIN_MAX;
        while self.waits_for > 0 && Instant::now() < end {
            self.turn(TURN_MAX, None)?;
        }
        if self.waits_for > 0 {
            self.counts.errors += self.waits_for as u64;
            self.counts.first_error.get_or_insert_with(|| format!("{} requests without answer", self.waits_for));
        }
        Ok(())
    }
}

impl Pipe {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            path: Vec::new(),
            out: Vec::new(),
            kept: Vec::new(),
            model: Vec::new(),
            waits_for: 0,
            sent: Instant::now(),
        }
    }

    /// A socket that cannot take some kilobytes is an error: nothing else is in flight on it.
    fn send(&mut self, depth: usize, write_path: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.path.clear();
        write_path(&mut self.path);
        self.out.clear();
        (0..depth).for_each(|_| wire::write_request(&mut self.out, &self.path));
        self.model.clear();
        self.waits_for = depth;
        self.sent = Instant::now();
        self.stream.write_all(&self.out)
    }

    /// Reads once and tells `on_answer` of each complete answer. The end of the connection is an error, as nobody may close it but us.
    fn take(&mut self, scratch: &mut Vec<u8>, mut on_answer: impl FnMut(Verdict)) -> io::Result<()> {
        let had = self.kept.len();
        scratch.resize(READ_BYTES + had, 0);
        scratch[..had].copy_from_slice(&self.kept);
        let count = match self.stream.read(&mut scratch[had..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut rest = &scratch[..had + count];
        while self.waits_for > 0 {
            let taken = wire::take_whole(rest, &self.path, &mut self.model);
            let Some((length, verdict)) = taken.map_err(|error| io::Error::other(error.0))? else { break };
            self.waits_for -= 1;
            on_answer(verdict);
            rest = &rest[length..];
        }
        if self.waits_for == 0 && !rest.is_empty() {
            return Err(io::Error::other("bytes that were not asked for"));
        }
        self.kept.clear();
        self.kept.extend_from_slice(rest);
        Ok(())
    }
}
