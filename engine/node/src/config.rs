//! The engine's configuration file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use imstorm_base::time::milliseconds;
use imstorm_control::Address;
use imstorm_cscf::hss::derived::{Derivation, POPULATION_MAX};
use imstorm_cscf::pcscf::SaPolicy;
use imstorm_cscf::scscf::{FLOWS_MAX, Simultaneous};
use imstorm_cscf::{AccessSecurity, Authentication};
use imstorm_sip::transaction::Timings;
use imstorm_uring::Backend;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use toml::Spanned;

use crate::suggest::with_suggestion;

/// The whole file. Every key has a default but the roles: a role that is not named does not run in this process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// The P-CSCFs that run here.
    #[serde(default)]
    pub pcscf: Vec<PcscfSection>,
    /// The I-CSCF, if it runs here.
    pub icscf: Option<IcscfSection>,
    /// The S-CSCF, if it runs here.
    pub scscf: Option<ScscfSection>,
    /// The HSS.
    #[serde(default)]
    pub hss: HssSection,
    /// The subscribers. Needed where an I-CSCF or S-CSCF runs.
    pub subscribers: Option<SubscribersSection>,
    /// Where P-CSCFs find the I-CSCF when it runs elsewhere.
    pub icscf_at: Option<SocketAddr>,
    /// Where the I-CSCF finds the S-CSCF when it runs elsewhere: an address for each of its shards.
    #[serde(default)]
    pub scscf_at: Vec<SocketAddr>,
    /// Timers between UEs and P-CSCFs.
    #[serde(default)]
    pub ue_leg: UeLegSection,
    /// Addresses whose datagrams the Mw ports take.
    #[serde(default)]
    pub peers: Vec<IpAddr>,
    /// Where the control plane listens: `IP:PORT`, where port 0 takes a free one, or `unix:/path`.
    #[serde(default = "default_admin", deserialize_with = "address")]
    pub admin: Spanned<Address>,
    /// A file with the token that the control plane's clients must send, relative to the configuration file. Needed where
    /// others than this machine can reach `admin`.
    pub admin_token_file: Option<PathBuf>,
    /// The back end for datagrams: `uring` or `mmsg`.
    #[serde(default = "default_io", deserialize_with = "backend")]
    pub io: Backend,
    /// How long a shard waits for several datagrams in place of one, in microseconds, up to 1,000; 0: never. It does while they come so fast that
    /// four or more may be expected in that time. With `uring` only, and since Linux 6.12.
    #[serde(default = "default_io_batch_wait_us")]
    pub io_batch_wait_us: Spanned<u32>,
    /// Shards, a thread each; 0 takes as many as there are cores to use.
    #[serde(default = "unset")]
    pub shards: Spanned<usize>,
    /// The cores to use, in the order of the shards; empty takes all that the process may use.
    #[serde(default)]
    pub cores: Vec<usize>,
    /// Users for whom memory is claimed at start; 0 takes the number of subscribers.
    #[serde(default = "unset")]
    pub population: Spanned<u64>,
    /// Of how many users' memory at most each shard touches all at start, so that the first of them wait for none: about 6 KB each.
    #[serde(default = "default_prefill")]
    pub prefill: usize,
    /// Connections of a user that there is room for, 2 to 16; 0 takes what the S-CSCF's settings allow a user, or 2 where none runs here.
    #[serde(default = "unset")]
    pub connections_per_user: Spanned<usize>,
    /// The receive buffer of each socket, in bytes.
    #[serde(default = "default_receive_buffer_bytes")]
    pub receive_buffer_bytes: usize,
    /// Where the file lies, for the paths in it.
    #[serde(skip)]
    pub directory: PathBuf,
}

