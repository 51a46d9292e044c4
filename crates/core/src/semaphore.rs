//! A counting semaphore: a value that never goes below zero nor above its maximum, and a [`Signal`] to sleep on.
//!
//! `acquire` takes one permit; `release` adds permits and wakes as many sleepers. Who runs may take a permit before who
//! sleeps (barging). Such a permit is not bound to a process: it may be released by another one, so a death returns
//! none (multiprocessing's semantics). A permit taken by `hold` is bound: it is noted as its process's, and whoever
//! waits and finds that process dead gives it back.
//!
//! So a hold changes two words, the value and the note, and a death must not come between them. Therefore the word with
//! the value also says which note its last change belongs to, and whoever wants to change it next first writes that note
//! ([`Semaphore::settle`]), be the other dead, stopped or slow. The bits of both are in `semaphore/bits.rs`.

mod bits;

use bits::{BURIED, CHANGE, CHANGES, COUNT_MAX, GIVEN, MARKED, Note, PARITY, TAKEN, VALUE, announce, index, value};

use crate::error::{ReleaseError, WaitError};
use crate::failpoint::step;
use crate::loom::{AtomicU32, AtomicU64, Ordering};
use crate::owner::{Holder, Liveness, OwnerId, Policy, Taken};
use crate::wait::{self, Signal};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// The greatest maximum, and the one of a semaphore without a bound.
pub const VALUE_MAX: u32 = i32::MAX as u32;

pub use bits::NOTES;

/// What to do with a mark that the dead have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Take nothing.
    Not,
    AsThePolicyIs,
    /// Take what there is: the caller repairs.
    Inheriting,
}

/// A semaphore: 808 bytes of shared memory. Made by [`Semaphore::new`] (all-zero has a maximum of 0: nothing can be
/// released).
#[repr(C)]
#[derive(Debug)]
pub struct Semaphore {
    /// See the table above.
    state: AtomicU64,
    /// Never changes.
    maximum: AtomicU32,
    /// How many are in the waiting half of `acquire`; one killed there stays counted.
    waiting: AtomicU32,
    signal: Signal,
    /// Bit 0 never changes: 1 for [`Policy::Raise`]. Bit 1: see `is_signal`.
    policy: AtomicU32,
    /// Who died last holding a permit (an owner), and its process id.
    dead: AtomicU32,
    dead_pid: AtomicU32,
    /// Moves on before a permit comes back from the dead.
    burials: AtomicU32,
    notes: [AtomicU64; NOTES],
    /// Process ids of the notes' owners: the table of processes forgets them.
    pids: [AtomicU32; NOTES],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Semaphore>() == 808); // as docs/reference/memory.md has it

