//! What is different where a connection rests on a registration (TS 24.229 clauses 5.2.2 and 5.2.3): Path in, and out of the 200 the service
//! route, the identities and the lifetime. Set-up, security associations and challenges are those of `security.rs` and `lifecycle.rs`.

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_sip::body::reginfo::Reginfo;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Edits, Message, Uri, Writer};

use super::Pcscf;
use crate::event::Context;
use crate::hss::IdentitiesRoom;
use crate::identity::{IDENTITY_BYTES_MAX, Identity, IdentityList, IdentityListWriter};
use crate::proxy::DEFAULT_PORT;

/// Whether a Contact may have `reg-id`: sooner said than its parameters are read.
fn names_reg_id(contact: &[u8]) -> bool {
    contact.windows(6).any(|text| text.eq_ignore_ascii_case(b"reg-id"))
}

/// Room for a contact's URI in the body of a NOTIFY, its references replaced.
const CONTACT_BYTES_MAX: usize = 512;

impl Pcscf {
    /// Itself as the way to the UE, and the network that it stands in, in a REGISTER (RFC 3327 clause 5.2, RFC 7315 clause 4.3).
    pub(super) fn edit_path(&self, edits: &mut Edits, message: &Message<'_>, connection: Key) {
        edits.remove(HeaderName::Path);
        // RFC 5626 clause 5.1: the connection's key is the flow's token.
        let is_flow = || message.contacts().flatten().any(|contact| contact.params.has("reg-id"));
        let may_be_flow =
            || message.lines(HeaderName::Contact).any(|(_, value)| names_reg_id(value));
        let is_first_hop = || message.list(HeaderName::Via).count() == 1;
        let is_outbound = self.config.outbound && may_be_flow() && is_flow() && is_first_hop();
        edits.append(HeaderName::Path, |out| match is_outbound {
            true => self.write_flow(connection, out),
            false => self.write_route(connection, out),
        });
        edits.append(HeaderName::Require, |out| {
            out.put(b"path");
        });
        edits.set(message, HeaderName::PVisitedNetworkId, |out| {
            out.put(b"\"").text(&self.config.visited_network).put(b"\"");
        });
    }

    /// Follows what the registrar says in its 200; the lifetime of the UE's own contact, in seconds, 0 where it is bound no more.
    pub(super) fn follow_registration(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        set: Option<Key>,
        message: &Message<'_>,
    ) -> u32 {
        let connection = self.connections.get_mut(key).expect("a connection that was accepted");
        let own = match set {
            Some(set) => self.sets.get(set).map(|set| set.ue_contact(connection)),
            None => connection.open.and_then(|open| self.open.get(open)).map(|open| open.contact),
        };
        let route = message.service_routes().next().and_then(Result::ok);
        let address = route.as_ref().and_then(|route| route.uri.socket_addr(DEFAULT_PORT));
        if address.is_some() {
            connection.notifier = address.map(Into::into);
        }
        self.follow_service_route(ctx, key, route.map(|route| route.uri_text));
        let is_own = |uri: &Uri<'_>| own.is_some() && uri.socket_addr(DEFAULT_PORT) == own;
        let contact = message.contacts().flatten().find(|contact| is_own(&contact.uri));
        let Some(contact) = contact else { return 0 };
        self.learn_associated(ctx, key, message);
        let expires = contact.params.value("expires").and_then(|text| str::from_utf8(text).ok());
        let expires_s = expires.and_then(|text| text.parse().ok());
        expires_s.or(message.expires().ok().flatten()).unwrap_or(0)
    }

    /// P-Associated-URI: the identities that the UE may use, the default one first (TS 24.229 clause 5.2.2.1). Without it, it is the one that
    /// was registered.
    fn learn_associated(&mut self, ctx: &mut Context<'_>, key: Key, message: &Message<'_>) {
        let lines = message.lines(HeaderName::PAssociatedUri).map(|(_, value)| value.len());
        let bytes = lines.sum::<usize>() + message.header(HeaderName::To).map_or(0, <[u8]>::len);
        let mut packed = IdentitiesRoom::default();
        // Each takes three bytes more than its text, and less than its line.
        let mut list = IdentityListWriter::new(packed.of(bytes + 3));
        let mut is_whole = true;
        let mut is_default = true;
        for entry in message.associated_uris().flatten() {
            let identity = Identity { uri: entry.uri_text, is_default, barred: false };
            is_whole &= list.push(identity).is_ok();
            is_default = false;
        }
        if is_default && let Ok(to) = message.to() {
            let identity = Identity { uri: to.uri_text, is_default, barred: false };
            is_whole &= list.push(identity).is_ok();
        }
        let list = list.finish();
        let is_kept = self.keep_identities(key, is_whole.then_some(list));
        ctx.counters.table_full += u64::from(!is_kept);
        let connection = self.connections.get_mut(key).expect("a connection that was accepted");
        connection.knows_identities = true;
    }

    /// Subscribes to the registration, of the default identity, or prolongs that.
    pub(super) fn watch_registration(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        let mut room = TextRoom::default();
        let identities = IdentityList::new(self.strings.read(&connection.identities, &mut room));
        let mut uri = [0; IDENTITY_BYTES_MAX];
        let mut writer = Writer::new(&mut uri);
        writer.put(identities.default_identity().unwrap_or_default());
        let is_there = !writer.is_empty() && !writer.has_overflowed();
        self.ask_own(ctx, key, is_there.then(|| writer.as_written()));
    }

    /// A NOTIFY of the registration. Its lifetime is the connection's, down and up; where the UE's contact is bound no more the connection
    /// is over, and the security associations go once nothing is under way.
    pub(super) fn learn_registration(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        message: &Message<'_>,
    ) {
        let Ok(reginfo) = Reginfo::parse(message.body()) else {
            ctx.counters.malformed += 1;
            return;
        };
        let Some(connection) = self.connections.get(key) else { return };
        let set = connection.live.and_then(|live| self.sets.get(live));
        let Some(own) = set.map(|set| set.ue_contact(connection)) else { return };
        let (mut is_told, mut expires_s) = (false, None);
        for contact in reginfo.contacts() {
            let mut uri = [0; CONTACT_BYTES_MAX];
            let mut writer = Writer::new(&mut uri);
            imstorm_sip::body::secinfo::unescape(contact.uri, &mut writer);
            let uri = Uri::parse(writer.as_written()).ok();
            if uri.and_then(|uri| uri.socket_addr(DEFAULT_PORT)) != Some(own) {
                continue;
            }
            is_told = true;
            if contact.is_active {
                expires_s = expires_s.max(Some(contact.expires_s));
            }
        }
        match expires_s {
            Some(Some(expires_s)) => self.follow_lifetime(ctx, key, expires_s),
            Some(None) => {}
            None if is_told => {
                self.begin_end(ctx, key);
                self.leave_own(ctx, key);
                self.settle(ctx, key);
            }
            None => {}
        }
    }
}
