//! Texts of a population, packed: they differ from one another in digits alone.
//!
//! A text is cut into its digits, kept at half a byte each, and its *shape*, which is all the rest: the other bytes, and where the
//! digits stand. What counts as digits are runs of `0-9a-f` that have at least one of `0-9`, so that the letters of words stay with
//! the shape. A shape is kept once, for all texts that have it.
//!
//! The table of shapes is bounded, and a shape that is in it stays for good: what was packed by it has to be read. So a shape is
//! only taken in when a text of it comes the second time: foreign texts that never repeat leave the table alone, and cost what
//! they cost unpacked.

/// How many shapes there may be.
const SHAPES_MAX: usize = 4096;
/// 64-bit words that the shapes may take together: at 300 B of text each, there is room for some 3,000.
const WORDS_MAX: usize = 128 * 1024;
/// Places of the index, a power of two: at most half of them fill.
const PLACES: usize = 2 * SHAPES_MAX;
/// How far from its own place a shape may stand in the index.
const PROBES_MAX: usize = 8;
/// Shapes that were seen once are remembered by their hashes, one for each of so many places.
const SEEN: usize = 4096;
/// What is read and written eight bytes at a time may go so far beyond a text's end.
pub(crate) const MARGIN_BYTES: usize = 8;

const TEXT_BYTES_MAX: usize = crate::STRING_BYTES_MAX;
const TEXT_WORDS_MAX: usize = TEXT_BYTES_MAX / 8;
const MAP_WORDS_MAX: usize = TEXT_BYTES_MAX / 64;

/// Where a text stands while it is read: little room for nearly all, and as much as there can be for the long ones.
#[derive(Debug)]
pub struct TextRoom {
    few: [u8; 512 + MARGIN_BYTES],
    many: Option<[u8; TEXT_BYTES_MAX + MARGIN_BYTES]>,
}

impl Default for TextRoom {
    fn default() -> TextRoom {
        TextRoom { few: [0; 512 + MARGIN_BYTES], many: None }
    }
}

impl TextRoom {
    /// Room for a text of `bytes` and the margin behind it.
    fn of(&mut self, bytes: usize) -> &mut [u8] {
        match bytes + MARGIN_BYTES <= self.few.len() {
            true => &mut self.few,
            false => self.many.insert([0; TEXT_BYTES_MAX + MARGIN_BYTES]),
        }
    }
}

/// What of a text is not its digits, as it stands in `Shapes::words`: the text with zeros for digits, eight bytes a word, then a
/// bit for each byte that is a digit.
#[derive(Clone, Copy, Debug)]
struct Shape {
    hash: u64,
    first_word: u32,
    text_bytes: u16,
}

impl Shape {
    fn text_words(self) -> usize {
        usize::from(self.text_bytes).div_ceil(8)
    }

    fn map_words(self) -> usize {
        usize::from(self.text_bytes).div_ceil(64)
    }
}

/// See the module. Its debug output has figures and none of the texts.
pub(crate) struct Shapes {
    shapes: Vec<Shape>,
    words: Vec<u64>,
    /// A shape's number plus one, by its hash; 0 is empty.
    index: Box<[u16]>,
    seen: Box<[u64]>,
    bench: Box<Bench>,
}

/// A text while it is packed.
struct Bench {
    /// The text, and zeros behind it as far as its last words go.
    text: [u8; TEXT_BYTES_MAX + 64],
    /// The text with zeros for digits.
    words: [u64; TEXT_WORDS_MAX],
    /// A bit for each byte that is a digit.
    map: [u64; MAP_WORDS_MAX],
    /// The digits, two a byte, the first one low.
    packed: [u8; TEXT_BYTES_MAX / 2 + 8],
}

impl std::fmt::Debug for Shapes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shapes")
            .field("len", &self.shapes.len())
            .field("words", &self.words.len())
            .finish_non_exhaustive()
    }
}

impl Shapes {
    /// No shapes; the memory for all that may come is reserved.
    pub(crate) fn new() -> Shapes {
        Shapes {
            shapes: Vec::with_capacity(SHAPES_MAX),
            words: Vec::with_capacity(WORDS_MAX),
            index: vec![0; PLACES].into_boxed_slice(),
            seen: vec![0; SEEN].into_boxed_slice(),
            bench: Box::new(Bench {
                text: [0; TEXT_BYTES_MAX + 64],
                words: [0; TEXT_WORDS_MAX],
                map: [0; MAP_WORDS_MAX],
                packed: [0; TEXT_BYTES_MAX / 2 + 8],
            }),
        }
    }

