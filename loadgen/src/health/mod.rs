//! How the generator judges itself: whether it did what the profile asked of it, at the time that it should, and lost nothing of what came.
//!
//! [`Meter`] is on the generator's thread: lateness of starts, how long datagrams waited in its sockets, what these lost, what of the
//! time the thread ran. [`Machine`] is on the one that watches: what all threads take, and what the machine's receive queues lose. A second of both is
//! a [`Health`]; the run's is the sum of its seconds, and that of several parts the sum of theirs. [`Judgement`] holds it against the profile's rules.

mod cores;
mod distribution;
mod machine;
mod meter;
mod rules;
mod socket;
mod softnet;
mod table;
mod threads;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use cores::Cores;
pub use distribution::Distribution;
pub use machine::Machine;
pub use meter::{Meter, Watched};
pub use rules::Judgement;
pub use socket::{RECEIVE_BUFFER_BYTES_MIN, SocketHealth, announce};
pub use softnet::Softnet;
pub(crate) use table::render;
pub use threads::ThreadUse;

/// The receive buffer that each of the generator's sockets asks for.
pub const RECEIVE_BUFFER_BYTES: usize = 16 << 20;

/// What the generator knows of itself over some time: a second, a run, or several parts of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Whether latencies are the target's: they aren't where engine and generator share a core.
    pub latency_usable: bool,
    /// How long after its intended time each start came. Corrected latencies have it in them already.
    pub lateness_us: Distribution,
    /// How long each datagram waited in the generator's sockets, from the kernel's time stamp (SO_TIMESTAMPNS) to when the generator began to look
    /// at its batch. It is part of every latency, and none of the target's. With `arrivals.grain_ms` datagrams wait up to so long by intent.
    pub socket_wait_us: Distribution,
    /// How long the generator took for each look at what was due and what had come: what it sends then leaves so much later than it is noted to at most.
    pub tick_us: Distribution,
    /// Datagrams that the kernel dropped at the generator's sockets, all together (SO_MEMINFO).
    pub socket_drops: u64,
    /// Each of the sockets.
    pub sockets: Vec<SocketHealth>,
    /// What the machine lost before the sockets. Parts of a run that share a machine each have all of it.
    pub softnet: Softnet,
    /// The generator's own thread.
    pub generator_thread: GeneratorThread,
    /// All threads of the process, by name.
    pub threads: BTreeMap<String, ThreadUse>,
    /// How late the kernel may wake the generator's thread, in nanoseconds, as it says itself; 1 is the least.
    pub timer_slack_ns: u64,
    /// Where engine and generator run.
    pub cores: Cores,
    /// The profile's rules that are laxer than the default, in words.
    pub loosened: Vec<String>,
}

/// What the generator's thread had of its time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct GeneratorThread {
    /// How long it was there, in seconds.
    pub wall_s: f64,
    /// How long it ran, in seconds.
    pub cpu_s: f64,
    /// Their quotient, from 0 to 1.
    pub cpu_share: f64,
    /// The same of its busiest second; 0 where there was no whole second.
    pub cpu_share_max: f64,
    /// How long it was ready to run and did not, as others did, in seconds.
    pub waited_s: f64,
    /// How often it had to let others run.
    pub involuntary_switches: u64,
}

impl Health {
    /// Adds that of a later time of the same run, or of another part of it.
    pub fn merge(&mut self, other: &Self) {
        self.latency_usable &= other.latency_usable;
        self.lateness_us.merge(&other.lateness_us);
        self.socket_wait_us.merge(&other.socket_wait_us);
        self.tick_us.merge(&other.tick_us);
        self.socket_drops += other.socket_drops;
        for socket in &other.sockets {
            match self.sockets.iter_mut().find(|it| it.address == socket.address) {
                Some(same) => same.merge(socket),
                None => self.sockets.push(socket.clone()),
            }
        }
        self.softnet.merge(&other.softnet);
        self.generator_thread.merge(&other.generator_thread);
        for (name, taken) in &other.threads {
            self.threads.entry(name.clone()).or_default().merge(taken);
        }
        self.timer_slack_ns = self.timer_slack_ns.max(other.timer_slack_ns);
        self.cores.merge(&other.cores);
        for rule in &other.loosened {
            if !self.loosened.contains(rule) {
                self.loosened.push(rule.clone());
            }
        }
    }
}

impl Default for Health {
    /// Nothing is known yet, and nothing is wrong.
    fn default() -> Self {
        Self {
            latency_usable: true,
            lateness_us: Distribution::new(),
            socket_wait_us: Distribution::new(),
            tick_us: Distribution::new(),
            socket_drops: 0,
            sockets: Vec::new(),
            softnet: Softnet::default(),
            generator_thread: GeneratorThread::default(),
            threads: BTreeMap::new(),
            timer_slack_ns: 0,
            cores: Cores::default(),
            loosened: Vec::new(),
        }
    }
}

impl GeneratorThread {
    fn merge(&mut self, other: &Self) {
        self.wall_s += other.wall_s;
        self.cpu_s += other.cpu_s;
        self.cpu_share = if self.wall_s > 0.0 { self.cpu_s / self.wall_s } else { 0.0 };
        self.cpu_share_max = self.cpu_share_max.max(other.cpu_share_max);
        self.waited_s += other.waited_s;
        self.involuntary_switches += other.involuntary_switches;
    }
}

#[cfg(test)]
mod tests;
