//! How a record lies in a segment.
//!
//! | Offset | Bytes | Field |
//! | --- | --- | --- |
//! | 0 | 4 | checksum of bytes 12 to the end, with the segment's salt and the record's place |
//! | 4 | 4 | mark: [`DONE`], or how often it was handed out and not done |
//! | 8 | 4 | taker: the owner who has it now; means nothing to who opens the log anew |
//! | 12 | 4 | length of what follows the header; with [`FILLER`] there is nothing, and so much is to be passed over |
//! | 16 | 8 | number: how many records were put before it |
//! | 24 | 4 | epoch: never falls along the log |
//! | 28 | 4 | behind: how many words of 8 bytes before it the log was known to be safe: on the disk, or with [`MEMORY`] in |
//! | | | the system's memory; all ones: not known |
//! | 32 | | the bytes that were put, padded to 8 |
//!
//! Mark and taker change while the record lives, so the checksum leaves them out: each is one word, which a disk
//! writes whole or not at all. The salt keeps what a user puts from passing for a record when it is found where
//! one is looked for; so do number and epoch for what a killed putter left behind. `behind` tells a record that was
//! lost to a power cut, or never put, from one that was damaged: see `recover.rs`.

use std::sync::atomic::{AtomicU32, Ordering};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a record before what was put.
pub const HEADER: u64 = 32;
/// The mark of a record that nobody will be given again. (No record is handed out so often.)
pub const DONE: u32 = u32::MAX;
/// In `behind`: known to have been put, and not to be on the disk.
pub const MEMORY: u32 = 1 << 31;
/// In `behind`: nothing is known.
pub const UNKNOWN: u32 = u32::MAX;
/// In the length: no record but a gap, of so many bytes with the header.
pub const FILLER: u32 = 1 << 31;
/// Bytes of one record at most.
pub const MOST: u64 = (1 << 31) - 4096;

/// Bytes that a record takes.
#[inline]
pub fn size(length: u64) -> u64 {
    HEADER + length.next_multiple_of(8)
}

/// The words before the bytes.
#[repr(C)]
#[derive(Debug)]
struct Header {
    checksum: u32,
    mark: AtomicU32,
    taker: AtomicU32,
    length: u32,
    number: u64,
    epoch: u32,
    behind: u32,
}

const _: () = assert!(size_of::<Header>() as u64 == HEADER);
const CHECKED: usize = 12;

/// What a record says beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// Bytes, or [`FILLER`] and the size of a gap.
    pub length: u32,
    /// Records put before it.
    pub number: u64,
    /// Never falls along the log.
    pub epoch: u32,
    /// Words of 8 bytes before it that were not known to be safe, and [`MEMORY`]; or [`UNKNOWN`].
    pub behind: u32,
}

impl Words {
    /// The place up to which the log was known to be safe when this was written at `place`. `intact`: what was in
    /// memory then was not lost to a power cut.
    pub fn vouches_for(&self, place: u64, intact: bool) -> u64 {
        match self.behind {
            UNKNOWN => 0,
            behind if behind & MEMORY != 0 && !intact => 0,
            behind => place.saturating_sub(u64::from(behind & !MEMORY) * 8),
        }
    }

    /// Bytes that it takes in the log.
    #[inline]
    pub fn size(&self) -> u64 {
        if self.length & FILLER == 0 { size(self.length.into()) } else { u64::from(self.length & !FILLER) }
    }

    /// Whether it is a gap.
    #[inline]
    pub fn is_filler(&self) -> bool {
        self.length & FILLER != 0
    }

    #[inline]
    fn payload(&self) -> usize {
        if self.is_filler() { 0 } else { self.length as usize }
    }
}

/// A record in a mapped segment, whose header and bytes lie within it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    header: &'a Header,
    at: *const u8,
    /// What it says.
    pub words: Words,
}

