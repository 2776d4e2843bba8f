//! Byte strings of mixed lengths in one bounded pool: what dialogs and bindings keep of messages.
//!
//! The pool is cut into pages, each page into slots of one size class. A page whose last slot is
//! released serves any class again, so memory follows what the population needs.
//!
//! What is kept for long is packed where it can be (`store_packed`, `read`): a text that differs from others in its digits alone is the
//! number of what they have in common, and its digits at half a byte each (`shapes.rs`).

use crate::Full;
use crate::shapes::{MARGIN_BYTES, Shapes, TextRoom};
use std::num::NonZeroU32;

/// Bytes of a slot, by class: a string takes the smallest that holds it.
pub const SIZE_CLASSES: [usize; 26] = [
    8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 112, 128, 160, 192, 256, 320, 384, 512, 640,
    768, 1024, 1536, 2048, 4096,
];

/// The longest string that can be stored.
pub const STRING_BYTES_MAX: usize = 4096;

/// Big enough for four strings of the biggest class, small enough that a half-filled page of each class
/// is nothing beside a shard's pool.
const PAGE_BYTES: usize = 16 * 1024;
/// Slot positions are counted in units that divide every class: 2^32 of them are 32 GiB.
const UNIT_BYTES: usize = 8;
const NONE: u32 = u32::MAX;
const NO_SLOT: u16 = u16::MAX;
const NO_CLASS: u8 = u8::MAX;
/// The shape of a string that stands as it is.
const PLAIN: u16 = u16::MAX;

const _: () = {
    let mut class = 0;
    while class < SIZE_CLASSES.len() {
        assert!(SIZE_CLASSES[class].is_multiple_of(UNIT_BYTES));
        assert!(class == 0 || SIZE_CLASSES[class] > SIZE_CLASSES[class - 1]);
        class += 1;
    }
    assert!(SIZE_CLASSES[SIZE_CLASSES.len() - 1] == STRING_BYTES_MAX);
    assert!(PAGE_BYTES / SIZE_CLASSES[0] < NO_SLOT as usize);
};

/// Owns one stored string; neither `Clone` nor `Copy`. Give it back with `Strings::release`: a
/// handle that is merely dropped leaks its slot, which shows in `Strings::len`.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a dropped handle leaks its slot"]
pub struct Handle {
    /// Position in units, plus one; what takes no bytes has no slot and `NonZeroU32::MAX`.
    location: NonZeroU32,
    /// Bytes in the slot.
    length: u16,
    /// What the string has in common with others, if it is packed; else `PLAIN`.
    shape: u16,
}

const _: () = assert!(size_of::<Handle>() == 8 && size_of::<Option<Handle>>() == 8);

impl Handle {
    /// The empty string: takes no memory, need not be released, and is not counted.
    pub const EMPTY: Handle = Handle { location: NonZeroU32::MAX, length: 0, shape: PLAIN };

    /// Bytes that the string takes in the pool: those of the string where it is not packed.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        usize::from(self.length)
    }

    /// Whether the string is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0 && self.shape == PLAIN
    }

    /// Whether the string is packed.
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.shape != PLAIN
    }

    /// Whether it has a slot: the empty string has none, and none what is packed and has no digits.
    fn has_slot(&self) -> bool {
        self.length > 0
    }

    fn offset(&self) -> usize {
        (self.location.get() as usize - 1) * UNIT_BYTES
    }
}

impl Default for Handle {
    fn default() -> Handle {
        Handle::EMPTY
    }
}

/// See the module. Its debug output has figures and none of the strings: they may be anything.
pub struct Strings {
    memory: Box<[u8]>,
    pages: Vec<Page>,
    /// Vacated pages, as a list through `Page::next`.
    free_pages: u32,
    /// Per class the pages that have room, as a doubly linked list.
    open: [u32; SIZE_CLASSES.len()],
    page_count_max: usize,
    len: usize,
    used_bytes: usize,
    refused: u64,
    shapes: Shapes,
}

