//! A queue of byte messages in shared memory: many putters, many getters, variable sizes.
//!
//! Two locks, one for putters and one for getters, and one committing store on each side. A message becomes visible
//! by the release store of `tail`, and is gone by the release store of `head`: a putter killed before its store has
//! put nothing, a getter killed before its store has taken nothing. The locks know their owners, so the next one
//! simply goes on. Compared with slots that are reserved without a lock (Vyukov's bounded MPMC queue): as fast with
//! many parties, a few nanoseconds slower alone, and recovery is nothing at all, where a slot reserved by a dead
//! putter would block the ring.
//!
//! Positions count 8-byte words and messages in one 64-bit word, so the two can never drift apart:
//!
//! ```text
//! tail, head   63..32 messages ever put / taken (mod 2^32)   31..0 position in words (mod 2^32)
//! record       word 0: payload bytes (32 bits) | attachments (16) | kind (8) | 0 (8); attachments; payload, padded to 8
//! buffer       offset of the storage (64-aligned) | log2(capacity in bytes); 0 until the first message
//! ```
//!
//! A record never wraps: what is left before the end of the storage is filled with a skip record. The storage grows
//! by doubling (both locks held, records copied to the same positions, one store of `buffer`); only `max_items` and
//! `max_bytes` make a putter wait. What getters have taken and not acknowledged, and what came back, is in the
//! *ledger* (`ledger.rs`), if the ring keeps what is taken. *Attachments* are words that name what else a message holds (offsets of blocks);
//! the storage lets them change hands together with the commit.

mod entry;
mod get;
mod ledger;
mod put;
mod record;
mod taken;
mod watch;

pub use taken::Taken;
pub use watch::{Side, WATCHERS, Watcher};

use crate::error::{ArenaError, Corrupted, WaitError};
use crate::failpoint::step;
use crate::lock::{Acquired, Held, OwnerLock};
use crate::loom::{AtomicU32, AtomicU64, Ordering};
use crate::owner::{Liveness, OwnerId};
use crate::wait::Signal;
use ledger::Ledger;
use record::Cursor;
use std::time::{Duration, Instant};

/// Where a ring's bytes live, and who is asking. An arena is one; a model brings its own.
pub trait Storage: Liveness {
    /// The calling process.
    fn me(&self) -> OwnerId;
    /// The first `length` bytes of a buffer, named by a word in shared memory. Valid while the ring refers to it.
    fn bytes(&self, buffer: u64, length: u64) -> Result<*mut u8, Corrupted>;
    /// A new buffer of `capacity` bytes; its offset is a multiple of 64. The caller's until `exchange` makes it a
    /// ring's.
    fn allocate(&self, capacity: u64) -> Result<u64, ArenaError>;
    /// Store `value` into `word`, upon which the ring refers to the buffer `new` and no longer to `old` (0: none). On an
    /// error nothing has changed, and `new` is given back.
    fn exchange(&self, word: &AtomicU64, value: u64, new: u64, old: u64) -> Result<(), Corrupted>;
    /// Bytes of a buffer, named by a word in shared memory; 0: there is none.
    fn room(&self, _buffer: u64) -> u64 {
        u64::MAX
    }
    /// Whether a message's attachments can be what they say.
    fn check(&self, _attachments: &[u64]) -> Result<(), Corrupted> {
        Ok(())
    }
    /// Store `tail`, upon which a message with these attachments exists and holds them. They lie in the ring's
    /// storage.
    fn commit_put(&self, word: &AtomicU64, tail: u64, _attachments: &[u64]) -> Result<(), Corrupted> {
        word.store(tail, Ordering::Release);
        Ok(())
    }
    /// Store `head`, upon which the message is gone and its attachments are held by the caller.
    fn commit_get(&self, word: &AtomicU64, head: u64, _attachments: &[u64]) -> Result<(), Corrupted> {
        word.store(head, Ordering::Release);
        Ok(())
    }
    /// Hold a message's attachments, which something else goes on holding: the caller is about to take the message.
    fn lend(&self, _attachments: &[u64]) -> Result<(), Corrupted> {
        Ok(())
    }
    /// Store `value`, upon which a message is gone and its attachments are held by nobody.
    fn forget(&self, word: &AtomicU64, value: u64, _attachments: &[u64]) -> Result<(), Corrupted> {
        word.store(value, Ordering::Release);
        Ok(())
    }
    /// Ring the bell of another process, or of this one, that watches `ring`. False: it was not reached.
    fn reach(&self, _ring: &Ring, _watcher: Watcher) -> bool {
        false
    }
    /// The owner of one of the ring's locks died: what it had begun in here must be done or undone before anything
    /// else.
    fn settle(&self) {}
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

/// The smallest storage, bytes. Untouched pages cost nothing.
const LEAST_CAPACITY: u64 = 4096;
/// Positions are compared by wrapping subtraction of 32-bit word counts: 16 GiB is the most that stays unambiguous.
const MOST_CAPACITY: u64 = 1 << 34;
/// A call that must not wait still waits this long for an inner lock: it is held for less than a microsecond, or by
/// the dead.
const LOCK_PATIENCE: Duration = Duration::from_millis(50);

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
    /// Where the tail was when a getter last looked; spares the putters' cache line. Guarded by `lock`, never before `head`.
    tail_seen: AtomicU64,
    head: AtomicU64,
}

