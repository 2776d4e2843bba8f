//! The service route: where a UE's requests outside dialogs have to go (the paper's section 3.1, "Service route for subsequent
//! requests"). It is the notifier's Contact of the last 200, or its Service-Route (RFC 3608) where it has one, which is the paper's
//! alternative.

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_base::time::Time;
use imstorm_sip::Uri;

use super::Pcscf;
use crate::event::Context;
use crate::proxy::DEFAULT_PORT;

impl Pcscf {
    /// Follows the service route that a 2xx gives, in Service-Route or in the notifier's Contact.
    pub(super) fn follow_service_route(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        given: Option<&[u8]>,
    ) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(uri) = given else { return };
        if self.strings.is(&connection.service_route, uri) {
            return;
        }
        let Ok(route) = self.strings.store_packed(&[uri]) else {
            ctx.counters.table_full += 1;
            return;
        };
        let before = std::mem::replace(&mut connection.service_route, route);
        // What is on its way was written with the route before.
        self.strings.release(std::mem::replace(&mut connection.earlier_route, before));
        connection.earlier_until = ctx.now + self.config.core.timer_f_ns();
    }

    /// Whether a URI is the connection's service route, now or a moment ago.
    pub(super) fn is_service_route(&self, now: Time, key: Key, uri: &[u8]) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        let earlier = connection.earlier_until > now && !connection.earlier_route.is_empty();
        let is_it = |kept| is_same(self.strings.read(kept, &mut TextRoom::default()), uri);
        is_it(&connection.service_route) || (earlier && is_it(&connection.earlier_route))
    }
}

/// Whether two URIs lead to the same connection at the same S-CSCF.
fn is_same(kept: &[u8], given: &[u8]) -> bool {
    if kept == given {
        return !kept.is_empty();
    }
    let (Ok(kept), Ok(given)) = (Uri::parse(kept), Uri::parse(given)) else { return false };
    kept.socket_addr(DEFAULT_PORT) == given.socket_addr(DEFAULT_PORT)
        && kept.param("sess") == given.param("sess")
}
