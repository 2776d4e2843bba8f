//! The I-CSCF (TS 24.229 clause 5.3): the home network's entry point, which asks the HSS whether the user may, and finds the
//! S-CSCF that serves the user.
//!
//! It keeps no state: it is a stateless proxy (RFC 3261 clause 16.11), whose branch follows from the branch that came, so that a
//! retransmission takes the same way again.

use std::net::SocketAddr;
use std::sync::Arc;

use imstorm_base::hash::HashSeed;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, Method, Room, Uri, Writer, response};

use crate::access::Authentication;
use crate::event::Context;
use crate::hss::{CxError, Directory, Hss};
use crate::mw::MwError;
use crate::proxy;
use crate::scscf::gruu;
use crate::via::OurVia;

/// An I-CSCF's settings.
#[derive(Clone, Debug)]
pub struct IcscfConfig {
    /// Its address on Mw.
    pub mw: SocketAddr,
    /// The S-CSCF's addresses, one for each of its shards.
    pub scscf: Vec<SocketAddr>,
    /// A REGISTER without credentials goes to the S-CSCF of the public identity in To, where that authenticates nobody.
    pub authentication: Authentication,
    /// Seeds the hashes that its branches come from.
    pub seed: u64,
}

/// An I-CSCF.
#[derive(Debug)]
pub struct Icscf {
    config: IcscfConfig,
    hash: HashSeed,
    via: OurVia,
    directory: Arc<Directory>,
}

