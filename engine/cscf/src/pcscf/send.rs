//! How the P-CSCF's messages leave: plain, sealed, or on Mw.

use std::net::SocketAddr;

use imstorm_base::slab::{Key, Slab};
use imstorm_base::strings::Handle;
use imstorm_esp::LocalPort;
use imstorm_esp::{HEADROOM, TAILROOM};
use imstorm_sip::edit::Edits;
use imstorm_sip::header::HeaderName;
use imstorm_sip::write::{Writer, response};
use imstorm_sip::{Message, Method, Room};

use super::connection::SecuritySet;
use super::to_ue::asks_for_privacy_of_id;
use super::transaction::Peer;
use super::{MODE, Pcscf, PcscfConfig, agreement};
use crate::event::Context;
use crate::mw::MwError;
use crate::proxy::{self, read_hex_u64};
use crate::via::OurVia;

/// Whether what is sent is kept.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is not.
    Never,
    /// It is where the transport may lose it, since it may have to be sent again.
    WhereLossy,
    /// It has to be: what follows is made from it.
    Always,
}

impl Pcscf {
    /// Writes a message to `peer` through `write`, which gives its length. True where it left.
    pub(super) fn send(
        &mut self,
        ctx: &mut Context<'_>,
        peer: Peer,
        write: impl FnOnce(Room<'_>) -> Option<usize>,
    ) -> bool {
        send(&self.config, &mut self.sets, ctx, peer, write)
    }

    /// As [`Pcscf::send`], and keeps a copy. A datagram for which there is no room counts as sent: it is lost like others, and sent
    /// again.
    ///
    /// # Errors
    /// The status that says why nothing was sent: 513 where it could not be written, 503 where it has to be kept and could not be.
    pub(super) fn send_kept(
        &mut self,
        ctx: &mut Context<'_>,
        peer: Peer,
        keep: Keep,
        write: impl FnOnce(Room<'_>) -> Option<usize>,
    ) -> Result<Handle, u16> {
        let is_kept = match keep {
            Keep::Never => false,
            Keep::WhereLossy => !self.is_reliable(ctx, peer),
            Keep::Always => true,
        };
        let strings = &mut self.strings;
        let mut kept = Ok(Handle::EMPTY);
        send(&self.config, &mut self.sets, ctx, peer, |mut out| {
            let Some(len) = write(out.lend()) else {
                kept = Err(513);
                return None;
            };
            if is_kept {
                kept = match strings.store(&out.bytes()[..len]) {
                    Ok(handle) => Ok(handle),
                    Err(_) if keep == Keep::Always => Err(503),
                    // A full pool costs this message its retransmissions, not its first sending.
                    Err(_) => Ok(Handle::EMPTY),
                };
            }
            kept.is_ok().then_some(len)
        });
        match kept {
            Err(513) => ctx.counters.message_too_large += 1,
            Err(_) => ctx.counters.table_full += 1,
            Ok(_) => {}
        }
        kept
    }

    /// Sends a kept request again. Through a set it is sealed anew: its sequence number must be new.
    pub(super) fn send_again(&mut self, ctx: &mut Context<'_>, transaction: Key) {
        let Some(transaction) = self.transactions.get(transaction) else { return };
        if transaction.request.is_empty() {
            return;
        }
        ctx.counters.retransmissions_out += 1;
        let bytes = self.strings.get(&transaction.request);
        let downstream = self.present(transaction.connection, transaction.downstream);
        send(&self.config, &mut self.sets, ctx, downstream, |out| out.copy(bytes));
    }

    /// Sends the response that an INVITE got last once more.
    pub(super) fn respond_again(&mut self, ctx: &mut Context<'_>, transaction: Key) {
        let Some(transaction) = self.transactions.get(transaction) else { return };
        let Some(invite) = transaction.invite().filter(|invite| !invite.response.is_empty()) else {
            return;
        };
        ctx.counters.retransmissions_out += 1;
        let bytes = self.strings.get(&invite.response);
        let upstream = self.present(transaction.connection, transaction.upstream);
        send(&self.config, &mut self.sets, ctx, upstream, |out| out.copy(bytes));
    }

    /// Where a peer is reached now: after a re-authentication everything for a UE goes on the new set.
    pub(super) fn present(&self, connection: Key, peer: Peer) -> Peer {
        match peer {
            Peer::Protected(set) => {
                let connection = self.connections.get(connection);
                let live = connection.and_then(|connection| connection.live);
                Peer::Protected(live.unwrap_or(set))
            }
            other => other,
        }
    }

    /// Whether what is sent to `peer` arrives: memory does, a datagram may not.
    pub(super) fn is_reliable(&self, ctx: &Context<'_>, peer: Peer) -> bool {
        matches!(peer, Peer::Mw(to) if ctx.mw.is_reliable(to))
    }

    /// Answers a request by ourselves, without keeping a transaction: the same request gets the same answer again.
    pub(super) fn refuse(
        &mut self,
        ctx: &mut Context<'_>,
        peer: Peer,
        request: &Message<'_>,
        status: u16,
        more: impl FnOnce(&mut Writer<'_>),
    ) {
        let tag = self.visible.hash(request.header(HeaderName::CallId).unwrap_or_default());
        let mut text = [0; 16];
        let mut tag_text = Writer::new(&mut text);
        tag_text.hex_u64(tag);
        let tag = tag_text.as_written();
        self.send(ctx, peer, |out| {
            let mut writer = match peer {
                Peer::Unprotected(source) => {
                    proxy::response_to_source(request, status, Some(tag), source, out)
                }
                _ => response(request, status, Some(tag), out),
            };
            more(&mut writer);
            writer.finish().ok()
        });
    }

    /// 421 or 494: what the UE has to do first (RFC 3329 clause 2.3.1).
    pub(super) fn refuse_agreement(
        &mut self,
        ctx: &mut Context<'_>,
        peer: Peer,
        request: &Message<'_>,
        status: u16,
        set: Option<Key>,
    ) {
        let side = set.and_then(|set| self.sets.get(set)).map(SecuritySet::server);
        self.refuse(ctx, peer, request, status, |writer| {
            writer.header(HeaderName::Require).text("sec-agree").end();
            writer.header(HeaderName::SecurityServer);
            agreement::write_server(MODE, side.as_ref(), writer);
            writer.end();
        });
    }

    /// A CSCF's URI on Mw that leads back to a connection: `<sip:KEY@address;lr>`.
    pub(super) fn write_route(&self, connection: Key, out: &mut Writer<'_>) {
        out.put(b"<sip:").hex_u64(connection.to_u64()).put(b"@").socket(self.config.mw);
        out.put(b";lr>");
    }

    /// As [`Pcscf::write_route`], with RFC 5626's mark of a first hop that keeps the flow.
    pub(super) fn write_flow(&self, connection: Key, out: &mut Writer<'_>) {
        out.put(b"<sip:").hex_u64(connection.to_u64()).put(b"@").socket(self.config.mw);
        out.put(b";lr;ob>");
    }

    /// The P-CSCF's URI towards UEs: `<sip:address:port_ps;lr>`. Where no security association says over which connection what it routes comes,
    /// the URI does.
    pub(super) fn write_uri_for_ue(&self, connection: Key, out: &mut Writer<'_>) {
        out.put(b"<sip:");
        if self.is_open() {
            out.hex_u64(connection.to_u64()).put(b"@");
        }
        out.socket(self.address_for_ues()).put(b";lr>");
    }

    pub(super) fn address_for_ues(&self) -> SocketAddr {
        super::address_for_ues(&self.config)
    }

    /// Puts our Via on top (RFC 3261 clause 16.6, step 8), its branch the key of the transaction.
    pub(super) fn push_via(&self, edits: &mut Edits, via: &OurVia, transaction: Key) {
        edits.insert_first(HeaderName::Via, |out| self.write_via(via, transaction, out));
    }

    /// The value of our Via.
    pub(super) fn write_via(&self, via: &OurVia, transaction: Key, out: &mut Writer<'_>) {
        via.write_head(out);
        out.hex_u64(transaction.to_u64()).hex_u64(self.config.boot);
    }

    /// A Via of a message for which no transaction is kept: the branch follows from the topmost Via that came, so that the same message
    /// gets the same one (RFC 3261 clause 16.11). It is shorter than a transaction's, and so none's.
    pub(super) fn push_stateless_via(
        &self,
        edits: &mut Edits,
        via: &OurVia,
        message: &Message<'_>,
    ) {
        let above = message.list(HeaderName::Via).next().unwrap_or_default();
        edits.insert_first(HeaderName::Via, |out| {
            via.write_head(out);
            out.hex_u64(self.visible.hash2(above, message.method_text()));
        });
    }

    /// The transaction that a response belongs to, if its topmost Via is one of ours (RFC 3261 clause 17.1.3). A CANCEL has the branch of
    /// its INVITE.
    pub(super) fn transaction_of(&self, response: &Message<'_>, via: &OurVia) -> Option<Key> {
        let (key, boot) = via.branch_in(response)?.split_at_checked(16)?;
        (read_hex_u64(boot)? == self.config.boot).then_some(())?;
        let key = Key::from_u64(read_hex_u64(key)?);
        match self.transactions.get(key)?.invite() {
            None => Some(key),
            Some(invite) => match response.method() {
                Method::Invite => Some(key),
                Method::Cancel => {
                    invite.cancel.filter(|cancel| self.transactions.get(*cancel).is_some())
                }
                _ => None,
            },
        }
    }

    /// Passes a response of the core back to the UE, our Via off, our Record-Route as the UE sees us. As [`Pcscf::send_kept`].
    ///
    /// # Errors
    /// As [`Pcscf::send_kept`].
    pub(super) fn pass_back_to_ue(
        &mut self,
        ctx: &mut Context<'_>,
        (connection, to): (Key, Peer),
        keep: Keep,
        response: &Message<'_>,
    ) -> Result<Handle, u16> {
        ctx.with_edits(|ctx, edits| {
            edits.pop_first(response, HeaderName::Via);
            self.rewrite_record_route(edits, response, self.config.mw, |out| {
                self.write_uri_for_ue(connection, out);
            });
            if asks_for_privacy_of_id(response) {
                edits.remove(HeaderName::PAssertedIdentity);
            }
            self.send_kept(ctx, to, keep, |out| edits.write(response, out).ok())
        })
    }

    /// Passes a UE's response back into the core, our Via off, our Record-Route as the core sees us. As [`Pcscf::send_kept`].
    ///
    /// # Errors
    /// As [`Pcscf::send_kept`].
    pub(super) fn pass_back_to_core(
        &mut self,
        ctx: &mut Context<'_>,
        (connection, upstream): (Key, Peer),
        keep: Keep,
        response: &Message<'_>,
    ) -> Result<Handle, u16> {
        ctx.with_edits(|ctx, edits| {
            edits.pop_first(response, HeaderName::Via);
            self.rewrite_record_route(edits, response, self.address_for_ues(), |out| {
                self.write_route(connection, out);
            });
            // What only the network may say (RFC 3325 clause 5, RFC 3327, RFC 3608, RFC 7315 clause 4.1).
            for name in [
                HeaderName::PAssertedIdentity,
                HeaderName::Path,
                HeaderName::ServiceRoute,
                HeaderName::PAssociatedUri,
            ] {
                edits.remove(name);
            }
            self.send_kept(ctx, upstream, keep, |out| edits.write(response, out).ok())
        })
    }

    /// Record-Route as the other side has to see it: our entry with the address of that side.
    pub(super) fn rewrite_record_route(
        &self,
        edits: &mut Edits,
        message: &Message<'_>,
        ours: SocketAddr,
        write: impl Fn(&mut Writer<'_>),
    ) {
        let is_ours = |entry: &[u8]| {
            imstorm_sip::field::name_addr::NameAddr::parse(entry)
                .is_ok_and(|entry| entry.uri.socket_addr(5060) == Some(ours))
        };
        let Some(place) = message.list(HeaderName::RecordRoute).position(is_ours) else { return };
        edits.set(message, HeaderName::RecordRoute, |out| {
            for (number, entry) in message.list(HeaderName::RecordRoute).enumerate() {
                if number > 0 {
                    out.put(b", ");
                }
                if number == place {
                    write(out);
                } else {
                    out.put(entry);
                }
            }
        });
    }
}

fn send(
    config: &PcscfConfig,
    sets: &mut Slab<SecuritySet>,
    ctx: &mut Context<'_>,
    peer: Peer,
    write: impl FnOnce(Room<'_>) -> Option<usize>,
) -> bool {
    match peer {
        Peer::Unprotected(to) => {
            let mut bytes = 0;
            let sent = ctx.outbox.send(config.unprotected_socket, None, to, |slot| {
                bytes = write(slot.into())?;
                Some(0..bytes)
            });
            count_sent(ctx, sent.is_ok().then_some(bytes))
        }
        Peer::Protected(set) => {
            sets.get_mut(set).is_some_and(|set| send_protected(config, set, ctx, write))
        }
        Peer::Mw(to) => send_mw(config, ctx, to, write).is_ok(),
        Peer::Own => true,
    }
}

fn send_protected(
    config: &PcscfConfig,
    set: &mut SecuritySet,
    ctx: &mut Context<'_>,
    write: impl FnOnce(Room<'_>) -> Option<usize>,
) -> bool {
    let seed = ctx.random.next_u64();
    if ctx.seals.is_full() {
        ctx.seal_all();
    }
    let (mut refused, mut bytes) = (false, 0);
    let seals = &mut *ctx.seals;
    let sent =
        ctx.outbox.send_unfinished(config.esp_socket, None, set.outer.get(), |slot, start| {
            let end = slot.len().checked_sub(TAILROOM)?;
            let len = write(slot.get_mut(HEADROOM..end)?.into())?;
            let payload = HEADROOM..HEADROOM + len;
            // Over UDP everything goes from port_pc to port_us (TS 33.203 clause 7.1, SA 2a).
            let sealed = set.sa.seal_later(LocalPort::Client, seals, slot, start, payload, seed);
            refused = sealed.is_err();
            bytes = sealed.as_ref().map_or(0, std::ops::Range::len);
            sealed.ok()
        });
    ctx.counters.esp_seal_failed += u64::from(refused);
    count_sent(ctx, sent.is_ok().then_some(bytes))
}

/// Writes a message to another role.
pub(super) fn send_mw(
    config: &PcscfConfig,
    ctx: &mut Context<'_>,
    to: SocketAddr,
    write: impl FnOnce(Room<'_>) -> Option<usize>,
) -> Result<(), MwError> {
    let sent = ctx.mw.send(config.mw, to, write);
    ctx.counters.queue_full += u64::from(sent == Err(MwError::Full));
    ctx.counters.messages_out += u64::from(sent.is_ok());
    sent
}

/// Counts a message to a UE whose datagram has so many bytes, or for which there was no room.
fn count_sent(ctx: &mut Context<'_>, sent: Option<usize>) -> bool {
    match sent {
        Some(bytes) => {
            ctx.counters.messages_out += 1;
            ctx.counters.count_gm(bytes);
        }
        None => ctx.counters.outbox_full += 1,
    }
    sent.is_some()
}
