//! A backend as a process: started on ports that were free a moment ago, waited for by its page of health, killed when dropped.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use super::program;
use crate::event::eventually;
use crate::inlet::Inlet;
use crate::{DEADLINE, Response, contains, spawn};

/// How often a part may find a port taken.
const ATTEMPTS: usize = 5;

/// Lines of its log that are printed when the case fails.
const LOG_LINES_MAX: usize = 100;

pub(super) struct Part {
    name: &'static str,
    program: PathBuf,
    /// Its configuration, its data, its log.
    directory: TempDir,
    addresses: Vec<SocketAddr>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    health: &'static str,
    child: Option<Child>,
}

impl Part {
    /// Starts the program `name` on `count` addresses and waits until it is well: until it answers `GET health` on the last of them by 200.
    /// `arguments` are made of its directory and its addresses, and once more with others where one turns out to be taken.
    pub fn start(
        name: &'static str,
        count: usize,
        health: &'static str,
        environment: &[(String, String)],
        arguments: impl Fn(&Path, &[SocketAddr]) -> Vec<String>,
    ) -> Part {
        let program = program(name);
        let mut log = String::new();
        for _ in 0..ATTEMPTS {
            let directory = TempDir::new().unwrap();
            let addresses = free(count);
            let arguments = arguments(directory.path(), &addresses);
            let (program, environment) = (program.clone(), environment.to_vec());
            let mut part = Part { name, program, directory, addresses, arguments, environment, health, child: None };
            match part.launch() {
                Ok(()) => return part,
                Err(ended) => log = ended,
            }
            if !contains(log.as_bytes(), b"address already in use") {
                break;
            }
        }
        panic!("{name} does not start:\n{log}");
    }

    /// Starts it once more after [`Part::end`], as it was.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.name);
        self.launch().unwrap_or_else(|log| panic!("{} does not start again:\n{log}", self.name));
    }

    /// Kills it: its connections are reset.
    pub fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn address(&self, index: usize) -> SocketAddr {
        self.addresses[index]
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it has written to both of its streams.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// Waits until it is well, or has ended: then `Err` is its log.
    fn launch(&mut self) -> Result<(), String> {
        let log: File = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().cloned()).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = spawn(command).unwrap_or_else(|error| panic!("{} does not start: {error}", self.name));
        let health = *self.addresses.last().expect("a part has an address");
        let ended = eventually(&format!("{} is well, or ends", self.name), || {
            let ended = child.try_wait().unwrap().is_some();
            (ended || ask(health, self.health).is_some_and(|page| page.status == 200)).then_some(ended)
        });
        self.child = Some(child);
        if ended {
            self.end();
            return Err(self.log());
        }
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let ended_itself =
            self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_some()));
        self.end();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n");
            eprintln!("--- log of {} ---\n{last}\n------------------------", self.name);
        } else {
            assert!(!ended_itself, "{} ended in the middle of the case:\n{}", self.name, self.log());
        }
    }
}

/// `GET target`, and its answer; `None`: nobody answers there, or not by the letter.
pub(super) fn ask(address: SocketAddr, target: &str) -> Option<Response> {
    let mut tcp = TcpStream::connect_timeout(&address, DEADLINE).ok()?;
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    std::io::Write::write_all(&mut tcp, request.as_bytes()).ok()?;
    Response::read(&mut Inlet::new(tcp), "GET").ok()
}

/// Loopback addresses that nobody listens on now. This process is given none twice: another part may be about to take it.
fn free(count: usize) -> Vec<SocketAddr> {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap();
    let given = given.get_or_insert_default();
    // Held until all are found: the kernel gives none of them twice.
    let mut held = Vec::new();
    let mut addresses = Vec::new();
    while addresses.len() < count {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        if given.insert(address.port()) {
            addresses.push(address);
        }
        held.push(listener);
    }
    addresses
}