impl<'a> Record<'a> {
    /// The record at `at`, of which `room` bytes are there. None: it would be longer.
    ///
    /// # Safety
    /// `at` is a multiple of 8 and `room` bytes are mapped there for `'a`. While the record is used nobody writes
    /// there but to its mark and taker.
    #[inline]
    pub unsafe fn at(at: *mut u8, room: u64) -> Option<Self> {
        if room < HEADER {
            return None;
        }
        // SAFETY: a header has room, and `at` is aligned for it, both as promised; any bytes are one.
        #[allow(clippy::cast_ptr_alignment)]
        let header = unsafe { &*at.cast::<Header>() };
        let words = Words { length: header.length, number: header.number, epoch: header.epoch, behind: header.behind };
        (words.size() >= HEADER && words.size() <= room && words.size().is_multiple_of(8)).then_some(Self {
            header,
            at,
            words,
        })
    }

    /// Whether it is whole, and was written under this key.
    #[inline]
    pub fn is_whole(&self, key: u64) -> bool {
        self.words.epoch != 0 && self.header.checksum == checksum(self.checked(), key)
    }

    fn checked(&self) -> &'a [u8] {
        // SAFETY: header and bytes lie within what `at` was promised.
        unsafe { std::slice::from_raw_parts(self.at.add(CHECKED), HEADER as usize - CHECKED + self.words.payload()) }
    }

    /// What was put.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        // SAFETY: as in `checked`.
        unsafe { std::slice::from_raw_parts(self.at.add(HEADER as usize), self.words.payload()) }
    }

    /// Whether nobody will be given it again.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.header.mark.load(Ordering::Relaxed) == DONE
    }

    /// How often it was handed out, as long as it is not done.
    pub fn deliveries(&self) -> u32 {
        self.header.mark.load(Ordering::Relaxed)
    }

    /// Say how often it was handed out, or [`DONE`].
    #[inline]
    pub fn set_mark(&self, mark: u32) {
        self.header.mark.store(mark, Ordering::Relaxed);
    }

    /// Who has it (bits of an owner); 0 for nobody.
    pub fn taker(&self) -> u32 {
        self.header.taker.load(Ordering::Relaxed)
    }

    /// Say who has it.
    pub fn set_taker(&self, owner: u32) {
        self.header.taker.store(owner, Ordering::Relaxed);
    }
}

/// What the checksum must be at a place of a segment.
#[inline]
pub fn key(salt: u64, place: u64) -> u64 {
    salt ^ place
}

#[inline]
fn checksum(bytes: &[u8], key: u64) -> u32 {
    let hash = xxh3_64(bytes) ^ key;
    (hash ^ hash >> 32) as u32
}

/// Write the bytes of a record whose header will be at `at`.
///
/// # Safety
/// The parts and a header fit into what is mapped at `at`, and nobody else uses it.
#[inline]
pub unsafe fn write_bytes(at: *mut u8, parts: &[&[u8]]) {
    let mut offset = HEADER as usize;
    for part in parts {
        // SAFETY: room as promised; a part is somebody else's memory and does not overlap.
        unsafe { std::ptr::copy_nonoverlapping(part.as_ptr(), at.add(offset), part.len()) };
        offset += part.len();
    }
}

/// Write the header, upon which the record is whole.
///
/// # Safety
/// As `write_bytes`, which has been called (but for a filler, which has no bytes); `at` is a multiple of 8.
#[inline]
pub unsafe fn write_header(at: *mut u8, words: Words, key: u64) {
    // SAFETY: room for a header as promised, aligned; then the bytes behind it were written.
    unsafe {
        #[allow(clippy::cast_ptr_alignment)]
        let header = at.cast::<Header>();
        header.write(Header {
            checksum: 0,
            mark: AtomicU32::new(0),
            taker: AtomicU32::new(0),
            length: words.length,
            number: words.number,
            epoch: words.epoch,
            behind: words.behind,
        });
        let checked = std::slice::from_raw_parts(at.add(CHECKED), HEADER as usize - CHECKED + words.payload());
        (*header).checksum = checksum(checked, key);
    }
}
