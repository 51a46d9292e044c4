//! From a process into a message and back: all or nothing, whoever dies.
//!
//! What a message refers to is held by a count in each block, and becomes so at the moment the message exists: the
//! counts and the ring's cursor must change together. A kill between two of these stores would leak a block
//! (counted, but no message) or free one that a message refers to. So a transfer is written down first, in a
//! journal in the heap's header; from the store of `cursor` in there on it *will* be done, by its process or by
//! whoever finds the heap's lock abandoned.
//!
//! Each step can be repeated. Counts change only under the heap's lock, and the journal's step word holds which
//! block is next *and* its count before, so that a repeated step stores the same number again.

#![allow(clippy::cast_ptr_alignment)] // blocks are aligned to 64 bytes, their headers asserted to be

use super::{BlockHeader, Heap, Kind, class_of, class_size};
use crate::error::Corrupted;
use crate::failpoint::step;
use crate::loom::{AtomicU64, Ordering};
use crate::owner::OwnerId;
use Ordering::Relaxed;

/// A transfer under way. Guarded by the heap's lock.
#[repr(C)]
pub(super) struct Journal {
    /// Offset of the word whose store commits the message; 0: no transfer is under way. Written last, cleared last.
    cursor: AtomicU64,
    /// What goes into that word.
    value: AtomicU64,
    /// Offset of the words that name the blocks, and how many there are.
    words: AtomicU64,
    count: AtomicU64,
    /// Which block is next (upper half), and its count of messages before this transfer (lower).
    step: AtomicU64,
    /// Who transfers: an `OwnerId`; bit 32: out of messages.
    who: AtomicU64,
    /// Where `words` may point when they are not in a ring.
    own: [AtomicU64; 2],
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The blocks, which the caller holds, are held by a message as well.
    IntoMessage,
    /// The blocks are held by a message no longer, but by the caller's process.
    OutOfMessage,
}

const OUT: u64 = 1 << 32;
/// In a word that names a block: the other way than the rest.
const REVERSED: u64 = 1;

impl Heap {
    fn offset_of<T>(&self, place: *const T) -> u64 {
        let offset = (place as u64).wrapping_sub(self.segment.base() as u64);
        assert!(offset < self.segment.length(), "what is transferred through lies in the heap's segment");
        offset
    }

    fn word(&self, offset: u64) -> Result<&AtomicU64, Corrupted> {
        let place = self.segment.span(offset, 8, "the journal of a transfer")?;
        // SAFETY: within the segment and aligned to 8, by what was asked just now.
        Ok(unsafe { &*place.cast::<AtomicU64>() })
    }

    /// Whether blocks can be what words in shared memory say they are.
    pub fn check_blocks(&self, offsets: &[u64]) -> Result<(), Corrupted> {
        offsets.iter().try_for_each(|&offset| self.sound(offset).map(|_| ()))
    }

    /// Store `value` into `cursor`, and with it let the blocks at the offsets in `words` (which lie in this
    /// segment, as the cursor does) change hands. Nothing changes when one of them is damaged.
    pub fn transfer(
        &self,
        me: OwnerId,
        direction: Direction,
        cursor: &AtomicU64,
        value: u64,
        words: &[u64],
    ) -> Result<(), Corrupted> {
        let _locked = self.lock(me);
        self.check_blocks(words)?;
        self.begin(me, direction, cursor, value, self.offset_of(words.as_ptr()), words.len() as u64)?;
        self.finish()
    }

    /// Store `value` into `word`; the block `new` (0: none) is then held by what `word` belongs to, and `old` (0:
    /// none) no longer, but by the caller's process. Nothing changes when one of them is damaged.
    pub fn exchange(&self, me: OwnerId, word: &AtomicU64, value: u64, new: u64, old: u64) -> Result<(), Corrupted> {
        let _locked = self.lock(me);
        [new, old].into_iter().filter(|&block| block != 0).try_for_each(|block| self.sound(block).map(|_| ()))?;
        let own = &self.header().journal.own;
        let mut count = 0;
        for block in [new, old | REVERSED].into_iter().filter(|&block| block > REVERSED) {
            own[count].store(block, Relaxed);
            count += 1;
        }
        self.begin(me, Direction::IntoMessage, word, value, self.offset_of(own.as_ptr()), count as u64)?;
        self.finish()
    }

    fn begin(
        &self,
        me: OwnerId,
        direction: Direction,
        cursor: &AtomicU64,
        value: u64,
        words: u64,
        count: u64,
    ) -> Result<(), Corrupted> {
        let journal = &self.header().journal;
        journal.cursor.store(0, Relaxed); // left over when the last one met damage
        step();
        journal.value.store(value, Relaxed);
        journal.words.store(words, Relaxed);
        journal.count.store(count, Relaxed);
        let out = if direction == Direction::OutOfMessage { OUT } else { 0 };
        journal.who.store(me.bits() as u64 | out, Relaxed);
        self.look_at(0)?;
        step();
        journal.cursor.store(self.offset_of(cursor), Ordering::Release);
        step();
        Ok(())
    }

