//! The few kernel doors that std does not open: epoll, timers, affinity, signals, and the counters of another process.
//!
//! The only file of this crate with `unsafe`. Each function checks its result and hands out owned descriptors or plain numbers.
//! Sockets are std's: its `read` and `write` are one `recv` and one `send`.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub const READ: u32 = libc::EPOLLIN as u32;
pub const WRITE: u32 = libc::EPOLLOUT as u32;
/// Reported whether asked for or not: both directions ended, or an error.
pub const GONE: u32 = (libc::EPOLLHUP | libc::EPOLLERR) as u32;

/// Events taken by one `wait`: as many as the measured connections, so that one turn can see them all.
const EVENTS_MAX: usize = 256;

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A level-triggered epoll set; a closed descriptor leaves it by itself.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed; the descriptor is new and owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(checked(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX] })
    }

    pub fn add(&self, source: &impl AsRawFd, token: u64, interest: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, source, token, interest)
    }

    pub fn modify(&self, source: &impl AsRawFd, token: u64, interest: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, source, token, interest)
    }

    fn control(&self, operation: i32, source: &impl AsRawFd, token: u64, interest: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest, u64: token };
        // SAFETY: both descriptors are open for the call and `event` outlives it.
        checked(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, source.as_raw_fd(), &mut event) }).map(drop)
    }

    /// Waits for events; returns how many. A signal ends the wait with none.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let milliseconds = timeout.map_or(-1, |t| i32::try_from(t.as_millis()).unwrap_or(i32::MAX));
        let room = self.events.as_mut_ptr();
        // SAFETY: `room` points to EVENTS_MAX initialised events that this call alone writes.
        let ready = checked(unsafe { libc::epoll_wait(self.fd.as_raw_fd(), room, EVENTS_MAX as i32, milliseconds) });
        match ready {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            other => other.map(|count| count as usize),
        }
    }

    /// The token and readiness of event `index` of the last `wait`.
    pub fn event(&self, index: usize) -> (u64, u32) {
        let event = self.events[index];
        (event.u64, event.events)
    }
}

/// Lets as many connections wait to be accepted as the system allows: std asks for 128, and a herd that is passed on brings a thousand at
/// once.
pub fn widen_backlog(listener: &TcpListener) -> io::Result<()> {
    const WAITING_MAX: i32 = 4096;
    // SAFETY: no pointer is passed; the descriptor is open for the call, and listening anew changes nothing but the backlog.
    checked(unsafe { libc::listen(listener.as_raw_fd(), WAITING_MAX) }).map(drop)
}

/// A timer that is readable once every `period`: for rates above the millisecond of epoll's timeout.
pub fn periodic_timer(period: Duration) -> io::Result<File> {
    let every = libc::timespec {
        tv_sec: period.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(period.subsec_nanos() as i32),
    };
    let setting = libc::itimerspec { it_interval: every, it_value: every };
    // SAFETY: the descriptor is new and owned by the File alone; `setting` outlives the call that reads it.
    unsafe {
        let fd = checked(libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC))?;
        let timer = File::from_raw_fd(fd);
        checked(libc::timerfd_settime(fd, 0, &setting, std::ptr::null_mut()))?;
        Ok(timer)
    }
}

/// Where `needle` starts in `haystack`; libc's search is vectorised, and the load core must stay cheap.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    // SAFETY: both pointers are valid for the lengths passed and memmem only reads.
    let at = unsafe { libc::memmem(haystack.as_ptr().cast(), haystack.len(), needle.as_ptr().cast(), needle.len()) };
    if at.is_null() { None } else { Some(at as usize - haystack.as_ptr() as usize) }
}

fn set_affinity(cpus: impl Iterator<Item = usize>) -> io::Result<()> {
    // SAFETY: cpu_set_t is plain bits, all zero is the empty set; CPU_SET stays inside as each is below its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for cpu in cpus {
            libc::CPU_SET(cpu.min(8 * size_of::<libc::cpu_set_t>() - 1), &mut set);
        }
        checked(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)).map(drop)
    }
}

pub fn pin_this_thread(cpu: usize) -> io::Result<()> {
    set_affinity(std::iter::once(cpu))
}

/// Before exec: the child runs on `cpus` only, and is told to stop when the thread that started it ends, whatever the reason.
pub fn pin_and_tie(command: &mut Command, cpus: RangeInclusive<usize>) {
    // SAFETY: between fork and exec only two system calls are made; nothing allocates or locks.
    unsafe {
        command.pre_exec(move || {
            checked(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM))?;
            set_affinity(cpus.clone())
        });
    }
}

pub fn signal(pid: u32, signal: i32) {
    // SAFETY: no pointer is passed; a process that is gone is no error here.
    unsafe { libc::kill(pid as i32, signal) };
}

pub fn is_root() -> bool {
    // SAFETY: reads a number of this process and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// utime + stime of all threads of a process in nanoseconds: those that ended and the kernel's io_uring threads included.
pub fn process_cpu_ns(pid: u32) -> io::Result<u64> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` and `time` are written by the calls and outlive them; all zero is a valid timespec.
    unsafe {
        let code = libc::clock_getcpuclockid(pid as i32, &mut clock);
        if code != 0 {
            return Err(io::Error::from_raw_os_error(code));
        }
        let mut time: libc::timespec = std::mem::zeroed();
        checked(libc::clock_gettime(clock, &mut time))?;
        Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }
}

/// Raises the soft limit of open files to the hard one, for us and for all that we start.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives both calls.
    unsafe {
        checked(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit))?;
        limit.rlim_cur = limit.rlim_max;
        checked(libc::setrlimit(libc::RLIMIT_NOFILE, &limit))?;
    }
    Ok(limit.rlim_cur)
}

/// Counts occurrences of a kernel tracepoint in one thread and in the threads that it starts later.
///
/// Errors: EACCES or EPERM where perf events are not permitted, ENOENT where there are none.
pub fn count_tracepoint(id: u64, thread: u32) -> io::Result<File> {
    const PERF_TYPE_TRACEPOINT: u64 = 2;
    const ATTR_BYTES: u64 = 64; // PERF_ATTR_SIZE_VER0: type and size, config, period, sample type, read format, flags, ...
    const INHERIT: u64 = 1 << 1;
    let attributes: [u64; 8] = [PERF_TYPE_TRACEPOINT | ATTR_BYTES << 32, id, 0, 0, 0, INHERIT, 0, 0];
    // SAFETY: `attributes` has the length that it states and outlives the call; the descriptor is new and owned by the File.
    unsafe {
        let fd = libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), thread as i32, -1, -1, 0);
        Ok(File::from_raw_fd(checked(fd as i32)?))
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_: i32) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Ctrl-C and SIGTERM only set a flag from now on: the run then ends by returning, and every guard stops its process.
pub fn catch_interrupts() {
    for number in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only stores to an atomic, which is safe in a signal handler.
        unsafe { libc::signal(number, note_interrupt as *const () as libc::sighandler_t) };
    }
}

pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