/// A P-CSCF.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcscfSection {
    /// Its unprotected address and port.
    pub address: SocketAddr,
    /// The port for ESP in UDP (TS 33.203 annex M), on the same address.
    #[serde(default = "default_esp_port")]
    pub esp_port: u16,
    /// The port at which a UE takes ESP until its first packet shows another.
    #[serde(default = "default_esp_port")]
    pub ue_esp_port: u16,
    /// The protected server port, inside the tunnel.
    #[serde(default = "default_port_ps")]
    pub port_ps: u16,
    /// The first of two protected client ports, inside the tunnel.
    #[serde(default = "default_port_pc")]
    pub port_pc: u16,
    /// Its address on Mw; shard `n` takes this port plus `n`.
    pub mw: SocketAddr,
    /// A preferred identity that is not authorised is refused (403); else the default one takes its place.
    #[serde(default)]
    pub strict_identities: bool,
    /// It knows the extension by which a SUBSCRIBE makes a secure connection. Without it, it is the P-CSCF of a network of today: `secevt` is
    /// answered 420, and its unprotected port takes REGISTER only.
    #[serde(default = "yes")]
    pub security_event: bool,
    /// What protects its UEs' requests: `ipsec-3gpp` (TS 33.203), or `none`, which trusts whoever reaches its unprotected port, and needs an
    /// `[scscf]` here with `authentication = "none"`.
    #[serde(default, deserialize_with = "parsed")]
    pub access_security: AccessSecurity,
    /// What the sets of security associations belong to: `impi-contact`, a private identity at an address, or `impi`, a private identity
    /// alone (TS 33.203 clause 7.4 before there were several registrations of one user).
    #[serde(default, deserialize_with = "parsed")]
    pub sa_policy: SaPolicy,
    /// It keeps flows (RFC 5626), and says so in its Path where a UE registers with `reg-id`.
    #[serde(default = "yes")]
    pub outbound: bool,
    /// The name of the network that it stands in (P-Visited-Network-ID).
    #[serde(default = "default_domain")]
    pub visited_network: String,
}

/// Timers between UEs and P-CSCFs (TS 24.229 table 7.8).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UeLegSection {
    /// T1 in milliseconds, 200 to 2000. The timers that are multiples of it follow: A, B, D to H, J, L, M and N. T2 and T4 stay what they are.
    pub t1_ms: Option<Spanned<u64>>,
}

impl UeLegSection {
    /// T1 in milliseconds.
    #[must_use]
    pub fn t1_ms(&self) -> u64 {
        self.t1_ms.as_ref().map_or(T1_MS_SPECIFIED, |t1_ms| *t1_ms.get_ref())
    }

    /// The timers.
    #[must_use]
    pub fn timings(&self) -> Timings {
        Timings { t1_ns: milliseconds(self.t1_ms()), ..Timings::UE_LEG }
    }

    /// What is other than TS 24.229 has it, in words for whoever runs the engine.
    #[must_use]
    pub fn deviation(&self) -> Option<String> {
        let t1_ms = self.t1_ms();
        (t1_ms != T1_MS_SPECIFIED).then(|| {
            format!("ue_leg.t1_ms is {t1_ms}, where TS 24.229 table 7.8 has {T1_MS_SPECIFIED}")
        })
    }
}

/// An I-CSCF.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IcscfSection {
    /// Its address on Mw; shard `n` takes this port plus `n`.
    pub mw: SocketAddr,
}

/// An S-CSCF.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScscfSection {
    /// Its address on Mw; shard `n` takes this port plus `n`.
    pub mw: SocketAddr,
    /// The authentication realm.
    #[serde(default = "default_domain")]
    pub realm: String,
    /// A 200 to the security SUBSCRIBE has a Service-Route (RFC 3608) beside its Contact, which is the paper's alternative.
    #[serde(default)]
    pub service_route_header: bool,
    /// Each 200 to the security SUBSCRIBE gives the connection a new token; the one before stays valid for Timer F.
    #[serde(default)]
    pub renew_token: bool,
    /// It is a notifier of the `security` event package. Without it, it is the S-CSCF of a home network of today: `secevt` is answered 420, and
    /// the package 489.
    #[serde(default = "yes")]
    pub security_event: bool,
    /// How it makes sure of who registers: `aka`, or `none`: not at all. With `none` the P-CSCFs here must have `access_security = "none"`.
    #[serde(default, deserialize_with = "parsed")]
    pub authentication: Authentication,
    /// What a registration does to the earlier ones of its user: `override` ends them, `outbound` keeps other flows (RFC 5626), and
    /// `connectivity-check` keeps those whose UE still answers.
    #[serde(default, deserialize_with = "parsed")]
    pub simultaneous: Simultaneous,
    /// How many flows a user may have at most, 1 to 6.
    #[serde(default = "default_flows_max")]
    pub flows_max: Spanned<usize>,
    /// A connection that has no binding for so many seconds is ended; 0: it needs none.
    #[serde(default)]
    pub binding_required_after_s: u32,
    /// The longest lifetime of a secure connection that is granted, in seconds.
    #[serde(default = "default_expires_max_s")]
    pub expires_max_s: u32,
    /// The shortest one that may be asked for, in seconds.
    #[serde(default = "default_expires_min_s")]
    pub expires_min_s: u32,
}