#[repr(C, align(64))]
#[derive(Debug)]
struct Sleepers {
    /// Getters wait here for messages.
    items: Signal,
    /// Putters wait here for room.
    space: Signal,
    /// Joiners wait here for `unfinished` to be 0.
    finished: Signal,
    /// How many messages are done with. In a ring that keeps what is taken: every message before this one was done with
    /// before it was taken.
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
    /// Where the table of watchers is, 0 until somebody watches. Changed only with the put lock held.
    watchers: AtomicU64,
    /// For items and for room: 1 while some watcher may have to be told.
    armed: [AtomicU32; 2],
    /// What the ledger is for: `NOTHING`, `RETURNED` or `TAKEN` (`taken.rs`). Changed only with the get lock held.
    keeping: AtomicU32,
    put: PutSide,
    get: GetSide,
    sleepers: Sleepers,
    ledger: Ledger,
}

fn hold<'a, S: Storage>(lock: &'a OwnerLock, storage: &S, wait: Wait) -> Result<Held<'a>, WaitError> {
    if lock.try_acquire(storage.me()) {
        step();
        return Ok(Held { lock, abandoned: false });
    }
    let Wait::Until(deadline) = wait else { return Err(WaitError::TimedOut) };
    let deadline = deadline.map(|deadline| deadline.max(Instant::now() + LOCK_PATIENCE));
    let acquired = lock.acquire(storage.me(), storage, deadline)?;
    let held = Held { lock, abandoned: matches!(acquired, Acquired::Abandoned(_)) };
    // Messages of an abandoned side need no repair: what its owner had not committed does not exist. But a commit that
    // it left to the storage may still be under way, from a record that must not be written over before.
    if held.abandoned {
        storage.settle();
    }
    step();
    Ok(held)
}

/// Take an inner lock, however long that takes: its holder is at work, stopped or dead, and all three end.
fn hold_long<'a, S: Storage>(lock: &'a OwnerLock, storage: &S) -> Held<'a> {
    loop {
        if let Ok(held) = hold(lock, storage, Wait::Until(None)) {
            return held;
        }
    }
}

impl Ring {
    /// An empty ring; its storage comes with the first message. 0 means no bound.
    pub fn new(max_items: u32, max_bytes: u64) -> Self {
        Self {
            max_items: AtomicU32::new(max_items),
            closed: AtomicU32::new(0),
            max_bytes: AtomicU64::new(max_bytes),
            buffer: AtomicU64::new(0),
            watchers: AtomicU64::new(0),
            armed: [AtomicU32::new(0), AtomicU32::new(0)],
            keeping: AtomicU32::new(0),
            put: PutSide { lock: OwnerLock::new(), head_seen: AtomicU64::new(0), tail: AtomicU64::new(0) },
            get: GetSide { lock: OwnerLock::new(), tail_seen: AtomicU64::new(0), head: AtomicU64::new(0) },
            sleepers: Sleepers {
                items: Signal::new(),
                space: Signal::new(),
                finished: Signal::new(),
                done: AtomicU32::new(0),
            },
            ledger: Ledger::new(),
        }
    }

