//! Watching a ring: a descriptor that is readable while there is something to take, or room to put.
//!
//! For who waits for many things at once (`connection.wait`, asyncio, select). A watcher is a process with a [`Bell`],
//! enrolled in a table beside the ring. Nobody watching costs a putter one relaxed load, of a line that it has read
//! anyway. A watcher *arms* its slot while its bell is silent; who then makes the ring ready claims the slot, rings the
//! bell, and says so. One message rings once, a hundred more ring no more.
//!
//! | state of a slot | who changes it next | the bell |
//! | --- | --- | --- |
//! | `RUNG` 0 | the watcher only | rings, or the watcher is at it |
//! | `ARMED` | whoever makes the ring ready claims it; the watcher takes it back | silent |
//! | an owner: `CLAIMED` by it | the claimant: rings, or gives it back; the watcher, once that one is dead | either |
//!
//! **No message is missed.** A putter stores the tail, then a full fence, then reads `armed`. A watcher stores `ARMED`
//! and `armed`, then a full fence, then looks at the tail. One of the fences is first: the watcher sees the message and
//! rings its own bell, or the putter sees `armed`. It may see it lowered by another putter, which then has the duty:
//! its swap of `armed` acquires the watcher's `ARMED`.
//!
//! **A bell that rings for nothing** would let a program block that receives what its descriptor promised. So a claimant
//! looks whether the ring is still ready, and a watcher that has emptied the ring waits for the claimant before it
//! silences its bell: (1) a putter commits, and is stopped; (2) the watcher, awake for another reason, takes the
//! message and arms; (3) the putter goes on, claims, finds nothing, gives the slot back. With one watching process
//! that takes, its bell rings only while there is something; with several, another may always have been faster.
//!
//! Killed: a putter before its claim, or between claim and bell: a message without a bell. Who waits looks again every
//! 100 ms (`Ring::attune`), as every sleeper here does. The same for a putter that cannot reach the bell, because it
//! may not look into the watcher's /proc entry. A watcher: its slot is taken over when the next one enrols, and freed by
//! the putter that finds it dead.

#![allow(clippy::cast_ptr_alignment)] // blocks are aligned to 64 bytes

use super::{Ring, Storage, hold_long};
use crate::error::ArenaError;
use crate::failpoint::step;
use crate::loom::{AtomicU32, AtomicU64, Ordering, fence};
use crate::owner::OwnerId;
use crate::sys::Bell;

/// What is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Something to take, or the ring is closed.
    Items = 0,
    /// Room for a small message, or the ring is closed.
    Room = 1,
}

/// Processes that may watch one side of a ring.
pub const WATCHERS: usize = 32;

const RUNG: u32 = 0;
const ARMED: u32 = 1 << 31;

/// One watcher. Zero is a free slot.
#[repr(C)]
struct Slot {
    state: AtomicU32,
    /// An `OwnerId`, 0 for nobody.
    owner: AtomicU32,
    /// What the owner's bell is called in its own process.
    fd: AtomicU32,
    inode: AtomicU64,
}

/// The watchers of a ring, in a block of its own that comes with the first of them.
#[repr(C)]
struct Table([[Slot; WATCHERS]; 2]);

/// Where a bell is.
#[derive(Debug, Clone, Copy)]
pub struct Watcher {
    /// Which slot of the ring.
    pub slot: (Side, usize),
    /// Whose.
    pub owner: OwnerId,
    /// The number of the descriptor there.
    pub fd: u32,
    /// What tells it from another that has taken the number.
    pub inode: u64,
}

impl Slot {
    fn new() -> Self {
        Self { state: AtomicU32::new(RUNG), owner: AtomicU32::new(0), fd: AtomicU32::new(0), inode: AtomicU64::new(0) }
    }

    /// SYNC: of the exchanges below. Acquire: what came with the state is seen; Release: what was done before is.
    fn change(&self, from: u32, to: u32) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Ring {
    /// Whether anybody has ever watched.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) != 0
    }

    /// Whether a bell on that side should ring now. A snapshot.
    pub fn is_ready(&self, side: Side) -> bool {
        self.is_closed()
            || match side {
                Side::Items => !self.is_empty(),
                Side::Room => !self.is_full(),
            }
    }

    /// The slots of a side, none before somebody watched.
    fn slots<S: Storage>(&self, storage: &S, side: Side) -> &[Slot] {
        // SYNC: Acquire pairs with the store of the table in `prepare`.
        match self.watchers.load(Ordering::Acquire) {
            0 => &[],
            table => match storage.bytes(table, size_of::<Table>() as u64) {
                // SAFETY: the table was written before the store; it is the ring's, and lives as long.
                Ok(table) => unsafe { &(*table.cast::<Table>()).0[side as usize] },
                Err(_) => &[], // nobody can be told
            },
        }
    }

    // --- the watcher's side ----------------------------------------------------------------------------------------

    /// See to it that there is a table. Takes the put lock.
    pub fn prepare<S: Storage>(&self, storage: &S) -> Result<(), ArenaError> {
        if self.is_watched() {
            return Ok(());
        }
        let _putters = hold_long(&self.put.lock, storage);
        if !self.is_watched() {
            let table = storage.allocate(size_of::<Table>() as u64)?;
            let place = storage.bytes(table, size_of::<Table>() as u64)?;
            step();
            let slots = || std::array::from_fn(|_| Slot::new());
            // SAFETY: the block is fresh and large enough; blocks are aligned to 64 bytes.
            unsafe { place.cast::<Table>().write(Table([slots(), slots()])) };
            step();
            storage.exchange(&self.watchers, table, table, 0)?;
        }
        Ok(())
    }

