//! The wanted fields of each record of a CSV file.
//!
//! The format is RFC 4180 as Python's `csv.reader` reads it with its usual settings: a quote opens a quoted field only
//! at the very start of the field and is a plain character elsewhere; inside, two quotes are one, and delimiters and
//! newlines are plain; what follows a closing quote belongs to the field as it is; LF, CR and CRLF end a record, and
//! so does the end of the data, even inside quotes; a line with nothing in it is no record.
//!
//! How: each block of bytes becomes two bit masks, of delimiters and of newlines and quotes, and the reader goes from
//! bit to bit. Behind the last wanted field of a record it follows the second mask only, so that fields nobody wants
//! cost little. Fields are slices of the data; one with doubled quotes, or with text behind a closing quote, is put
//! together in a scratch buffer, if it is wanted.

use std::ops::Range;

use super::blocks::{BLOCK, block, mask};

const QUOTE: u8 = b'"';

/// Which fields.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// All there are.
    Every,
    /// Those of `Reader::columns`.
    Listed,
}

#[derive(Clone, Debug)]
struct Field {
    place: Range<usize>,
    /// Does `place` count in the scratch buffer, or in the data?
    scratch: bool,
}

/// Reads records. Keep it: its buffers are used again.
#[derive(Debug)]
pub struct Reader {
    delimiter: u8,
    wanted: Wanted,
    /// The columns to store, ascending.
    columns: Vec<usize>,
    /// For each wanted column, in the caller's order, its place in `columns`.
    places: Vec<usize>,
    fields: Vec<Field>,
    scratch: Vec<u8>,
}

/// A record that was found; its fields are numbered as they were wanted.
#[derive(Debug)]
pub struct Record<'a> {
    /// Of its first byte in the data.
    pub offset: usize,
    /// Of the byte behind its newline.
    pub end: usize,
    data: &'a [u8],
    reader: &'a Reader,
}

impl<'a> Record<'a> {
    /// The content of wanted field number `i`. None: the record has too few fields.
    #[inline]
    pub fn get(&self, i: usize) -> Option<&'a [u8]> {
        let place = match self.reader.wanted {
            Wanted::Every => i,
            Wanted::Listed => *self.reader.places.get(i)?,
        };
        let field = self.reader.fields.get(place)?;
        let source = if field.scratch { &self.reader.scratch[..] } else { self.data };
        Some(&source[field.place.clone()])
    }

    /// All fields that were wanted and are there, for a reader of every field.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        (0..self.reader.fields.len()).map_while(|i| self.get(i))
    }
}

impl Reader {
    /// A reader of the columns with these numbers, in any order; one may occur twice. `delimiter` is an ASCII byte,
    /// neither quote nor newline.
    pub fn new(delimiter: u8, wanted: &[usize]) -> Self {
        let mut columns = wanted.to_vec();
        columns.sort_unstable();
        columns.dedup();
        let places = wanted.iter().filter_map(|column| columns.binary_search(column).ok()).collect();
        Self { delimiter, wanted: Wanted::Listed, columns, places, fields: Vec::new(), scratch: Vec::new() }
    }

    /// A reader of all fields.
    pub fn of_every_field(delimiter: u8) -> Self {
        Self { wanted: Wanted::Every, ..Self::new(delimiter, &[]) }
    }

    /// Call `each` for every record of `data`, which begins where a record does. What it returns as an error ends the
    /// reading.
    pub fn for_each<E>(&mut self, data: &[u8], mut each: impl FnMut(&Record) -> Result<(), E>) -> Result<(), E> {
        let mut marks = Marks::new(data, self.delimiter);
        let mut offset = 0;
        while offset < data.len() {
            let Some(end) = self.record(data, offset, &mut marks) else {
                offset += 1; // an empty line
                continue;
            };
            let mut behind = (end + 1).min(data.len());
            if data[end..].starts_with(b"\r\n") {
                behind += 1;
                marks.next(false);
            }
            each(&Record { offset, end: behind, data, reader: self })?;
            offset = behind;
        }
        Ok(())
    }

    /// Read the record at `offset`; give the place of its newline, or of the end of the data. None: there is only a
    /// newline.
    #[inline(always)]
    fn record(&mut self, data: &[u8], offset: usize, marks: &mut Marks) -> Option<usize> {
        self.fields.clear();
        self.scratch.clear();
        let (mut column, mut start) = (0, offset);
        let mut quotes = None;
        loop {
            let wants_more = match self.wanted {
                Wanted::Every => true,
                Wanted::Listed => self.fields.len() < self.columns.len(),
            };
            let at = marks.next(wants_more).unwrap_or(data.len());
            let byte = data.get(at).copied().unwrap_or(b'\n');
            if byte == QUOTE {
                // A delimiter right before it was outside of quotes, or this place would not have been reached.
                if at == offset || data[at - 1] == self.delimiter {
                    quotes = Some(marks.closing_quote(at));
                }
                continue;
            }
            let ends_record = byte != self.delimiter;
            if ends_record && at == offset && at < data.len() {
                return None;
            }
            if wants_more && self.is_wanted(column) {
                self.store(data, start..at, quotes);
            }
            if ends_record {
                return Some(at);
            }
            column += 1;
            start = at + 1;
            quotes = None;
        }
    }

