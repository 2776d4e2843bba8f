//! A load profile: what load to make, against what, and what the result has to be.
//!
//! It is a TOML file, or one of those compiled in ([`builtin`]), with single keys replaced from the
//! command line. What is wrong with it is said with file, line, column and field, and a caret under
//! the spot ([`ProfileError`]); nothing is left to be found out during a run.

mod abort;
mod address_block;
mod arrivals;
mod error;
mod links;
mod procedures;
mod reference;
mod schema;
mod schemes;
mod source;
mod trace;
mod traffic;
mod validate;
mod validity;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use imstorm_base::time::NS_PER_MS;
use imstorm_cscf::hss::derived::Derivation;
use imstorm_esp::{EncryptionAlgorithm, IntegrityAlgorithm, Mode, Suite};
use imstorm_sip::transaction::Timings;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::Error as _;

use crate::part::Part;

pub use abort::Abort;
pub use address_block::{AddressBlock, AddressBlockError};
pub use arrivals::{ArrivalProcess, Arrivals, Burst, Ramp, RateStep};
pub use error::{Location, ProfileError};
pub use links::Link;
pub use procedures::{
    Abandon, Call, Handover, HandoverMode, Holding, NetworkReauthenticate, NetworkRelease,
    OldAccess, Plan, Procedures, Recurring, Refresh, RefreshBy, Registration, Release, SwitchPlan,
    SwitchRole,
};
pub use reference::markdown as reference;
pub use schema::json as json_schema;
pub use schemes::Schemes;
pub(crate) use traffic::is_set_up;
pub use traffic::{Capacity, LoadStep, Traffic, TrafficRate};
pub use validity::{SharedCore, Validity};

/// A load profile, validated.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What the profile is called, in reports too.
    pub name: String,
    /// What it is for, in a sentence or two.
    #[serde(default)]
    pub description: String,
    /// The subscribers and the UEs they have.
    pub population: Population,
    /// Where the core under test is.
    #[serde(default)]
    pub topology: Topology,
    /// The ports of a UE.
    #[serde(default)]
    pub ue: Ue,
    /// What the UEs offer in Security-Client.
    #[serde(default)]
    pub security: Security,
    /// When UEs start to set up security.
    pub arrivals: Arrivals,
    /// What a secured UE does.
    #[serde(default)]
    pub procedures: Procedures,
    /// What all UEs together do once they are secured: starts of procedures that come at rates of their own.
    #[serde(default)]
    pub traffic: Option<Traffic>,
    /// What the operator switches, whatever UEs do.
    #[serde(default)]
    pub operator: Vec<SwitchPlan>,
    /// What some UEs leave undone.
    #[serde(default)]
    pub abandon: Abandon,
    /// A comparison's course of steps, which takes the place of what `procedures` has when.
    #[serde(default)]
    pub schemes: Option<Schemes>,
    /// When a run ends.
    #[serde(default)]
    pub limits: Limits,
    /// When a run is invalid.
    #[serde(default)]
    pub validity: Validity,
    /// What the links between UEs and P-CSCFs do to datagrams over real sockets: a link for each access, or one that all are like. A simulated
    /// run has `network` instead.
    #[serde(default)]
    pub links: Vec<Link>,
    /// What the simulated network does to datagrams.
    #[serde(default)]
    pub network: Network,
    /// What is laid over the embedded engine's configuration: `scscf.security_event = false`, or `pcscf = [{ security_event = false }]` for
    /// the first P-CSCF.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub engine: toml::Table,
    /// The conditions that a report has to fulfil: the path into the report (`procedures.secure.
    /// failed`) to the condition (`== 0`).
    #[serde(default, deserialize_with = "thresholds")]
    #[schemars(schema_with = "schema::thresholds")]
    pub thresholds: BTreeMap<String, String>,
    /// When a run ends early, as a threshold is broken for good.
    #[serde(default)]
    pub abort: Abort,
    /// What of it this generator does: no key of the file.
    #[serde(skip)]
    #[schemars(skip)]
    pub part: Part,
    /// All of it as TOML, what was replaced included: to be read again, and told from another.
    #[serde(skip)]
    pub text: String,
}

