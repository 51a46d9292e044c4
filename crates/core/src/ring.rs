//! A queue of byte messages in shared memory: many putters, many getters, variable sizes.
//!
//! Two locks, one for putters and one for getters, and one committing store on each side. A message becomes visible by the
//! release store of `tail`, and is gone by the release store of `head`: a putter killed before its store has put nothing, a
//! getter killed before its store has taken nothing. The locks know their owners, so the next one simply goes on.
//! Compared with slots that are reserved without a lock (Vyukov's bounded MPMC queue): as fast with many parties, a few
//! nanoseconds slower alone, and recovery is nothing at all, where a slot reserved by a dead putter would block the ring.
//!
//! Positions count 8-byte words and messages in one 64-bit word, so the two can never drift apart:
//!
//! ```text
//! tail, head   63..32 messages ever put / taken (mod 2^32)   31..0 position in words (mod 2^32)
//! record       word 0: payload bytes (32 bits) | attachments (16) | kind (8) | 0 (8); attachments; payload, padded to 8
//! buffer       offset of the storage (64-aligned) | log2(capacity in bytes)
//! ```
//!
//! A record never wraps: what is left before the end of the storage is filled with a skip record. The storage grows by
//! doubling (both locks held, records copied to the same positions, one store of `buffer`); only `max_items` and `max_bytes`
//! make a putter wait. *Attachments* are words whose meaning is the caller's (offsets of blocks).

use crate::error::{ArenaError, GetError, PutError, WaitError};
use crate::lock::OwnerLock;
use crate::loom::{AtomicU32, AtomicU64, Ordering};
use crate::owner::{Liveness, OwnerId};
use crate::wait::Signal;
use std::time::{Duration, Instant};

/// Where a ring's bytes live, and who is asking. An arena is one; a model brings its own.
pub trait Storage: Liveness {
    /// The calling process.
    fn me(&self) -> OwnerId;
    /// The bytes of a buffer. Valid while the ring refers to it.
    fn bytes(&self, buffer: u64) -> *mut u8;
    /// A new buffer of `capacity` bytes; its offset is a multiple of 64.
    fn allocate(&self, capacity: u64) -> Result<u64, ArenaError>;
    /// The ring refers to this buffer no longer.
    fn release(&self, buffer: u64);
}

/// Whether a call may wait.
#[derive(Debug, Clone, Copy)]
pub enum Wait {
    /// Not even for a lock: `Full` or `Empty` may then mean "somebody is at it", so ask again with `Until`.
    Never,
    /// Until then; None is for ever.
    Until(Option<Instant>),
}

/// One message.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// What `get` hands out again.
    pub payload: &'a [u8],
    /// Words that go with it.
    pub attachments: &'a [u64],
}

/// A position and a count of messages, as they stand in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor(u64);

impl Cursor {
    fn position(self) -> u32 {
        self.0 as u32
    }

    fn count(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn moved(self, words: u32, messages: u32) -> Self {
        let position = self.position().wrapping_add(words);
        let count = self.count().wrapping_add(messages);
        Self((count as u64) << 32 | position as u64)
    }

    /// Bytes from `head` to here.
    fn bytes_since(self, head: Self) -> u64 {
        (self.position().wrapping_sub(head.position()) as u64) * 8
    }

    fn messages_since(self, head: Self) -> u32 {
        self.count().wrapping_sub(head.count())
    }
}

/// Tells what a getter took: the count of messages before it, plus 1. A cache line of its own; zero is none.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct ClaimCell(AtomicU64);

impl ClaimCell {
    /// What is claimed.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Claim, or give up the claim.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
}

const SKIP: u64 = 1 << 48;
/// The smallest storage, bytes. Untouched pages cost nothing.
const LEAST_CAPACITY: u64 = 4096;
/// Positions are compared by wrapping subtraction of 32-bit word counts: 16 GiB is the most that stays unambiguous.
const MOST_CAPACITY: u64 = 1 << 34;
/// A call that must not wait still waits this long for an inner lock: it is held for less than a microsecond, or by the dead.
const LOCK_PATIENCE: Duration = Duration::from_millis(50);

fn record_bytes(payload: usize, attachments: usize) -> u64 {
    8 + 8 * attachments as u64 + (payload as u64).next_multiple_of(8)
}

#[repr(C, align(64))]
#[derive(Debug)]
struct PutSide {
    lock: OwnerLock,
    /// Where the head was when a putter last looked; spares the getters' cache line. Guarded by `lock`.
    head_seen: AtomicU64,
    tail: AtomicU64,
}

#[repr(C, align(64))]
#[derive(Debug)]
struct GetSide {
    lock: OwnerLock,
    head: AtomicU64,
}

#[repr(C, align(64))]
#[derive(Debug)]
struct Sleepers {
    /// Getters wait here for messages.
    items: Signal,
    /// Putters wait here for room.
    space: Signal,
    /// Joiners wait here for `done` to reach the count of `tail`.
    finished: Signal,
    done: AtomicU32,
}

/// The ring's head in shared memory. Its storage is a block of its own.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Ring {
    /// Messages at most; 0: no bound.
    max_items: AtomicU32,
    closed: AtomicU32,
    /// Bytes of records at most; 0: no bound.
    max_bytes: AtomicU64,
    /// Changed only with both locks held.
    buffer: AtomicU64,
    put: PutSide,
    get: GetSide,
    sleepers: Sleepers,
}

