//! The P-CSCF's tables as a checker sees them: what must hold between any two steps, whatever came.

use std::net::IpAddr;

use imstorm_base::TextRoom;
use imstorm_base::time::Time;

use super::Pcscf;
use super::connection::Stage;

/// A connection as it is between two steps.
#[derive(Clone, Debug)]
pub struct ConnectionState {
    /// The UE's address.
    pub ue_ip: IpAddr,
    /// Whether it carries requests: it is neither half-open nor ending.
    pub is_live: bool,
    /// Its security associations.
    pub security_associations: usize,
    /// Transactions that are not completed.
    pub pending: usize,
    /// When its security associations end, grace included.
    pub expires_at: Time,
    /// The user's identities, as a packed list.
    pub identities: Vec<u8>,
}

impl Pcscf {
    /// All connections.
    pub fn connection_states(&self) -> impl Iterator<Item = ConnectionState> {
        self.connections.iter().map(|(_, connection)| {
            let sets = [connection.live, connection.temporary, connection.draining];
            let live = connection.live.and_then(|live| self.sets.get(live));
            ConnectionState {
                ue_ip: connection.ue_ip,
                is_live: connection.stage == Stage::Live,
                security_associations: 4 * sets.iter().flatten().count(),
                pending: usize::from(connection.pending.asked + connection.pending.told),
                expires_at: live.map_or(connection.expires_at, |set| set.expires_at),
                identities: self
                    .strings
                    .read(&connection.identities, &mut TextRoom::default())
                    .to_vec(),
            }
        })
    }

    /// Whether connections and sets agree: each set is exactly one connection's, a half-open connection has no live set and at most
    /// four security associations, a live one four, and eight during a re-authentication.
    ///
    /// # Errors
    /// What does not hold.
    pub fn audit(&self) -> Result<(), String> {
        let mut named = 0;
        for (key, connection) in self.connections.iter() {
            let sets = [connection.live, connection.temporary, connection.draining];
            for set in sets.into_iter().flatten() {
                named += 1;
                let owner = self.sets.get(set).map(|set| set.connection);
                if owner != Some(key) {
                    return Err(format!("{key:?} names a set of {owner:?}"));
                }
            }
            let count = sets.iter().flatten().count();
            let fits = match connection.stage {
                Stage::SettingUp => connection.live.is_none() && count <= 1,
                Stage::Live => connection.live.is_some() == connection.open.is_none() && count <= 2,
                Stage::Ending => count <= 2,
            };
            if !fits {
                let associations = 4 * count;
                let stage = connection.stage;
                return Err(format!("{associations} security associations while {stage:?}"));
            }
        }
        if named != self.sets.len() {
            let orphans = self.sets.len() - named;
            return Err(format!("{orphans} sets of security associations without a connection"));
        }
        Ok(())
    }
}
