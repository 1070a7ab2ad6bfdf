//! The system calls of this room, each behind a safe function. All go through libc's symbols, so that a preloaded socket stack sees them.
#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// `-1` becomes the error in errno.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_len(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Reads what is there, without waiting.
pub fn recv(fd: RawFd, into: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the pointer and length are those of a live, exclusive slice.
    check_len(unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT | flags) })
}

/// Sends what the kernel takes, without waiting and without SIGPIPE.
pub fn send(fd: RawFd, from: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length are those of a live slice.
    check_len(unsafe { libc::send(fd, from.as_ptr().cast(), from.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) })
}

/// Sends what the kernel takes of several pieces, without waiting and without SIGPIPE.
pub fn send_scattered(fd: RawFd, places: &[libc::iovec]) -> io::Result<usize> {
    // SAFETY: an all-zero msghdr is a valid value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = places.as_ptr().cast_mut();
    message.msg_iovlen = places.len() as _;
    // SAFETY: the message points to live places, which the kernel only reads; whoever made them keeps the memory they point to.
    check_len(unsafe { libc::sendmsg(fd, &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) })
}

pub fn shutdown(fd: RawFd, how: libc::c_int) {
    // SAFETY: no memory is passed. An error (not connected any more) is what we want anyway.
    unsafe { libc::shutdown(fd, how) };
}

/// Ends a connection with a RST, whatever is queued: connect to `AF_UNSPEC` disconnects a TCP socket.
pub fn disconnect(fd: RawFd) {
    // SAFETY: an all-zero sockaddr is a valid value.
    let mut unspec: libc::sockaddr = unsafe { std::mem::zeroed() };
    unspec.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
    // SAFETY: the pointer and length are those of a live sockaddr.
    let done = unsafe { libc::connect(fd, &unspec, size_of::<libc::sockaddr>() as libc::socklen_t) };
    if done < 0 {
        linger_zero(fd);
        shutdown(fd, libc::SHUT_RDWR);
    }
}

/// From now on, closing `fd` sends a RST instead of a clean end.
pub fn linger_zero(fd: RawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the pointer and length are those of a live `linger`. Best effort: Unix sockets refuse it.
    unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
}

/// Accepts one connection, or `WouldBlock`. `nonblocking` as the driver wants its sockets.
pub fn accept(listener: RawFd, nonblocking: bool) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    // SAFETY: an all-zero sockaddr_storage is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let flags = libc::SOCK_CLOEXEC | if nonblocking { libc::SOCK_NONBLOCK } else { 0 };
    // SAFETY: both pointers are to live values, `len` says how much the first can take.
    let fd = check(unsafe { libc::accept4(listener, (&raw mut storage).cast(), &mut len, flags) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok((fd, address(&storage)))
}

fn address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage holds a sockaddr_in, which is smaller and less aligned.
            let v4 = unsafe { &*(storage as *const libc::sockaddr_storage).cast::<libc::sockaddr_in>() };
            Some(SocketAddr::from((v4.sin_addr.s_addr.to_ne_bytes(), u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let v6 = unsafe { &*(storage as *const libc::sockaddr_storage).cast::<libc::sockaddr_in6>() };
            Some(SocketAddr::from((v6.sin6_addr.s6_addr, u16::from_be(v6.sin6_port))))
        }
        _ => None,
    }
}

pub fn set_blocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, 0) }).map(drop)
}

pub fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub fn epoll_add(epoll: &OwnedFd, fd: RawFd, events: libc::c_int, token: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: events as u32, u64: token };
    // SAFETY: the pointer is to a live epoll_event.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) }).map(drop)
}

pub fn epoll_modify(epoll: &OwnedFd, fd: RawFd, events: libc::c_int, token: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: events as u32, u64: token };
    // SAFETY: the pointer is to a live epoll_event.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_MOD, fd, &mut event) }).map(drop)
}

pub fn epoll_remove(epoll: &OwnedFd, fd: RawFd) {
    // SAFETY: no memory is passed (a null event is allowed for DEL since Linux 2.6.9).
    unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
}

/// What is ready now, never waiting. Returns how many of `events` were filled.
pub fn epoll_poll(epoll: &OwnedFd, events: &mut [libc::epoll_event]) -> usize {
    // SAFETY: the pointer and length are those of a live, exclusive slice.
    let filled = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), events.len() as libc::c_int, 0) };
    usize::try_from(filled).unwrap_or(0)
}

