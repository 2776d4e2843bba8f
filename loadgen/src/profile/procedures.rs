//! What a secured UE does, and what it leaves undone.

use imstorm_base::random::Random;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::measure::Procedure;

/// What a secured UE does.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Procedures {
    /// Refreshes of the security subscription.
    pub refresh: Refresh,
    /// The UE's own end of it; nothing: UEs stay.
    pub release: Option<Release>,
    /// Refreshes without credentials, which the network has to challenge.
    pub reauthenticate: Option<Recurring>,
    /// The operator adds a public identity, and takes it away the next time.
    pub identity_change: Option<Recurring>,
    /// The operator lowers the lifetime, so that the UE authenticates again.
    pub network_reauthenticate: Option<NetworkReauthenticate>,
    /// The operator ends the connection.
    pub network_release: Option<NetworkRelease>,
    /// The UE registers its default identity over the connection.
    pub register_over_connection: Option<Registration>,
    /// The UE subscribes to the registration state of its default identity.
    pub reg_event: Option<Registration>,
    /// The UE sends a MESSAGE to its partner, the UE whose number differs in the last bit.
    pub message: Option<Recurring>,
    /// The UE calls its partner, the UE whose number differs in the last bit.
    pub call: Option<Call>,
    /// The user goes to the UE's other access, with all that it has.
    pub handover: Option<Handover>,
}

/// Refreshes of the security subscription.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Refresh {
    /// From being secured to the first refresh, and from one to the next, in seconds.
    pub after_s: f64,
    /// The part of `after_s`, 0 to 1, by which it varies evenly to either side.
    pub jitter: f64,
    /// How many refreshes a UE makes; 0: none.
    pub count: u32,
    /// The lifetime that the UE asks for, in the first SUBSCRIBE too: `Expires`, in seconds.
    pub expires_s: u32,
    /// The first refresh of all UEs falls into a window that begins so many seconds after the run's start; nothing: each UE's
    /// comes `after_s` after it was secured. A UE that is secured later refreshes at once.
    pub at_s: Option<f64>,
    /// The length of that window in seconds, over which the refreshes are spread evenly.
    pub window_s: f64,
}

impl Default for Refresh {
    /// None, and the lifetime that TS 24.229 5.1.1.2.1 has a UE ask for.
    fn default() -> Self {
        let expires_s = default_expires_s();
        Self { after_s: 0.0, jitter: 0.0, count: 0, expires_s, at_s: None, window_s: 0.0 }
    }
}

/// The UE's own end of its security subscription.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// From being secured to the release, in seconds.
    pub after_s: f64,
    /// The part of `after_s`, 0 to 1, by which it varies evenly to either side.
    #[serde(default)]
    pub jitter: f64,
}

/// A procedure that a UE goes through once or several times.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recurring {
    /// From being secured to the first one, and from one's end to the next, in seconds.
    pub after_s: f64,
    /// The part of `after_s`, 0 to 1, by which it varies evenly to either side.
    #[serde(default)]
    pub jitter: f64,
    /// How many a UE goes through.
    #[serde(default = "one")]
    pub count: u32,
}

/// The operator lowers the lifetime.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkReauthenticate {
    /// From being secured to the first one, and from one's end to the next, in seconds.
    pub after_s: f64,
    /// The part of `after_s`, 0 to 1, by which it varies evenly to either side.
    #[serde(default)]
    pub jitter: f64,
    /// How many a UE goes through.
    #[serde(default = "one")]
    pub count: u32,
    /// The lifetime that is left then, in seconds, below `refresh.expires_s`.
    pub expires_s: u32,
}

/// The operator ends the connections of some UEs.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkRelease {
    /// From being secured to the end, in seconds.
    pub after_s: f64,
    /// The part of `after_s`, 0 to 1, by which it varies evenly to either side.
    #[serde(default)]
    pub jitter: f64,
    /// The part of all UEs, 0 to 1, whose connection ends with the reason `deactivated`.
    #[serde(default = "whole")]
    pub deactivated_share: f64,
    /// The part of all UEs, 0 to 1, whose connection ends with the reason `rejected`: they don't come back.
    #[serde(default)]
    pub rejected_share: f64,
    /// Those deactivated come back at once with a new set-up.
    #[serde(default = "yes")]
    pub back: bool,
}

/// REGISTER or SUBSCRIBE over the connection.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// From being secured to the first one, and from one's end to the next, in seconds.
    pub after_s: f64,
    /// The part of `after_s`, 0 to 1, by which it varies evenly to either side.
    #[serde(default)]
    pub jitter: f64,
    /// How many a UE goes through; refreshes at half of a registration's time come on top.
    #[serde(default = "one")]
    pub count: u32,
    /// The lifetime that is asked for, in seconds.
    #[serde(default = "default_expires_s")]
    pub expires_s: u32,
}

