//! Strings that everybody who shares an arena can read: names that objects were given, and places in programs.
//!
//! A label is a number of 32 bits that stands for a text; 0 stands for none. Equal texts have equal labels (but for two
//! processes that bring the same new one at the same moment and die in between), and a label never changes its meaning.
//! So a label is a word that can be stored where the state is, before, after and beside any other.
//!
//! The table is bounded and only grows: texts are names and lines of programs, of which there are as many as somebody
//! wrote. When it is full, what is new has label 0, and is shown as unnamed. Without locks: the text is written first,
//! into room that nobody else was given, and one compare-exchange publishes it. Who dies before leaves that room unused.
//!
//! An open-addressed table (linear probing) of the texts' hashes; the label itself says where the text stands, so that
//! reading needs no hash.

use crate::loom::{AtomicU32, AtomicU64, Ordering};

/// Places of the index: a quarter more than 8-word texts that find room.
const SLOTS: usize = 1 << 14;
/// Words of 8 bytes for texts: a mebibyte, of which only what was written takes memory.
const WORDS: usize = 1 << 17;
/// How far to look for a text, or for room: with luck like this the table is as good as full.
const PROBES: usize = 256;
/// Bytes of a text that are kept.
pub const LONGEST: usize = 1000;

/// The table. Lives in shared memory; all-zero is an empty one.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Labels {
    /// Words of `texts` that were given out.
    used: AtomicU32,
    _unused: [AtomicU32; 15],
    /// By hash: a label, or 0.
    index: [AtomicU32; SLOTS],
    /// Records: a word with the length (31..0) and the hash (63..32), then the text, padded with zeros. A label is the
    /// record's place + 1.
    texts: [AtomicU64; WORDS],
}

impl Labels {
    /// Bytes at the start that tell how much is in use, see `extent`.
    pub const HEAD: usize = 64;

    /// Bytes that are in use: nothing was written behind them.
    pub fn extent(&self) -> usize {
        let used = (self.used.load(Ordering::Relaxed) as usize).min(WORDS);
        std::mem::offset_of!(Self, texts) + used * size_of::<AtomicU64>()
    }

    /// The label of a text, entered if it is new (cut off after [`LONGEST`] bytes). 0 when the table is full, and for
    /// the empty text. Never blocks.
    pub fn label(&self, text: &str) -> u32 {
        let end = (0..=LONGEST.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        let bytes = &text.as_bytes()[..end];
        if bytes.is_empty() {
            return 0;
        }
        let hash = hash(bytes);
        let mut fresh = 0;
        for probe in 0..PROBES {
            let slot = &self.index[(hash as usize + probe) % SLOTS];
            // SYNC: Acquire pairs with the Release below: the text is there.
            let mut known = slot.load(Ordering::Acquire);
            if known == 0 {
                if fresh == 0 {
                    fresh = self.write(bytes, hash);
                }
                if fresh == 0 {
                    return 0;
                }
                // SYNC: Release publishes the text, Acquire is for the one of who was faster.
                match slot.compare_exchange(0, fresh, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return fresh,
                    Err(theirs) => known = theirs,
                }
            }
            if self.is(known, bytes, hash) {
                return known;
            }
        }
        0
    }

    /// The text of a label. None for 0, and for what is none.
    pub fn text(&self, label: u32) -> Option<String> {
        let (head, words) = self.record(label)?;
        let mut bytes = Vec::with_capacity(words.len() * 8);
        bytes.extend(words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()));
        bytes.truncate(head as u32 as usize);
        Some(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// A text in room of its own: its label before it is published. 0 when there is no room.
    fn write(&self, bytes: &[u8], hash: u32) -> u32 {
        let words = 1 + bytes.len().div_ceil(8);
        let room = |used: u32| (used as usize + words <= WORDS).then(|| used + words as u32);
        let Ok(place) = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) else { return 0 };
        let record = &self.texts[place as usize..place as usize + words];
        record[0].store(u64::from(hash) << 32 | bytes.len() as u64, Ordering::Relaxed);
        for (word, chunk) in record[1..].iter().zip(bytes.chunks(8)) {
            let mut padded = [0; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_ne_bytes(padded), Ordering::Relaxed);
        }
        place + 1
    }

    /// The head of a label's record and the words of its text. None where there is none, whatever memory says.
    fn record(&self, label: u32) -> Option<(u64, &[AtomicU64])> {
        let place = (label as usize).checked_sub(1)?;
        let head = self.texts.get(place)?.load(Ordering::Relaxed);
        let length = head as u32 as usize;
        let words = self.texts.get(place + 1..place + 1 + length.div_ceil(8))?;
        (1..=LONGEST).contains(&length).then_some((head, words))
    }

    fn is(&self, label: u32, bytes: &[u8], hash: u32) -> bool {
        let Some((head, words)) = self.record(label) else { return false };
        head == u64::from(hash) << 32 | bytes.len() as u64
            && words
                .iter()
                .zip(bytes.chunks(8))
                .all(|(word, chunk)| word.load(Ordering::Relaxed).to_ne_bytes().starts_with(chunk))
    }
}

/// FNV-1a: short texts, and nobody chooses them to collide.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
