//! Real servers that say how they read requests: nginx, Node's http, Go's net/http.
//!
//! A witness is sent the bytes that the proxy sent to the app, on a connection of its own. Behind whole requests comes one more, the
//! sentinel: a server that took too much or too little for a body cannot read it as it is.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use slipstream_tests::real::{Peer, go_runs, nginx, node_runs};
use slipstream_tests::{DEADLINE, Origin};

use crate::account::{Account, latin1};
use crate::recorder::Recorder;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Nginx,
    Node,
    Go,
}

pub const SERVERS: [Server; 3] = [Server::Nginx, Server::Node, Server::Go];

impl Server {
    pub fn name(self) -> &'static str {
        match self {
            Server::Nginx => "nginx",
            Server::Node => "Node",
            Server::Go => "Go",
        }
    }
}

pub const SENTINEL: &[u8] = b"GET /sentinel HTTP/1.1\r\nHost: sentinel\r\nConnection: close\r\n\r\n";

/// What a witness made of one request, the sentinel among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Read(Account),
    Refused(u16),
}

/// The three of them.
pub struct Witnesses {
    peers: [Peer; 3],
    behind_nginx: Recorder,
}

impl Witnesses {
    pub fn start() -> Witnesses {
        let behind_nginx = Recorder::start();
        // nginx says how it reads by what it passes on, so it passes on all: by itself it leaves out fields whose names have other
        // characters than letters, digits and dashes. It reads a body whole before it passes it on.
        let settings = format!(
            "underscores_in_headers on; ignore_invalid_headers off; client_max_body_size 0; large_client_header_buffers 4 64k;\n\
             location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_ignore_client_abort on;\n\
             proxy_request_buffering on; proxy_buffer_size 256k; proxy_buffers 4 256k; proxy_busy_buffers_size 512k; }}",
            behind_nginx.address()
        );
        let peers = [nginx(&settings, &[]), node_runs("witness.js", &[]), go_runs("witness.go", &[])];
        Witnesses { peers, behind_nginx }
    }

    /// What `server` makes of `stream`: `whole` requests, and behind them, where `is_whole` is false, a piece of one.
    pub fn ask(&self, server: Server, stream: &[u8], whole: usize, is_whole: bool) -> Vec<Answer> {
        let address = self.peers[server as usize].address();
        let answers = match is_whole {
            true => answers(address, &[stream, SENTINEL].concat(), whole + 1),
            false => answers(address, stream, whole),
        };
        self.behind_nginx.take(0);
        answers
    }
}

/// Sends `stream`, waits for `count` answers, then sends FIN and reads to the end.
///
/// FIN comes last: before the answers it would be a client that has gone.
fn answers(address: SocketAddr, stream: &[u8], count: usize) -> Vec<Answer> {
    let mut tcp = TcpStream::connect(address).unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
    tcp.set_nodelay(true).expect("a socket");
    tcp.set_read_timeout(Some(DEADLINE)).expect("a socket");
    tcp.set_write_timeout(Some(DEADLINE)).expect("a socket");
    // A server that refuses the first bytes may have closed before the last.
    let _ = tcp.write_all(stream);
    let (mut received, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    while parsed(&received).len() < count {
        match tcp.read(&mut buffer) {
            Ok(read) if read > 0 => received.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    let _ = tcp.shutdown(Shutdown::Write);
    let _ = tcp.read_to_end(&mut received);
    parsed(&received)
}

/// Answers with an account have no body, and those without one have none that looks like an answer.
fn parsed(received: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for line in received.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\r\n")) {
        let line = latin1(line.trim_ascii_end());
        if let Some(status) = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()) {
            if status >= 200 {
                answers.push(Answer::Refused(status));
            }
        } else if let Some((name, said)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("x-read")
        {
            *answers.last_mut().expect("a status line before the fields") = Answer::Read(Account::read(said));
        }
    }
    answers
}
