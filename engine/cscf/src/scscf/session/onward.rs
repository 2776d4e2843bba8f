//! A request of a session goes on, on the other leg.

use std::net::SocketAddr;

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Edits, Message, Method, Uri, Writer, dialog, parse};

use super::super::Scscf;
use super::{Side, Way};
use crate::event::Context;
use crate::mw::MwError;
use crate::proxy::{DEFAULT_PORT, read_hex_u64};

/// The longest headers of an INVITE that are kept, in bytes.
const SENT_BYTES_MAX: usize = 2048;

/// What a branch of ours says of a request of a session.
#[derive(Copy, Clone, Debug)]
pub(in super::super) struct Branch {
    pub session: Key,
    pub(super) way: Way,
    /// What was added to the CSeq.
    pub offset: u32,
}

impl Branch {
    /// Reads what stands behind the cookie.
    pub(in super::super) fn read(text: &[u8]) -> Option<Self> {
        let (key, rest) = text.strip_prefix(b"S")?.split_at_checked(16)?;
        let (mark, rest) = rest.split_first()?;
        let (offset, _) = rest.split_at_checked(8)?;
        let offset = std::str::from_utf8(offset).ok()?;
        Some(Self {
            session: Key::from_u64(read_hex_u64(key)?),
            way: Way::of_mark(*mark)?,
            offset: u32::from_str_radix(offset, 16).ok()?,
        })
    }

    fn write(self, hash: u64, out: &mut Writer<'_>) {
        out.put(b"S").hex_u64(self.session.to_u64()).put(&[self.way.mark()]);
        out.hex_u32(self.offset).hex_u64(hash);
    }
}

/// Why a request does not go on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    /// Nobody knows where the leg leads.
    NoWay,
    /// It does not fit.
    TooLarge,
    /// There is no room.
    Full,
    /// The connection has as many sessions as one may have.
    Busy,
}

impl Stuck {
    pub fn status(self) -> u16 {
        match self {
            Self::NoWay => 404,
            Self::TooLarge => 513,
            Self::Full => 503,
            Self::Busy => 486,
        }
    }
}

/// What a request becomes on the other leg.
struct Onward<'a> {
    branch: Branch,
    parts: DialogParts<'a>,
    routes: &'a [u8],
    cseq: u32,
    is_mapped: bool,
}

impl Scscf {
    /// Sends a request that came that way on, its CSeq on the other leg being `cseq`. An INVITE's headers are given back, to be kept.
    pub(super) fn send_onward(
        &mut self,
        ctx: &mut Context<'_>,
        (key, way): (Key, Way),
        message: &Message<'_>,
        cseq: u32,
        more: impl FnOnce(&mut Edits),
    ) -> Result<(SocketAddr, Handle), Stuck> {
        let to = self.next_hop(key, way.onward()).ok_or(Stuck::NoWay)?;
        let came = message.cseq().map_or(0, |cseq| cseq.number);
        let session = self.sessions.get(key).expect("a session that was found");
        let branch = Branch { session: key, way, offset: cseq.wrapping_sub(came) };
        let leg = session.side(way.onward());
        let parts = DialogParts::decode(self.strings.get(&leg.dialog));
        let mut room = TextRoom::default();
        let routes = match way.onward() {
            Side::Ue => self.route_to(session.connection, &mut room),
            Side::Far => parts.routes,
        };
        let is_mapped = session.mapped || way == Way::Moving;
        let onward = Onward { branch, parts, routes, cseq, is_mapped };
        let mut kept = [0; SENT_BYTES_MAX];
        let mut kept_len = Ok(0);
        let sent = ctx.with_edits(|ctx, edits| {
            self.edit_onward(edits, &onward, message);
            more(edits);
            ctx.mw.send(self.config.mw, to, |mut out| {
                let len = edits.write(message, out.lend()).ok()?;
                if message.method() == Method::Invite {
                    kept_len = headers_of(&out.bytes()[..len], &mut kept);
                    kept_len.ok()?;
                }
                Some(len)
            })
        });
        let len = kept_len.map_err(|_| Stuck::TooLarge)?;
        match sent {
            Ok(()) => ctx.counters.messages_out += 1,
            Err(MwError::Full) => {
                ctx.counters.queue_full += 1;
                return Err(Stuck::Full);
            }
            Err(MwError::NotWritten) => {
                ctx.counters.message_too_large += 1;
                return Err(Stuck::TooLarge);
            }
        }
        // Without its headers the INVITE could be neither cancelled nor ended; the P-CSCF's timers end it then.
        Ok((to, self.strings.store(&kept[..len]).unwrap_or_default()))
    }