/// The subscribers, and where their UEs are.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Population {
    /// The number of UEs, at least 1. Each has a subscriber.
    pub size: u64,
    /// What identities and keys are derived from. The core's has to be the same.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The home domain.
    #[serde(default = "default_domain")]
    pub domain: String,
    /// The block that the UEs' addresses are from.
    #[serde(default)]
    #[schemars(with = "String")]
    pub addresses: AddressBlock,
    /// The accesses of each UE, 1 or 2: each has an address of its own and, where there are several P-CSCFs, another one.
    #[serde(default = "default_accesses")]
    pub accesses: u32,
    /// The public identities of each UE, 1 to 16: a sip: URI of its own, then a tel: URI and further sip: URIs. A registration binds all of them.
    #[serde(default = "default_identities")]
    pub identities: u32,
    /// How many of the UEs are the devices of one user: each with a private identity and a USIM of its own, and all of the user's public
    /// identities but its own first one shared. A divisor of `size`.
    #[serde(default = "default_devices")]
    pub devices: u32,
    /// A subscribers.csv to read, instead of deriving the subscribers from the seed.
    #[serde(default)]
    pub subscribers: Option<PathBuf>,
}

impl Population {
    /// The rule that derives the subscribers from the seed.
    pub(crate) fn derivation(&self) -> Derivation {
        let (identities, devices) = (self.identities, self.devices);
        Derivation { identities, devices, ..Derivation::new(self.seed, self.size, &self.domain) }
    }
}

/// Where the core under test is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// The P-CSCFs' unprotected ports. UEs are spread over them.
    #[schemars(with = "Vec<String>")]
    pub pcscf: Vec<SocketAddr>,
    /// The port at which the P-CSCFs receive ESP in UDP.
    pub pcscf_esp_port: u16,
}

/// The ports of a UE.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ue {
    /// The unprotected port.
    pub port: u16,
    /// The port of ESP in UDP.
    pub esp_port: u16,
    /// The protected client port, inside ESP.
    pub port_uc: u16,
    /// The protected server port, inside ESP.
    pub port_us: u16,
    /// What makes a UE's secure connection.
    pub access: Access,
    /// What protects it.
    pub access_security: AccessSecurity,
    /// All UEs have one address, the first of the population's, and one port: they are told apart by what is in messages. They register
    /// and call a fixed target, and nothing more.
    pub shared_address: bool,
    /// UEs register. Those that don't only call.
    pub register: bool,
    /// Timer T1 of UEs without access security, in milliseconds, from 100 to 2,000; nothing: 2,000, as TS 24.229 has it. RFC 3261's is 500.
    pub t1_ms: Option<u32>,
    /// A UE whose first SUBSCRIBE is refused because the network does not know the extension registers instead, and tries the extension
    /// again at the first refresh after so many seconds; nothing: the refusal is a failure.
    pub fallback_s: Option<f64>,
}

/// What makes a UE's secure connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// A subscription to the `security` event package.
    #[default]
    Subscription,
    /// A registration with AKA, as in today's IMS (TS 24.229 5.1.1): it binds all identities of the user.
    Registration,
}

/// What protects a UE's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum AccessSecurity {
    /// IPsec with keys from AKA (TS 33.203).
    #[default]
    #[serde(rename = "ipsec-3gpp")]
    Ipsec,
    /// Nothing: no security agreement, no credentials.
    #[serde(rename = "none")]
    None,
}

impl Access {
    /// The same, as the UE's machinery calls it.
    pub(crate) fn basis(self) -> crate::ue::Basis {
        match self {
            Self::Subscription => crate::ue::Basis::Subscription,
            Self::Registration => crate::ue::Basis::Registration,
        }
    }
}

/// What the UEs offer in Security-Client.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// `mod`. Only `UDP-enc-tun` so far.
    #[serde(deserialize_with = "mode")]
    #[schemars(schema_with = "schema::modes")]
    pub mode: Mode,
    /// The algorithms, the preferred first; at least one, none twice.
    pub algorithms: Vec<Algorithms>,
}

/// One offer of Security-Client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Algorithms {
    /// The integrity algorithm: `hmac-sha-1-96` or `hmac-md5-96`.
    #[serde(deserialize_with = "integrity")]
    #[schemars(schema_with = "schema::integrity")]
    pub alg: IntegrityAlgorithm,
    /// The encryption algorithm: `aes-cbc` or `null`.
    #[serde(deserialize_with = "encryption")]
    #[schemars(schema_with = "schema::encryption")]
    pub ealg: EncryptionAlgorithm,
}

impl Algorithms {
    /// The two as the ESP crate has them.
    #[must_use]
    pub const fn suite(self) -> Suite {
        Suite::new(self.alg, self.ealg)
    }
}

/// When a run ends.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The longest that a run waits for what is pending after the last intended start, in s.
    /// With nothing pending it ends at once.
    pub drain_s: f64,
    /// No procedure starts later than this, in seconds from the run's start; nothing: no limit.
    pub duration_s: Option<f64>,
}

/// What the simulated network does to each datagram. A run over real sockets has `links` instead.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// The probability of being lost.
    pub loss: f64,
    /// The probability of arriving twice.
    pub duplication: f64,
    /// The probability of being overtaken.
    pub reordering: f64,
    /// The one-way delay, evenly distributed.
    pub delay_ms: Delay,
}

