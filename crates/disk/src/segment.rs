//! The start of a segment, and looking at the records in it.
//!
//! | Offset | Bytes | Field |
//! | --- | --- | --- |
//! | 0 | 8 | magic and version, `PROCLOG` 1 |
//! | 8 | 8 | place of its first byte in the log |
//! | 16 | 8 | its size in bytes, a multiple of 4096 |
//! | 24 | 8 | number of its first record |
//! | 32 | 8 | salt: random, goes into the checksums of its records |
//! | 40 | 4 | epoch in which it was made |
//! | 44 | 4 | checksum of the bytes before |
//! | 48 | 16 | zeros |
//! | 64 | | records, to the end of the file; less than 32 bytes at its end are a gap |

use crate::record::{self, Record, Words};
use crate::storage::Span;
use procession_core::sys;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a segment before its first record.
pub const START: u64 = 64;
const MAGIC: [u8; 8] = *b"PROCLOG\x01";
const CHECKED: usize = 44;

/// What the start of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Place of its first byte.
    pub first: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Number of its first record.
    pub number: u64,
    /// Goes into the checksums of its records.
    pub salt: u64,
    /// In which epoch it was made.
    pub epoch: u32,
}

impl Start {
    /// One with a salt of its own.
    pub fn new(first: u64, size: u64, number: u64, epoch: u32) -> Self {
        let mut salt = [0; 8];
        // Without random numbers (before the kernel has any) records are told apart by number and epoch only.
        let _ = sys::random(&mut salt);
        Self { first, size, number, salt: u64::from_ne_bytes(salt), epoch }
    }

    /// As it stands in the file.
    pub fn to_bytes(self) -> [u8; START as usize] {
        let mut bytes = [0; START as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        for (word, at) in [self.first, self.size, self.number, self.salt].into_iter().zip((8..).step_by(8)) {
            bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
        }
        bytes[40..44].copy_from_slice(&self.epoch.to_ne_bytes());
        let checksum = xxh3_64(&bytes[..CHECKED]) as u32;
        bytes[44..48].copy_from_slice(&checksum.to_ne_bytes());
        bytes
    }

    /// Out of a file; None when it is not one of ours.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..START as usize)?;
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let half = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        let is_ours = bytes[..8] == MAGIC && half(44) == xxh3_64(&bytes[..CHECKED]) as u32;
        let start = Self { first: word(8), size: word(16), number: word(24), salt: word(32), epoch: half(40) };
        is_ours.then_some(start)
    }
}

/// A mapped segment, for as long as the window keeps it.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Place of its first byte.
    pub first: u64,
    /// Place behind its last byte.
    pub end: u64,
    /// Number of its first record.
    pub number: u64,
    /// In which epoch it was made.
    pub epoch: u32,
    start: *mut u8,
    salt: u64,
}

impl View {
    /// Look at a span that starts so.
    pub fn new(start: &Start, span: &Span) -> Self {
        let Start { first, number, salt, epoch, .. } = *start;
        Self { first, end: first + span.length(), number, epoch, start: span.start(), salt }
    }

    /// Where a place of the segment is mapped.
    #[inline]
    fn at(&self, place: u64) -> *mut u8 {
        debug_assert!(self.first <= place && place <= self.end);
        // SAFETY: within the span, or one behind.
        unsafe { self.start.add((place - self.first) as usize) }
    }

    /// The record at a place; None: there cannot be one.
    #[inline]
    pub fn record<'a>(&self, place: u64) -> Option<Record<'a>> {
        if place < self.first + START || place > self.end || !place.is_multiple_of(8) {
            return None;
        }
        // SAFETY: so many bytes are mapped there, for as long as the caller may use the view.
        unsafe { Record::at(self.at(place), self.end - place) }
    }

    /// Whether the record at a place is whole.
    #[inline]
    pub fn is_whole(&self, place: u64, record: &Record<'_>) -> bool {
        record.is_whole(record::key(self.salt, place))
    }

    /// Whether another record of `size` bytes has room at a place.
    #[inline]
    pub fn has_room(&self, place: u64, size: u64) -> bool {
        place + size <= self.end
    }

    /// Write the bytes of a record at a place that has room for it and that is nobody else's.
    #[inline]
    pub fn write_bytes(&self, place: u64, parts: &[&[u8]]) {
        // SAFETY: room was asked for; what lies behind the tail is the holder's of the put lock.
        unsafe { record::write_bytes(self.at(place), parts) };
    }

    /// Then its header.
    #[inline]
    pub fn write_header(&self, place: u64, words: Words) {
        debug_assert!(self.has_room(place, words.size()));
        // SAFETY: as above.
        unsafe { record::write_header(self.at(place), words, record::key(self.salt, place)) };
    }

    /// The bytes from a place to the end of the segment, for who has the log alone.
    pub fn rest<'a>(&self, place: u64) -> &'a mut [u8] {
        // SAFETY: within the span; nobody else is there, as the caller promises by being in `recover`.
        unsafe { std::slice::from_raw_parts_mut(self.at(place), (self.end - place) as usize) }
    }
}