/// The HSS, where an I-CSCF or S-CSCF runs. Both must have the same settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HssSection {
    /// How many modified private identities (`user+1@realm`) a user may have in use, up to 8; 0: there are none.
    pub modified_impis_max: Spanned<usize>,
}

impl Default for HssSection {
    fn default() -> Self {
        Self { modified_impis_max: unset() }
    }
}

impl HssSection {
    /// Whether there are modified private identities.
    #[must_use]
    pub fn takes_modified_impis(&self) -> bool {
        *self.modified_impis_max.get_ref() > 0
    }
}

/// Who the subscribers are: those of a file, those that a seed derives, or both.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscribersSection {
    /// A subscriber file, relative to the configuration file.
    pub file: Option<PathBuf>,
    /// How many are derived.
    #[serde(default = "unset")]
    pub size: Spanned<u64>,
    /// The seed that derives them: the load generator must have the same one.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Their home domain.
    #[serde(default = "default_domain")]
    pub domain: String,
    /// How many public identities each derived one has, 1 to 16, all of which a registration binds: a sip: URI, a tel: URI, and further sip: URIs.
    #[serde(default = "default_identities")]
    pub identities: Spanned<u32>,
    /// How many of the derived subscribers are the devices of one user, who share all identities but the first; a divisor of `size`.
    #[serde(default = "default_devices")]
    pub devices: Spanned<u32>,
}

impl SubscribersSection {
    /// The rule that derives subscribers, if any are derived.
    #[must_use]
    pub fn derivation(&self) -> Option<Derivation> {
        let size = *self.size.get_ref();
        (size > 0).then(|| Derivation {
            identities: *self.identities.get_ref(),
            devices: *self.devices.get_ref(),
            ..Derivation::new(self.seed, size, &self.domain)
        })
    }

    fn validate(&self) -> Result<(), (Option<Range<usize>>, String)> {
        let size = *self.size.get_ref();
        if size > POPULATION_MAX {
            let problem = format!("size: expected at most {POPULATION_MAX}, found {size}");
            return Err((Some(self.size.span()), problem));
        }
        if size == 0 && self.file.is_none() {
            return Err((None, "[subscribers] needs a file, or a size above 0".to_owned()));
        }
        let Some(derivation) = self.derivation() else { return Ok(()) };
        derivation.check().map_err(|(field, expected)| {
            let found = if field == "devices" { &self.devices } else { &self.identities };
            let problem = format!("{field}: expected {expected}, found {}", found.get_ref());
            (Some(found.span()), problem)
        })
    }
}

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// Line and column, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// See `line`.
    pub column: usize,
    /// What was expected and what came.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.problem),
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.problem),
        }
    }
}

impl std::error::Error for ConfigError {}