#[derive(Debug)]
struct Page {
    class: u8,
    used: u16,
    /// Slots below this were handed out at some time; those above are untouched.
    touched: u16,
    free_slot: u16,
    next: u32,
    previous: u32,
}

impl std::fmt::Debug for Strings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Strings")
            .field("len", &self.len)
            .field("used_bytes", &self.used_bytes)
            .field("refused", &self.refused)
            .field("shapes", &self.shapes)
            .finish_non_exhaustive()
    }
}

impl Strings {
    /// A pool of `bytes` (rounded up to whole pages of 16 KiB), all its address space reserved,
    /// touched as strings come. Asserts that it is below 32 GiB.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Strings {
        let page_count_max = bytes.div_ceil(PAGE_BYTES).max(1);
        assert!(page_count_max * (PAGE_BYTES / UNIT_BYTES) < NONE as usize - 1, "pool too big");
        Strings {
            memory: vec![0; page_count_max * PAGE_BYTES + MARGIN_BYTES].into_boxed_slice(),
            pages: Vec::with_capacity(page_count_max),
            free_pages: NONE,
            open: [NONE; SIZE_CLASSES.len()],
            page_count_max,
            len: 0,
            used_bytes: 0,
            refused: 0,
            shapes: Shapes::new(),
        }
    }

    /// Claims the memory of the first `bytes` now (of all, if there are fewer), so that no page fault falls on
    /// whoever stores first. Only for a pool in which nothing was yet.
    pub fn prefill(&mut self, bytes: usize) {
        assert!(self.pages.is_empty(), "a pool is prefilled before it is used");
        let bytes = bytes.min(self.memory.len() - MARGIN_BYTES);
        // Not zero: an allocator's zeroed memory may stay unmapped for as long as only zeros are written.
        self.memory[..bytes].fill(0xa5);
    }

    /// Stores a copy of `bytes`. `Full` when its class has no slot and no page is vacant, or when
    /// it is longer than `STRING_BYTES_MAX`; either is counted in `refused`.
    pub fn store(&mut self, bytes: &[u8]) -> Result<Handle, Full> {
        self.store_parts(&[bytes])
    }

    /// Stores the concatenation of `parts`; otherwise as `store`.
    pub fn store_parts(&mut self, parts: &[&[u8]]) -> Result<Handle, Full> {
        let length = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        if length == 0 {
            return Ok(Handle::EMPTY);
        }
        let handle = self.claim(length)?;
        let mut at = handle.offset();
        for part in parts {
            self.memory[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Ok(handle)
    }

    /// Stores the concatenation of `parts` for long: packed, if that is shorter and its shape is known. Only `read` gives it back. Else as
    /// `store_parts`.
    pub fn store_packed(&mut self, parts: &[&[u8]]) -> Result<Handle, Full> {
        self.store_by_shape(parts, true)
    }

    /// As `store_packed`, of what anybody may have sent: nothing is learned from it. When it has turned out well, see `pack`.
    pub fn store_if_known(&mut self, parts: &[&[u8]]) -> Result<Handle, Full> {
        self.store_by_shape(parts, false)
    }

    /// Packs a string that stands as it is, if that is shorter and its shape is known. Where there is no room it stays.
    pub fn pack(&mut self, handle: &mut Handle) {
        if handle.shape != PLAIN || handle.kept_bytes() <= SIZE_CLASSES[0] {
            return;
        }
        let offset = handle.offset();
        let length = handle.kept_bytes();
        let text = &self.memory[offset..offset + length];
        if let Some((shape, packed)) = self.shapes.pack(&[text], true) {
            let packed_length = packed.len();
            if let Ok(new) = self.keep_packed(shape, packed_length, length) {
                self.release(std::mem::replace(handle, new));
            }
        }
    }

    /// Keeps the digits that were packed last, if that saves anything.
    fn keep_packed(&mut self, shape: u16, packed: usize, length: usize) -> Result<Handle, Full> {
        if packed == 0 {
            return Ok(Handle { shape, ..Handle::EMPTY });
        }
        if class_of(packed) >= class_of(length) {
            return Err(Full);
        }
        let handle = Handle { shape, ..self.claim(packed)? };
        let at = handle.offset();
        self.memory[at..at + packed].copy_from_slice(self.shapes.packed(packed));
        Ok(handle)
    }

    fn store_by_shape(&mut self, parts: &[&[u8]], may_take_in: bool) -> Result<Handle, Full> {
        let length = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        if length <= SIZE_CLASSES[0] || length > STRING_BYTES_MAX {
            return self.store_parts(parts);
        }
        let packed = self.shapes.pack(parts, may_take_in);
        let packed = packed.map(|(shape, packed)| (shape, packed.len()));
        match packed {
            Some((shape, packed)) if class_of(packed) < class_of(length) => {
                self.keep_packed(shape, packed, length)
            }
            _ => self.store_parts(parts),
        }
    }

    /// The bytes of a string of this pool, which was not stored to be packed.
    #[must_use]
    pub fn get(&self, handle: &Handle) -> &[u8] {
        assert!(handle.shape == PLAIN, "what may be packed is read");
        if !handle.has_slot() {
            return &[];
        }
        let offset = handle.offset();
        assert!(self.slot_is_in_use(offset), "a handle of another pool");
        &self.memory[offset..offset + handle.kept_bytes()]
    }

    /// The bytes of a string of this pool, packed or not: `room` is where they stand if they were packed.
    #[must_use]
    pub fn read<'a>(&'a self, handle: &Handle, room: &'a mut TextRoom) -> &'a [u8] {
        if handle.shape == PLAIN {
            return self.get(handle);
        }
        if !handle.has_slot() {
            return self.shapes.unpack(handle.shape, &[], room);
        }
        let offset = handle.offset();
        assert!(self.slot_is_in_use(offset), "a handle of another pool");
        let packed = &self.memory[offset..offset + handle.kept_bytes() + MARGIN_BYTES];
        self.shapes.unpack(handle.shape, packed, room)
    }

    /// Whether a string of this pool, packed or not, is `text`.
    #[must_use]
    pub fn is(&self, handle: &Handle, text: &[u8]) -> bool {
        match handle.shape {
            PLAIN => self.get(handle) == text,
            shape if self.shapes.text_bytes(shape) != text.len() => false,
            _ => self.read(handle, &mut TextRoom::default()) == text,
        }
    }

    /// Makes `handle` stand for `bytes`, in place where the class stays. On `Full` the old string
    /// stays as it was.
    pub fn replace(&mut self, handle: &mut Handle, bytes: &[u8]) -> Result<(), Full> {
        if handle.has_slot()
            && class_of(bytes.len()) == class_of(handle.kept_bytes())
            && !bytes.is_empty()
        {
            let offset = handle.offset();
            self.memory[offset..offset + bytes.len()].copy_from_slice(bytes);
            self.used_bytes = self.used_bytes - handle.kept_bytes() + bytes.len();
            (handle.length, handle.shape) = (bytes.len() as u16, PLAIN);
            return Ok(());
        }
        let new = self.store(bytes)?;
        self.release(std::mem::replace(handle, new));
        Ok(())
    }

    /// As `replace`, packed as `store_packed` does it.
    pub fn replace_packed(&mut self, handle: &mut Handle, bytes: &[u8]) -> Result<(), Full> {
        let new = self.store_packed(&[bytes])?;
        self.release(std::mem::replace(handle, new));
        Ok(())
    }

    /// Gives the string's memory back.
    #[expect(clippy::needless_pass_by_value, reason = "the handle ends here")]
    pub fn release(&mut self, handle: Handle) {
        if !handle.has_slot() {
            return;
        }
        let offset = handle.offset();
        assert!(self.slot_is_in_use(offset), "a handle of another pool");
        let index = (offset / PAGE_BYTES) as u32;
        let page = &mut self.pages[index as usize];
        let class = usize::from(page.class);
        let size = SIZE_CLASSES[class];
        let slot = (offset % PAGE_BYTES / size) as u16;
        let was_full = usize::from(page.used) == PAGE_BYTES / size;
        self.memory[offset..offset + 2].copy_from_slice(&page.free_slot.to_le_bytes());
        page.free_slot = slot;
        page.used -= 1;
        let is_vacant = page.used == 0;
        self.len -= 1;
        self.used_bytes -= handle.kept_bytes();
        if was_full {
            self.link(index, class);
        }
        if is_vacant {
            self.unlink(index, class);
            let page = &mut self.pages[index as usize];
            page.class = NO_CLASS;
            page.next = self.free_pages;
            self.free_pages = index;
        }
    }

    /// How many strings have a slot (the empty one has none): 0 when all owners have released theirs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no string is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The sum of the stored strings' lengths, of the packed ones as they are packed.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Bytes of the pages that hold strings; the difference to `used_bytes` is what classes cost.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.pages.iter().filter(|page| page.class != NO_CLASS).count() * PAGE_BYTES
    }

    /// Bytes of the pool, and of what packed strings have in common.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.memory.len() + Shapes::RESERVED_BYTES
    }

    /// How many different shapes packed strings may have.
    #[must_use]
    pub fn shapes(&self) -> usize {
        self.shapes.len()
    }

    /// How often `Full` was the answer.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes a slot for a string of `length` > 0.
    fn claim(&mut self, length: usize) -> Result<Handle, Full> {
        let Some((class, index)) = class_of(length).and_then(|c| Some((c, self.page_of(c)?)))
        else {
            self.refused += 1;
            return Err(Full);
        };
        let size = SIZE_CLASSES[class];
        let base = index as usize * PAGE_BYTES;
        let page = &mut self.pages[index as usize];
        let slot = if page.free_slot == NO_SLOT {
            page.touched += 1;
            page.touched - 1
        } else {
            let slot = page.free_slot;
            let at = base + usize::from(slot) * size;
            page.free_slot = u16::from_le_bytes([self.memory[at], self.memory[at + 1]]);
            slot
        };
        page.used += 1;
        if usize::from(page.used) == PAGE_BYTES / size {
            self.unlink(index, class);
        }
        self.len += 1;
        self.used_bytes += length;
        let unit = (base + usize::from(slot) * size) / UNIT_BYTES;
        let location = NonZeroU32::MIN.saturating_add(unit as u32);
        Ok(Handle { location, length: length as u16, shape: PLAIN })
    }

    /// A page of the class with room: an open one, a vacated one, or an untouched one.
    fn page_of(&mut self, class: usize) -> Option<u32> {
        if self.open[class] != NONE {
            return Some(self.open[class]);
        }
        let index = if self.free_pages != NONE {
            let index = self.free_pages;
            self.free_pages = self.pages[index as usize].next;
            index
        } else if self.pages.len() < self.page_count_max {
            self.pages.push(Page {
                class: NO_CLASS,
                used: 0,
                touched: 0,
                free_slot: NO_SLOT,
                next: NONE,
                previous: NONE,
            });
            self.pages.len() as u32 - 1
        } else {
            return None;
        };
        let page = &mut self.pages[index as usize];
        (page.class, page.touched, page.free_slot) = (class as u8, 0, NO_SLOT);
        self.link(index, class);
        Some(index)
    }

    fn link(&mut self, index: u32, class: usize) {
        let head = self.open[class];
        let page = &mut self.pages[index as usize];
        (page.next, page.previous) = (head, NONE);
        if head != NONE {
            self.pages[head as usize].previous = index;
        }
        self.open[class] = index;
    }

    fn unlink(&mut self, index: u32, class: usize) {
        let page = &mut self.pages[index as usize];
        let (next, previous) = (page.next, page.previous);
        (page.next, page.previous) = (NONE, NONE);
        if previous == NONE {
            assert_eq!(self.open[class], index, "the head of its class's list");
            self.open[class] = next;
        } else {
            self.pages[previous as usize].next = next;
        }
        if next != NONE {
            self.pages[next as usize].previous = previous;
        }
    }

    fn slot_is_in_use(&self, offset: usize) -> bool {
        self.pages.get(offset / PAGE_BYTES).is_some_and(|page| page.used > 0)
    }
}

