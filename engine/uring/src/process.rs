//! What this process costs, and where its threads run.

use crate::clock::nanoseconds;
use rustix::time::{ClockId, clock_gettime};
use std::io;

/// CPU time that the calling thread has used, in nanoseconds.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
}

/// CPU time that all threads of this process have used, in nanoseconds.
#[must_use]
pub fn process_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ProcessCPUTime))
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// Resident now (VmRSS).
    pub resident_bytes: u64,
    /// Resident at most since the start (VmHWM).
    pub resident_bytes_max: u64,
}

/// The memory of this process, from `/proc/self/status`.
pub fn memory() -> io::Result<Memory> {
    memory_from("/proc/self/status")
}

/// The memory of another process.
pub fn memory_of(pid: u32) -> io::Result<Memory> {
    memory_from(&format!("/proc/{pid}/status"))
}

/// The memory that is free on this machine without swapping, in bytes: `MemAvailable` of `/proc/meminfo`.
///
/// # Errors
/// The file can't be read, or does not say.
pub fn memory_free() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("/proc/meminfo: no MemAvailable"))
}

/// Keeps the calling thread on one core (numbered from 0, as the kernel does).
pub fn pin_to_core(core: usize) -> io::Result<()> {
    pin_to_cores(&[core])
}

/// Keeps the calling thread, and those that it starts, on these cores.
pub fn pin_to_cores(which: &[usize]) -> io::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    for &core in which {
        if core >= rustix::thread::CpuSet::MAX_CPU {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no core {core}")));
        }
        cores.set(core);
    }
    rustix::thread::sched_setaffinity(None, &cores)?;
    Ok(())
}

/// The cores that the calling thread may run on.
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    let cores = rustix::thread::sched_getaffinity(None)?;
    Ok((0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| cores.is_set(core)).collect())
}

/// How late the kernel may wake the calling thread from a wait with a timeout, in nanoseconds (at
/// least 1; 0 restores the default of 50 µs). A shard asks for 1.
pub fn set_timer_slack(slack_ns: u64) -> io::Result<()> {
    // SAFETY: PR_SET_TIMERSLACK takes a number and touches no memory of ours.
    if unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack_ns as libc::c_ulong) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// How late the kernel may wake the calling thread, in nanoseconds: what [`set_timer_slack`] has come to.
pub fn timer_slack_ns() -> io::Result<u64> {
    // SAFETY: PR_GET_TIMERSLACK takes nothing and touches no memory of ours.
    let slack = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) };
    u64::try_from(slack).map_err(|_| io::Error::last_os_error())
}

/// How often the calling thread has had to let others run since it began (getrusage(2)).
pub fn involuntary_switches() -> io::Result<u64> {
    // SAFETY: zeros are a valid value of a rusage, which is numbers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one rusage, which outlives the call.
    if unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::try_from(usage.ru_nivcsw).unwrap_or(0))
}

fn memory_from(path: &str) -> io::Result<Memory> {
    let status = std::fs::read_to_string(path)?;
    let field = |name: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    match (field("VmRSS:"), field("VmHWM:")) {
        (Some(resident_bytes), Some(resident_bytes_max)) => {
            Ok(Memory { resident_bytes, resident_bytes_max })
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{path}: no VmRSS, VmHWM"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_plausible_and_grows() {
        let before = memory().unwrap();
        let block = vec![1u8; 64 << 20];
        let after = memory().unwrap();
        assert!(std::hint::black_box(&block).iter().step_by(4096).all(|&byte| byte == 1));
        assert!(after.resident_bytes_max >= before.resident_bytes + (48 << 20), "{after:?}");
        assert_eq!(memory_of(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn tables_take_memory_as_they_fill() {
        use imstorm_base::{Inbox, Index, Slab, Strings};
        let before = memory().unwrap().resident_bytes;
        let slab = Slab::<[u64; 15]>::with_capacity(10_000_000);
        let index = Index::with_capacity(100_000_000);
        let mut strings = Strings::with_capacity(2 << 30);
        let inbox = Inbox::new(4_096, 65_536);
        let handle = strings.store(b"one").unwrap();
        let reserved = slab.reserved_bytes()
            + index.reserved_bytes()
            + strings.capacity_bytes()
            + inbox.memory().len();
        assert!(reserved > 4 << 30);
        // Other tests run beside this one, so the bound is loose.
        let grown = memory().unwrap().resident_bytes.saturating_sub(before);
        assert!(grown < 512 << 20, "{grown} of {reserved}");
        strings.release(handle);
    }

    #[test]
    fn cpu_time_rises_with_work() {
        let (process, thread) = (process_cpu_ns(), thread_cpu_ns());
        let mut sum = 0u64;
        while thread_cpu_ns() < thread + 20_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        // The kernel adds up the threads' times at its ticks, so it may be one behind.
        let took = process_cpu_ns() - process;
        assert!(took >= 10_000_000, "{took}, {sum}");
    }

    #[test]
    fn who_works_is_interrupted_and_the_count_never_falls() {
        let before = involuntary_switches().unwrap();
        // Two threads on one core take turns.
        let core = allowed_cores().unwrap()[0];
        let work = move || {
            pin_to_core(core).unwrap();
            let until_ns = thread_cpu_ns() + 100_000_000;
            while thread_cpu_ns() < until_ns {}
            involuntary_switches().unwrap()
        };
        let threads = [std::thread::spawn(work), std::thread::spawn(work)];
        assert!(threads.map(|it| it.join().unwrap()).iter().sum::<u64>() > 0);
        assert!(involuntary_switches().unwrap() >= before);
    }

    #[test]
    fn pins_and_says_where_it_may_run() {
        let core = *allowed_cores().unwrap().last().unwrap();
        let pinned = std::thread::spawn(move || {
            pin_to_core(core).unwrap();
            set_timer_slack(1).unwrap();
            assert_eq!(timer_slack_ns().unwrap(), 1);
            allowed_cores().unwrap()
        });
        assert_eq!(pinned.join().unwrap(), [core]);
        assert!(timer_slack_ns().unwrap() > 1, "it is a thread's own");
        assert!(pin_to_core(1 << 20).is_err());
    }
}
