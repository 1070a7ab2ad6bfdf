//! What the kernel counted for a contestant: CPU, memory, switches, system calls; and for the processor it stands on.
//!
//! CPU is the process's own clock: utime + stime of all its threads in nanoseconds, the same counter as the sum of
//! `/proc/<pid>/task/*/schedstat`, but threads that ended stay in it (io_uring's workers end after a while). io_uring's worker
//! and SQPOLL threads are threads of the process.

use std::fs;
use std::fs::File;
use std::io::{self, Read};

use crate::sys;

/// Readings of a set of processes at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub cpu_ns: u64,
    pub rss_bytes: u64,
}

pub fn read(pids: &[u32]) -> io::Result<Reading> {
    let mut sum = Reading { cpu_ns: 0, rss_bytes: 0 };
    for pid in pids {
        sum.cpu_ns += sys::process_cpu_ns(*pid)?;
        sum.rss_bytes += status_field(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS") * 1024;
    }
    Ok(sum)
}

/// How often the threads whose name starts so went to sleep: as often they had been woken. An error where there is no such thread.
pub fn voluntary_switches(pids: &[u32], name_starts: &str) -> io::Result<u64> {
    let mut statuses = Vec::new();
    for pid in pids {
        for thread in threads(*pid)? {
            // A thread that ends meanwhile leaves nothing to read.
            statuses.extend(fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")));
        }
    }
    switches_in(&statuses, name_starts)
        .ok_or_else(|| io::Error::other(format!("no thread whose name starts with \"{name_starts}\"")))
}

/// `statuses`: /proc/<pid>/task/<tid>/status of each thread. `None`: none of them has such a name.
fn switches_in(statuses: &[String], name_starts: &str) -> Option<u64> {
    let is_meant = |status: &&String| {
        let name = status.lines().find_map(|line| line.strip_prefix("Name:"));
        name.is_some_and(|name| name.trim_start().starts_with(name_starts))
    };
    statuses.iter().filter(is_meant).map(|status| status_field(status, "voluntary_ctxt_switches")).reduce(|a, b| a + b)
}

/// The number of a field of /proc/<pid>/status; 0 when it is not there (a thread that just ended).
fn status_field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn threads(pid: u32) -> io::Result<Vec<u32>> {
    Ok(numbers_in(&format!("/proc/{pid}/task"))?.collect())
}

fn numbers_in(folder: &str) -> io::Result<impl Iterator<Item = u32>> {
    Ok(fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// The processes whose parent is `pid`.
pub fn children(pid: u32) -> io::Result<Vec<u32>> {
    let is_child = |candidate: &u32| {
        fs::read_to_string(format!("/proc/{candidate}/stat")).is_ok_and(|stat| parent_in(&stat) == Some(pid))
    };
    Ok(numbers_in("/proc")?.filter(is_child).collect())
}

/// The parent in a line of /proc/<pid>/stat; the name in parentheses before it may hold anything.
fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Time of one processor in ticks: not idle (other machines' steal included), and all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessorTime {
    pub busy: u64,
    pub all: u64,
}

pub fn processor_time(cpu: usize) -> io::Result<ProcessorTime> {
    let stat = fs::read_to_string("/proc/stat")?;
    processor_time_in(&stat, cpu).ok_or_else(|| io::Error::other(format!("no cpu{cpu} in /proc/stat")))
}

fn processor_time_in(stat: &str, cpu: usize) -> Option<ProcessorTime> {
    let name = format!("cpu{cpu}");
    let mut fields = stat.lines().map(str::split_whitespace).find_map(|mut f| (f.next()? == name).then_some(f))?;
    // user nice system idle iowait irq softirq steal; guest times after them are in user and nice already.
    let ticks: Vec<u64> = fields.by_ref().take(8).filter_map(|field| field.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    let all = ticks.iter().sum();
    Some(ProcessorTime { busy: all - idle, all })
}

/// Counts system calls of processes while it lives, by the kernel's tracepoint. io_uring's SQPOLL thread makes none.
pub struct Syscalls {
    counters: Vec<File>,
}

impl Syscalls {
    /// Errors where perf events or tracefs are not permitted; then the column says so.
    pub fn of(pids: &[u32]) -> io::Result<Self> {
        let event = "events/raw_syscalls/sys_enter/id";
        let id = fs::read_to_string(format!("/sys/kernel/tracing/{event}"))
            .or_else(|_| fs::read_to_string(format!("/sys/kernel/debug/tracing/{event}")))?;
        let id = id.trim().parse().map_err(io::Error::other)?;
        let mut counters = Vec::new();
        for pid in pids {
            for thread in threads(*pid)? {
                counters.push(sys::count_tracepoint(id, thread)?);
            }
        }
        Ok(Self { counters })
    }

    pub fn count(&mut self) -> io::Result<u64> {
        let mut sum = 0;
        for counter in &mut self.counters {
            let mut value = [0; 8];
            counter.read_exact(&mut value)?;
            sum += u64::from_ne_bytes(value);
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_fields_are_numbers_by_their_whole_name() {
        let status = "Name:\tx\nVmRSS:\t    5124 kB\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t9\n";
        assert_eq!(status_field(status, "VmRSS"), 5124);
        assert_eq!(status_field(status, "voluntary_ctxt_switches"), 7);
        assert_eq!(status_field(status, "VmSwap"), 0);
    }

    #[test]
    fn switches_are_summed_over_the_threads_of_that_name() {
        let status = |name: &str, switches: u64| format!("Name:\t{name}\nvoluntary_ctxt_switches:\t{switches}\n");
        let statuses = [status("worker-0", 5), status("control", 100), status("worker-1", 7), status("my-worker-2", 9)];
        assert_eq!(switches_in(&statuses, "worker-"), Some(12));
        assert_eq!(switches_in(&statuses, ""), Some(121));
        assert_eq!(switches_in(&statuses, "nobody"), None);
        assert_eq!(switches_in(&[status("worker-0", 0)], "worker-"), Some(0));
    }

    #[test]
    fn sleeping_thread_has_switched_and_a_name_that_nobody_has_is_an_error() {
        let pids = [std::process::id()];
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("sleeper-1".to_string());
        let sleeper = thread.spawn(move || told.recv()).expect("a thread");
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        // Until it runs, a new thread may have its parent's name; once it waits, it has switched.
        while voluntary_switches(&pids, "sleeper-").unwrap_or(0) == 0 {
            assert!(std::time::Instant::now() < end, "the thread sleeps within 10 s");
        }
        assert!(voluntary_switches(&pids, "nobody").is_err());
        drop(tell);
        assert!(sleeper.join().expect("the thread ends").is_err());
    }

    #[test]
    fn parent_is_found_behind_any_name() {
        assert_eq!(parent_in("12 (nginx) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in("12 (a) b) (c) S 8 12"), Some(8));
        assert_eq!(parent_in("12"), None);
    }

    #[test]
    fn processor_time_counts_steal_as_busy_and_iowait_as_idle() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 40 5 6 7 8 90 90\ncpu1 1 0 0 1 0 0 0 0 0 0\nintr 5\n";
        assert_eq!(processor_time_in(stat, 0), Some(ProcessorTime { busy: 27, all: 72 }));
        assert_eq!(processor_time_in(stat, 1), Some(ProcessorTime { busy: 1, all: 2 }));
        assert_eq!(processor_time_in(stat, 2), None);
    }

    #[test]
    fn cpu_of_a_thread_that_ended_is_still_counted() {
        let pids = [std::process::id()];
        let before = read(&pids).expect("own readings").cpu_ns;
        let spent = std::thread::spawn(|| {
            let own = || fs::read_to_string("/proc/thread-self/schedstat").expect("own counters");
            let nanoseconds = |text: String| text.split(' ').next().and_then(|f| f.parse().ok()).unwrap_or(0u64);
            while nanoseconds(own()) < 5_000_000 {}
            nanoseconds(own())
        });
        let spent = spent.join().expect("the thread ends");
        let after = read(&pids).expect("own readings").cpu_ns;
        assert!(after - before >= spent, "{} ns counted, {spent} ns spent", after - before);
    }

    #[test]
    fn own_process_has_used_cpu_and_memory() {
        let reading = read(&[std::process::id()]).expect("own readings");
        assert!(reading.cpu_ns > 0 && reading.rss_bytes > 0);
    }
}