/// The smallest class that holds `length` bytes.
fn class_of(length: usize) -> Option<usize> {
    let class = SIZE_CLASSES.partition_point(|&size| size < length);
    (class < SIZE_CLASSES.len()).then_some(class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    #[test]
    fn too_long_and_full_are_errors() {
        let mut strings = Strings::with_capacity(PAGE_BYTES);
        assert_eq!(strings.store(&[0; STRING_BYTES_MAX + 1]), Err(Full));
        let handles: Vec<Handle> = (0..4).map(|_| strings.store(&[1; 4096]).unwrap()).collect();
        assert_eq!(strings.store(b"x"), Err(Full));
        assert_eq!((strings.refused(), strings.used_bytes()), (2, 4 * 4096));
        for handle in handles {
            strings.release(handle);
        }
        // The page serves another class now.
        let small: Vec<Handle> = (0..1024).map(|i| strings.store(&[i as u8; 9]).unwrap()).collect();
        assert_eq!(strings.store(b"x"), Err(Full));
        assert_eq!(strings.get(&small[200]), [200; 9]);
        for handle in small {
            strings.release(handle);
        }
        assert_eq!((strings.len(), strings.used_bytes(), strings.held_bytes()), (0, 0, 0));
    }

    #[test]
    fn empty_takes_nothing() {
        let mut strings = Strings::with_capacity(1);
        let mut handle = strings.store(b"").unwrap();
        assert_eq!((strings.len(), strings.get(&handle)), (0, &b""[..]));
        strings.replace(&mut handle, b"full").unwrap();
        assert_eq!((strings.len(), strings.get(&handle)), (1, &b"full"[..]));
        strings.replace(&mut handle, b"").unwrap();
        assert_eq!(strings.len(), 0);
        strings.release(handle);
    }

    #[test]
    fn what_was_packed_reads_as_it_was() {
        let text = |user: usize| format!("Call-ID: {user:032x}@10.0.0.1 tag=as{user:08}");
        let mut strings = Strings::with_capacity(PAGE_BYTES * 4);
        let handles: Vec<Handle> =
            (0..100).map(|user| strings.store_packed(&[text(user).as_bytes()]).unwrap()).collect();
        // The first one stands as it is: until then its shape was nobody's.
        assert_eq!((handles[0].kept_bytes(), handles[1].kept_bytes()), (text(0).len(), 23));
        for (user, handle) in handles.iter().enumerate() {
            assert_eq!(strings.read(handle, &mut TextRoom::default()), text(user).as_bytes());
            assert!(strings.is(handle, text(user).as_bytes()));
            assert!(!strings.is(handle, text(user + 1).as_bytes()) && !strings.is(handle, b""));
        }
        let mut handle = strings.store_packed(&[b"always ", b"the same"]).unwrap();
        strings.replace_packed(&mut handle, b"always the same").unwrap();
        assert!(!handle.is_empty() && strings.is(&handle, b"always the same"));
        assert_eq!((handle.kept_bytes(), strings.len(), strings.shapes()), (0, 100, 2));
        strings.replace(&mut handle, b"once").unwrap();
        assert_eq!(strings.get(&handle), b"once");
        for handle in handles.into_iter().chain([handle]) {
            strings.release(handle);
        }
        assert_eq!((strings.len(), strings.used_bytes(), strings.held_bytes()), (0, 0, 0));
    }

    #[test]
    fn nothing_is_learned_from_what_anybody_may_send() {
        let mut strings = Strings::with_capacity(2 * PAGE_BYTES);
        let store =
            |strings: &mut Strings, text: &str| strings.store_if_known(&[text.as_bytes()]).unwrap();
        let mut handles: Vec<Handle> =
            (10..20).map(|user| store(&mut strings, &format!("user-{user}@example"))).collect();
        assert_eq!((handles.iter().any(Handle::is_packed), strings.shapes()), (false, 0));
        for handle in &mut handles {
            strings.pack(handle);
        }
        assert_eq!(handles.iter().filter(|handle| handle.is_packed()).count(), 9);
        strings.pack(&mut handles[0]);
        handles.push(store(&mut strings, "user-20@example"));
        for (handle, user) in handles.into_iter().zip(10..) {
            assert!(handle.is_packed());
            assert!(strings.is(&handle, format!("user-{user}@example").as_bytes()));
            strings.release(handle);
        }
        assert!(strings.is_empty());
    }

    #[test]
    fn packed_strings_of_any_length_come_back() {
        let mut random = Random::new(4);
        let mut strings = Strings::with_capacity(PAGE_BYTES * 40);
        for length in (0..140).chain([500, 511, 512, 513, 1023, 4095, STRING_BYTES_MAX]) {
            let mut text = vec![0; length];
            let mut handle = Handle::EMPTY;
            for _ in 0..3 {
                text.iter_mut()
                    .for_each(|byte| *byte = b"0123456789abcdef"[random.below(16) as usize]);
                let decimals = [(0, 0), (length / 2, 9)];
                decimals
                    .iter()
                    .filter(|(at, _)| *at < length)
                    .for_each(|(at, d)| text[*at] = b'0' + d);
                strings.replace_packed(&mut handle, &text).unwrap();
                assert_eq!(strings.read(&handle, &mut TextRoom::default()), text);
            }
            let is_packed = handle.kept_bytes() < length;
            assert_eq!(is_packed, length > 8, "{length}");
            strings.release(handle);
        }
        assert_eq!(strings.store_packed(&[&[b'1'; STRING_BYTES_MAX], b"1"]), Err(Full));
        assert!(strings.is_empty());
    }

    #[test]
    fn random_strings_keep_their_bytes() {
        let mut random = Random::new(3);
        let mut strings = Strings::with_capacity(40 * PAGE_BYTES);
        let mut model: Vec<(Handle, Vec<u8>)> = Vec::new();
        let mut refused = 0;
        for _ in 0..30_000 {
            let mut bytes = vec![0; random.below(4096) as usize >> random.below(8)];
            random.bytes(&mut bytes);
            match random.below(5) {
                0..=1 => match strings.store(&bytes) {
                    Ok(handle) => model.push((handle, bytes)),
                    Err(Full) => refused += 1,
                },
                2 if !model.is_empty() => {
                    let at = random.below(model.len() as u64) as usize;
                    let (handle, old) = &mut model[at];
                    if strings.replace(handle, &bytes).is_ok() {
                        *old = bytes;
                    } else {
                        refused += 1;
                    }
                }
                3 if !model.is_empty() => {
                    let at = random.below(model.len() as u64) as usize;
                    let (handle, bytes) = model.swap_remove(at);
                    assert_eq!(strings.get(&handle), bytes);
                    strings.release(handle);
                }
                _ => {
                    for (handle, bytes) in model.iter().rev().take(3) {
                        assert_eq!(strings.get(handle), bytes);
                    }
                }
            }
        }
        assert_eq!(strings.refused(), refused);
        assert!(refused > 0, "the pool was never full");
        assert_eq!(strings.used_bytes(), model.iter().map(|(_, b)| b.len()).sum::<usize>());
        for (handle, bytes) in model {
            assert_eq!(strings.get(&handle), bytes);
            strings.release(handle);
        }
        assert_eq!((strings.len(), strings.held_bytes()), (0, 0));
    }
}
