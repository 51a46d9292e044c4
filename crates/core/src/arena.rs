//! An arena: a heap in a segment, the processes that share it, and the objects that this process has open.
//!
//! A process counts its own handles and holds each object by one bit however many handles it has. `fork` copies
//! handles, so the child must hold what they name before the parent can let go: the parent reserves the child's
//! place and sets its bits before forking (`pthread_atfork`, so that forks which Python does not see are covered
//! too). A process that dies without a word leaves its bits behind; [`Arena::reap`] takes them back.
//!
//! Arenas are never unmapped: there are one or two in a process, and their addresses are everywhere.

#![allow(clippy::cast_ptr_alignment)] // blocks are aligned to 64 bytes, their headers asserted to be

mod fork;
mod handle;
mod local;
mod obstacle;
mod storage;
mod watches;

use crate::error::{ArenaError, Corrupted};
use crate::failpoint::{self, step};
use crate::heap::{Direction, Duty, Heap, Usage};
use crate::loom::{AtomicU32, AtomicU64, Ordering};
use crate::orders::Orders;
use crate::owner::{Liveness, OwnerId, PLACES, Processes};
use crate::ring::{Message, Ring, Wait};
use crate::segment::Segment;
use crate::sys;
use crate::waits::Waits;
use local::Local;
use std::os::fd::RawFd;

pub use crate::heap::{Kind, Role};
pub use fork::forks;
pub use handle::Handle;
pub use obstacle::State;
pub use watches::Watching;

/// One arena as this process sees it.
#[derive(Debug)]
pub struct Arena {
    heap: Heap,
    /// This process's `OwnerId`, 0 when a fork found no place for it.
    me: AtomicU32,
    local: Local,
    next: Option<&'static Arena>,
}

/// The arenas of this process, a list that only grows at its front. Without a lock: a fork would copy one that is
/// held.
static ARENAS: std::sync::atomic::AtomicPtr<Arena> = std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());

fn all() -> impl Iterator<Item = &'static Arena> {
    // SAFETY: the pointers come from leaked boxes, published with Release after they were filled.
    let mut next = unsafe { ARENAS.load(Ordering::Acquire).as_ref() };
    std::iter::from_fn(move || {
        let arena = next?;
        next = arena.next;
        Some(arena)
    })
}

