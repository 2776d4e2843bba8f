//! What must hold after every event of a simulated run, seen from both sides at once.
//!
//! After each: a live connection has four security associations at its P-CSCF, and eight during a re-authentication; none is without
//! its connection, and no live connection without its subscription at the S-CSCF; no binding runs over a connection that is not
//! there; P-CSCF and S-CSCF agree on the connection's lifetime. Of a UE for which nothing is under way: it holds four security
//! associations as well, agrees on lifetime and identities with both, and has the sessions that the S-CSCF has of it.
//!
//! Where access is not protected there are no security associations, and no subscription of the P-CSCF's own to learn a change of identities from.
//!
//! Other than that where an end keeps one set of security associations for a private identity that several registrations or subscriptions
//! share (`Deletions`): that is what is compared.

use imstorm_base::time::{NS_PER_S, Time, seconds};
use imstorm_cscf::hss::IDENTITIES_BYTES_MAX;
use imstorm_cscf::identity::IdentityList;
use imstorm_cscf::pcscf::GRACE_S;
use imstorm_cscf::scscf::{SessionState, SubscriptionState};
use imstorm_cscf::{Pcscf, Scscf};
use imstorm_engine::Shard;
use imstorm_sip::body::secinfo::Identity;

use super::shards::Shards;
use crate::course::SaPolicy;
use crate::generator::{Generator, LegView};
use crate::profile::{AccessSecurity, Profile};
use crate::ue::lifetime::identities_hash;
use crate::ue::procedures::TIMINGS;

/// Violations that are kept of a run: the first ones tell.
const KEPT_MAX: usize = 8;
/// So many UEs are looked at after every event. Of more the looks are as much rarer as they cost more, squared: what they cost a run
/// stays the same.
const EVERY_EVENT_UES_MAX: usize = 300;
/// Looks between two at all UEs that rest; in between it is those that the event was about.
const SWEEP_LOOKS: u64 = 64;

/// Watches one run.
#[derive(Debug)]
pub struct Invariants {
    /// Datagrams under way from or to each UE.
    under_way: Vec<u32>,
    /// UEs that the event was about.
    touched: Vec<u32>,
    /// By UE: connections that carry requests at the P-CSCFs.
    at_pcscf: Vec<Seen>,
    /// By UE: subscriptions at the S-CSCF.
    at_scscf: Vec<Seen>,
    deletions: Deletions,
    /// Sets of security associations at each end of a connection: none where access is not protected.
    sets: usize,
    events: u64,
    /// Events from one look to the next.
    every: u64,
    quiet_checks: u64,
    violations: Vec<String>,
}

/// Which ends of a comparison delete sets of security associations that another end goes on with, when the same private identity
/// comes from another address. They tell nobody, so that the ends disagree until lifetimes end.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
struct Deletions {
    /// P-CSCFs: the S-CSCF has subscriptions and registrations without a connection.
    by_pcscf: bool,
    /// UEs: the network has connections of which the UE has no set, and hears nothing any more.
    by_ue: bool,
}

impl Deletions {
    fn of(profile: &Profile) -> Self {
        let Some(schemes) = &profile.schemes else { return Self::default() };
        let deletes =
            |policy: SaPolicy| policy == SaPolicy::Impi && !schemes.scheme.modifies_impi();
        Self { by_pcscf: deletes(schemes.pcscf_sa_policy), by_ue: deletes(schemes.ue_sa_policy) }
    }
}

/// A UE's records at a role.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    live: u32,
    ending: u32,
    /// Of a live one.
    ends_at: Time,
}

impl Invariants {
    /// Nothing seen yet of a run of this profile, with so many accesses.
    #[must_use]
    pub fn new(profile: &Profile, ues: usize) -> Self {
        Self {
            deletions: Deletions::of(profile),
            sets: usize::from(profile.ue.access_security != AccessSecurity::None),
            under_way: vec![0; ues],
            touched: Vec::new(),
            at_pcscf: vec![Seen::default(); ues],
            at_scscf: vec![Seen::default(); ues],
            events: 0,
            every: (ues.div_ceil(EVERY_EVENT_UES_MAX) as u64).pow(2).max(1),
            quiet_checks: 0,
            violations: Vec::new(),
        }
    }

    /// A copy of a datagram of this UE is put on the network.
    pub fn sent(&mut self, ue: u32) {
        self.under_way[ue as usize] += 1;
    }

