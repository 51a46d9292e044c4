//! The words of bytes that should be UTF-8.
//!
//! Two ways to cut. [`Cut::Letters`]: a word is a run of letters (Unicode's property Alphabetic), in lower case.
//! [`Cut::Blanks`]: exactly what Python's `str.split()` gives, case kept.
//!
//! Letters against `re.findall(r"[^\W\d_]+", text.lower())`, the definition there was before. They differ in:
//!
//! - vowel signs and other marks that Unicode calls alphabetic (Devanagari, Arabic, Thai, ...): part of the word here,
//!   a cut there. Words of these scripts are whole only here. Marks that are not alphabetic (U+0301) cut in both.
//! - superscripts, fractions and other digits that are not decimal (², ½, ③): no letters here, part of a word there.
//! - letters in circles or squares (Ⓐ, 🅰): letters here, not there.
//! - İ (U+0130), in lower case i and U+0307: one word here; there U+0307 cuts the word.
//! - Σ at the end of a word is ς in both, but the end is that of the run here; Python looks past apostrophes, so that
//!   "ΑΣ's" is "ας" and "s" here, "ασ" and "s" there.
//! - letters that entered Unicode after the tables of the one or the other were made.
//!
//! How: a *window* of a few KiB that ends where no word can go on is written in lower case into a scratch buffer, and
//! each byte becomes one bit: part of a word or not, every byte of 0x80 and more being part of one for the time being.
//! Starts and ends are then the edges in the bits, and words are spans of the scratch buffer: nothing is copied once
//! more, and no branch depends on a single byte. Only words in which there is a byte of 0x80 or more are looked at
//! again ([`super::letters`]). All words of a window are handed over at once, so that the receiver can hash them in a
//! row and fetch the slots of its table early.

use super::blocks::{BLOCK, block, gather};
use super::letters::{Other, blanks, letters};
use super::{BadText, Invalid, Span};

/// Bytes in a window: scratch buffer and spans together stay in the first-level cache.
const WINDOW: usize = 4096;

/// The scratch buffer has at least this many bytes behind every span, so that a receiver may read words in wide steps.
pub const SLACK: usize = 16;

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A run of letters, in lower case.
    Letters,
    /// A run of anything but blanks, as it is.
    Blanks,
}

/// Finds words. Keep it: its buffers are used again.
#[derive(Debug)]
pub struct Scanner {
    cut: Cut,
    invalid: Invalid,
    scratch: Vec<u8>,
    found: Vec<Span>,
    words: Vec<Span>,
    run: Vec<u8>,
}

impl Scanner {
    /// A scanner for texts of one sort.
    pub fn new(cut: Cut, invalid: Invalid) -> Self {
        Self { cut, invalid, scratch: Vec::new(), found: Vec::new(), words: Vec::new(), run: Vec::new() }
    }

