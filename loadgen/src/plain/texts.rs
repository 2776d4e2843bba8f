//! What plain UEs write, and how they know what answers it: the UE's number and its count are in each branch and Call-ID.

use std::net::SocketAddr;

use imstorm_sip::Method;

use super::template::Template;

/// The requests that plain UEs take.
pub(super) const ALLOW: &str = "ACK, BYE, OPTIONS";
/// What a branch of RFC 3261 begins with (clause 8.1.1.7).
const MAGIC_COOKIE: &str = "z9hG4bK";
/// A description as any UAS takes it, of a call without media: PCMU (RFC 3551), from the discard port.
const SDP_MEDIA: &str = "t=0 0\r\nm=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

/// Which transaction a branch is of.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// REGISTER.
    Register,
    /// INVITE, its CANCEL, and the ACK to its refusal.
    Invite,
    /// The ACK to a 2xx.
    Ack,
    /// BYE.
    Bye,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Register, Self::Invite, Self::Ack, Self::Bye];

    /// Its letter in branches.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Register => b'r',
            Self::Invite => b'i',
            Self::Ack => b'a',
            Self::Bye => b'b',
        }
    }

    /// The method whose responses have such a branch.
    pub fn method(self) -> Method {
        match self {
            Self::Register => Method::Register,
            Self::Invite => Method::Invite,
            Self::Ack => Method::Ack,
            Self::Bye => Method::Bye,
        }
    }
}

/// Whose a message is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub ue: u32,
    /// Of REGISTER its CSeq, of all else the call's number.
    pub count: u32,
}

/// The templates of a run.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    /// Makes branches, tags and Call-IDs the run's own: 8 hexadecimal digits.
    run: [u8; 8],
    pub register: Template,
    /// REGISTER with Expires 0.
    pub deregister: Template,
    /// Of a call to the profile's target.
    pub invite: Template,
    /// Of the registered address of UEs, with the number as user.
    pub contact: Template,
    /// A call's Call-ID, the UE's tag and the branch of its ACK and BYE without their letter.
    pub call_id: Template,
    pub tag: Template,
    pub branch: Template,
}

impl Texts {
    /// Of UEs at `local` with this home domain, which ask for a registration of `expires_s` seconds and call `target`.
    pub fn new(run: u32, local: SocketAddr, domain: &str, expires_s: u32, target: &str) -> Self {
        let run = format!("{run:08x}");
        let ip = match local {
            SocketAddr::V4(it) => it.ip().to_string(),
            SocketAddr::V6(it) => format!("[{}]", it.ip()),
        };
        let family = if local.is_ipv4() { "IP4" } else { "IP6" };
        let bare_ip = local.ip();
        let via = |letter: u8| {
            let letter = char::from(letter);
            format!(
                "Via: SIP/2.0/UDP {local};branch={MAGIC_COOKIE}{run}{{ue}}{{count}}{letter};rport\r\n"
            )
        };
        let contact = format!("<sip:{{ue}}@{local}>");
        let register = |expires_s: u32| {
            let via = via(Kind::Register.letter());
            Template::new(&format!(
                "REGISTER sip:{domain} SIP/2.0\r\n{via}Max-Forwards: 70\r\n\
                 From: <{{impu}}>;tag={{ue}}{run}\r\nTo: <{{impu}}>\r\nCall-ID: {run}-{{ue}}@{ip}\r\n\
                 CSeq: {{decimal}} REGISTER\r\nContact: {contact}\r\nExpires: {expires_s}\r\n\
                 Supported: path\r\nAllow: {ALLOW}\r\nContent-Length: 0\r\n\r\n"
            ))
        };
        let sdp = format!(
            "v=0\r\no=- 1 1 IN {family} {bare_ip}\r\ns=-\r\nc=IN {family} {bare_ip}\r\n{SDP_MEDIA}"
        );
        let call_id = format!("{run}-{{ue}}-{{count}}@{ip}");
        let tag = "{ue}{count}";
        let via_invite = via(Kind::Invite.letter());
        let invite = format!(
            "INVITE {target} SIP/2.0\r\n{via_invite}Max-Forwards: 70\r\nFrom: <{{impu}}>;tag={tag}\r\n\
             To: <{target}>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: {contact}\r\n\
             Allow: {ALLOW}\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        Self {
            register: register(expires_s),
            deregister: register(0),
            invite: Template::new(&invite),
            contact: Template::new(&contact),
            call_id: Template::new(&call_id),
            tag: Template::new(tag),
            branch: Template::new(&format!(
                "SIP/2.0/UDP {local};branch={MAGIC_COOKIE}{run}{{ue}}{{count}}"
            )),
            run: run.as_bytes().try_into().unwrap_or_default(),
        }
    }

