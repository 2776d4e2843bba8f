//! What an operator switches on and off while the engine runs: whether a role knows the extension by which a SUBSCRIBE makes a secure
//! connection. The configuration says what holds at the start; a switch holds for the life of the process.

use std::net::SocketAddr;

use imstorm_cscf::Authentication;
use serde_json::{Map, Value};

use crate::config::EngineConfig;

/// Which roles are meant.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Switched {
    /// The S-CSCF.
    Scscf,
    /// All P-CSCFs.
    Pcscfs,
    /// The P-CSCF with this unprotected address.
    Pcscf(SocketAddr),
}

/// A switch that is to be thrown.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Whose.
    pub role: Switched,
    /// Whether the extension is to be known.
    pub is_on: bool,
}

impl Switch {
    /// Whether it is this P-CSCF's.
    #[must_use]
    pub fn is_of_pcscf(&self, address: SocketAddr) -> bool {
        self.role == Switched::Pcscfs || self.role == Switched::Pcscf(address)
    }
}

/// Whether the roles of this process know the extension, as the control plane has switched them. `None`: a shard did not answer, and may
/// have followed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityEvent {
    /// The S-CSCF, if one runs here.
    scscf: Option<Option<bool>>,
    /// The P-CSCFs, by their unprotected addresses.
    pcscf: Vec<(SocketAddr, Option<bool>)>,
}

impl SecurityEvent {
    /// As it is at the start.
    #[must_use]
    pub fn new(config: &EngineConfig) -> Self {
        // Where nobody is authenticated, there is nothing to be switched.
        let may_know = config.authentication() == Authentication::Aka;
        let pcscfs = config.pcscf.iter().filter(|_| may_know);
        Self {
            scscf: config.scscf.as_ref().filter(|_| may_know).map(|it| Some(it.security_event)),
            pcscf: pcscfs.map(|it| (it.address, Some(it.security_event))).collect(),
        }
    }

    /// The names of the roles that a switch is about; none where no such role runs here.
    #[must_use]
    pub fn names(&self, switch: &Switch) -> Vec<String> {
        if switch.role == Switched::Scscf {
            return self.scscf.iter().map(|_| "scscf".to_owned()).collect();
        }
        let meant = self.pcscf.iter().filter(|(address, _)| switch.is_of_pcscf(*address));
        meant.map(|(address, _)| format!("pcscf {address}")).collect()
    }

    /// A switch has been thrown, or `None`: nobody knows.
    pub fn note(&mut self, switch: &Switch, state: Option<bool>) {
        if switch.role == Switched::Scscf {
            self.scscf = self.scscf.map(|_| state);
        }
        for (_, of_pcscf) in self.pcscf.iter_mut().filter(|(it, _)| switch.is_of_pcscf(*it)) {
            *of_pcscf = state;
        }
    }

    /// As the status shows it: `{"scscf":true,"pcscf":{"127.0.0.1:5060":true}}`, `null` for what is not known, without the roles that do not
    /// run here.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut shown = Map::new();
        if let Some(scscf) = self.scscf {
            shown.insert("scscf".to_owned(), scscf.into());
        }
        if !self.pcscf.is_empty() {
            let pcscfs = self.pcscf.iter().map(|(address, it)| (address.to_string(), (*it).into()));
            shown.insert("pcscf".to_owned(), Value::Object(pcscfs.collect()));
        }
        Value::Object(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PCSCFS: &str = "pcscf = [{ address = \"127.0.0.1:5060\", mw = \"127.0.0.1:6060\" }, \
        { address = \"127.0.0.2:5060\", mw = \"127.0.0.2:6060\", security_event = false }]\n\
        icscf_at = \"127.0.0.1:6070\"\n";

    #[test]
    fn each_role_has_a_state_of_its_own_which_may_not_be_known() {
        let mut state = SecurityEvent::new(&EngineConfig::parse("test", PCSCFS).unwrap());
        let expected = json!({ "pcscf": { "127.0.0.1:5060": true, "127.0.0.2:5060": false } });
        assert_eq!(state.to_json(), expected);
        let of = |role| Switch { role, is_on: true };
        let second = of(Switched::Pcscf("127.0.0.2:5060".parse().unwrap()));
        assert_eq!(state.names(&second), ["pcscf 127.0.0.2:5060"]);
        assert_eq!(state.names(&of(Switched::Pcscfs)).len(), 2);
        for nobody in [Switched::Scscf, Switched::Pcscf("127.0.0.3:5060".parse().unwrap())] {
            assert_eq!(state.names(&of(nobody)), Vec::<String>::new());
        }
        state.note(&second, Some(true));
        assert_eq!(state.to_json()["pcscf"]["127.0.0.2:5060"], true);
        state.note(&of(Switched::Pcscfs), None);
        assert_eq!(state.to_json()["pcscf"]["127.0.0.1:5060"], Value::Null);
    }
}
