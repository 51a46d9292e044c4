//! Space within a segment: blocks of fixed size classes, free lists, and who holds what.
//!
//! ```text
//! 0        Header (4096 bytes): magic, version, token, limit, counters, lock, heads of the free lists
//! 4096     Processes (64 bytes a place, and a line)
//! LABELS   Labels: names and places in programs, for people
//! WAITS    Waits (64 bytes a slot, and a line)
//! ORDERS   Orders (128 bytes a row, and a line)
//! START    blocks, one after another up to `top`: BlockHeader (192 bytes), then the contents
//! ```
//!
//! Classes are four to a doubling, so at most a quarter of a block is unused, and unused pages are never touched.
//! Blocks are not merged: a segment is sparse and larger than memory, so address space is what there is plenty of.
//! Freed memory is kept warm for reuse up to a bound (the first touch of a page costs ten times a copy), beyond it
//! given back to the system.
//!
//! Everything here runs under one owner lock. Every change is a single committing store away from the one before,
//! and the state word in each block's header says what it is, so when an owner died in the middle, `repair` (in
//! `transfer.rs`) rebuilds lists and counters by walking the blocks.
//!
//! A block is held by processes (one bit each, so that a dead one's share can be taken back however it died) and by
//! messages in flight (a count). It is free when neither is left: `holders.rs`. What moves from a process into a
//! message or back does so together with the commit of that message, or not at all: `transfer.rs`.

#![allow(clippy::cast_ptr_alignment)] // blocks are aligned to 64 bytes, their headers asserted to be

mod checked;
mod fill;
mod holders;
mod kinds;
mod looking;
mod outside;
mod transfer;

use crate::error::{ArenaError, Corrupted};
use crate::failpoint::step;
use crate::labels::Labels;
use crate::lock::{Acquired, OwnerLock};
use crate::loom::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::orders::Orders;
use crate::owner::{OwnerId, PLACES, Processes};
use crate::segment::Segment;
use crate::waits::Waits;

pub use holders::Duty;
use kinds::{CLASSES, class_of, class_size};
pub use kinds::{Kind, Role};
pub use outside::{Block, Outside};
pub use transfer::Direction;
use transfer::Journal;

const MAGIC: u64 = u64::from_le_bytes(*b"procesn\x02");
const HEADER_SIZE: u64 = 4096;
const LABELS: u64 = HEADER_SIZE + size_of::<Processes>() as u64;
/// Where the first block stands.
pub const START: u64 = ORDERS + size_of::<Orders>() as u64;
/// Where the table of the orders in which locks are taken stands.
const ORDERS: u64 = (WAITS + size_of::<Waits>() as u64).next_multiple_of(128);
/// Where the table of who waits for what stands.
const WAITS: u64 = LABELS + size_of::<Labels>() as u64;
/// Bytes before a block's contents.
pub const BLOCK_HEADER: u64 = size_of::<BlockHeader>() as u64;
const PAGE: u64 = 4096;
/// From this size on freed memory is worth giving back to the system.
const WORTH_PUNCHING: u64 = 64 * 1024;
/// Freed memory kept for reuse, bytes; arbitrary: a few large messages in flight.
const WARM_LIMIT: u64 = 256 << 20;

#[repr(C)]
struct Header {
    magic: AtomicU64,
    capacity: AtomicU64,
    token: [AtomicU64; 2],
    limit: AtomicU64,
    /// Never used twice, so that an address never names a later object.
    serial: AtomicU64,
    lock: OwnerLock,
    /// Who writes through the descriptor (`fill.rs`).
    pen: OwnerLock,
    /// End of the blocks.
    top: AtomicU64,
    /// Bytes of blocks in use.
    used: AtomicU64,
    /// Bytes of free blocks whose pages are kept.
    warm: AtomicU64,
    objects: AtomicU64,
    journal: Journal,
    /// Offsets of the first free block of each class: kept warm, and given back.
    free: [[AtomicU64; CLASSES]; 2],
}

#[repr(C)]
struct BlockHeader {
    /// Free or in use, and for what: a `Kind`. The word that says what this block is.
    kind: AtomicU32,
    class: AtomicU32,
    serial: AtomicU64,
    /// Bytes asked for.
    size: AtomicU64,
    /// The next free block of the class.
    next: AtomicU64,
    /// Messages in flight that refer to it, and rings that own it.
    in_flight: AtomicU32,
    /// Who is taking it apart: an `OwnerId`.
    undertaker: AtomicU32,
    /// 1 when its pages may be untouched.
    cold: AtomicU32,
    creator: AtomicU32,
    /// The label of the place in the program that made it, for people; 0: nobody said.
    site: AtomicU32,
    /// The label of the name it was given, for people; 0: none.
    name: AtomicU32,
    /// What it serves as, where its kind does not say: a `Role`.
    role: AtomicU32,
    /// What it is a part of: an offset in units of 64 bytes; 0: it stands for itself.
    part_of: AtomicU32,
    /// One bit a process.
    holders: [AtomicU64; PLACES / 64],
}

