//! What legs write, and how it leaves: over the set in force of the access that it goes over, with the Security-Verify of that set,
//! also when it is sent again after a re-authentication.

use imstorm_base::slab::Key;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Method, Writer, dialog, parse};

use super::super::names::{Call, DialogNames, Names};
use super::super::remote::Remote;
use super::super::server::SERVER_BYTES_MAX;
use super::super::write::{ALLOW, Writing};
use super::{Side, sdp};
use crate::generator::{Generator, Step, TEXT_BYTES_MAX, Way};

/// What UEs support beyond what they ask for.
const SUPPORTED: &str = "100rel, timer, replaces";
/// The service that a voice call is (TS 24.173, TS 24.229 clause 5.1.2A.1.1).
const SERVICE: &str = "urn:urn-7:3gpp-service.ims.icsi.mmtel";
const SECURITY_VERIFY: &[u8] = b"Security-Verify: ";

impl Generator {
    /// What requests of sessions are written from: their Security-Verify comes when they are sent.
    pub(in crate::ue) fn writing(&self, ue: u32) -> Writing<'_> {
        Writing {
            population: &self.population,
            settings: &self.settings,
            strings: &self.strings,
            ue,
            state: &self.ues[ue as usize],
            watch: None,
            verify: b"",
            remote: Remote::default(),
            replaced: None,
        }
    }

    /// Sends a message of a session. A request other than ACK and CANCEL has Security-Verify put in behind its first line (RFC 3329
    /// clause 2.6): what is kept to be sent again may outlive the security associations that it was written for.
    pub(super) fn send_in_call(&mut self, step: &mut Step<'_>, ue: u32, text: &[u8]) {
        let set = self.set_of(ue).map(Way::Sealed);
        let Some(way) = set.or(self.settings.is_open.then_some(Way::Plain)) else { return };
        let has_none = [&b"SIP/2.0 "[..], b"ACK ", b"CANCEL "];
        let verified = way != Way::Plain && !has_none.iter().any(|start| text.starts_with(start));
        let mut whole = Vec::with_capacity(TEXT_BYTES_MAX);
        if verified {
            let line = text.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            whole.extend_from_slice(&text[..line]);
            whole.extend_from_slice(SECURITY_VERIFY);
            let mut verify = [0; SERVER_BYTES_MAX];
            whole.extend_from_slice(self.write_server(self.ues[ue as usize].set, &mut verify));
            whole.extend_from_slice(b"\r\n");
            whole.extend_from_slice(&text[line..]);
        } else {
            whole.extend_from_slice(text);
        }
        self.send(step, ue, way, |out| {
            out.get_mut(..whole.len())?.copy_from_slice(&whole);
            Some(whole.len())
        });
    }

    /// Lets `read` look at a message that was kept.
    pub(super) fn with_kept<R>(
        &mut self,
        text: &[u8],
        read: impl FnOnce(&mut Self, &Message<'_>) -> R,
    ) -> Option<R> {
        let mut headers = self.kept_headers.take()?;
        let result = parse(text, &mut headers).ok().map(|message| read(self, &message));
        self.kept_headers = Some(headers);
        result
    }

    /// The first INVITE of a session with `callee`.
    pub(super) fn write_invite(&mut self, ue: u32, callee: u32, number: u32) -> Option<Vec<u8>> {
        let call = Call::Session(number);
        let to = Names::new(&self.population, &self.settings, callee, call);
        let interval_s = self.call.session_expires_s;
        let body = sdp::write(self.population.address(ue), number, 1, true);
        let len = self.write_over_connection(ue, call, |writing, names, route, out| {
            let parts = DialogParts {
                remote_uri: to.impu(),
                ..super::super::over_connection::initial(names, to.impu(), route)
            };
            let mut writer = dialog::request(&parts, Method::Invite, 1, out);
            writing.via(writing.settings.port_us, call, 1, &mut writer);
            writer.end();
            writing.contact(writing.settings.port_us, &mut writer);
            writing.preferred(names, &mut writer);
            writer.header(HeaderName::PPreferredService).text(SERVICE).end();
            writer.header(HeaderName::PEarlyMedia).text("supported").end();
            writing.offer_session(interval_s, &mut writer);
            writing.require(&mut writer);
            writer.finish_with_body(sdp::CONTENT_TYPE, body.as_bytes()).ok()
        })?;
        Some(self.text[..len].to_vec())
    }

    /// A request in a leg's dialog, over this access. `more` writes the headers that are its own.
    pub(super) fn write_in_dialog(
        &self,
        key: Key,
        ue: u32,
        method: Method,
        cseq: u32,
        more: impl FnOnce(&Writing<'_>, &mut Writer<'_>),
        body: Option<&str>,
    ) -> Option<Vec<u8>> {
        let leg = self.legs.get(key)?;
        let parts = DialogParts::decode(self.strings.get(&leg.dialog));
        self.write_of_dialog(&parts, (ue, leg.number), method, cseq, more, body)
    }

    /// A request in a dialog of the call with this number of an access.
    pub(super) fn write_of_dialog(
        &self,
        parts: &DialogParts<'_>,
        (ue, number): (u32, u32),
        method: Method,
        cseq: u32,
        more: impl FnOnce(&Writing<'_>, &mut Writer<'_>),
        body: Option<&str>,
    ) -> Option<Vec<u8>> {
        let mut out = [0; TEXT_BYTES_MAX];
        let writing = self.writing(ue);
        let port = writing.settings.port_us;
        let mut writer = dialog::request(parts, method, cseq, &mut out);
        writing.via(port, Call::Session(number), cseq, &mut writer);
        if method == Method::Ack {
            // It has the CSeq of its INVITE, and is a transaction of its own (RFC 3261 clause 13.2.2.4).
            writer.put(b"a");
        }
        writer.end();
        if matches!(method, Method::Invite | Method::Update) {
            writing.contact(port, &mut writer);
        }
        if method != Method::Ack {
            writing.require(&mut writer);
        }
        more(&writing, &mut writer);
        let len = match body {
            Some(body) => writer.finish_with_body(sdp::CONTENT_TYPE, body.as_bytes()).ok()?,
            None => writer.finish().ok()?,
        };
        Some(out[..len].to_vec())
    }

    /// The answer to an INVITE or UPDATE in a session.
    pub(super) fn write_answer(
        &self,
        ue: u32,
        request: &Message<'_>,
        status: u16,
        tag: &[u8],
        more: impl FnOnce(&mut Writer<'_>),
        body: Option<&str>,
    ) -> Option<Vec<u8>> {
        let mut out = [0; TEXT_BYTES_MAX];
        let writing = self.writing(ue);
        let mut writer = imstorm_sip::response(request, status, Some(tag), &mut out);
        if status < 300 {
            writer.copy(request, HeaderName::RecordRoute);
            writing.contact(writing.settings.port_us, &mut writer);
            writer.header(HeaderName::Allow).text(ALLOW).end();
            writer.header(HeaderName::Supported).text(SUPPORTED).end();
        }
        more(&mut writer);
        let len = match body {
            Some(body) => writer.finish_with_body(sdp::CONTENT_TYPE, body.as_bytes()).ok()?,
            None => writer.finish().ok()?,
        };
        Some(out[..len].to_vec())
    }

    /// What a leg says of its media.
    pub(super) fn describe(&self, key: Key, ue: u32, is_offer: bool) -> Option<String> {
        let leg = self.legs.get(key)?;
        Some(sdp::write(self.population.address(ue), leg.number, 1, is_offer))
    }

    /// The strings of a dialog as a leg begins with them, from the first INVITE: what the caller wrote, or the callee took.
    pub(super) fn write_first_dialog(
        &self,
        (ue, number): (u32, u32),
        side: Side,
        invite: &Message<'_>,
        out: &mut [u8],
    ) -> Option<usize> {
        let names = DialogNames::new(&self.population, &self.settings, ue, Call::Session(number));
        let mut routes = [0; 1024];
        let (from, to) = (invite.from().ok()?, invite.to().ok()?);
        let parts = match side {
            Side::Caller => DialogParts {
                call_id: invite.call_id().ok()?,
                local_tag: names.tag(),
                remote_tag: b"",
                local_uri: from.uri_text,
                remote_uri: to.uri_text,
                remote_target: invite.request_uri(),
                routes: b"",
            },
            Side::Callee => DialogParts {
                call_id: invite.call_id().ok()?,
                local_tag: names.tag(),
                remote_tag: from.tag()?,
                local_uri: to.uri_text,
                remote_uri: from.uri_text,
                remote_target: invite.contact().ok()??.uri_text,
                routes: {
                    let len = dialog::route_set(invite, false, &mut routes).ok()?;
                    &routes[..len]
                },
            },
        };
        parts.encode(out).ok()
    }

    /// The strings of a leg's dialog as a response of the callee makes them.
    pub(super) fn write_answered_dialog(
        &self,
        key: Key,
        response: &Message<'_>,
        out: &mut [u8],
    ) -> Option<usize> {
        let leg = self.legs.get(key)?;
        let mut routes = [0; 1024];
        let len = dialog::route_set(response, true, &mut routes).ok()?;
        let parts = DialogParts {
            remote_tag: response.tag(HeaderName::To).ok()??,
            remote_target: response.contact().ok()??.uri_text,
            routes: &routes[..len],
            ..DialogParts::decode(self.strings.get(&leg.dialog))
        };
        parts.encode(out).ok()
    }
}

impl Writing<'_> {
    /// What an INVITE that begins a session says of what the UE can do and asks for.
    pub(super) fn offer_session(&self, interval_s: u32, out: &mut Writer<'_>) {
        out.header(HeaderName::Allow).text(ALLOW).end();
        out.header(HeaderName::Supported).text(SUPPORTED).end();
        out.header(HeaderName::Accept).text(sdp::CONTENT_TYPE).end();
        out.header(HeaderName::SessionExpires).decimal(u64::from(interval_s)).end();
        out.header(HeaderName::MinSe).decimal(u64::from(super::MIN_SE_S)).end();
    }

    /// What a request over the connection requires of the P-CSCF. Its Security-Verify comes when it is sent.
    pub(super) fn require(&self, out: &mut Writer<'_>) {
        if self.settings.is_open {
            return;
        }
        out.header(HeaderName::Require).text("sec-agree").end();
        out.header(HeaderName::ProxyRequire).text("sec-agree").end();
    }
}
