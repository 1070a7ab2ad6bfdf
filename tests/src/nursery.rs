//! Child processes that cannot outlive the test: the kernel kills them when the thread that made them ends.
//!
//! Test threads come and go, so one thread that lives as long as the process makes all children. A proxy shared by many cases sits in
//! a static, which Rust never drops; this is what ends it.

#![allow(unsafe_code, reason = "prctl in the child, between fork and exec")]

use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

type Order = (Command, Option<RawFd>, Sender<io::Result<Child>>);

/// Starts `command`; it is killed with the test process at the latest.
pub fn spawn(command: Command) -> io::Result<Child> {
    spawn_with(command, None)
}

/// As [`spawn`]; the child inherits `socket` under the same number. The caller keeps it open until this returns.
pub fn spawn_with(command: Command, socket: Option<RawFd>) -> io::Result<Child> {
    static NURSERY: OnceLock<Sender<Order>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, taken) = channel::<Order>();
        std::thread::Builder::new()
            .name("nursery".into())
            .spawn(move || {
                for (command, socket, answer) in taken {
                    let _ = answer.send(bear(command, socket));
                }
            })
            .unwrap();
        orders
    });
    let (answer, child) = channel();
    nursery.send((command, socket, answer)).unwrap();
    child.recv().unwrap()
}

fn bear(mut command: Command, socket: Option<RawFd>) -> io::Result<Child> {
    // SAFETY: the closure runs in the forked child and makes system calls only, which are async-signal-safe; it touches no memory.
    unsafe {
        command.pre_exec(move || {
            let killed = libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            let kept = socket.map_or(0, |socket| libc::fcntl(socket, libc::F_SETFD, 0));
            if killed < 0 || kept < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        });
    }
    command.spawn()
}
