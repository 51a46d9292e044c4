//! A process's file of records.
//!
//! 64 bytes each, the first one the file's own. Of a record the third word is stored last: its thread, kind and flags.
//! While it is 0 the record is unfinished, and stays so when its writer dies in it. A reader passes over such a place: places
//! are taken in order but filled in any, and what is reserved and not yet taken reads as zeroes too.
//!
//! | bytes | of a record | of the file's own |
//! | --- | --- | --- |
//! | 0–7 | time: nanoseconds of the machine's clock | magic |
//! | 8–15 | ticket | version, pid |
//! | 16–23 | thread (u32), kind (u16), flags (u16) | 0 |
//! | 24–31 | object | when the file was made, as time |
//! | 32–39 | a | 0 |
//! | 40–47 | b | 0 |
//! | 48–55 | site (u32), arena (u32) | 0 |
//! | 56–63 | stack (u32), extra (u32) | 0 |

use super::Event;
use super::family::{self, Family, MAGIC, VERSION, create_own, open_own};
use super::labels::Labels;
use crate::loom::{AtomicU32, AtomicU64, Ordering};
use crate::sys;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of a record.
const RECORD: u64 = 64;
const WORDS: usize = 8;
/// The file grows by its own size, but by no less than this and no more than that: short lives cost little disk, and long
/// ones few system calls.
const LEAST_STEP: u64 = 1 << 16;
const MOST_STEP: u64 = 1 << 22;
/// Address space taken for the file, of which no more than what is reserved is ever touched.
const MOST_BYTES: u64 = 1 << 36;

/// The file, mapped.
pub(super) struct Writer {
    base: *mut u8,
    /// Bytes mapped.
    mapped: u64,
    /// The next free place.
    position: AtomicU64,
    /// Bytes of the file that may be touched.
    reserved: AtomicU64,
    /// 1 while a thread lets the file grow.
    growing: AtomicU32,
    /// 1 when it can grow no more.
    is_full: AtomicU32,
    path: PathBuf,
    family: &'static Family,
    pub(super) labels: Labels,
}

// SAFETY: the mapping is written through atomics only, each place by the one thread that took it.
unsafe impl Send for Writer {}
// SAFETY: as above.
unsafe impl Sync for Writer {}

impl Writer {
    /// A file for the calling process. Its name is the pid and the time, for pids come again.
    pub(super) fn create(family: &'static Family) -> io::Result<Self> {
        let now = sys::monotonic().as_nanos() as u64;
        let stem = format!("{}-{now}", sys::pid());
        let path = family.directory().join(format!("{stem}.records"));
        let file = create_own(&path)?;
        let mut mapped = MOST_BYTES.min(family.limit().max(LEAST_STEP).next_multiple_of(LEAST_STEP));
        let base = loop {
            match family::map(&file, mapped as usize) {
                Ok(base) => break base,
                Err(error) if mapped <= LEAST_STEP => return Err(error),
                Err(_) => mapped /= 2, // RLIMIT_AS, say
            }
        };
        let labels = Labels::create(family.directory().join(format!("{stem}.labels")))?;
        let writer = Self {
            base,
            mapped,
            position: AtomicU64::new(1),
            reserved: AtomicU64::new(0),
            growing: AtomicU32::new(0),
            is_full: AtomicU32::new(0),
            path,
            family,
            labels,
        };
        writer.extend(RECORD)?;
        writer.store(0, [MAGIC, u64::from(VERSION) | u64::from(sys::pid()) << 32, 0, now, 0, 0, 0, 0]);
        Ok(writer)
    }

    /// Of no use after all.
    pub(super) fn discard(&self) {
        self.unmap();
        let _ = std::fs::remove_file(&self.path);
        self.labels.discard();
        self.family.give_back(self.reserved.load(Ordering::Relaxed));
    }

    /// In a process that will not write to it.
    pub(super) fn unmap(&self) {
        // SAFETY: the range is this mapping, which nobody else here uses any more.
        unsafe { libc::munmap(self.base.cast(), self.mapped as usize) };
    }

    /// Write a record into the next place.
    pub(super) fn write(&self, nanos: u64, thread: u32, event: &Event) {
        let position = self.position.fetch_add(1, Ordering::Relaxed);
        let end = (position + 1) * RECORD;
        // SYNC: Acquire pairs with the Release in `extend`: the place was reserved before it is touched.
        if end > self.reserved.load(Ordering::Acquire) && !self.grow(end) {
            self.family.dropped();
            return;
        }
        self.store(
            position,
            [
                nanos,
                event.ticket,
                u64::from(thread) | u64::from(event.kind) << 32 | u64::from(event.flags) << 48,
                event.object,
                event.a,
                event.b,
                u64::from(event.site) | u64::from(event.arena) << 32,
                u64::from(event.stack) | u64::from(event.extra) << 32,
            ],
        );
    }

    /// The third word last.
    fn store(&self, position: u64, words: [u64; WORDS]) {
        let place = self.base.wrapping_add((position * RECORD) as usize);
        #[allow(clippy::cast_ptr_alignment)] // a mapping begins at a page, a record at a multiple of 64
        // SAFETY: the place is reserved and lies within the mapping; words of any contents are valid atomics.
        let cells = unsafe { &*place.cast::<[AtomicU64; WORDS]>() };
        for (index, (cell, word)) in cells.iter().zip(words).enumerate() {
            if index != 2 {
                cell.store(word, Ordering::Relaxed);
            }
        }
        // SYNC: Release pairs with the reader's load of this word, in another process and mostly after our end: who sees
        // it sees the others.
        cells[2].store(words[2], Ordering::Release);
    }

    /// Let the file reach to `end` at least. False: it cannot.
    #[cold]
    fn grow(&self, end: u64) -> bool {
        loop {
            if self.reserved.load(Ordering::Acquire) >= end {
                return true;
            }
            if self.is_full.load(Ordering::Relaxed) != 0 {
                return false;
            }
            // SYNC: Acquire and Release pair with each other: one thread at a time.
            if self.growing.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
                sys::yield_now();
                continue;
            }
            if self.reserved.load(Ordering::Acquire) < end
                && let Err(error) = self.extend(end)
            {
                self.is_full.store(1, Ordering::Relaxed);
                self.family.stop(&error);
            }
            self.growing.store(0, Ordering::Release);
        }
    }

    fn extend(&self, end: u64) -> io::Result<()> {
        let old = self.reserved.load(Ordering::Relaxed);
        let step = old.clamp(LEAST_STEP, MOST_STEP);
        let new = (old + step).max(end.next_multiple_of(LEAST_STEP));
        let added = new - old;
        if new > self.mapped || !self.family.reserve(added) {
            let limit = self.family.limit();
            let message = format!("its limit of {limit} bytes is reached; PROCESSION_RECORD_LIMIT raises it");
            return Err(io::Error::other(message));
        }
        let done = reserve_at(&self.path, old, new);
        if done.is_err() {
            self.family.give_back(added);
        } else {
            // SYNC: Release pairs with the Acquire loads in `write` and `grow`.
            self.reserved.store(new, Ordering::Release);
        }
        done
    }
}

fn reserve_at(path: &Path, from: u64, to: u64) -> io::Result<()> {
    family::reserve(&open_own(path)?, from, to)
}
