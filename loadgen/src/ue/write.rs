//! What UEs write.

use imstorm_aka::{DigestInput, NONCE_TEXT_LEN, Qop, encode_auts, encode_nonce, response};
use imstorm_base::strings::Strings;
use imstorm_esp::{Mode, Suite};
use imstorm_sip::body::secinfo;
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::Timings;
use imstorm_sip::{DialogParts, Writer, dialog};

use super::agreement::write_client;
use super::names::{Call, Names};
use super::remote::Remote;
use super::{Asking, Basis, CLIENT_PORTS, Ue, Watch};
use crate::course::SaPolicy;
use crate::population::{NAME_BYTES_MAX, Population};

/// What UEs take.
pub const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, OPTIONS, NOTIFY, SUBSCRIBE, MESSAGE";

/// What all UEs of a run have in common.
#[derive(Clone, Debug)]
pub struct UeSettings {
    /// The realm and home domain.
    pub domain: String,
    /// The unprotected port.
    pub port: u16,
    /// The protected client ports, taken in turn.
    pub ports_uc: [u16; CLIENT_PORTS],
    /// The protected server port.
    pub port_us: u16,
    /// UEs have no security and no credentials: all is sent and taken unprotected.
    pub is_open: bool,
    /// The port at which UEs take ESP in UDP.
    pub esp_port: u16,
    /// The port at which P-CSCFs do.
    pub pcscf_esp_port: u16,
    /// Encapsulation.
    pub mode: Mode,
    /// What is offered, the preferred first.
    pub suites: Vec<Suite>,
    /// What a connection is to rest on.
    pub basis: Basis,
    /// The lifetime that is asked for, in seconds.
    pub expires_s: u32,
    /// The same of registrations.
    pub registration_expires_s: u32,
    /// The same of subscriptions to the registration state.
    pub reg_event_expires_s: u32,
    /// Of transactions (TS 24.229 table 7.8).
    pub timings: Timings,
    /// Each registration is a flow with a number (RFC 5626 clause 4.2).
    pub flows: bool,
    /// Each registration has a private identity of its own, derived from the user's.
    pub modifies_impi: bool,
    /// A registration leaves an earlier one of the same user alone.
    pub keeps_earlier: bool,
    /// A contact says which access it is of.
    pub names_accesses: bool,
    /// How security associations are handled.
    pub sa_policy: SaPolicy,
    /// Makes Call-IDs and branches the run's own.
    pub run: u32,
}

impl UeSettings {
    /// Timer N (RFC 6665 clause 4.1.2.4).
    pub fn timer_n_ns(&self) -> u64 {
        64 * self.timings.t1_ns
    }

    /// Writes the private identity that an access uses: the user's, or one derived from it, `user+1@realm` over the first access.
    pub fn write_impi(&self, population: &Population, ue: u32, out: &mut Writer<'_>) {
        if !self.modifies_impi {
            return population.write_impi(ue, out);
        }
        let mut text = [0; NAME_BYTES_MAX];
        let mut base = Writer::new(&mut text);
        population.write_impi(ue, &mut base);
        let base = base.as_written();
        let at = base.iter().position(|byte| *byte == b'@').unwrap_or(base.len());
        let number = u64::from(ue / population.size()) + 1;
        out.put(&base[..at]).put(b"+").decimal(number).put(&base[at..]);
    }

    /// The type of an access, as `g.3gpp.accesstype` names it (TS 24.229 clause 7.9).
    pub fn access_type(population: &Population, ue: u32) -> &'static str {
        if ue < population.size() { "cellular1" } else { "wlan1" }
    }
}

/// What Authorization says.
#[derive(Copy, Clone, Debug)]
pub enum Credentials {
    /// Who it is, and nothing more.
    Name,
    /// The answer to the challenge that the UE keeps.
    Answer,
    /// The challenge was not the network's (TS 24.229 clause 5.1.1.5.3).
    MacFailure,
    /// The sequence number is out of range: the network should follow this one.
    OutOfRange([u8; 14]),
}

/// What a UE's request is written from.
#[derive(Copy, Clone)]
pub struct Writing<'a> {
    pub population: &'a Population,
    pub settings: &'a UeSettings,
    pub strings: &'a Strings,
    pub ue: u32,
    pub state: &'a Ue,
    pub watch: Option<&'a Watch>,
    /// Security-Verify, for the set that the request goes on.
    pub verify: &'a [u8],
    /// What the last 200 said, for requests about the connection itself.
    pub remote: Remote<'a>,
    /// The security dialog that the request is to replace.
    pub replaced: Option<&'a DialogParts<'a>>,
}

impl Writing<'_> {
    /// Via with the port that the request is answered at. The branch is a function of what the request is of.
    pub fn via(&self, port: u16, call: Call, cseq: u32, out: &mut Writer<'_>) {
        let address = self.population.address(self.ue);
        out.header(HeaderName::Via).put(b"SIP/2.0/UDP ").ip(address).put(b":");
        out.decimal(u64::from(port)).put(b";branch=z9hG4bK");
        out.hex_u32(self.settings.run).hex_u32(self.ue).put(b"-");
        call.write(out);
        out.put(b"-").decimal(u64::from(cseq));
    }

    /// Contact with a port of the access and the UE's instance, which is one for all its accesses.
    pub fn contact(&self, port: u16, out: &mut Writer<'_>) {
        let address = self.population.address(self.ue);
        out.header(HeaderName::Contact).put(b"<sip:").ip(address).put(b":");
        out.decimal(u64::from(port))
            .put(b">;+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-0000");
        out.hex_u32(self.population.number(self.ue)).put(b">\"");
        if self.settings.flows {
            out.put(b";reg-id=").decimal(u64::from(self.ue / self.population.size()) + 1);
        }
        if self.settings.names_accesses {
            let access = UeSettings::access_type(self.population, self.ue);
            out.put(b";+g.3gpp.accesstype=\"").text(access).put(b"\"");
        }
        out.end();
    }
}

