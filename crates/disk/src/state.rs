//! What the processes share beside the files: who holds which lock, how far the log goes, who waits. It lies in
//! shared memory and is lost with the last process; `recover` makes it anew from the files. A process killed inside
//! leaves nothing that the next holder of the lock does not see: positions change by one store ([`Spot`]), and what
//! is counted beside them is counted again ([`crate::queue`]).

use procession_core::lock::OwnerLock;
use procession_core::owner::PLACES;
use procession_core::wait::Signal;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A position in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct At {
    /// Place in the log.
    pub place: u64,
    /// First place of the segment that it is in, or at the end of.
    pub segment: u64,
    /// Records before it. (At the head: that were taken; what recovery found done further on is among them.)
    pub count: u64,
    /// Bytes of these records.
    pub bytes: u64,
}

/// A position that changes by one store, whoever is killed meanwhile. Written by the holder of a lock, read by anybody.
///
/// Two copies and a number: even, the first one counts, odd, the second. The writer fills the other and moves the
/// number on.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Spot {
    turn: AtomicU64,
    copies: [[AtomicU64; 4]; 2],
}

impl Spot {
    /// What it is. A moment's view, whole.
    #[inline]
    pub fn load(&self) -> At {
        loop {
            // SYNC: Acquire pairs with the Release in `store`: the copy was filled, and the log written up to it.
            let turn = self.turn.load(Ordering::Acquire);
            let at = self.copy(turn);
            // SYNC: keeps the reads of the copy before the second look: who sees the same number both times has read
            // a copy that nobody was filling, for that one is filled only after the number has moved on.
            fence(Ordering::Acquire);
            if self.turn.load(Ordering::Relaxed) == turn {
                return at;
            }
        }
    }

    /// The same for the holder of the lock.
    #[inline]
    pub fn mine(&self) -> At {
        self.copy(self.turn.load(Ordering::Relaxed))
    }

    #[inline]
    fn copy(&self, turn: u64) -> At {
        let [place, segment, count, bytes] =
            self.copies[(turn & 1) as usize].each_ref().map(|word| word.load(Ordering::Relaxed));
        At { place, segment, count, bytes }
    }

    /// Change it, holding the lock.
    #[inline]
    pub fn store(&self, at: At) {
        let turn = self.turn.load(Ordering::Relaxed).wrapping_add(1);
        // SYNC: Release fence, pairs with the fence in `load`: a reader of the copy that is filled now sees, at its
        // second look, the number that was stored before.
        fence(Ordering::Release);
        for (word, value) in self.copies[(turn & 1) as usize].iter().zip([at.place, at.segment, at.count, at.bytes]) {
            word.store(value, Ordering::Relaxed);
        }
        // SYNC: Release pairs with the Acquire in `load`.
        self.turn.store(turn, Ordering::Release);
    }
}

/// What the putters share.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub(crate) struct PutSide {
    pub(crate) lock: OwnerLock,
    /// Rises when a putter died inside: what it left behind the tail is of an earlier epoch than what follows.
    pub(crate) epoch: AtomicU32,
    /// Bytes of the tail's segment.
    pub(crate) length: AtomicU64,
    pub(crate) tail: Spot,
}

/// What the getters share.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub(crate) struct GetSide {
    pub(crate) lock: OwnerLock,
    /// 1: what is counted here may be wrong, because somebody died or failed while changing it.
    pub(crate) torn: AtomicU32,
    /// Place of the record that somebody is just taking from a queue that is not joined, and 1; else anything.
    pub(crate) taking: AtomicU64,
    /// The next record that nobody has taken.
    pub(crate) head: Spot,
    /// The first that is not done. `count` and `bytes` mean nothing.
    pub(crate) low: Spot,
    /// Records between these two that are not done.
    pub(crate) open: AtomicU64,
    /// Of them, those that nobody has any more.
    pub(crate) returned: AtomicU64,
    /// None of these is before it: place and segment.
    pub(crate) returned_from: [AtomicU64; 2],
    /// First place of the oldest segment that there is.
    pub(crate) oldest: AtomicU64,
    /// When somebody last looked whether the takers live (milliseconds of the machine's clock, wraps around).
    pub(crate) looked: AtomicU32,
}

/// What those share who wait for the disk.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub(crate) struct CommitSide {
    pub(crate) lock: OwnerLock,
    /// The disk failed: errno.
    pub(crate) poisoned: AtomicU32,
    /// How often something was put or done, and how many of these are on the disk.
    pub(crate) changes: AtomicU64,
    pub(crate) synced: AtomicU64,
    /// How far the log is known to be on the disk.
    pub(crate) place: AtomicU64,
    /// First place of the segment where the first record was that was not done, when the disk was last synced.
    pub(crate) low: AtomicU64,
    pub(crate) done: Signal,
}

/// How many records a process has taken and not done.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Taker {
    /// Bits of its owner, 0 for nobody.
    pub(crate) owner: AtomicU32,
    pub(crate) count: AtomicU32,
    /// None of them is before it: place and segment.
    pub(crate) oldest: [AtomicU64; 2],
}

/// All of it. Zero is one to be made.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct State {
    /// 1 when it has been made.
    pub(crate) made: AtomicU32,
    pub(crate) joinable: AtomicU32,
    pub(crate) power: AtomicU32,
    pub(crate) max_deliveries: AtomicU32,
    pub(crate) max_items: AtomicU64,
    pub(crate) max_bytes: AtomicU64,
    /// Least and most bytes of a segment.
    pub(crate) segments: [AtomicU64; 2],
    pub(crate) shut: AtomicU32,
    pub(crate) put: PutSide,
    pub(crate) get: GetSide,
    pub(crate) commit: CommitSide,
    /// Getters wait for records, putters for room, joiners for the end.
    pub(crate) items: Signal,
    pub(crate) space: Signal,
    pub(crate) finished: Signal,
    pub(crate) takers: [Taker; PLACES],
}

// As docs/reference/memory.md has it.
const _: () = assert!(std::mem::offset_of!(State, get) == 256 && std::mem::offset_of!(State, takers) == 728);

// Where who looks from outside expects it.
const _: () = {
    let [joinable, shut, tail, head, returned, items] = procession_core::observe::LOG;
    let (put, get) = (std::mem::offset_of!(State, put), std::mem::offset_of!(State, get));
    assert!(joinable == std::mem::offset_of!(State, joinable) && shut == std::mem::offset_of!(State, shut));
    assert!(tail == put + std::mem::offset_of!(PutSide, tail) && head == get + std::mem::offset_of!(GetSide, head));
    assert!(returned == get + std::mem::offset_of!(GetSide, returned) && items == std::mem::offset_of!(State, items));
};

impl State {
    /// Bytes that it takes, in a block aligned to 64.
    pub const SIZE: usize = size_of::<Self>();

    /// Whether somebody has made it.
    pub fn is_made(&self) -> bool {
        // SYNC: Acquire pairs with the Release of who made it.
        self.made.load(Ordering::Acquire) != 0
    }
}