const _: () = assert!(size_of::<Header>() <= HEADER_SIZE as usize);
const _: () = assert!(size_of::<BlockHeader>() == 192);
const _: () = assert!(LABELS.is_multiple_of(64) && WAITS.is_multiple_of(64) && START.is_multiple_of(64));

/// What counts as in use, as numbers for people.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Bytes of address space.
    pub capacity: u64,
    /// Bytes that may be in use.
    pub limit: u64,
    /// Bytes of blocks in use.
    pub used: u64,
    /// Bytes of free blocks whose pages are kept for reuse.
    pub warm: u64,
    /// Blocks in use.
    pub objects: u64,
}

/// The heap of one segment, as one process sees it.
#[derive(Debug)]
pub struct Heap {
    segment: Segment,
}

/// The heap lock, held.
struct Locked<'a>(&'a OwnerLock);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Heap {
    /// Lay a fresh heap into a segment of zeroes.
    pub fn create(segment: Segment, limit: u64, token: [u64; 2]) -> Self {
        let heap = Self { segment };
        let header = heap.header();
        header.capacity.store(heap.segment.length(), Relaxed);
        header.limit.store(limit, Relaxed);
        header.top.store(START, Relaxed);
        header.token[0].store(token[0], Relaxed);
        header.token[1].store(token[1], Relaxed);
        // Last: until the magic stands, the segment is nothing.
        header.magic.store(MAGIC, crate::loom::Ordering::Release);
        heap
    }

    /// See the heap in a segment that another process laid.
    pub fn open(segment: Segment, token: [u64; 2]) -> Result<Self, ArenaError> {
        if segment.length() < START {
            return Err(ArenaError::NotAnArena("its file is too small"));
        }
        let heap = Self { segment };
        let header = heap.header();
        if header.magic.load(crate::loom::Ordering::Acquire) != MAGIC {
            return Err(ArenaError::NotAnArena("wrong magic or version"));
        }
        if header.capacity.load(Relaxed) != heap.segment.length() {
            return Err(ArenaError::NotAnArena("its length is not what its header says"));
        }
        if heap.token() != token {
            return Err(ArenaError::NotAnArena("its token is another one's"));
        }
        Ok(heap)
    }

    /// The segment below.
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// What distinguishes this heap from all others.
    pub fn token(&self) -> [u64; 2] {
        let token = &self.header().token;
        [token[0].load(Relaxed), token[1].load(Relaxed)]
    }

    fn header(&self) -> &Header {
        // SAFETY: a segment is at least a mebibyte, page-aligned, lives as long as the process; all fields are
        // atomics.
        unsafe { &*self.segment.base().cast::<Header>() }
    }

    /// The table of processes.
    pub fn processes(&self) -> &Processes {
        // SAFETY: as in `header`; the table stands behind it, aligned to its 64 bytes.
        unsafe { &*self.segment.base().add(HEADER_SIZE as usize).cast::<Processes>() }
    }

    /// The table of names and places.
    pub fn labels(&self) -> &Labels {
        // SAFETY: as in `header`; the table stands behind that of the processes, aligned to its 64 bytes.
        unsafe { &*self.segment.base().add(LABELS as usize).cast::<Labels>() }
    }

    /// Who waits for what.
    pub fn waits(&self) -> &Waits {
        // SAFETY: as in `processes`; this table stands behind that one, aligned to its 64 bytes.
        unsafe { &*self.segment.base().add(WAITS as usize).cast::<Waits>() }
    }

    /// In which order locks are taken.
    pub fn orders(&self) -> &Orders {
        // SAFETY: as in `processes`; this table stands behind that of the waits, aligned to its 128 bytes.
        unsafe { &*self.segment.base().add(ORDERS as usize).cast::<Orders>() }
    }

    /// The contents of a block that this process holds, in its address space.
    pub fn contents(&self, offset: u64) -> *mut u8 {
        debug_assert!(offset >= START && offset < self.segment.length());
        // SAFETY: the offset is within the segment, as are the contents behind the header.
        unsafe { self.segment.base().add((offset + BLOCK_HEADER) as usize) }
    }

