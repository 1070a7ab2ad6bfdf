//! How many bytes this process may hold: most of what its cgroup or its environment allows.

use std::fs;
use std::path::{Path, PathBuf};

use super::cpus::{folders, own_v1, own_v2};

/// Of what is allowed, this share is the budget; the rest is for what is not counted: code, stacks, what the heap rounds up.
const PERCENT: u64 = 80;

/// Where nothing limits us: more than a sidecar needs, and less than hurts its pod.
const UNLIMITED_BYTES: u64 = 256 * 1024 * 1024;

/// A v1 limit of this or more says that there is none (PAGE_COUNTER_MAX, rounded to a page).
const V1_NONE_BYTES: u64 = 1 << 62;

/// Where the kernel tells what the sockets of a cgroup hold (v2; v1 charges them apart).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    pub budget_bytes: usize,
    /// What the budget is a share of; `None`: nothing limits us.
    pub limit_bytes: Option<u64>,
    /// A file with a line `sock N`.
    pub stat: Option<PathBuf>,
}

impl Memory {
    /// Reads the cgroup files below `root`, which is `/` but in tests. `allowed` is `SLIPSTREAM_MEMORY_LIMIT`, in bytes; what is no number
    /// counts as none.
    pub(super) fn of_machine(root: &Path, allowed: Option<&str>) -> Memory {
        let cgroups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let v2 = folders(&root.join("sys/fs/cgroup"), own_v2(&cgroups));
        let v1 = folders(&root.join("sys/fs/cgroup/memory"), own_v1(&cgroups, "memory"));
        let number = |folder: &Path, file: &str| -> Option<u64> {
            fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
        };
        let of_v2 = v2.iter().filter_map(|folder| number(folder, "memory.max"));
        let of_v1 = v1.iter().filter_map(|folder| number(folder, "memory.limit_in_bytes"));
        let of_v1 = of_v1.filter(|bytes| *bytes < V1_NONE_BYTES);
        let of_environment = allowed.and_then(|text| text.parse().ok()).filter(|bytes| *bytes > 0);
        let allowed = of_v2.chain(of_v1).chain(of_environment).min();
        let budget = allowed.map_or(UNLIMITED_BYTES, |bytes| bytes / 100 * PERCENT);
        Memory {
            limit_bytes: allowed,
            budget_bytes: usize::try_from(budget).unwrap_or(usize::MAX),
            stat: v2.last().map(|own| own.join("memory.stat")).filter(|stat| kernel_bytes(stat).is_some()),
        }
    }
}

/// What the sockets hold, as a `memory.stat` tells it.
pub fn kernel_bytes(stat: &Path) -> Option<usize> {
    fs::read_to_string(stat).ok()?.lines().find_map(|line| line.strip_prefix("sock "))?.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn memory(files: &[(&str, &str)], allowed: Option<&str>) -> (usize, bool) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let memory = Memory::of_machine(root.path(), allowed);
        (memory.budget_bytes, memory.stat.is_some())
    }

    fn four_fifths(mib: usize) -> usize {
        mib * MIB / 100 * 80
    }

    #[test]
    fn smallest_limit_counts() {
        let v2 = [
            ("proc/self/cgroup", "0::/pod/container\n"),
            ("sys/fs/cgroup/pod/memory.max", "67108864\n"),
            ("sys/fs/cgroup/pod/container/memory.max", "max\n"),
            ("sys/fs/cgroup/pod/container/memory.stat", "anon 1\nsock 4096\n"),
        ];
        assert_eq!(memory(&v2, None), (four_fifths(64), true));
        assert_eq!(memory(&v2, Some("33554432")), (four_fifths(32), true));
        assert_eq!(memory(&v2, Some("134217728")), (four_fifths(64), true));
        let v1 = [
            ("proc/self/cgroup", "7:memory:/docker/a\n4:cpu:/docker/b\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "67108864\n"),
        ];
        assert_eq!(memory(&v1, None), (four_fifths(64), false));
    }

    #[test]
    fn without_a_limit_it_is_256_mib() {
        assert_eq!(memory(&[], None), (256 * MIB, false));
        for garbage in ["", "0", "64Mi", "-1"] {
            assert_eq!(
                memory(&[("sys/fs/cgroup/memory.max", "max")], Some(garbage)),
                (256 * MIB, false),
                "{garbage:?}"
            );
        }
        assert_eq!(memory(&[], Some("1073741824")).0, four_fifths(1024));
    }
}
