//! What users see as Lock and `RLock`: an [`OwnerLock`] and, beside it, which thread holds it, how deep, and counters.
//!
//! The lock word decides; everything else is written by the holder only, with plain stores, so that statistics cost no
//! atomic read-modify-write. Only `waiters` is counted by others.
//!
//! | word  | holder | meaning                                                                                      |
//! | ----- | ------ | -------------------------------------------------------------------------------------------- |
//! | 0     | 0      | free                                                                                         |
//! | owner | 0      | on the way in or out, not inside. A death here abandons nothing                              |
//! | owner | mark   | held by that thread. A death here leaves what it guards half-done: [`Taken::Abandoned`]      |
//! | 0     | mark   | never: release clears the holder first                                                       |
//!
//! A Lock may be released by any thread of any process, as multiprocessing has it; an `RLock` by its holder only.
//!
//! What the dead left half-done is either announced once, and the lock is the finder's ([`Policy::Warn`]), or it keeps
//! everybody out until somebody repairs it ([`Policy::Raise`]). In the second case there is no mark for "abandoned":
//! the word stays the dead owner's, and everybody who looks finds that out. Who takes the lock all the same (to
//! repair, or to end a condition's wait, since that must end with the lock held) is its *heir*, which a bit in
//! `depth` tells; an heir that releases it without having called it repaired returns it to the dead. A death of the
//! heir is one like any other.

use crate::error::{ReleaseError, WaitError};
use crate::failpoint::step;
use crate::lock::{Acquired, OwnerLock};
use crate::loom::{AtomicU32, AtomicU64, Ordering};
use crate::owner::{Holder, Liveness, OwnerId, Policy, Taken};
use crate::sys;
use std::time::Instant;

/// How often a try that must not block looks whether the owner still lives (milliseconds): the look costs a file read.
const LOOK_EVERY: u32 = 5;

/// Bit 31 of the depth: the holder took it over from the dead, and has not said that what it guards is repaired.
const HEIR: u32 = 1 << 31;

/// In `policy`: finding a dead holder is [`Policy::Raise`].
const RAISES: u32 = 1;
/// In `policy`: it was released by a thread that did not hold it, so its holder is not who will release it.
const SIGNAL: u32 = 2;

/// A lock with holder, depth and counters: 64 bytes of shared memory; all-zero is a free one that warns.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Mutex {
    /// Which process holds it.
    lock: OwnerLock,
    /// How many are in the waiting half of `acquire`. One killed there stays counted, see [`Mutex::waiters`].
    waiting: AtomicU32,
    /// [`mark`] of the holding thread, 0 while nobody is inside.
    holder: AtomicU64,
    /// How often it was acquired (wraps around).
    acquired: AtomicU64,
    /// How often the holder has acquired it and not released it; and [`HEIR`].
    depth: AtomicU32,
    /// How often it was acquired after waiting.
    contended: AtomicU32,
    /// How often it was taken over from an owner that had died inside.
    abandoned: AtomicU32,
    /// When a try last looked after the owner (milliseconds of the machine's clock, wraps around).
    looked: AtomicU32,
    /// Process id of the holder: the table of processes forgets it with the process, the lock must not.
    pid: AtomicU32,
    /// When the holder took it, in whole seconds since 1970.
    since: AtomicU32,
    /// [`RAISES`] never changes; [`SIGNAL`] comes once and stays.
    policy: AtomicU32,
    /// From whom the heir has it, as it stood in the lock word, in `pid` and in `since`.
    dead: [AtomicU32; 3],
}

/// What a lock knows about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MutexStatistics {
    /// How often it was acquired.
    pub acquired: u64,
    /// How often that took waiting.
    pub contended: u32,
    /// How often it was taken over from an owner that had died holding it.
    pub abandoned: u32,
    /// How many wait for it.
    pub waiters: u32,
}

/// Names a thread of a process in 64 bits. Threads of different processes may share an ident (every fork's main
/// thread does), so the process goes into the upper half by exclusive or. Never 0: no thread's descriptor starts at a
/// multiple of 4 GiB.
#[inline]
fn mark(me: OwnerId, thread: u64) -> u64 {
    thread ^ (u64::from(me.bits()) << 32)
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Mutex>() == 64); // as docs/reference/memory.md has it

impl Mutex {
    /// A free lock.
    pub fn new(policy: Policy) -> Self {
        Self { policy: AtomicU32::new(u32::from(policy == Policy::Raise)), ..Self::default() }
    }

    /// One that a process held when it died, `since` then; it had no place here (its lock outlived its memory).
    pub fn left_by(policy: Policy, pid: u32, since: u32) -> Self {
        let dead = OwnerId::of_nobody();
        Self {
            lock: OwnerLock::held_by(dead),
            holder: AtomicU64::new(mark(dead, 0)),
            depth: AtomicU32::new(1),
            pid: AtomicU32::new(pid),
            since: AtomicU32::new(since),
            ..Self::new(policy)
        }
    }

    /// What finding a dead holder means.
    pub fn policy(&self) -> Policy {
        if self.policy.load(Ordering::Relaxed) & RAISES == 0 { Policy::Warn } else { Policy::Raise }
    }

