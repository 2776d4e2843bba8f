//! What the S-CSCF keeps of a registration: a binding of a public identity to the contact of one secure connection.

use imstorm_base::slab::{Key, Slab};
use imstorm_base::strings::{Handle, Strings};
use imstorm_base::time::Time;
use imstorm_sip::Writer;
use imstorm_sip::body::reginfo::ContactEvent;

use crate::look::Look;

// One for each registered identity.
const _: () = assert!(Slab::<Binding>::PLACE_BYTES <= 80);

/// A binding (RFC 3261 clause 10.3). An identity has at most one for each connection.
#[derive(Debug)]
pub struct Binding {
    /// The connection that it runs over.
    pub connection: Key,
    /// Of the public identity as it is provisioned.
    pub aor: u64,
    /// Its strings.
    pub strings: Handle,
    /// CSeq of the last REGISTER.
    pub cseq: u32,
    pub expires_at: Time,
    /// When it is looked after next.
    pub look: Look,
    /// The contact's preference, in thousandths.
    pub q_millis: u16,
    /// Rises from binding to binding: of equal preference, the newest is called.
    pub order: u64,
    /// Rises with the REGISTER's Call-ID: the temporary GRUUs of the one before are void (RFC 5627 clause 4.2).
    pub gruu_epoch: u32,
    /// Temporary GRUUs given out: each REGISTER gets another.
    pub gruu_count: u32,
    /// What happened to it last.
    pub event: ContactEvent,
    /// The next binding of the same connection.
    pub next_of_connection: Option<Key>,
}

/// A binding's strings.
#[derive(Copy, Clone, Debug, Default)]
pub struct BindingParts<'a> {
    /// The public identity, as it is provisioned.
    pub impu: &'a [u8],
    /// The contact's URI, without brackets.
    pub contact: &'a [u8],
    /// The contact's parameters that are callee capabilities and instance, each with its semicolon.
    pub params: &'a [u8],
    /// Path, without which the contact can't be reached (RFC 3327).
    pub path: &'a [u8],
    /// The URN in `+sip.instance`, empty where there is none.
    pub instance: &'a [u8],
    /// Call-ID of the last REGISTER.
    pub call_id: &'a [u8],
}

const PARTS: usize = 6;
/// The places of two of them.
const PARAMS: usize = 2;
const INSTANCE: usize = 4;
/// What stands before them: their lengths, and where in the parameters the instance stands.
const HEAD_BYTES: usize = 2 * (PARTS + 1);

/// Where an instance stands in the parameters that it was read from, which need not be kept twice; 0 where it does not.
fn place_of(instance: &[u8], params: &[u8]) -> usize {
    let mut brackets = params.iter().enumerate().filter(|(_, byte)| **byte == b'<');
    let found = brackets.find(|(at, _)| params[at + 1..].starts_with(instance));
    found.filter(|_| !instance.is_empty()).map_or(0, |(at, _)| at + 1)
}

impl<'a> BindingParts<'a> {
    /// Keeps the strings. `None` where the pool is full, or one is too long.
    pub fn store(&self, strings: &mut Strings) -> Option<Handle> {
        let parts = [self.impu, self.contact, self.params, self.path, self.instance, self.call_id];
        let mut lengths = [0; HEAD_BYTES];
        let mut writer = Writer::new(&mut lengths);
        for part in parts {
            writer.put(&u16::try_from(part.len()).ok()?.to_le_bytes());
        }
        let [impu, contact, params, path, instance, call_id] = parts;
        let place = place_of(instance, params);
        writer.put(&u16::try_from(place).ok()?.to_le_bytes());
        let instance = if place > 0 { &b""[..] } else { instance };
        strings.store_packed(&[&lengths, impu, contact, params, path, instance, call_id]).ok()
    }

    /// Reads what [`BindingParts::store`] kept.
    pub fn read(kept: &'a [u8]) -> Self {
        let (head, mut rest) = kept.split_at(HEAD_BYTES);
        let number = |at: usize| usize::from(u16::from_le_bytes([head[2 * at], head[2 * at + 1]]));
        let mut parts = [&b""[..]; PARTS];
        for at in 0..PARTS {
            match (at, number(PARTS)) {
                (INSTANCE, place @ 1..) => parts[at] = &parts[PARAMS][place..][..number(INSTANCE)],
                _ => (parts[at], rest) = rest.split_at(number(at)),
            }
        }
        let [impu, contact, params, path, instance, call_id] = parts;
        Self { impu, contact, params, path, instance, call_id }
    }

    /// Writes the public GRUU (RFC 5627 clause 3.1.1): `impu;gr=instance`. Nothing where the identity is no sip: URI or there is no
    /// instance.
    pub fn write_pub_gruu(&self, out: &mut Writer<'_>) {
        if !self.instance.is_empty() && self.impu.starts_with(b"sip:") {
            out.put(self.impu).put(b";gr=").put(self.instance);
        }
    }

    /// The most bytes that the binding takes in the body for those who watch the identity (`reginfo::write`).
    pub fn told_bytes(&self) -> usize {
        /// Tags and attributes of a contact, and `;gr=`.
        const FRAME_BYTES: usize = 144;
        let texts = [self.contact, self.impu, self.instance];
        FRAME_BYTES + texts.into_iter().map(escaped_bytes).sum::<usize>()
    }
}

/// The length of a text in XML, where a character of its own meaning is a reference of up to six bytes.
pub fn escaped_bytes(text: &[u8]) -> usize {
    text.len() + 5 * text.iter().filter(|byte| b"&<>\"'".contains(byte)).count()
}

#[cfg(test)]
mod tests {
    use imstorm_base::TextRoom;

    use super::*;

    #[test]
    fn a_bindings_strings_come_back() {
        let mut strings = Strings::with_capacity(1 << 16);
        let urn = &b"urn:uuid:00000000-0000-4000-8000-000000000001"[..];
        let params = [b";a=\"<\";+sip.instance=\"<", urn, b">\";q=0.5"].concat();
        for (params, instance) in [
            (&params[..], urn),
            (&params[..], b"urn:other"),
            (b"", urn),
            (&params[..], b""),
            (b"", b""),
        ] {
            let parts = BindingParts {
                impu: b"sip:ue1@ims.example",
                contact: b"sip:127.0.0.1:5062",
                params,
                path: b"<sip:127.0.0.1:6060;lr>",
                instance,
                call_id: b"1@127.0.0.1",
            };
            let kept = parts.store(&mut strings).unwrap();
            let mut room = TextRoom::default();
            let read = BindingParts::read(strings.read(&kept, &mut room));
            assert_eq!((read.impu, read.contact), (parts.impu, parts.contact));
            assert_eq!((read.params, read.instance), (params, instance));
            assert_eq!((read.path, read.call_id), (parts.path, parts.call_id));
            strings.release(kept);
        }
    }
}
