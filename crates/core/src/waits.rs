//! Who waits for what, and (where deadlocks are looked for) who holds what: a table that anybody may read.
//!
//! A thread that is about to sleep enters what it waits for, and strikes it out when it goes on. A wait that ends while
//! it still spins is never entered, so what is quick pays nothing. A process in which deadlocks are looked for also enters
//! each lock that a thread of it takes, with the line that took it.
//!
//! A slot is its writer's from the exchange that puts its owner there until the store that takes him away. In between only
//! the writer stores, under a sequence (Lamport 1977; the kernel's seqlock) that is odd while it does:
//!
//! | owner | sequence | action | meaning                                                                            |
//! | ----- | -------- | ------ | ---------------------------------------------------------------------------------- |
//! | 0     | even     | 0      | free                                                                               |
//! | owner | even     | 0      | just taken, or about to be free                                                    |
//! | owner | odd      | any    | being written: readers see nothing. If the owner died there it stays so until reuse |
//! | owner | even     | > 0    | an entry                                                                           |
//!
//! The sequence never goes back, so slot and sequence together name one wait for good: who reads the same pair twice has
//! seen a thread that slept all the time between. A writer that dies leaves its slot behind; readers ask whether the
//! owner lives, and who finds no free slot takes a dead one's. Nothing here waits: without a free slot a wait is not in
//! the table.

use crate::loom::{AtomicU32, AtomicU64, Ordering, fence};
use crate::owner::{Liveness, OwnerId};

/// How many entries there can be at a time.
pub const SLOTS: usize = if cfg!(loom) { 2 } else { 4096 };

/// In `detecting`: each process decides for itself.
const EACH: u32 = 2;

/// Whether this process looks for deadlocks; not 0: it does.
#[cfg(not(loom))]
static WATCHING: AtomicU32 = AtomicU32::new(0);

/// Whether this process looks for deadlocks: one relaxed load.
#[cfg(not(loom))]
#[inline(always)]
pub fn is_watching() -> bool {
    WATCHING.load(Ordering::Relaxed) != 0
}

/// Have it do so, or not.
#[cfg(not(loom))]
pub fn watch(on: bool) {
    WATCHING.store(u32::from(on), Ordering::Relaxed);
}

/// What a thread is at. The numbers are in shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// Takes a lock, or a permit.
    Acquire = 1,
    /// Takes an item out of a queue or a pipe.
    Get,
    /// Puts an item into a queue or a pipe.
    Put,
    /// Waits for an event, for the notification of a condition, or at a barrier.
    Wait,
    /// Waits until there is something to get.
    Poll,
    /// Waits until all items of a queue are done with.
    Finish,
    /// Waits for the end of a process (the object is its pid), or of a thread of its own (and the detail that one's
    /// kernel id).
    Join,
    /// Waits for a result of a pool.
    Result,
    /// Waits for one of several things.
    Any,
    /// A pool's worker without a task.
    Serve,
    /// Does not wait: it holds the object.
    Hold,
}

impl Action {
    const ALL: [Self; 11] = [
        Self::Acquire,
        Self::Get,
        Self::Put,
        Self::Wait,
        Self::Poll,
        Self::Finish,
        Self::Join,
        Self::Result,
        Self::Any,
        Self::Serve,
        Self::Hold,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 11] =
            ["acquire", "get", "put", "wait", "poll", "finish", "join", "result", "any", "serve", "hold"];
        NAMES[self as usize - 1]
    }

    /// By its number or its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    fn numbered(number: u32) -> Option<Self> {
        Self::ALL.get((number as usize).checked_sub(1)?).copied()
    }
}

/// The wait has a deadline: it ends by itself.
pub const TIMED: u32 = 1 << 8;
/// Who waits looks for deadlocks itself, and can be told of one by an exception.
pub const LOOKS: u32 = 1 << 9;

