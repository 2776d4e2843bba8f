//! Security-Server as it was received, which Security-Verify repeats to the letter (RFC 3329 clause 2.3.1), mechanisms that the UE does
//! not know included.
//!
//! A P-CSCF tells each UE the same but for its two SPIs and two ports, and those the UE's set of security associations has anyway: the
//! text around them is kept once for all UEs.

use imstorm_base::strings::{Handle, Strings};
use imstorm_esp::{Associations, LocalPort};
use imstorm_sip::Writer;

use super::UeSet;

/// Room for a Security-Server.
pub const SERVER_BYTES_MAX: usize = 2048;
/// So many different texts around the values are kept: networks have one for each version of their P-CSCFs. What a P-CSCF makes up
/// anew for each UE is kept as it is, once they are full. None is ever removed.
const SHAPES_MAX: usize = 16;

/// The Security-Server of a set of security associations.
#[derive(Debug, PartialEq, Eq)]
pub enum Server {
    /// The shape with this number, and the set's own values.
    Shape(u8),
    /// As it is.
    Text(Handle),
}

const _: () = assert!(size_of::<Server>() == 8);

/// What a text's values are called, in the order of [`Values`].
const NAMES: [&[u8]; 4] = [b"spi-c=", b"spi-s=", b"port-c=", b"port-s="];
/// The number of all four, in that order with their names and semicolons between, as most have them.
const ALL: u8 = 4;
const ALL_BYTES_MAX: usize = "spi-c=4294967295;spi-s=4294967295;port-c=65535;port-s=65535".len();

/// The P-CSCF's SPIs and ports as a set has them, as text: all four one behind the other, and where each is.
struct Values {
    text: [u8; ALL_BYTES_MAX],
    places: [(u8, u8); 5],
}

impl Values {
    fn of(sa: &Associations, port_pc: u16, port_ps: u16) -> Self {
        let spi = |port| sa.outbound(port).spi();
        let spis = [spi(LocalPort::Server), spi(LocalPort::Client)];
        let values = [spis[0], spis[1], u32::from(port_pc), u32::from(port_ps)];
        let (mut text, mut places) = ([0; ALL_BYTES_MAX], [(0, 0); 5]);
        let mut writer = Writer::new(&mut text);
        for ((place, name), value) in places.iter_mut().zip(NAMES).zip(values) {
            if !writer.is_empty() {
                writer.put(b";");
            }
            let start = writer.put(name).len() as u8;
            *place = (start, writer.decimal(u64::from(value)).len() as u8);
        }
        places[usize::from(ALL)] = (0, writer.len() as u8);
        Self { text, places }
    }

    fn get(&self, number: u8) -> &[u8] {
        let (start, end) = self.places[usize::from(number)];
        &self.text[usize::from(start)..usize::from(end)]
    }

    /// Which value a text begins with, with its name in front: the name, its number, and what is behind it.
    fn first_of<'a>(&self, text: &'a [u8]) -> Option<(&'static [u8], u8, &'a [u8])> {
        let named = [(&b""[..], ALL)].into_iter().chain(NAMES.into_iter().zip(0..));
        let mut found = named.filter_map(|(name, number)| {
            let behind = text.strip_prefix(name)?.strip_prefix(self.get(number))?;
            (!behind.first().is_some_and(u8::is_ascii_digit)).then_some((name, number, behind))
        });
        found.next()
    }
}

/// A text without its values.
#[derive(Debug)]
struct Shape {
    text: Vec<u8>,
    /// Where in `text` a value belongs, and which one, in order.
    cuts: Vec<(u16, u8)>,
}

impl Shape {
    fn of(text: &[u8], values: &Values) -> Self {
        let mut shape = Self { text: Vec::new(), cuts: Vec::new() };
        let mut rest = text;
        while let Some(first) = rest.first() {
            if let Some((name, number, behind)) = values.first_of(rest) {
                shape.text.extend_from_slice(name);
                shape.cuts.push((shape.text.len() as u16, number));
                rest = behind;
            } else {
                shape.text.push(*first);
                rest = &rest[1..];
            }
        }
        shape
    }

    /// The text's pieces: what is the shape's own, and the value behind it.
    fn pieces<'a>(&'a self, values: &'a Values) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut at = 0;
        let ends = self.cuts.iter().map(|(end, number)| (usize::from(*end), values.get(*number)));
        ends.chain([(self.text.len(), &[][..])]).map(move |(end, value)| {
            let own = &self.text[at..end];
            at = end;
            (own, value)
        })
    }

    fn is_of(&self, text: &[u8], values: &Values) -> bool {
        let mut rest = Some(text);
        for (own, value) in self.pieces(values) {
            rest = rest.and_then(|rest| rest.strip_prefix(own)?.strip_prefix(value));
        }
        rest.is_some_and(<[u8]>::is_empty)
    }
}

/// The shapes that were seen.
#[derive(Debug, Default)]
pub struct Servers {
    shapes: Vec<Shape>,
}