    /// Bytes of address space that all shapes take.
    pub(crate) const RESERVED_BYTES: usize = SHAPES_MAX * size_of::<Shape>()
        + WORDS_MAX * 8
        + PLACES * 2
        + SEEN * 8
        + size_of::<Bench>();

    /// How many shapes there are.
    pub(crate) fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Packs the concatenation of `parts`, of up to [`TEXT_BYTES_MAX`] bytes together: the number of its shape, and its digits, which may be
    /// none. `None` where its shape is not in the table, nor taken in now.
    pub(crate) fn pack(&mut self, parts: &[&[u8]], may_take_in: bool) -> Option<(u16, &[u8])> {
        let bench = &mut *self.bench;
        let mut length = 0;
        for part in parts {
            bench.text[length..length + part.len()].copy_from_slice(part);
            length += part.len();
        }
        let last_word = length.next_multiple_of(64);
        bench.text[length..last_word].fill(0);
        let hash = bench.cut(length);
        let number = match self.number_of(hash, length) {
            None if may_take_in => self.take_in(hash, length)?,
            known => known?,
        };
        Some((number, self.bench.pack_digits(length)))
    }

    /// The first `length` bytes of what was packed last.
    pub(crate) fn packed(&self, length: usize) -> &[u8] {
        &self.bench.packed[..length]
    }

    /// The text of a shape with these digits, as [`Shapes::pack`] gave them; `packed` goes on for [`MARGIN_BYTES`] of anything.
    pub(crate) fn unpack<'a>(
        &self,
        number: u16,
        packed: &[u8],
        room: &'a mut TextRoom,
    ) -> &'a [u8] {
        let shape = self.shapes[usize::from(number)];
        let length = usize::from(shape.text_bytes);
        let first = shape.first_word as usize;
        let (words, map) = self.words[first..first + shape.text_words() + shape.map_words()]
            .split_at(shape.text_words());
        let out = room.of(length);
        let (eights, _) = out.as_chunks_mut::<8>();
        for (eight, word) in eights.iter_mut().zip(words) {
            *eight = word.to_le_bytes();
        }
        let mut digit = 0;
        for (place, map) in map.iter().enumerate() {
            for (start, count) in Runs(*map) {
                put_digits(packed, digit, &mut out[64 * place + start..], count);
                digit += count;
            }
        }
        &out[..length]
    }

    /// How long the texts of a shape are.
    pub(crate) fn text_bytes(&self, number: u16) -> usize {
        usize::from(self.shapes[usize::from(number)].text_bytes)
    }

    /// The number of the shape that lies on the bench.
    fn number_of(&self, hash: u64, length: usize) -> Option<u16> {
        for probe in 0..PROBES_MAX {
            let number = self.index[place_of(hash, probe)].checked_sub(1)?;
            let shape = self.shapes[usize::from(number)];
            if shape.hash != hash || usize::from(shape.text_bytes) != length {
                continue;
            }
            let first = shape.first_word as usize;
            let (words, map) = self.words[first..].split_at(shape.text_words());
            if words == &self.bench.words[..words.len()]
                && map[..shape.map_words()] == self.bench.map[..shape.map_words()]
            {
                return Some(number);
            }
        }
        None
    }

    /// Takes the shape on the bench into the table, if it is not its first time and there is room.
    fn take_in(&mut self, hash: u64, length: usize) -> Option<u16> {
        let seen = &mut self.seen[hash as usize % SEEN];
        if *seen != hash {
            *seen = hash;
            return None;
        }
        let place =
            (0..PROBES_MAX).map(|probe| place_of(hash, probe)).find(|p| self.index[*p] == 0)?;
        let shape = Shape { hash, first_word: self.words.len() as u32, text_bytes: length as u16 };
        let is_room = self.shapes.len() < SHAPES_MAX
            && self.words.len() + shape.text_words() + shape.map_words() <= WORDS_MAX;
        is_room.then_some(())?;
        let number = self.shapes.len() as u16;
        self.words.extend_from_slice(&self.bench.words[..shape.text_words()]);
        self.words.extend_from_slice(&self.bench.map[..shape.map_words()]);
        self.shapes.push(shape);
        self.index[place] = number + 1;
        Some(number)
    }
}

fn place_of(hash: u64, probe: usize) -> usize {
    ((hash >> 32) as usize + probe) % PLACES
}

