//! Where a benchmark ran: processors, memory, and how busy the machine was. Linux's words; elsewhere less is said.

use std::fs;
use std::thread::available_parallelism;
use std::time::Duration;

/// The machine in one line.
pub(crate) fn description() -> String {
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = field("/proc/meminfo", "MemTotal").and_then(|text| kilobytes(&text)).unwrap_or(0) >> 20;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, {memory} GiB, {} {}", std::env::consts::OS, kernel.trim())
}

/// How many processes wanted a processor in the last minute; `None` if the system does not say.
pub(crate) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// How long the processes that this one started have worked so far, those that still do included; in hundredths of a second.
pub(crate) fn children_time() -> Duration {
    // `utime`, `stime`, `cutime`, `cstime` are fields 14 to 17, counted behind the name in parentheses, which may hold spaces: proc_pid_stat(5).
    let times = |process: &str| -> Vec<u64> {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace().skip(11);
        fields.take(4).filter_map(|field| field.parse().ok()).collect()
    };
    let ended: u64 = times("self").iter().skip(2).sum();
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    let alive: u64 = children.split_whitespace().flat_map(times).sum();
    Duration::from_millis(10 * (ended + alive))
}

/// The value behind `name:` in a file of `/proc`.
pub(crate) fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// The number in `123 kB`.
pub(crate) fn kilobytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse().ok()
}