/// Sessions with the partner.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// From being secured to the first one, and from one's end to the next, in seconds.
    pub after_s: f64,
    /// The part of `after_s`, 0 to 1, by which it varies evenly to either side.
    #[serde(default)]
    pub jitter: f64,
    /// How many sessions a UE begins.
    #[serde(default = "one")]
    pub count: u32,
    /// The part of all UEs, 0 to 1, that begin sessions; with 0.5 it is one of each two partners.
    #[serde(default = "whole")]
    pub share: f64,
    /// From the INVITE's arrival to the callee's answer, in seconds.
    #[serde(default = "default_ring_s")]
    pub ring_s: f64,
    /// How long a session lasts on average, in seconds; nothing: until a party leaves.
    pub holding_s: Option<f64>,
    /// How the times that sessions last are distributed around that.
    #[serde(default)]
    pub holding: Holding,
    /// The part of all sessions, 0 to 1, that the callee ends.
    #[serde(default = "half")]
    pub callee_hangs_up_share: f64,
    /// The part of all calls, 0 to 1, that the caller gives up before they are answered: CANCEL.
    #[serde(default)]
    pub abandoned_share: f64,
    /// The callee's 183 is reliable (RFC 3262) and carries the answer.
    #[serde(default = "yes")]
    pub reliable_provisional: bool,
    /// The session interval that the caller asks for, in seconds (RFC 4028).
    #[serde(default = "default_session_expires_s")]
    pub session_expires_s: u32,
    /// What refreshes a session at half of its interval.
    #[serde(default)]
    pub refresh_by: RefreshBy,
    /// Whom UEs that share an address call: a SIP URI. The caller hangs up, at once where `holding_s` is 0; `ring_s` and what follows it
    /// in this table are for calls between UEs.
    #[serde(default)]
    pub target: Option<String>,
}

/// How the times that sessions last are distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Holding {
    /// Exponentially, as those of telephone calls are: many short ones, few long ones.
    #[default]
    Exponential,
    /// All are as long.
    Constant,
    /// Evenly, from half of the mean to one and a half.
    Uniform,
}

impl Holding {
    /// How long a session lasts that is drawn now, in nanoseconds, at this mean.
    pub(crate) fn draw_ns(self, mean_s: f64, random: &mut Random) -> u64 {
        let mean_ns = mean_s * 1e9;
        let drawn_ns = match self {
            Self::Exponential => random.exponential(mean_ns),
            Self::Constant => mean_ns,
            Self::Uniform => mean_ns * (0.5 + random.unit()),
        };
        drawn_ns as u64
    }
}

/// What refreshes a session (RFC 4028 clause 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RefreshBy {
    /// UPDATE.
    #[default]
    Update,
    /// INVITE in the dialog.
    Invite,
}

impl Default for Call {
    /// None.
    fn default() -> Self {
        Self {
            after_s: 0.0,
            jitter: 0.0,
            count: 0,
            share: 1.0,
            ring_s: default_ring_s(),
            holding_s: None,
            holding: Holding::default(),
            callee_hangs_up_share: half(),
            abandoned_share: 0.0,
            reliable_provisional: true,
            session_expires_s: default_session_expires_s(),
            refresh_by: RefreshBy::Update,
            target: None,
        }
    }
}

/// Users go to their other access.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// From being secured to the first one, and from one's end to the next, in seconds.
    pub after_s: f64,
    /// The part of `after_s`, 0 to 1, by which it varies evenly to either side.
    #[serde(default)]
    pub jitter: f64,
    /// How often a user goes: more than once is to and fro.
    #[serde(default = "one")]
    pub count: u32,
    /// The part of all users, 0 to 1, that go; with 0.5 it is one of each two partners.
    #[serde(default = "whole")]
    pub share: f64,
    /// How sessions and subscriptions are moved.
    #[serde(default)]
    pub mode: HandoverMode,
    /// Whether the access that is left still works.
    #[serde(default)]
    pub old_access: OldAccess,
}

/// How sessions and subscriptions are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HandoverMode {
    /// INVITE and SUBSCRIBE with Replaces.
    #[default]
    Replaces,
    /// INVITE and SUBSCRIBE in the dialogs, by the new way.
    TargetRefresh,
    /// Every second user does the one, the others the other.
    Both,
}

impl HandoverMode {
    /// Whether the user with this number refreshes targets.
    #[must_use]
    pub fn refreshes_target(self, user: u32) -> bool {
        match self {
            Self::Replaces => false,
            Self::TargetRefresh => true,
            Self::Both => user % 2 == 1,
        }
    }
}

/// Whether the access that is left still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OldAccess {
    /// It does, until all is moved.
    #[default]
    Alive,
    /// Nothing passes it any more: that is why the user goes.
    Lost,
}

impl OldAccess {
    /// Whether nothing passes it.
    #[must_use]
    pub fn is_lost(self) -> bool {
        self == Self::Lost
    }
}