    fn lock(&self, me: OwnerId) -> Locked<'_> {
        let lock = &self.header().lock;
        let acquired = lock.acquire_inner(me, self.processes());
        let locked = Locked(lock);
        step();
        if let Acquired::Abandoned(_) = acquired {
            // What is damaged as well is met by whoever comes to it.
            let _ = self.repair();
        }
        locked
    }

    /// See to it that nothing a dead process began here is left half-done.
    pub fn settle(&self, me: OwnerId) {
        drop(self.lock(me));
    }

    /// Hold the lock across a fork, which copies a private heap: no other thread of this process is then within it.
    pub fn freeze(&self, me: OwnerId) {
        std::mem::forget(self.lock(me));
    }

    /// The fork is over (called on both sides of it).
    pub fn thaw(&self) {
        self.header().lock.release();
    }

    // --- taking and giving back ------------------------------------------------------------------------------------

    /// A block for `size` bytes, held by the caller's process. Its contents are arbitrary when it is reused.
    pub fn allocate(&self, me: OwnerId, kind: Kind, size: u64) -> Result<u64, ArenaError> {
        let _locked = self.lock(me);
        let header = self.header();
        let (limit, used) = (header.limit.load(Relaxed), header.used.load(Relaxed));
        let full = ArenaError::Full { asked: size, used, limit };
        if size > limit.min(self.segment.length()) {
            return Err(full);
        }
        let class = class_of(size + BLOCK_HEADER);
        let bytes = class_size(class);
        if used.saturating_add(bytes) > limit {
            return Err(full);
        }
        step();
        let (block, offset) = match self.pop(class, 0)? {
            Some(found) => found,
            None => match self.pop(class, 1)? {
                Some(found) => found,
                None => self.extend(class)?.ok_or(full)?,
            },
        };
        block.size.store(size, Relaxed);
        block.serial.store(header.serial.fetch_add(1, Relaxed) + 1, Relaxed);
        block.in_flight.store(0, Relaxed);
        block.undertaker.store(0, Relaxed);
        block.creator.store(crate::sys::pid(), Relaxed);
        for word in [&block.site, &block.name, &block.role, &block.part_of] {
            word.store(0, Relaxed);
        }
        for word in &block.holders {
            word.store(0, Relaxed);
        }
        if kind == Kind::Ring {
            // A ring is taken apart by whoever buries it: should its maker die before it is one, it must be an
            // empty one. SAFETY: the block has `size` bytes, is free, and the lock is held.
            unsafe { self.contents(offset).write_bytes(0, size as usize) };
        }
        step();
        block.set_holder(me, true);
        step();
        // From here on the block is in use, and its holder's if it dies.
        block.kind.store(kind as u32, crate::loom::Ordering::Release);
        step();
        header.used.fetch_add(bytes, Relaxed);
        step();
        header.objects.fetch_add(1, Relaxed);
        step();
        Ok(offset)
    }

    fn pop(&self, class: u32, list: usize) -> Result<Option<(&BlockHeader, u64)>, Corrupted> {
        let header = self.header();
        let head = &header.free[list][class as usize];
        let offset = head.load(Relaxed);
        if offset == 0 {
            return Ok(None);
        }
        let block = self.block(offset)?;
        if block.kind.load(Relaxed) != Kind::Free as u32 || block.class.load(Relaxed) != class {
            return Err(Corrupted { what: "a list of free blocks", offset });
        }
        self.segment.span(offset, class_size(class), "a list of free blocks")?;
        head.store(block.next.load(Relaxed), Relaxed);
        step();
        if list == 0 {
            header.warm.fetch_sub(class_size(class), Relaxed);
        }
        Ok(Some((block, offset)))
    }

    fn extend(&self, class: u32) -> Result<Option<(&BlockHeader, u64)>, Corrupted> {
        let header = self.header();
        let offset = header.top.load(Relaxed);
        let Some(room) = self.segment.length().checked_sub(offset) else {
            return Err(Corrupted { what: "the end of the blocks", offset });
        };
        if room < class_size(class) {
            return Ok(None);
        }
        let block = self.block(offset)?;
        let end = offset + class_size(class);
        block.class.store(class, Relaxed);
        block.kind.store(Kind::Free as u32, Relaxed);
        block.cold.store(1, Relaxed);
        step();
        header.top.store(end, crate::loom::Ordering::Release);
        Ok(Some((block, offset)))
    }

    fn release(&self, offset: u64) -> Result<(), Corrupted> {
        let header = self.header();
        let block = self.block(offset)?;
        let bytes = self.extent(offset)?;
        let class = class_of(bytes);
        block.kind.store(Kind::Free as u32, Relaxed);
        step();
        header.used.fetch_sub(bytes, Relaxed);
        step();
        header.objects.fetch_sub(1, Relaxed);
        step();
        let warm = header.warm.load(Relaxed);
        let keep = bytes < WORTH_PUNCHING || warm.saturating_add(bytes) <= WARM_LIMIT;
        if !keep {
            let from = (offset + BLOCK_HEADER).next_multiple_of(PAGE);
            let to = (offset + bytes) / PAGE * PAGE;
            self.segment.punch(from, to - from);
        }
        step();
        block.cold.store(u32::from(!keep), Relaxed);
        step();
        self.push(block, offset, class, usize::from(!keep));
        Ok(())
    }

    fn push(&self, block: &BlockHeader, offset: u64, class: u32, list: usize) {
        let header = self.header();
        let head = &header.free[list][class as usize];
        block.next.store(head.load(Relaxed), Relaxed);
        step();
        head.store(offset, Relaxed);
        step();
        if list == 0 {
            header.warm.fetch_add(class_size(class), Relaxed);
        }
    }

    /// Whether a block's pages may be untouched; asking makes them count as touched.
    fn take_cold(&self, offset: u64) -> bool {
        let cold = &self.held(offset).cold;
        cold.load(Relaxed) != 0 && cold.swap(0, Relaxed) != 0
    }
}
