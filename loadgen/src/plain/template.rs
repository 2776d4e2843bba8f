//! Messages that are the same for all UEs but for a few fields: taken apart once, and put together with a UE's fields.

use imstorm_sip::Writer;

/// What differs between UEs and between requests.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Field {
    /// The user's public identity.
    Impu,
    /// The UE's number, 8 hexadecimal digits.
    Ue,
    /// The count of the request or call, 8 hexadecimal digits.
    Count,
    /// The same in decimal digits.
    Decimal,
}

/// The fields, by the names that they have in a template's text.
const FIELDS: [(&str, Field); 4] = [
    ("{impu}", Field::Impu),
    ("{ue}", Field::Ue),
    ("{count}", Field::Count),
    ("{decimal}", Field::Decimal),
];

/// A UE's fields.
#[derive(Copy, Clone, Debug)]
pub(super) struct Fields<'a> {
    /// The user's public identity.
    pub impu: &'a [u8],
    /// The UE's number.
    pub ue: u32,
    /// The count of the request or call.
    pub count: u32,
}

/// A message with places for fields.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// What stands before each field.
    pieces: Box<[(Box<[u8]>, Field)]>,
    end: Box<[u8]>,
}

impl Template {
    /// From a text with `{impu}`, `{ue}`, `{count}` and `{decimal}` where the fields are.
    pub fn new(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        let first = |text: &str| {
            let places = FIELDS.iter().filter_map(|(name, field)| {
                text.find(name).map(|at| (at, at + name.len(), *field))
            });
            places.min_by_key(|(at, ..)| *at)
        };
        while let Some((at, behind, field)) = first(rest) {
            pieces.push((rest.as_bytes()[..at].into(), field));
            rest = &rest[behind..];
        }
        Self { pieces: pieces.into(), end: rest.as_bytes().into() }
    }

    /// Writes the message with a UE's fields; its length, or `None` where it does not fit.
    pub fn write(&self, fields: &Fields<'_>, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out);
        for (before, field) in &self.pieces {
            writer.put(before);
            match field {
                Field::Impu => writer.put(fields.impu),
                Field::Ue => writer.hex_u32(fields.ue),
                Field::Count => writer.hex_u32(fields.count),
                Field::Decimal => writer.decimal(u64::from(fields.count)),
            };
        }
        writer.put(&self.end);
        writer.done().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_the_text_has_them() {
        let template = Template::new("A {ue}{count} <{impu}>;{decimal}\r\n{unknown}");
        let fields = Fields { impu: b"sip:a@b", ue: 0x1f, count: 300 };
        let mut out = [0; 64];
        let len = template.write(&fields, &mut out).unwrap();
        assert_eq!(&out[..len], b"A 0000001f0000012c <sip:a@b>;300\r\n{unknown}");
        assert_eq!(template.write(&fields, &mut out[..len - 1]), None);
    }
}
