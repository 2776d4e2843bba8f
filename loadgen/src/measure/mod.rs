//! What a run measures: procedures and transactions, how many and how long.
//!
//! A latency runs from the *intended* start of a procedure (open loop), so that what waits in a
//! generator or a core that can't keep up is in it. Beside it stands the raw one, from when the procedure began: where the two
//! differ, starts had to wait. What was never started, or was still going on at the end, is in the first at the age that it had, so that
//! no percentile gets better by leaving work out; nothing is corrected a second time. Recording neither allocates nor locks: each
//! thread has its own [`Measurements`], and they are merged elsewhere.

mod cause;
mod interval_log;
mod phases;
mod series;
mod start;
mod steps;

use imstorm_base::time::Time;

use serde::{Deserialize, Serialize};

pub use cause::{CAUSES, Cause, Failures};
pub use interval_log::{HistogramError, IntervalLog, read_line};
pub(crate) use interval_log::{decode, encode};
pub use phases::{Phase, Phases};
pub use series::{LATENCY_MAX_NS, Latency, Series, Tally};
pub use start::Start;
pub use steps::{StepRow, StepTally, Steps};

/// Writes a vocabulary down once: its members and the names that files have for them.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$row_doc:meta])* $row:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$row_doc])* $row,)+ }

        impl $name {
            /// All of them, in the order of reports.
            pub const ALL: &'static [Self] = &[$(Self::$row,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in reports, logs and thresholds.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$row => $text,)+ }
            }

            /// The one with a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|row| row.name() == name)
            }
        }
    };
}

vocabulary! {
    /// What a UE does, as its user would name it.
    Procedure {
        /// From no access to a live security subscription: SUBSCRIBE, 401, SUBSCRIBE, 200, NOTIFY.
        Secure = "secure",
        /// From no access to a registration with AKA: REGISTER, 401, REGISTER, 200. Without access security it is REGISTER, 200.
        Registration = "registration",
        /// From the sending of the security SUBSCRIBE that the network has refused, as it does not know the extension, to the 200 to the
        /// REGISTER. The set-up by subscription counts as abandoned.
        Fallback = "fallback",
        /// From the decision to try the extension again to the end of the registration that was fallen back to, in the steps of a handover.
        /// Abandoned where the network still does not know it.
        FallbackReturn = "fallback_return",
        /// The refresh of a security subscription, or of a registration with AKA.
        Refresh = "refresh",
        /// The end of a security subscription, or of a registration with AKA, by its UE.
        Release = "release",
        /// A refresh without credentials: 401, SUBSCRIBE on new security associations, 200, NOTIFY.
        Reauthenticate = "reauthenticate",
        /// From the operator's call to the NOTIFY that has, or lacks, the identity.
        IdentityChange = "identity_change",
        /// From the operator's call that lowers the lifetime to the 200 and the NOTIFY of the refresh that is challenged.
        NetworkReauthenticate = "network_reauthenticate",
        /// From the operator's call to the NOTIFY that terminates.
        NetworkRelease = "network_release",
        /// REGISTER over the secure connection, to its 200.
        RegisterOverConnection = "register_over_connection",
        /// SUBSCRIBE to the registration event package, to its 200 and NOTIFY.
        RegEvent = "reg_event",
        /// MESSAGE to another UE, to its 2xx.
        Message = "message",
        /// A session with another UE: INVITE to its 2xx.
        CallSetup = "call_setup",
        /// The refresh of a session (RFC 4028): UPDATE or re-INVITE to its 2xx.
        SessionRefresh = "session_refresh",
        /// The end of a session by one of its parties: BYE to its 2xx.
        CallRelease = "call_release",
        /// All that a user has goes to another access: from the decision, or the loss of the old one, to the end of the old connection's
        /// subscription. Its steps follow.
        Handover = "handover",
        /// The set-up of the new connection.
        HandoverSecure = "handover_secure",
        /// From the first INVITE that moves a session, or makes it anew, to the ACK of the last one.
        HandoverSessions = "handover_sessions",
        /// From the first SUBSCRIBE that moves a subscription, or makes it anew, to the NOTIFY of the last one.
        HandoverSubscriptions = "handover_subscriptions",
        /// REGISTER over the new connection, to its 200.
        HandoverBindings = "handover_bindings",
        /// The re-SUBSCRIBE that ends the old connection, to its 200.
        HandoverRelease = "handover_release",
        /// Of each session that is moved, or that the network has ended and the user makes anew: from the decision, or the loss of the old
        /// access, to the ACK over the new one.
        Interruption = "interruption",
        /// Of each subscription that is moved: SUBSCRIBE to its 2xx and NOTIFY.
        SubscriptionMove = "subscription_move",
        /// The operator switches the extension on or off at a role of the core: from the call to its answer.
        Switch = "switch",
    }
}