impl EngineConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// Where the file can't be read, or its first fault with line and column.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            file: file.clone(),
            line: 0,
            column: 0,
            problem: format!("can't be read: {error}{}", not_found(&error)),
        })?;
        let mut config = Self::parse(&file, &text)?;
        config.directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(config)
    }

    /// Reads a configuration's text; `file` names it in errors.
    ///
    /// # Errors
    /// The first fault, with line and column.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let at = |span: Option<Range<usize>>, problem: String| {
            let (line, column) = span.map_or((0, 0), |span| position(text, span.start));
            ConfigError { file: file.to_owned(), line, column, problem }
        };
        let config: Self = toml::from_str(text)
            .map_err(|error| at(error.span(), with_suggestion(error.message())))?;
        config.validate().map_err(|(span, problem)| at(span, problem))?;
        Ok(config)
    }

    /// Connections of a user that there is room for: those that the S-CSCF's policy leaves standing, and one that is about to end, as one does
    /// during a handover until its timers end it.
    #[must_use]
    pub fn connections_per_user(&self) -> usize {
        match (*self.connections_per_user.get_ref(), &self.scscf) {
            (0, Some(scscf)) => {
                let registrations = match scscf.simultaneous {
                    Simultaneous::Override => 1,
                    // Flows and what is none leave each other alone.
                    Simultaneous::Outbound => *scscf.flows_max.get_ref() + 1,
                    Simultaneous::ConnectivityCheck => CHECKED_REGISTRATIONS,
                };
                1 + registrations + self.hss.modified_impis_max.get_ref()
            }
            (0, None) => 2,
            (per_user, _) => per_user,
        }
    }

    /// Whether nobody is authenticated here.
    #[must_use]
    pub fn authentication(&self) -> Authentication {
        self.scscf.as_ref().map(|scscf| scscf.authentication).unwrap_or_default()
    }

    /// What is other than the specifications have it, in words for whoever runs the engine.
    #[must_use]
    pub fn deviation(&self) -> Option<String> {
        let trusts = self.trust().map(str::to_owned);
        let all: Vec<String> = trusts.into_iter().chain(self.ue_leg.deviation()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// What whoever runs the engine has to know where it authenticates nobody.
    #[must_use]
    pub fn trust(&self) -> Option<&'static str> {
        (self.authentication() == Authentication::None).then_some(
            "nobody is authenticated and nothing is protected (authentication = \"none\"): whoever reaches this engine is trusted",
        )
    }

    /// Access without protection and an S-CSCF that authenticates nobody go together, in one process: a P-CSCF without security associations could keep
    /// no keys from its UEs, and one with them would get none.
    fn validate_trust(&self) -> Result<(), (Option<Range<usize>>, String)> {
        let is_open = self.authentication() == Authentication::None;
        for pcscf in &self.pcscf {
            let problem = match (pcscf.access_security, is_open) {
                (AccessSecurity::None, false) => {
                    "needs [scscf] here with authentication = \"none\": an S-CSCF that challenges gives keys that such a P-CSCF could not use"
                }
                (AccessSecurity::Ipsec3gpp, true) => {
                    "access_security = \"none\" expected, since [scscf] has authentication = \"none\" and would give no keys for security associations"
                }
                _ => continue,
            };
            return Err((None, format!("P-CSCF {}: {problem}", pcscf.address)));
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), (Option<Range<usize>>, String)> {
        let whole = |problem: &str| Err((None, problem.to_owned()));
        if self.pcscf.is_empty() && self.icscf.is_none() && self.scscf.is_none() {
            return whole("expected at least one of [[pcscf]], [icscf] and [scscf]");
        }
        if !self.pcscf.is_empty() && self.icscf.is_none() && self.icscf_at.is_none() {
            return whole("a P-CSCF needs [icscf] here or icscf_at elsewhere");
        }
        if self.icscf.is_some() && self.scscf.is_none() && self.scscf_at.is_empty() {
            return whole("an I-CSCF needs [scscf] here or scscf_at elsewhere");
        }
        if (self.icscf.is_some() || self.scscf.is_some()) && self.subscribers.is_none() {
            return whole("an I-CSCF or S-CSCF needs [subscribers]");
        }
        self.validate_trust()?;
        if let Some(t1_ms) = &self.ue_leg.t1_ms
            && !T1_MS.contains(t1_ms.get_ref())
        {
            let (least, most) = (T1_MS.start(), T1_MS.end());
            let problem = format!("t1_ms: expected {least} to {most}, found {}", t1_ms.get_ref());
            return Err((Some(t1_ms.span()), problem));
        }
        if let Some(flows_max) = self.scscf.as_ref().map(|scscf| &scscf.flows_max)
            && !(1..=FLOWS_MAX).contains(flows_max.get_ref())
        {
            let problem =
                format!("flows_max: expected 1 to {FLOWS_MAX}, found {}", flows_max.get_ref());
            return Err((Some(flows_max.span()), problem));
        }
        for pcscf in &self.pcscf {
            let ports = [pcscf.port_ps, pcscf.port_pc, pcscf.port_pc.wrapping_add(1)];
            if ports.iter().any(|port| matches!(port, 0 | 5060 | 5061))
                || ports[1..].contains(&ports[0])
            {
                return whole(
                    "port_ps, port_pc and port_pc + 1 must differ, and be none of 0, 5060 and 5061",
                );
            }
        }
        if let Some(subscribers) = &self.subscribers {
            subscribers.validate()?;
        }
        if !self.admin.get_ref().is_local() && self.admin_token_file.is_none() {
            let problem = format!(
                "admin: {} can be reached from elsewhere: expected a loopback address, unix:/path, or admin_token_file",
                self.admin.get_ref()
            );
            return Err((Some(self.admin.span()), problem));
        }
        let batch_wait_us = &self.io_batch_wait_us;
        if *batch_wait_us.get_ref() > BATCH_WAIT_US_MAX {
            let problem = format!(
                "io_batch_wait_us: expected at most {BATCH_WAIT_US_MAX}, found {}",
                batch_wait_us.get_ref()
            );
            return Err((Some(batch_wait_us.span()), problem));
        }
        let modified = &self.hss.modified_impis_max;
        if *modified.get_ref() > MODIFIED_IMPIS_MAX {
            let problem = format!(
                "modified_impis_max: expected at most {MODIFIED_IMPIS_MAX}, found {}",
                modified.get_ref()
            );
            return Err((Some(modified.span()), problem));
        }
        let per_user = &self.connections_per_user;
        if !matches!(per_user.get_ref(), 0 | 2..=16) {
            let problem = format!(
                "connections_per_user: expected 0 or 2 to 16, found {}",
                per_user.get_ref()
            );
            return Err((Some(per_user.span()), problem));
        }
        if *self.shards.get_ref() > SHARDS_MAX {
            let problem =
                format!("shards: expected at most {SHARDS_MAX}, found {}", self.shards.get_ref());
            return Err((Some(self.shards.span()), problem));
        }
        Ok(())
    }
}

/// What to do where there is no such file.
fn not_found(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => " (profiles/engine.toml is an example to start from)",
        _ => "",
    }
}

