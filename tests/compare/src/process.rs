//! Processes that we start: pinned, tied to our life, ended when their guard drops.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{counters, sys};

/// How long a process may take to end after SIGTERM before it is killed.
const END_MAX: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(5);

/// A running process; dropping it ends it and its children.
pub struct Running {
    child: Child,
    log: PathBuf,
}

/// Starts `command` on `cpus` with its output in `log`.
pub fn start(mut command: Command, cpus: RangeInclusive<usize>, log: &Path) -> io::Result<Running> {
    let output = File::create(log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    sys::pin_and_tie(&mut command, cpus);
    Ok(Running { child: command.spawn()?, log: log.to_path_buf() })
}

impl Running {
    /// Our process and its children: of nginx the master and its worker.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = vec![self.child.id()];
        pids.extend(counters::children(self.child.id())?);
        Ok(pids)
    }

    /// Polls until `attempt` succeeds. Errors: the process ended, or `within` passed; both with the end of its log.
    pub fn wait_ready(&mut self, within: Duration, mut attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let end = Instant::now() + within;
        loop {
            let Err(error) = attempt() else { return Ok(()) };
            let reason = if let Some(status) = self.child.try_wait()? {
                format!("ended before it was ready ({status})")
            } else if Instant::now() > end {
                format!("not ready within {within:?} (last attempt: {error})")
            } else if sys::interrupted() {
                "interrupted".to_string()
            } else {
                thread::sleep(POLL); // a foreign process gives no event that all contestants share
                continue;
            };
            return Err(io::Error::other(format!("{reason}{}", self.log_end())));
        }
    }

    /// Ends it; `false`: it had to be killed after so long.
    pub fn end(mut self, within: Duration) -> bool {
        self.end_within(within)
    }

    fn end_within(&mut self, within: Duration) -> bool {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return true;
        }
        let pids = self.pids().unwrap_or_else(|_| vec![self.child.id()]);
        sys::signal(self.child.id(), libc::SIGTERM);
        let end = Instant::now() + within;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > end {
                // The child is not reaped, so its number is still its own; its children are killed while it stands.
                pids.iter().rev().for_each(|pid| sys::signal(*pid, libc::SIGKILL));
                let _ = self.child.wait(); // a killed child of ours can always be waited for
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }

    fn log_end(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].iter().map(|line| format!("\n    {line}")).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end_within(END_MAX);
    }
}

/// A loopback port that the kernel says is free.
pub fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}
