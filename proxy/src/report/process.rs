//! This process as the kernel sees it, from /proc.

use std::fs;

/// Clock ticks in a second of /proc/self/stat: USER_HZ, 100 on every architecture we build for (Linux include/asm-generic/param.h).
const TICKS_PER_SECOND: f64 = 100.0;

/// `None`: /proc is not there, or reads otherwise than proc(5) says.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) open_fds: Option<usize>,
    pub(super) max_fds: Option<u64>,
    /// Seconds since 1970.
    pub(super) start_time: Option<f64>,
}

impl Process {
    pub(super) fn now() -> Process {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (stat, status) = (read("/proc/self/stat"), read("/proc/self/status"));
        let ticks = |number| stat_field(&stat, number).map(|ticks| ticks / TICKS_PER_SECOND);
        let boot = keyed(&read("/proc/stat"), "btime");
        Process {
            cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, system)| user + system),
            resident_bytes: keyed(&status, "VmRSS:").map(|kib| kib * 1024),
            virtual_bytes: keyed(&status, "VmSize:").map(|kib| kib * 1024),
            // The descriptor that lists them is one of them.
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1)),
            max_fds: keyed(&read("/proc/self/limits"), "Max open files"),
            start_time: ticks(22).zip(boot).map(|(since_boot, boot)| since_boot + boot as f64),
        }
    }
}

/// Field `number` (from 1, at least 3) of /proc/self/stat. The second is the name, in parentheses, and may hold anything.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// The first number behind a key at the start of a line.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_tells_every_number_on_linux() {
        let process = Process::now();
        assert!(process.cpu_seconds.is_some_and(|seconds| (0.0..86_400.0).contains(&seconds)), "{process:?}");
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 1 << 20), "{process:?}");
        assert!(process.virtual_bytes >= process.resident_bytes, "{process:?}");
        assert!(process.open_fds.is_some_and(|fds| fds >= 3), "{process:?}");
        assert!(process.max_fds.is_none_or(|fds| fds >= 64), "{process:?}");
        assert!(process.start_time.is_some_and(|start| start > 1.6e9), "{process:?}");
    }

    #[test]
    fn name_of_the_process_may_hold_spaces_and_parentheses() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0";
        assert_eq!((stat_field(stat, 14), stat_field(stat, 15)), (Some(250.0), Some(50.0)));
        assert_eq!(stat_field(stat, 99), None);
        assert_eq!(stat_field("", 14), None);
    }
}
