//! An arena: a heap in a segment, the processes that share it, and the objects that this process has open.
//!
//! A process counts its own handles and holds each object by one bit however many handles it has. `fork` copies handles, so the
//! child must hold what they name before the parent can let go: the parent reserves the child's place and sets its bits
//! before forking (`pthread_atfork`, so that forks which Python does not see are covered too). A process that dies
//! without a word leaves its bits behind; [`Arena::reap`] takes them back.
//!
//! Arenas are never unmapped: there are one or two in a process, and their addresses are everywhere.

use crate::error::ArenaError;
use crate::heap::{Duty, Heap, Usage};
use crate::lock::OwnerLock;
use crate::loom::{AtomicU32, Ordering};
use crate::owner::{Liveness, OwnerId, Processes, PLACES};
use crate::ring::{Message, Ring, Storage};
use crate::segment::Segment;
use crate::sys;
use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Once;

pub use crate::heap::Kind;

/// One arena as this process sees it.
#[derive(Debug)]
pub struct Arena {
    heap: Heap,
    /// This process's `OwnerId`, 0 when a fork found no place for it.
    me: AtomicU32,
    local: Local,
    next: Option<&'static Arena>,
}

/// How many handles this process has on each object. Behind a lock that can be held across a fork.
#[derive(Debug)]
struct Local {
    lock: OwnerLock,
    handles: UnsafeCell<HashMap<u64, u32>>,
    /// The place reserved for the child while a fork is under way.
    child: UnsafeCell<Option<OwnerId>>,
}

// SAFETY: the cells are touched only with `lock` held.
unsafe impl Sync for Local {}

/// Within one process no owner of a local lock is ever dead.
struct Alive;

impl Liveness for Alive {
    fn is_alive(&self, _owner: OwnerId) -> bool {
        true
    }
}

impl Local {
    fn acquire(&self) {
        let _ = self.lock.acquire_inner(OwnerId::new(0, 0), &Alive);
    }

    fn with<R>(&self, work: impl FnOnce(&mut HashMap<u64, u32>) -> R) -> R {
        self.acquire();
        // SAFETY: the lock is held, and `work` cannot get at the map by another way.
        let result = work(unsafe { &mut *self.handles.get() });
        self.lock.release();
        result
    }
}

/// The arenas of this process, a list that only grows at its front. Guards `ARENAS`' head together with forks.
static ARENAS: std::sync::atomic::AtomicPtr<Arena> = std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());
static ENTERING: std::sync::Mutex<()> = std::sync::Mutex::new(());
static AT_FORK: Once = Once::new();

fn all() -> impl Iterator<Item = &'static Arena> {
    // SAFETY: the pointers come from leaked boxes, published with Release after they were filled.
    let mut next = unsafe { ARENAS.load(Ordering::Acquire).as_ref() };
    std::iter::from_fn(move || {
        let arena = next?;
        next = arena.next;
        Some(arena)
    })
}

extern "C" fn before_fork() {
    for arena in all() {
        arena.local.acquire();
        if !arena.is_shared() {
            continue; // the child gets a copy of its own, in which it takes the parent's place
        }
        let child = arena.processes().reserve();
        // SAFETY: the local lock is held until the fork is over.
        let handles = unsafe {
            *arena.local.child.get() = child;
            &*arena.local.handles.get()
        };
        if let Some(child) = child {
            arena.heap.hold_for(arena.me(), child, handles.keys().copied());
        }
    }
}

extern "C" fn after_fork_in_parent() {
    for arena in all() {
        arena.local.lock.release();
    }
}

extern "C" fn after_fork_in_child() {
    for arena in all() {
        // SAFETY: the local lock was taken before the fork by this thread, the only one there is.
        let child = unsafe { (*arena.local.child.get()).take() };
        let me = if arena.is_shared() { child } else { Some(arena.me()) };
        if let Some(me) = me {
            arena.processes().claim(me);
        }
        arena.me.store(me.map_or(0, OwnerId::bits), Ordering::Relaxed);
        arena.local.lock.release();
    }
}