vocabulary! {
    /// A transaction, by its method.
    Transaction {
        /// From the request's first transmission to its final response.
        Subscribe = "SUBSCRIBE",
        /// From the first transmission of the SUBSCRIBE that it follows, or from the operator's call, to its arrival at the UE.
        Notify = "NOTIFY",
        /// From the first transmission to the final response.
        Register = "REGISTER",
        /// From the first transmission to the final response, of the UE that it is for.
        Message = "MESSAGE",
        /// From the first transmission to the final response: what the callee's ringing takes is in it.
        Invite = "INVITE",
        /// From the first transmission to the final response.
        Prack = "PRACK",
        /// From the first transmission to the final response.
        Update = "UPDATE",
        /// From the first transmission to the final response.
        Cancel = "CANCEL",
        /// From the first transmission to the final response.
        Bye = "BYE",
    }
}

/// The measurements of a thread, or of several merged.
#[derive(Debug, Clone)]
pub struct Measurements {
    procedures: Vec<Series>,
    transactions: Vec<Series>,
    failures: Failures,
    generator: GeneratorCounts,
    steps: Steps,
    /// How many procedures are over.
    over: u64,
    /// What of these two the last intervals have had.
    told: (Failures, GeneratorCounts),
}

/// What the generator has to say of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GeneratorCounts {
    /// Procedures that started later than intended, beyond the tolerance of whoever counts.
    pub late_starts: u64,
    /// Procedures that were intended and never started.
    pub skipped_starts: u64,
}

/// What happened since the last interval, for the live line and the interval log.
#[derive(Debug, Clone)]
pub struct Interval {
    /// One for each [`Procedure`], in the order of [`Procedure::ALL`].
    pub procedures: Vec<Tally>,
    /// One for each [`Transaction`], in the order of [`Transaction::ALL`].
    pub transactions: Vec<Tally>,
    /// The failures, by cause.
    pub failures: Failures,
    /// What the generator says of itself.
    pub generator: GeneratorCounts,
}

impl Measurements {
    /// Nothing, and nothing will be: to be read only.
    pub(crate) fn of_nothing() -> Self {
        Self {
            procedures: Procedure::ALL.iter().map(|_| Series::idle()).collect(),
            transactions: Transaction::ALL.iter().map(|_| Series::idle()).collect(),
            failures: Failures::new(),
            generator: GeneratorCounts::default(),
            steps: Steps::default(),
            over: 0,
            told: (Failures::new(), GeneratorCounts::default()),
        }
    }

    /// Nothing measured yet. What recording needs is claimed here: about 200 KiB for each row; as much again for a row in use comes with
    /// its first interval.
    #[must_use]
    pub fn new() -> Self {
        Self {
            procedures: Procedure::ALL.iter().map(|_| Series::new()).collect(),
            transactions: Transaction::ALL.iter().map(|_| Series::of_transactions()).collect(),
            failures: Failures::new(),
            generator: GeneratorCounts::default(),
            steps: Steps::default(),
            over: 0,
            told: (Failures::new(), GeneratorCounts::default()),
        }
    }

    /// A procedure has begun (late or not).
    pub fn attempted(&mut self, procedure: Procedure, start: Start) {
        self.steps.attempted(procedure, start);
        self.procedures[procedure as usize].attempted();
    }

    /// A procedure has failed. Its time is in no histogram: a quick failure is no good latency.
    pub fn failed(&mut self, procedure: Procedure, start: Start, cause: Cause) {
        self.steps.failed(procedure, start);
        self.over += 1;
        self.procedures[procedure as usize].failed();
        self.failures.count(cause);
    }

    /// A procedure was given up because the profile wants it so, or for a fallback: neither success nor failure.
    pub fn abandoned(&mut self, procedure: Procedure, start: Start) {
        self.steps.abandoned(procedure, start);
        self.over += 1;
        self.procedures[procedure as usize].abandoned();
    }

    /// A procedure has come to its good end.
    pub fn completed(&mut self, procedure: Procedure, start: Start, now: Time) {
        self.steps.completed(procedure, start, now);
        self.over += 1;
        self.procedures[procedure as usize].completed(start, now);
    }

    /// A procedure goes on at the end of the run, and nobody waits for it any more: it is neither completed nor failed, and its age is in the
    /// histogram.
    pub fn cut(&mut self, procedure: Procedure, start: Start, now: Time) {
        self.steps.cut(procedure, start, now);
        self.procedures[procedure as usize].cut(start, now);
    }

    /// A procedure has started later than intended, by more than is tolerated.
    pub fn late_start(&mut self) {
        self.generator.late_starts += 1;
    }

    /// A procedure that was intended for that time will not be started any more. It enters the
    /// histogram at its age, so that no percentile gets better by leaving work out.
    pub fn skipped_start(&mut self, procedure: Procedure, intended: Time, now: Time) {
        self.steps.skipped(procedure, intended, now);
        self.generator.skipped_starts += 1;
        self.procedures[procedure as usize].skipped(now.saturating_sub(intended));
    }

