//! What a UE keeps of the last 2xx to a SUBSCRIBE or REGISTER: what the network has said. Call-ID, own tag and both URIs of the dialog
//! are functions of the UE's number ([`Names`]).

use imstorm_base::TextRoom;
use imstorm_base::strings::{Handle, Strings};
use imstorm_sip::{DialogParts, Writer};

use super::names::Names;

/// The network's part of a dialog, and its Service-Route.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Remote<'a> {
    /// Its tag.
    pub tag: &'a [u8],
    /// Its Contact's URI.
    pub target: &'a [u8],
    /// The route set, as [`DialogParts::routes`].
    pub routes: &'a [u8],
    /// Service-Route (RFC 3608) entry by entry, with commas between; empty if there was none.
    pub service_route: &'a [u8],
}

/// Three lengths of 16 bits; the last string ends with the text.
const LENGTHS_BYTES: usize = 6;

impl<'a> Remote<'a> {
    /// Writes it as one text; its length. `None` if it does not fit.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out);
        for part in [self.tag, self.target, self.routes] {
            writer.put(&u16::try_from(part.len()).ok()?.to_le_bytes());
        }
        writer.put(self.tag).put(self.target).put(self.routes).put(self.service_route);
        writer.done().ok()
    }

    /// Reads what was stored, packed or not; `room` is where it stands meanwhile.
    pub fn read(strings: &'a Strings, kept: &Handle, room: &'a mut TextRoom) -> Self {
        Self::decode(strings.read(kept, room))
    }

    /// Reads what [`encode`](Self::encode) wrote; of an empty text nothing.
    pub fn decode(text: &'a [u8]) -> Self {
        let Some((lengths, rest)) = text.split_at_checked(LENGTHS_BYTES) else {
            return Self::default();
        };
        let length =
            |place: usize| usize::from(u16::from_le_bytes([lengths[place], lengths[place + 1]]));
        let (tag, rest) = rest.split_at(length(0));
        let (target, rest) = rest.split_at(length(2));
        let (routes, service_route) = rest.split_at(length(4));
        Self { tag, target, routes, service_route }
    }

    /// The dialog's strings. `names` are those that it was begun under, by a user who writes to itself.
    pub fn dialog(&self, names: &'a Names) -> DialogParts<'a> {
        DialogParts {
            call_id: names.call_id(),
            local_tag: names.tag(),
            remote_tag: self.tag,
            local_uri: names.impu(),
            remote_uri: names.impu(),
            remote_target: self.target,
            routes: self.routes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let whole = Remote {
            tag: b"0000000100000002u",
            target: b"sip:s@127.0.0.1:6260",
            routes: b"<sip:127.0.0.1:5063;lr>",
            service_route: b"<sip:s@127.0.0.1:6260;lr>",
        };
        for remote in
            [whole, Remote { routes: b"", ..whole }, Remote { tag: b"", target: b"", ..whole }]
        {
            let mut text = [0; 128];
            let len = remote.encode(&mut text).unwrap();
            assert_eq!(Remote::decode(&text[..len]), remote);
            assert_eq!(remote.encode(&mut text[..len - 1]), None);
        }
        assert_eq!(Remote::decode(b""), Remote::default());
    }
}
