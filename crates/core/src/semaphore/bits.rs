//! The two words of a semaphore. The state, 64 bits:
//!
//! | bits   | field  | meaning                                                                                    |
//! | ------ | ------ | ------------------------------------------------------------------------------------------ |
//! | 0..31  | value  | permits that are free                                                                      |
//! | 31     | marked | a permit came back from the dead, and nobody was told, or nobody has repaired              |
//! | 32..38 | index  | which note the last change belongs to                                                      |
//! | 38..40 | change | 0 none, 1 taken, 2 given back, 3 given back for the dead                                   |
//! | 40     | parity | of that note's number of changes, once it is written                                       |
//! | 41..64 | turn   | moves on with every change that has a note, so that no exchange takes one state for another |
//!
//! A note, 64 bits; a process keeps the one it has claimed until it ends:
//!
//! | bits   | field   | meaning                               |
//! | ------ | ------- | ------------------------------------- |
//! | 0..31  | owner   | whose; 0 is free                      |
//! | 31..43 | count   | permits that it holds                 |
//! | 43..64 | changes | of the count; the lowest is the parity |

use crate::owner::OwnerId;
use crate::semaphore::VALUE_MAX;

/// How many processes can have their permits noted. What more of them hold is nobody's.
pub const NOTES: usize = if cfg!(loom) { 2 } else { 64 };

pub(super) const VALUE: u64 = VALUE_MAX as u64;
pub(super) const MARKED: u64 = 1 << 31;
const INDEX: u32 = 32;
pub(super) const CHANGE: u32 = 38;
pub(super) const CHANGES: u64 = 3 << CHANGE;
pub(super) const PARITY: u32 = 40;
const TURN: u32 = 41;

pub(super) const TAKEN: u64 = 1;
pub(super) const GIVEN: u64 = 2;
pub(super) const BURIED: u64 = 3;

const ONE: u64 = 1 << 31;
const COUNT: u64 = 0xfff << 31;
pub(super) const COUNT_MAX: u32 = 0xfff;
const CHANGED: u32 = 43;

/// A note, unpacked as far as needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note(pub(super) u64);

impl Note {
    pub(super) fn owner(self) -> Option<OwnerId> {
        OwnerId::from_bits(self.0 as u32)
    }

    pub(super) fn count(self) -> u32 {
        ((self.0 & COUNT) >> 31) as u32
    }

    pub(super) fn parity(self) -> u64 {
        self.0 >> CHANGED & 1
    }

    pub(super) fn owned_by(self, owner: u32) -> Self {
        Self(self.0 & !(ONE - 1) | u64::from(owner))
    }

    pub(super) fn after(self, change: u64) -> Self {
        let changed = Self(self.0.wrapping_add(1 << CHANGED));
        match change {
            TAKEN => Self(changed.0 + ONE),
            GIVEN => Self(changed.0 - ONE),
            _ => Self(changed.0 & !COUNT).owned_by(0),
        }
    }
}

pub(super) fn value(state: u64) -> u32 {
    (state & VALUE) as u32
}

pub(super) fn index(state: u64) -> usize {
    (state >> INDEX) as usize % NOTES
}

/// `state` as the result of a change to the note at `index`.
pub(super) fn announce(state: u64, index: usize, change: u64, note: Note) -> u64 {
    let kept = state & (VALUE | MARKED);
    let turn = (state >> TURN << TURN).wrapping_add(1 << TURN);
    kept | (index as u64) << INDEX | change << CHANGE | (note.parity() ^ 1) << PARITY | turn
}
