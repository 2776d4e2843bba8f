//! The JSON Schema of profiles, for editors that complete and check them. What each field is for is said where the field is.

use imstorm_esp::{EncryptionAlgorithm, IntegrityAlgorithm, Mode, Suite};
use schemars::{Schema, SchemaGenerator, json_schema};

use super::Profile;

/// The schema as JSON text.
#[must_use]
pub fn json() -> String {
    let schema = schemars::schema_for!(Profile);
    let mut text = serde_json::to_string_pretty(&schema).expect("it is JSON");
    text.push('\n');
    text
}

/// Paths into the report, as dotted keys or tables in tables, with conditions.
pub(super) fn thresholds(_: &mut SchemaGenerator) -> Schema {
    let condition = "^\\s*(<=|>=|==|<|>)\\s*[0-9._eE+-]+\\s*$";
    json_schema!({
        "type": "object",
        "additionalProperties": {
            "anyOf": [{ "type": "string", "pattern": condition }, { "type": "object" }]
        }
    })
}

pub(super) fn modes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [Mode::UdpTunnel.as_str()] })
}

pub(super) fn integrity(_: &mut SchemaGenerator) -> Schema {
    let mut names =
        Suite::ALL.map(|suite| suite.integrity).map(IntegrityAlgorithm::as_str).to_vec();
    names.sort_unstable();
    names.dedup();
    json_schema!({ "type": "string", "enum": names })
}

pub(super) fn encryption(_: &mut SchemaGenerator) -> Schema {
    let mut names =
        Suite::ALL.map(|suite| suite.encryption).map(EncryptionAlgorithm::as_str).to_vec();
    names.sort_unstable();
    names.dedup();
    json_schema!({ "type": "string", "enum": names })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The schema that a part of another one refers to, or the part itself.
    fn resolved<'a>(root: &'a Value, part: &'a Value) -> &'a Value {
        let reference = part["$ref"].as_str().or_else(|| {
            let mut any = part["anyOf"].as_array()?.iter();
            any.find_map(|it| it["$ref"].as_str())
        });
        match reference.and_then(|it| root.pointer(it.strip_prefix('#')?)) {
            Some(found) => found,
            None => part,
        }
    }

    /// Each key of a profile is in the schema, as far as the schema says which keys there are.
    fn check(root: &Value, schema: &Value, value: &toml::Value, path: &str) {
        let schema = resolved(root, schema);
        match value {
            toml::Value::Table(table) => {
                for (key, value) in table {
                    let path = format!("{path}.{key}");
                    let known = &schema["properties"][key];
                    if known.is_null() {
                        let is_open = schema["additionalProperties"] != Value::Bool(false);
                        assert!(is_open, "{path} is not in the schema");
                    } else {
                        check(root, known, value, &path);
                    }
                }
            }
            toml::Value::Array(items) => {
                items.iter().for_each(|item| check(root, &schema["items"], item, path));
            }
            toml::Value::String(text) => {
                if let Some(names) = schema["enum"].as_array() {
                    assert!(names.iter().any(|name| name == text), "{path} = {text}");
                }
            }
            _ => {}
        }
    }

    #[test]
    fn the_profiles_that_come_along_keep_to_it() {
        let root: Value = serde_json::from_str(&json()).unwrap();
        for (name, text) in super::super::builtin() {
            let profile: toml::Value = toml::from_str(text).unwrap();
            check(&root, &root, &profile, name);
        }
    }

    #[test]
    fn each_field_says_what_it_is_for() {
        let root: Value = serde_json::from_str(&json()).unwrap();
        let types = root["$defs"].as_object().unwrap();
        let all = types.iter().map(|(name, it)| (name.as_str(), it)).chain([("Profile", &root)]);
        for (name, it) in all {
            for (field, schema) in it["properties"].as_object().into_iter().flatten() {
                assert!(schema["description"].is_string(), "{name}.{field}");
            }
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the file is in the repository")]
    fn the_file_for_editors_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/profile.schema.json");
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(there == json(), "write it anew: imstorm schema > profiles/profile.schema.json");
    }
}
