//! `slipstream-proxy drain`: asks a proxy that runs to end in order.
//!
//! In: the address of its admin server. Out: it drains, or why it does not. A pod's `preStop` hook runs this with the kubelet waiting, and as a
//! process of its own, so it is one request on a plain socket with a bound on every wait. Must not know: how a proxy drains.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The admin server is on loopback, and answers without asking a worker.
const WAIT: Duration = Duration::from_secs(2);

/// The answer is a line behind a few fields.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Why it does not drain.
#[derive(Debug)]
pub enum DrainError {
    /// Nobody can be asked.
    Unreachable { admin: SocketAddr, source: io::Error },
    /// Who was asked refuses, or is no admin server of ours.
    Refused { admin: SocketAddr, answer: String },
}

impl fmt::Display for DrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DrainError::Unreachable { admin, source } => write!(
                f,
                "no proxy can be asked at {admin}: {source}; name its admin server with --admin ADDRESS:PORT, as `run --admin` has it"
            ),
            DrainError::Refused { admin, answer } => write!(
                f,
                "{admin} does not drain: it answers {answer}; name the admin server of a proxy with --admin ADDRESS:PORT, as `run --admin` has it"
            ),
        }
    }
}

impl std::error::Error for DrainError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DrainError::Unreachable { source, .. } => Some(source),
            DrainError::Refused { .. } => None,
        }
    }
}

/// Asks, and returns as soon as that is understood: the proxy serves on for as long as its `drain.delay` says.
pub fn ask(admin: SocketAddr) -> Result<(), DrainError> {
    let answer = post(admin).map_err(|source| DrainError::Unreachable { admin, source })?;
    let line = answer.lines().next().unwrap_or_default();
    if line.split(' ').nth(1) == Some("202") {
        return Ok(());
    }
    let said = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim_end());
    let answer = if line.is_empty() { "nothing".to_owned() } else { format!("`{line}` {said}").trim_end().to_owned() };
    Err(DrainError::Refused { admin, answer })
}

fn post(admin: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    // In one piece: written part by part, a server that has read the first might answer and close before the last.
    let request = format!("POST /drain HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What is said of a server that answers with these bytes.
    fn asked(answer: &'static str) -> (SocketAddr, Result<(), String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let n = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        let said = ask(admin).map_err(|error| error.to_string());
        assert!(server.join().unwrap().starts_with("POST /drain HTTP/1.1\r\n"));
        (admin, said)
    }

    #[test]
    fn answer_202_is_enough() {
        assert_eq!(asked("HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\ndraining\n").1, Ok(()));
    }

    #[test]
    fn any_other_answer_is_shown() {
        for (answer, shown) in [
            ("HTTP/1.1 403 Forbidden\r\n\r\non loopback only\n", "`HTTP/1.1 403 Forbidden` on loopback only;"),
            ("HTTP/1.1 200 OK\r\n\r\n", "`HTTP/1.1 200 OK`;"),
            ("", "nothing;"),
        ] {
            let (admin, said) = asked(answer);
            let said = said.unwrap_err();
            assert!(said.starts_with(&format!("{admin} does not drain: it answers {shown}")), "{said}");
        }
    }

    #[test]
    fn where_nobody_listens_the_address_and_the_cure_are_named() {
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let said = ask(admin).unwrap_err().to_string();
        assert!(said.starts_with(&format!("no proxy can be asked at {admin}: ")) && said.contains("--admin"), "{said}");
    }
}
