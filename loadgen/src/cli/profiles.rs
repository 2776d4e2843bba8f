//! `imstorm profiles` and `imstorm init`.

use std::io::Write;
use std::path::PathBuf;

use imstorm_engine::suggest;

use super::{Failure, fail};
use crate::profile::{self, Profile};
use crate::run::say;

pub(super) fn list(as_json: bool) -> Result<u8, Failure> {
    let mut rows = Vec::new();
    for (name, text) in profile::builtin() {
        let profile = Profile::parse(name, text, &[]).or_else(|error| fail(2, error))?;
        rows.push((*name, profile.description));
    }
    if as_json {
        let row = |(name, description): &(&str, String)| serde_json::json!({ "name": name, "description": description });
        say(&format!("{:#}\n", serde_json::Value::from_iter(rows.iter().map(row))));
        return Ok(0);
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().for_each(|(name, description)| say(&format!("{name:<width$}  {description}\n")));
    Ok(0)
}

pub(super) fn init(name: &str) -> Result<u8, Failure> {
    let Some((_, text)) = profile::builtin().iter().find(|(other, _)| *other == name) else {
        let names: Vec<_> = profile::builtin().iter().map(|(name, _)| *name).collect();
        let meant = suggest::did_you_mean(name, &names);
        return fail(
            2,
            format!("there is no built-in profile {name}{meant}; all: imstorm profiles"),
        );
    };
    let path = PathBuf::from(format!("{name}.toml"));
    let file = std::fs::File::options().write(true).create_new(true).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).or_else(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                " (it is not overwritten: move it away, or go to another directory)"
            }
            _ => " (the file is written where you are: go to a directory that you may write to)",
        };
        fail(5, format!("{}: {error}{hint}", path.display()))
    })?;
    say(&format!("{}\n", path.display()));
    Ok(0)
}