/// T1 between UEs and P-CSCFs that can be configured, in milliseconds.
const T1_MS: RangeInclusive<u64> = 200..=T1_MS_SPECIFIED;
/// T1 between UEs and P-CSCFs as TS 24.229 table 7.8 has it, in milliseconds.
const T1_MS_SPECIFIED: u64 = 2000;

/// The longest wait for a batch, in microseconds: latency that nobody notices beside a network's.
const BATCH_WAIT_US_MAX: u32 = 1_000;

/// The most modified private identities of a user: they are looked through one by one.
const MODIFIED_IMPIS_MAX: usize = 8;

/// Registrations of a user that stand side by side where nothing but their UEs' answers bounds them.
const CHECKED_REGISTRATIONS: usize = 3;

/// SPIs have room for so many shards.
pub const SHARDS_MAX: usize = 16;

/// Line and column, from 1, of a byte of `text`.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

fn unset<T: Default>() -> Spanned<T> {
    Spanned::new(0..0, T::default())
}
fn default_admin() -> Spanned<Address> {
    Spanned::new(0..0, Address::Tcp(([127, 0, 0, 1], 9060).into()))
}
fn default_io() -> Backend {
    Backend::Uring
}
fn default_io_batch_wait_us() -> Spanned<u32> {
    Spanned::new(0..0, BATCH_WAIT_US_MAX)
}
/// 300 MB: a hundred thousand users on two shards. A machine that has to find the memory first takes a second for it, and the engine is to serve
/// within two.
fn default_prefill() -> usize {
    49_152
}
fn default_receive_buffer_bytes() -> usize {
    16 << 20
}
fn yes() -> bool {
    true
}