    #[inline(always)]
    fn is_wanted(&self, column: usize) -> bool {
        match self.wanted {
            Wanted::Every => true,
            Wanted::Listed => self.columns[self.fields.len()] == column,
        }
    }

    #[inline(always)]
    fn store(&mut self, data: &[u8], raw: Range<usize>, quotes: Option<Quotes>) {
        let field = match quotes {
            None => Field { place: raw, scratch: false },
            Some(Quotes { close, doubled: false }) if close + 1 >= raw.end => {
                Field { place: raw.start + 1..close, scratch: false }
            }
            Some(quotes) => self.put_together(data, raw, quotes),
        };
        self.fields.push(field);
    }

    #[inline(never)]
    fn put_together(&mut self, data: &[u8], raw: Range<usize>, quotes: Quotes) -> Field {
        let start = self.scratch.len();
        let mut inside = &data[raw.start + 1..quotes.close];
        while let Some(at) = memchr::memchr(QUOTE, inside) {
            self.scratch.extend_from_slice(&inside[..=at]);
            inside = inside.get(at + 2..).unwrap_or(&[]);
        }
        self.scratch.extend_from_slice(inside);
        self.scratch.extend_from_slice(data.get(quotes.close + 1..raw.end).unwrap_or(&[]));
        Field { place: start..self.scratch.len(), scratch: true }
    }
}

/// A quoted part of a field.
#[derive(Clone, Copy)]
struct Quotes {
    /// Where the closing quote is, or the end of the data.
    close: usize,
    /// Are there quotes inside?
    doubled: bool,
}

/// Goes through the bytes that mean something.
struct Marks<'a> {
    data: &'a [u8],
    delimiter: u8,
    /// Where the current block begins.
    base: usize,
    /// What is left of the block: newlines and quotes, and those with delimiters.
    others: u64,
    all: u64,
}

impl<'a> Marks<'a> {
    fn new(data: &'a [u8], delimiter: u8) -> Self {
        let mut marks = Self { data, delimiter, base: 0, others: 0, all: 0 };
        marks.load();
        marks
    }

    #[inline(always)]
    fn load(&mut self) {
        let block: [u8; BLOCK] = block(self.data, self.base, 0);
        let delimiter = self.delimiter;
        self.others = mask(&block, |byte| matches!(byte, b'\n' | b'\r' | QUOTE));
        self.all = self.others | mask(&block, |byte| byte == delimiter);
        let left = self.data.len() - self.base;
        if left < BLOCK {
            self.all &= (1 << left) - 1; // a delimiter of NUL looks like the filler
        }
    }

    /// The place of the next mark.
    #[inline(always)]
    fn next(&mut self, delimiters: bool) -> Option<usize> {
        loop {
            let bits = if delimiters { self.all } else { self.others };
            if bits != 0 {
                let bit = bits.trailing_zeros();
                let behind = (!1u64) << bit;
                self.all &= behind;
                self.others &= behind;
                return Some(self.base + bit as usize);
            }
            if self.data.len() - self.base <= BLOCK {
                self.all = 0; // delimiters passed over
                return None;
            }
            self.base += BLOCK;
            self.load();
        }
    }

    /// From the opening quote at `open`, which was the last mark, to the closing one.
    #[inline(always)]
    fn closing_quote(&mut self, open: usize) -> Quotes {
        let mut doubled = false;
        debug_assert_eq!(self.data[open], QUOTE);
        while let Some(at) = self.next(false) {
            if self.data[at] != QUOTE {
                continue;
            }
            if self.data.get(at + 1) != Some(&QUOTE) {
                return Quotes { close: at, doubled };
            }
            self.next(false);
            doubled = true;
        }
        Quotes { close: self.data.len(), doubled }
    }
}

/// The fields of the first record, and the offset of what follows it. None: there is no record.
///
/// A byte order mark at the start of a file is the caller's to take off first ([`without_mark`]).
pub fn header(data: &[u8], delimiter: u8) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut found = None;
    let stop: Result<(), ()> = Reader::of_every_field(delimiter).for_each(data, |record| {
        found = Some((record.iter().map(<[u8]>::to_vec).collect(), record.end));
        Err(())
    });
    debug_assert_eq!(stop.is_err(), found.is_some());
    found
}

/// The data behind a byte order mark (U+FEFF in UTF-8), for the start of a file.
pub fn without_mark(data: &[u8]) -> &[u8] {
    data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data)
}