/// One entry, as it is written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Whose thread.
    pub owner: OwnerId,
    /// The kernel's id of the thread.
    pub native: u32,
    /// Python's.
    pub ident: u64,
    /// What it is at.
    pub action: Action,
    /// [`TIMED`], [`LOOKS`].
    pub flags: u32,
    /// Offset of the object in the arena; of a join the process id.
    pub object: u64,
    /// A second number, as the action has it; 0: none.
    pub detail: u64,
    /// When it began, nanoseconds of the machine's monotonic clock.
    pub since: u64,
    /// Label of the line in the program; 0: not known (yet).
    pub site: u32,
}

/// One slot: 64 bytes of shared memory; all-zero is a free one.
#[repr(C, align(64))]
#[derive(Debug, Default)]
struct Slot {
    owner: AtomicU32,
    sequence: AtomicU32,
    native: AtomicU32,
    /// Action (7..0) and flags.
    action: AtomicU32,
    ident: AtomicU64,
    object: AtomicU64,
    detail: AtomicU64,
    since: AtomicU64,
    site: AtomicU32,
    _unused: [AtomicU32; 3],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slot>() == 64); // as docs/reference/memory.md has it

impl Slot {
    /// Make the slot the caller's, if it is free or `stale` says that its owner is dead.
    fn claim(&self, me: OwnerId, stale: impl Fn(OwnerId) -> bool) -> bool {
        let owner = self.owner.load(Ordering::Relaxed);
        if OwnerId::from_bits(owner).is_some_and(|owner| !stale(owner)) {
            return false;
        }
        // SYNC: Acquire pairs with the Release in `leave`: the last writer's stores come before ours.
        self.owner.compare_exchange(owner, me.bits(), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Change what it says. Only its owner may.
    fn write(&self, change: impl FnOnce(&Self)) -> u32 {
        let odd = self.sequence.load(Ordering::Relaxed) | 1; // odd already if a writer died
        self.sequence.store(odd, Ordering::Relaxed);
        // SYNC: pairs with the Acquire fence in `read`: who sees one of the stores below sees the odd sequence too.
        fence(Ordering::Release);
        change(self);
        let even = odd.wrapping_add(1);
        // SYNC: pairs with the Acquire load in `read`: who sees it sees the stores above.
        self.sequence.store(even, Ordering::Release);
        even
    }

    fn enter(&self, entry: &Entry) -> u32 {
        self.write(|slot| {
            slot.native.store(entry.native, Ordering::Relaxed);
            slot.action.store(entry.action as u32 | entry.flags & !0xff, Ordering::Relaxed);
            slot.ident.store(entry.ident, Ordering::Relaxed);
            slot.object.store(entry.object, Ordering::Relaxed);
            slot.detail.store(entry.detail, Ordering::Relaxed);
            slot.since.store(entry.since, Ordering::Relaxed);
            slot.site.store(entry.site, Ordering::Relaxed);
        })
    }

    fn leave(&self) {
        self.write(|slot| slot.action.store(0, Ordering::Relaxed));
        // SYNC: Release pairs with the Acquire in `claim`.
        self.owner.store(0, Ordering::Release);
    }

    fn read(&self) -> Option<(u32, Entry)> {
        // SYNC: pairs with the Release store in `write`.
        let before = self.sequence.load(Ordering::Acquire);
        let action = self.action.load(Ordering::Relaxed);
        let owner = OwnerId::from_bits(self.owner.load(Ordering::Relaxed));
        let (native, ident) = (self.native.load(Ordering::Relaxed), self.ident.load(Ordering::Relaxed));
        let (object, detail) = (self.object.load(Ordering::Relaxed), self.detail.load(Ordering::Relaxed));
        let (since, site) = (self.since.load(Ordering::Relaxed), self.site.load(Ordering::Relaxed));
        // SYNC: pairs with the Release fence in `write`.
        fence(Ordering::Acquire);
        if before & 1 != 0 || self.sequence.load(Ordering::Relaxed) != before {
            return None;
        }
        let (flags, action) = (action & !0xff, Action::numbered(action & 0xff)?);
        Some((before, Entry { owner: owner?, native, ident, action, flags, object, detail, since, site }))
    }
}

/// The table. Lives in shared memory; all-zero is an empty one.
#[repr(C, align(64))]
pub struct Waits {
    /// Slots from here on were never used.
    used: AtomicU32,
    /// Whether the processes that share it look for deadlocks: 0, 1, or [`EACH`].
    detecting: AtomicU32,
    _unused: [AtomicU64; 7],
    slots: [Slot; SLOTS],
}

#[cfg(loom)]
impl Default for Waits {
    fn default() -> Self {
        Self {
            used: AtomicU32::new(0),
            detecting: AtomicU32::new(0),
            _unused: std::array::from_fn(|_| AtomicU64::new(0)),
            slots: std::array::from_fn(|_| Slot::default()),
        }
    }
}

impl Waits {
    /// Enter what the calling thread is at, in slot `hint` if that is free. The slot; None when all are in use.
    pub fn enter(&self, entry: &Entry, hint: usize, life: &impl Liveness) -> Option<usize> {
        let me = entry.owner;
        let free = |index: &usize| self.slots[*index].claim(me, |_| false);
        let slot = Some(hint)
            .filter(|&hint| hint < SLOTS)
            .filter(free)
            .or_else(|| (0..self.used().saturating_add(1).min(SLOTS)).find(free))
            .or_else(|| (0..SLOTS).find(|&index| self.slots[index].claim(me, |owner| !life.seems_alive(owner))))?;
        if self.used() <= slot {
            self.used.fetch_max(slot as u32 + 1, Ordering::Relaxed);
        }
        self.slots[slot].enter(entry);
        Some(slot)
    }

    /// The line of an entry of the caller's, now that it is known.
    pub fn locate(&self, slot: usize, site: u32) {
        self.slots[slot].site.store(site, Ordering::Relaxed);
    }

    /// Strike out an entry of the caller's. Nothing happens in a child that was forked in the midst of a wait (by a
    /// signal's handler): the entry is its parent's.
    pub fn leave(&self, slot: usize, me: OwnerId) {
        let slot = &self.slots[slot];
        if slot.owner.load(Ordering::Relaxed) == me.bits() {
            slot.leave();
        }
    }

    /// Strike out all that `dead` has left. His place must not be free yet.
    pub fn forget(&self, dead: OwnerId) {
        let his = |slot: &&Slot| slot.owner.load(Ordering::Relaxed) == dead.bits();
        self.slots[..self.used()].iter().filter(his).for_each(Slot::leave);
    }

    /// Every entry: slot, sequence and what it says. A snapshot; whether the owners live is the reader's to ask.
    pub fn entries(&self) -> impl Iterator<Item = (usize, u32, Entry)> + '_ {
        let slots = self.slots[..self.used()].iter().enumerate();
        slots.filter_map(|(index, slot)| slot.read().map(|(sequence, entry)| (index, sequence, entry)))
    }

    /// How many are at `action` with this object. A moment's view; one that was killed is counted until its place is free.
    pub fn count(&self, action: Action, object: u64) -> usize {
        self.entries().filter(|(_, _, entry)| entry.action == action && entry.object == object).count()
    }

    /// One entry, as [`Waits::entries`] gives it.
    pub fn entry(&self, slot: usize) -> Option<(u32, Entry)> {
        self.slots.get(slot)?.read()
    }

    /// Whether the processes that share the arena look for deadlocks; where each decides for itself, whether this one does.
    pub fn detecting(&self) -> bool {
        match self.detecting.load(Ordering::Relaxed) {
            0 => false,
            #[cfg(not(loom))]
            EACH => is_watching(),
            _ => true,
        }
    }

    /// Let each process decide for itself, as it does for the arena of its family.
    pub fn leave_detecting_to_each(&self) {
        self.detecting.store(EACH, Ordering::Relaxed);
    }

    /// Have them do so, or not.
    pub fn set_detecting(&self, on: bool) {
        self.detecting.store(u32::from(on), Ordering::Relaxed);
    }

    /// Damage must not lead beyond the table.
    fn used(&self) -> usize {
        (self.used.load(Ordering::Relaxed) as usize).min(SLOTS)
    }
}
