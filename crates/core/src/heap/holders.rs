//! Who holds a block, and who takes it apart in the end.
//!
//! A block's holders are processes, by bit; an undertaker's id in its header says that nobody holds it any more and
//! who is taking its contents apart. When that one dies, whoever takes back its holdings goes on.

use super::{BLOCK_HEADER, BlockHeader, Heap, Kind, START};
use crate::error::{ArenaError, Corrupted};
use crate::failpoint::step;
use crate::loom::Ordering::Relaxed;
use crate::owner::OwnerId;

/// What a process that gave up its hold must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the last one out takes the block apart"]
pub enum Duty {
    /// Others hold it still.
    None,
    /// Take its contents apart, then call [`Heap::bury`].
    TakeApart,
}

impl BlockHeader {
    /// Set or clear the bit of a process; tells what it was.
    pub(super) fn set_holder(&self, owner: OwnerId, held: bool) -> bool {
        let (word, bit) = (owner.place() / 64, 1u64 << (owner.place() % 64));
        let before =
            if held { self.holders[word].fetch_or(bit, Relaxed) } else { self.holders[word].fetch_and(!bit, Relaxed) };
        before & bit != 0
    }

    fn is_orphan(&self) -> bool {
        self.in_flight.load(Relaxed) == 0 && self.holders.iter().all(|word| word.load(Relaxed) == 0)
    }
}

impl Heap {
    /// Hold the object at an address: fails when it is gone or of another kind (None: any).
    pub fn hold(&self, me: OwnerId, offset: u64, serial: u64, kind: Option<Kind>) -> Result<(), ArenaError> {
        let _locked = self.lock(me);
        let end = self.header().top.load(Relaxed);
        if offset < START || !offset.is_multiple_of(64) || offset.saturating_add(BLOCK_HEADER) > end {
            return Err(ArenaError::Gone { offset, found: "no block" });
        }
        let block = self.block(offset)?;
        let found = block.kind.load(Relaxed);
        if block.serial.load(Relaxed) != serial || found == 0 || block.undertaker.load(Relaxed) != 0 {
            return Err(ArenaError::Gone { offset, found: if found == 0 { "nothing" } else { "a later object" } });
        }
        if kind.is_some_and(|kind| kind as u32 != found) {
            return Err(ArenaError::Gone { offset, found: Kind::name(found) });
        }
        self.sound(offset)?;
        block.set_holder(me, true);
        step();
        Ok(())
    }

    /// Hold blocks that something else keeps.
    pub fn hold_again(&self, me: OwnerId, offsets: &[u64]) -> Result<(), Corrupted> {
        let _locked = self.lock(me);
        self.check_blocks(offsets)?;
        for &offset in offsets {
            self.block(offset)?.set_holder(me, true);
            step();
        }
        Ok(())
    }

    /// Hold blocks that the caller holds for another process too, which is about to be forked.
    pub fn hold_for(&self, me: OwnerId, child: OwnerId, offsets: impl Iterator<Item = u64>) {
        let _locked = self.lock(me);
        if self.processes().identity(child).is_none() {
            return; // the fork took longer than a reservation lasts: the place may be another's already
        }
        for offset in offsets {
            self.held(offset).set_holder(child, true);
            step();
        }
    }

    /// The caller's process holds the block no longer.
    pub fn drop_hold(&self, me: OwnerId, offset: u64) -> Duty {
        let _locked = self.lock(me);
        let block = self.held(offset);
        let held = block.set_holder(me, false);
        step();
        // Who did not hold it (a child for which there was no place) cannot be the last.
        if !held || !block.is_orphan() {
            return Duty::None;
        }
        block.undertaker.store(me.bits(), Relaxed);
        step();
        Duty::TakeApart
    }

    /// After its contents were taken apart: the block is free. One that is damaged is kept.
    pub fn bury(&self, me: OwnerId, offset: u64) {
        let _locked = self.lock(me);
        let _ = self.release(offset);
    }

    /// Take back all that an ended process held. Returns the blocks that nobody holds now, for the caller to take
    /// apart. Nothing happens when another process has done so meanwhile: the place may be a new process's.
    pub fn take_back(&self, me: OwnerId, dead: OwnerId) -> Vec<u64> {
        let _locked = self.lock(me);
        let mut orphans = Vec::new();
        if self.processes().identity(dead).is_none() {
            return orphans;
        }
        for (offset, block) in self.blocks() {
            if block.kind.load(Relaxed) == Kind::Free as u32 {
                continue;
            }
            block.set_holder(dead, false);
            step();
            // An undertaker whose place is free or another's was itself taken back without this block.
            let unattended = OwnerId::from_bits(block.undertaker.load(Relaxed))
                .is_none_or(|undertaker| undertaker == dead || self.processes().identity(undertaker).is_none());
            if unattended && block.is_orphan() {
                block.undertaker.store(me.bits(), Relaxed);
                step();
                orphans.push(offset);
            }
        }
        self.waits().forget(dead);
        self.processes().leave(dead);
        step();
        orphans
    }

    /// The caller has just entered in a place that was freed without taking back what its last user held.
    pub fn clear_place(&self, me: OwnerId) {
        let _locked = self.lock(me);
        self.blocks().for_each(|(_, block)| {
            block.set_holder(me, false);
        });
    }
}
