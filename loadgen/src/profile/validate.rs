//! What a profile's values have to be, beyond their types.

use std::fmt::Display;

use imstorm_cscf::hss::derived::POPULATION_MAX;

use super::{
    Abandon, Access, AccessSecurity, Call, Network, Procedures, Profile, Registration, Schemes,
    Security, SwitchRole, Topology, Ue,
};
use crate::report::Threshold;

/// Ports that are never protected (TS 33.203 7.1).
const UNPROTECTED_PORTS: [u16; 2] = [5060, 5061];
/// The most accesses of a UE.
const ACCESSES_MAX: u32 = 2;
/// The longest that a callee rings, in seconds: proxies give up after three minutes.
const RING_S_MAX: u32 = 120;
/// A year: more seconds than that are a mistake, and fewer fit in 64 bits of nanoseconds.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// A value that can't be used.
pub(super) struct Fault {
    /// The dotted key.
    pub field: String,
    /// What was expected, and what is there.
    pub message: String,
}

/// Checks every value.
pub(super) fn validate(profile: &Profile) -> Result<(), Fault> {
    require(!profile.name.trim().is_empty(), "name", "a name", "nothing")?;
    population(profile)?;
    topology(profile, &profile.topology)?;
    ue(&profile.ue)?;
    security(&profile.security)?;
    procedures(profile)?;
    operated(&profile.procedures, profile.procedures.refresh.expires_s)?;
    of_subscriptions(profile)?;
    plain(profile)?;
    over_connection(&profile.procedures, profile.ue.access, profile.schemes.is_some())?;
    handover(profile)?;
    profile.traffic.as_ref().map_or(Ok(()), |traffic| traffic.validate(profile))?;
    switches(profile)?;
    abandon(&profile.abandon)?;
    super::links::validate(profile)?;
    network(&profile.network)?;
    profile.validity.check()?;
    profile.abort.check()?;
    profile.schemes.as_ref().map_or(Ok(()), |it| schemes(profile, it))?;
    for (path, condition) in &profile.thresholds {
        Threshold::parse(path, condition).map_err(|error| Fault {
            field: format!("thresholds.{path}"),
            message: error.to_string(),
        })?;
    }
    Ok(())
}

fn population(profile: &Profile) -> Result<(), Fault> {
    let population = &profile.population;
    require(population.size >= 1, "population.size", "at least 1", population.size)?;
    let accesses = population.accesses;
    let possible = (1..=ACCESSES_MAX).contains(&accesses);
    require(possible, "population.accesses", &format!("from 1 to {ACCESSES_MAX}"), accesses)?;
    // Numbers of accesses fit in 32 bits.
    let one_for_all = profile.ue.shared_address;
    let addresses = if one_for_all { POPULATION_MAX } else { population.addresses.capacity() };
    let most = addresses.min(u64::from(u32::MAX)) / u64::from(accesses);
    let each = if accesses > 1 { format!(" for {accesses} accesses each") } else { String::new() };
    require(
        population.size <= most,
        "population.size",
        &format!("at most {most}, as many as {} has addresses{each}", population.addresses),
        population.size,
    )?;
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    require(
        population.domain.split('.').all(label),
        "population.domain",
        "a domain such as `ims.example`",
        format!("`{}`", population.domain),
    )?;
    let own = [("identities", population.identities, 2), ("devices", population.devices, 1)];
    if population.subscribers.is_some() {
        for (key, value, usual) in own {
            let field = format!("population.{key}");
            require(value == usual, &field, "none beside population.subscribers", value)?;
        }
        return Ok(());
    }
    population.derivation().check().or_else(|(key, expected)| {
        let found = own.iter().find(|(name, ..)| *name == key).map_or(0, |(_, value, _)| *value);
        require(false, &format!("population.{key}"), &expected, found)
    })
}