fn default_esp_port() -> u16 {
    4500
}
fn default_port_ps() -> u16 {
    5063
}
fn default_port_pc() -> u16 {
    5064
}
fn default_domain() -> String {
    "ims.example".to_owned()
}
fn default_flows_max() -> Spanned<usize> {
    Spanned::new(0..0, 4)
}
fn default_expires_max_s() -> u32 {
    600_000
}
fn default_expires_min_s() -> u32 {
    60
}
fn default_seed() -> u64 {
    1
}

fn default_identities() -> Spanned<u32> {
    Spanned::new(0..0, 2)
}

fn default_devices() -> Spanned<u32> {
    Spanned::new(0..0, 1)
}

/// A value that is written as text.
fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err = String>,
{
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn backend<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Backend, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Spanned<Address>, D::Error> {
    let text = Spanned::<String>::deserialize(deserializer)?;
    let span = text.span();
    text.into_inner().parse().map(|address| Spanned::new(span, address)).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "pcscf = [{ address = \"127.0.0.1:5060\", mw = \"127.0.0.1:6060\" }]\n\
        icscf = { mw = \"127.0.0.1:6070\" }\nscscf = { mw = \"127.0.0.1:6080\" }\n\
        subscribers = { size = 10 }\n";

    #[test]
    fn the_least_configuration_has_the_standard_ports() {
        let config = EngineConfig::parse("test.toml", MINIMAL).unwrap();
        assert_eq!(config.pcscf[0].esp_port, 4500);
        assert_eq!(config.admin.get_ref().to_string(), "127.0.0.1:9060");
        assert_eq!(config.io, Backend::Uring);
    }

    #[test]
    fn a_fault_names_its_place() {
        let cases = [
            (format!("{MINIMAL}shards = \"two\"\n"), "test.toml:5:10"),
            (format!("{MINIMAL}shard = 2\n"), "test.toml:5:1"),
            (format!("{MINIMAL}io = \"fast\"\n"), "test.toml:5:6"),
            (format!("{MINIMAL}io_batch_wait_us = 1001\n"), "test.toml:5:20"),
            (format!("{MINIMAL}shards = 99\n"), "test.toml:5:10"),
            (format!("{MINIMAL}connections_per_user = 1\n"), "test.toml:5:24"),
            (format!("{MINIMAL}admin = \"here\"\n"), "test.toml:5:9"),
            (format!("{MINIMAL}ue_leg = {{ t1_ms = 199 }}\n"), "test.toml:5:20"),
            (format!("{MINIMAL}ue_leg = {{ t1_ms = 2001 }}\n"), "test.toml:5:20"),
            (format!("{MINIMAL}hss = {{ modified_impis_max = 9 }}\n"), "test.toml:5:30"),
            (MINIMAL.replace("6080\"", "6080\", flows_max = 7"), "test.toml:3:46"),
            (MINIMAL.replace("6080\"", "6080\", simultaneous = \"all\""), "test.toml:3:49"),
            (format!("{MINIMAL}admin = \"0.0.0.0:9060\"\n"), "test.toml:5:9"),
            (MINIMAL.replace("size = 10", "size = 100000000"), "test.toml:4:24"),
            (MINIMAL.replace("size = 10", "size = 10, identities = 17"), "test.toml:4:41"),
            (MINIMAL.replace("size = 10", "size = 10, devices = 3"), "test.toml:4:38"),
            (MINIMAL.replace("127.0.0.1:6070", "nowhere"), "test.toml:2:16"),
        ];
        for (text, place) in cases {
            let error = EngineConfig::parse("test.toml", &text).unwrap_err().to_string();
            assert!(error.starts_with(place), "{error}");
        }
    }

    #[test]
    fn who_authenticates_nobody_protects_nothing_and_says_so() {
        let pcscf = ("{ address", "{ access_security = \"none\", address");
        let scscf = ("6080\"", "6080\", authentication = \"none\"");
        let with = |edits: &[(&str, &str)]| {
            let text = edits
                .iter()
                .fold(MINIMAL.to_owned(), |text, (from, to)| text.replacen(from, to, 1));
            EngineConfig::parse("test.toml", &text)
        };
        assert_eq!(with(&[]).unwrap().deviation(), None);
        let open = with(&[pcscf, scscf]).unwrap();
        assert!(open.deviation().unwrap().contains("trusted"));
        // Neither without the other, nor both kinds of P-CSCF.
        let second = ("}]", "}, { address = \"127.0.0.2:5060\", mw = \"127.0.0.2:6060\" }]");
        for edits in [&[pcscf][..], &[scscf], &[second, pcscf, scscf]] {
            let error = with(edits).unwrap_err().to_string();
            assert!(error.contains("authentication = \"none\""), "{error}");
        }
        let alone =
            MINIMAL.lines().skip(2).collect::<Vec<_>>().join("\n").replacen(scscf.0, scscf.1, 1);
        EngineConfig::parse("test.toml", &alone).unwrap();
        let elsewhere = "icscf_at = \"127.0.0.2:6070\"\n";
        let apart = format!("{}\n{elsewhere}", MINIMAL.lines().next().unwrap());
        EngineConfig::parse("test.toml", &apart).unwrap();
        let apart = apart.replacen(pcscf.0, pcscf.1, 1);
        assert!(EngineConfig::parse("test.toml", &apart).is_err());
        for (from, to) in [pcscf, scscf].map(|(from, to)| (from, to.replacen("none", "some", 1))) {
            assert!(with(&[(from, &to)]).is_err(), "{to}");
        }
    }

    #[test]
    fn there_is_room_for_what_the_policy_leaves_standing() {
        let room = |text: &str| EngineConfig::parse("test", text).unwrap().connections_per_user();
        assert_eq!(room(MINIMAL), 2);
        let outbound = "6080\", simultaneous = \"outbound\", flows_max = 5";
        let outbound = MINIMAL.replace("6080\"", outbound);
        // Flows, one that is none, and one that is about to end.
        assert_eq!(room(&outbound), 7);
        let modified = "hss = { modified_impis_max = 2 }\n";
        assert_eq!(room(&format!("{outbound}{modified}")), 9);
        let checks = MINIMAL.replace("6080\"", "6080\", simultaneous = \"connectivity-check\"");
        assert_eq!(room(&checks), 4);
        assert_eq!(room(&format!("{checks}{modified}")), 6);
        assert_eq!(room(&format!("{outbound}connections_per_user = 3\n")), 3);
        assert_eq!(room(&format!("{MINIMAL}hss = {{ modified_impis_max = 2 }}\n")), 4);
    }

    #[test]
    fn another_t1_is_a_deviation_that_all_its_multiples_follow() {
        let config = EngineConfig::parse("test.toml", MINIMAL).unwrap();
        assert_eq!(config.ue_leg.timings(), Timings::UE_LEG);
        assert_eq!(config.ue_leg.deviation(), None);
        let text = format!("{MINIMAL}ue_leg = {{ t1_ms = 500 }}\n");
        let config = EngineConfig::parse("test.toml", &text).unwrap();
        let timings = config.ue_leg.timings();
        assert_eq!([timings.timer_b_ns(), timings.timer_f_ns()], [milliseconds(32_000); 2]);
        assert_eq!(timings.t2_ns, Timings::UE_LEG.t2_ns);
        assert!(config.ue_leg.deviation().unwrap().contains("500"));
    }

    #[test]
    fn roles_that_lack_what_they_need_are_refused() {
        for line in MINIMAL.lines() {
            let text = MINIMAL.replace(&format!("{line}\n"), "");
            if !line.starts_with("pcscf") {
                assert!(EngineConfig::parse("test.toml", &text).is_err(), "without {line}");
            }
        }
    }

    #[test]
    fn the_control_plane_may_be_a_unix_socket_or_have_a_token() {
        for more in [
            "admin = \"unix:/run/imstorm.sock\"",
            "admin = \"[::1]:9060\"\nadmin_token_file = \"token\"",
            "admin = \"0.0.0.0:9060\"\nadmin_token_file = \"token\"",
        ] {
            EngineConfig::parse("test.toml", &format!("{MINIMAL}{more}\n")).unwrap();
        }
    }
}
