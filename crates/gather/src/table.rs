//! The table in which a worker combines its pairs: packed keys, each with a few words of state.
//!
//! Open addressing with linear probing, and the place of a key is given by the *high* bits of its hash. So the keys lie
//! almost sorted by hash: sorting each stretch between two empty slots sorts everything, which makes writing a sorted
//! run a single pass, and doubling the table another one. What is left of the last stretch runs into a margin behind the
//! table instead of wrapping round.
//!
//! A slot holds the whole hash and where the entry lies; an entry is its state, then the key's kind and length, then
//! the key. With the slots looked up ahead ([`Table::prefetch`]) a pair costs about two cache misses, overlapped.

use bytemuck::{Pod, Zeroable};

use crate::item::{Item, Kind};
use crate::memory;

const FIRST_BITS: u32 = 6;
const MARGIN: usize = 64; // slots behind the last; as many again when a stretch at the end does not fit

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Slot {
    hash: u64,
    entry: u64, // its first word in `words`, plus one; 0 is an empty slot
}

/// Keys and their states.
pub struct Table {
    slots: Vec<Slot>,
    bits: u32,
    words: Vec<u64>,
    width: usize,
    len: usize,
}

/// An entry being sorted.
struct Sorting {
    hash: u64,
    at: usize,
}

impl Table {
    /// An empty table, each key with `width` words of state, zero at first.
    pub fn new(width: usize) -> Self {
        Self { slots: empty_slots(FIRST_BITS), bits: FIRST_BITS, words: Vec::new(), width, len: 0 }
    }

    /// Keys in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is there no key?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes it takes.
    pub fn size(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.words.capacity() * 8
    }

    /// Have the slot of a hash brought nearer; it will be asked for soon.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        memory::prefetch(&self.slots[self.home(hash)]);
    }

    /// Have the entry that the first look at a hash finds brought nearer. For hashes whose slot is near by now.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        let slot = &self.slots[self.home(hash)];
        if slot.entry != 0 {
            memory::prefetch(&self.words[slot.entry as usize - 1]);
        }
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (hash >> (64 - self.bits)) as usize
    }

    /// The state of a key, entered with zeros if it is new. `hash` must be the key's.
    #[inline]
    pub fn state(&mut self, hash: u64, key: &Item) -> (&mut [u64], bool) {
        let mut index = self.home(hash);
        loop {
            let slot = self.slots[index];
            if slot.entry == 0 {
                return self.enter(index, hash, key);
            }
            if slot.hash == hash && self.key_at(slot.entry as usize - 1) == *key {
                let at = slot.entry as usize - 1;
                return (&mut self.words[at..at + self.width], false);
            }
            index += 1;
        }
    }

    /// The key of the entry at this word.
    #[inline]
    fn key_at(&self, at: usize) -> Item<'_> {
        let meta = self.words[at + self.width];
        let bytes: &[u8] = bytemuck::cast_slice(&self.words[at + self.width + 1..]);
        Item { kind: kind_of(meta), bytes: &bytes[..length_of(meta)] }
    }

    #[cold]
    #[inline(never)]
    fn enter(&mut self, index: usize, hash: u64, key: &Item) -> (&mut [u64], bool) {
        let at = self.words.len();
        let length = key.bytes.len();
        let room = self.width + 1 + length.div_ceil(8);
        if self.words.capacity() - at < room {
            memory::reserve(&mut self.words, room);
        }
        self.words.resize(at + room, 0);
        self.words[at + self.width] = (length as u64) << 8 | key.kind as u64;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words[at + self.width + 1..]);
        bytes[..length].copy_from_slice(key.bytes);
        self.slots[index] = Slot { hash, entry: at as u64 + 1 };
        self.len += 1;
        let capacity = 1usize << self.bits;
        if self.len > capacity / 16 * 11 {
            self.slots = moved(&self.slots, self.bits + 1);
            self.bits += 1;
        } else {
            end_empty(&mut self.slots, index);
        }
        (&mut self.words[at..at + self.width], true)
    }

    /// Call `each` with every key and state, in ascending order of (hash, kind, key bytes). The table is empty
    /// afterwards, also when `each` failed.
    pub fn drain<E>(&mut self, mut each: impl FnMut(u64, &Item, &[u64]) -> Result<(), E>) -> Result<(), E> {
        let full = std::mem::replace(self, Self::new(self.width));
        let mut stretch: Vec<Sorting> = Vec::new();
        for index in 0..full.slots.len() {
            let slot = full.slots[index];
            if slot.entry != 0 {
                stretch.push(Sorting { hash: slot.hash, at: slot.entry as usize - 1 });
                if let Some(ahead) = full.slots.get(index + 16).filter(|ahead| ahead.entry != 0) {
                    memory::prefetch(&full.words[ahead.entry as usize - 1]);
                }
                continue;
            }
            full.hand_over(&mut stretch, &mut each)?;
        }
        full.hand_over(&mut stretch, &mut each)
    }

    fn hand_over<E>(
        &self,
        stretch: &mut Vec<Sorting>,
        each: &mut impl FnMut(u64, &Item, &[u64]) -> Result<(), E>,
    ) -> Result<(), E> {
        stretch.sort_unstable_by(|a, b| {
            a.hash.cmp(&b.hash).then_with(|| {
                let (a, b) = (self.key_at(a.at), self.key_at(b.at));
                (a.kind, a.bytes).cmp(&(b.kind, b.bytes))
            })
        });
        for one in stretch.drain(..) {
            each(one.hash, &self.key_at(one.at), &self.words[one.at..one.at + self.width])?;
        }
        Ok(())
    }
}

