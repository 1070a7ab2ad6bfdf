//! A control thread in this process, asked over its socket as a kubelet would.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;

use super::*;
use crate::config::TelemetrySettings;

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(20);

fn idle() -> ControlSettings {
    ControlSettings {
        admin: Some(TcpListener::bind("127.0.0.1:0").unwrap()),
        counters: vec![Arc::default(), Arc::default()],
        exports: Arc::default(),
        upstreams: Vec::new(),
        permits: crate::limits::Permits::forever(None),
        snapshot: Arc::new(ArcSwap::from_pointee(crate::report::testing::snapshot())),
        driver: Driver { name: "epoll", reason: "asked for".to_owned() },
        certificates: Vec::new(),
        budget: Budget::new(1 << 20, 1),
        memory_limit_bytes: None,
        kernel_memory: None,
        ready: Arc::default(),
        stop: Arc::default(),
        drain: DrainSettings { delay: HOUR, grace: HOUR },
        listening: crate::telemetry::rings(&[], None, 0).1,
        telemetry: Exporting::prepare(&TelemetrySettings::default(), &Arc::default()).0,
    }
}

/// The status of a GET.
fn status(control: &Control, path: &str) -> u16 {
    let mut stream = TcpStream::connect(control.admin.unwrap()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer[9..12].parse().unwrap()
}

#[test]
fn probes_follow_the_proxy_from_start_to_stop() {
    let settings = idle();
    let (ready, stop) = (settings.ready.clone(), settings.stop.clone());
    let control = spawn(settings).unwrap();
    let probes = || ["/live", "/startup", "/ready"].map(|path| status(&control, path));
    assert_eq!(probes(), [200, 503, 503]);
    ready.store(true, Ordering::Release);
    assert_eq!(probes(), [200, 200, 200]);
    for phase in [Phase::Draining, Phase::Closing, Phase::Leaving, Phase::Ended] {
        stop.advance(phase);
        assert_eq!(probes(), [200, 200, 503], "{}", phase.name());
    }
    control.finish();
}

/// Waits for a phase as a worker would.
fn reached(stop: &Stop, phase: Phase) {
    runtime::Builder::new_current_thread().build().unwrap().block_on(stop.reached(phase));
}

#[test]
fn drain_goes_on_by_itself_when_its_delay_and_its_grace_are_over() {
    let settings = ControlSettings { drain: DrainSettings { delay: SOON, grace: SOON }, ..idle() };
    let stop = settings.stop.clone();
    let control = spawn(settings).unwrap();
    stop.advance(Phase::Draining);
    reached(&stop, Phase::Ended);
    control.finish();
}

#[test]
fn stop_does_not_wait_for_the_delay_of_a_drain_but_for_the_grace() {
    let settings = ControlSettings { drain: DrainSettings { delay: HOUR, grace: SOON }, ..idle() };
    let stop = settings.stop.clone();
    let control = spawn(settings).unwrap();
    stop.ask();
    reached(&stop, Phase::Ended);
    control.finish();
}

#[test]
fn app_that_is_gone_cuts_delay_and_grace_short() {
    for before in [Phase::Draining, Phase::Closing] {
        let settings = idle();
        let stop = settings.stop.clone();
        let control = spawn(settings).unwrap();
        stop.advance(before);
        stop.advance(Phase::Leaving);
        reached(&stop, Phase::Ended);
        control.finish();
    }
}

#[test]
fn several_run_in_one_process_and_end_apart() {
    let (first, second) = (spawn(idle()).unwrap(), spawn(idle()).unwrap());
    let address = first.admin.unwrap();
    first.finish();
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(status(&second, "/live"), 200);
}

#[test]
fn control_without_admin_runs_and_ends_by_drop() {
    let control = spawn(ControlSettings { admin: None, ..idle() }).unwrap();
    assert_eq!(control.admin, None);
    drop(control);
}

#[test]
fn finish_does_not_wait_for_connections_that_idle() {
    let control = spawn(idle()).unwrap();
    let mut idle = TcpStream::connect(control.admin.unwrap()).unwrap();
    assert_eq!(status(&control, "/live"), 200);
    control.finish();
    assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0);
}
