//! What an operator sees of the P-CSCF.

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_base::time::Time;
use imstorm_esp::LocalPort;

use super::Pcscf;
use super::connection::{Connection, SecuritySet, Stage};
use crate::show::{self, AssociationRow, Page};

impl Pcscf {
    /// The sets of security associations, from a place of the table of connections on; with `impi`, only those of this user.
    #[must_use]
    pub fn show_associations(
        &self,
        now: Time,
        from: u32,
        impi: Option<&[u8]>,
    ) -> Page<AssociationRow> {
        Page::of_slab(&self.connections, from, |rows, _, connection| {
            if impi.is_none_or(|impi| {
                is_same_user(impi, self.strings.read(&connection.impi, &mut TextRoom::default()))
            }) {
                rows.extend(self.sets_of(now, connection));
            }
        })
    }

    fn sets_of(&self, now: Time, connection: &Connection) -> impl Iterator<Item = AssociationRow> {
        let of = |key: Option<Key>, name: &'static str| {
            let set = key.and_then(|key| self.sets.get(key))?;
            Some(self.association_row(now, connection, set, name))
        };
        let rows = [
            of(connection.live, "live"),
            of(connection.temporary, "temporary"),
            of(connection.draining, "draining"),
        ];
        rows.into_iter().flatten()
    }

    fn association_row(
        &self,
        now: Time,
        connection: &Connection,
        set: &SecuritySet,
        name: &'static str,
    ) -> AssociationRow {
        let sa = &set.sa;
        let client = sa.selectors(LocalPort::Client);
        let server = sa.selectors(LocalPort::Server);
        let suite = sa.suite();
        AssociationRow {
            impi: show::text(self.strings.read(&connection.impi, &mut TextRoom::default())),
            ue: connection.ue_ip,
            outer: set.outer.get(),
            pcscf: self.config.unprotected,
            stage: match connection.stage {
                Stage::SettingUp => "setting-up",
                Stage::Live => "live",
                Stage::Ending => "ending",
            },
            set: name,
            spi_uc: sa.outbound(LocalPort::Server).spi(),
            spi_us: sa.outbound(LocalPort::Client).spi(),
            spi_pc: sa.inbound(LocalPort::Client).spi(),
            spi_ps: sa.inbound(LocalPort::Server).spi(),
            port_uc: server.remote_port,
            port_us: client.remote_port,
            port_pc: client.local_port,
            port_ps: server.local_port,
            alg: suite.integrity.as_str(),
            ealg: suite.encryption.as_str(),
            expires_s: show::seconds_until(now, set.expires_at),
        }
    }
}

/// Whether two private identities are one user's: the realm is a domain name, which knows no case.
fn is_same_user(one: &[u8], other: &[u8]) -> bool {
    let at = one.iter().rposition(|byte| *byte == b'@').unwrap_or(one.len());
    match (one.split_at_checked(at), other.split_at_checked(at)) {
        (Some((name, realm)), Some((other_name, other_realm))) => {
            name == other_name && realm.eq_ignore_ascii_case(other_realm)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms_know_no_case_and_names_do() {
        assert!(is_same_user(b"a@ims.example", b"a@IMS.example"));
        assert!(is_same_user(b"a", b"a"));
        for other in [&b"A@ims.example"[..], b"ab@ims.example", b"a@ims.example2", b"a", b""] {
            assert!(!is_same_user(b"a@ims.example", other));
        }
    }
}
