//! What UEs write.

use imstorm_aka::{DigestInput, NONCE_TEXT_LEN, Qop, encode_auts, encode_nonce, response};
use imstorm_base::strings::Strings;
use imstorm_esp::{Mode, Suite};
use imstorm_sip::body::secinfo;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Method, Writer, dialog};

use super::agreement::write_client;
use super::{Asking, Ue};
use crate::population::{NAME_BYTES_MAX, Population};

/// What all UEs of a run have in common.
#[derive(Clone, Debug)]
pub struct UeSettings {
    /// The realm and home domain.
    pub domain: String,
    /// The unprotected port.
    pub port: u16,
    /// The protected client port.
    pub port_uc: u16,
    /// The protected server port.
    pub port_us: u16,
    /// The port at which UEs take ESP in UDP.
    pub esp_port: u16,
    /// The port at which P-CSCFs do.
    pub pcscf_esp_port: u16,
    /// Encapsulation.
    pub mode: Mode,
    /// What is offered, the preferred first.
    pub suites: Vec<Suite>,
    /// The lifetime that is asked for, in seconds.
    pub expires_s: u32,
    /// Makes Call-IDs and branches the run's own.
    pub run: u32,
}

/// Call-ID and tag of a UE's security dialog: functions of its number and of the attempt.
pub struct DialogNames {
    call_id: ([u8; 64], usize),
    tag: ([u8; 32], usize),
}

impl DialogNames {
    pub fn new(population: &Population, settings: &UeSettings, ue: u32, state: &Ue) -> Self {
        let mut call_id = [0; 64];
        let mut tag = [0; 32];
        let mut writer = Writer::new(&mut call_id);
        writer.hex_u32(settings.run).put(b"-").hex_u32(ue).put(b"-");
        writer.decimal(u64::from(state.attempt)).put(b"@").ip(population.address(ue));
        let call_id_len = writer.len();
        let mut writer = Writer::new(&mut tag);
        writer.hex_u32(ue).hex_u32(settings.run ^ state.attempt);
        let tag_len = writer.len();
        Self { call_id: (call_id, call_id_len), tag: (tag, tag_len) }
    }

    pub fn call_id(&self) -> &[u8] {
        &self.call_id.0[..self.call_id.1]
    }

    pub fn tag(&self) -> &[u8] {
        &self.tag.0[..self.tag.1]
    }
}

/// All names of a UE that are functions of its number.
pub struct Names {
    impi: ([u8; NAME_BYTES_MAX], usize),
    impu: ([u8; NAME_BYTES_MAX], usize),
    dialog: DialogNames,
}

impl Names {
    pub fn new(population: &Population, settings: &UeSettings, ue: u32, state: &Ue) -> Self {
        let mut impi = [0; NAME_BYTES_MAX];
        let mut impu = [0; NAME_BYTES_MAX];
        let mut writer = Writer::new(&mut impi);
        population.write_impi(ue, &mut writer);
        let impi_len = writer.len();
        let mut writer = Writer::new(&mut impu);
        population.write_impu(ue, &mut writer);
        let impu_len = writer.len();
        let dialog = DialogNames::new(population, settings, ue, state);
        Self { impi: (impi, impi_len), impu: (impu, impu_len), dialog }
    }

    pub fn impi(&self) -> &[u8] {
        &self.impi.0[..self.impi.1]
    }

    pub fn impu(&self) -> &[u8] {
        &self.impu.0[..self.impu.1]
    }

    pub fn call_id(&self) -> &[u8] {
        self.dialog.call_id()
    }

    pub fn tag(&self) -> &[u8] {
        self.dialog.tag()
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

/// Writes a SUBSCRIBE of a UE to its security state.
pub fn subscribe(
    population: &Population,
    settings: &UeSettings,
    strings: &Strings,
    ue: u32,
    state: &Ue,
    asking: Asking,
    credentials: Credentials,
    out: &mut [u8],
) -> Option<usize> {
    let names = Names::new(population, settings, ue, state);
    let in_dialog = matches!(asking, Asking::Refresh | Asking::Release);
    let parts = if in_dialog {
        DialogParts::decode(strings.get(&state.dialog))
    } else {
        DialogParts {
            call_id: names.call_id(),
            local_tag: names.tag(),
            remote_tag: b"",
            local_uri: names.impu(),
            remote_uri: names.impu(),
            remote_target: names.impu(),
            routes: b"",
        }
    };
    let protected = asking != Asking::First;
    let port = if protected { settings.port_us } else { settings.port };
    let mut writer = dialog::request(&parts, Method::Subscribe, state.cseq, out);
    let address = population.address(ue);
    writer.header(HeaderName::Via).put(b"SIP/2.0/UDP ").ip(address).put(b":");
    writer.decimal(u64::from(port)).put(b";branch=z9hG4bK").hex_u32(settings.run).hex_u32(ue);
    writer.put(b"-").decimal(u64::from(state.attempt)).put(b"-").decimal(u64::from(state.cseq));
    if !protected {
        writer.put(b";rport");
    }
    writer.end();
    writer.header(HeaderName::Contact).put(b"<sip:").ip(address).put(b":");
    writer
        .decimal(u64::from(port))
        .put(b">;+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-0000");
    writer.hex_u32(ue).put(b">\"").end();
    writer.header(HeaderName::Event).text("security").end();
    let expires_s = if asking == Asking::Release { 0 } else { settings.expires_s };
    writer.header(HeaderName::Expires).decimal(u64::from(expires_s)).end();
    writer.header(HeaderName::Accept).text(secinfo::CONTENT_TYPE).end();
    writer.header(HeaderName::Allow).text("NOTIFY, SUBSCRIBE").end();
    writer.header(HeaderName::Supported).text("path").end();
    writer.header(HeaderName::Require).text("sec-agree, secevt").end();
    writer.header(HeaderName::ProxyRequire).text("sec-agree, secevt").end();
    writer.header(HeaderName::Authorization);
    let uri = parts.remote_target;
    write_authorization(settings, state, &names, uri, credentials, &mut writer);
    writer.end();
    let side = state.client_side(ue, settings.port_uc, settings.port_us);
    writer.header(HeaderName::SecurityClient);
    write_client(settings.mode, &settings.suites, &side, &mut writer);
    writer.end();
    if protected {
        let server = strings.get(&state.security_server);
        writer.header(HeaderName::SecurityVerify).put(server).end();
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
        method: Method::Subscribe.as_str().as_bytes(),
        qop: Some(Qop { cnonce, nc }),
    });
    out.put(&nonce).put(b"\",response=\"").put(&digest);
    out.put(b"\",algorithm=AKAv1-MD5,qop=auth,nc=").put(nc).put(b",cnonce=\"").put(cnonce);
    out.put(b"\"");
    if let Credentials::OutOfRange(auts) = credentials {
        out.put(b",auts=\"").put(&encode_auts(&auts)).put(b"\"");
    }
}