/// A one-way delay, evenly distributed.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// The shortest, in milliseconds.
    pub min: f64,
    /// The longest, in milliseconds.
    pub max: f64,
}

impl Profile {
    /// What UEs' secure connections rest on.
    pub(crate) fn basis(&self) -> crate::ue::Basis {
        self.schemes.as_ref().map_or(self.ue.access.basis(), |it| it.scheme.basis())
    }

    /// The UEs' timers.
    pub(crate) fn timings(&self) -> Timings {
        match self.schemes.as_ref() {
            Some(schemes) => {
                Timings { t1_ns: u64::from(schemes.t1_ms) * NS_PER_MS, ..Timings::UE_LEG }
            }
            None => self.ue.t1_ms.map_or(Timings::UE_LEG, timings_of),
        }
    }

    /// The P-CSCFs that are used.
    pub(crate) fn pcscfs(&self) -> &[SocketAddr] {
        let all = &self.topology.pcscf;
        let used = self.schemes.as_ref().map_or(all.len(), |it| it.pcscfs as usize);
        &all[..used.min(all.len())]
    }

    /// The profile with a built-in name or from a file, with the keys of `overrides` replaced.
    ///
    /// An override is a dotted key and a value in TOML's notation; a value that is none is taken as
    /// a string, so that `("name", "soak")` needs no quotes.
    ///
    /// # Errors
    /// [`ProfileError`]: there is no such profile, or something in it or in an override is wrong.
    pub fn load(path_or_name: &str, overrides: &[(String, String)]) -> Result<Self, ProfileError> {
        if let Some((name, text)) = builtin().iter().find(|(name, _)| *name == path_or_name) {
            return Self::parse(&format!("profile {name}"), text, overrides);
        }
        let text = source::read(path_or_name)?;
        Self::parse(path_or_name, &text, overrides)
    }

    /// How many UEs this generator has: all of them, unless it does a part.
    #[must_use]
    pub fn ues(&self) -> u64 {
        let users = self.part.users(self.population.size);
        users.end - users.start
    }

    /// How many of them the arrivals bring up: the others are for the set-ups of the traffic's mix.
    #[must_use]
    pub fn brought_up(&self) -> u64 {
        let wanted = self.traffic.as_ref().and_then(|traffic| traffic.bring_up);
        let users = self.part.users(wanted.unwrap_or(self.population.size));
        (users.end - users.start).min(self.ues())
    }

    /// Whether any of it needs an operator's hand.
    #[must_use]
    pub fn needs_operator(&self) -> bool {
        self.procedures.need_operator() || !self.operator.is_empty()
    }

    /// The profile in `text`, which errors call `file`, with the keys of `overrides` replaced.
    ///
    /// # Errors
    /// As [`Profile::load`].
    pub fn parse(
        file: &str,
        text: &str,
        overrides: &[(String, String)],
    ) -> Result<Self, ProfileError> {
        Self::read(file, text, overrides, trace::read_all)
    }

    /// The profile of a run that is over, from its [`text`](Self::text): files that it names need not be there any more, and are not read.
    ///
    /// # Errors
    /// [`ProfileError`]: it is no profile of this version.
    pub fn of_past_run(file: &str, text: &str) -> Result<Self, ProfileError> {
        Self::read(file, text, &[], |_| Ok(()))
    }

    fn read(
        file: &str,
        text: &str,
        overrides: &[(String, String)],
        read_files: fn(&mut Self) -> Result<(), validate::Fault>,
    ) -> Result<Self, ProfileError> {
        let source = source::Source::new(file, text, overrides)?;
        let mut profile: Self = source.deserialize()?;
        profile.text = source.effective()?;
        validate::validate(&profile)
            .and_then(|()| read_files(&mut profile))
            .map_err(|fault| source.error_at(&fault.field, &fault.message))?;
        Ok(profile)
    }
}

