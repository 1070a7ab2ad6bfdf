//! Real neighbours: nginx, Node's http and Go's net/http as apps, curl, ab and Node's agent as clients. A program that is missing, or
//! does not start, fails the case.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

use tempfile::TempDir;

use crate::event::eventually;
use crate::{DEADLINE, Origin, spawn};

/// A real server as the app; killed when dropped.
pub struct Peer {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Origin for Peer {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// nginx with `files` (name, content) as its static files and `settings` in its server block, such as `keepalive_requests 3;`.
pub fn nginx(settings: &str, files: &[(&str, &[u8])]) -> Peer {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    for name in ["www", "tmp"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    for (name, content) in files {
        std::fs::write(directory.path().join("www").join(name), content).unwrap();
    }
    // nginx takes no port of the kernel's choice: it gets one that was free a moment ago, and another one should that be gone.
    for _ in 0..ATTEMPTS {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "daemon off; master_process off; pid {pid}; error_log {log} warn;\nevents {{}}\nhttp {{\n\
             client_body_temp_path {tmp}; proxy_temp_path {tmp}; fastcgi_temp_path {tmp}; uwsgi_temp_path {tmp}; scgi_temp_path {tmp};\n\
             access_log off; default_type text/plain; root {www};\nserver {{ listen {address}; {settings} }}\n}}\n",
            pid = path("pid"),
            log = path("error.log"),
            tmp = path("tmp"),
            www = path("www"),
        );
        std::fs::write(path("nginx.conf"), config).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-p", &path(""), "-e", &path("error.log"), "-c", &path("nginx.conf")]).stdin(Stdio::null());
        let mut child = spawn(command).unwrap_or_else(|error| panic!("nginx does not start: {error}"));
        let ended = eventually("nginx listens, or ends", || {
            let ended = child.try_wait().unwrap().is_some();
            (ended || TcpStream::connect(address).is_ok()).then_some(ended)
        });
        if !ended {
            return Peer { child, address, _directory: directory };
        }
    }
    panic!("nginx does not start: {}", std::fs::read_to_string(path("error.log")).unwrap_or_default());
}

/// How often nginx may find its port taken.
const ATTEMPTS: usize = 5;

/// `tests/peers/app.js` under Node; `settings` are its environment.
pub fn node(settings: &[(&str, &str)]) -> Peer {
    node_runs("app.js", settings)
}

/// A script of `tests/peers` under Node.
pub fn node_runs(script: &str, settings: &[(&str, &str)]) -> Peer {
    let mut command = Command::new("node");
    command.arg(source(script)).envs(settings.iter().copied());
    announced(command, TempDir::new().unwrap())
}

/// `tests/peers/app.go`, compiled by Go.
pub fn go(settings: &[(&str, &str)]) -> Peer {
    go_runs("app.go", settings)
}

/// A program of `tests/peers`, compiled by Go.
pub fn go_runs(program: &str, settings: &[(&str, &str)]) -> Peer {
    let directory = TempDir::new().unwrap();
    let binary = directory.path().join("program");
    let built =
        Command::new("go").arg("build").arg("-o").arg(&binary).arg(source(program)).env("GO111MODULE", "off").status();
    assert!(built.unwrap_or_else(|error| panic!("no go: {error}")).success(), "{program} does not compile");
    let mut command = Command::new(&binary);
    command.envs(settings.iter().copied());
    announced(command, directory)
}

/// Where a file of `tests/peers` lies.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

/// Runs `program` to its end and gives its stdout; panics where it fails, with what it said.
pub fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("no {program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{said}", output.status);
    output.stdout
}

/// curl with `arguments`, bounded in time, silent but for errors.
pub fn curl(arguments: &[&str]) -> Vec<u8> {
    run("curl", &[&["--silent", "--show-error", "--max-time", "30"], arguments].concat())
}

/// A program whose first line of stdout is its address.
fn announced(mut command: Command, directory: TempDir) -> Peer {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let program = format!("{command:?}");
    let mut child = spawn(command).unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (sender, line) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = stdout.read_line(&mut line);
        let _ = sender.send(line);
    });
    let line = line.recv_timeout(DEADLINE).unwrap_or_default();
    let address = line.trim().parse().unwrap_or_else(|_| panic!("{program} says no address: {line:?}"));
    Peer { child, address, _directory: directory }
}