impl Bench {
    /// Cuts `text` into `words` and `map`; the hash of both.
    fn cut(&mut self, length: usize) -> u64 {
        let map_words = length.div_ceil(64);
        // First all that could be digits (any), and of those the decimal ones.
        let mut decimals = [0; MAP_WORDS_MAX];
        let (blocks, _) = self.text.as_chunks::<64>();
        for ((any, decimal), block) in
            self.map[..map_words].iter_mut().zip(&mut decimals).zip(blocks)
        {
            (*any, *decimal) = digits_of_block(block);
        }
        keep_runs_with(&mut self.map[..map_words], &mut decimals[..map_words]);
        let mut hash = length as u64;
        let (words, _) = self.words.as_chunks_mut::<8>();
        for ((map, block), words) in self.map[..map_words].iter().zip(blocks).zip(words) {
            let (eights, _) = block.as_chunks::<8>();
            for (at, (word, eight)) in words.iter_mut().zip(eights).enumerate() {
                *word = u64::from_le_bytes(*eight) & !lanes(map >> (8 * at));
            }
            hash = mixed(hash, *map, 0);
            for (at, pair) in words.as_chunks::<2>().0.iter().enumerate() {
                hash = mixed(hash, pair[0], pair[1].wrapping_add(at as u64));
            }
        }
        hash
    }

    /// The digits of `text`, packed.
    fn pack_digits(&mut self, length: usize) -> &[u8] {
        let (mut waiting, mut bits, mut len) = (0u64, 0, 0);
        for (place, map) in self.map[..length.div_ceil(64)].iter().enumerate() {
            for (start, mut count) in Runs(*map) {
                let mut at = 64 * place + start;
                while count > 0 {
                    let taken = count.min(8);
                    waiting |= nibbles(word_at(&self.text, at), taken) << bits;
                    (bits, at, count) = (bits + 4 * taken, at + taken, count - taken);
                    if bits >= 32 {
                        self.packed[len..len + 4].copy_from_slice(&(waiting as u32).to_le_bytes());
                        (waiting, bits, len) = (waiting >> 32, bits - 32, len + 4);
                    }
                }
            }
        }
        self.packed[len..len + 8].copy_from_slice(&waiting.to_le_bytes());
        &self.packed[..len + bits.div_ceil(8)]
    }
}

/// The runs of ones of a word, lowest first: where they begin, and how long they are.
struct Runs(u64);

impl Iterator for Runs {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        if self.0 == 0 {
            return None;
        }
        let start = self.0.trailing_zeros();
        let count = (self.0 >> start).trailing_ones();
        // In two steps: a run may be the whole word.
        self.0 &= (u64::MAX << (start + count - 1)) << 1;
        Some((start as usize, count as usize))
    }
}

/// Writes `count` digits from the `first` one on to the beginning of `out`, where there are zeros.
fn put_digits(packed: &[u8], mut first: usize, mut out: &mut [u8], mut count: usize) {
    while count > 0 {
        let taken = count.min(8);
        let text = digits_text(word_at(packed, first / 2) >> (4 * (first % 2)));
        let text = text & low_bytes(taken);
        let (eight, _) = out.split_at_mut(8);
        let there = word_at(eight, 0);
        eight.copy_from_slice(&(there | text).to_le_bytes());
        (first, count, out) = (first + taken, count - taken, &mut out[taken..]);
    }
}

fn word_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// A byte in each of the eight lanes of a word.
const fn each(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
}

/// The lowest `count` bytes of a word, up to 8.
fn low_bytes(count: usize) -> u64 {
    u64::MAX >> (64 - 8 * count)
}

/// Which of 64 bytes are of `0-9a-f`, and which of `0-9`: a bit each.
fn digits_of_block(block: &[u8; 64]) -> (u64, u64) {
    let (mut any, mut decimal) = (0, 0);
    for (place, eight) in block.as_chunks::<8>().0.iter().enumerate() {
        let (a, d) = digits_of(u64::from_le_bytes(*eight));
        any |= a << (8 * place);
        decimal |= d << (8 * place);
    }
    (any, decimal)
}

/// Which of eight bytes are of `0-9a-f`, and which of `0-9`: a bit each.
fn digits_of(word: u64) -> (u64, u64) {
    // In seven bits a sum reaches the eighth where the byte is big enough, and never the next lane.
    let low = word & each(0x7f);
    let from = |byte: u8| low + each(0x80 - byte);
    let decimal = from(b'0') & !from(b'9' + 1) & !word & each(0x80);
    let letter = from(b'a') & !from(b'f' + 1) & !word & each(0x80);
    (gathered(decimal | letter), gathered(decimal))
}

