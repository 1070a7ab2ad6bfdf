//! Which kernel interface moves the bytes: tried at the start, with the reason said, and built on each worker's own thread.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::rc::Rc;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::reactor::{Events, Reactor};
use super::sys;
use crate::config::IoDriver;

/// Submission queue entries of a ring. RLIMIT_MEMLOCK counts per user, and the sidecars of a node share theirs: 256 entries let four times
/// as many rings live as the usual 1,024, and a worker submits every turn anyway.
const RING_ENTRIES: u32 = 256;

/// How long the kernel's submission thread polls before it sleeps.
const SQPOLL_IDLE_MS: u32 = 2000;

/// What the data path needs of the kernel's ring.
const OPCODES: [u8; 6] = [
    io_uring::opcode::PollAdd::CODE,
    io_uring::opcode::Recv::CODE,
    io_uring::opcode::Send::CODE,
    io_uring::opcode::Close::CODE,
    io_uring::opcode::AsyncCancel::CODE,
    io_uring::opcode::Timeout::CODE,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Epoll,
    /// DEFER_TASKRUN and SINGLE_ISSUER: Linux 6.1.
    RingDefer,
    /// COOP_TASKRUN: Linux 5.19.
    RingCoop,
    RingPlain,
    RingSqpoll,
}

/// The driver that was chosen, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Driver {
    kind: Kind,
    preloaded: bool,
    /// Why this one, in one word for a metric's label.
    pub reason: &'static str,
}

/// A driver that was asked for by name and cannot be had.
#[derive(Debug)]
pub struct DriverError {
    driver: IoDriver,
    source: io::Error,
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = match self.source.raw_os_error() {
            Some(libc::EPERM) => {
                "it is forbidden here: by the container's seccomp profile (containerd's default forbids io_uring) or by the sysctl kernel.io_uring_disabled"
            }
            Some(libc::ENOSYS) => "this kernel has no io_uring",
            Some(libc::ENOMEM) => "the locked memory of this user is used up: raise RLIMIT_MEMLOCK (ulimit -l)",
            Some(libc::EINVAL) => "this kernel's io_uring lacks what it needs (Linux 5.11 at least)",
            _ => "the kernel refuses it",
        };
        write!(f, "the I/O driver {:?} cannot be had: {cause}; use --io-driver epoll or auto", self.driver)
    }
}

impl std::error::Error for DriverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Driver {
    /// Decides by trying. `Auto` always ends with a driver; a named one that cannot be had is an error.
    pub fn choose(wanted: IoDriver) -> Result<Driver, DriverError> {
        let preloaded = socket_stack_is_preloaded();
        let epoll = |reason| Driver { kind: Kind::Epoll, preloaded, reason };
        let ring = |kind, reason| Driver { kind, preloaded, reason };
        match wanted {
            IoDriver::Epoll => Ok(epoll("asked")),
            IoDriver::IoUring => {
                best_ring().map(|kind| ring(kind, "asked")).map_err(|source| DriverError { driver: wanted, source })
            }
            IoDriver::IoUringSqpoll => {
                try_ring(Kind::RingSqpoll).map_err(|source| DriverError { driver: wanted, source })?;
                Ok(ring(Kind::RingSqpoll, "asked"))
            }
            IoDriver::Auto if preloaded => Ok(epoll("preloaded")),
            IoDriver::Auto => Ok(match best_ring() {
                Ok(kind) => ring(kind, "available"),
                Err(error) => epoll(match error.raw_os_error() {
                    Some(libc::EPERM) => "forbidden",
                    Some(libc::ENOMEM) => "memlock",
                    Some(libc::ENOSYS) => "missing",
                    _ => "unsupported",
                }),
            }),
        }
    }

    pub fn name(self) -> &'static str {
        match self.kind {
            Kind::Epoll => "epoll",
            Kind::RingDefer | Kind::RingCoop | Kind::RingPlain => "io_uring",
            Kind::RingSqpoll => "io_uring-sqpoll",
        }
    }
}

/// The flags that pay, best first.
fn best_ring() -> io::Result<Kind> {
    try_ring(Kind::RingDefer).or_else(|_| try_ring(Kind::RingCoop)).or_else(|_| try_ring(Kind::RingPlain))
}

/// Builds a ring with the flags of `kind` and asks it for the opcodes we use: a sandbox may allow the setup and nothing after it.
fn try_ring(kind: Kind) -> io::Result<Kind> {
    let ring = ring_builder(kind).build(8)?;
    let mut probe = io_uring::Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    if OPCODES.iter().all(|&code| probe.is_supported(code)) {
        Ok(kind)
    } else {
        Err(io::Error::from_raw_os_error(libc::EINVAL))
    }
}

fn ring_builder(kind: Kind) -> io_uring::Builder {
    let mut builder = io_uring::IoUring::builder();
    match kind {
        Kind::RingDefer => builder.setup_coop_taskrun().setup_single_issuer().setup_defer_taskrun(),
        Kind::RingCoop => builder.setup_coop_taskrun(),
        Kind::RingSqpoll => builder.setup_sqpoll(SQPOLL_IDLE_MS),
        Kind::RingPlain | Kind::Epoll => &mut builder,
    };
    builder
}

/// A preloaded stack answers libc's call differently than the kernel answers the system call.
fn socket_stack_is_preloaded() -> bool {
    let Ok(socket) = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None) else { return false };
    let (by_libc, by_kernel) = sys::socket_domain_twice(socket.as_raw_fd());
    by_libc != by_kernel
}

/// One worker's event loop.
#[derive(Debug)]
pub struct Runtime;

impl Runtime {
    /// Runs `main` to its end on this thread. Everything else on the worker ends with it.
    ///
    /// Errors: the ring or the epoll set cannot be made on this thread.
    pub fn block_on<F: Future>(driver: Driver, main: impl FnOnce(Rc<Reactor>) -> F) -> io::Result<F::Output> {
        let ring = driver.kind != Kind::Epoll;
        let start = async || -> io::Result<F::Output> {
            let reactor = Reactor::new(ring, !driver.preloaded)?;
            monoio::spawn(run(reactor.clone()));
            Ok(main(reactor).await)
        };
        match driver.kind {
            Kind::Epoll => RuntimeBuilder::<LegacyDriver>::new().build()?.block_on(start()),
            _ => RuntimeBuilder::<IoUringDriver>::new()
                .with_entries(RING_ENTRIES)
                .uring_builder(ring_builder(driver.kind))
                .build()?
                .block_on(start()),
        }
    }
}

/// Watches the worker's epoll set for as long as the worker lives.
async fn run(reactor: Rc<Reactor>) {
    let Ok(duplicate) = reactor.epoll().try_clone() else { return };
    #[allow(unsafe_code)]
    // SAFETY: the descriptor is ours and open; monoio only polls it, which any descriptor allows.
    let stream = unsafe { std::net::TcpStream::from_raw_fd(duplicate.into_raw_fd()) };
    let Ok(set) = monoio::net::TcpStream::from_std(stream) else { return };
    let mut events = Events::new();
    // Not `readable(true)`: relaxed readiness is never cleared by the epoll driver, and spins.
    while set.readable(false).await.is_ok() {
        reactor.turn(&mut events);
    }
}