fn topology(profile: &Profile, topology: &Topology) -> Result<(), Fault> {
    let field = "topology.pcscf";
    require(!topology.pcscf.is_empty(), field, "at least one address", "none")?;
    let ipv4 = profile.population.addresses.network.is_ipv4();
    for (index, pcscf) in topology.pcscf.iter().enumerate() {
        let field = format!("{field}.{index}");
        require(pcscf.port() != 0, &field, "a port from 1 to 65535", "0")?;
        require(!pcscf.ip().is_unspecified(), &field, "the P-CSCF's own address", pcscf)?;
        require(
            pcscf.is_ipv4() == ipv4,
            &field,
            &format!("an address of the same family as {}", profile.population.addresses),
            pcscf,
        )?;
    }
    port("topology.pcscf_esp_port", topology.pcscf_esp_port)
}

fn ue(ue: &Ue) -> Result<(), Fault> {
    port("ue.port", ue.port)?;
    port("ue.esp_port", ue.esp_port)?;
    require(ue.esp_port != ue.port, "ue.esp_port", "another port than ue.port", ue.esp_port)?;
    for (field, value) in [("ue.port_uc", ue.port_uc), ("ue.port_us", ue.port_us)] {
        port(field, value)?;
        let protected = !UNPROTECTED_PORTS.contains(&value);
        require(protected, field, "a port that may be protected (not 5060 or 5061)", value)?;
    }
    let Some(fallback_s) = ue.fallback_s else { return other_ports(ue) };
    seconds("ue.fallback_s", fallback_s)?;
    let is_subscription = ue.access == Access::Subscription;
    let expected = "ue.access = \"subscription\", which can be fallen back from";
    require(is_subscription, "ue.fallback_s", expected, "ue.access = \"registration\"")?;
    other_ports(ue)
}

fn other_ports(ue: &Ue) -> Result<(), Fault> {
    require(ue.port_us != ue.port_uc, "ue.port_us", "another port than ue.port_uc", ue.port_us)
}

fn security(security: &Security) -> Result<(), Fault> {
    let tunnel = security.mode == imstorm_esp::Mode::UdpTunnel;
    let mode = security.mode.as_str();
    require(tunnel, "security.mode", "`UDP-enc-tun`, the only one so far", format!("`{mode}`"))?;
    let algorithms = &security.algorithms;
    require(!algorithms.is_empty(), "security.algorithms", "at least one", "none")?;
    for (index, pair) in algorithms.iter().enumerate() {
        let field = format!("security.algorithms.{index}");
        require(!algorithms[..index].contains(pair), &field, "each pair once", "it again")?;
    }
    Ok(())
}

fn procedures(profile: &Profile) -> Result<(), Fault> {
    profile.arrivals.validate()?;
    let refresh = &profile.procedures.refresh;
    seconds("procedures.refresh.after_s", refresh.after_s)?;
    let field = "procedures.refresh.after_s";
    // A first refresh at a set time needs no other.
    let untimed = u32::from(refresh.at_s.is_some());
    let timed = refresh.count <= untimed || refresh.after_s > 0.0;
    refresh.at_s.map_or(Ok(()), |value| seconds("procedures.refresh.at_s", value))?;
    seconds("procedures.refresh.window_s", refresh.window_s)?;
    require(timed, field, "a number above 0, as there are refreshes", refresh.after_s)?;
    part("procedures.refresh.jitter", refresh.jitter)?;
    let field = "procedures.refresh.expires_s";
    require(refresh.expires_s >= 1, field, "at least 1", refresh.expires_s)?;
    if let Some(release) = &profile.procedures.release {
        seconds("procedures.release.after_s", release.after_s)?;
        part("procedures.release.jitter", release.jitter)?;
    }
    seconds("limits.drain_s", profile.limits.drain_s)?;
    profile.limits.duration_s.map_or(Ok(()), |value| seconds("limits.duration_s", value))
}

