//! How long a UE believes that its connection lasts, and which identities it may use: what 200s and NOTIFYs say.

use imstorm_base::hash::HashSeed;
use imstorm_base::time::{Time, seconds};
use imstorm_sip::Message;
use imstorm_sip::body::secinfo::{Identity, Secinfo};
use imstorm_sip::field::subscription_state::SubscriptionState;

use crate::generator::Generator;
use crate::operator::extra_identity;

/// Seconds in a NOTIFY are whole ones: a lifetime that is shorter by less is the same one.
const SLACK: u32 = (seconds(2) >> STEP_SHIFT) as u32;
/// A step of a [`Moment`] is 2^23 ns, so that 32 bits reach 417 days.
const STEP_SHIFT: u32 = 23;

/// A time of a run as it is kept of each UE, in 4 bytes: in steps of 8.4 ms from the run's start, rounded down. What lies beyond its
/// reach, after 417 days, never comes.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u32);

/// Makes moments of times, and times of moments.
#[derive(Copy, Clone, Debug, Default)]
pub struct RunClock {
    /// The run's start.
    pub started_at: Time,
}

impl RunClock {
    /// The moment of a time.
    pub fn moment(self, at: Time) -> Moment {
        let steps = at.saturating_sub(self.started_at) >> STEP_SHIFT;
        Moment(u32::try_from(steps).unwrap_or(u32::MAX))
    }

    /// The time of a moment.
    pub fn time(self, moment: Moment) -> Time {
        self.started_at.saturating_add(u64::from(moment.0) << STEP_SHIFT)
    }
}

/// A connection's lifetime.
#[derive(Copy, Clone, Debug, Default)]
pub struct Lifetime {
    /// What the last 200 granted, in seconds.
    pub granted_s: u32,
    /// When it ends by the last 200: a grant counts from when its request was sent, so that this is never late.
    pub granted_until: Moment,
    /// When it ends by what has come since, too.
    pub ends_at: Moment,
    /// When it ends by the last NOTIFY.
    pub notified_ends_at: Moment,
}

const _: () = assert!(size_of::<Lifetime>() == 16);

impl Lifetime {
    /// A 200 grants `granted_s` to a request sent at `sent_at`.
    pub fn grant(&mut self, clock: RunClock, sent_at: Time, granted_s: u32) {
        self.granted_s = granted_s;
        let until = sent_at.saturating_add(seconds(u64::from(granted_s)));
        self.granted_until = clock.moment(until);
        self.ends_at = self.granted_until;
    }

    /// A NOTIFY says that `expires_s` are left. True where it lowers the lifetime.
    pub fn notify(&mut self, clock: RunClock, now: Time, expires_s: u32) -> bool {
        self.notified_ends_at = clock.moment(now.saturating_add(seconds(u64::from(expires_s))));
        let is_lower = self.notified_ends_at.0.saturating_add(SLACK) < self.ends_at.0;
        if is_lower {
            self.ends_at = self.notified_ends_at;
        }
        is_lower
    }

    /// Whether half of what the last 200 granted is over.
    pub fn is_half_over(&self, clock: RunClock, now: Time) -> bool {
        let half_ns = seconds(u64::from(self.granted_s)) / 2;
        clock.time(self.granted_until).saturating_sub(now) <= half_ns
    }

    /// Whether the last grant is as long as `granted_s`, and the last NOTIFY does not say less.
    pub fn is_restored(&self, granted_s: u32) -> bool {
        self.granted_s >= granted_s
            && self.notified_ends_at.0.saturating_add(SLACK) >= self.granted_until.0
    }
}

/// The seconds that a NOTIFY leaves: the smaller of Subscription-State's and Expires, where they differ.
pub(super) fn notified_s(message: &Message<'_>, state: &SubscriptionState<'_>) -> Option<u32> {
    let expires = message.expires().ok().flatten();
    [state.expires, expires].into_iter().flatten().min()
}

