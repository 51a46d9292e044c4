//! The bytes of a ring: records, and where they stand. See the table in `ring.rs`.

#![allow(clippy::cast_ptr_alignment)] // positions count words: all is aligned to 8

use super::Message;

/// A position and a count of messages, as they stand in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor(pub(super) u64);

impl Cursor {
    pub(super) fn new(position: u32, count: u32) -> Self {
        Self((count as u64) << 32 | position as u64)
    }

    pub(super) fn position(self) -> u32 {
        self.0 as u32
    }

    pub(super) fn count(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) fn moved(self, words: u32, messages: u32) -> Self {
        let position = self.position().wrapping_add(words);
        let count = self.count().wrapping_add(messages);
        Self::new(position, count)
    }

    /// Bytes from `head` to here.
    pub(super) fn bytes_since(self, head: Self) -> u64 {
        (self.position().wrapping_sub(head.position()) as u64) * 8
    }

    pub(super) fn messages_since(self, head: Self) -> u32 {
        self.count().wrapping_sub(head.count())
    }

    /// Where in a storage of `capacity` bytes a record of `need` bytes goes, and how much must be skipped before it.
    pub(super) fn place(self, capacity: u64, need: u64) -> (u64, u64) {
        if capacity == 0 {
            return (0, 0); // no storage yet
        }
        let index = self.index(capacity);
        (index, if index + need > capacity { capacity - index } else { 0 })
    }

    fn index(self, capacity: u64) -> u64 {
        (self.position() as u64 * 8) & (capacity - 1)
    }
}

const SKIP: u64 = 1 << 48;
/// Bytes of payload in one record; larger things go into blocks of their own.
pub(super) const MOST_PAYLOAD: u64 = 1 << 31;
/// The record has 16 bits for their number.
pub(super) const MOST_ATTACHMENTS: u64 = 0xffff;

/// Bytes of a record.
pub(super) fn bytes(payload: usize, attachments: usize) -> u64 {
    8 + 8 * attachments as u64 + (payload as u64).next_multiple_of(8)
}

/// Write a record at `index`, or behind a skip record over the `gap` bytes that are left there; its attachments as
/// they lie in the storage.
///
/// # Safety
/// - `base` points to a ring's storage, and the put lock is held for the lifetime of the result.
/// - `index` and `gap` come from [`Cursor::place`] for this message and the storage's capacity; those bytes are free.
pub(super) unsafe fn write<'a>(base: *mut u8, index: u64, gap: u64, message: &Message<'_>) -> &'a [u64] {
    let (size, count) = (message.payload.len(), message.attachments.len());
    // SAFETY: by contract all lies within the storage; positions count words, so everything is aligned to 8.
    unsafe {
        let mut at = base.add(index as usize);
        if gap != 0 {
            at.cast::<u64>().write(SKIP | (gap - 8));
            at = base;
        }
        at.cast::<u64>().write(size as u64 | (count as u64) << 32);
        let attachments = at.add(8);
        std::ptr::copy_nonoverlapping(message.attachments.as_ptr().cast(), attachments, count * 8);
        std::ptr::copy_nonoverlapping(message.payload.as_ptr(), attachments.add(count * 8), size);
        std::slice::from_raw_parts(attachments.cast::<u64>(), count)
    }
}

/// Copy `used` bytes of records from `head` on into a larger storage, to the same positions.
///
/// # Safety
/// Both are storages (base, capacity) of a ring both of whose locks are held, and no other's.
pub(super) unsafe fn copy(from: (*mut u8, u64), to: (*mut u8, u64), head: Cursor, used: u64) {
    let mut done = 0;
    while done < used {
        let position = head.position() as u64 * 8 + done;
        let (source, target) = (position & (from.1 - 1), position & (to.1 - 1));
        let length = (used - done).min(from.1 - source).min(to.1 - target);
        // SAFETY: both ranges lie within their storages by the `min` above; these are different blocks, or, where the
        // ring is damaged, overlap, which `copy` allows.
        unsafe {
            std::ptr::copy(from.0.add(source as usize), to.0.add(target as usize), length as usize);
        }
        done += length;
    }
}

/// The record at `head`: the cursor behind it, its payload and its attachments. None when what stands there is no record
/// that ends within the storage and at `tail` at the latest.
///
/// # Safety
/// - `base` points to the ring's storage of `capacity` bytes, and the get lock is held for the lifetime of the
///   result. (Capacity 0: there is none, and nothing is read.)
#[inline]
pub(super) unsafe fn read<'a>(
    base: *mut u8,
    capacity: u64,
    head: Cursor,
    tail: Cursor,
) -> Option<(Cursor, &'a [u8], &'a [u64])> {
    if capacity < 8 {
        return None;
    }
    let mut index = head.index(capacity);
    // SAFETY: `index` is a multiple of 8 below `capacity`, which is a power of two: 8 bytes at least are left.
    let mut word = unsafe { base.add(index as usize).cast::<u64>().read() };
    let mut skipped = 0;
    if word & SKIP != 0 {
        skipped = (word & 0xffff_fff8) + 8;
        // At the end of the storage its follower is at the start; after growing it stands in the middle, right behind.
        index = (index + skipped) & (capacity - 1);
        // SAFETY: as above.
        word = unsafe { base.add(index as usize).cast::<u64>().read() };
    }
    let (size, count) = ((word & 0xffff_ffff) as usize, (word >> 32 & 0xffff) as usize);
    let need = bytes(size, count);
    if need > capacity - index || skipped + need > tail.bytes_since(head) {
        return None;
    }
    // SAFETY: the `need` bytes from `index` on are within the storage, by the comparison; all is aligned to 8.
    unsafe {
        let attachments = base.add(index as usize + 8);
        let payload = std::slice::from_raw_parts(attachments.add(count * 8), size);
        let attachments = std::slice::from_raw_parts(attachments.cast::<u64>(), count);
        Some((head.moved(((skipped + need) / 8) as u32, 1), payload, attachments))
    }
}