/// What the operator does.
fn operated(procedures: &Procedures, expires_s: u32) -> Result<(), Fault> {
    if let Some(change) = &procedures.identity_change {
        timed("procedures.identity_change", change.after_s, change.jitter)?;
    }
    if let Some(lowered) = &procedures.network_reauthenticate {
        timed("procedures.network_reauthenticate", lowered.after_s, lowered.jitter)?;
        let field = "procedures.network_reauthenticate.expires_s";
        let is_lower = lowered.expires_s >= 1 && lowered.expires_s < expires_s;
        let expected = format!("from 1 to below refresh.expires_s, {expires_s}");
        require(is_lower, field, &expected, lowered.expires_s)?;
    }
    let Some(release) = &procedures.network_release else { return Ok(()) };
    timed("procedures.network_release", release.after_s, release.jitter)?;
    part("procedures.network_release.deactivated_share", release.deactivated_share)?;
    let field = "procedures.network_release.rejected_share";
    part(field, release.rejected_share)?;
    let rest = 1.0 - release.deactivated_share;
    let fits = release.rejected_share <= rest;
    require(
        fits,
        field,
        &format!("at most {rest}, what is not deactivated"),
        release.rejected_share,
    )
}

/// What the operator switches.
fn switches(profile: &Profile) -> Result<(), Fault> {
    for (place, it) in profile.operator.iter().enumerate() {
        seconds(&format!("operator.{place}.at_s"), it.at_s)?;
        let Some(number) = it.number else { continue };
        let field = format!("operator.{place}.number");
        let is_pcscf = it.role == SwitchRole::Pcscf;
        require(is_pcscf, &field, "none, as there is one S-CSCF", number)?;
        let count = profile.topology.pcscf.len();
        let expected = format!("from 1 to {count}, as many as topology.pcscf has");
        require((1..=count).contains(&number), &field, &expected, number)?;
    }
    Ok(())
}

/// What UEs that register go without.
fn of_subscriptions(profile: &Profile) -> Result<(), Fault> {
    if profile.ue.access == Access::Subscription {
        return Ok(());
    }
    let it = &profile.procedures;
    for (name, is_there) in [
        ("reauthenticate", it.reauthenticate.is_some()),
        ("identity_change", it.identity_change.is_some()),
        ("network_reauthenticate", it.network_reauthenticate.is_some()),
        ("network_release", it.network_release.is_some()),
        ("register_over_connection", it.register_over_connection.is_some()),
    ] {
        let field = format!("procedures.{name}");
        let expected = "UEs with a subscription, as only those have this";
        require(!is_there, &field, expected, "ue.access = \"registration\"")?;
    }
    Ok(())
}

/// What UEs without security go without, and those that share an address besides.
fn plain(profile: &Profile) -> Result<(), Fault> {
    let (ue, it) = (&profile.ue, &profile.procedures);
    let is_plain = ue.access_security == AccessSecurity::None;
    if let Some(t1_ms) = ue.t1_ms {
        require((100..=2_000).contains(&t1_ms), "ue.t1_ms", "from 100 to 2000", t1_ms)?;
    }
    let security_none = "ue.access_security = \"none\"";
    let security = "ue.access_security = \"ipsec-3gpp\"";
    for (field, is_there) in
        [("ue.shared_address", ue.shared_address), ("ue.t1_ms", ue.t1_ms.is_some())]
    {
        require(is_plain || !is_there, field, "ue.access_security = \"none\"", security)?;
    }
    if is_plain {
        let expected = "ue.access = \"registration\", as there is no security to subscribe to";
        let registers = ue.access == Access::Registration;
        require(registers, "ue.access_security", expected, "ue.access = \"subscription\"")?;
        let expected = "UEs with security, as their sessions are moved with it";
        require(it.handover.is_none(), "procedures.handover", expected, security_none)?;
        let none = profile.schemes.is_none();
        require(none, "schemes", "UEs with security, as it is compared", security_none)?;
    }
    let field = "procedures.call.target";
    let target = it.call.as_ref().and_then(|call| call.target.as_deref());
    if !ue.shared_address {
        let expected = "UEs that share an address, as only those call a fixed target";
        require(target.is_none(), field, expected, "ue.shared_address = false")?;
        let expected = "true, unless UEs share an address";
        return require(ue.register, "ue.register", expected, "false");
    }
    for (name, is_there) in [
        ("procedures.reg_event", it.reg_event.is_some()),
        ("procedures.message", it.message.is_some()),
        ("procedures.handover", it.handover.is_some()),
        ("population.accesses", profile.population.accesses > 1),
        ("operator", !profile.operator.is_empty()),
        ("abandon", profile.abandon != Abandon::default()),
        ("procedures.refresh.at_s", it.refresh.at_s.is_some()),
    ] {
        let expected = "UEs with an address of their own, as only those have this";
        require(!is_there, name, expected, "ue.shared_address = true")?;
    }
    if let Some(call) = &it.call {
        let expected = "a SIP URI, as UEs that share an address call a fixed target";
        require(target.is_some(), field, expected, "nothing")?;
        let text = target.unwrap_or_default();
        let read = imstorm_sip::Uri::parse(text.as_bytes());
        let is_sip = read.is_ok_and(|uri| uri.scheme == imstorm_sip::Scheme::Sip);
        require(is_sip, field, "a SIP URI such as `sip:service@127.0.0.1:5090`", text)?;
        let share = call.abandoned_share;
        let field = "procedures.call.abandoned_share";
        require(share == 0.0, field, "0, as these calls are not given up", share)?;
    }
    if ue.register {
        return Ok(());
    }
    let expected = "procedures.call, as UEs that don't register have nothing else to do";
    require(it.call.is_some(), "ue.register", expected, "none")?;
    let is_planned = it.release.is_some() || it.refresh.count > 0;
    require(!is_planned, "ue.register", "true, as registrations are refreshed or ended", "false")
}

