//! What the process and the machine have to say, beside the generator's thread.

use super::Health;
use super::softnet::Softnet;
use super::threads::Threads;

/// Looked at once a second by whoever has no datagrams to move: it reads some files of the kernel's for each thread. What can't be read counts as
/// nothing.
#[derive(Debug)]
pub struct Machine {
    threads: Threads,
    softnet: Softnet,
}

impl Machine {
    /// From now on; what threads have taken before is of the first second.
    #[must_use]
    pub fn new() -> Self {
        Self { threads: Threads::default(), softnet: Softnet::now().unwrap_or_default() }
    }

    /// Adds what came since the last call.
    pub fn add_to(&mut self, health: &mut Health) {
        if let Ok(threads) = self.threads.look() {
            health.threads = threads;
        }
        if let Ok(now) = Softnet::now() {
            health.softnet = now.since(&self.softnet);
            self.softnet = now;
        }
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}