    /// The journal's block number `index`, and whether it is taken out of a message.
    fn journalled(&self, index: u64) -> Result<(&BlockHeader, bool), Corrupted> {
        let journal = &self.header().journal;
        let word = self.word(journal.words.load(Relaxed).saturating_add(index * 8))?.load(Relaxed);
        let out = (journal.who.load(Relaxed) & OUT != 0) != (word & REVERSED != 0);
        Ok((self.block(word & !REVERSED)?, out))
    }

    /// Write down that block `index` is next.
    fn look_at(&self, index: u64) -> Result<(), Corrupted> {
        let journal = &self.header().journal;
        let before =
            if index < journal.count.load(Relaxed) { self.journalled(index)?.0.in_flight.load(Relaxed) } else { 0 };
        journal.step.store(index << 32 | before as u64, Relaxed);
        Ok(())
    }

    /// Do what the journal says. Met damage is left where it is, and the journal goes on saying so until the next.
    fn finish(&self) -> Result<(), Corrupted> {
        let journal = &self.header().journal;
        let cursor = journal.cursor.load(Relaxed);
        if cursor == 0 {
            return Ok(());
        }
        let commit = self.word(cursor)?;
        let owner = OwnerId::from_bits(journal.who.load(Relaxed) as u32);
        loop {
            let next = journal.step.load(Relaxed);
            let (index, before) = (next >> 32, next as u32);
            if index >= journal.count.load(Relaxed) {
                break;
            }
            let (block, out) = self.journalled(index)?;
            if let (true, Some(owner)) = (out, owner) {
                block.set_holder(owner, true);
                step();
            }
            let after = if out { before.saturating_sub(1) } else { before.saturating_add(1) };
            block.in_flight.store(after, Relaxed);
            step();
            self.look_at(index + 1)?;
            step();
        }
        // SYNC: Release pairs with the Acquire of whoever reads the ring's cursor; this store makes the message
        // exist or go.
        commit.store(journal.value.load(Relaxed), Ordering::Release);
        step();
        journal.cursor.store(0, Relaxed);
        step();
        Ok(())
    }

    /// Finish what a dead process began, and rebuild lists and counters from the blocks' own states.
    #[cold]
    pub(super) fn repair(&self) -> Result<(), Corrupted> {
        let finished = self.finish();
        let header = self.header();
        let (mut used, mut objects) = (0, 0);
        header.warm.store(0, Relaxed);
        for head in header.free.iter().flatten() {
            head.store(0, Relaxed);
        }
        for (offset, block) in self.blocks() {
            let class = class_of(self.extent(offset)?);
            if block.kind.load(Relaxed) == Kind::Free as u32 {
                self.push(block, offset, class, block.cold.load(Relaxed).min(1) as usize);
            } else {
                used += class_size(class);
                objects += 1;
            }
        }
        header.used.store(used, Relaxed);
        header.objects.store(objects, Relaxed);
        finished
    }

    /// Whether lists, counters and blocks agree; what does not, for tests and whoever doubts the memory. Takes the
    /// lock.
    pub fn check(&self, me: OwnerId) -> Result<(), String> {
        let _locked = self.lock(me);
        let header = self.header();
        let (mut used, mut objects, mut free, mut warm) = (0, 0, 0, 0);
        let blocks: std::collections::HashMap<u64, &BlockHeader> = self.blocks().collect();
        for (&offset, block) in &blocks {
            if block.kind.load(Relaxed) == Kind::Free as u32 {
                free += 1;
            } else {
                used += self.extent(offset).map_err(|found| found.to_string())?;
                objects += 1;
            }
        }
        for (list, heads) in header.free.iter().enumerate() {
            for (class, head) in heads.iter().enumerate() {
                let mut offset = head.load(Relaxed);
                while offset != 0 {
                    let free_of_class = |block: &&&BlockHeader| {
                        block.kind.load(Relaxed) == Kind::Free as u32 && block.class.load(Relaxed) as usize == class
                    };
                    let Some(block) = blocks.get(&offset).filter(free_of_class).filter(|_| free > 0) else {
                        return Err(format!("block {offset} is wrong, or twice, in the free list of class {class}"));
                    };
                    free -= 1;
                    warm += if list == 0 { class_size(class as u32) } else { 0 };
                    offset = block.next.load(Relaxed);
                }
            }
        }
        let found = (used, objects, warm, 0, 0);
        let said = (
            header.used.load(Relaxed),
            header.objects.load(Relaxed),
            header.warm.load(Relaxed),
            free,
            header.journal.cursor.load(Relaxed),
        );
        if found == said { Ok(()) } else { Err(format!("found {found:?}, header says {said:?}")) }
    }

    /// Messages in flight and processes (as places) that hold a block. For tests.
    pub fn holders(&self, offset: u64) -> (u32, Vec<usize>) {
        let block = self.held(offset);
        let held = |&place: &usize| block.holders[place / 64].load(Relaxed) >> (place % 64) & 1 != 0;
        (block.in_flight.load(Relaxed), (0..crate::owner::PLACES).filter(held).collect())
    }
}
