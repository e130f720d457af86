//! What the machine says of processes. Everything but Linux says nothing.

use std::collections::HashMap;
use std::fs;

use anyhow::Context;

/// Keeps this process, and those it starts from now on, on the given CPUs.
#[cfg(target_os = "linux")]
pub(crate) fn pin(cpus: &[usize]) -> anyhow::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus {
        anyhow::ensure!(*cpu < rustix::thread::CpuSet::MAX_CPU, "there is no CPU {cpu}");
        set.set(*cpu);
    }
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("cannot run on the CPUs {cpus:?}"))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_: &[usize]) -> anyhow::Result<()> {
    anyhow::bail!("--cpus works on Linux only")
}

/// What processes have used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_us: f64,
    pub(crate) rss_kib: f64,
    pub(crate) peak_kib: f64,
}

/// What these processes and those they started have used, the measuring server left out.
/// `None` where there is no /proc.
pub(crate) fn usage(roots: &[u32]) -> Option<Usage> {
    let parents: HashMap<u32, u32> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, numbers(pid)?.parent))
        })
        .collect();
    let belongs = |pid: u32| {
        let mut above = Some(pid);
        while let Some(pid) = above {
            if roots.contains(&pid) {
                return true;
            }
            above = parents.get(&pid).copied();
        }
        false
    };
    let mut all = Usage::default();
    for pid in parents.keys().copied().filter(|pid| belongs(*pid) && !is_server(*pid)) {
        let Some(numbers) = numbers(pid) else { continue };
        all.cpu_us += numbers.ticks as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64;
        all.rss_kib += status(pid, "VmRSS:");
        all.peak_kib += status(pid, "VmHWM:");
    }
    Some(all)
}

struct Numbers {
    parent: u32,
    ticks: u64,
}

fn numbers(pid: u32) -> Option<Numbers> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, blanks and parentheses included.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let user: u64 = fields.nth(9)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Numbers { parent, ticks: user + system })
}

fn status(pid: u32, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// A wrapped server is a child of what is measured, but no part of it.
fn is_server(pid: u32) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = command.split(|byte| *byte == 0).skip(1);
    words.next() == Some(b"--as") && words.next() == Some(b"stdio-server")
}
