//! What must be known of the machine to read a table: processor, cores, kernel, date, load.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines of Markdown about this machine, as it is now.
pub fn facts(cores: usize) -> Vec<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo_field(&cpuinfo, "model name").unwrap_or("unknown model");
    let is_virtual = cpuinfo_field(&cpuinfo, "flags").is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let congestion = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
    let virtual_machine = if is_virtual { ", virtual machine" } else { "" };
    vec![
        format!("CPU: {model}, {cores} cores{virtual_machine}"),
        format!("Kernel: Linux {}, TCP congestion control {}", kernel.trim(), congestion.trim()),
        format!("Date: {}; 1-minute load before: {}", today(), load()),
    ]
}

fn cpuinfo_field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    cpuinfo.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':')).map(str::trim)
}

/// The load of the last minute, as the kernel says it.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_string()
}

fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year}-{month:02}-{day:02} (UTC)")
}

/// The calendar day that lies `days` after 1970-01-01.
///
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days, for days not before 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_calendar_dates() {
        let known = [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (11_017, (2000, 3, 1)), (20_782, (2026, 11, 25))];
        for (days, date) in known {
            assert_eq!(civil(days), date, "{days}");
        }
    }

    #[test]
    fn cpuinfo_field_is_found_by_its_name() {
        let cpuinfo = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nflags\t\t: fpu hypervisor\n";
        assert_eq!(cpuinfo_field(cpuinfo, "model name"), Some("A CPU @ 2 GHz"));
        assert_eq!(cpuinfo_field(cpuinfo, "flags"), Some("fpu hypervisor"));
        assert_eq!(cpuinfo_field(cpuinfo, "stepping"), None);
    }
}