    /// An empty ring that has seen `messages` messages and `words` words: for tests of what wraps around.
    #[doc(hidden)]
    pub fn new_at(max_items: u32, max_bytes: u64, messages: u32, words: u32) -> Self {
        let ring = Self::new(max_items, max_bytes);
        let start = Cursor::new(words, messages).0;
        for word in [&ring.put.head_seen, &ring.put.tail, &ring.get.tail_seen, &ring.get.head] {
            word.store(start, Ordering::Relaxed);
        }
        ring.sleepers.done.store(messages, Ordering::Relaxed);
        ring
    }

    /// Set the bounds of a ring that nobody uses yet. 0 means no bound.
    pub fn set_bounds(&self, max_items: u32, max_bytes: u64) {
        self.max_items.store(max_items, Ordering::Relaxed);
        self.max_bytes.store(max_bytes, Ordering::Relaxed);
    }

    fn tail(&self) -> Cursor {
        // SYNC: Acquire pairs with the Release that commits in `put`: the records before it are written.
        Cursor(self.put.tail.load(Ordering::Acquire))
    }

    fn head(&self) -> Cursor {
        // SYNC: Acquire pairs with the Release that commits in `get`: the records before it have been read.
        Cursor(self.get.head.load(Ordering::Acquire))
    }

    /// The storage and its capacity, which the segment has room for: what is read and written within it is in there.
    fn storage_of<S: Storage>(&self, storage: &S) -> Result<(*mut u8, u64), Corrupted> {
        match self.buffer.load(Ordering::Relaxed) {
            0 => Ok((std::ptr::null_mut(), 0)),
            word => {
                let capacity = 1 << (word & 63); // changed only with both locks held
                Ok((storage.bytes(word & !63, capacity)?, capacity))
            }
        }
    }

    // --- queries ---------------------------------------------------------------------------------------------------

    /// Messages that can be taken. A snapshot.
    pub fn len(&self) -> u32 {
        let head = self.head(); // first: the tail seen later is never behind it
        self.tail().messages_since(head).saturating_add(self.returned())
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

    /// Bytes of the block where its messages are, as far as its word can be believed; 0 before the first one.
    pub fn storage_bytes(&self) -> u64 {
        let word = self.buffer.load(Ordering::Relaxed);
        if word == 0 { 0 } else { 1 << (word & 63) }
    }

    /// The bound on messages, 0 for none.
    pub fn max_items(&self) -> u32 {
        self.max_items.load(Ordering::Relaxed)
    }

    /// Whether it is the bytes of its messages that are bounded.
    pub fn is_bounded_by_bytes(&self) -> bool {
        self.max_bytes.load(Ordering::Relaxed) != 0
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

    // --- the end ---------------------------------------------------------------------------------------------------

    /// No more may be put; who waits is woken. What is in the ring can still be taken.
    pub fn close<S: Storage>(&self, storage: &S) {
        let held = hold_long(&self.put.lock, storage);
        self.closed.store(1, Ordering::Release);
        drop(held);
        self.sleepers.items.notify(u32::MAX);
        self.sleepers.space.notify(u32::MAX);
        self.sleepers.finished.notify(u32::MAX);
        self.tell_watchers(storage, Side::Items);
        self.tell_watchers(storage, Side::Room);
    }

    fn buffer(&self) -> u64 {
        self.buffer.load(Ordering::Relaxed) & !63
    }

    /// Part with the storage, for whoever takes the empty ring apart.
    pub fn dismantle<S: Storage>(&self, storage: &S) {
        self.keep_nothing(storage);
        if self.buffer() != 0 {
            let _ = storage.exchange(&self.buffer, 0, 0, self.buffer()); // what is damaged is kept
        }
        self.forget_watchers(storage);
    }

    /// In the child of a fork, for a ring in private memory: the threads that held its locks do not exist here, and what
    /// they had not committed does not either. The same for the last user of any ring.
    pub fn forget_threads(&self) {
        self.put.lock.release();
        if self.get.lock.release() {
            self.ledger.torn.store(1, Ordering::Relaxed);
        }
    }
}
