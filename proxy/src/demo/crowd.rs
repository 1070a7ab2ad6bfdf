//! A crowd of clients, each on a connection of its own, which all ask for the same thing at the same moment.
//!
//! In: an address, a target, how many. Out: how long each answer took, and what was wrong with the first that was wrong. One thread, so that
//! thousands of clients cost no thousands of threads.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// For all connections, and for all answers; a thousand take a quarter of a second.
const LONGEST: Duration = Duration::from_secs(30);

/// An answer of the app has under 300 bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

pub(super) struct Crowd<'a> {
    pub(super) address: SocketAddr,
    pub(super) size: u32,
    pub(super) target: &'a str,
    /// The body that is right.
    pub(super) body: &'a str,
}

/// A listener with room for a crowd that connects faster than it is accepted: std's has room for 128, and who finds none tries again after
/// a second.
pub(super) fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    const WAITING_MAX: u32 = 4096;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _context = runtime.enter();
    let socket = TcpSocket::new_v4()?;
    socket.bind(address)?;
    socket.listen(WAITING_MAX)?.into_std()
}

/// What the clients saw.
#[derive(Debug)]
pub(super) struct Seen {
    /// Until the last request had been sent.
    pub(super) sending: Duration,
    /// Of each right answer from its own request, the shortest first.
    pub(super) latencies: Vec<Duration>,
    pub(super) wrong: u32,
    pub(super) first_wrong: Option<String>,
}

impl Crowd<'_> {
    /// Connects them all, has them all ask, and waits for their answers. An error: they could not connect.
    pub(super) fn ask(&self) -> io::Result<Seen> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let streams = timeout(LONGEST, self.connect()).await.map_err(|_| late("connections"))??;
            Ok(self.ask_on(streams).await)
        })
    }

    async fn connect(&self) -> io::Result<Vec<TcpStream>> {
        let mut streams = Vec::new();
        for _ in 0..self.size {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        Ok(streams)
    }

    /// No connection is read from before all have asked: nothing is to come between two requests.
    async fn ask_on(&self, mut streams: Vec<TcpStream>) -> Seen {
        let Crowd { target, body, .. } = self;
        let host = self.address;
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: slipstream-demo\r\n\r\n");
        let begin = Instant::now();
        let mut asked = Vec::new();
        for stream in &mut streams {
            let sent = Instant::now();
            asked.push((sent, stream.write_all(request.as_bytes()).await));
        }
        let mut seen = Seen { sending: begin.elapsed(), latencies: Vec::new(), wrong: 0, first_wrong: None };
        let clients: Vec<_> = streams
            .into_iter()
            .zip(asked)
            .map(|(stream, (sent, asked))| {
                let body = (*body).to_owned();
                tokio::spawn(async move {
                    asked.map_err(|error| error.to_string())?;
                    let answer = timeout(LONGEST, answer(stream, &body)).await;
                    answer.unwrap_or_else(|_| Err(late("an answer").to_string())).map(|stream| (stream, sent.elapsed()))
                })
            })
            .collect();
        // Nobody leaves before all have their answers: the ends of connections are no part of the picture.
        let mut served = Vec::new();
        for client in clients {
            match client.await.unwrap_or_else(|error| Err(error.to_string())) {
                Ok((stream, latency)) => {
                    seen.latencies.push(latency);
                    served.push(stream);
                }
                Err(why) => {
                    seen.wrong += 1;
                    seen.first_wrong.get_or_insert(why);
                }
            }
        }
        seen.latencies.sort();
        seen
    }
}

/// Reads one answer, which must be 200 with this body, and its length in the head.
async fn answer(mut stream: TcpStream, body: &str) -> Result<TcpStream, String> {
    let mut bytes = Vec::new();
    loop {
        let count = stream.read_buf(&mut bytes).await.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            if !head.starts_with("HTTP/1.1 200 ") {
                return Err(format!("the answer begins with {:?}", head.lines().next().unwrap_or_default()));
            }
            let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            match length {
                Some(length) if rest.len() >= length => {
                    return if rest == body { Ok(stream) } else { Err(format!("the body is {rest:?}")) };
                }
                Some(_) => {}
                None => return Err("an answer without Content-Length".to_owned()),
            }
        }
        if count == 0 {
            return Err(format!("the connection ended after {} bytes", bytes.len()));
        }
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err("an answer without end".to_owned());
        }
    }
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} did not come within {} s", LONGEST.as_secs()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::demo::ports;

    /// One client, and this for an answer.
    fn told(answer: &'static [u8]) -> Seen {
        let listener = TcpListener::bind(ports::any()).unwrap();
        let address = listener.local_addr().unwrap();
        let app = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(answer).unwrap();
        });
        let seen = Crowd { address, size: 1, target: "/x", body: "right" }.ask().unwrap();
        app.join().unwrap();
        seen
    }

    #[test]
    fn answer_is_right_only_with_200_and_the_whole_body_and_no_more() {
        let right = told(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nright");
        assert_eq!((right.latencies.len(), right.wrong, right.first_wrong), (1, 0, None));
        for (answer, why) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong"[..], "the body is \"wrong\""),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nrightly", "the body is \"rightly\""),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nright", "the connection ended after 43 bytes"),
            (b"HTTP/1.1 503 No\r\ncontent-length: 5\r\n\r\nright", "the answer begins with \"HTTP/1.1 503 No\""),
            (b"HTTP/1.1 200 OK\r\n\r\nright", "an answer without Content-Length"),
            (b"", "the connection ended after 0 bytes"),
        ] {
            let seen = told(answer);
            assert_eq!((seen.latencies.len(), seen.wrong), (0, 1), "{why}");
            assert_eq!(seen.first_wrong.as_deref(), Some(why));
        }
    }
}
