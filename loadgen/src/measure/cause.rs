//! Why procedures fail.

use std::borrow::Cow;

/// Writes the causes down once: member, and name in reports.
macro_rules! causes {
    ($($(#[$doc:meta])* $row:ident = $text:literal,)+) => {
        /// Why a procedure has failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Cause {
            $($(#[$doc])* $row,)+
            /// A final response that no other cause names: `status_CODE`.
            StatusOther(u16),
        }

        /// Every cause but [`Cause::StatusOther`], with its name.
        pub const CAUSES: &[(Cause, &str)] = &[$((Cause::$row, $text),)+];
    };
}

causes! {
    /// No final response until the transaction's end (timer F).
    Timeout = "timeout",
    /// A 2xx, and no NOTIFY within timer N (RFC 6665 4.1.2.4).
    NoNotify = "no_notify",
    /// 403: the answer to the challenge was wrong, or the identity is not the subscriber's.
    Forbidden403 = "forbidden_403",
    /// 494 or 421: no agreement on security (RFC 3329 2.3).
    Security494 = "security_494",
    /// The network's MAC in AUTN is wrong: it does not know the key.
    MacFailure = "mac_failure",
    /// The sequence number in AUTN stayed out of range after a resynchronisation.
    SqnOutOfRange = "sqn_out_of_range",
    /// A 401 without a challenge that can be answered, or one too many.
    BadChallenge = "bad_challenge",
    /// 401 or 407 to a UE that has no credentials to give, as its profile wants it.
    CredentialsWanted = "credentials_wanted",
    /// Security-Server is missing, malformed, or offers nothing that the UE offered.
    BadSecurityServer = "bad_security_server",
    /// The network ended the subscription during the procedure.
    TerminatedByNetwork = "terminated_by_network",
    /// A datagram could not be sent, or ICMP said that nobody listens.
    Transport = "transport",
    /// A response or NOTIFY that is no SIP or lacks what it must have.
    Parse = "parse",
    /// A 200 to REGISTER that does not list the contact that was registered.
    NotBound = "not_bound",
    /// The operator's call was refused, or not answered.
    Operator = "operator",
    /// A refresh that the network had to challenge was let pass.
    NotChallenged = "not_challenged",
    /// The lifetime was not restored in full.
    Lifetime = "lifetime",
    /// 486 or 600: the callee has as many sessions as it takes.
    Busy = "busy",
    /// 480, or nobody answered in time: the callee was not to be had.
    NoAnswer = "no_answer",
    /// The UE has no security associations to send it through.
    NoAssociation = "no_association",
    /// The connection that it ran over was gone first.
    ConnectionLost = "connection_lost",
}

/// Status codes are counted each by itself up to this one, all beyond as this one.
const STATUS_MAX: u16 = 699;
const SLOTS: usize = CAUSES.len() + STATUS_MAX as usize + 1;

impl Cause {
    /// The name in reports and thresholds.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::StatusOther(code) => Cow::Owned(format!("status_{code}")),
            _ => Cow::Borrowed(CAUSES[self.slot()].1),
        }
    }

    /// The cause with a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some((cause, _)) = CAUSES.iter().find(|(_, text)| *text == name) {
            return Some(*cause);
        }
        let code: u16 = name.strip_prefix("status_")?.parse().ok()?;
        (300..=STATUS_MAX).contains(&code).then_some(Self::StatusOther(code))
    }

    fn slot(self) -> usize {
        match self {
            Self::StatusOther(code) => CAUSES.len() + usize::from(code.min(STATUS_MAX)),
            _ => CAUSES
                .iter()
                .position(|(cause, _)| *cause == self)
                .expect("the table has every other cause"),
        }
    }
}

/// How often each cause occurred. Counting claims no memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    counts: Box<[u64]>,
}

impl FromIterator<(Cause, u64)> for Failures {
    fn from_iter<T: IntoIterator<Item = (Cause, u64)>>(counts: T) -> Self {
        let mut failures = Self::new();
        counts.into_iter().for_each(|(cause, count)| failures.count_more(cause, count));
        failures
    }
}

impl Failures {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; SLOTS].into_boxed_slice() }
    }

    pub(super) fn count(&mut self, cause: Cause) {
        self.counts[cause.slot()] += 1;
    }

    pub(super) fn count_more(&mut self, cause: Cause, count: u64) {
        self.counts[cause.slot()] += count;
    }

    /// Those that an earlier state of these has not.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let counts = self.counts.iter().zip(&earlier.counts);
        Self { counts: counts.map(|(mine, earlier)| mine - earlier).collect() }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    /// How often a cause occurred.
    #[must_use]
    pub fn of(&self, cause: Cause) -> u64 {
        self.counts[cause.slot()]
    }

    /// The causes that occurred, each with its count, in the table's order, status codes last.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> {
        let status = (0..=STATUS_MAX).map(Cause::StatusOther);
        let causes = CAUSES.iter().map(|(cause, _)| *cause).chain(status);
        causes.zip(self.counts.iter().copied()).filter(|(_, count)| *count > 0)
    }

    /// All failures.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}
