//! A condition variable that is exact: `notify(n)` ends the wait of exactly the `n` waiters that enrolled first, and
//! a thread that enrols later cannot steal from them.
//!
//! Every waiter has a cell of its own, so that it can be woken by name, and so that its death is seen:
//!
//! | word             | meaning                                 | next                                          |
//! | ---------------- | --------------------------------------- | --------------------------------------------- |
//! | 0                | free                                    | `enrol` → waiting                             |
//! | owner            | that process waits here                 | `notify` → notified; `leave` → free           |
//! | owner + NOTIFIED | its wait is over, not yet taken note of | `leave` → free; owner dead → the finder's own |
//!
//! `enrol` and `notify` are called with the user's lock held (the binding sees to it); `park` and `leave` without it.
//! A wait is three steps (enrol, release the lock and park, leave) because signals are looked after in between.
//!
//! Death. A notification that went to a dead waiter passes to the next one that was enrolled at that time: the sleepers,
//! in turn, look through the cells every [`wait::LOOK`] for notifications that nobody took note of, and at the end of
//! each slice (100 ms) for all the dead, and repair what they find. The notifier itself never looks: that would cost it
//! a file read for each waiter. The worst that a second death in the middle of a repair does is one wake-up too many,
//! which a waiter's loop over its predicate absorbs.

#![allow(clippy::needless_pass_by_value)] // an enrolment is used up by what ends its wait

use crate::error::WaitError;
use crate::failpoint::step;
use crate::loom::{AtomicU32, Ordering};
use crate::owner::{Liveness, OwnerId};
use crate::sys::{self, FutexWait};
use crate::wait;
use std::time::{Duration, Instant};

/// How many may wait at a time.
#[cfg(not(loom))]
pub const CELLS: usize = 240;
/// How many may wait at a time in a model.
#[cfg(loom)]
pub const CELLS: usize = 3;

/// Bit 31 of a cell's word: notified.
const NOTIFIED: u32 = 1 << 31;

/// One waiter. All-zero is free.
#[repr(C)]
#[derive(Debug, Default)]
struct Cell {
    /// See the table above; also what the waiter sleeps on.
    word: AtomicU32,
    /// While waiting: the number of the enrolment. Once notified: the number of the next enrolment at that time, so
    /// only waiters with lower numbers may inherit the notification. Numbers wrap around; ages are differences.
    number: AtomicU32,
}

/// A condition: 1936 bytes of shared memory; all-zero is a fresh one.
#[repr(C)]
#[derive(Debug)]
pub struct Condition {
    /// The number of the next enrolment. Changed under the user's lock.
    next: AtomicU32,
    /// Cells at and beyond this index were never used. Only grows.
    peak: AtomicU32,
    /// How many waits were ended by a notification, ever.
    notified: AtomicU32,
    _reserved: u32,
    cells: [Cell; CELLS],
}

/// As many wait as can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyWaiters;

/// A waiter's place in the queue. It must be given back by [`Condition::leave`] or [`Condition::abandon`].
#[derive(Debug)]
#[must_use = "an enrolment that is not left blocks its cell until the process ends"]
pub struct Enrolment {
    cell: usize,
    me: OwnerId,
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            next: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            notified: AtomicU32::new(0),
            _reserved: 0,
            cells: std::array::from_fn(|_| Cell::default()),
        }
    }
}

impl Condition {
    /// Nobody waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many wait, the dead among them included until somebody finds them.
    pub fn waiters(&self) -> u32 {
        let waits = |cell: &&Cell| is_waiting(cell.word.load(Ordering::Relaxed));
        self.used().iter().filter(waits).count() as u32
    }

    /// How many waits were ended by a notification (wraps around).
    pub fn notified(&self) -> u32 {
        self.notified.load(Ordering::Relaxed)
    }

    /// Begin to wait. With the user's lock held.
    pub fn enrol(&self, me: OwnerId, life: &impl Liveness) -> Result<Enrolment, TooManyWaiters> {
        let again = || {
            self.repair(me, life);
            self.claim(me)
        };
        let cell = self.claim(me).or_else(again).ok_or(TooManyWaiters)?;
        step();
        // Under the user's lock: nobody notifies between the claim and this store.
        let number = self.next.load(Ordering::Relaxed);
        self.cells[cell].number.store(number, Ordering::Relaxed);
        step();
        self.next.store(number.wrapping_add(1), Ordering::Relaxed);
        Ok(Enrolment { cell, me })
    }

    fn claim(&self, me: OwnerId) -> Option<usize> {
        for (index, cell) in self.cells.iter().enumerate() {
            if cell.word.load(Ordering::Relaxed) != 0 {
                continue;
            }
            self.peak.fetch_max(index as u32 + 1, Ordering::Relaxed);
            if cell.word.compare_exchange(0, me.bits(), Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return Some(index);
            }
        }
        None
    }

