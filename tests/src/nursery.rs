//! Child processes that cannot outlive the test: the kernel kills them when the thread that made them ends.
//!
//! Test threads come and go, so one thread that lives as long as the process makes all children. A proxy shared by many cases sits in
//! a static, which Rust never drops; this is what ends it.

#![allow(unsafe_code, reason = "prctl in the child, between fork and exec")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

type Order = (Command, Sender<io::Result<Child>>);

/// Starts `command`; it is killed with the test process at the latest.
pub fn spawn(command: Command) -> io::Result<Child> {
    static NURSERY: OnceLock<Sender<Order>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, taken) = channel::<Order>();
        std::thread::Builder::new()
            .name("nursery".into())
            .spawn(move || {
                for (command, answer) in taken {
                    let _ = answer.send(bear(command));
                }
            })
            .unwrap();
        orders
    });
    let (answer, child) = channel();
    nursery.send((command, answer)).unwrap();
    child.recv().unwrap()
}

fn bear(mut command: Command) -> io::Result<Child> {
    // SAFETY: the closure runs in the forked child and makes one system call, which is async-signal-safe; it touches no memory.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    command.spawn()
}
