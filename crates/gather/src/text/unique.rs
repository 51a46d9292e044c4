//! Each word only once: a set of byte strings that is filled from batches of spans.
//!
//! For the words of one piece of input, most of which repeat: asking this small table costs less than looking up a
//! large one for each occurrence.

use xxhash_rust::xxh3::xxh3_64;

use super::Span;

/// The words met so far.
#[derive(Debug, Default)]
pub struct Unique {
    /// Open addressing, twice as many as words at the least; a power of two. The word's place in `arena` and the upper
    /// half of its hash; an `end` of 0 is a free slot.
    slots: Vec<(Span, u32)>,
    arena: Vec<u8>,
    count: usize,
}

impl Unique {
    /// How many words it knows.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Does it know none?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Keep of `spans` (none of them empty) those whose word was never seen before.
    ///
    /// False: it holds 4 GiB of words and keeps no more; the words it did not take are kept in `spans`.
    pub fn filter(&mut self, text: &[u8], spans: &mut Vec<Span>) -> bool {
        let mut room = true;
        spans.retain(|span| {
            let new = self.insert(span.of(text));
            room &= new.is_some();
            new.unwrap_or(true)
        });
        room
    }

    #[inline]
    fn insert(&mut self, word: &[u8]) -> Option<bool> {
        if 2 * (self.count + 1) > self.slots.len() {
            self.grow();
        }
        let hash = xxh3_64(word);
        let (tag, mask) = ((hash >> 32) as u32, self.slots.len() - 1);
        let mut at = hash as usize & mask;
        loop {
            let (place, other) = self.slots[at];
            if place.end == 0 {
                break;
            }
            if other == tag && place.of(&self.arena) == word {
                return Some(false);
            }
            at = (at + 1) & mask;
        }
        let start = u32::try_from(self.arena.len()).ok()?;
        let end = u32::try_from(self.arena.len() + word.len()).ok()?;
        self.arena.extend_from_slice(word);
        self.slots[at] = (Span { start, end }, tag);
        self.count += 1;
        Some(true)
    }

    fn grow(&mut self) {
        let size = (4 * self.slots.len()).max(1024);
        let old = std::mem::replace(&mut self.slots, vec![(Span::default(), 0); size]);
        for (place, tag) in old.into_iter().filter(|(place, _)| place.end != 0) {
            let mut at = xxh3_64(place.of(&self.arena)) as usize & (size - 1);
            while self.slots[at].0.end != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = (place, tag);
        }
    }
}