/// Writes a request about the connection itself: a SUBSCRIBE of a UE to its security state, or a REGISTER (TS 24.229 clause 5.1.1.2).
pub fn about_connection(
    writing: &Writing<'_>,
    asking: Asking,
    credentials: Credentials,
    out: &mut [u8],
) -> Option<usize> {
    let Writing { population, settings, ue, state, verify, remote, replaced, .. } = *writing;
    let call = Call::Security(state.attempt);
    let names = Names::new(population, settings, ue, call);
    let is_registration = state.basis == Basis::Registration;
    let home = format!("sip:{}", settings.domain);
    let target = if is_registration { home.as_bytes() } else { names.impu() };
    let goes_on = matches!(asking, Asking::Refresh | Asking::Reanswer | Asking::Release);
    let parts = if goes_on && !is_registration {
        remote.dialog(&names)
    } else {
        DialogParts {
            call_id: names.call_id(),
            local_tag: names.tag(),
            remote_tag: b"",
            local_uri: names.impu(),
            remote_uri: names.impu(),
            remote_target: target,
            routes: b"",
        }
    };
    let protected = asking != Asking::First && !settings.is_open;
    let port = if protected { settings.port_us } else { settings.port };
    let mut writer = dialog::request(&parts, state.basis.method(), state.cseq, out);
    writing.via(port, call, state.cseq, &mut writer);
    if !protected {
        writer.put(b";rport");
    }
    writer.end();
    writing.contact(port, &mut writer);
    if !is_registration {
        writer.header(HeaderName::Event).text("security").end();
        writer.header(HeaderName::Accept).text(secinfo::CONTENT_TYPE).end();
    }
    let expires_s = if asking == Asking::Release { 0 } else { settings.expires_s };
    writer.header(HeaderName::Expires).decimal(u64::from(expires_s)).end();
    writer.header(HeaderName::Allow).text(ALLOW).end();
    let (supported, required) = match state.basis {
        Basis::Subscription => ("path", "sec-agree, secevt"),
        Basis::Registration if settings.flows => ("path, gruu, outbound", "sec-agree"),
        Basis::Registration => ("path, gruu", "sec-agree"),
    };
    writer.header(HeaderName::Supported).text(supported).end();
    if settings.is_open {
        return writer.finish().ok();
    }
    writer.header(HeaderName::Require).text(required).end();
    writer.header(HeaderName::ProxyRequire).text(required).end();
    if let Some(old) = replaced {
        writing.replace(old, &mut writer);
    }
    writer.header(HeaderName::Authorization);
    let uri = parts.remote_target;
    write_authorization(settings, state, &names, uri, credentials, &mut writer);
    writer.end();
    let side = state.client_side(ue, &settings.ports_uc, settings.port_us);
    writer.header(HeaderName::SecurityClient);
    write_client(settings.mode, &settings.suites, &side, &mut writer);
    writer.end();
    if protected {
        writer.header(HeaderName::SecurityVerify).put(verify).end();
    } else {
        writer.header(HeaderName::PAccessNetworkInfo).text("IEEE-802.11").end();
    }
    writer.finish().ok()
}

fn write_authorization(
    settings: &UeSettings,
    state: &Ue,
    names: &Names,
    uri: &[u8],
    credentials: Credentials,
    out: &mut Writer<'_>,
) {
    let domain = settings.domain.as_bytes();
    out.put(b"Digest username=\"").put(names.impi()).put(b"\",realm=\"").put(domain);
    out.put(b"\",uri=\"").put(uri).put(b"\",nonce=\"");
    let authentication = &state.authentication;
    let mut nonce = [0; NONCE_TEXT_LEN];
    encode_nonce(&authentication.rand, &authentication.autn, &mut nonce);
    match credentials {
        Credentials::Name => {
            out.put(b"\",response=\"\"");
            return;
        }
        Credentials::MacFailure => {
            out.put(&nonce).put(b"\",response=\"\",algorithm=AKAv1-MD5");
            return;
        }
        Credentials::Answer | Credentials::OutOfRange(_) => {}
    }
    let mut nc_text = [0; 8];
    let mut nc = Writer::new(&mut nc_text);
    nc.hex_u32(authentication.nc);
    let nc = nc.as_written();
    let mut cnonce_text = [0; 16];
    let mut cnonce = Writer::new(&mut cnonce_text);
    cnonce.hex_u32(settings.run).hex_u32(state.cseq);
    let cnonce = cnonce.as_written();
    // RFC 3310 clause 3.4: with AUTS the password is empty.
    let password: &[u8] = match credentials {
        Credentials::OutOfRange(_) => b"",
        _ => &authentication.res,
    };
    let digest = response(&DigestInput {
        username: names.impi(),
        realm: domain,
        password,
        nonce: &nonce,
        uri,
        method: state.basis.method().as_str().as_bytes(),
        qop: Some(Qop { cnonce, nc }),
    });
    out.put(&nonce).put(b"\",response=\"").put(&digest);
    out.put(b"\",algorithm=AKAv1-MD5,qop=auth,nc=").put(nc).put(b",cnonce=\"").put(cnonce);
    out.put(b"\"");
    if let Credentials::OutOfRange(auts) = credentials {
        out.put(b",auts=\"").put(&encode_auts(&auts)).put(b"\"");
    }
}