    /// A slot for the calling process, whose bell has this name; None when all are the living's. `prepare` was called.
    /// One thread of a process at a time.
    pub fn enrol<S: Storage>(&self, storage: &S, side: Side, fd: u32, inode: u64) -> Option<usize> {
        let me = storage.me();
        let vacant = |slot: &Slot| {
            let owner = slot.owner.load(Ordering::Relaxed);
            // One's own is left from a ring that was dropped and opened again, or from before a fork.
            let free = OwnerId::from_bits(owner).is_none_or(|owner| owner == me || !storage.is_alive(owner));
            free && slot.owner.compare_exchange(owner, me.bits(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let slots = self.slots(storage, side);
        let index = slots.iter().position(vacant)?;
        step();
        slots[index].state.store(RUNG, Ordering::Release); // a claimant of the dead one's does not get it back
        slots[index].inode.store(inode, Ordering::Relaxed);
        slots[index].fd.store(fd, Ordering::Relaxed);
        step();
        Some(index)
    }

    /// Give the slot back.
    pub fn withdraw<S: Storage>(&self, storage: &S, side: Side, index: usize) {
        let Some(slot) = self.slots(storage, side).get(index) else { return };
        slot.state.store(RUNG, Ordering::Release);
        step();
        slot.owner.store(0, Ordering::Release);
    }

    /// Let the bell ring if the ring is ready, and silence and arm it if it is not. An error names the claimant that
    /// has still to ring it or to give the slot back: call again. One thread of the watcher at a time.
    pub fn attune<S: Storage>(&self, storage: &S, side: Side, index: usize, bell: &impl Bell) -> Result<(), OwnerId> {
        let Some(slot) = self.slots(storage, side).get(index) else { return Ok(()) };
        loop {
            let state = slot.state.load(Ordering::Acquire);
            if let Some(claimant) = OwnerId::from_bits(state) {
                return Err(claimant);
            }
            if state == ARMED && !slot.change(ARMED, RUNG) {
                continue;
            }
            step(); // from here on nobody else rings
            if self.is_ready(side) {
                if !bell.rings() {
                    bell.ring();
                }
                return Ok(());
            }
            bell.silence();
            step();
            slot.state.store(ARMED, Ordering::Release);
            step();
            // SYNC: Release pairs with the swap in `tell`.
            self.armed[side as usize].store(1, Ordering::Release);
            step();
            // SYNC: pairs with the fence before `tell`, see above. Less than SeqCst lets both sides miss.
            fence(Ordering::SeqCst);
            if !self.is_ready(side) {
                return Ok(());
            }
        }
    }

    /// Take the slot from a claimant that has died, or has been stopped for long: its bell may then ring once for
    /// nothing.
    pub fn disclaim<S: Storage>(&self, storage: &S, side: Side, index: usize, claimant: OwnerId) {
        self.slots(storage, side).get(index).map(|slot| slot.change(claimant.bits(), RUNG));
    }

    /// Whether somebody is about to ring the bell.
    pub fn is_claimed<S: Storage>(&self, storage: &S, side: Side, index: usize) -> bool {
        let state = self.slots(storage, side).get(index).map_or(RUNG, |slot| slot.state.load(Ordering::Acquire));
        OwnerId::from_bits(state).is_some()
    }

    // --- the other side --------------------------------------------------------------------------------------------

    /// After a change and a full fence: ring the bells of those who wait for it.
    #[inline]
    pub(super) fn tell_watchers<S: Storage>(&self, storage: &S, side: Side) {
        if self.armed[side as usize].load(Ordering::Relaxed) != 0 {
            self.tell(storage, side);
        }
    }

    #[cold]
    fn tell<S: Storage>(&self, storage: &S, side: Side) {
        let me = storage.me();
        // SYNC: Acquire pairs with the Release in `attune`: whoever raised it has armed its slot.
        self.armed[side as usize].swap(0, Ordering::AcqRel);
        step();
        for (index, slot) in self.slots(storage, side).iter().enumerate() {
            while slot.change(ARMED, me.bits()) {
                step();
                if !self.is_ready(side) {
                    slot.change(me.bits(), ARMED);
                    step();
                    self.armed[side as usize].store(1, Ordering::Release);
                    // SYNC: as in `attune`: in the meantime nobody else could tell this watcher.
                    fence(Ordering::SeqCst);
                    if self.is_ready(side) {
                        continue;
                    }
                    break;
                }
                let told = self.reach(storage, side, index, slot);
                step();
                // Untold it stays armed, but nobody tries again before the watcher has looked for itself.
                slot.change(me.bits(), if told { RUNG } else { ARMED });
                break;
            }
        }
    }

    /// Ring the bell of a slot. False: nobody there, or not to be reached.
    fn reach<S: Storage>(&self, storage: &S, side: Side, index: usize, slot: &Slot) -> bool {
        let bits = slot.owner.load(Ordering::Relaxed);
        let Some(owner) = OwnerId::from_bits(bits) else { return false };
        let (fd, inode) = (slot.fd.load(Ordering::Relaxed), slot.inode.load(Ordering::Relaxed));
        let told = storage.reach(self, Watcher { slot: (side, index), owner, fd, inode });
        if !told && !storage.is_alive(owner) {
            let _ = slot.owner.compare_exchange(bits, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        told
    }

    /// Part with the table, for whoever takes the ring apart.
    pub(super) fn forget_watchers<S: Storage>(&self, storage: &S) {
        let table = self.watchers.load(Ordering::Relaxed);
        if table != 0 {
            let _ = storage.exchange(&self.watchers, 0, 0, table); // what is damaged is kept
        }
    }
}
