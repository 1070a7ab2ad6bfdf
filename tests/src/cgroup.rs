//! A memory cgroup for one process, made beside or below our own: v1 or v2, whichever has the controller.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::DEADLINE;

const ROOT: &str = "/sys/fs/cgroup";

/// Removed by drop; its process has ended by then.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Cgroup {
    /// With a limit of `bytes`. Panics where none can be made, and says what is missing.
    pub fn with_memory(bytes: u64) -> Cgroup {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let name = format!("slipstream-test-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut tried = Vec::new();
        for (version, parent) in parents(&own) {
            let folder = parent.join(&name);
            match fs::create_dir(&folder) {
                Ok(()) => {
                    let cgroup = Cgroup { folder, version };
                    cgroup.limit(bytes);
                    return cgroup;
                }
                Err(error) => tried.push(format!("{}: {error}", folder.display())),
            }
        }
        panic!("no memory cgroup can be made (this needs root and a writable {ROOT}): {tried:?}; we are in {own:?}");
    }

    /// A process that writes its number here is in it.
    pub fn procs(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// The most that was ever used, page cache of ours included.
    pub fn peak_bytes(&self) -> u64 {
        let file = if self.version == Version::V1 { "memory.max_usage_in_bytes" } else { "memory.peak" };
        self.read(file).trim().parse().unwrap()
    }

    /// How many processes the kernel has killed in it.
    pub fn kills(&self) -> u64 {
        let file = if self.version == Version::V1 { "memory.oom_control" } else { "memory.events" };
        let text = self.read(file);
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
        count.unwrap_or_else(|| panic!("{file} says nothing of oom_kill: {text:?}"))
    }

    fn limit(&self, bytes: u64) {
        let (limit, swap) = match self.version {
            Version::V1 => ("memory.limit_in_bytes", ("memory.memsw.limit_in_bytes", bytes)),
            Version::V2 => ("memory.max", ("memory.swap.max", 0)),
        };
        fs::write(self.folder.join(limit), bytes.to_string()).unwrap();
        // Not there in a kernel without swap.
        let _ = fs::write(self.folder.join(swap.0), swap.1.to_string());
    }

    fn read(&self, file: &str) -> String {
        let file = self.folder.join(file);
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }
}

impl Drop for Cgroup {
    /// The kernel takes a moment to forget a process that was waited for.
    fn drop(&mut self) {
        let until = Instant::now() + DEADLINE;
        while let Err(error) = fs::remove_dir(&self.folder) {
            if Instant::now() >= until {
                assert!(std::thread::panicking(), "{} cannot be removed: {error}", self.folder.display());
                return;
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

/// Where one could be made, our own place first: what limits us limits it too.
fn parents(own: &str) -> Vec<(Version, PathBuf)> {
    let v1 = own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|controller| controller == "memory").then_some((Version::V1, path))
    });
    let v2 = own.lines().find_map(|line| Some((Version::V2, line.strip_prefix("0::")?)));
    let Some((version, path)) = v1.or(v2) else { return Vec::new() };
    let root = if version == Version::V1 { Path::new(ROOT).join("memory") } else { ROOT.into() };
    let own = root.join(path.trim_start_matches('/'));
    let above = own.ancestors().take_while(|folder| folder.starts_with(&root));
    above
        .filter(|folder| version == Version::V1 || hands_memory_down(folder))
        .map(|folder| (version, folder.into()))
        .collect()
}

/// Of v2: groups below have the controller. (That excludes one with processes of its own, so most often it is the one above ours.)
fn hands_memory_down(folder: &Path) -> bool {
    fs::read_to_string(folder.join("cgroup.subtree_control"))
        .is_ok_and(|controllers| controllers.split_whitespace().any(|controller| controller == "memory"))
}
