//! Registration without authentication (`authentication = "none"`): a REGISTER is bound in the name of the public identity in To, whoever sends it.
//! What else a registration is, and does, is in `registration.rs`.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_sip::Message;

use super::Scscf;
use super::registration::{Register, Wanted};
use crate::access::Authentication;
use crate::event::Context;
use crate::hss::{Hss, IdentitiesRoom};
use crate::identity::IdentityList;
use crate::proxy::DEFAULT_PORT;

impl Scscf {
    /// Whether it believes whoever registers.
    pub(super) fn is_open(&self) -> bool {
        self.config.authentication == Authentication::None
    }

    pub(super) fn register_openly(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &Hss,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        let Ok(to) = message.to() else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 400, |_| ());
        };
        let Some(user) = hss.registrant(to.uri_text) else {
            ctx.counters.identity_refused += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        };
        let mut packed = IdentitiesRoom::default();
        let whom = (user, IdentityList::new(self.profile(user, &mut packed)));
        let register = match self.read_register(ctx, message, whom, &user.0.to_be_bytes()) {
            Ok(register) => register,
            Err(refused) => return self.refuse_register(ctx, from, message, &refused),
        };
        // By the same way may come another UE of the user: a contact elsewhere is another registration.
        let known = self.registered_by(user, register.key).filter(|known| {
            let found = self.subscriptions.get(*known);
            found.is_some_and(|found| {
                register.address().is_none_or(|address| address == found.contact.get())
                    && (found.ending.is_none() || register.granted_s() == 0)
            })
        });
        match known {
            Some(connection) => {
                self.register_again(ctx, None, from, (&register, None), connection);
            }
            None if register.granted_s() > 0 => {
                self.set_up_registration(ctx, from, &register, (None, None));
            }
            None => self.answer_unbound(ctx, from, &register),
        }
    }

    /// 200 to a REGISTER that binds nothing, by a way by which nothing is bound (RFC 3261 clause 10.3): whoever asks is told what is bound by others,
    /// and who wanted it gone has it so.
    fn answer_unbound(&self, ctx: &mut Context<'_>, to: SocketAddr, register: &Register<'_>) {
        let message = register.message;
        let named = message.to().ok().and_then(|to| register.identities.find(to.uri_text));
        let bound = match (register.wanted, named) {
            (Wanted::List, Some(identity)) => self.bindings_of(self.aor(identity.uri)),
            _ => super::registrar::Bindings::new(),
        };
        let now = ctx.now;
        self.refuse(ctx, to, message, 200, |out| {
            for key in bound {
                let binding = self.bindings.get(key).expect("an indexed binding");
                if !binding.event.is_end() {
                    self.write_binding(key, binding, now, false, out);
                }
            }
        });
    }

    /// The connection that a request without a token came over: the newest that binds the identity which is asserted, by the way that it came; of
    /// those, the one with its Contact if there is one.
    pub(super) fn connection_by_name(
        &self,
        from: SocketAddr,
        message: &Message<'_>,
    ) -> Option<Key> {
        let asserted = message.asserted_identity().next()?.ok()?;
        let contact = message.contact().ok().flatten();
        let contact = contact.and_then(|contact| contact.uri.socket_addr(DEFAULT_PORT));
        let bindings = self.bindings_of(self.aor(asserted.uri_text));
        let bindings = bindings.iter().filter_map(|key| self.bindings.get(*key));
        let by_this_way = bindings.filter(|binding| self.is_from_pcscf(binding.connection, from));
        let best = by_this_way.max_by_key(|binding| {
            let over = self.subscriptions.get(binding.connection);
            (over.is_some_and(|over| Some(over.contact.get()) == contact), binding.order)
        });
        best.map(|binding| binding.connection)
    }
}