impl Servers {
    /// Keeps the Security-Server from which a set was made. `None` where there is no room for it.
    pub fn keep(
        &mut self,
        text: &[u8],
        sa: &Associations,
        (port_pc, port_ps): (u16, u16),
        strings: &mut Strings,
    ) -> Option<Server> {
        if text.len() > SERVER_BYTES_MAX {
            return None;
        }
        let values = Values::of(sa, port_pc, port_ps);
        let known = self.shapes.iter().position(|shape| shape.is_of(text, &values));
        if let Some(number) = known {
            return Some(Server::Shape(number as u8));
        }
        if self.shapes.len() < SHAPES_MAX {
            self.shapes.push(Shape::of(text, &values));
            return Some(Server::Shape(self.shapes.len() as u8 - 1));
        }
        strings.store(text).ok().map(Server::Text)
    }

    /// Writes what was kept of a set.
    pub fn write(&self, set: &UeSet, strings: &Strings, out: &mut Writer<'_>) {
        match &set.server {
            Server::Text(text) => {
                out.put(strings.get(text));
            }
            Server::Shape(number) => {
                let values = Values::of(&set.sa, set.port_pc, set.port_ps);
                for (own, value) in self.shapes[usize::from(*number)].pieces(&values) {
                    out.put(own).put(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imstorm_esp::{Mode, SecurityParameters, Suite};

    const PORTS: (u16, u16) = (5062, 5063);

    fn associations(number: u32) -> Associations {
        let parameters = SecurityParameters {
            spi_uc: 1_000_000,
            spi_us: 1_000_001,
            port_uc: 6100,
            port_us: 6101,
            spi_pc: 5000 + 2 * number,
            spi_ps: 5001 + 2 * number,
            port_pc: PORTS.0,
            port_ps: PORTS.1,
            ue_ip: "127.0.0.2".parse().unwrap(),
            pcscf_ip: "127.0.0.1".parse().unwrap(),
            suite: Suite::ALL[0],
            mode: Mode::UdpTunnel,
        };
        Associations::for_ue(&parameters, &[1; 16], &[2; 16])
    }

    fn kept(servers: &mut Servers, number: u32, text: &str, strings: &mut Strings) -> UeSet {
        let sa = associations(number);
        let server = servers.keep(text.as_bytes(), &sa, PORTS, strings).unwrap();
        UeSet { sa, port_pc: PORTS.0, port_ps: PORTS.1, offer: 1, pcscf_turn: 0, server }
    }

    fn written(servers: &Servers, set: &UeSet, strings: &Strings) -> String {
        let mut text = [0; SERVER_BYTES_MAX];
        let mut writer = Writer::new(&mut text);
        servers.write(set, strings, &mut writer);
        String::from_utf8(writer.as_written().to_vec()).unwrap()
    }

    #[test]
    fn a_network_has_one_shape_and_each_ue_its_own_text() {
        let (mut servers, mut strings) = (Servers::default(), Strings::with_capacity(1 << 16));
        for number in [0, 1, 700, 3_000_000] {
            let (spi_c, spi_s) = (5000 + 2 * number, 5001 + 2 * number);
            let text = format!(
                "ipsec-3gpp;q=0.9;alg=hmac-sha-1-96;spi-c={spi_c};spi-s={spi_s};port-c=5062;port-s=5063, \
                 other;spi-c={spi_c}0;x=5062, ipsec-3gpp;q=0.8;spi-s={spi_s};spi-c={spi_c}"
            );
            let set = kept(&mut servers, number, &text, &mut strings);
            assert_eq!(written(&servers, &set, &strings), text);
        }
        // The longer SPI is none of the set's: each of these texts is a shape of its own.
        assert_eq!((servers.shapes.len(), strings.len()), (4, 0));
        let mut servers = Servers::default();
        for number in 0..100 {
            let text = format!("ipsec-3gpp;spi-c={};port-s=5063", 5000 + 2 * number);
            let set = kept(&mut servers, number, &text, &mut strings);
            assert_eq!(set.server, Server::Shape(0));
        }
    }

    #[test]
    fn what_differs_otherwise_is_kept_as_it_is_and_bounded() {
        let (mut servers, mut strings) = (Servers::default(), Strings::with_capacity(1 << 16));
        let mut sets = Vec::new();
        for number in 0..40 {
            let text = format!("ipsec-3gpp;nonce={number};spi-c={}", 5000 + 2 * number);
            sets.push((kept(&mut servers, number, &text, &mut strings), text));
        }
        assert_eq!((servers.shapes.len(), strings.len()), (SHAPES_MAX, 40 - SHAPES_MAX));
        for (set, text) in &sets {
            assert_eq!(written(&servers, set, &strings), *text);
        }
        let (sa, text) = (associations(0), [b'a'; SERVER_BYTES_MAX + 1]);
        assert_eq!(servers.keep(&text, &sa, PORTS, &mut strings), None);
    }
}