/// Releases an inner lock however a function is left.
struct Held<'a>(&'a OwnerLock);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

fn hold<'a, S: Storage>(lock: &'a OwnerLock, storage: &S, wait: Wait) -> Result<Held<'a>, WaitError> {
    if lock.try_acquire(storage.me()) {
        return Ok(Held(lock));
    }
    let Wait::Until(deadline) = wait else { return Err(WaitError::TimedOut) };
    let deadline = deadline.map(|deadline| deadline.max(Instant::now() + LOCK_PATIENCE));
    // An abandoned lock needs no repair: what its owner had not committed does not exist.
    let _ = lock.acquire(storage.me(), storage, deadline)?;
    Ok(Held(lock))
}

impl Ring {
    /// An empty ring with storage from `storage`. 0 means no bound.
    pub fn new<S: Storage>(storage: &S, max_items: u32, max_bytes: u64) -> Result<Self, ArenaError> {
        let buffer = storage.allocate(LEAST_CAPACITY)?;
        Ok(Self {
            max_items: AtomicU32::new(max_items),
            closed: AtomicU32::new(0),
            max_bytes: AtomicU64::new(max_bytes),
            buffer: AtomicU64::new(buffer | LEAST_CAPACITY.trailing_zeros() as u64),
            put: PutSide { lock: OwnerLock::new(), head_seen: AtomicU64::new(0), tail: AtomicU64::new(0) },
            get: GetSide { lock: OwnerLock::new(), head: AtomicU64::new(0) },
            sleepers: Sleepers {
                items: Signal::new(),
                space: Signal::new(),
                finished: Signal::new(),
                done: AtomicU32::new(0),
            },
        })
    }

    fn tail(&self) -> Cursor {
        // SYNC: Acquire pairs with the Release in `commit_put`: the records before it are written.
        Cursor(self.put.tail.load(Ordering::Acquire))
    }

    fn head(&self) -> Cursor {
        // SYNC: Acquire pairs with the Release in `commit_get`: the records before it have been read.
        Cursor(self.get.head.load(Ordering::Acquire))
    }

    fn storage_of<S: Storage>(&self, storage: &S) -> (*mut u8, u64) {
        let word = self.buffer.load(Ordering::Relaxed); // guarded by either lock
        (storage.bytes(word & !63), 1 << (word & 63))
    }

    // --- queries ---------------------------------------------------------------------------------------------------

    /// Messages in the ring. A snapshot.
    pub fn len(&self) -> u32 {
        let head = self.head(); // first: the tail seen later is never behind it
        self.tail().messages_since(head)
    }

    /// Whether there is no message. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a putter of a small message would wait. A snapshot.
    pub fn is_full(&self) -> bool {
        let head = self.head();
        !self.has_room(self.tail(), head, 8)
    }

    /// Bytes of records in the ring. A snapshot.
    pub fn bytes(&self) -> u64 {
        let head = self.head();
        self.tail().bytes_since(head)
    }

    /// Messages ever taken and ever put, mod 2^32.
    pub fn position(&self) -> (u32, u32) {
        let head = self.head();
        (head.count(), self.tail().count())
    }