/// What the operator switches at a time of the run.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchPlan {
    /// From the run's start, in seconds.
    pub at_s: f64,
    /// Where.
    pub role: SwitchRole,
    /// The one P-CSCF that is meant, by its place in `topology.pcscf`, from 1; nothing: all of them.
    #[serde(default)]
    pub number: Option<usize>,
    /// Whether the role is to know the extension.
    pub security_event: bool,
}

/// A role that can be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SwitchRole {
    /// P-CSCFs.
    Pcscf,
    /// The S-CSCF.
    Scscf,
}

/// What UEs leave undone: counted as abandoned, not as failed.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Abandon {
    /// The part of all UEs, 0 to 1, that never answer their first challenge.
    pub challenge_share: f64,
    /// The part of all UEs, 0 to 1, that vanish once secured: no release, and no answer to anything.
    pub secured_share: f64,
    /// From being secured to vanishing, in seconds.
    pub secured_after_s: f64,
    /// From either to a new set-up from the same address, in seconds; nothing: they don't come back.
    pub back_after_s: Option<f64>,
}

/// When a procedure is due, and how often.
#[derive(Debug, Copy, Clone, Default, PartialEq)]
pub struct Plan {
    /// From being secured to the first one, and from one's end to the next, in seconds.
    pub after_s: f64,
    /// The part of `after_s` by which it varies.
    pub jitter: f64,
    /// How many a UE goes through.
    pub count: u32,
}

impl Procedures {
    /// The plan of a procedure. Set-up and release have none; [`NetworkRelease`] counts for the UEs that it concerns.
    #[must_use]
    pub fn plan(&self, procedure: Procedure) -> Plan {
        let plan = |after_s, jitter, count| Some(Plan { after_s, jitter, count });
        let recurring = |it: &Option<Recurring>| {
            it.as_ref().and_then(|it| plan(it.after_s, it.jitter, it.count))
        };
        let registration = |it: &Option<Registration>| {
            it.as_ref().and_then(|it| plan(it.after_s, it.jitter, it.count))
        };
        let found = match procedure {
            Procedure::Secure
            | Procedure::Registration
            | Procedure::Fallback
            | Procedure::FallbackReturn
            | Procedure::Release
            | Procedure::SessionRefresh
            | Procedure::CallRelease
            | Procedure::HandoverSecure
            | Procedure::HandoverSessions
            | Procedure::HandoverSubscriptions
            | Procedure::HandoverBindings
            | Procedure::HandoverRelease
            | Procedure::Interruption
            | Procedure::SubscriptionMove
            | Procedure::Switch => None,
            Procedure::Handover => {
                self.handover.as_ref().and_then(|it| plan(it.after_s, it.jitter, it.count))
            }
            Procedure::Refresh => {
                plan(self.refresh.after_s, self.refresh.jitter, self.refresh.count)
            }
            Procedure::Reauthenticate => recurring(&self.reauthenticate),
            Procedure::IdentityChange => recurring(&self.identity_change),
            Procedure::NetworkReauthenticate => self
                .network_reauthenticate
                .as_ref()
                .and_then(|it| plan(it.after_s, it.jitter, it.count)),
            Procedure::NetworkRelease => {
                self.network_release.as_ref().and_then(|it| plan(it.after_s, it.jitter, 1))
            }
            Procedure::RegisterOverConnection => registration(&self.register_over_connection),
            Procedure::RegEvent => registration(&self.reg_event),
            Procedure::Message => recurring(&self.message),
            Procedure::CallSetup => {
                self.call.as_ref().and_then(|it| plan(it.after_s, it.jitter, it.count))
            }
        };
        found.unwrap_or_default()
    }

    /// Whether any of it needs an operator's hand.
    pub(super) fn need_operator(&self) -> bool {
        self.identity_change.is_some()
            || self.network_reauthenticate.is_some()
            || self.network_release.is_some()
    }
}

const fn one() -> u32 {
    1
}

const fn whole() -> f64 {
    1.0
}

const fn half() -> f64 {
    0.5
}

const fn default_ring_s() -> f64 {
    2.0
}

/// Half an hour, as RFC 4028 clause 4 recommends.
const fn default_session_expires_s() -> u32 {
    1_800
}

const fn yes() -> bool {
    true
}

const fn default_expires_s() -> u32 {
    600_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holding_times_have_their_mean_and_their_spread() {
        for (holding, deviation) in [
            (Holding::Exponential, 1.0),
            (Holding::Constant, 0.0),
            // Of an even distribution over as much as the mean: its twelfth part's root.
            (Holding::Uniform, (1.0_f64 / 12.0).sqrt()),
        ] {
            let mut random = Random::new(5);
            let drawn = (0..20_000).map(|_| holding.draw_ns(3.0, &mut random) as f64 / 3e9);
            let drawn: Vec<f64> = drawn.collect();
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let square =
                drawn.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
            // The mean's standard error is at most 0.7%.
            assert!((mean - 1.0).abs() < 0.03, "{holding:?}: {mean}");
            assert!((square.sqrt() - deviation).abs() < 0.04, "{holding:?}: {}", square.sqrt());
        }
    }
}