    /// Whose transaction, and which, a branch is of; `None` where it is none of this run's.
    pub fn of_branch(&self, branch: &[u8]) -> Option<(Name, Kind)> {
        let rest = branch.strip_prefix(MAGIC_COOKIE.as_bytes())?.strip_prefix(&self.run)?;
        let (name, letter) = rest.split_at_checked(16)?;
        let [letter] = *letter else { return None };
        let kind = Kind::ALL.into_iter().find(|kind| kind.letter() == letter)?;
        Some((read_name(name)?, kind))
    }

    /// Whose call has this tag of ours.
    pub fn of_tag(&self, tag: &[u8]) -> Option<Name> {
        read_name(tag)
    }
}

/// Two numbers of 8 hexadecimal digits each.
fn read_name(text: &[u8]) -> Option<Name> {
    let text: &[u8; 16] = text.try_into().ok()?;
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0_u32, |number, digit| {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            Some(number << 4 | u32::from(value))
        })
    };
    let (ue, count) = text.split_at(8);
    Some(Name { ue: number(ue)?, count: number(count)? })
}

#[cfg(test)]
mod tests {
    use super::super::template::Fields;
    use super::*;
    use imstorm_sip::{Index, parse};

    fn texts() -> Texts {
        let local = SocketAddr::from(([127, 16, 0, 1], 5070));
        Texts::new(0xabcd, local, "ims.example", 3_600, "sip:service@127.0.0.1:5090")
    }

    const FIELDS: Fields<'static> = Fields { impu: b"sip:ue1@ims.example", ue: 77, count: 0x1f2 };

    #[test]
    fn what_is_written_can_be_read_and_says_whose_it_is() {
        let texts = texts();
        for (template, method, kind, cseq) in [
            (&texts.register, Method::Register, Kind::Register, 0x1f2),
            (&texts.deregister, Method::Register, Kind::Register, 0x1f2),
            (&texts.invite, Method::Invite, Kind::Invite, 1),
        ] {
            let mut out = [0; 2048];
            let len = template.write(&FIELDS, &mut out).unwrap();
            let mut index = Index::default();
            let message = parse(&out[..len], &mut index).unwrap();
            assert_eq!(message.check(), Ok(()), "{}", String::from_utf8_lossy(&out[..len]));
            assert_eq!(message.method(), method);
            let read = message.cseq().unwrap();
            assert_eq!((read.method, read.number), (method, cseq));
            let branch = message.via().unwrap().branch.unwrap();
            assert_eq!(texts.of_branch(branch), Some((Name { ue: 77, count: 0x1f2 }, kind)));
            assert_eq!(message.body().is_empty(), method == Method::Register);
        }
        let mut out = [0; 64];
        let len = texts.tag.write(&FIELDS, &mut out).unwrap();
        assert_eq!(texts.of_tag(&out[..len]), Some(Name { ue: 77, count: 0x1f2 }));
    }

    #[test]
    fn other_branches_are_nobodys() {
        let texts = texts();
        for branch in [
            &b"z9hG4bK0000abcd0000004d000001f2r"[..],
            b"z9hG4bK0000abce0000004d000001f2r",
            b"z9hG4bK0000abcd0000004d000001f2x",
            b"z9hG4bK0000abcd0000004d000001f2rr",
            b"z9hG4bK0000abcd0000004D000001f2r",
            b"z9hG4bK0000abcd0000004d",
            b"",
        ]
        .iter()
        .enumerate()
        {
            assert_eq!(texts.of_branch(branch.1).is_some(), branch.0 == 0, "{branch:?}");
        }
    }
}