    /// Call `batch(text, words)` for all words of `data`, in order, some hundreds at a time. `text` is the scratch
    /// buffer that the spans count in, with [`SLACK`] bytes behind the last.
    ///
    /// Bytes that are not UTF-8 are met in order: an error comes after the words of the windows before them were handed
    /// over. What `batch` returns as an error ends the scan.
    pub fn scan<E: From<BadText>>(
        &mut self,
        data: &[u8],
        mut batch: impl FnMut(&[u8], &[Span]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut start = 0;
        while start < data.len() {
            let end = window_end(self.cut, data, start);
            let window = &data[start..end];
            if u32::try_from(2 * window.len() + 2 * BLOCK).is_err() {
                return Err(BadText::TooLong { offset: start }.into()); // a word of half the address range
            }
            let (count, ascii) = match self.cut {
                Cut::Letters => self.find(window, lower_letters),
                Cut::Blanks => self.find(window, not_blanks),
            };
            if !ascii {
                self.look_again(start, count)?;
            }
            let words = if ascii { &self.found[..count] } else { &self.words[..] };
            if !words.is_empty() {
                batch(&self.scratch, words)?;
            }
            start = end;
        }
        Ok(())
    }

    /// Fill `scratch` and `found` from a window. How many words, and whether all of it is ASCII.
    #[inline(always)]
    fn find(&mut self, window: &[u8], classify: impl Fn(&[u8; BLOCK], &mut [u8; BLOCK]) -> u64) -> (usize, bool) {
        let blocks = window.len() / BLOCK + 1; // the last has a filler at the end, so every word ends
        self.scratch.resize(blocks * BLOCK + SLACK, 0);
        let spans = blocks * BLOCK / 2 + 2 * AHEAD;
        if self.found.len() < spans {
            self.found.resize(spans, Span::default());
        }
        let (mut starts, mut ends, mut before, mut high) = (0, 0, 0, 0u8);
        for i in 0..blocks {
            let input = block(window, i * BLOCK, b' ');
            let mut output = [0; BLOCK];
            let bits = classify(&input, &mut output);
            self.scratch[i * BLOCK..(i + 1) * BLOCK].copy_from_slice(&output);
            high |= input.iter().fold(0, |all, byte| all | byte);
            let shifted = bits << 1 | before;
            before = bits >> 63;
            let base = (i * BLOCK) as u32;
            starts = note(bits & !shifted, base, &mut self.found, starts, |span, at| span.start = at);
            ends = note(!bits & shifted, base, &mut self.found, ends, |span, at| span.end = at);
        }
        debug_assert_eq!(starts, ends);
        (ends, high < 0x80)
    }

    /// Make `words` of `found`: those with bytes beyond ASCII are taken apart and written behind the window.
    #[inline(never)]
    fn look_again(&mut self, offset: usize, count: usize) -> Result<(), BadText> {
        self.words.clear();
        for span in &self.found[..count] {
            let run = span.of(&self.scratch);
            if run.is_ascii() {
                self.words.push(*span);
                continue;
            }
            self.run.clear();
            self.run.extend_from_slice(run);
            let other = Other { run: &self.run, invalid: self.invalid, offset: offset + span.start as usize };
            match self.cut {
                Cut::Letters => letters(other, &mut self.scratch, &mut self.words)?,
                Cut::Blanks => blanks(other, *span, &mut self.scratch, &mut self.words)?,
            }
            if u32::try_from(self.scratch.len()).is_err() {
                return Err(BadText::TooLong { offset });
            }
        }
        self.scratch.resize(self.scratch.len() + SLACK, 0);
        Ok(())
    }
}

/// Positions written at once before it is asked whether there are more: a branch per dozen words, not per word.
const AHEAD: usize = 12;

/// Write the positions of all bits into spans from number `at` on; give the number behind the last.
#[inline(always)]
fn note(mut bits: u64, base: u32, spans: &mut [Span], at: usize, set: impl Fn(&mut Span, u32)) -> usize {
    let count = bits.count_ones() as usize;
    let mut place = at;
    loop {
        for span in &mut spans[place..place + AHEAD] {
            set(span, base + bits.trailing_zeros());
            bits &= bits.wrapping_sub(1);
        }
        place += AHEAD;
        if bits == 0 {
            return at + count;
        }
    }
}

#[inline(always)]
fn lower_letters(input: &[u8; BLOCK], output: &mut [u8; BLOCK]) -> u64 {
    let mut flags = [0; BLOCK];
    for i in 0..BLOCK {
        let byte = input[i];
        let letter = u8::from((byte | 0x20).wrapping_sub(b'a') < 26);
        output[i] = byte | letter << 5;
        flags[i] = letter | byte >> 7;
    }
    gather(&flags)
}

#[inline(always)]
fn not_blanks(input: &[u8; BLOCK], output: &mut [u8; BLOCK]) -> u64 {
    *output = *input;
    let mut flags = [0; BLOCK];
    for i in 0..BLOCK {
        flags[i] = u8::from(!is_blank(input[i]));
    }
    gather(&flags)
}

/// Python's blanks in ASCII: besides the usual ones the four separators 0x1c to 0x1f.
#[inline(always)]
fn is_blank(byte: u8) -> bool {
    (byte.wrapping_sub(9) < 5) | (byte.wrapping_sub(0x1c) < 5)
}

/// Where a window that begins at `start` ends: behind a byte that is in no word.
fn window_end(cut: Cut, data: &[u8], start: usize) -> usize {
    let ends_words = |byte: &u8| match cut {
        Cut::Letters => byte.is_ascii() && !byte.is_ascii_alphabetic(),
        Cut::Blanks => is_blank(*byte),
    };
    let Some(near) = data.get(start..start + WINDOW) else { return data.len() };
    if let Some(last) = near.iter().rposition(ends_words) {
        return start + last + 1;
    }
    let far = &data[start + WINDOW..];
    far.iter().position(ends_words).map_or(data.len(), |first| start + WINDOW + first + 1)
}