impl Semaphore {
    /// With `value` free permits out of at most `maximum`.
    pub fn new(value: u32, maximum: u32, policy: Policy) -> Self {
        debug_assert!(value <= maximum && maximum <= VALUE_MAX);
        Self {
            state: AtomicU64::new(u64::from(value)),
            maximum: AtomicU32::new(maximum),
            waiting: AtomicU32::new(0),
            signal: Signal::new(),
            policy: AtomicU32::new(u32::from(policy == Policy::Raise)),
            dead: AtomicU32::new(0),
            dead_pid: AtomicU32::new(0),
            burials: AtomicU32::new(0),
            notes: std::array::from_fn(|_| AtomicU64::new(0)),
            pids: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    /// Free permits at this moment.
    pub fn value(&self) -> u32 {
        value(self.state.load(Ordering::Relaxed))
    }

    /// As many permits as there can be.
    pub fn maximum(&self) -> u32 {
        self.maximum.load(Ordering::Relaxed)
    }

    /// How many wait. A waiter that was killed stays counted until the semaphore is seen without any.
    pub fn waiters(&self) -> u32 {
        if self.signal.has_sleepers() { self.waiting.load(Ordering::Relaxed) } else { 0 }
    }

    /// Permits that are noted as some process's.
    pub fn held(&self) -> u32 {
        self.notes.iter().map(|note| Note(note.load(Ordering::Relaxed)).count()).sum()
    }

    /// What a permit of the dead means.
    pub fn policy(&self) -> Policy {
        if self.policy.load(Ordering::Relaxed) & 1 == 0 { Policy::Warn } else { Policy::Raise }
    }

    /// Whether somebody released a permit who held none, as far as that was noticed: where deadlocks are looked for.
    pub fn is_signal(&self) -> bool {
        self.policy.load(Ordering::Relaxed) & 2 != 0
    }

    /// Somebody releases a permit who holds none.
    pub fn note_signal(&self) {
        self.policy.fetch_or(2, Ordering::Relaxed);
    }

    /// Take a permit, which will be nobody's, if there is one and nothing to be told.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        self.try_take(None, Told::Not) == Some(Taken::Free)
    }

    /// The same for a permit that is noted as the caller's. Give it back by [`Semaphore::give_back`].
    #[inline]
    pub fn try_hold(&self, me: OwnerId, life: &impl Liveness) -> bool {
        self.try_take(self.note_of(me, life), Told::Not) == Some(Taken::Free)
    }

    /// Take a permit, noted at `note`. None: there is none that may be taken.
    #[inline]
    fn try_take(&self, note: Option<usize>, told: Told) -> Option<Taken> {
        loop {
            let state = self.settled();
            let marked = state & MARKED != 0;
            if marked && told == Told::Not {
                return None;
            }
            let raises = marked && self.policy() == Policy::Raise;
            if raises && told == Told::AsThePolicyIs {
                return self.dead().map(Taken::Refused);
            }
            if value(state) == 0 {
                return None;
            }
            let next = (state - 1) & !CHANGES;
            let next = if raises { next } else { next & !MARKED };
            let noted = note.map(|index| (index, Note(self.notes[index].load(Ordering::Acquire))));
            let next = match noted {
                Some((index, note)) if note.count() < COUNT_MAX => announce(next, index, TAKEN, note),
                _ => next,
            };
            // SYNC: Acquire pairs with the Release in `release`: what was done before it is seen after this. Release publishes that the note of the change before is written.
            if self.state.compare_exchange(state, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                step();
                self.settle(next);
                step();
                let dead = if marked { self.dead() } else { None };
                return Some(dead.map_or(Taken::Free, Taken::Abandoned));
            }
        }
    }

    fn dead(&self) -> Option<Holder> {
        let owner = OwnerId::from_bits(self.dead.load(Ordering::Relaxed))?;
        Some(Holder { owner, pid: self.dead_pid.load(Ordering::Relaxed), thread: 0, since: 0 })
    }

    /// The state, its last change complete.
    fn settled(&self) -> u64 {
        let state = self.state.load(Ordering::Acquire);
        self.settle(state);
        state
    }

    /// Write the note that belongs to the last change, unless somebody has.
    fn settle(&self, state: u64) {
        let change = (state & CHANGES) >> CHANGE;
        if change == 0 {
            return;
        }
        let word = &self.notes[index(state)];
        let note = Note(word.load(Ordering::Acquire));
        // SYNC: Acquire above keeps this load behind that one. While the state stands, the note is what it was before the
        // change or what it is after; once it stands no more, somebody has written the note.
        if note.parity() == state >> PARITY & 1 || self.state.load(Ordering::Acquire) != state {
            return;
        }
        let _ = word.compare_exchange(note.0, note.after(change).0, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The calling process's note. None: as many as there is room for have one.
    fn note_of(&self, me: OwnerId, life: &impl Liveness) -> Option<usize> {
        let first = me.place() % NOTES;
        let owner = |index: usize| Note(self.notes[index].load(Ordering::Relaxed)).owner();
        if owner(first) == Some(me) {
            return Some(first);
        }
        let mut indices = (0..NOTES).map(|index| (first + index) % NOTES);
        indices.clone().find(|&index| owner(index) == Some(me)).or_else(|| indices.find(|&at| self.claim(at, me, life)))
    }

    /// Make a note the caller's, if it is free or its owner has died and holds nothing.
    #[cold]
    fn claim(&self, index: usize, me: OwnerId, life: &impl Liveness) -> bool {
        let owner = Note(self.notes[index].load(Ordering::Relaxed)).owner();
        if owner.is_some_and(|owner| life.seems_alive(owner)) {
            return false;
        }
        self.settled(); // what the dead had begun
        let note = Note(self.notes[index].load(Ordering::Acquire));
        let free = note.count() == 0 && note.owner() == owner;
        let mine = note.owned_by(me.bits()).0;
        if !free || self.notes[index].compare_exchange(note.0, mine, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        step();
        self.pids[index].store(crate::sys::pid(), Ordering::Relaxed);
        true
    }

    /// Take a permit, waiting at most until `deadline` and at most about one slice (then `Interrupted`: call again).
    /// `Refused` is none. `held`: noted as the caller's.
    pub fn acquire(
        &self,
        held: bool,
        me: OwnerId,
        life: &impl Liveness,
        deadline: Option<Instant>,
    ) -> Result<Taken, WaitError> {
        self.take(held, false, me, life, deadline)
    }

    /// Hold a permit whatever the dead have left. Also tells what [`Semaphore::repaired`] wants to know.
    pub fn inherit(
        &self,
        me: OwnerId,
        life: &impl Liveness,
        deadline: Option<Instant>,
    ) -> Result<(Taken, u32), WaitError> {
        let taken = self.take(true, true, me, life, deadline)?;
        Ok((taken, self.burials.load(Ordering::Acquire)))
    }

    fn take(
        &self,
        held: bool,
        heir: bool,
        me: OwnerId,
        life: &impl Liveness,
        deadline: Option<Instant>,
    ) -> Result<Taken, WaitError> {
        let found = Cell::new(None);
        let told = if heir { Told::Inheriting } else { Told::AsThePolicyIs };
        let ready = || {
            let note = if held { self.note_of(me, life) } else { None };
            found.set(self.try_take(note, told));
            found.get().is_some()
        };
        if !ready() {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            let spun = wait::spin(|| self.state.load(Ordering::Relaxed) & (VALUE | MARKED) != 0 && ready());
            let look = || self.look_after(me, life);
            let result = if spun { Ok(()) } else { self.signal.sleep_and_look(ready, look, deadline) };
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            result?;
        }
        Ok(found.get().unwrap_or(Taken::Free))
    }

    /// What the dead left is repaired: the mark goes, unless others have died since `burials` was told.
    pub fn repaired(&self, burials: u32) {
        loop {
            let state = self.settled();
            let unmarked = state & !MARKED;
            if state == unmarked || self.burials.load(Ordering::Acquire) != burials {
                return;
            }
            if self.state.compare_exchange(state, unmarked, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// What the dead left could not be repaired: the next is told as well.
    pub fn not_repaired(&self) {
        self.state.fetch_or(MARKED, Ordering::AcqRel);
    }

    /// Give back what dead processes held; tells when to look again.
    fn look_after(&self, me: OwnerId, life: &impl Liveness) -> Duration {
        self.settled();
        let mut again = wait::SLICE / 2;
        for (index, word) in self.notes.iter().enumerate() {
            let note = Note(word.load(Ordering::Acquire));
            let Some(owner) = note.owner().filter(|&owner| owner != me && note.count() > 0) else { continue };
            again = wait::LOOK;
            if !life.seems_alive(owner) {
                self.bury(index, owner);
            }
        }
        again
    }

    fn bury(&self, index: usize, dead: OwnerId) {
        loop {
            let state = self.settled();
            let note = Note(self.notes[index].load(Ordering::Acquire));
            if note.owner() != Some(dead) || note.count() == 0 {
                return;
            }
            self.dead.store(dead.bits(), Ordering::Relaxed);
            self.dead_pid.store(self.pids[index].load(Ordering::Relaxed), Ordering::Relaxed);
            // SYNC: Release pairs with the Acquire in `repaired`: who sees the mark sees that there was a burial.
            self.burials.fetch_add(1, Ordering::Release);
            step();
            let free = value(state).saturating_add(note.count()).min(self.maximum());
            let more = state & !VALUE | u64::from(free) | MARKED;
            let next = announce(more, index, BURIED, note);
            if self.state.compare_exchange(state, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                step();
                self.settle(next);
                step();
                self.signal.notify(note.count());
                return;
            }
        }
    }

    /// Add `count` permits and wake as many. `TooOften`, and nothing changes, if that would pass the maximum.
    #[inline]
    pub fn release(&self, count: u32) -> Result<(), ReleaseError> {
        loop {
            let state = self.settled();
            let more = value(state).checked_add(count).filter(|&more| more <= self.maximum());
            more.ok_or(ReleaseError::TooOften)?;
            let next = (state + u64::from(count)) & !CHANGES;
            // SYNC: Release pairs with the Acquire in `try_acquire`.
            if self.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                break;
            }
        }
        self.signal.notify(count);
        Ok(())
    }

    /// Give back a permit that was held. `TooOften` if somebody released so many that there is no room for it.
    #[inline]
    pub fn give_back(&self, me: OwnerId) -> Result<(), ReleaseError> {
        loop {
            let state = self.settled();
            let Some((index, note)) = self.held_by(me) else { return self.release(1) };
            let room = value(state) < self.maximum();
            let next = announce(state + u64::from(room), index, GIVEN, note);
            // SYNC: Release pairs with the Acquire in `try_take`.
            if self.state.compare_exchange(state, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                step();
                self.settle(next);
                step();
                if !room {
                    return Err(ReleaseError::TooOften);
                }
                self.signal.notify(1);
                return Ok(());
            }
        }
    }

    /// A note that says that the caller holds something. (Two threads may have claimed one each.)
    fn held_by(&self, me: OwnerId) -> Option<(usize, Note)> {
        let first = me.place() % NOTES;
        let note = |at: usize| ((first + at) % NOTES, Note(self.notes[(first + at) % NOTES].load(Ordering::Acquire)));
        (0..NOTES).map(note).find(|(_, note)| note.owner() == Some(me) && note.count() > 0)
    }
}