impl Arena {
    /// A new arena that other processes can share. `limit`: bytes that may be in use, 0 for three quarters of memory.
    pub fn shared(limit: u64) -> Result<&'static Self, ArenaError> {
        // Address space is what a sparse segment has plenty of; blocks are not merged, so more of it than memory.
        let length = (sys::physical_memory() * 4).max(1 << 36).next_multiple_of(1 << 21);
        Self::lay(Segment::shared(length)?, limit)
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

    /// Share the arena of another process through its descriptor, which stays the caller's. The same arena twice is one.
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
        // SAFETY: the three handlers are plain functions that live as long as the program; this library is never unloaded.
        AT_FORK.call_once(|| unsafe {
            libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child));
        });
        let processes = heap.processes();
        let me = processes.enter().or_else(|| {
            let dead: Vec<_> = processes.owners().filter(|&owner| !processes.is_alive(owner)).collect();
            // Not taken apart here: without a place of one's own nothing may be locked. Their blocks are found later.
            dead.into_iter().for_each(|owner| processes.leave(owner));
            processes.enter()
        });
        let me = me.ok_or(ArenaError::TooManyProcesses { limit: PLACES as u32 })?;
        let local = Local {
            lock: OwnerLock::new(),
            handles: UnsafeCell::new(HashMap::new()),
            child: UnsafeCell::new(None),
        };
        let _entering = ENTERING.lock();
        if let Some(known) = Self::find(heap.token()) {
            processes.leave(me);
            return Ok(known); // another thread was faster; the second mapping stays unused
        }
        // SAFETY: null or a leaked box, see `all`.
        let next = unsafe { ARENAS.load(Ordering::Acquire).as_ref() };
        let arena = Box::leak(Box::new(Self { heap, me: AtomicU32::new(me.bits()), local, next }));
        ARENAS.store(arena, Ordering::Release);
        Ok(arena)
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
        let me = self.processes().enter();
        let me = me.unwrap_or_else(|| panic!("{}", ArenaError::TooManyProcesses { limit: PLACES as u32 }));
        self.me.store(me.bits(), Ordering::Relaxed);
        me
    }

    /// The processes that share it.
    pub fn processes(&self) -> &Processes {
        self.heap.processes()
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

    /// A new block of `size` bytes. Its contents are arbitrary. When the arena is full, the dead are looked for first.
    pub fn allocate(&'static self, kind: Kind, size: u64) -> Result<Handle, ArenaError> {
        let offset = match self.heap.allocate(self.me(), kind, size) {
            Err(ArenaError::Full { .. }) => {
                self.reap_all();
                self.heap.allocate(self.me(), kind, size)
            }
            other => other,
        }?;
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

    /// The block that a message in hand refers to.
    fn open_in_flight(&'static self, offset: u64) -> Handle {
        self.local.with(|handles| {
            self.heap.hold_in_flight(self.me(), offset);
            *handles.entry(offset).or_insert(0) += 1;
        });
        Handle { arena: self, offset }
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
        // SAFETY: a block of this kind contains a ring, and nobody else has it open any more.
        let ring = unsafe { &*self.heap.contents(offset).cast::<Ring>() };
        loop {
            let mut attached = Vec::new();
            let taken = ring.get(&self, usize::MAX, crate::ring::Wait::Never, None, |_, _, attachments| {
                attached.extend_from_slice(attachments);
                true
            });
            for offset in attached {
                self.leave_flight(offset);
            }
            if taken.is_err() {
                break;
            }
        }
        self.release(ring.buffer());
    }

    fn leave_flight(&'static self, offset: u64) {
        let duty = self.heap.leave_flight(self.me(), offset);
        self.undertake(duty, offset);
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

    /// Put messages into a ring whose attachments are the offsets of `Handle`s that the caller holds: from the commit on
    /// the ring holds them too.
    pub fn put(
        &'static self,
        ring: &Ring,
        messages: &[Message<'_>],
        wait: crate::ring::Wait,
    ) -> Result<(usize, u32), crate::error::PutError> {
        ring.put(&self, messages, wait, |message| {
            for &offset in message.attachments {
                self.heap.enter_flight(offset);
            }
        })
    }

    /// After a message was taken whose attachments were opened by `receive`: the ring holds them no longer.
    pub fn received(&'static self, handles: &[Handle]) {
        for handle in handles {
            self.leave_flight(handle.offset);
        }
    }

    /// While a message is being taken (in `Ring::get`'s sink): hold what it refers to.
    pub fn receive(&'static self, attachments: &[u64], handles: &mut Vec<Handle>) {
        handles.extend(attachments.iter().map(|&offset| self.open_in_flight(offset)));
    }
}

impl Liveness for Arena {
    fn is_alive(&self, owner: OwnerId) -> bool {
        self.processes().is_alive(owner)
    }
}

impl Storage for &'static Arena {
    fn me(&self) -> OwnerId {
        Arena::me(self)
    }

    fn bytes(&self, buffer: u64) -> *mut u8 {
        self.heap.contents(buffer)
    }

    fn allocate(&self, capacity: u64) -> Result<u64, ArenaError> {
        let handle = Arena::allocate(self, Kind::Buffer, capacity)?;
        // From the process's hold into the ring's: a ring owns its storage as a message owns what it refers to.
        self.heap.enter_flight(handle.offset);
        Ok(handle.offset)
    }

    fn release(&self, buffer: u64) {
        self.leave_flight(buffer);
    }
}

impl Liveness for &'static Arena {
    fn is_alive(&self, owner: OwnerId) -> bool {
        self.processes().is_alive(owner)
    }
}

/// An object that this process has open. The object lives at least as long.
#[derive(Debug)]
pub struct Handle {
    arena: &'static Arena,
    offset: u64,
}

impl Handle {
    /// The arena it lives in.
    pub fn arena(&self) -> &'static Arena {
        self.arena
    }

    /// Where in the arena, and the serial number that tells it from a later object there.
    pub fn address(&self) -> (u64, u64) {
        (self.offset, self.arena.heap.describe(self.offset).1)
    }

    /// Where in the arena.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes asked for at its creation.
    pub fn size(&self) -> u64 {
        self.arena.heap.describe(self.offset).2
    }

    /// Its contents in this process's address space, valid while the handle lives.
    pub fn contents(&self) -> *mut u8 {
        self.arena.heap.contents(self.offset)
    }

    /// Copy `bytes` to the start of a block that nobody else has seen yet.
    pub fn fill(&self, bytes: &[u8]) {
        assert!(bytes.len() as u64 <= self.size());
        // Fresh pages are cheaper to fill through the descriptor than by faulting them in one by one.
        if bytes.len() >= 1 << 17
            && self.arena.heap.take_cold(self.offset)
            && self.arena.heap.segment().write_at(self.offset + crate::heap::BLOCK_HEADER, bytes)
        {
            return;
        }
        // SAFETY: the block has room, by the assertion; a slice of ours cannot overlap a block that nobody has seen.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.contents(), bytes.len()) };
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        self.arena.local.with(|handles| *handles.entry(self.offset).or_insert(0) += 1);
        Self { arena: self.arena, offset: self.offset }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The count and the hold change together, so that a handle opened meanwhile by another thread keeps its hold.
        let duty = self.arena.local.with(|handles| {
            let count = handles.get_mut(&self.offset)?;
            *count -= 1;
            if *count > 0 {
                return None;
            }
            handles.remove(&self.offset);
            Some(self.arena.heap.drop_hold(self.arena.me(), self.offset))
        });
        if let Some(duty) = duty {
            self.arena.undertake(duty, self.offset);
        }
    }
}