pub fn timer_create() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Fires once when CLOCK_MONOTONIC reads `at_ns`, replacing what was set; 0 disarms.
pub fn timer_set(timer: &OwnedFd, at_ns: u64) {
    let spec = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec {
            tv_sec: (at_ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (at_ns % 1_000_000_000) as libc::c_long,
        },
    };
    // SAFETY: the pointer is to a live itimerspec; the old value is not asked for.
    unsafe { libc::timerfd_settime(timer.as_raw_fd(), libc::TFD_TIMER_ABSTIME, &spec, std::ptr::null_mut()) };
}

pub fn event_create() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub fn event_raise(event: &OwnedFd) {
    let one = 1u64;
    // SAFETY: eight bytes of a live u64 are read.
    unsafe { libc::write(event.as_raw_fd(), (&raw const one).cast(), 8) };
}

/// Empties an eventfd or a timerfd.
pub fn event_clear(event: &OwnedFd) {
    let mut count = 0u64;
    // SAFETY: eight bytes of a live u64 are written.
    unsafe { libc::read(event.as_raw_fd(), (&raw mut count).cast(), 8) };
}

/// CLOCK_MONOTONIC in nanoseconds, at the resolution of the kernel's tick (1 to 10 ms): a few nanoseconds to read.
pub fn clock_coarse_ns() -> u64 {
    clock(libc::CLOCK_MONOTONIC_COARSE)
}

/// How far CLOCK_MONOTONIC_COARSE may be behind.
pub fn clock_coarse_resolution_ns() -> u64 {
    let mut step = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &mut step) };
    step.tv_nsec.cast_unsigned()
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn clock_ns() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// Whole seconds since 1970.
pub fn unix_s() -> u64 {
    // SAFETY: a null pointer is allowed: the time is returned alone.
    let now = unsafe { libc::time(std::ptr::null_mut()) };
    u64::try_from(now).unwrap_or(0)
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(id, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// `SO_DOMAIN` of a socket, by libc's symbol and by the raw system call: they differ where a socket stack is preloaded.
pub fn socket_domain_twice(fd: RawFd) -> (libc::c_int, libc::c_int) {
    let mut seen = (0, 0);
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointers are to live values and `len` is the size of the first.
    unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_DOMAIN, (&raw mut seen.0).cast(), &mut len);
        len = size_of::<libc::c_int>() as libc::socklen_t;
        libc::syscall(libc::SYS_getsockopt, fd, libc::SOL_SOCKET, libc::SO_DOMAIN, &raw mut seen.1, &raw mut len);
    }
    seen
}

/// Gives free memory back to the system, also from between what is used. Takes a part of a millisecond for each MiB of the heap.
pub fn trim_memory() {
    // SAFETY: no memory is passed.
    unsafe { libc::malloc_trim(0) };
}

/// Unmaps our program's code and constants, which are as its file has them: what is used is mapped again at its next use, which takes a
/// part of a microsecond, and what only a start needs is not.
pub fn let_go_of_code() {
    unsafe extern "C" fn of_object(
        info: *mut libc::dl_phdr_info,
        _: libc::size_t,
        _: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader passes a description that lives for this call, with so many headers.
        let (base, headers) = unsafe {
            let info = &*info;
            (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
        };
        // SAFETY: no memory is passed.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0)
        {
            let begin = base + header.p_vaddr as usize;
            let (from, to) = (begin / page * page, (begin + header.p_memsz as usize).next_multiple_of(page));
            // SAFETY: a segment that nobody may write to has nothing that its file has not, so the next use reads the same.
            unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) };
        }
        // The program itself comes first, and no other object is asked for.
        1
    }
    // SAFETY: the function is called before this one returns, and takes no data.
    unsafe { libc::dl_iterate_phdr(Some(of_object), std::ptr::null_mut()) };
}

/// Lets the process have as many descriptors as it may: the soft limit is raised to the hard one. Best effort.
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are to a live rlimit.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// From here on memory of `bytes` and more is mapped from the system and goes back to it when it is freed, wherever it lies. Best effort.
pub fn map_memory_from(bytes: usize) {
    // SAFETY: no memory is passed.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX)) };
}

/// Pins the calling thread to the `nth` of the CPUs it may run on.
pub fn pin_to_nth_cpu(nth: usize) {
    // SAFETY: an all-zero cpu_set_t is the empty set; the calls read and write live values of the size they are told.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut allowed) != 0 {
            return;
        }
        let cpus: Vec<usize> = (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &allowed)).collect();
        let Some(&cpu) = cpus.get(nth % cpus.len().max(1)) else { return };
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut one);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &one);
    }
}