fn kind_of(meta: u64) -> Kind {
    Kind::from_byte(meta as u8).unwrap_or(Kind::None)
}

fn length_of(meta: u64) -> usize {
    (meta >> 8) as usize
}

fn empty_slots(bits: u32) -> Vec<Slot> {
    memory::zeroed((1 << bits) + MARGIN)
}

/// The slots of a table with more bits.
fn moved(slots: &[Slot], bits: u32) -> Vec<Slot> {
    let mut larger = empty_slots(bits);
    for slot in slots.iter().filter(|slot| slot.entry != 0) {
        let mut index = (slot.hash >> (64 - bits)) as usize;
        while larger[index].entry != 0 {
            index += 1;
        }
        larger[index] = *slot;
        end_empty(&mut larger, index);
    }
    larger
}

/// After `index` was filled: the last slot of all stays empty, so that every search ends.
#[inline]
fn end_empty(slots: &mut Vec<Slot>, index: usize) {
    if index + 1 == slots.len() {
        slots.resize(slots.len() + MARGIN, Slot::zeroed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_key_has_its_own_state_and_they_come_out_sorted_by_hash() {
        let mut table = Table::new(1);
        let mut plain = BTreeMap::new();
        for number in 0..200_000u64 {
            let word = format!("word{}", number * number % 70_001);
            let item = Item::str(&word);
            table.state(item.hash(), &item).0[0] += number;
            *plain.entry((item.hash(), word)).or_insert(0) += number;
        }
        assert_eq!(table.len(), plain.len());
        let mut found = Vec::new();
        let _ = table.drain(|hash, key, state| {
            found.push(((hash, String::from_utf8(key.bytes.to_vec()).unwrap()), state[0]));
            Ok::<_, ()>(())
        });
        assert_eq!(found, plain.into_iter().collect::<Vec<_>>());
        assert!(table.is_empty());
    }

    #[test]
    fn equal_hashes_are_told_apart_and_sorted_by_key_also_at_the_end_of_the_table() {
        let mut table = Table::new(2);
        for number in (0..300u64).rev() {
            let word = format!("{number:03}");
            table.state(u64::MAX - number / 100, &Item::str(&word)).0[1] = number;
        }
        let mut found = Vec::new();
        let _ = table.drain(|hash, key, state| {
            found.push((hash, key.bytes.to_vec(), state[1]));
            Ok::<_, ()>(())
        });
        let mut sorted = found.clone();
        sorted.sort();
        assert_eq!(found, sorted);
        assert_eq!(found.len(), 300);
    }

    #[test]
    fn keys_of_one_payload_and_two_kinds_are_two() {
        let mut table = Table::new(1);
        for kind in [Kind::Str, Kind::Bytes] {
            let item = Item { kind, bytes: b"same" };
            assert!(table.state(7, &item).1);
            assert!(!table.state(7, &item).1);
        }
        let empty = Item::str("");
        assert!(table.state(empty.hash(), &empty).1);
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn a_table_is_empty_and_whole_after_a_drain_that_failed() {
        let mut table = Table::new(1);
        for number in 0..100 {
            table.state(number << 56, &Item::str("k")).0[0] = number;
        }
        let mut seen = 0;
        let stopped = table.drain(|_, _, _| {
            seen += 1;
            if seen == 50 { Err("full") } else { Ok(()) }
        });
        assert_eq!((stopped, table.len()), (Err("full"), 0));
        assert_eq!(table.state(1 << 56, &Item::str("k")), (&mut [0][..], true));
    }
}