    fn edit_onward(&self, edits: &mut Edits, onward: &Onward<'_>, message: &Message<'_>) {
        let parts = &onward.parts;
        let via = message.list(HeaderName::Via).next().unwrap_or_default();
        // An INVITE, its CANCEL and the ACK of its refusal have one branch (RFC 3261 clauses 9.1 and 17.1.1.3).
        let hash = match message.method() {
            Method::Invite | Method::Ack | Method::Cancel => self.visible.hash(via),
            _ => self.visible.hash2(via, message.method_text()),
        };
        edits.insert_first(HeaderName::Via, |out| {
            self.via.write_head(out);
            onward.branch.write(hash, out);
        });
        let hops = message.max_forwards().ok().flatten().unwrap_or(70);
        edits.set(message, HeaderName::MaxForwards, |out| {
            out.decimal(u64::from(hops.saturating_sub(1)));
        });
        edits.request_uri(parts.remote_target);
        edits.remove(HeaderName::Route).remove(HeaderName::RecordRoute);
        if !onward.routes.is_empty() {
            edits.insert_first(HeaderName::Route, |out| {
                out.put(onward.routes);
            });
        }
        self.edit_contact(edits, onward.branch.session, message);
        if onward.is_mapped {
            // Dialogs that the other leg does not know by these names.
            edits.remove(HeaderName::TargetDialog).remove(HeaderName::Join);
            edits.set(message, HeaderName::CallId, |out| {
                out.put(parts.call_id);
            });
            edits.set(message, HeaderName::From, |out| {
                write_party(parts.local_uri, parts.local_tag, out);
            });
            edits.set(message, HeaderName::To, |out| {
                write_party(parts.remote_uri, parts.remote_tag, out);
            });
        }
        if onward.branch.offset != 0 {
            edits.set(message, HeaderName::CSeq, |out| {
                write_cseq(onward.cseq, message, out);
            });
        }
        if onward.branch.offset != 0 && message.method() == Method::Prack {
            self.edit_rack(edits, onward.branch, message);
        }
    }

    /// RAck names the INVITE's CSeq, which is another on this leg (RFC 3262 clause 7.2).
    fn edit_rack(&self, edits: &mut Edits, branch: Branch, message: &Message<'_>) {
        let session = self.sessions.get(branch.session).expect("a session that was found");
        let Some((came, sent)) = session.leg(branch.way).map(|leg| leg.invite) else { return };
        let value = message.header(HeaderName::RAck).unwrap_or_default();
        let mut words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (Some(rseq), Some(number)) = (words.next(), words.next()) else { return };
        let is_last = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
        if is_last == Some(came) {
            edits.set(message, HeaderName::RAck, |out| {
                out.put(rseq).put(b" ").decimal(u64::from(sent)).put(b" INVITE");
            });
        }
    }

    /// Contact names the session, with the parameters that the party gave it.
    pub(super) fn edit_contact(&self, edits: &mut Edits, key: Key, message: &Message<'_>) {
        let Ok(Some(contact)) = message.contact() else { return };
        edits.set(message, HeaderName::Contact, |out| {
            self.write_session_uri(key, out);
            for (_, text) in contact.params.spelled() {
                out.put(b";").put(text);
            }
        });
    }

    /// The session's own URI, by which it is found again: `<sip:SKEY@S-CSCF>`.
    pub(super) fn write_session_uri(&self, key: Key, out: &mut Writer<'_>) {
        out.put(b"<sip:S").hex_u64(key.to_u64()).put(b"@").socket(self.config.mw).put(b">");
    }

    /// Where requests on a leg go first: a UE's to the P-CSCF of its connection, others where their route or target says, and what names
    /// no address to the home network's entry point.
    pub(super) fn next_hop(&self, key: Key, side: Side) -> Option<SocketAddr> {
        let session = self.sessions.get(key)?;
        match side {
            Side::Ue => self.subscriptions.get(session.connection).map(|found| found.pcscf.get()),
            Side::Far => {
                let parts = self.parts(&session.far);
                let hop = dialog::next_hop(&parts).ok().and_then(|hop| Uri::parse(hop).ok());
                hop.and_then(|uri| uri.socket_addr(DEFAULT_PORT)).or(self.config.icscf)
            }
        }
    }

    /// The route to a UE over its connection: that of its security dialog, or the Path of its registration.
    pub(super) fn route_to<'a>(&'a self, connection: Key, room: &'a mut TextRoom) -> &'a [u8] {
        let Some(subscription) = self.subscriptions.get(connection) else { return b"" };
        if let Some(registration) = self.registration_of(subscription) {
            return self.strings.read(&registration.path, room);
        }
        DialogParts::decode(self.strings.read(&subscription.ue.dialog, room)).routes
    }
}

/// Writes an address of record with a tag.
pub(super) fn write_party(uri: &[u8], tag: &[u8], out: &mut Writer<'_>) {
    out.put(b"<").put(uri).put(b">");
    if !tag.is_empty() {
        out.put(b";tag=").put(tag);
    }
}

/// Writes a CSeq with another number.
pub(super) fn write_cseq(number: u32, message: &Message<'_>, out: &mut Writer<'_>) {
    let method = message.cseq().map(|cseq| cseq.method.as_str()).unwrap_or_default();
    out.decimal(u64::from(number)).put(b" ").text(method);
}

/// Copies what a CANCEL, an ACK and a response need of a request, as a request without a body; its length.
fn headers_of(request: &[u8], out: &mut [u8]) -> Result<usize, ()> {
    let mut index = imstorm_sip::Index::default();
    let request = parse(request, &mut index).map_err(|_| ())?;
    let mut writer = Writer::new(out);
    writer.request(request.method(), request.request_uri());
    let names = [
        HeaderName::Via,
        HeaderName::Route,
        HeaderName::MaxForwards,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
    ];
    for name in names {
        writer.copy(&request, name);
    }
    writer.finish().map_err(|_| ())
}