    /// The bound on messages, 0 for none.
    pub fn max_items(&self) -> u32 {
        self.max_items.load(Ordering::Relaxed)
    }

    /// Whether `close` was called.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) != 0
    }

    /// Whether getters, putters or joiners may be asleep.
    pub fn has_sleepers(&self) -> (bool, bool, bool) {
        let sleepers = &self.sleepers;
        (sleepers.items.has_sleepers(), sleepers.space.has_sleepers(), sleepers.finished.has_sleepers())
    }

    fn has_room(&self, tail: Cursor, head: Cursor, bytes: u64) -> bool {
        let (items, limit) = (self.max_items(), self.max_bytes.load(Ordering::Relaxed));
        (items == 0 || tail.messages_since(head) < items) && (limit == 0 || tail.bytes_since(head) + bytes <= limit)
    }

    fn is_bounded(&self) -> bool {
        self.max_items() != 0 || self.max_bytes.load(Ordering::Relaxed) != 0
    }

    // --- put -------------------------------------------------------------------------------------------------------

    /// Put the messages, or as many of them as there is room for: waits only for room for the first. Returns how many were
    /// put and the count of messages before the first of them. `before_commit` runs for each with the put lock held.
    pub fn put<S: Storage>(
        &self,
        storage: &S,
        messages: &[Message<'_>],
        wait: Wait,
        mut before_commit: impl FnMut(&Message<'_>),
    ) -> Result<(usize, u32), PutError> {
        let Some(first) = messages.first() else { return Ok((0, self.tail().count())) };
        let least = record_bytes(first.payload.len(), first.attachments.len());
        let limit = self.max_bytes.load(Ordering::Relaxed);
        if limit != 0 && least > limit {
            return Err(PutError::TooLarge { size: least, limit });
        }
        loop {
            let held = hold(&self.put.lock, storage, wait).map_err(|error| match error {
                WaitError::TimedOut => PutError::Full,
                WaitError::Interrupted => PutError::Interrupted,
            })?;
            if self.is_closed() {
                return Err(PutError::Closed);
            }
            let before = Cursor(self.put.tail.load(Ordering::Relaxed));
            let mut tail = before;
            let mut put = 0;
            for message in messages {
                match self.write(storage, tail, message)? {
                    Some(next) => tail = next,
                    None => break,
                }
                before_commit(message);
                put += 1;
            }
            if put > 0 {
                // SYNC: pairs with the Acquire in `tail()`; the one store that makes the messages exist.
                self.put.tail.store(tail.0, Ordering::Release);
                drop(held);
                self.sleepers.items.notify(put as u32);
                return Ok((put, before.count()));
            }
            drop(held);
            let Wait::Until(deadline) = wait else { return Err(PutError::Full) };
            let ready = || self.is_closed() || self.has_room(self.tail(), self.head(), least);
            self.sleepers.space.wait(ready, deadline).map_err(|error| match error {
                WaitError::TimedOut => PutError::Full,
                WaitError::Interrupted => PutError::Interrupted,
            })?;
        }
    }

    /// Write one record at `tail`, uncommitted; the tail behind it, or None without room. Growing may fail.
    fn write<S: Storage>(
        &self,
        storage: &S,
        tail: Cursor,
        message: &Message<'_>,
    ) -> Result<Option<Cursor>, PutError> {
        let need = record_bytes(message.payload.len(), message.attachments.len());
        let (mut base, mut capacity) = self.storage_of(storage);
        let mut head = Cursor(self.put.head_seen.load(Ordering::Relaxed));
        loop {
            let index = (tail.position() as u64 * 8) & (capacity - 1);
            let gap = if index + need > capacity { capacity - index } else { 0 };
            let total = gap + need;
            if !self.has_room(tail, head, need) || tail.bytes_since(head) + total > capacity {
                let fresh = self.head();
                if fresh != head {
                    head = fresh;
                    self.put.head_seen.store(head.0, Ordering::Relaxed);
                    continue;
                }
                if !self.has_room(tail, head, need) {
                    return Ok(None);
                }
                (base, capacity) = self.grow(storage, tail, capacity, total)?;
                head = Cursor(self.put.head_seen.load(Ordering::Relaxed));
                continue;
            }
            // SAFETY:
            // - `base` points to `capacity` bytes that belong to this ring while the put lock is held.
            // - Positions from `tail` on for `total` bytes are free: that was checked against a head that only moves on.
            // - `index + gap` and `index + need` stay within `capacity`, and all are multiples of 8 (positions count words).
            unsafe {
                let mut at = base.add(index as usize);
                if gap != 0 {
                    at.cast::<u64>().write(SKIP | (gap - 8));
                    at = base;
                }
                let (size, count) = (message.payload.len(), message.attachments.len());
                at.cast::<u64>().write(size as u64 | (count as u64) << 32);
                let attachments = at.add(8);
                std::ptr::copy_nonoverlapping(message.attachments.as_ptr().cast(), attachments, count * 8);
                std::ptr::copy_nonoverlapping(message.payload.as_ptr(), attachments.add(count * 8), size);
            }
            return Ok(Some(tail.moved((total / 8) as u32, 1)));
        }
    }

    /// Double the storage until `total` more bytes fit behind `tail`. The put lock is held; takes the get lock as well.
    #[cold]
    fn grow<S: Storage>(
        &self,
        storage: &S,
        tail: Cursor,
        old_capacity: u64,
        total: u64,
    ) -> Result<(*mut u8, u64), PutError> {
        let _getters = loop {
            match hold(&self.get.lock, storage, Wait::Until(None)) {
                Ok(held) => break held,
                Err(_) => continue, // a slice ended: the holder is at work, stopped or dead; all three end
            }
        };
        let head = self.head();
        let used = tail.bytes_since(head);
        let mut capacity = old_capacity * 2;
        // Twice the record: behind any skip there is then room for it, whatever the position.
        while capacity < used + 2 * total {
            capacity *= 2;
        }
        if capacity > MOST_CAPACITY {
            return Err(PutError::TooLarge { size: used + total, limit: MOST_CAPACITY });
        }
        let buffer = storage.allocate(capacity).map_err(PutError::Arena)?;
        let old = self.buffer.load(Ordering::Relaxed) & !63;
        let (from, to) = (storage.bytes(old), storage.bytes(buffer));
        let mut done = 0;
        while done < used {
            let position = head.position() as u64 * 8 + done;
            let (source, target) = (position & (old_capacity - 1), position & (capacity - 1));
            let length = (used - done).min(old_capacity - source).min(capacity - target);
            // SAFETY: both ranges lie within their buffers by the `min` above; the buffers are different blocks; both locks
            // are held, so nobody else touches either.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    from.add(source as usize),
                    to.add(target as usize),
                    length as usize,
                );
            }
            done += length;
        }
        self.put.head_seen.store(head.0, Ordering::Relaxed);
        // One store moves the ring. Death before it: the old storage stands. After it: the new one does.
        self.buffer.store(buffer | capacity.trailing_zeros() as u64, Ordering::Release);
        storage.release(old);
        Ok((to, capacity))
    }

    // --- get -------------------------------------------------------------------------------------------------------

    /// Take up to `most` messages: waits only for the first. `sink` sees each (count of messages before it, payload,
    /// attachments) with the get lock held, before it is gone, and says whether it wants another.
    /// `claim` is set to count + 1 of the first before it is gone, for whoever wants to know what a dead getter held.
    pub fn get<S: Storage>(
        &self,
        storage: &S,
        most: usize,
        wait: Wait,
        claim: Option<&ClaimCell>,
        mut sink: impl FnMut(u32, &[u8], &[u64]) -> bool,
    ) -> Result<usize, GetError> {
        loop {
            let held = hold(&self.get.lock, storage, wait).map_err(|error| match error {
                WaitError::TimedOut => GetError::Empty,
                WaitError::Interrupted => GetError::Interrupted,
            })?;
            let mut head = Cursor(self.get.head.load(Ordering::Relaxed));
            let closed = self.is_closed(); // before the tail: nothing is put after it
            let tail = self.tail();
            if head.count() != tail.count() {
                let (base, capacity) = self.storage_of(storage);
                let mut taken = 0;
                while taken < most && head.count() != tail.count() {
                    // SAFETY: the get lock is held and `head` is before `tail`, so a whole record stands there.
                    let (next, payload, attachments) = unsafe { read(base, capacity, head) };
                    let more = sink(head.count(), payload, attachments);
                    if let (0, Some(claim)) = (taken, claim) {
                        claim.set(head.count() as u64 + 1);
                    }
                    head = next;
                    taken += 1;
                    if !more {
                        break;
                    }
                }
                // SYNC: pairs with the Acquire in `head()`; keeps the reads above before the room is given away, and the
                // claim before the taking.
                self.get.head.store(head.0, Ordering::Release);
                drop(held);
                if self.is_bounded() {
                    self.sleepers.space.notify(taken as u32);
                }
                return Ok(taken);
            }
            drop(held);
            if closed {
                return Err(GetError::Closed);
            }
            let Wait::Until(deadline) = wait else { return Err(GetError::Empty) };
            let ready = || self.is_closed() || self.tail().count() != self.head().count();
            self.sleepers.items.wait(ready, deadline).map_err(|error| match error {
                WaitError::TimedOut => GetError::Empty,
                WaitError::Interrupted => GetError::Interrupted,
            })?;
        }
    }

    /// Wait until there is a message or the ring is closed, taking nothing.
    pub fn wait_nonempty(&self, deadline: Option<Instant>) -> Result<(), WaitError> {
        self.sleepers.items.wait(|| self.is_closed() || !self.is_empty(), deadline)
    }

    // --- the end ---------------------------------------------------------------------------------------------------

    /// No more may be put; who waits is woken. What is in the ring can still be taken.
    pub fn close<S: Storage>(&self, storage: &S) {
        let held = loop {
            match hold(&self.put.lock, storage, Wait::Until(None)) {
                Ok(held) => break held,
                Err(_) => continue,
            }
        };
        self.closed.store(1, Ordering::Release);
        drop(held);
        self.sleepers.items.notify(u32::MAX);
        self.sleepers.space.notify(u32::MAX);
        self.sleepers.finished.notify(u32::MAX);
    }

    /// One taken message is done with. False when as many are done as were put.
    pub fn task_done(&self) -> bool {
        let done = &self.sleepers.done;
        let mut seen = done.load(Ordering::Relaxed);
        loop {
            let put = self.tail().count();
            if seen == put {
                return false;
            }
            // SYNC: Release pairs with the Acquire in `unfinished`: a joiner sees what was done.
            match done.compare_exchange(seen, seen.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    if seen.wrapping_add(1) == put {
                        self.sleepers.finished.notify(u32::MAX);
                    }
                    return true;
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Messages put and not yet done with.
    pub fn unfinished(&self) -> u32 {
        let done = self.sleepers.done.load(Ordering::Acquire);
        self.tail().count().wrapping_sub(done)
    }

    /// Wait until every message is done with.
    pub fn join(&self, deadline: Option<Instant>) -> Result<(), WaitError> {
        self.sleepers.finished.wait(|| self.unfinished() == 0, deadline)
    }

    /// The storage, for whoever takes the ring apart.
    pub fn buffer(&self) -> u64 {
        self.buffer.load(Ordering::Relaxed) & !63
    }
}

/// The record at `head`: the cursor behind it, its payload and its attachments.
///
/// # Safety
/// - `base` points to the ring's storage of `capacity` bytes, and the get lock is held for the lifetime of the result.
/// - A committed record stands at `head`.
unsafe fn read<'a>(base: *mut u8, capacity: u64, head: Cursor) -> (Cursor, &'a [u8], &'a [u64]) {
    let index = (head.position() as u64 * 8) & (capacity - 1);
    // SAFETY: by contract a record, perhaps a skip record and then one at the start, stands at `index`; its lengths were
    // written by `write`, which kept it within `capacity` and aligned to 8.
    unsafe {
        let mut at = base.add(index as usize);
        let mut skipped = 0;
        let mut word = at.cast::<u64>().read();
        if word & SKIP != 0 {
            skipped = (word & 0xffff_ffff) + 8;
            // At the end of the storage its follower is at the start; after growing it stands in the middle, right behind.
            at = base.add(((index + skipped) & (capacity - 1)) as usize);
            word = at.cast::<u64>().read();
        }
        let size = (word & 0xffff_ffff) as usize;
        let count = (word >> 32 & 0xffff) as usize;
        let attachments = std::slice::from_raw_parts(at.add(8).cast::<u64>(), count);
        let payload = std::slice::from_raw_parts(at.add(8 + count * 8), size);
        let words = (skipped + record_bytes(size, count)) / 8;
        (head.moved(words as u32, 1), payload, attachments)
    }
}
