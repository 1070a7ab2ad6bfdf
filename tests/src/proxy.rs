//! The proxy as a process: built by a sentence, reached by the addresses it prints, killed at the latest when dropped.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cgroup::Cgroup;
use crate::client::Client;
use crate::event::eventually;
use crate::{DEADLINE, Driver, Metrics, Origin, proxy_binary, spawn};

/// A proxy that is not started yet.
#[derive(Debug, Clone)]
pub struct Proxy {
    upstream: String,
    listens: Vec<String>,
    certificates: Vec<(PathBuf, PathBuf)>,
    driver: Driver,
    workers: usize,
    config: Option<String>,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    descriptors: Option<usize>,
    memory_bytes: Option<u64>,
}

impl Proxy {
    /// One plain listener, one worker, epoll, the default policy.
    pub fn in_front_of(origin: &impl Origin) -> Proxy {
        Proxy {
            upstream: format!("http://{}", origin.address()),
            listens: vec!["http://127.0.0.1:0".into()],
            certificates: Vec::new(),
            driver: Driver::Epoll,
            workers: 1,
            config: None,
            flags: Vec::new(),
            environment: Vec::new(),
            descriptors: None,
            memory_bytes: None,
        }
    }

    pub fn driver(mut self, driver: Driver) -> Proxy {
        self.driver = driver;
        self
    }

    pub fn workers(mut self, workers: usize) -> Proxy {
        self.workers = workers;
        self
    }

    /// A TLS listener beside the plain one, with `certificate` (chain file, key file). Again: one more certificate, for the client's SNI.
    pub fn tls(mut self, certificate: (PathBuf, PathBuf)) -> Proxy {
        if self.certificates.is_empty() {
            self.listens.push("https://127.0.0.1:0".into());
        }
        self.certificates.push(certificate);
        self
    }

    /// More arguments of the command line.
    pub fn flags(mut self, flags: &[&str]) -> Proxy {
        self.flags.extend(flags.iter().map(ToString::to_string));
        self
    }

    /// Without coalescing: the app gets each request, also where a client can only send equal ones, as `ab` does.
    pub fn each_goes_up(self) -> Proxy {
        self.flags(&["--coalesce", "off"])
    }

    /// The text of a `--config` file.
    pub fn config(mut self, yaml: &str) -> Proxy {
        self.config = Some(yaml.into());
        self
    }

    /// The policy of a `--config` file, one `section: {..}` a line.
    pub fn policy(self, policy: &str) -> Proxy {
        let sections: String = policy.lines().map(|line| format!("  {}\n", line.trim())).collect();
        self.config(&format!("policy:\n{sections}"))
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Proxy {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// In a memory cgroup of its own, with this limit, from its first step on. Needs root.
    pub fn in_memory_cgroup(mut self, bytes: u64) -> Proxy {
        self.memory_bytes = Some(bytes);
        self
    }

    /// It may have so many descriptors open at once, and cannot raise that.
    pub fn descriptors(mut self, most: usize) -> Proxy {
        self.descriptors = Some(most);
        self
    }

    /// Starts the process and waits until it is ready.
    pub fn start(self) -> Running {
        let (mut running, stdout) = self.launch();
        let lines = running.lines(stdout);
        loop {
            match lines.recv_timeout(DEADLINE) {
                Ok(line) if line == "ready" => {
                    running.lines = Some(Mutex::new(lines));
                    return running;
                }
                Ok(line) => running.addresses.push(line),
                Err(_) => panic!("the proxy did not say that it is ready"),
            }
        }
    }

    /// Runs the process to its own end: what a bad configuration does.
    pub fn run_to_exit(self) -> Exit {
        self.launch().0.wait_for_exit()
    }

    fn launch(self) -> (Running, ChildStdout) {
        let cgroup = self.memory_bytes.map(Cgroup::with_memory);
        let mut command = match (&cgroup, self.descriptors) {
            (Some(cgroup), _) => within(cgroup),
            (None, None) => Command::new(proxy_binary()),
            // `ulimit` lowers the soft limit and the hard one.
            (None, Some(most)) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &most.to_string()]).arg(proxy_binary());
                shell
            }
        };
        command.arg("run").args(["--upstream", &self.upstream, "--io-driver", self.driver.flag()]);
        command.args(["--workers", &self.workers.to_string(), "--admin", "127.0.0.1:0"]);
        command.args(&self.flags);
        for listen in &self.listens {
            command.args(["--listen", listen]);
        }
        for (chain, key) in &self.certificates {
            command.arg("--tls-cert").arg(chain).arg("--tls-key").arg(key);
        }
        let directory = self.config.map(|yaml| {
            let directory = TempDir::new().unwrap();
            let file = directory.path().join("slipstream.yaml");
            std::fs::write(&file, yaml).unwrap();
            command.arg("--config").arg(file);
            directory
        });
        command.envs(self.environment);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(command).unwrap_or_else(|error| panic!("the proxy does not start: {error}"));
        let stdout = child.stdout.take().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let (kept, mut from) = (stderr.clone(), BufReader::new(child.stderr.take().unwrap()));
        let reader = std::thread::spawn(move || {
            let mut line = Vec::new();
            while matches!(from.read_until(b'\n', &mut line), Ok(count) if count > 0) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        let running = Running {
            child,
            addresses: Vec::new(),
            stderr,
            reader: Some(reader),
            exited: false,
            lines: None,
            _config: directory,
            cgroup,
        };
        (running, stdout)
    }
}

/// The binary, which a shell becomes once it is in `cgroup`.
fn within(cgroup: &Cgroup) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(cgroup.procs()).arg(proxy_binary());
    command
}