impl Icscf {
    /// An I-CSCF that looks users up in this directory.
    #[must_use]
    pub fn new(config: IcscfConfig, directory: Arc<Directory>) -> Self {
        assert!(!config.scscf.is_empty(), "an I-CSCF needs an S-CSCF");
        let hash = HashSeed::new(config.seed);
        let via = OurVia::new(config.mw);
        Self { config, hash, via, directory }
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &IcscfConfig {
        &self.config
    }

    /// A message on Mw.
    pub fn mw(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &Hss,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        ctx.counters.messages_in += 1;
        if message.is_request() {
            self.request(ctx, hss, from, message);
        } else {
            self.pass_back(ctx, message);
        }
    }

    fn request(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &Hss,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        if message.method() == Method::Ack {
            return self.acknowledgement(ctx, hss, from, message);
        }
        if let Err(error) = ctx.mw.check(from, message) {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, error.status, "");
        }
        let hops = message.max_forwards().ok().flatten().unwrap_or(70);
        if hops == 0 {
            ctx.counters.too_many_hops += 1;
            return self.refuse(ctx, from, message, 483, "");
        }
        if !matches!(message.method(), Method::Subscribe | Method::Register) {
            return match self.shard_of_target(hss, message.request_uri()) {
                Some(shard) => self.pass_on(ctx, message, shard, hops),
                None => {
                    ctx.counters.not_found += 1;
                    self.refuse(ctx, from, message, 404, "");
                }
            };
        }
        if self.config.authentication == Authentication::None {
            return self.by_public_identity(ctx, hss, from, message, hops);
        }
        // The S-CSCF checks the rest of the credentials.
        let (Ok(Some(username)), Ok(to)) = (message.username(), message.to()) else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 403, "Authorization with a username expected");
        };
        match hss.user_authorization(username, to.uri_text) {
            Ok(user) => {
                let shard = self.directory.owner_of(user, self.config.scscf.len());
                self.pass_on(ctx, message, shard, hops);
            }
            Err(CxError::UserUnknown) => {
                ctx.counters.identity_refused += 1;
                self.refuse(ctx, from, message, 403, "The private identity is unknown");
            }
            Err(CxError::IdentitiesDontMatch) => {
                ctx.counters.identity_refused += 1;
                let why = "The public identity is none of the private identity's";
                self.refuse(ctx, from, message, 403, why);
            }
        }
    }

    /// Where nobody is authenticated there need be no private identity: the public one in To leads to the user.
    fn by_public_identity(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &Hss,
        from: SocketAddr,
        message: &Message<'_>,
        hops: u32,
    ) {
        let user = message.to().ok().and_then(|to| hss.registrant(to.uri_text));
        let Some(user) = user else {
            ctx.counters.identity_refused += 1;
            return self.refuse(ctx, from, message, 403, "The public identity is unknown");
        };
        let shard = self.directory.owner_of(user, self.config.scscf.len());
        self.pass_on(ctx, message, shard, hops);
    }

    /// The ACK to a failure takes the way of its INVITE (RFC 3261 clause 16.11). Nobody answers an ACK: one that leads nowhere is dropped.
    fn acknowledgement(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &Hss,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        let hops = message.max_forwards().ok().flatten().unwrap_or(70);
        let shard = self.shard_of_target(hss, message.request_uri());
        match shard.filter(|_| hops > 0 && ctx.mw.check(from, message).is_ok()) {
            Some(shard) => self.pass_on(ctx, message, shard, hops),
            None => ctx.counters.acks_astray += 1,
        }
    }

    /// The S-CSCF's shard that serves the user with this public identity or GRUU (LIR, TS 29.228 clause 6.1.4).
    fn shard_of_target(&self, hss: &Hss, uri: &[u8]) -> Option<usize> {
        let shards = self.config.scscf.len();
        let parsed = Uri::parse(uri).ok()?;
        if let Some(shard) = gruu::shard_of(parsed.user.unwrap_or_default()) {
            return (shard < shards).then_some(shard);
        }
        Some(self.directory.owner_of(hss.location_info(uri)?, shards))
    }

    fn pass_on(&mut self, ctx: &mut Context<'_>, message: &Message<'_>, shard: usize, hops: u32) {
        let scscf = self.config.scscf[shard];
        let Some(via) = message.list(HeaderName::Via).next() else { return };
        // What follows an INVITE on its branch stays on it: the ACK to a failure, and CANCEL.
        let method = match message.method() {
            Method::Ack | Method::Cancel => Method::Invite.as_str().as_bytes(),
            _ => message.method_text(),
        };
        let branch = self.hash.hash2(via, method);
        ctx.with_edits(|ctx, edits| {
            edits.insert_first(HeaderName::Via, |out| {
                self.via.write_head(out);
                out.hex_u64(branch);
            });
            edits.set(message, HeaderName::MaxForwards, |out| {
                out.decimal(u64::from(hops - 1));
            });
            if message.list(HeaderName::Route).next().is_some() {
                edits.pop_first(message, HeaderName::Route);
            }
            self.send(ctx, scscf, |out| edits.write(message, out).ok());
        });
    }

    fn pass_back(&mut self, ctx: &mut Context<'_>, message: &Message<'_>) {
        let ours = self.via.branch_in(message);
        let Some(next) = ours.and_then(|_| proxy::next_response_hop(message)) else {
            ctx.counters.stray_response += 1;
            return;
        };
        ctx.with_edits(|ctx, edits| {
            edits.pop_first(message, HeaderName::Via);
            self.send(ctx, next, |out| edits.write(message, out).ok());
        });
    }

    /// Answers by itself. `why` goes into Warning 399 (RFC 3261 clause 20.43).
    fn refuse(
        &mut self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        message: &Message<'_>,
        status: u16,
        why: &str,
    ) {
        let tag = self.hash.hash(message.header(HeaderName::CallId).unwrap_or_default());
        let mut text = [0; 16];
        let mut writer = Writer::new(&mut text);
        writer.hex_u64(tag);
        let tag = writer.as_written();
        let host = self.config.mw;
        self.send(ctx, to, |out| {
            let mut writer = response(message, status, Some(tag), out);
            if !why.is_empty() {
                writer.header(HeaderName::Warning).put(b"399 ").socket(host);
                writer.put(b" \"").text(why).put(b"\"").end();
            }
            writer.finish().ok()
        });
    }

    fn send(
        &self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        write: impl FnOnce(Room<'_>) -> Option<usize>,
    ) {
        let sent = ctx.mw.send(self.config.mw, to, write);
        ctx.counters.messages_out += u64::from(sent.is_ok());
        ctx.counters.queue_full += u64::from(sent == Err(MwError::Full));
    }
}
