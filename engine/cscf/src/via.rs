//! The Via of a role: the same up to its branch on everything that the role sends (RFC 3261 clause 8.1.1.7), and so found again
//! in a response by comparing bytes.

use std::net::SocketAddr;

use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, Writer};

use crate::proxy;

/// What all branches start with.
const COOKIE: &[u8] = b"z9hG4bK";

/// Room for `SIP/2.0/UDP`, an IPv6 address with its brackets, a port, and the cookie of the branch.
const HEAD_BYTES_MAX: usize = 96;

/// The Via that a role puts on top.
#[derive(Clone, Debug)]
pub struct OurVia {
    sent_by: SocketAddr,
    /// Up to the cookie that the branch starts with.
    head: [u8; HEAD_BYTES_MAX],
    head_len: usize,
}

impl OurVia {
    /// The Via of a role at this address.
    #[must_use]
    pub fn new(sent_by: SocketAddr) -> Self {
        let mut head = [0; HEAD_BYTES_MAX];
        let mut writer = Writer::new(&mut head);
        writer.put(b"SIP/2.0/UDP ").socket(sent_by).put(b";branch=").put(COOKIE);
        let head_len = writer.done().expect("room for the longest address");
        Self { sent_by, head, head_len }
    }

    /// Writes it up to the branch's cookie; what makes the branch this one's own comes behind.
    pub fn write_head(&self, out: &mut Writer<'_>) {
        out.put(&self.head[..self.head_len]);
    }

    /// What the branch has behind its cookie, if the topmost Via of a response is ours.
    #[must_use]
    pub fn branch_in<'b>(&self, response: &Message<'b>) -> Option<&'b [u8]> {
        let value = response.header(HeaderName::Via)?;
        if let Some(branch) = value.strip_prefix(&self.head[..self.head_len]) {
            // As we wrote it, and nothing added: alone on its line, or with the next one behind it.
            let end = branch.iter().position(|byte| !byte.is_ascii_alphanumeric());
            let (branch, behind) = branch.split_at(end.unwrap_or(branch.len()));
            if !branch.is_empty() && matches!(behind.first(), None | Some(b',')) {
                return Some(branch);
            }
        }
        let via = response.via().ok()?;
        (proxy::sent_by(&via) == Some(self.sent_by)).then_some(())?;
        via.branch?.strip_prefix(COOKIE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch_in(lines: &str) -> Option<String> {
        let text = format!("SIP/2.0 200 OK\r\n{lines}\r\n\r\n");
        let mut index = imstorm_sip::Index::default();
        let message = imstorm_sip::parse(text.as_bytes(), &mut index).unwrap();
        let ours = OurVia::new("[2001:db8::1]:5070".parse().unwrap());
        ours.branch_in(&message).map(|branch| String::from_utf8(branch.to_vec()).unwrap())
    }

    #[test]
    fn ours_is_found_as_written_and_as_others_may_spell_it() {
        let written = "Via: SIP/2.0/UDP [2001:db8::1]:5070;branch=z9hG4bKab12";
        for line in [
            written.to_owned(),
            format!("{written}, SIP/2.0/UDP h"),
            format!("{written};received=::2"),
            "v: SIP / 2.0 / UDP [2001:DB8::1] : 5070 ;rport=1; branch=z9hG4bKab12".to_owned(),
            format!("Via:\r\n{written}"),
        ] {
            assert_eq!(branch_in(&line).as_deref(), Some("ab12"), "{line}");
        }
    }

    #[test]
    fn others_are_not_ours() {
        for line in [
            "Via: SIP/2.0/UDP [2001:db8::1]:5071;branch=z9hG4bKab12",
            "Via: SIP/2.0/UDP [2001:db8::1];branch=z9hG4bKab12",
            "Via: SIP/2.0/UDP [2001:db8::1]:5070;branch=ab12",
            "Via: SIP/2.0/UDP [2001:db8::1]:5070;branch=z9hG4bKab12;rport=x",
            "Via: SIP/2.0/UDP h, SIP/2.0/UDP [2001:db8::1]:5070;branch=z9hG4bKab12",
            "X-Via: SIP/2.0/UDP [2001:db8::1]:5070;branch=z9hG4bKab12",
        ] {
            assert_eq!(branch_in(line), None, "{line}");
        }
    }
}