    /// A copy of a datagram of this UE arrives.
    pub fn arrived(&mut self, ue: u32) {
        self.under_way[ue as usize] -= 1;
        self.touched.push(ue);
    }

    /// What did not hold so far.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// How often a UE was found with nothing under way, and compared.
    #[must_use]
    pub fn quiet_checks(&self) -> u64 {
        self.quiet_checks
    }

    /// Looks at everything after an event, or after some in a big population.
    pub fn check(
        &mut self,
        now: Time,
        since_start_ns: u64,
        engine: &Shards,
        generator: &Generator,
    ) {
        self.events += 1;
        if !self.events.is_multiple_of(self.every) {
            return;
        }
        let mut found = self.check_engine(now, engine, generator);
        if found.is_ok() {
            let touched = std::mem::take(&mut self.touched);
            let all = (self.events / self.every).is_multiple_of(SWEEP_LOOKS);
            found = match all {
                true => (0..self.under_way.len() as u32)
                    .try_for_each(|ue| self.check_quiet(now, ue, engine, generator)),
                false => {
                    touched.iter().try_for_each(|ue| self.check_quiet(now, *ue, engine, generator))
                }
            };
            self.touched = touched;
        }
        self.touched.clear();
        if let Err(what) = found
            && self.violations.len() < KEPT_MAX
        {
            let at_s = since_start_ns as f64 / 1e9;
            self.violations.push(format!("after {at_s:.6} s: {what}"));
        }
    }

    fn check_engine(
        &mut self,
        now: Time,
        engine: &Shards,
        generator: &Generator,
    ) -> Result<(), String> {
        self.at_pcscf.fill(Seen::default());
        self.at_scscf.fill(Seen::default());
        for pcscf in engine.iter().flat_map(Shard::pcscfs) {
            pcscf.audit()?;
            for connection in pcscf.connection_states() {
                let Some(ue) = generator.population.ue_at(connection.ue_ip) else { continue };
                let at = &mut self.at_pcscf[ue as usize];
                count(at, connection.is_live, connection.expires_at);
            }
        }
        for scscf in engine.iter().filter_map(Shard::scscf) {
            scscf.audit()?;
            for subscription in scscf.subscription_states() {
                let Some(ue) = generator.population.ue_at(subscription.ue_ip) else { continue };
                let at = &mut self.at_scscf[ue as usize];
                count(at, subscription.is_live, subscription.expires_at);
            }
        }
        for (ue, (pcscf, scscf)) in self.at_pcscf.iter().zip(&self.at_scscf).enumerate() {
            if pcscf.live > scscf.live + scscf.ending {
                let (live, there) = (pcscf.live, scscf.live + scscf.ending);
                return Err(format!("UE {ue}: {live} live connections, {there} subscriptions"));
            }
            if scscf.live > pcscf.live && !self.deletions.by_pcscf {
                let (live, there) = (scscf.live, pcscf.live);
                return Err(format!("UE {ue}: {live} live subscriptions, {there} connections"));
            }
            // The P-CSCF's has its grace, and both round up to seconds.
            let with_grace = scscf.ends_at + seconds(GRACE_S);
            if (pcscf.live, scscf.live) == (1, 1) && pcscf.ends_at.abs_diff(with_grace) > seconds(2)
            {
                let left_s = |at: Time| (at as f64 - now as f64) / NS_PER_S as f64;
                let (pcscf_s, scscf_s) = (left_s(pcscf.ends_at), left_s(scscf.ends_at));
                return Err(format!(
                    "UE {ue}: {pcscf_s:.1} s are left at the P-CSCF, {scscf_s:.1} at the S-CSCF"
                ));
            }
        }
        Ok(())
    }

