//! run.json: what was run, and where.

use std::path::Path;

use imstorm_uring::process;
use serde::{Deserialize, Serialize};

use super::RUN_FILE;
use super::reader::LogError;
use crate::part::Part;
use crate::profile::Profile;

/// The version of a run's logs. It rises when what was written before can't be read any more.
pub const SCHEMA: u32 = 1;
/// The longest run.json that is read, in bytes: a profile has at most 1 MiB.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// What was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of the generator.
    pub imstorm: String,
    /// The profile's name.
    pub profile: String,
    /// The seed of arrivals and jitter.
    pub seed: u64,
    /// What of the population this generator had.
    pub part: Part,
    /// Of how many parts these logs are put together; nothing where one generator wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
    /// When the first UE might start, in nanoseconds since 1970.
    pub epoch_ns: u64,
    /// The core under test; nothing: an engine that the run started.
    pub target: Option<String>,
    /// What the run went through.
    pub environment: Environment,
    /// The profile with what was replaced in it, as TOML.
    pub profile_text: String,
}

/// What a run went through, so far as it bears on its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// The host's name.
    pub host: String,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's model.
    pub processor: String,
    /// How many cores the generator and an engine of its own could use.
    pub cores: usize,
    /// The memory of the machine, in bytes.
    pub memory_bytes: u64,
    /// The command that was given, word by word.
    pub command: Vec<String>,
    /// The compiler of the generator, as `rustc --version` has it.
    pub rust: String,
    /// `release`, or `debug`, whose figures are not for comparing.
    pub build: String,
    /// The longest receive buffer that a socket gets for the asking (`net.core.rmem_max`), in bytes.
    pub rmem_max_bytes: u64,
}

impl RunInfo {
    /// A run of this profile, from now on, which starts at `epoch_ns`.
    #[must_use]
    pub fn new(profile: &Profile, seed: u64, target: Option<String>, epoch_ns: u64) -> Self {
        Self {
            schema: SCHEMA,
            imstorm: env!("CARGO_PKG_VERSION").to_owned(),
            profile: profile.name.clone(),
            seed,
            part: profile.part,
            parts: None,
            epoch_ns,
            target,
            environment: Environment::here(),
            profile_text: profile.text.clone(),
        }
    }

    /// Reads `directory/run.json`.
    ///
    /// # Errors
    /// [`LogError`]: there is none, or it is none of ours.
    #[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
    pub fn read(directory: &Path) -> Result<Self, LogError> {
        let path = directory.join(RUN_FILE);
        let failed = |error| LogError::File(path.clone(), error);
        let length = std::fs::metadata(&path).map_err(failed)?.len();
        if length > FILE_BYTES_MAX {
            return Err(LogError::NotOurs(path, format!("it has {length} bytes")));
        }
        let text = std::fs::read_to_string(&path).map_err(failed)?;
        let info: Self = serde_json::from_str(&text)
            .map_err(|error| LogError::NotOurs(path.clone(), error.to_string()))?;
        if info.schema > SCHEMA {
            let problem = format!("schema {}, of a later imstorm ({})", info.schema, info.imstorm);
            return Err(LogError::NotOurs(path, problem));
        }
        Ok(info)
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("it is numbers and names only");
        json.push('\n');
        json
    }

    /// The profile that was run.
    ///
    /// # Errors
    /// Where it can't be read any more.
    pub fn profile(&self) -> Result<Profile, crate::profile::ProfileError> {
        let mut profile = Profile::of_past_run(RUN_FILE, &self.profile_text)?;
        profile.part = self.part;
        Ok(profile)
    }
}

impl Environment {
    /// Of this process. What can't be had is empty or 0.
    #[must_use]
    pub fn here() -> Self {
        let line = |path: &str| text_of(path).trim().to_owned();
        let field = |path: &str, name: &str| {
            let text = text_of(path);
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
            value.unwrap_or_default().to_owned()
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let memory_kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        Self {
            host: line("/proc/sys/kernel/hostname"),
            kernel: line("/proc/sys/kernel/osrelease"),
            processor: field("/proc/cpuinfo", "model name"),
            cores: process::allowed_cores().map_or(0, |cores| cores.len()),
            memory_bytes: memory_kib << 10,
            command: std::env::args_os().map(|it| it.to_string_lossy().into_owned()).collect(),
            rust: env!("IMSTORM_RUSTC").to_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            rmem_max_bytes: line("/proc/sys/net/core/rmem_max").parse().unwrap_or(0),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
fn text_of(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_run_can_be_read_again() {
        let set = [("population.size".to_owned(), "300".to_owned())];
        let mut profile = Profile::load("quickstart", &set).unwrap();
        profile.part = Part { number: 2, of: 3 };
        let info = RunInfo::new(&profile, 5, Some("127.0.0.1:5060".to_owned()), 77);
        let read: RunInfo = serde_json::from_str(&info.to_json()).unwrap();
        assert_eq!(read, info);
        assert_eq!(read.profile().unwrap(), profile);
        assert!(info.environment.cores > 0);
    }

    #[test]
    fn files_that_a_profile_names_need_not_be_there_any_more() {
        let path = std::env::temp_dir().join(format!("imstorm-starts-{}", std::process::id()));
        std::fs::write(&path, "0.5\n1\n").unwrap();
        let text = format!(
            "name = \"p\"\n[population]\nsize = 2\n[arrivals]\ntrace = \"{}\"\n",
            path.display()
        );
        let profile = Profile::parse("p.toml", &text, &[]).unwrap();
        std::fs::remove_file(&path).unwrap();
        let info = RunInfo::new(&profile, 1, None, 0);
        assert_eq!(info.profile().unwrap().name, "p");
    }

    #[test]
    fn what_earlier_versions_did_not_write_is_empty() {
        let profile = Profile::load("quickstart", &[]).unwrap();
        let info = RunInfo::new(&profile, 5, None, 77);
        assert!(info.environment.rust.starts_with("rustc "), "{}", info.environment.rust);
        assert!(!info.environment.command.is_empty());
        let mut json = serde_json::to_value(&info).unwrap();
        for field in ["command", "rust", "build"] {
            json["environment"].as_object_mut().unwrap().remove(field).unwrap();
        }
        let read: RunInfo = serde_json::from_value(json).unwrap();
        assert_eq!((read.environment.command.len(), &*read.environment.rust), (0, ""));
        assert_eq!(read.environment.kernel, info.environment.kernel);
    }

    #[test]
    fn every_built_in_profile_can_be_read_again() {
        for (name, text) in crate::profile::builtin() {
            let profile = Profile::parse(name, text, &[]).unwrap();
            let again = Profile::parse(name, &profile.text, &[]).unwrap();
            assert_eq!(again, profile, "{name}");
        }
    }
}
