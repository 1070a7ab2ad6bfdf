//! Allocations of the worker's thread for a request on a kept connection: none in the clear; with TLS rustls' own, one for each record.
//!
//! The proxy runs within this process, so that the allocator can be counted. All cases take turns: a worker is found by its thread's name.

// The counting allocator has to be one.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use slipstream_proxy::config::{
    DrainSettings, IoDriver, ListenerSettings, Memory, Settings, TlsSettings, UpstreamSettings, built_in_snapshot,
};
use slipstream_tests::{App, Certs, Client, Driver, Tls, on_both_drivers};

const THREADS_MAX: usize = 4096;
const WARM_UP: usize = 300;
const COUNTED: usize = 1000;

/// Allocations and the kernel's thread id, by the thread's place.
static COUNTS: [AtomicU64; THREADS_MAX] = [const { AtomicU64::new(0) }; THREADS_MAX];
static IDS: [AtomicU64; THREADS_MAX] = [const { AtomicU64::new(0) }; THREADS_MAX];
static PLACES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PLACE: Cell<usize> = const { Cell::new(usize::MAX) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes on to the system's allocator as it came; counting touches atomics and a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised us.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised us.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised us.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn count() {
    let place = PLACE.get();
    if place == usize::MAX {
        let place = PLACES.fetch_add(1, Relaxed);
        assert!(place < THREADS_MAX, "more threads than this test has room for");
        PLACE.set(place);
        // SAFETY: takes no memory.
        IDS[place].store(unsafe { libc::gettid() } as u64, Relaxed);
        COUNTS[place].store(1, Relaxed);
    } else {
        COUNTS[place].fetch_add(1, Relaxed);
    }
}

/// One case at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Allocations so far of the one thread that is named `worker-0`.
fn worker_allocations() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs is there").filter_map(Result::ok);
    let worker = tasks.into_iter().find_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        (name.trim() == "worker-0").then(|| task.file_name().to_str()?.parse::<u64>().ok())?
    });
    let worker = worker.expect("the proxy has one worker");
    let place = IDS.iter().position(|id| id.load(Relaxed) == worker).expect("it has allocated at its start");
    COUNTS[place].load(Relaxed)
}

fn start(driver: Driver, app: &App, tls: Option<(PathBuf, PathBuf)>, limit: Option<u32>) -> slipstream_proxy::Running {
    use slipstream_tests::Origin;
    let mut snapshot = built_in_snapshot();
    snapshot.policy.concurrency.limit = limit;
    let settings = Settings {
        listeners: vec![ListenerSettings {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: tls.map(|pair| TlsSettings::showing(vec![pair])),
            upstream: UpstreamSettings { authority: app.address().to_string(), addresses: vec![app.address()] },
        }],
        workers: 1,
        pin: false,
        io_driver: match driver {
            Driver::Epoll => IoDriver::Epoll,
            Driver::IoUring => IoDriver::IoUring,
        },
        admin: None,
        drain: DrainSettings { delay: Duration::ZERO, grace: Duration::from_secs(10) },
        name: "slipstream".to_owned(),
        memory: Memory { budget_bytes: 256 << 20, limit_bytes: None, stat: None },
        telemetry: Default::default(),
        snapshot: snapshot.into(),
    };
    slipstream_proxy::start(settings).expect("the proxy starts")
}

/// Allocations of [`COUNTED`] requests after [`WARM_UP`] ones, on one connection: the fewest of three rounds. A pool grows by one where a buffer
/// happens to come back from the kernel a turn later than ever before.
fn allocations(client: &mut Client, request: &str) -> u64 {
    let mut ask = |times: usize| {
        for _ in 0..times {
            client.send(request);
            assert_eq!(client.response().status, 200);
        }
    };
    ask(WARM_UP);
    let rounds = (0..3).map(|_| {
        let before = worker_allocations();
        ask(COUNTED);
        worker_allocations() - before
    });
    rounds.min().expect("three rounds")
}

fn get() -> String {
    "GET /kept HTTP/1.1\r\nHost: app.test\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n".to_owned()
}

fn post() -> String {
    format!("POST /kept HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1024\r\n\r\n{}", "b".repeat(1024))
}

fn whole() -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n{}", "a".repeat(1024))
}

fn chunked() -> String {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n{}\r\n0\r\n\r\n", "a".repeat(1024))
}

/// Plain: `request` answered by `answer` costs no allocation at all.
fn costs_none(driver: Driver, request: &str, answer: String, limit: Option<u32>) {
    let _turn = turn();
    let app = App::answering(answer);
    let proxy = start(driver, &app, None, limit);
    let mut client = Client::plain(proxy.listeners[0]);
    let counted = allocations(&mut client, request);
    drop(client);
    proxy.stop();
    assert_eq!(counted, 0);
}

on_both_drivers! {
    fn plain_get_allocates_nothing(driver: Driver) {
        costs_none(driver, &get(), whole(), None);
    }

    fn plain_post_allocates_nothing(driver: Driver) {
        costs_none(driver, &post(), whole(), None);
    }

    fn plain_chunked_answer_allocates_nothing(driver: Driver) {
        costs_none(driver, &get(), chunked(), None);
    }

    /// A limit on requests in flight that is not reached.
    fn plain_get_with_a_permit_allocates_nothing(driver: Driver) {
        costs_none(driver, &get(), whole(), Some(8));
    }

    /// A request and an answer are a record each.
    fn tls_allocates_for_each_record_once(driver: Driver) {
        let _turn = turn();
        let (app, certs) = (App::answering(whole()), Certs::new());
        let proxy = start(driver, &app, Some(certs.leaf(&["app.test"])), None);
        let mut client = Client::tls(proxy.listeners[0], &Tls::to("app.test", &certs));
        let counted = allocations(&mut client, &get());
        drop(client);
        proxy.stop();
        assert_eq!(counted, 2 * COUNTED as u64);
    }
}

/// The count can be other than 0.
#[test]
fn allocations_are_counted() {
    let before = PLACES.load(Relaxed);
    let place = std::thread::spawn(|| {
        let _memory = std::hint::black_box(vec![1u8; 100]);
        PLACE.get()
    });
    let place = place.join().unwrap();
    assert!(COUNTS[place].load(Relaxed) >= 1 && PLACES.load(Relaxed) > before);
}
