//! What sessions are about: a voice call as VoLTE UEs offer it (GSMA IR.92), answered with the offered codec that is best.

use std::net::IpAddr;

/// The type of a body that [`write`] makes.
pub const CONTENT_TYPE: &str = "application/sdp";
/// Where a UE says that it takes media: nobody sends any.
const MEDIA_PORT: u16 = 49_152;

/// A description's text: AMR-WB, AMR and telephone events where it is offered, AMR-WB and events where it answers (RFC 3264). `id` is
/// the session's number, `version` rises with each description that differs.
pub fn write(address: IpAddr, id: u32, version: u32, is_offer: bool) -> String {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let mut text = format!(
        "v=0\r\no=- {id} {version} IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nb=AS:41\r\nt=0 0\r\n"
    );
    if is_offer {
        text += &format!("m=audio {MEDIA_PORT} RTP/AVP 104 102 105 100\r\n");
    } else {
        text += &format!("m=audio {MEDIA_PORT} RTP/AVP 104 105\r\n");
    }
    text += "a=rtpmap:104 AMR-WB/16000\r\na=fmtp:104 mode-change-capability=2;max-red=220\r\n";
    if is_offer {
        text += "a=rtpmap:102 AMR/8000\r\na=fmtp:102 mode-change-capability=2;max-red=220\r\n";
    }
    text += "a=rtpmap:105 telephone-event/16000\r\na=fmtp:105 0-15\r\n";
    if is_offer {
        text += "a=rtpmap:100 telephone-event/8000\r\na=fmtp:100 0-15\r\n";
    }
    text += "a=ptime:20\r\na=maxptime:240\r\na=sendrecv\r\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_as_long_as_a_volte_ues_and_the_answer_takes_a_part_of_it() {
        let address = IpAddr::from([127, 16, 0, 1]);
        let (offer, answer) = (write(address, 7, 1, true), write(address, 7, 1, false));
        assert!((400..=500).contains(&offer.len()), "{} B", offer.len());
        for line in answer.lines().filter(|line| line.starts_with("a=")) {
            assert!(offer.contains(line), "{line}");
        }
        assert!(offer.contains("c=IN IP4 127.16.0.1\r\n"));
        let six = write("fd00::1".parse().unwrap(), 7, 1, true);
        assert!(six.contains("c=IN IP6 fd00::1\r\n"));
    }
}
