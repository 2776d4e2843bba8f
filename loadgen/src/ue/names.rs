//! The names of UEs and of what they begin: functions of the UE's number and of a counter, so that nothing need be kept.

use imstorm_sip::Writer;

use super::write::UeSettings;
use crate::population::{NAME_BYTES_MAX, Population};

/// Call-ID and tag of what a UE begins.
pub struct DialogNames {
    call_id: ([u8; 80], usize),
    tag: ([u8; 32], usize),
}

/// What a Call-ID is of.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// The security subscription of this set-up.
    Security(u32),
    /// The registrations over the connection of this set-up.
    Registration(u32),
    /// The UE's subscription to its registration state with this number.
    RegEvent(u32),
    /// The UE's MESSAGE with this number.
    Message(u32),
    /// The UE's side of a session, with this number.
    Session(u32),
}

impl Call {
    /// The letter that parts it from the others, and its number.
    fn parts(self) -> (&'static [u8], u32) {
        match self {
            Self::Security(number) => (b"", number),
            Self::Registration(number) => (b"r", number),
            Self::RegEvent(number) => (b"e", number),
            Self::Message(number) => (b"m", number),
            Self::Session(number) => (b"s", number),
        }
    }

    /// Writes what parts a UE's calls.
    pub fn write(self, out: &mut Writer<'_>) {
        let (letter, number) = self.parts();
        out.put(letter).decimal(u64::from(number));
    }
}

impl DialogNames {
    pub fn new(population: &Population, settings: &UeSettings, ue: u32, call: Call) -> Self {
        let mut call_id = [0; 80];
        let mut tag = [0; 32];
        let mut writer = Writer::new(&mut call_id);
        writer.hex_u32(settings.run).put(b"-").hex_u32(ue).put(b"-");
        call.write(&mut writer);
        writer.put(b"@").ip(population.address(ue));
        let call_id_len = writer.len();
        let (letter, number) = call.parts();
        let mut writer = Writer::new(&mut tag);
        writer.hex_u32(ue).hex_u32(settings.run ^ number).put(letter);
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
    pub fn new(population: &Population, settings: &UeSettings, ue: u32, call: Call) -> Self {
        let mut impi = [0; NAME_BYTES_MAX];
        let mut impu = [0; NAME_BYTES_MAX];
        let mut writer = Writer::new(&mut impi);
        settings.write_impi(population, ue, &mut writer);
        let impi_len = writer.len();
        let mut writer = Writer::new(&mut impu);
        population.write_impu(ue, &mut writer);
        let impu_len = writer.len();
        let dialog = DialogNames::new(population, settings, ue, call);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_a_ue_are_told_apart() {
        let calls = [
            Call::Security(1),
            Call::Security(2),
            Call::Registration(1),
            Call::RegEvent(1),
            Call::Message(1),
            Call::Session(1),
        ];
        let texts = calls.map(|call| {
            let mut text = [0; 16];
            let mut writer = Writer::new(&mut text);
            call.write(&mut writer);
            writer.as_written().to_vec()
        });
        for (place, text) in texts.iter().enumerate() {
            assert!(!texts[..place].contains(text));
        }
    }
}
