//! Where records begin in a chunk of a CSV file that was cut right behind any newline byte.
//!
//! A newline inside quotes ends no record, and whether a chunk begins inside quotes is known only when all before it
//! was looked at. So a chunk is scanned under both hypotheses at once, by any process and in any order, and whoever
//! knows how the file begins chains the answers: the state at the end of one chunk says which of the two holds for the
//! next.
//!
//! Only quotes matter, and what surrounds them: outside, a quote opens if it stands at the start of a field and is a
//! plain character elsewhere (as for Python's csv module; counting quotes modulo two would go wrong there); inside,
//! two in a row are a character and one closes. The two hypotheses mostly agree after a few quotes, as the one that is
//! wrong soon meets a quote within a field; from there on one is followed.

use memchr::{memchr_iter, memchr2};

/// What one hypothesis leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Does the chunk end inside quotes?
    pub ends_quoted: bool,
    /// Where the first record begins in the chunk. None: one that began earlier goes on to the end.
    pub first_record: Option<usize>,
}

/// Both hypotheses about a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borders {
    /// If it begins outside of quotes, with a record.
    pub plain: Outcome,
    /// If it begins inside quotes.
    pub quoted: Outcome,
}

impl Borders {
    /// The outcome that holds after a chunk that ended as `quoted` says; the first of a file began as false.
    pub fn after(&self, quoted: bool) -> Outcome {
        if quoted { self.quoted } else { self.plain }
    }
}

/// One state of the reader while it goes from quote to quote.
struct Reading {
    quoted: bool,
    /// The last quote that this state has dealt with lies before this place.
    done: usize,
    first_record: Option<usize>,
}

impl Reading {
    /// Meet the quote at `at`.
    #[inline(always)]
    fn quote(&mut self, data: &[u8], at: usize, delimiter: u8) {
        if at < self.done {
            return; // the second of a doubled quote
        }
        if self.quoted {
            if data.get(at + 1) == Some(&b'"') {
                self.done = at + 2;
            } else {
                self.quoted = false;
                self.done = at + 1;
            }
        } else if at == 0 || is_start(data[at - 1], delimiter) {
            self.note_record(data, at);
            self.quoted = true;
            self.done = at + 1;
        }
    }

    /// Outside of quotes from `done` to `end`: does the first record begin there?
    #[inline]
    fn note_record(&mut self, data: &[u8], end: usize) {
        if self.first_record.is_none() {
            self.first_record = memchr2(b'\n', b'\r', &data[self.done..end]).map(|found| {
                let newline = self.done + found;
                newline + 1 + usize::from(data[newline..].starts_with(b"\r\n"))
            });
        }
    }

    fn outcome(mut self, data: &[u8]) -> Outcome {
        if !self.quoted {
            self.note_record(data, data.len());
        }
        let first_record = self.first_record.filter(|&first| first < data.len());
        Outcome { ends_quoted: self.quoted, first_record }
    }
}

#[inline(always)]
fn is_start(before: u8, delimiter: u8) -> bool {
    before == delimiter || before == b'\n' || before == b'\r'
}

/// Scan a chunk that begins right behind a newline byte (or where the file does) and ends behind one (or where the file
/// does). `delimiter` is an ASCII byte, neither quote nor newline.
pub fn borders(data: &[u8], delimiter: u8) -> Borders {
    let mut plain = Reading { quoted: false, done: 0, first_record: Some(0) };
    let mut quoted = Reading { quoted: true, done: 0, first_record: None };
    let mut marks = memchr_iter(b'"', data);
    for at in marks.by_ref() {
        plain.quote(data, at, delimiter);
        quoted.quote(data, at, delimiter);
        // The same state for good, once neither waits for the second of two quotes.
        if plain.quoted == quoted.quoted && plain.done.max(quoted.done) <= at + 1 {
            break;
        }
    }
    let agreed = plain.quoted == quoted.quoted;
    for at in marks {
        quoted.quote(data, at, delimiter);
    }
    let quoted = quoted.outcome(data);
    let mut plain = plain.outcome(data);
    if agreed {
        plain.ends_quoted = quoted.ends_quoted;
    }
    Borders { plain, quoted }
}