    /// UE, P-CSCF and S-CSCF agree where nothing of the UE is under way.
    fn check_quiet(
        &mut self,
        now: Time,
        ue: u32,
        engine: &Shards,
        generator: &Generator,
    ) -> Result<(), String> {
        let at = ue as usize;
        let Some(view) = generator.ue(ue) else { return Ok(()) };
        let is_one = |seen: &Seen| (seen.live, seen.ending) == (1, 0);
        if self.under_way[at] > 0
            || !view.is_secured
            || view.is_asking
            || !is_one(&self.at_pcscf[at])
            || !is_one(&self.at_scscf[at])
        {
            return Ok(());
        }
        let ip = generator.population.address(ue);
        let pcscfs = engine.iter().flat_map(Shard::pcscfs);
        let mut connections = pcscfs.flat_map(Pcscf::connection_states);
        let connection = connections.find(|it| it.ue_ip == ip && it.is_live);
        let subscription = engine.iter().filter_map(Shard::scscf).find_map(|scscf| {
            let mut all = scscf.subscription_states();
            Some((scscf, all.find(|it| it.ue_ip == ip && it.is_live)?))
        });
        let (Some(connection), Some((scscf, subscription))) = (connection, subscription) else {
            return Ok(());
        };
        if connection.pending > 0 || subscription.is_notifying {
            return Ok(());
        }
        if self.deletions.by_ue && view.sets == 0 {
            return Ok(());
        }
        self.quiet_checks += 1;
        let place = format!("UE {ue}, at rest");
        check_sessions(ue, scscf, generator).map_err(|what| format!("{place}: {what}"))?;
        check_lifetime(now, view.lifetime_ends_at, &subscription)
            .map_err(|what| format!("{place}: {what}"))?;
        if (view.sets, connection.security_associations) != (self.sets, 4 * self.sets) {
            let (own, its) = (4 * view.sets, connection.security_associations);
            return Err(format!("{place}: {own} security associations, its P-CSCF {its}"));
        }
        if identities_at(scscf, &subscription) != view.identities {
            return Err(format!("{place}: other identities than at the S-CSCF"));
        }
        let mut packed = [0; IDENTITIES_BYTES_MAX];
        if scscf.identities(subscription.user, &mut packed) != connection.identities {
            return Err(format!("{place}: P-CSCF and S-CSCF have other identities"));
        }
        Ok(())
    }
}

fn count(seen: &mut Seen, is_live: bool, ends_at: Time) {
    if is_live {
        seen.live += 1;
        seen.ends_at = ends_at;
    } else {
        seen.ending += 1;
    }
}

/// Sessions that nobody is changing: those that the S-CSCF has over this connection are the UE's, and the other way round.
fn check_sessions(ue: u32, scscf: &Scscf, generator: &Generator) -> Result<(), String> {
    let ip = generator.population.address(ue);
    let legs = generator.legs(ue);
    let own: Vec<_> = legs.iter().filter(|leg| leg.ue == ue && !leg.is_over).collect();
    if legs.iter().any(|leg| !leg.is_over && !leg.is_at_rest) {
        return Ok(());
    }
    let its: Vec<_> = scscf.session_states().filter(|it| it.ue_ip == ip).collect();
    if its.iter().any(|it| !it.is_confirmed || it.is_changing) {
        return Ok(());
    }
    let is_same = |leg: &LegView, it: &SessionState<'_>| {
        leg.call_id == it.call_id && leg.local_tag == it.ue_tag
    };
    let all_known = own.iter().all(|leg| its.iter().any(|it| is_same(leg, it)));
    if own.len() != its.len() || !all_known {
        return Err(format!("{} sessions, {} at the S-CSCF", own.len(), its.len()));
    }
    Ok(())
}

/// A UE counts from when it asked, which may have taken a whole transaction to get through.
fn check_lifetime(
    now: Time,
    ue_ends_at: Time,
    subscription: &SubscriptionState,
) -> Result<(), String> {
    let ends_at = subscription.expires_at;
    if ue_ends_at > ends_at + seconds(2) || ue_ends_at + TIMINGS.timer_f_ns() < ends_at {
        let left_s = |at: Time| (at as f64 - now as f64) / NS_PER_S as f64;
        let (ue_s, scscf_s) = (left_s(ue_ends_at), left_s(ends_at));
        return Err(format!("{ue_s:.1} s are left to the UE, {scscf_s:.1} at the S-CSCF"));
    }
    Ok(())
}

fn identities_at(scscf: &Scscf, subscription: &SubscriptionState) -> u32 {
    let mut packed = [0; IDENTITIES_BYTES_MAX];
    let identities = IdentityList::new(scscf.identities(subscription.user, &mut packed));
    identities_hash(identities.iter().map(|identity| Identity {
        uri: identity.uri,
        is_default: identity.is_default,
        is_barred: identity.barred,
    }))
}