/// A proxy process. Dropped: no task of it may have panicked, and it is killed. When the case fails, its log is printed.
pub struct Running {
    child: Child,
    addresses: Vec<String>,
    stderr: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
    exited: bool,
    /// What it writes to stdout once it is ready.
    lines: Option<Mutex<Receiver<String>>>,
    _config: Option<TempDir>,
    cgroup: Option<Cgroup>,
}

/// How a process ended, and what it wrote to stderr.
#[derive(Debug)]
pub struct Exit {
    pub status: ExitStatus,
    pub stderr: String,
}

impl Exit {
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by signal {:?}: {}", self.status.signal(), self.stderr))
    }
}

impl Running {
    /// The plain listener.
    pub fn http(&self) -> SocketAddr {
        self.address("listening http://")
    }

    /// The TLS listener.
    pub fn https(&self) -> SocketAddr {
        self.address("listening https://")
    }

    pub fn admin(&self) -> SocketAddr {
        self.address("admin http://")
    }

    /// A plain connection.
    pub fn client(&self) -> Client {
        Client::plain(self.http())
    }

    /// Runs `slipstream-proxy drain` for this proxy.
    pub fn drain(&self) -> Exit {
        let mut command = Command::new(proxy_binary());
        command.args(["drain", "--admin", &self.admin().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = spawn(command).and_then(|child| child.wait_with_output()).unwrap();
        assert!(output.stdout.is_empty(), "drain has nothing to say");
        Exit { status: output.status, stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
    }

    pub fn metrics(&self) -> Metrics {
        let mut admin = Client::plain(self.admin());
        admin.send("GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        let response = admin.response();
        assert_eq!(response.status, 200, "{}", response.text());
        Metrics::parse(&response.text())
    }

    /// Scrapes until `holds`.
    pub fn metrics_until(&self, what: &str, mut holds: impl FnMut(&Metrics) -> bool) -> Metrics {
        let until = Instant::now() + DEADLINE;
        loop {
            let metrics = self.metrics();
            if holds(&metrics) {
                return metrics;
            }
            assert!(Instant::now() < until, "waited {DEADLINE:?} in vain: {what}; there is\n{}", metrics.counted());
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// What `of` comes to once it changes no more: a number goes down a moment after the answer that a client has read already.
    pub fn settled(&self, of: impl Fn(&Metrics) -> u64) -> u64 {
        const SAME_MIN: usize = 8;
        let (mut value, mut same) = (of(&self.metrics()), 1);
        while same < SAME_MIN {
            std::thread::park_timeout(Duration::from_millis(2));
            let now = of(&self.metrics());
            same = if now == value { same + 1 } else { 1 };
            value = now;
        }
        value
    }

    /// Where it is, if it was started by [`Proxy::in_memory_cgroup`].
    pub fn cgroup(&self) -> &Cgroup {
        self.cgroup.as_ref().expect("started in one")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many descriptors are open now, of those below `limit`: what was inherited from the case may be above. The proxy is not asked, so
    /// this works where it has none to spare.
    pub fn descriptors_below(&self, limit: usize) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        open.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().parse::<usize>().unwrap() < limit)
            .count()
    }

    /// How many descriptors are open now.
    pub fn descriptors(&self) -> usize {
        self.descriptors_below(usize::MAX)
    }

    /// Resident memory now, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Waits for the next line of stdout with `needle` in it.
    pub fn line_of_stdout(&self, needle: &str) -> String {
        let lines = self.lines.as_ref().expect("it has been started").lock().unwrap();
        loop {
            match lines.recv_timeout(DEADLINE) {
                Ok(line) if line.contains(needle) => return line,
                Ok(_) => {}
                Err(_) => panic!("waited {DEADLINE:?} in vain for {needle} on stdout"),
            }
        }
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(self) -> Exit {
        self.signal("TERM");
        self.wait_for_exit()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success(), "kill -s {name}");
    }

    /// Waits for the process to end by itself, or by a signal that was sent.
    pub fn wait_for_exit(mut self) -> Exit {
        let status = eventually("the proxy exits", || self.child.try_wait().unwrap());
        self.exited = true;
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        Exit { status, stderr: self.stderr() }
    }

    /// Lines of stdout, read by a thread so that waiting for them has a deadline. What comes after is read and dropped.
    fn lines(&self, stdout: ChildStdout) -> Receiver<String> {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            while matches!(stdout.read_line(&mut line), Ok(count) if count > 0) {
                if sender.send(line.trim_end().to_string()).is_err() {
                    let _ = stdout.read_to_end(&mut Vec::new());
                    return;
                }
                line.clear();
            }
        });
        receiver
    }

    fn address(&self, prefix: &str) -> SocketAddr {
        let found = self.addresses.iter().find_map(|line| line.strip_prefix(prefix));
        let found = found.unwrap_or_else(|| panic!("no {prefix:?} among {:?}", self.addresses));
        found.parse().unwrap_or_else(|_| panic!("not an address: {found:?}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the proxy ---\n{}------------------------", self.stderr());
        }
        let ended_itself = self.exited || self.child.try_wait().is_ok_and(|status| status.is_some());
        let panics = (!ended_itself && !std::thread::panicking()).then(|| self.metrics().panics());
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            assert!(self.exited || !ended_itself, "the proxy ended in the middle of the case:\n{}", self.stderr());
            assert!(panics.unwrap_or(0) == 0, "tasks of the proxy panicked:\n{}", self.stderr());
        }
    }
}
