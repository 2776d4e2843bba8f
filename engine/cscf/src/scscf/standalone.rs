//! Standalone requests (TS 24.229 clauses 5.4.3.2 and 5.4.3.3): MESSAGE from a UE over its secure connection, and to the contacts
//! that are bound to an identity.
//!
//! The S-CSCF is a stateless proxy for them (RFC 3261 clause 16.11): the P-CSCFs at both ends keep the transactions and repeat what
//! is lost; here the same request takes the same way again. So it goes to one contact, the newest of those that callee and caller
//! prefer most. Only where that is one of several flows of an instance the request is kept, for the next of them.

use std::net::SocketAddr;

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Edits, Host, Message, Scheme, Uri};

use super::Scscf;
use super::binding::BindingParts;
use super::next_flow::write_branch;
use crate::event::Context;
use crate::hss::Hss;
use crate::proxy;

impl Scscf {
    pub(super) fn standalone(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &Hss,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        if message.max_forwards().ok().flatten() == Some(0) {
            ctx.counters.too_many_hops += 1;
            return self.refuse(ctx, from, message, 483, |_| ());
        }
        if self.refuse_replaces(ctx, from, message) {
            return;
        }
        let route = message.routes().next().and_then(Result::ok);
        match route.filter(|route| route.uri.param("sess").is_some()) {
            Some(_) => self.originate(ctx, from, message),
            None => self.terminate(ctx, hss, from, message),
        }
    }

    /// From a UE: in the name of one of its identities, which the P-CSCF has asserted, and which may be news to it that has changed.
    fn originate(&mut self, ctx: &mut Context<'_>, from: SocketAddr, message: &Message<'_>) {
        let Some(key) = self.routed_over(ctx, from, message) else { return };
        let user = self.subscriptions.get(key).expect("a connection that was found").user;
        let asserted = message.asserted_identity().next().and_then(Result::ok);
        if !asserted.is_some_and(|asserted| self.may_use(user, asserted.uri_text)) {
            ctx.counters.identity_refused += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        }
        let target = Uri::parse(message.request_uri()).ok();
        let is_home = target.is_some_and(|target| self.is_home(&target));
        let Some(icscf) = self.config.icscf.filter(|_| is_home) else {
            ctx.counters.not_found += 1;
            return self.refuse(ctx, from, message, 404, |_| ());
        };
        let Some(via) = message.list(HeaderName::Via).next() else { return };
        let branch = self.visible.hash2(via, message.method_text());
        self.pass_on(ctx, icscf, message, (branch, 0), |edits| {
            edits.pop_first(message, HeaderName::Route);
        });
    }

    /// Whether a URI may be of a user of this network. Another network's can't be reached from here.
    pub(super) fn is_home(&self, uri: &Uri<'_>) -> bool {
        let realm = self.config.realm.as_bytes();
        uri.scheme == Scheme::Tel
            || matches!(uri.host, Host::Name(name) if name.eq_ignore_ascii_case(realm))
    }

    /// To a user of this S-CSCF, by an identity or a GRUU.
    fn terminate(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &Hss,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        let Some(targets) = self.targets_or_refuse(ctx, hss, from, message) else { return };
        let Some(via) = message.list(HeaderName::Via).next() else { return };
        let branch = self.visible.hash2(via, message.method_text());
        // A proxy without state can't gather the answers of several.
        let (key, number) = self.attempt_of(ctx, from, message, (branch, &targets[0]));
        if !self.pass_to_binding(ctx, message, key, (branch, number)) {
            ctx.counters.not_registered += 1;
            self.refuse(ctx, from, message, 480, |_| ());
        }
    }

    /// Passes a standalone request on to a contact. False where it is not bound any more.
    pub(super) fn pass_to_binding(
        &self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        key: Key,
        branch: (u64, u8),
    ) -> bool {
        let Some(binding) = self.bindings.get(key) else { return false };
        let mut room = TextRoom::default();
        let parts = BindingParts::read(self.strings.read(&binding.strings, &mut room));
        // The P-CSCF of the connection that it was bound over, which is what its Path begins with.
        let next = self.subscriptions.get(binding.connection).map(|found| found.pcscf.get());
        let Some(next) = next else { return false };
        self.pass_on(ctx, next, message, branch, |edits| {
            edits.request_uri(parts.contact);
            edits.remove(HeaderName::Route);
            edits.insert_first(HeaderName::Route, |out| {
                out.put(parts.path);
            });
            // Which of its identities was called (RFC 7315 clause 4.2).
            edits.set(message, HeaderName::PCalledPartyId, |out| {
                out.put(b"<").put(parts.impu).put(b">");
            });
        });
        true
    }

    fn pass_on(
        &self,
        ctx: &mut Context<'_>,
        next: SocketAddr,
        message: &Message<'_>,
        (branch, number): (u64, u8),
        more: impl FnOnce(&mut Edits),
    ) {
        let hops = message.max_forwards().ok().flatten().unwrap_or(70);
        ctx.counters.standalone_passed += 1;
        ctx.with_edits(|ctx, edits| {
            edits.insert_first(HeaderName::Via, |out| {
                self.via.write_head(out);
                write_branch(branch, number, out);
            });
            edits.set(message, HeaderName::MaxForwards, |out| {
                out.decimal(u64::from(hops.saturating_sub(1)));
            });
            more(edits);
            self.send(ctx, next, |out| edits.write(message, out).ok());
        });
    }

    /// The answer to a standalone request goes back the way that its Vias name.
    pub(super) fn pass_back(&self, ctx: &mut Context<'_>, message: &Message<'_>) {
        let ours = self.via.branch_in(message);
        let Some(next) = ours.and_then(|_| proxy::next_response_hop(message)) else {
            ctx.counters.stray_response += 1;
            return;
        };
        if message.status() == 430 {
            // RFC 5626 clause 11.6: 430 is for whoever chose the flow; to the caller the user is not there.
            return self.send(ctx, next, |out| proxy::respond_upstream(message, 480, out));
        }
        ctx.with_edits(|ctx, edits| {
            edits.pop_first(message, HeaderName::Via);
            self.send(ctx, next, |out| edits.write(message, out).ok());
        });
    }
}