/// The profiles that are compiled in: name and TOML text.
#[must_use]
pub fn builtin() -> &'static [(&'static str, &'static str)] {
    &[
        ("quickstart", include_str!("../../../profiles/quickstart.toml")),
        ("attach-storm", include_str!("../../../profiles/attach-storm.toml")),
        ("refresh-herd", include_str!("../../../profiles/refresh-herd.toml")),
        ("identity-push", include_str!("../../../profiles/identity-push.toml")),
        ("lifecycle", include_str!("../../../profiles/lifecycle.toml")),
        ("mixed", include_str!("../../../profiles/mixed.toml")),
        ("busy-hour", include_str!("../../../profiles/busy-hour.toml")),
        ("handover-wave", include_str!("../../../profiles/handover-wave.toml")),
        ("handover-lost-access", include_str!("../../../profiles/handover-lost-access.toml")),
        ("ping-pong", include_str!("../../../profiles/ping-pong.toml")),
        ("figure-1", include_str!("../../../profiles/figure-1.toml")),
        ("figure-2", include_str!("../../../profiles/figure-2.toml")),
        ("fallback", include_str!("../../../profiles/fallback.toml")),
        ("fallback-return", include_str!("../../../profiles/fallback-return.toml")),
        ("schemes", include_str!("../../../profiles/schemes.toml")),
        ("legacy-pcscf", include_str!("../../../profiles/legacy-pcscf.toml")),
        ("legacy-scscf", include_str!("../../../profiles/legacy-scscf.toml")),
        ("register-plain", include_str!("../../../profiles/register-plain.toml")),
        ("call-plain", include_str!("../../../profiles/call-plain.toml")),
        ("steps", include_str!("../../../profiles/steps.toml")),
        ("capacity", include_str!("../../../profiles/capacity.toml")),
        ("capacity-plain", include_str!("../../../profiles/capacity-plain.toml")),
        ("million", include_str!("../../../profiles/million.toml")),
        ("four-million", include_str!("../../../profiles/four-million.toml")),
    ]
}

/// The timers that follow from a T1: T2 is eight times that in RFC 3261 and TS 24.229 both, T4 is RFC 3261's.
fn timings_of(t1_ms: u32) -> Timings {
    let t1_ns = u64::from(t1_ms) * NS_PER_MS;
    Timings { t1_ns, t2_ns: 8 * t1_ns, ..Timings::CORE }
}

impl Default for Topology {
    fn default() -> Self {
        Self { pcscf: vec![SocketAddr::from(([127, 0, 0, 1], 5060))], pcscf_esp_port: 4500 }
    }
}

impl Default for Ue {
    fn default() -> Self {
        Self {
            port: 5070,
            esp_port: 4500,
            port_uc: 6100,
            port_us: 6101,
            access: Access::default(),
            access_security: AccessSecurity::default(),
            shared_address: false,
            register: true,
            t1_ms: None,
            fallback_s: None,
        }
    }
}

impl Default for Security {
    fn default() -> Self {
        let algorithms =
            Suite::ALL.map(|suite| Algorithms { alg: suite.integrity, ealg: suite.encryption });
        Self { mode: Mode::UdpTunnel, algorithms: algorithms.to_vec() }
    }
}

impl Default for Limits {
    /// Longer than the longest transaction of a UE: timers F and N are 128 s (TS 24.229 7.7).
    fn default() -> Self {
        Self { drain_s: 140.0, duration_s: None }
    }
}

const fn default_seed() -> u64 {
    1
}

const fn default_identities() -> u32 {
    2
}

const fn default_devices() -> u32 {
    1
}

const fn default_accesses() -> u32 {
    1
}

fn default_domain() -> String {
    "ims.example".to_owned()
}

fn mode<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
    let name = String::deserialize(deserializer)?;
    Mode::parse(name.as_bytes())
        .ok_or_else(|| D::Error::custom(format!("expected `UDP-enc-tun`, got `{name}`")))
}

fn integrity<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<IntegrityAlgorithm, D::Error> {
    let name = String::deserialize(deserializer)?;
    IntegrityAlgorithm::parse(name.as_bytes()).ok_or_else(|| {
        D::Error::custom(format!("expected `hmac-sha-1-96` or `hmac-md5-96`, got `{name}`"))
    })
}

fn encryption<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<EncryptionAlgorithm, D::Error> {
    let name = String::deserialize(deserializer)?;
    EncryptionAlgorithm::parse(name.as_bytes())
        .ok_or_else(|| D::Error::custom(format!("expected `aes-cbc` or `null`, got `{name}`")))
}

/// Takes `"procedures.secure.failed" = "== 0"` and, since TOML reads it as nested tables,
/// `procedures.secure.failed = "== 0"`.
fn thresholds<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    fn flatten(
        path: &str,
        table: toml::Table,
        found: &mut BTreeMap<String, String>,
    ) -> Result<(), String> {
        for (key, value) in table {
            let path = if path.is_empty() { key } else { format!("{path}.{key}") };
            match value {
                toml::Value::Table(inner) => flatten(&path, inner, found)?,
                toml::Value::String(condition) => {
                    if found.insert(path.clone(), condition).is_some() {
                        return Err(format!("`{path}` stands here twice"));
                    }
                }
                other => {
                    return Err(format!(
                        "`{path}`: expected a condition such as \"== 0\", got {} {other}",
                        other.type_str()
                    ));
                }
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    flatten("", toml::Table::deserialize(deserializer)?, &mut found).map_err(D::Error::custom)?;
    Ok(found)
}

#[cfg(test)]
mod tests;