impl Arena {
    /// A new arena that other processes can share. `limit`: bytes that may be in use, 0 for three quarters of memory.
    pub fn shared(limit: u64) -> Result<&'static Self, ArenaError> {
        // Address space is what a sparse segment has plenty of; blocks are not merged, so more of it than memory.
        let length = (sys::physical_memory() * 4).max(1 << 36).next_multiple_of(1 << 21);
        Self::lay(Segment::shared(length)?, limit)
    }

    /// The same for programs that are not related. A process may come to have many of these, and address space ends, so
    /// it takes `length` bytes only; and none of them decides for the others whether deadlocks are looked for.
    pub fn for_strangers(length: u64, limit: u64) -> Result<&'static Self, ArenaError> {
        let arena = Self::lay(Segment::named(length, c"procession-arena-disk")?, limit)?;
        arena.waits().leave_detecting_to_each();
        Ok(arena)
    }

    /// A new arena in this process's own memory.
    pub fn private() -> Result<&'static Self, ArenaError> {
        let length = (sys::physical_memory() * 4).max(1 << 36).next_multiple_of(1 << 21);
        Self::lay(Segment::private(length)?, 0)
    }

    fn lay(segment: Segment, limit: u64) -> Result<&'static Self, ArenaError> {
        let mut token = [0u8; 16];
        sys::random(&mut token).map_err(|error| ArenaError::System { call: "getrandom", error })?;
        let number = |range: std::ops::Range<usize>| u64::from_le_bytes(token[range].try_into().unwrap_or_default());
        let limit = if limit == 0 { sys::physical_memory() / 4 * 3 } else { limit };
        Self::enter(Heap::create(segment, limit, [number(0..8), number(8..16)]))
    }

    /// Share the arena of another process through its descriptor, which stays the caller's. The same arena twice is
    /// one.
    pub fn attach(fd: RawFd, token: [u64; 2]) -> Result<&'static Self, ArenaError> {
        if let Some(known) = Self::find(token) {
            return Ok(known);
        }
        Self::enter(Heap::open(Segment::attach(fd)?, token)?)
    }

    /// The arena with this token, if this process has it.
    pub fn find(token: [u64; 2]) -> Option<&'static Self> {
        all().find(|arena| arena.heap.token() == token)
    }

    /// Every arena of this process.
    pub fn everywhere() -> impl Iterator<Item = &'static Self> {
        all()
    }

    fn enter(heap: Heap) -> Result<&'static Self, ArenaError> {
        fork::prepare();
        let (me, crowded) = Self::find_place(&heap)?;
        let arena = Box::leak(Box::new(Self { heap, me: AtomicU32::new(me.bits()), local: Local::new(), next: None }));
        loop {
            if let Some(known) = Self::find(arena.token()) {
                // Another thread was faster; the second mapping stays unused.
                arena.processes().leave(me);
                return Ok(known);
            }
            let first = ARENAS.load(Ordering::Acquire);
            // SAFETY: null or a leaked box, see `all`.
            arena.next = unsafe { first.as_ref() };
            // SYNC: Release publishes the arena to `all`.
            if ARENAS.compare_exchange(first, arena, Ordering::Release, Ordering::Relaxed).is_ok() {
                break;
            }
        }
        let arena: &'static Self = arena;
        if crowded {
            arena.reap_all();
        }
        Ok(arena)
    }

    /// A place for the calling process; true: a dead one's, because there was no other.
    fn find_place(heap: &Heap) -> Result<(OwnerId, bool), ArenaError> {
        let processes = heap.processes();
        if let Some(me) = processes.enter() {
            return Ok((me, false));
        }
        // Without a place of one's own nothing can be locked, so that the place is freed before its last user's
        // holdings are.
        let freed = processes.owners().any(|owner| !processes.is_alive(owner) && processes.leave(owner));
        match processes.enter() {
            Some(me) if freed => {
                heap.clear_place(me);
                Ok((me, true))
            }
            Some(me) => Ok((me, true)),
            None => Err(ArenaError::TooManyProcesses { limit: PLACES as u32 }),
        }
    }

    /// Whether other processes can share it.
    pub fn is_shared(&self) -> bool {
        self.fd() >= 0
    }

    /// Its descriptor, -1 for a private one.
    pub fn fd(&self) -> RawFd {
        self.heap.segment().fd()
    }

    /// What distinguishes it from all others.
    pub fn token(&self) -> [u64; 2] {
        self.heap.token()
    }

    /// The calling process.
    #[inline]
    pub fn me(&self) -> OwnerId {
        OwnerId::from_bits(self.me.load(Ordering::Relaxed)).unwrap_or_else(|| self.enter_late())
    }

    #[cold]
    fn enter_late(&self) -> OwnerId {
        let (mine, _) = Self::find_place(&self.heap).unwrap_or_else(|error| panic!("{error}"));
        match self.me.compare_exchange(0, mine.bits(), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => mine,
            Err(theirs) => {
                self.processes().leave(mine); // another thread was faster
                OwnerId::from_bits(theirs).unwrap_or(mine)
            }
        }
    }

    /// The calling process takes part in the chaos, if it is unleashed.
    pub fn enter_chaos(&self) {
        failpoint::enter(self.processes().rank(self.me()));
    }

    /// The processes that share it.
    pub fn processes(&self) -> &Processes {
        self.heap.processes()
    }

    /// The label of a text that everybody who shares the arena can read: a name, or a place in a program. 0 when the
    /// table of labels is full. Never blocks.
    pub fn label(&self, text: &str) -> u32 {
        self.heap.labels().label(text)
    }

    /// The text of a label; None for 0.
    pub fn label_text(&self, label: u32) -> Option<String> {
        self.heap.labels().text(label)
    }

    /// What an object is called, for people, and its serial number; see `Heap::called`.
    pub fn called(&self, offset: u64) -> Option<(u64, String)> {
        self.heap.called(offset)
    }

    /// The serial number of an object.
    pub fn serial(&self, offset: u64) -> u64 {
        self.heap.serial(offset)
    }

    /// Who waits for what.
    pub fn waits(&self) -> &Waits {
        self.heap.waits()
    }

    /// In which order locks are taken.
    pub fn orders(&self) -> &Orders {
        self.heap.orders()
    }

    /// How much is in use.
    pub fn usage(&self) -> Usage {
        self.heap.usage()
    }

    /// Every object: offset, kind, serial, size, creator's pid.
    pub fn objects(&self) -> Vec<(u64, u32, u64, u64, u32)> {
        self.heap.objects()
    }

    // --- objects ---------------------------------------------------------------------------------------------------

    /// A new block of `size` bytes. Its contents are arbitrary. When the arena is full, the dead are looked for
    /// first.
    pub fn allocate(&'static self, kind: Kind, size: u64) -> Result<Handle, ArenaError> {
        let offset = match self.heap.allocate(self.me(), kind, size) {
            Err(ArenaError::Full { .. }) => {
                self.reap_all();
                self.heap.allocate(self.me(), kind, size)
            }
            other => other,
        }?;
        step();
        self.local.with(|handles| handles.insert(offset, 1));
        Ok(Handle { arena: self, offset })
    }

    /// The object at an address that came from somewhere.
    pub fn open(&'static self, offset: u64, serial: u64, kind: Option<Kind>) -> Result<Handle, ArenaError> {
        self.local.with(|handles| {
            self.heap.hold(self.me(), offset, serial, kind)?;
            *handles.entry(offset).or_insert(0) += 1;
            Ok(Handle { arena: self, offset })
        })
    }

    /// A handle on a block that `Storage::commit_get` or `exchange` has counted as this process's.
    fn adopt(&'static self, offset: u64) -> Handle {
        Handle { arena: self, offset }
    }

    /// Store `value` into `cursor` as blocks come out of a message into this process's hands.
    fn take_out(&'static self, cursor: &AtomicU64, value: u64, words: &[u64]) -> Result<(), Corrupted> {
        self.local.with(|handles| {
            // Allocate first: the counts here and the holds in the arena must not part company.
            for &offset in words {
                handles.entry(offset).or_insert(0);
            }
            let done = self.heap.transfer(self.me(), Direction::OutOfMessage, cursor, value, words);
            for offset in words {
                match handles.get_mut(offset) {
                    Some(count) if done.is_ok() => *count += 1,
                    Some(0) => _ = handles.remove(offset),
                    _ => {}
                }
            }
            done
        })
    }

    fn undertake(&'static self, duty: Duty, offset: u64) {
        if duty == Duty::TakeApart {
            if self.heap.describe(offset).0 == Kind::Ring as u32 {
                self.empty_ring(offset);
            }
            self.heap.bury(self.me(), offset);
        }
    }

    fn empty_ring(&'static self, offset: u64) {
        let Ok(contents) = self.heap.bytes(offset, size_of::<Ring>() as u64) else { return };
        // SAFETY: a block of this kind contains a ring, and nobody else has it open any more.
        let ring = unsafe { &*contents.cast::<Ring>() };
        // So who holds a lock of it is dead, or damage says so: neither is waited for.
        self.heap.settle(self.me());
        ring.forget_threads();
        ring.discard(&self);
        ring.dismantle(&self);
    }

    /// Take back what process `pid` held, if it has ended. True if it was known and had.
    pub fn reap(&'static self, pid: u32) -> bool {
        let dead: Vec<_> = self.processes().find(pid).filter(|&owner| !self.processes().is_alive(owner)).collect();
        self.bury_all(&dead);
        !dead.is_empty()
    }

    /// Take back what all ended processes held.
    pub fn reap_all(&'static self) {
        let dead: Vec<_> = self.processes().owners().filter(|&owner| !self.processes().is_alive(owner)).collect();
        self.bury_all(&dead);
    }

    fn bury_all(&'static self, dead: &[OwnerId]) {
        for &owner in dead {
            for offset in self.heap.take_back(self.me(), owner) {
                self.undertake(Duty::TakeApart, offset);
            }
        }
    }

    // --- messages --------------------------------------------------------------------------------------------------

    /// Put messages into a ring whose attachments are the offsets of `Handle`s that the caller holds: from the
    /// commit on the ring holds them too.
    pub fn put(
        &'static self,
        ring: &Ring,
        messages: &[Message<'_>],
        wait: Wait,
    ) -> Result<(usize, u32), crate::error::PutError> {
        ring.put(&self, messages, wait)
    }

    /// While a message is being taken (in `Ring::get`'s sink): handles on what it refers to. The commit of the
    /// taking makes them hold it.
    pub fn receive(&'static self, attachments: &[u64], handles: &mut Vec<Handle>) {
        handles.extend(attachments.iter().map(|&offset| self.adopt(offset)));
    }

    /// Whether the heap's lists, counters and blocks agree, for tests.
    pub fn check(&self) -> Result<(), String> {
        self.heap.check(self.me())
    }

    /// Messages in flight and places of processes that hold the block at an offset, for tests.
    pub fn holders(&self, offset: u64) -> (u32, Vec<usize>) {
        self.heap.holders(offset)
    }
}