/// The highest bits of the eight lanes as eight bits. By shifts: the compiler puts several words side by side, where a multiplication
/// of 64 bits is dear.
fn gathered(word: u64) -> u64 {
    let pairs = (word >> 7) | (word >> 14);
    let fours = pairs | (pairs >> 14);
    (fours | (fours >> 28)) & 0xff
}

/// Lanes of ones for each eight bits.
static LANES: [u64; 256] = {
    let mut lanes = [0; 256];
    let mut bits = 0;
    while bits < 256 {
        let mut lane = 0;
        while lane < 8 {
            if bits >> lane & 1 == 1 {
                lanes[bits] |= 0xff << (8 * lane);
            }
            lane += 1;
        }
        bits += 1;
    }
    lanes
};

/// Eight bits (the lowest of `bits`) as lanes of ones.
fn lanes(bits: u64) -> u64 {
    LANES[usize::from(bits as u8)]
}

/// Of the runs of ones in `any` keeps those that have a one in `with`, which is part of `any`; `with` is used up.
fn keep_runs_with(any: &mut [u64], with: &mut [u64]) {
    // A one that is added to a run of ones turns all from there to the run's end over; the carry goes on to the next word.
    let mut carry = false;
    for (any, with) in any.iter().zip(with.iter_mut()) {
        let (sum, over) = add_with_carry(*any, *with, carry);
        *with = ((sum ^ any) | *with) & any;
        carry = over;
    }
    // The same from the other end, for what stands before.
    carry = false;
    for (any, with) in any.iter_mut().zip(with.iter()).rev() {
        let (run, seed) = (any.reverse_bits(), with.reverse_bits());
        let (sum, over) = add_with_carry(run, seed, carry);
        *any = (((sum ^ run) | seed) & run).reverse_bits();
        carry = over;
    }
}

fn add_with_carry(one: u64, other: u64, carry: bool) -> (u64, bool) {
    let (sum, over) = one.overflowing_add(other);
    let (sum, again) = sum.overflowing_add(u64::from(carry));
    (sum, over | again)
}

/// The values of the first `count` (1 to 8) digits of a text, four bits each.
fn nibbles(text: u64, count: usize) -> u64 {
    let text = text & low_bytes(count);
    let values = (text & each(0x0f)) + 9 * ((text >> 6) & each(1));
    let pairs = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    (fours | fours >> 16) & 0xffff_ffff
}

/// The inverse of [`nibbles`], of the lowest eight.
fn digits_text(nibbles: u64) -> u64 {
    let fours = nibbles & 0xffff_ffff;
    let fours = (fours | fours << 16) & 0x0000_ffff_0000_ffff;
    let pairs = (fours | fours << 8) & 0x00ff_00ff_00ff_00ff;
    let values = (pairs | pairs << 4) & each(0x0f);
    let letters = ((values + each(6)) >> 4) & each(1);
    values + each(b'0') + letters * u64::from(b'a' - b'9' - 1)
}