    /// Wait for the notification, at most until `deadline` and about one slice (then `Interrupted`: call again).
    /// Without the user's lock.
    pub fn park(
        &self,
        enrolment: &Enrolment,
        life: &impl Liveness,
        deadline: Option<Instant>,
    ) -> Result<(), WaitError> {
        let word = &self.cells[enrolment.cell].word;
        // SYNC: Acquire pairs with the Release in `hand`.
        let waiting = enrolment.me.bits();
        let notified = || word.load(Ordering::Acquire) != waiting;
        if wait::spin(notified) {
            return Ok(());
        }
        let end = Instant::now() + wait::slice();
        let mut longest = turn(enrolment.cell as u32 + 1);
        loop {
            let slice = wait::left(deadline, longest.min(wait::slice()))?;
            wait::about_to_sleep();
            // Woken or not: the word tells. A wake-up meant for the cell's last user may come late.
            let woken = sys::futex_wait(word, waiting, slice);
            if notified() {
                return Ok(());
            }
            let over = woken == FutexWait::TimedOut && Instant::now() >= end;
            if woken == FutexWait::TimedOut {
                self.repair_those(enrolment.me, life, |word| over || word & NOTIFIED != 0);
                longest = turn(self.waiters());
            }
            if notified() {
                return Ok(());
            }
            if over || woken == FutexWait::Interrupted {
                wait::left(deadline, wait::SLICE)?;
                return Err(WaitError::Interrupted);
            }
        }
    }

    /// End the wait: true if it was notified, be it at the last moment.
    pub fn leave(&self, enrolment: Enrolment) -> bool {
        let word = &self.cells[enrolment.cell].word;
        let waiting = enrolment.me.bits();
        step();
        // SYNC: Acquire on failure pairs with the Release in `hand`; Release gives the cell to its next user.
        if word.compare_exchange(waiting, 0, Ordering::Release, Ordering::Acquire).is_ok() {
            return false;
        }
        word.store(0, Ordering::Release);
        true
    }

    /// End the wait because of an exception: a notification that came meanwhile passes to the next in line.
    pub fn abandon(&self, enrolment: Enrolment) {
        let cell = &self.cells[enrolment.cell];
        let waiting = enrolment.me.bits();
        if cell.word.compare_exchange(waiting, 0, Ordering::Release, Ordering::Acquire).is_err() {
            self.hand_on(cell);
        }
    }

    /// End the wait of the `count` oldest waiters; tells how many there were. With the user's lock held.
    pub fn notify(&self, count: u32) -> u32 {
        let mut given = 0;
        while given < count && self.hand(self.next.load(Ordering::Relaxed)) {
            given += 1;
        }
        self.notified.store(self.notified().wrapping_add(given), Ordering::Relaxed);
        given
    }

    fn used(&self) -> &[Cell] {
        &self.cells[..(self.peak.load(Ordering::Relaxed) as usize).min(CELLS)]
    }

    /// Notify the oldest waiter with a number below `limit`. False: there is none.
    fn hand(&self, limit: u32) -> bool {
        loop {
            let Some((cell, waiting)) = self.oldest(limit) else { return false };
            cell.number.store(limit, Ordering::Relaxed);
            step();
            // SYNC: Release pairs with the Acquire in `park` and `leave`.
            if cell.word.compare_exchange(waiting, waiting | NOTIFIED, Ordering::Release, Ordering::Relaxed).is_ok() {
                step();
                sys::futex_wake(&cell.word, 1);
                return true;
            }
        }
    }

    /// The waiting cell with the lowest number below `limit`, and its word.
    fn oldest(&self, limit: u32) -> Option<(&Cell, u32)> {
        let mut best: Option<(u32, &Cell, u32)> = None;
        for cell in self.used() {
            let word = cell.word.load(Ordering::Acquire);
            let age = limit.wrapping_sub(cell.number.load(Ordering::Relaxed));
            // Ages above half the range belong to numbers at or past the limit.
            if is_waiting(word) && age != 0 && age <= u32::MAX / 2 && best.is_none_or(|(oldest, ..)| age > oldest) {
                best = Some((age, cell, word));
            }
        }
        best.map(|(_, cell, word)| (cell, word))
    }

    /// Pass the notification in `cell` on and free the cell. In this order: a death in between costs a wake-up too
    /// many, the other order would lose one.
    fn hand_on(&self, cell: &Cell) {
        self.hand(cell.number.load(Ordering::Relaxed));
        step();
        cell.word.store(0, Ordering::Release);
    }

    /// Clear what dead waiters left: free the cell of one that was not notified, pass on what was given to one that was.
    /// Every sleeper does this at the end of a slice.
    pub fn repair(&self, me: OwnerId, life: &impl Liveness) {
        self.repair_those(me, life, |_| true);
    }

    /// The same for cells that are `suspect`, as their word tells.
    fn repair_those(&self, me: OwnerId, life: &impl Liveness, suspect: impl Fn(u32) -> bool) {
        for cell in self.used() {
            let word = cell.word.load(Ordering::Acquire);
            let Some(owner) = OwnerId::from_bits(word).filter(|_| suspect(word)) else { continue };
            if owner == me || life.seems_alive(owner) {
                continue;
            }
            if word & NOTIFIED == 0 {
                // Failing means that it was notified just now: the next look finds that.
                let _ = cell.word.compare_exchange(word, 0, Ordering::AcqRel, Ordering::Relaxed);
                continue;
            }
            // Make the notification mine first: one finder passes it on, and if that one dies too, the next does.
            let mine = me.bits() | NOTIFIED;
            if cell.word.compare_exchange(word, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                self.hand_on(cell);
            }
        }
    }
}

/// When the sleeper in that line, of as many as wait, looks: so that some one does every [`wait::LOOK`].
fn turn(sleepers: u32) -> Duration {
    (wait::LOOK * sleepers.max(1)).min(wait::SLICE)
}

fn is_waiting(word: u32) -> bool {
    word != 0 && word & NOTIFIED == 0
}
