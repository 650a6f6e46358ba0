//! What the system says of a process group: descriptors, memory, processor time.

use std::path::PathBuf;
use std::time::Duration;

/// The sum over all processes of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Time spent on a processor.
    pub processor: Duration,
    /// Open descriptors.
    pub descriptors: usize,
    /// Bytes resident now.
    pub resident: u64,
    /// Bytes resident at most, ever.
    pub peak: u64,
}

impl Usage {
    pub fn of_group(group: u32) -> Self {
        members(group)
            .into_iter()
            .fold(Self::default(), |sum, process| {
                let one = Self::of_process(process);
                Self {
                    processor: sum.processor + one.processor,
                    descriptors: sum.descriptors + one.descriptors,
                    resident: sum.resident + one.resident,
                    peak: sum.peak + one.peak,
                }
            })
    }

    fn of_process(process: u32) -> Self {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        Self {
            processor: processor_time(&folder),
            descriptors: std::fs::read_dir(folder.join("fd")).map_or(0, Iterator::count),
            resident: kib("VmRSS:").unwrap_or(0) * 1024,
            peak: kib("VmHWM:").unwrap_or(0) * 1024,
        }
    }
}

/// Time that all threads of a process have spent on a processor, to the nanosecond.
pub fn thread_time(process: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let spent = threads.filter_map(|thread| {
        let schedule = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        schedule.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// Lets this test program open as many descriptors as the system allows: it is client and server
/// of hundreds of connections. Proxies start with the usual 1,024 all the same.
pub fn raise_own_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
    });
}

/// The processes of a group.
pub fn members(group: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let processes = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes
        .filter(|process| group_of(*process) == Some(group))
        .collect()
}

fn group_of(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything; after it: state, parent, group.
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(2)?
        .parse()
        .ok()
}

/// User and system time in the clock's hundredths.
fn processor_time(folder: &std::path::Path) -> Duration {
    let stat = std::fs::read_to_string(folder.join("stat")).unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return Duration::ZERO;
    };
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