/// What UEs do over their connections.
fn over_connection(procedures: &Procedures, access: Access, compares: bool) -> Result<(), Fault> {
    let registration = |name: &str, it: &Option<Registration>| {
        let Some(it) = it else { return Ok(()) };
        let field = format!("procedures.{name}");
        timed(&field, it.after_s, it.jitter)?;
        require(it.expires_s >= 1, &format!("{field}.expires_s"), "at least 1", it.expires_s)
    };
    registration("register_over_connection", &procedures.register_over_connection)?;
    registration("reg_event", &procedures.reg_event)?;
    if let Some(it) = &procedures.reauthenticate {
        timed("procedures.reauthenticate", it.after_s, it.jitter)?;
    }
    let registers = procedures.register_over_connection.as_ref().is_some_and(|it| it.count > 0);
    let reachable = registers || access == Access::Registration || compares;
    let expected = "UEs that register, as only those can be reached";
    let got = "no procedures.register_over_connection";
    if let Some(message) = &procedures.message {
        timed("procedures.message", message.after_s, message.jitter)?;
        require(reachable, "procedures.message", expected, got)?;
    }
    let Some(it) = &procedures.call else { return Ok(()) };
    require(reachable, "procedures.call", expected, got)?;
    call(it)
}

/// Sessions.
fn call(call: &Call) -> Result<(), Fault> {
    timed("procedures.call", call.after_s, call.jitter)?;
    part("procedures.call.share", call.share)?;
    seconds("procedures.call.ring_s", call.ring_s)?;
    let field = "procedures.call.ring_s";
    let longest = f64::from(RING_S_MAX);
    let answered = call.ring_s <= longest;
    require(answered, field, &format!("at most {longest}, before callers give up"), call.ring_s)?;
    call.holding_s.map_or(Ok(()), |value| seconds("procedures.call.holding_s", value))?;
    part("procedures.call.callee_hangs_up_share", call.callee_hangs_up_share)?;
    part("procedures.call.abandoned_share", call.abandoned_share)?;
    let interval_s = call.session_expires_s;
    let is_long = interval_s >= crate::ue::call::MIN_SE_S;
    let expected = format!("at least {} (RFC 4028 5)", crate::ue::call::MIN_SE_S);
    require(is_long, "procedures.call.session_expires_s", &expected, interval_s)
}