    /// A transaction has started.
    pub fn transaction_attempted(&mut self, transaction: Transaction) {
        self.transactions[transaction as usize].attempted();
    }

    /// A transaction has ended with a final response, whichever it is.
    pub fn transaction_completed(&mut self, transaction: Transaction, latency_ns: u64) {
        self.transactions[transaction as usize].took(latency_ns);
    }

    /// A transaction has ended without a final response.
    pub fn transaction_failed(&mut self, transaction: Transaction) {
        self.transactions[transaction as usize].failed();
    }

    /// The counts and latencies of a procedure since the start.
    #[must_use]
    pub fn procedure(&self, procedure: Procedure) -> Tally {
        self.procedures[procedure as usize].total()
    }

    /// The counts and latencies of a transaction since the start.
    #[must_use]
    pub fn transaction(&self, transaction: Transaction) -> Tally {
        self.transactions[transaction as usize].total()
    }

    /// The failures since the start, by cause.
    #[must_use]
    pub const fn failures(&self) -> &Failures {
        &self.failures
    }

    /// What the generator says of itself, since the start.
    #[must_use]
    pub const fn generator(&self) -> GeneratorCounts {
        self.generator
    }

    /// How many procedures are over.
    #[must_use]
    pub const fn over(&self) -> u64 {
        self.over
    }

    /// What was measured of each step of the load.
    #[must_use]
    pub const fn steps(&self) -> &Steps {
        &self.steps
    }

    /// The same, for whoever offers the load.
    pub fn steps_mut(&mut self) -> &mut Steps {
        &mut self.steps
    }

    /// How many of a procedure have begun and not ended.
    #[must_use]
    pub fn pending_of(&self, procedure: Procedure) -> u64 {
        self.procedures[procedure as usize].pending()
    }

    /// How many procedures have neither ended well nor failed nor been abandoned.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.procedures.iter().map(Series::pending).sum()
    }

    /// Adds what another thread measured.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.procedures.iter_mut().zip(&other.procedures) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.transactions.iter_mut().zip(&other.transactions) {
            mine.merge(theirs);
        }
        self.failures.merge(&other.failures);
        self.generator.add(other.generator);
        self.told.0.merge(&other.told.0);
        self.told.1.add(other.told.1);
    }

    /// What happened since the last call; the next one starts here.
    pub fn interval(&mut self) -> Interval {
        let told = std::mem::replace(&mut self.told, (self.failures.clone(), self.generator));
        Interval {
            procedures: self.procedures.iter_mut().map(Series::interval).collect(),
            transactions: self.transactions.iter_mut().map(Series::interval).collect(),
            failures: self.failures.since(&told.0),
            generator: self.generator.since(told.1),
        }
    }

    /// Adds an interval of other measurements: all intervals of a run make what it measured, bucket by bucket.
    pub fn add(&mut self, interval: &Interval) {
        for (mine, theirs) in self.procedures.iter_mut().zip(&interval.procedures) {
            mine.add(theirs);
        }
        for (mine, theirs) in self.transactions.iter_mut().zip(&interval.transactions) {
            mine.add(theirs);
        }
        self.failures.merge(&interval.failures);
        self.generator.add(interval.generator);
        self.told.0.merge(&interval.failures);
        self.told.1.add(interval.generator);
    }

    /// The state since the start: `procedures`, `transactions`, `failures` as in report.json.
    #[must_use]
    pub fn snapshot_json(&self, duration_s: f64) -> serde_json::Value {
        serde_json::to_value(crate::report::Measured::new(self, duration_s))
            .expect("it is numbers and names only")
    }
}

impl Default for Measurements {
    fn default() -> Self {
        Self::new()
    }
}

impl GeneratorCounts {
    fn add(&mut self, other: Self) {
        self.late_starts += other.late_starts;
        self.skipped_starts += other.skipped_starts;
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            late_starts: self.late_starts - earlier.late_starts,
            skipped_starts: self.skipped_starts - earlier.skipped_starts,
        }
    }
}

impl Interval {
    /// In which nothing happened.
    #[must_use]
    pub fn of_nothing() -> Self {
        Measurements::of_nothing().interval()
    }

    /// What happened to a procedure.
    #[must_use]
    pub fn procedure(&self, procedure: Procedure) -> &Tally {
        &self.procedures[procedure as usize]
    }

    /// What happened to a transaction.
    #[must_use]
    pub fn transaction(&self, transaction: Transaction) -> &Tally {
        &self.transactions[transaction as usize]
    }

    /// Adds another thread's interval.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.procedures.iter_mut().zip(&other.procedures) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.transactions.iter_mut().zip(&other.transactions) {
            mine.merge(theirs);
        }
        self.failures.merge(&other.failures);
        self.generator.add(other.generator);
    }
}

#[cfg(test)]
mod tests;