/// Goes on hashing with two words. Good enough for texts that nobody gains by aiming at one place: a probe's length is bounded.
fn mixed(hash: u64, one: u64, other: u64) -> u64 {
    let product =
        u128::from(one ^ 0x9e37_79b9_7f4a_7c15) * u128::from(other ^ 0xd1b5_4a32_d192_ed03);
    hash.rotate_left(13).wrapping_add(product as u64 ^ (product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    /// Packs a text whose shape is known, or is now.
    fn pack(shapes: &mut Shapes, text: &[u8]) -> Option<(u16, Vec<u8>)> {
        let copy = |(number, packed): (u16, &[u8])| (number, packed.to_vec());
        if let Some(packed) = shapes.pack(&[text], true).map(copy) {
            return Some(packed);
        }
        shapes.pack(&[text], true).map(copy)
    }

    fn unpacked(shapes: &Shapes, number: u16, packed: &[u8]) -> Vec<u8> {
        let mut padded = packed.to_vec();
        padded.extend([0xee; MARGIN_BYTES]);
        shapes.unpack(number, &padded, &mut TextRoom::default()).to_vec()
    }

    #[test]
    fn the_second_text_of_a_shape_is_packed() {
        let mut shapes = Shapes::new();
        let text = |user: u32| format!("<sip:ue{user:08}@10.1.2.3:5062;sess=deadbeef{user:08x}>");
        assert!(shapes.pack(&[text(1).as_bytes()], true).is_none());
        let (number, packed) = shapes.pack(&[text(2).as_bytes()], true).unwrap();
        // The e before the number is of its run; 8 + 1, 5 of the address, 4 of the port, 16 of the token.
        assert_eq!((number, packed.len()), (0, 17));
        let packed = packed.to_vec();
        assert_eq!(unpacked(&shapes, number, &packed), text(2).as_bytes());
        let (number, packed) =
            shapes.pack(&[b"<sip:ue00000077", &text(77).as_bytes()[15..]], false).unwrap();
        let packed = packed.to_vec();
        assert_eq!(unpacked(&shapes, number, &packed), text(77).as_bytes());
        assert_eq!(shapes.len(), 1);
    }

    #[test]
    fn words_and_capitals_are_of_the_shape() {
        let mut shapes = Shapes::new();
        for text in [&b"abad cafe, face"[..], b"", b"no digits at all", b"DEADBEEF"] {
            let (number, packed) = pack(&mut shapes, text).unwrap();
            assert!(packed.is_empty());
            assert_eq!(unpacked(&shapes, number, &packed), text);
        }
        let (number, packed) = pack(&mut shapes, b"0AF00 007 abad1dea 99").unwrap();
        assert_eq!(packed.len(), 8);
        assert_eq!(unpacked(&shapes, number, &packed), b"0AF00 007 abad1dea 99");
    }

    #[test]
    fn runs_go_on_over_the_words_of_the_map() {
        let mut shapes = Shapes::new();
        for length in [1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 500, 512, 513, 4095, 4096] {
            for digit in [0, length / 2, length - 1] {
                let mut text = vec![b'c'; length];
                text[digit] = b'7';
                let (number, packed) = pack(&mut shapes, &text).unwrap();
                assert_eq!(packed.len(), length.div_ceil(2), "one digit makes it a run");
                assert_eq!(unpacked(&shapes, number, &packed), text);
            }
        }
    }

    #[test]
    fn every_text_comes_back() {
        let mut random = Random::new(17);
        let alphabets: [&[u8]; 4] = [
            b"0123456789abcdef",
            b"0123456789abcdefghij:;.@",
            b"aAfFgG09/:`@\x00\x7f\x80\xb0\xff",
            b"",
        ];
        let mut packed_bytes = 0;
        for round in 0..1_000 {
            // A table that is full keeps nothing more.
            let mut shapes = Shapes::new();
            let length = random.below(4097) as usize >> random.below(8);
            let alphabet = alphabets[round % alphabets.len()];
            let mut text = vec![0; length];
            random.bytes(&mut text);
            if !alphabet.is_empty() {
                text.iter_mut()
                    .for_each(|byte| *byte = alphabet[usize::from(*byte) % alphabet.len()]);
            }
            let (number, packed) = pack(&mut shapes, &text).unwrap();
            packed_bytes += packed.len();
            assert_eq!(unpacked(&shapes, number, &packed), text);
            assert_eq!(shapes.text_bytes(number), length);
        }
        assert!(packed_bytes > 0);
    }

    #[test]
    fn what_counts_as_digits_is_as_said() {
        let mut random = Random::new(23);
        for _ in 0..500 {
            let mut text = vec![0; 1 + random.below(300) as usize];
            random.bytes(&mut text);
            text.iter_mut()
                .for_each(|byte| *byte = b"012abcdefgh/:`@\xb1"[usize::from(*byte % 16)]);
            let mut expected = 0;
            for run in text.split(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                if run.iter().any(u8::is_ascii_digit) {
                    expected += run.len();
                }
            }
            let (_, packed) = pack(&mut Shapes::new(), &text).unwrap();
            assert_eq!(packed.len(), expected.div_ceil(2));
        }
    }

    #[test]
    fn a_full_table_takes_no_more_and_still_reads() {
        let mut shapes = Shapes::new();
        let name = |number: usize| {
            let letters = [number / 676 + 103, number / 26 % 26 + 65, number % 26 + 65];
            format!(
                "{}{}{}-{number:05}",
                letters[0] as u8 as char, letters[1] as u8 as char, letters[2] as u8 as char
            )
        };
        let packed: Vec<_> = (0..6_000).map(|n| pack(&mut shapes, name(n).as_bytes())).collect();
        assert!(shapes.len() <= SHAPES_MAX && shapes.len() > SHAPES_MAX / 2, "{}", shapes.len());
        assert_eq!(packed.iter().flatten().count(), shapes.len());
        for (number, packed) in packed.iter().enumerate() {
            if let Some((shape, packed)) = packed {
                assert_eq!(unpacked(&shapes, *shape, packed), name(number).as_bytes());
            }
        }
    }
}
