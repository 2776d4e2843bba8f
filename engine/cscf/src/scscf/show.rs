//! What an operator sees of the S-CSCF.

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_base::time::Time;
use imstorm_sip::{DialogParts, Writer};

use super::Scscf;
use super::binding::{Binding, BindingParts};
use super::session::{Session, Side};
use super::subscription::Subscription;
use crate::hss::{IdentitiesRoom, UserId};
use crate::show::{self, BindingRow, IdentityRow, Page, SessionRow, SubscriptionRow};

impl Scscf {
    /// The secure connections, from a place of their table on.
    #[must_use]
    pub fn show_subscriptions(&self, now: Time, from: u32) -> Page<SubscriptionRow> {
        Page::of_slab(&self.subscriptions, from, |rows, key, subscription| {
            rows.push(self.subscription_row(now, key, subscription));
        })
    }

    /// The secure connections of one user, the newest first.
    #[must_use]
    pub fn show_subscriptions_of(&self, now: Time, user: UserId) -> Vec<SubscriptionRow> {
        let mut rows = Vec::new();
        let mut next = self.by_user.get(user.0 as usize);
        while let Some(key) = next {
            let subscription = self.subscriptions.get(key).expect("a user's list is whole");
            rows.push(self.subscription_row(now, key, subscription));
            next = subscription.next_of_user;
        }
        rows
    }

    /// The registered contacts, from a place of their table on.
    #[must_use]
    pub fn show_bindings(&self, now: Time, from: u32) -> Page<BindingRow> {
        Page::of_slab(&self.bindings, from, |rows, _, binding| {
            rows.extend(self.binding_row(now, binding));
        })
    }

    /// The registered contacts of one user.
    #[must_use]
    pub fn show_bindings_of(&self, now: Time, user: UserId) -> Vec<BindingRow> {
        let connections = self.live_connections(user);
        let keys = connections.iter().flat_map(|key| self.bindings_over(*key));
        keys.filter_map(|key| self.binding_row(now, self.bindings.get(key)?)).collect()
    }

    fn binding_row(&self, now: Time, binding: &Binding) -> Option<BindingRow> {
        let subscription = self.subscriptions.get(binding.connection)?;
        let mut room = TextRoom::default();
        let parts = BindingParts::read(self.strings.read(&binding.strings, &mut room));
        let mut gruu = [0; 1024];
        let mut gruu = Writer::new(&mut gruu);
        parts.write_pub_gruu(&mut gruu);
        Some(BindingRow {
            impu: show::text(parts.impu),
            impi: self.impi_of(subscription),
            contact: show::text(parts.contact),
            session: session_id(binding.connection),
            expires_s: show::seconds_until(now, binding.expires_at),
            pub_gruu: (!gruu.is_empty()).then(|| show::text(gruu.as_written())),
        })
    }

    /// The sessions, from a place of their table on.
    #[must_use]
    pub fn show_sessions(&self, from: u32) -> Page<SessionRow> {
        Page::of_slab(&self.sessions, from, |rows, _, session| rows.push(self.session_row(session)))
    }

    /// The sessions of one user.
    #[must_use]
    pub fn show_sessions_of(&self, user: UserId) -> Vec<SessionRow> {
        let connections = self.live_connections(user);
        let keys = connections.iter().flat_map(|key| self.sessions_over(*key));
        keys.filter_map(|key| self.sessions.get(key)).map(|it| self.session_row(it)).collect()
    }

    fn session_row(&self, session: &Session) -> SessionRow {
        let parts = DialogParts::decode(self.strings.get(&session.ue.dialog));
        let (ue, far) = (show::text(parts.remote_uri), show::text(parts.local_uri));
        let (from, to) = match session.caller {
            Side::Ue => (ue, far),
            Side::Far => (far, ue),
        };
        SessionRow {
            impi: self
                .subscriptions
                .get(session.connection)
                .map_or_else(|| show::impi(&self.directory, session.user), |it| self.impi_of(it)),
            session: session_id(session.connection),
            call_id: show::text(parts.call_id),
            from,
            to,
        }
    }

    /// The private identity that made a connection, as it was written.
    fn impi_of(&self, subscription: &Subscription) -> String {
        match subscription.modified.and_then(|key| self.modified_text(key)) {
            Some(modified) => show::text(modified),
            None => show::impi(&self.directory, subscription.user),
        }
    }

    fn subscription_row(
        &self,
        now: Time,
        key: Key,
        subscription: &Subscription,
    ) -> SubscriptionRow {
        let ue = &subscription.ue;
        let mut room = TextRoom::default();
        let parts = match self.strings.read(&ue.dialog, &mut room) {
            [] => None,
            dialog => Some(DialogParts::decode(dialog)),
        };
        let registration = self.registration_of(subscription);
        let watching = &subscription.watching_pcscf;
        let is_watching = watching.exists() && !watching.over;
        let mut packed = IdentitiesRoom::default();
        SubscriptionRow {
            impi: self.impi_of(subscription),
            session: session_id(key),
            made_by: match registration {
                Some(_) => "registration",
                None => "subscription",
            },
            impu: match registration {
                Some(registration) => {
                    show::text(self.strings.read(&registration.watched, &mut TextRoom::default()))
                }
                None => parts.map(|parts| show::text(parts.remote_uri)).unwrap_or_default(),
            },
            contact: subscription.contact.get(),
            pcscf: subscription.pcscf.get(),
            expires_s: show::seconds_until(now, ue.expires_at),
            pcscf_expires_s: is_watching.then(|| show::seconds_until(now, watching.expires_at)),
            version: ue.version,
            identities: IdentityRow::list(self.profile(subscription.user, &mut packed)),
            must_challenge: subscription.must_challenge,
            ending: subscription.ending.map(super::Reason::as_str),
        }
    }
}

/// A connection's identifier as the NOTIFY's body has it.
fn session_id(key: Key) -> String {
    let mut session = [0; 16];
    let mut writer = Writer::new(&mut session);
    writer.hex_u64(key.to_u64());
    show::text(writer.as_written())
}
