//! In what two runs' profiles differ.

use super::RunInfo;

/// The most keys that are named.
const SHOWN: usize = 5;

/// The keys in which the profiles of two runs differ, with both values; nothing where they are the same.
#[must_use]
pub fn difference_of_profiles(one: &RunInfo, other: &RunInfo) -> Option<String> {
    let table = |info: &RunInfo| info.profile_text.parse::<toml::Table>().unwrap_or_default();
    let mut found = Vec::new();
    collect("", &table(one), &table(other), &mut found);
    if found.is_empty() {
        return None;
    }
    let more = found.len().saturating_sub(SHOWN);
    found.truncate(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(found.join(", ") + &more)
}

/// Whether a key only says where a generator and its engine are, as it may differ between machines: ports, or as many addresses of P-CSCFs.
fn is_place(path: &str, one: Option<&toml::Value>, other: Option<&toml::Value>) -> bool {
    let count = |it: Option<&toml::Value>| it.and_then(toml::Value::as_array).map(Vec::len);
    match path {
        "ue.port" | "ue.esp_port" | "topology.pcscf_esp_port" => true,
        "topology.pcscf" => count(one) == count(other),
        _ => false,
    }
}

fn collect(prefix: &str, one: &toml::Table, other: &toml::Table, found: &mut Vec<String>) {
    let all = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
    for key in all {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (one.get(key), other.get(key)) {
            (Some(toml::Value::Table(one)), Some(toml::Value::Table(other))) => {
                collect(&path, one, other, found);
            }
            (one, other) if one == other || is_place(&path, one, other) => {}
            (one, other) => {
                let shown =
                    |it: Option<&toml::Value>| it.map_or("unset".to_owned(), ToString::to_string);
                found.push(format!("{path} ({} and {})", shown(one), shown(other)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    #[test]
    fn the_keys_that_differ_are_named() {
        let info = |set: &[(&str, &str)]| {
            let set = set.iter().map(|(key, value)| (key.to_string(), value.to_string()));
            let profile = Profile::load("quickstart", &set.collect::<Vec<_>>()).unwrap();
            RunInfo::new(&profile, 1, None, 0)
        };
        assert_eq!(difference_of_profiles(&info(&[]), &info(&[])), None);
        let one = info(&[("population.size", "300")]);
        let other = info(&[("limits.duration_s", "5")]);
        let said = difference_of_profiles(&one, &other).unwrap();
        let elsewhere = info(&[("ue.port", "7777"), ("topology.pcscf", "[\"127.0.0.9:1\"]")]);
        assert_eq!(difference_of_profiles(&info(&[]), &elsewhere), None);
        assert_eq!(said, "limits.duration_s (unset and 5), population.size (300 and 10000)");
    }
}