    /// Whether somebody released it who did not hold it, as far as that was noticed: where deadlocks are looked for.
    pub fn is_signal(&self) -> bool {
        self.policy.load(Ordering::Relaxed) & SIGNAL != 0
    }

    /// Somebody releases it who does not hold it.
    pub fn note_signal(&self) {
        self.policy.fetch_or(SIGNAL, Ordering::Relaxed);
    }

    /// Who holds it, or died holding it. A moment's view.
    pub fn owner(&self) -> Option<Holder> {
        self.lock.owner().and_then(|owner| self.inside(owner))
    }

    /// The holder, if `owner` is inside.
    fn inside(&self, owner: OwnerId) -> Option<Holder> {
        let holder = self.holder.load(Ordering::Relaxed);
        (holder != 0).then(|| Holder {
            owner,
            pid: self.pid.load(Ordering::Relaxed),
            thread: mark(owner, holder),
            since: self.since.load(Ordering::Relaxed),
        })
    }

    /// Whether somebody holds it.
    pub fn is_locked(&self) -> bool {
        self.lock.owner().is_some()
    }

    /// Whether the calling thread holds it.
    #[inline]
    pub fn is_mine(&self, me: OwnerId, thread: u64) -> bool {
        self.lock.owner() == Some(me) && self.holder.load(Ordering::Relaxed) == mark(me, thread)
    }

    /// How often the holder has acquired it.
    pub fn depth(&self) -> u32 {
        self.depth.load(Ordering::Relaxed) & !HEIR
    }

    #[inline]
    fn is_heir(&self) -> bool {
        self.depth.load(Ordering::Relaxed) & HEIR != 0
    }

    /// Whether somebody may wait: also while who got it by waiting holds it, for the word cannot tell who else does.
    pub fn may_have_waiters(&self) -> bool {
        self.lock.has_sleepers()
    }

    /// How many wait. Who is between two slices of a wait is not counted (the table of waits has it, see
    /// [`crate::waits`]); a waiter that was killed stays counted until the lock is seen without any.
    pub fn waiters(&self) -> u32 {
        if self.may_have_waiters() { self.waiting.load(Ordering::Relaxed) } else { 0 }
    }

    /// The counters.
    pub fn statistics(&self) -> MutexStatistics {
        MutexStatistics {
            acquired: self.acquired.load(Ordering::Relaxed),
            contended: self.contended.load(Ordering::Relaxed),
            abandoned: self.abandoned.load(Ordering::Relaxed),
            waiters: self.waiters(),
        }
    }

    /// Take it if it is free.
    #[inline]
    pub fn try_acquire(&self, me: OwnerId, thread: u64) -> bool {
        // Before the exchange, which would have it wait for its load.
        let now = sys::seconds();
        let free = self.lock.try_acquire(me);
        if free {
            self.enter(me, thread, now);
        }
        free
    }

    /// Do something with the lock held, if it is free: no more than a few instructions, none of which can wait or leave
    /// what the lock guards half-done. So it is not counted, and a death in it abandons nothing.
    #[inline]
    pub fn try_briefly<R>(&self, me: OwnerId, work: impl FnOnce() -> R) -> Option<R> {
        if !self.lock.try_acquire(me) {
            return None;
        }
        let done = work();
        self.lock.release();
        Some(done)
    }

