//! What each thread of this process takes of the processors.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What the threads of one name have taken over some time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ThreadUse {
    /// Processor time, in seconds.
    pub cpu_s: f64,
    /// How long they were ready to run and did not, as others did, in seconds; 0 where the kernel doesn't say (CONFIG_SCHED_INFO).
    pub waited_s: f64,
    /// How often they had to let others run (`nonvoluntary_ctxt_switches`).
    pub involuntary_switches: u64,
}

/// What a thread has taken since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Taken {
    pub cpu_ns: u64,
    pub waited_ns: u64,
    pub involuntary_switches: u64,
}

/// The threads of this process, each looked at again and again.
#[derive(Debug, Default)]
pub(super) struct Threads {
    /// By the kernel's number, which no other thread has before this one has ended.
    before: BTreeMap<u32, Taken>,
}

impl ThreadUse {
    /// Adds what others have taken.
    pub fn merge(&mut self, other: &Self) {
        self.cpu_s += other.cpu_s;
        self.waited_s += other.waited_s;
        self.involuntary_switches += other.involuntary_switches;
    }
}

impl Taken {
    /// What was taken since `before`.
    pub fn since(&self, before: &Self) -> ThreadUse {
        let seconds = |ns: u64| ns as f64 / 1e9;
        let switches = self.involuntary_switches.saturating_sub(before.involuntary_switches);
        ThreadUse {
            cpu_s: seconds(self.cpu_ns.saturating_sub(before.cpu_ns)),
            waited_s: seconds(self.waited_ns.saturating_sub(before.waited_ns)),
            involuntary_switches: switches,
        }
    }
}

impl Threads {
    /// What the threads have taken since the last look, by name; since they began at the first look. What a thread takes between the last
    /// look and its end is not seen.
    pub fn look(&mut self) -> io::Result<BTreeMap<String, ThreadUse>> {
        let mut uses = BTreeMap::<String, ThreadUse>::new();
        let mut now = BTreeMap::new();
        for entry in fs::read_dir("/proc/self/task")? {
            let entry = entry?;
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // It may have ended meanwhile.
            let Some((name, taken)) = taken_by(&entry.path()) else { continue };
            let before = self.before.get(&id).copied().unwrap_or_default();
            uses.entry(name).or_default().merge(&taken.since(&before));
            now.insert(id, taken);
        }
        self.before = now;
        Ok(uses)
    }
}

/// What the calling thread has waited for a processor since it began, in nanoseconds.
pub(super) fn own_waited_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedstat(&text).map_or(0, |(_, waited_ns)| waited_ns)
}

fn taken_by(task: &Path) -> Option<(String, Taken)> {
    let name = fs::read_to_string(task.join("comm")).ok()?.trim_end().to_owned();
    let switches = switches(&fs::read_to_string(task.join("status")).ok()?)?;
    let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let (cpu_ns, waited_ns) = match schedstat(&text) {
        Some(times) => times,
        None => (ticks_ns(&fs::read_to_string(task.join("stat")).ok()?)?, 0),
    };
    Some((name, Taken { cpu_ns, waited_ns, involuntary_switches: switches }))
}

/// Time on a processor and time waited for one, in nanoseconds (Documentation/scheduler/sched-stats.rst).
fn schedstat(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse::<u64>().ok());
    Some((words.next()??, words.next()??))
}

/// `utime` and `stime`, in ticks of 10 ms on all that Linux runs on today (proc_pid_stat(5)).
fn ticks_ns(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut words = behind_name.split_ascii_whitespace().skip(11);
    let mut ticks = || words.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) * 10_000_000)
}

fn switches(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn files_of_the_kernel_are_read() {
        assert_eq!(schedstat("123456789 4567 89\n"), Some((123_456_789, 4_567)));
        assert_eq!(schedstat(""), None);
        assert_eq!(schedstat("12"), None);
        let stat = "7 (a name) S 1) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1\n";
        assert_eq!(ticks_ns(stat), Some(3_000_000_000));
        assert_eq!(ticks_ns("7 (cut"), None);
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t17\n";
        assert_eq!(switches(status), Some(17));
        assert_eq!(switches("Name:\tx\n"), None);
    }

    #[test]
    fn a_thread_that_works_is_seen_by_its_name() {
        let (goes_on, may_go_on) = channel::<()>();
        let (worked, has_worked) = channel();
        let thread = std::thread::Builder::new().name("health-works".to_owned());
        let thread = thread.spawn(move || {
            // It has its name by now.
            worked.send(()).unwrap();
            for () in may_go_on {
                let until_ns = imstorm_uring::process::thread_cpu_ns() + 30_000_000;
                while imstorm_uring::process::thread_cpu_ns() < until_ns {}
                worked.send(()).unwrap();
            }
        });
        let mut threads = Threads::default();
        let cpu_s = |threads: &mut Threads| threads.look().unwrap()["health-works"].cpu_s;
        has_worked.recv().unwrap();
        cpu_s(&mut threads);
        goes_on.send(()).unwrap();
        has_worked.recv().unwrap();
        // The kernel adds up at its ticks, so that it may be one behind.
        assert!(cpu_s(&mut threads) >= 0.015);
        assert!(cpu_s(&mut threads) < 0.015, "only what came since the last look");
        drop(goes_on);
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn what_is_taken_adds_up() {
        let taken = |number| Taken {
            cpu_ns: number * 1_000_000_000,
            waited_ns: number,
            involuntary_switches: 2 * number,
        };
        let mut sum = taken(3).since(&taken(1));
        assert_eq!((sum.cpu_s, sum.involuntary_switches), (2.0, 4));
        sum.merge(&taken(1).since(&taken(0)));
        assert_eq!((sum.cpu_s, sum.involuntary_switches), (3.0, 6));
    }
}
