//! Words with characters beyond ASCII: one run of word bytes, decoded, cut and brought to lower case.
//!
//! A run has no ASCII byte that could end a word; whatever cuts it is a longer character or a byte that is no UTF-8.

use std::sync::LazyLock;

use super::{BadText, Invalid, Span};

const REPLACEMENT: &str = "\u{fffd}";
const SIGMA: char = 'Σ';

/// A run of bytes in which something is not ASCII.
#[derive(Clone, Copy)]
pub struct Other<'a> {
    /// The bytes, their ASCII in lower case if that is wanted. A copy, as the data may be a file that others write to.
    pub run: &'a [u8],
    /// What to do with those that are not UTF-8.
    pub invalid: Invalid,
    /// Of the run, in the data.
    pub offset: usize,
}

impl Other<'_> {
    /// Hand over the parts of the run: text, and sequences that are not UTF-8 each by itself.
    #[inline]
    fn parts(&self, mut part: impl FnMut(Part)) -> Result<(), BadText> {
        if let Ok(text) = std::str::from_utf8(self.run) {
            part(Part::Text(text));
            return Ok(());
        }
        let mut at = self.offset;
        for chunk in self.run.utf8_chunks() {
            part(Part::Text(chunk.valid()));
            at += chunk.valid().len();
            if chunk.invalid().is_empty() {
                continue;
            }
            match self.invalid {
                Invalid::Strict => return Err(BadText::NotUtf8 { offset: at }),
                Invalid::Replace => part(Part::Bad(REPLACEMENT.as_bytes())),
                Invalid::Keep => part(Part::Bad(chunk.invalid())),
                Invalid::Ignore => {}
            }
            at += chunk.invalid().len();
        }
        Ok(())
    }
}

enum Part<'a> {
    Text(&'a str),
    /// What stands for a bad sequence: no letter, no blank.
    Bad(&'a [u8]),
}

/// Append the run's words in lower case to `scratch` and their places to `words`.
pub fn letters(other: Other, scratch: &mut Vec<u8>, words: &mut Vec<Span>) -> Result<(), BadText> {
    let mut word = Word { start: scratch.len(), sigma: false, scratch, words };
    other.parts(|part| match part {
        Part::Text(text) => text.chars().for_each(|character| word.letter(character)),
        Part::Bad(_) => word.end(),
    })?;
    word.end();
    Ok(())
}

/// A word being written at the end of `scratch`.
struct Word<'a> {
    scratch: &'a mut Vec<u8>,
    words: &'a mut Vec<Span>,
    start: usize,
    sigma: bool,
}

impl Word<'_> {
    #[inline]
    fn letter(&mut self, character: char) {
        let code = character as u32;
        if code < 0x80 {
            self.scratch.push(code as u8); // in a run a letter, and in lower case already
        } else if let Some(&lower) = TWO_BYTES.get(code as usize) {
            match lower {
                NO_LETTER => self.end(),
                SPECIAL => self.rare(character),
                lower => self.push(char::from_u32(u32::from(lower)).unwrap_or(character)),
            }
        } else if (0x4e00..0xa000).contains(&code) {
            self.push(character); // Chinese characters, letters without case
        } else {
            self.rare(character);
        }
    }

    #[inline]
    fn push(&mut self, character: char) {
        self.scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn rare(&mut self, character: char) {
        if character == SIGMA {
            self.sigma = true; // as it is: what it becomes depends on what follows
            self.push(character);
        } else if character.is_alphabetic() {
            character.to_lowercase().for_each(|lower| self.push(lower));
        } else {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.sigma {
            self.sigma = false;
            let lower = std::str::from_utf8(&self.scratch[self.start..]).unwrap_or_default().to_lowercase();
            self.scratch.truncate(self.start);
            self.scratch.extend_from_slice(lower.as_bytes());
        }
        push_span(self.start, self.scratch.len(), self.words);
        self.start = self.scratch.len();
    }
}

#[inline]
fn push_span(start: usize, end: usize, words: &mut Vec<Span>) {
    if start < end {
        words.push(Span { start: start as u32, end: end as u32 }); // the scanner keeps `scratch` below 4 GiB
    }
}

/// Append the places of what blanks leave of the run. `place` is where the run itself lies in `scratch`: most runs have
/// neither a blank nor a bad byte and stay there.
pub fn blanks(other: Other, place: Span, scratch: &mut Vec<u8>, words: &mut Vec<Span>) -> Result<(), BadText> {
    // Every blank beyond ASCII begins with one of these: U+0085 U+00A0 U+1680 U+2000-200A U+2028 U+2029 U+202F U+205F
    // U+3000.
    let may_be_blank = |byte: &u8| matches!(byte, 0xc2 | 0xe1..=0xe3);
    if !other.run.iter().any(may_be_blank) && std::str::from_utf8(other.run).is_ok() {
        words.push(place);
        return Ok(());
    }
    let mut start = scratch.len();
    other.parts(|part| match part {
        Part::Text(text) => {
            // The blanks of Rust and Python are the same beyond ASCII, and there are none of ASCII in a run.
            for (i, piece) in text.split(|c: char| !c.is_ascii() && c.is_whitespace()).enumerate() {
                if i > 0 {
                    push_span(start, scratch.len(), words);
                    start = scratch.len();
                }
                scratch.extend_from_slice(piece.as_bytes());
            }
        }
        Part::Bad(bytes) => scratch.extend_from_slice(bytes),
    })?;
    push_span(start, scratch.len(), words);
    Ok(())
}

const NO_LETTER: u16 = 0;
const SPECIAL: u16 = u16::MAX;

/// For each character of up to two bytes: its lower case, or [`NO_LETTER`], or [`SPECIAL`] if that takes more than one
/// character or depends on its neighbours. Searching the tables of the standard library takes several times as long.
static TWO_BYTES: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let entry = |code| {
        let character = char::from_u32(code)?;
        let mut lower = character.to_lowercase();
        Some(match (lower.next(), lower.next()) {
            _ if !character.is_alphabetic() => NO_LETTER,
            (Some(one), None) if character != SIGMA => u16::try_from(u32::from(one)).unwrap_or(SPECIAL),
            _ => SPECIAL,
        })
    };
    (0..0x800).map(|code| entry(code).unwrap_or(NO_LETTER)).collect()
});