    /// Take it if it is free or the calling thread's already.
    #[inline]
    pub fn try_acquire_again(&self, me: OwnerId, thread: u64) -> bool {
        if self.is_mine(me, thread) {
            self.depth.store(self.depth.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            return true;
        }
        self.try_acquire(me, thread)
    }

    /// Take it, waiting at most until `deadline` and at most about one slice (then `Interrupted`: call again).
    ///
    /// A former holder that died inside makes it `Abandoned` or `Refused`, as the policy is.
    pub fn acquire(
        &self,
        me: OwnerId,
        thread: u64,
        life: &impl Liveness,
        deadline: Option<Instant>,
    ) -> Result<Taken, WaitError> {
        if self.try_acquire(me, thread) {
            return Ok(Taken::Free);
        }
        let dead = self.wait(me, life, deadline)?;
        if let Some(dead) = dead
            && self.policy() == Policy::Raise
        {
            self.lock.return_to(dead.owner);
            return Ok(Taken::Refused(dead));
        }
        self.enter(me, thread, sys::seconds());
        Ok(self.taken(dead))
    }

    /// The same, but `Abandoned` whatever the policy; before a release that is to free it, say [`Mutex::repaired`].
    pub fn inherit(
        &self,
        me: OwnerId,
        thread: u64,
        life: &impl Liveness,
        deadline: Option<Instant>,
    ) -> Result<Taken, WaitError> {
        if self.try_acquire(me, thread) {
            return Ok(Taken::Free);
        }
        let dead = self.wait(me, life, deadline)?;
        if let Some(dead) = dead {
            for (word, value) in self.dead.iter().zip([dead.owner.bits(), dead.pid, dead.since]) {
                word.store(value, Ordering::Relaxed);
            }
        }
        step();
        self.enter(me, thread, sys::seconds());
        step();
        if dead.is_some() {
            self.depth.store(1 | HEIR, Ordering::Relaxed);
            step();
        }
        Ok(self.taken(dead))
    }

    fn taken(&self, dead: Option<Holder>) -> Taken {
        let Some(dead) = dead else { return Taken::Free };
        add(&self.abandoned);
        Taken::Abandoned(dead)
    }

    /// Get hold of the lock word; tells whose it was, if he died inside. The caller has yet to enter.
    fn wait(&self, me: OwnerId, life: &impl Liveness, deadline: Option<Instant>) -> Result<Option<Holder>, WaitError> {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) && !self.may_look() {
            return Err(WaitError::TimedOut);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let result = self.lock.acquire(me, life, deadline);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let acquired = result?;
        step();
        add(&self.contended);
        Ok(match acquired {
            Acquired::Free => None,
            Acquired::Abandoned(owner) => self.inside(owner), // None: it died on its way in or out
        })
    }

    /// The holder says that what the lock guards is whole: from now on a release frees it.
    pub fn repaired(&self) {
        self.depth.store(self.depth(), Ordering::Relaxed);
    }

    /// A try may look after the owner once in a while, not each time.
    fn may_look(&self) -> bool {
        let now = sys::monotonic().as_millis() as u32;
        let due = now.wrapping_sub(self.looked.load(Ordering::Relaxed)) >= LOOK_EVERY;
        if due {
            self.looked.store(now, Ordering::Relaxed);
        }
        due
    }

    #[inline]
    fn enter(&self, me: OwnerId, thread: u64, now: u32) {
        step();
        self.depth.store(1, Ordering::Relaxed);
        self.acquired.store(self.acquired.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.pid.store(own_pid(me), Ordering::Relaxed);
        self.since.store(now, Ordering::Relaxed);
        self.holder.store(mark(me, thread), Ordering::Relaxed);
        step();
    }

    /// Give it back, whoever holds it.
    #[inline]
    pub fn release(&self) -> Result<(), ReleaseError> {
        if !self.is_locked() {
            return Err(ReleaseError::TooOften);
        }
        self.leave().then_some(()).ok_or(ReleaseError::TooOften)
    }

    /// Undo one `acquire` of the calling thread; the last one gives it back.
    #[inline]
    pub fn release_once(&self, me: OwnerId, thread: u64) -> Result<(), ReleaseError> {
        if !self.is_mine(me, thread) {
            return Err(ReleaseError::NotOwner);
        }
        let depth = self.depth.load(Ordering::Relaxed) - 1;
        if depth & !HEIR == 0 {
            self.leave();
        } else {
            self.depth.store(depth, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Give it back however deep the calling thread holds it; the depth is for [`Mutex::restore`].
    pub fn release_fully(&self, me: OwnerId, thread: u64) -> Result<u32, ReleaseError> {
        if !self.is_mine(me, thread) {
            return Err(ReleaseError::NotOwner);
        }
        let depth = self.depth();
        self.leave();
        Ok(depth)
    }

    /// After an `inherit`: as deep as it was held before [`Mutex::release_fully`].
    pub fn restore(&self, depth: u32) {
        let heir = self.depth.load(Ordering::Relaxed) & HEIR;
        self.depth.store(depth | heir, Ordering::Relaxed);
    }

    /// SYNC: the holder is cleared before the releasing swap, so the next owner never meets the mark of the last one,
    /// and a thread that was the last one never takes the next one's lock for its own.
    #[inline]
    fn leave(&self) -> bool {
        if self.is_heir() {
            return self.return_to_the_dead();
        }
        self.holder.store(0, Ordering::Relaxed);
        step();
        self.lock.release()
    }

    /// As it was found. Whoever dies in here leaves an abandoned lock as well.
    #[cold]
    fn return_to_the_dead(&self) -> bool {
        let [owner, pid, since] = self.dead.each_ref().map(|word| word.load(Ordering::Relaxed));
        let Some(dead) = OwnerId::from_bits(owner) else { return self.lock.release() };
        self.holder.store(mark(dead, 0), Ordering::Relaxed);
        step();
        self.pid.store(pid, Ordering::Relaxed);
        self.since.store(since, Ordering::Relaxed);
        step();
        self.depth.store(1, Ordering::Relaxed);
        step();
        self.lock.return_to(dead);
        true
    }
}

/// Only the holder counts, so a load and a store do.
fn add(counter: &AtomicU32) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// The calling process's id. `getpid` is a system call, so it is kept together with the owner that it was asked for:
/// a forked child is another owner, and asks again.
#[inline]
#[cfg(not(loom))]
fn own_pid(me: OwnerId) -> u32 {
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    let known = KNOWN.load(Ordering::Relaxed);
    if (known >> 32) as u32 == me.bits() {
        return known as u32;
    }
    let pid = sys::pid();
    KNOWN.store(u64::from(me.bits()) << 32 | u64::from(pid), Ordering::Relaxed);
    pid
}

#[cfg(loom)]
fn own_pid(_me: OwnerId) -> u32 {
    sys::pid()
}