fn abandon(abandon: &Abandon) -> Result<(), Fault> {
    part("abandon.challenge_share", abandon.challenge_share)?;
    let field = "abandon.secured_share";
    part(field, abandon.secured_share)?;
    let rest = 1.0 - abandon.challenge_share;
    let expected = format!("at most {rest}, what answers the challenge");
    require(abandon.secured_share <= rest, field, &expected, abandon.secured_share)?;
    seconds("abandon.secured_after_s", abandon.secured_after_s)?;
    abandon.back_after_s.map_or(Ok(()), |value| seconds("abandon.back_after_s", value))
}

/// A handover needs an access to go to.
fn handover(profile: &Profile) -> Result<(), Fault> {
    let Some(handover) = &profile.procedures.handover else { return Ok(()) };
    timed("procedures.handover", handover.after_s, handover.jitter)?;
    part("procedures.handover.share", handover.share)?;
    let accesses = profile.population.accesses;
    let expected = "UEs with another access to go to";
    require(accesses > 1, "procedures.handover", expected, "population.accesses = 1")
}

/// A comparison needs two accesses for each user, and a partner.
fn schemes(profile: &Profile, schemes: &Schemes) -> Result<(), Fault> {
    let has_rate = profile.arrivals.rate_per_s.is_some();
    let expected = "rate_per_s, at which users begin each step";
    require(has_rate, "arrivals", expected, "another kind of arrivals")?;
    let population = &profile.population;
    let expected = "2, as a user is reachable over two accesses";
    require(population.accesses == 2, "population.accesses", expected, population.accesses)?;
    let is_even = population.size.is_multiple_of(2);
    let expected = "an even number, as each user has a partner";
    require(is_even, "population.size", expected, population.size)?;
    let there = profile.topology.pcscf.len();
    let possible = (1..=2).contains(&schemes.pcscfs) && schemes.pcscfs as usize <= there;
    let expected = format!("1 or 2, of {there} in topology.pcscf");
    require(possible, "schemes.pcscfs", &expected, schemes.pcscfs)?;
    let t1_ms = schemes.t1_ms;
    require((200..=2_000).contains(&t1_ms), "schemes.t1_ms", "from 200 to 2000", t1_ms)?;
    for delay_ms in schemes.delay_ms.into_iter().flatten() {
        let possible = (0.0..=1_000.0).contains(&delay_ms);
        require(possible, "schemes.delay_ms", "milliseconds, from 0 to 1000", delay_ms)?;
    }
    let it = &profile.procedures;
    let is_planned = it.release.is_some() || it.handover.is_some() || it.message.is_some();
    let expected = "no release, handover or message, as the comparison has its own steps";
    require(!is_planned, "procedures", expected, "one of them")
}

fn timed(field: &str, after_s: f64, jitter: f64) -> Result<(), Fault> {
    seconds(&format!("{field}.after_s"), after_s)?;
    part(&format!("{field}.jitter"), jitter)
}

fn network(network: &Network) -> Result<(), Fault> {
    part("network.loss", network.loss)?;
    part("network.duplication", network.duplication)?;
    part("network.reordering", network.reordering)?;
    let (min, max) = (network.delay_ms.min, network.delay_ms.max);
    let highest = SECONDS_MAX * 1_000.0;
    require((0.0..=highest).contains(&min), "network.delay_ms.min", "a number from 0", min)?;
    let field = "network.delay_ms.max";
    require((min..=highest).contains(&max), field, &format!("at least min, {min}"), max)
}

fn port(field: &str, value: u16) -> Result<(), Fault> {
    require(value != 0, field, "a port from 1 to 65535", value)
}

pub(super) fn seconds(field: &str, value: f64) -> Result<(), Fault> {
    let possible = (0.0..=SECONDS_MAX).contains(&value);
    require(possible, field, "seconds, from 0 to a year's", value)
}

pub(super) fn part(field: &str, value: f64) -> Result<(), Fault> {
    require((0.0..=1.0).contains(&value), field, "a number from 0 to 1", value)
}

pub(super) fn require(
    good: bool,
    field: &str,
    expected: &str,
    got: impl Display,
) -> Result<(), Fault> {
    if good {
        return Ok(());
    }
    Err(Fault { field: field.to_owned(), message: format!("expected {expected}, got {got}") })
}
