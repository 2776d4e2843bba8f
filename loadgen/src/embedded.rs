//! The engine that a run or simulation brings along: its configuration, from the profile.

use std::net::SocketAddr;

use imstorm_engine::EngineConfig;
use imstorm_engine::config::ConfigError;

use crate::course::SaPolicy;
use crate::profile::{AccessSecurity, Profile, Schemes};

/// Private identities that a user of a comparison derives: one for each access.
const ACCESSES: i64 = 2;

/// The configuration of an engine for a profile, as text: all roles in one process, the profile's subscribers and P-CSCF
/// addresses, and what its `[engine]` table adds. `cores` are those that it may use.
#[must_use]
pub fn config_text(profile: &Profile, admin: &str, cores: &[usize]) -> String {
    let mut config = toml::Table::new();
    let text = |value: String| toml::Value::String(value);
    let is_open = profile.ue.access_security == AccessSecurity::None;
    let pcscfs = profile.pcscfs().iter().enumerate().map(|(place, address)| {
        let mut pcscf = toml::Table::new();
        pcscf.insert("address".to_owned(), text(address.to_string()));
        pcscf.insert("esp_port".to_owned(), i64::from(profile.topology.pcscf_esp_port).into());
        pcscf.insert("ue_esp_port".to_owned(), i64::from(profile.ue.esp_port).into());
        pcscf.insert("mw".to_owned(), text(mw_address(profile, place).to_string()));
        if is_open {
            pcscf.insert("access_security".to_owned(), text("none".to_owned()));
        }
        toml::Value::Table(pcscf)
    });
    let pcscfs = pcscfs.collect::<Vec<_>>();
    let role = |place: usize| {
        let mut role = toml::Table::new();
        role.insert("mw".to_owned(), text(mw_address(profile, place).to_string()));
        role
    };
    let mut scscf = role(pcscfs.len() + 1);
    scscf.insert("realm".to_owned(), text(profile.population.domain.clone()));
    if is_open {
        scscf.insert("authentication".to_owned(), text("none".to_owned()));
    }
    let mut subscribers = toml::Table::new();
    let number = |value: u64| toml::Value::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    match &profile.population.subscribers {
        Some(file) => {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            subscribers.insert("file".to_owned(), text(file.display().to_string()));
        }
        None => {
            for (key, value) in [
                ("size", profile.population.size),
                ("identities", profile.population.identities.into()),
                ("devices", profile.population.devices.into()),
            ] {
                subscribers.insert(key.to_owned(), number(value));
            }
        }
    }
    subscribers.insert("seed".to_owned(), number(profile.population.seed));
    subscribers.insert("domain".to_owned(), text(profile.population.domain.clone()));
    config.insert("icscf".to_owned(), role(pcscfs.len()).into());
    config.insert("pcscf".to_owned(), pcscfs.into());
    config.insert("scscf".to_owned(), scscf.into());
    config.insert("subscribers".to_owned(), subscribers.into());
    config.insert("admin".to_owned(), text(admin.to_owned()));
    let cores: Vec<toml::Value> = cores.iter().map(|core| number(*core as u64)).collect();
    config.insert("cores".to_owned(), cores.into());
    if let Some(schemes) = &profile.schemes {
        compare(&mut config, schemes);
    }
    merge(&mut config, &profile.engine);
    toml::to_string(&config).expect("tables, strings and numbers are TOML")
}

/// What the core of a comparison does otherwise than by default.
fn compare(config: &mut toml::Table, schemes: &Schemes) {
    let of = |key: &str, value: toml::Value| toml::Table::from_iter([(key.to_owned(), value)]);
    let mut over = toml::Table::new();
    if schemes.pcscf_sa_policy != SaPolicy::default() {
        let pcscf = of("sa_policy", schemes.pcscf_sa_policy.name().into());
        over.insert("pcscf".to_owned(), vec![pcscf; schemes.pcscfs as usize].into());
    }
    over.insert("ue_leg".to_owned(), of("t1_ms", i64::from(schemes.t1_ms).into()).into());
    if let Some(registrar) = schemes.scheme.registrar() {
        over.insert("scscf".to_owned(), of("simultaneous", registrar.into()).into());
    }
    if schemes.scheme.modifies_impi() {
        over.insert("hss".to_owned(), of("modified_impis_max", ACCESSES.into()).into());
    }
    merge(config, &over);
}

/// Lays one table over another: tables are merged, lists of tables one by one, and all else is replaced.
fn merge(into: &mut toml::Table, over: &toml::Table) {
    use toml::Value::{Array, Table};
    for (key, value) in over {
        match (into.get_mut(key), value) {
            (Some(Table(into)), Table(over)) => merge(into, over),
            (Some(Array(into)), Array(over))
                if into.iter().chain(over).all(toml::Value::is_table) =>
            {
                for (place, value) in over.iter().enumerate() {
                    match (into.get_mut(place), value) {
                        (Some(Table(into)), Table(over)) => merge(into, over),
                        _ => into.push(value.clone()),
                    }
                }
            }
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// As [`config_text`], read: for the simulator.
///
/// # Errors
/// Where what the profile's `[engine]` table adds is no engine configuration.
pub fn config(profile: &Profile) -> Result<EngineConfig, ConfigError> {
    EngineConfig::parse("[engine]", &config_text(profile, "127.0.0.1:0", &[0]))
}

/// The Mw addresses of the embedded engine's roles.
pub fn mw_addresses(profile: &Profile) -> impl Iterator<Item = SocketAddr> {
    (0..profile.pcscfs().len() + 2).map(|place| mw_address(profile, place))
}

/// Mw addresses of the embedded engine's roles: on the first P-CSCF's address, a hundred ports apart.
fn mw_address(profile: &Profile, place: usize) -> SocketAddr {
    let ip = profile.topology.pcscf[0].ip();
    let port = 6060 + 100 * place;
    SocketAddr::new(ip, u16::try_from(port).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_lays_its_options_over_the_engines_configuration() {
        let text = "name = \"p\"\n[population]\nsize = 3\n[arrivals]\nrate_per_s = 1\n\
                    [topology]\npcscf = [\"127.0.0.1:5060\", \"127.0.0.2:5060\"]\n\
                    [engine]\nshards = 2\npcscf = [{}, { security_event = false }]\n\
                    scscf = { expires_max_s = 77 }\n";
        let profile = Profile::parse("p.toml", text, &[]).unwrap();
        let config = config(&profile).unwrap();
        assert_eq!(*config.shards.get_ref(), 2);
        let pcscf = config.pcscf.iter().map(|it| (it.address.to_string(), it.security_event));
        let expected = [("127.0.0.1:5060", true), ("127.0.0.2:5060", false)];
        assert_eq!(pcscf.collect::<Vec<_>>(), expected.map(|(at, knows)| (at.to_owned(), knows)));
        let scscf = config.scscf.unwrap();
        assert_eq!((scscf.expires_max_s, scscf.realm.as_str()), (77, "ims.example"));
        let text = text.replace("security_event", "security_events");
        let profile = Profile::parse("p.toml", &text, &[]).unwrap();
        assert!(super::config(&profile).is_err(), "no such option");
    }
}
