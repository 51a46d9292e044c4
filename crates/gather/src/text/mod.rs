//! Scanners behind the built-in jobs: words of a text, records of a CSV file. They find; they neither hash nor count.
//!
//! - [`blocks`]: sixty-four bytes at a time to bit masks, what both scanners rest on.
//! - [`words`]: the words of bytes that should be UTF-8, in batches, lower-cased or split at blanks.
//! - [`letters`]: the part of it that is not ASCII.
//! - [`unique`]: each word only once.
//! - [`borders`]: where records begin in a chunk of a CSV file that was cut at any newline.
//! - [`csv`]: the wanted fields of each record.
//! - [`number`]: a field as a number.

pub mod blocks;
pub mod borders;
pub mod csv;
pub mod letters;
pub mod number;
pub mod unique;
pub mod words;

/// Where something lies in the buffer it was handed over with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: u32,
    /// The byte behind its last.
    pub end: u32,
}

impl Span {
    /// The bytes themselves.
    #[inline]
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.end as usize]
    }

    /// How many bytes.
    #[inline]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// No bytes at all (an empty field of a CSV file; no word is).
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// What to do with bytes that are not UTF-8: the names and the meaning are those of Python's `bytes.decode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// An error.
    Strict,
    /// U+FFFD in their place: it is no letter and no blank.
    Replace,
    /// As if they were not there: what stands before and behind them joins.
    Ignore,
    /// They stay, as one character that is no letter and no blank. For the lone surrogates of a Python string.
    Keep,
}

/// A text that cannot be scanned. Offsets count from the start of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadText {
    /// The bytes from here on are not UTF-8.
    NotUtf8 {
        /// Of the first byte of the bad sequence, as `UnicodeDecodeError.start`.
        offset: usize,
    },
    /// A word or a field of 4 GiB or more.
    TooLong {
        /// Of its first byte.
        offset: usize,
    },
}
