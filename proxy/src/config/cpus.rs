//! How many CPUs this process may use: its cgroup's limit, else what it asked for, else the cores.

use std::fs;
use std::path::{Path, PathBuf};

/// Worker threads of one process.
pub(super) const WORKERS_MAX: usize = 1024;

/// What the machine says, in thousandths of a CPU where it can be a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cpus {
    limit_milli: Option<u64>,
    /// CPUs the scheduler may put this process on, at least 1.
    cores: usize,
}

impl Cpus {
    /// Reads the cgroup files below `root`, which is `/` but in tests.
    pub(super) fn of_machine(root: &Path) -> Cpus {
        let allowed = fs::read_to_string(root.join("proc/self/status")).ok().and_then(|status| allowed_cpus(&status));
        let cores = allowed.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        Cpus { limit_milli: limit_v2(root).or_else(|| limit_v1(root)), cores }
    }

    /// The limit rounded up, else the request (`SLIPSTREAM_CPU_REQUEST_MILLI`; 0 and what is no number count as none) rounded up, else the
    /// cores; never more than the cores.
    pub(super) fn workers(self, request_milli: Option<&str>) -> usize {
        let request = request_milli.and_then(|text| text.parse().ok());
        let milli = self.limit_milli.or(request).filter(|milli| *milli > 0);
        let wanted = milli.map_or(self.cores, |milli| usize::try_from(milli.div_ceil(1000)).unwrap_or(WORKERS_MAX));
        wanted.min(self.cores).clamp(1, WORKERS_MAX)
    }
}

/// `Cpus_allowed_list: 0-3,8` is five. Not `available_parallelism`: it rounds a cgroup's quota down.
fn allowed_cpus(status: &str) -> Option<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cpus: usize = 0;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        cpus = cpus.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(cpus)
}

/// The smallest `cpu.max` of our cgroup and those above it. In a container our own cgroup is the root of what is seen.
fn limit_v2(root: &Path) -> Option<u64> {
    let cgroups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = folders(&root.join("sys/fs/cgroup"), own_v2(&cgroups)).into_iter();
    limits.filter_map(|folder| quota_v2(&fs::read_to_string(folder.join("cpu.max")).ok()?)).min()
}

/// `150000 100000` is one and a half CPUs, `max 100000` no limit.
fn quota_v2(text: &str) -> Option<u64> {
    let (quota, period) = text.trim().split_once(' ')?;
    milli(quota.parse().ok()?, period.parse().ok()?)
}

fn limit_v1(root: &Path) -> Option<u64> {
    let cgroups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let hierarchy = ["sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"]
        .into_iter()
        .map(|path| root.join(path))
        .find(|path| path.is_dir())?;
    let limits = folders(&hierarchy, own_v1(&cgroups, "cpu")).into_iter();
    limits.filter_map(|folder| quota_v1(&folder)).min()
}

/// A quota of -1 is no limit.
fn quota_v1(folder: &Path) -> Option<u64> {
    let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok();
    milli(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
}

fn milli(quota_us: u64, period_us: u64) -> Option<u64> {
    quota_us.checked_mul(1000)?.checked_div(period_us)
}

/// Our cgroup, as `/proc/self/cgroup` tells it.
pub(super) fn own_v2(cgroups: &str) -> &str {
    cgroups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/")
}

/// The same in the hierarchy of a v1 controller.
pub(super) fn own_v1<'a>(cgroups: &'a str, controller: &str) -> &'a str {
    let path = |line: &'a str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    };
    cgroups.lines().find_map(path).unwrap_or("/")
}

/// `base` and every folder on the way from it down to `own`.
pub(super) fn folders(base: &Path, own: &str) -> Vec<PathBuf> {
    let mut folder = base.to_owned();
    let mut folders = vec![folder.clone()];
    for name in own.split('/').filter(|name| !name.is_empty() && *name != "..") {
        folder.push(name);
        folders.push(folder.clone());
    }
    folders
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Cpus {
        let root = tempfile::tempdir().unwrap();
        let status = ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-7\n");
        for (path, text) in std::iter::once(&status).chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Cpus::of_machine(root.path())
    }

    #[test]
    fn the_limit_of_cgroup_v2_is_rounded_up() {
        for (quota, workers) in
            [("99999 100000", 1), ("100000 100000", 1), ("100100 100000", 2), ("150000 100000", 2), ("max 100000", 8)]
        {
            assert_eq!(machine(&[("sys/fs/cgroup/cpu.max", quota)]).workers(None), workers, "{quota}");
        }
    }

    #[test]
    fn the_smallest_limit_on_the_way_to_our_cgroup_counts() {
        let cpus = machine(&[
            ("proc/self/cgroup", "0::/pod/container\n"),
            ("sys/fs/cgroup/pod/cpu.max", "200000 100000\n"),
            ("sys/fs/cgroup/pod/container/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(cpus.workers(Some("5000")), 2);
    }

    #[test]
    fn the_limit_of_cgroup_v1_is_rounded_up() {
        for (quota, workers) in [("100000", 1), ("100001", 1), ("250000", 3), ("-1", 8)] {
            let cpus = machine(&[
                ("proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/docker/a\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota),
                ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ]);
            assert_eq!(cpus.workers(None), workers, "{quota}");
        }
    }

    #[test]
    fn without_a_limit_the_request_counts_and_without_it_the_cores() {
        for (request, workers) in [
            (Some("1"), 1),
            (Some("1000"), 1),
            (Some("1001"), 2),
            (Some("0"), 8),
            (Some("abc"), 8),
            (Some("-1"), 8),
            (None, 8),
        ] {
            assert_eq!(machine(&[]).workers(request), workers, "{request:?}");
        }
        assert_eq!(machine(&[]).workers(Some("9000")), 8, "never more than the cores");
        assert_eq!(
            machine(&[("sys/fs/cgroup/cpu.max", "100000 100000")]).workers(Some("4000")),
            1,
            "the limit comes first"
        );
    }

    #[test]
    fn a_list_of_cpus_is_counted() {
        for (list, cpus) in [("0", Some(1)), ("0-3,8", Some(5)), ("3-1", None), ("x", None), ("", None)] {
            assert_eq!(allowed_cpus(&format!("Cpus_allowed_list:\t{list}\n")), cpus, "{list}");
        }
    }

    #[test]
    fn garbage_in_the_files_is_no_limit() {
        for text in ["", "\n", "100000", "100000 0", "99999999999999999999 1", "a b"] {
            assert_eq!(machine(&[("sys/fs/cgroup/cpu.max", text)]).workers(None), 8, "{text:?}");
        }
        assert!(Cpus::of_machine(Path::new("/")).workers(None) >= 1);
    }
}