/// A hash of identities, in order, with what is said of each: equal lists have equal ones.
pub fn identities_hash<'a>(identities: impl Iterator<Item = Identity<'a>>) -> u32 {
    let seed = HashSeed::new(0);
    let hash = identities.fold(0_u64, |so_far, identity| {
        let flags = [u8::from(identity.is_default), u8::from(identity.is_barred)];
        let one = seed.hash2(&flags, identity.uri);
        seed.hash2(&so_far.to_be_bytes(), &one.to_be_bytes())
    });
    hash as u32
}

impl Generator {
    /// Takes the identities from a NOTIFY's body; false where it can't be read.
    pub(super) fn keep_identities(&mut self, ue: u32, body: &[u8]) -> bool {
        let Ok(found) = Secinfo::parse(body) else { return false };
        let extra = extra_identity(&self.impi(ue));
        let state = &mut self.ues[ue as usize];
        state.identities = identities_hash(found.identities());
        state.has_extra = found.identities().any(|identity| identity.uri == extra);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: RunClock = RunClock { started_at: seconds(90) };

    /// Whether a moment is the one that was meant, and not later.
    fn is_about(moment: Moment, at: Time) -> bool {
        (at - (1 << STEP_SHIFT)..=at).contains(&CLOCK.time(moment))
    }

    #[test]
    fn a_late_200_or_notify_lowers_nothing() {
        let mut lifetime = Lifetime::default();
        lifetime.grant(CLOCK, seconds(100), 600);
        assert!(!lifetime.notify(CLOCK, seconds(101), 600), "as granted");
        assert!(!lifetime.notify(CLOCK, seconds(101), 598), "in whole seconds");
        assert!(!lifetime.notify(CLOCK, seconds(130), 600), "repeated for half a minute");
        assert!(lifetime.is_restored(600));
        assert!(is_about(lifetime.ends_at, seconds(700)));
    }

    #[test]
    fn a_lowered_lifetime_is_noticed_once_and_restored_by_a_grant() {
        let mut lifetime = Lifetime::default();
        lifetime.grant(CLOCK, seconds(100), 600);
        assert!(lifetime.notify(CLOCK, seconds(200), 60));
        assert!(is_about(lifetime.ends_at, seconds(260)));
        assert!(!lifetime.notify(CLOCK, seconds(201), 59));
        assert!(!lifetime.is_restored(600));
        lifetime.grant(CLOCK, seconds(205), 600);
        assert!(!lifetime.is_restored(600), "the last NOTIFY says less");
        assert!(!lifetime.notify(CLOCK, seconds(206), 600));
        assert!(lifetime.is_restored(600));
        assert!(!lifetime.is_restored(601));
    }

    #[test]
    fn half_of_a_grant_is_over_in_time_however_long_it_is() {
        for granted_s in [1, 599, 3_600, 600_000, u32::MAX] {
            let mut lifetime = Lifetime::default();
            let sent_at = seconds(100) + 12_345_678;
            lifetime.grant(CLOCK, sent_at, granted_s);
            assert!(lifetime.is_half_over(CLOCK, sent_at + seconds(u64::from(granted_s)) / 2));
            let is_far = granted_s < 1 << 25;
            assert_eq!(!lifetime.is_half_over(CLOCK, sent_at), is_far);
        }
    }

    #[test]
    fn lists_that_differ_have_other_hashes() {
        let identity = |uri, is_default| Identity { uri, is_default, is_barred: false };
        let (one, other): (&[u8], &[u8]) = (b"sip:a@x", b"sip:b@x");
        let hash = |list: &[Identity<'_>]| identities_hash(list.iter().copied());
        let list = [identity(one, true), identity(other, false)];
        assert_eq!(hash(&list), hash(&list));
        assert_ne!(hash(&list), hash(&[list[1], list[0]]));
        assert_ne!(hash(&list), hash(&[identity(one, false), identity(other, true)]));
        assert_ne!(hash(&list), hash(&list[..1]));
    }
}
