//! A lock that knows its owner, so that the others notice when the owner dies and go on.
//!
//! | word            | meaning                         | who may see it                     |
//! | --------------- | ------------------------------- | ---------------------------------- |
//! | 0               | free                            | anyone                             |
//! | owner           | held, nobody asleep             | anyone                             |
//! | owner + WAITERS | held, somebody may be asleep    | anyone                             |
//! | WAITERS         | never                           | (release clears both in one step)  |
//!
//! It is not a robust pthread mutex because multiprocessing allows any process to release a lock, which the kernel's
//! robust list cannot follow. Barging is allowed: who runs takes the lock before who sleeps, as in `parking_lot` and
//! glibc; that is what makes contention cheap.

use crate::error::WaitError;
use crate::loom::{AtomicU32, Ordering};
use crate::owner::{Liveness, OwnerId};
use crate::sys::{self, FutexWait};
use crate::wait;
use std::time::{Duration, Instant};

/// Bit 31: somebody may be asleep, so a release must wake one.
const WAITERS: u32 = 1 << 31;

/// When to look for the first time whether the owner still lives; then twice as late each time, up to [`wait::LOOK`].
const FIRST_LOOK: Duration = Duration::from_millis(2);

/// How a lock came into the caller's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an abandoned lock guards state that may be half-done"]
pub enum Acquired {
    /// It was free.
    Free,
    /// Its owner died holding it: what it guards may be half-done, and is the caller's to repair. (The caller itself: the
    /// word was written over, and named nobody.)
    Abandoned(OwnerId),
}

/// The lock word. Lives in shared memory; zero is a free lock.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct OwnerLock(AtomicU32);

impl OwnerLock {
    /// A free lock.
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// One that `owner` holds.
    pub fn held_by(owner: OwnerId) -> Self {
        Self(AtomicU32::new(owner.bits()))
    }

    /// Who holds it.
    pub fn owner(&self) -> Option<OwnerId> {
        OwnerId::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Whether somebody may be asleep waiting for it.
    pub fn has_sleepers(&self) -> bool {
        self.0.load(Ordering::Relaxed) & WAITERS != 0
    }

    /// Take it if it is free.
    #[inline]
    pub fn try_acquire(&self, me: OwnerId) -> bool {
        // SYNC: Acquire pairs with the Release in `release`: what the last holder wrote is seen.
        self.0.compare_exchange(0, me.bits(), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Take it, waiting at most until `deadline` and at most about one slice (then `Interrupted`: call again).
    #[inline]
    pub fn acquire(&self, me: OwnerId, life: &impl Liveness, deadline: Option<Instant>) -> Result<Acquired, WaitError> {
        if self.try_acquire(me) {
            return Ok(Acquired::Free);
        }
        self.acquire_slow(me, life, deadline)
    }

    /// Take it, however long that takes. Only for inner locks, which are held for microseconds or by the dead.
    pub fn acquire_inner(&self, me: OwnerId, life: &impl Liveness) -> Acquired {
        loop {
            if let Ok(acquired) = self.acquire(me, life, None) {
                return acquired;
            }
        }
    }

    #[cold]
    fn acquire_slow(
        &self,
        me: OwnerId,
        life: &impl Liveness,
        deadline: Option<Instant>,
    ) -> Result<Acquired, WaitError> {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            // A try: still take over from the dead, so that nobody polls a dead owner's lock for ever.
            return self.take_over(me, |owner| life.is_alive(owner)).ok_or(WaitError::TimedOut);
        }
        if wait::spin(|| self.0.load(Ordering::Relaxed) == 0 && self.try_acquire(me)) {
            return Ok(Acquired::Free);
        }
        let end = Instant::now() + wait::slice();
        let mut look = FIRST_LOOK;
        loop {
            let word = self.0.load(Ordering::Relaxed);
            if word == 0 {
                // Others may still be asleep: keep the flag up, at the price of one needless wake-up.
                let mine = me.bits() | WAITERS;
                if self.0.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return Ok(Acquired::Free);
                }
                continue;
            }
            let flagged = word | WAITERS;
            if word != flagged && self.0.compare_exchange(word, flagged, Ordering::Relaxed, Ordering::Relaxed).is_err()
            {
                continue;
            }
            let slice = wait::left(deadline, look)?;
            wait::about_to_sleep();
            match sys::futex_wait(&self.0, flagged, slice) {
                FutexWait::Interrupted => return Err(WaitError::Interrupted),
                FutexWait::Woken => {}
                FutexWait::TimedOut => {
                    if let Some(acquired) = self.take_over(me, |owner| life.seems_alive(owner)) {
                        return Ok(acquired);
                    }
                    look = (look * 2).min(wait::LOOK);
                }
            }
            // A free lock is taken first: who was woken for it and went away instead would leave the others asleep.
            if Instant::now() >= end && self.0.load(Ordering::Relaxed) != 0 {
                wait::left(deadline, look)?;
                return Err(WaitError::Interrupted);
            }
        }
    }

    /// Take it from an owner that has died.
    fn take_over(&self, me: OwnerId, is_alive: impl Fn(OwnerId) -> bool) -> Option<Acquired> {
        let word = self.0.load(Ordering::Relaxed);
        let seen = word & !WAITERS;
        // A word that names no place of the table, which only damage makes, is nobody's: else all would wait for ever.
        let owner = OwnerId::from_bits(seen);
        if word == 0 || owner.is_some_and(|owner| owner == me || is_alive(owner)) {
            return None;
        }
        loop {
            // The waiters' flag may come up meanwhile, which is no reason to give up; another owner is.
            let word = self.0.load(Ordering::Relaxed);
            if word == 0 || word & !WAITERS != seen {
                return None;
            }
            // SYNC: Acquire: the dead owner's stores came before its death, which we learnt of through the kernel.
            let mine = me.bits() | WAITERS;
            if self.0.compare_exchange(word, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return Some(Acquired::Abandoned(owner.unwrap_or(me)));
            }
        }
    }

    /// Give it back. False, and nothing is changed, when it was free. Whose it was is the caller's to check.
    #[inline]
    pub fn release(&self) -> bool {
        // SYNC: Release pairs with the Acquire of the next taker.
        let word = self.0.swap(0, Ordering::Release);
        if word & WAITERS != 0 {
            self.wake();
        }
        word != 0
    }

    /// Instead of a release: it is the dead owner's again from whom it was taken over, for the next to find.
    pub fn return_to(&self, dead: OwnerId) {
        // SYNC: Release pairs with the Acquire of who takes it over next. Sleepers look for themselves.
        self.0.store(dead.bits() | WAITERS, Ordering::Release);
    }

    #[cold]
    fn wake(&self) {
        sys::futex_wake(&self.0, 1);
    }
}

/// Releases an inner lock however a function is left.
pub struct Held<'a> {
    /// It is the caller's.
    pub lock: &'a OwnerLock,
    /// Its last holder died.
    pub abandoned: bool,
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.lock.release();
    }
}
