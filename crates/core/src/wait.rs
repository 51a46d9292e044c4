//! Waiting: the only place where anything in this crate spins or sleeps.
//!
//! A [`Signal`] is a sequence word with a waiting flag (an "event count"). Who waits looks at the sequence, raises the
//! flag, looks once more at what it waits for, and sleeps while the sequence stands. Who changes something looks at
//! the flag after the change; only if it is up it moves the sequence on and wakes, and takes the flag down when
//! nobody is left. See `wait.md` beside this file for the argument that no wake-up is lost, and what happens when a
//! party is killed in between.
//!
//! Every sleep is cut into slices of [`SLICE`]. A waker can be killed between its change and its wake, so a sleeper
//! must look for itself now and then; the same cut lets the caller look after signals.

use crate::error::WaitError;
use crate::loom::{AtomicU32, Ordering, fence};
use crate::sys::{self, FutexWait};
use std::time::{Duration, Instant};

/// The longest sleep at a stretch. A lost wake-up costs at most this.
pub const SLICE: Duration = Duration::from_millis(100);

/// How long to spin with the CPU's pause instruction: about the time of one hand-over across cores, several times over.
const SPIN: Duration = Duration::from_micros(3);

/// How long to go on offering the CPU to others before sleeping. A wake-up across cores costs 50 to 90 µs on a virtual
/// machine, so waiting this long costs at most what sleeping would have.
const YIELD: Duration = Duration::from_micros(40);

/// Wakes every sleeper when given to [`Signal::notify`].
pub const ALL: u32 = u32::MAX;

/// How many failures in a row it takes before this process all but gives up spinning.
#[cfg(not(loom))]
const PATIENCE: u32 = 4;

/// Having given up, it still tries once in so many waits.
#[cfg(not(loom))]
const RETRY: u32 = 64;

/// A spin that took longer than this would better have been a sleep, though it found what it waited for.
#[cfg(not(loom))]
const WORTHWHILE: Duration = Duration::from_micros(4);

#[cfg(not(loom))]
static FAILURES: AtomicU32 = AtomicU32::new(0);

/// Whether spinning has paid lately in this process.
#[cfg(not(loom))]
pub fn spinning_pays() -> bool {
    FAILURES.load(Ordering::Relaxed) < PATIENCE
}

/// Spin until `ready` says so or the spinning no longer pays. True: ready.
///
/// Spinning against a peer that waits for this very CPU only keeps it waiting, and nothing tells where the peer runs. So
/// a process that has spun in vain a few times goes to sleep at once, and tries again now and then. Measured on a busy
/// machine of 2 CPUs: semaphore round trips of 15 to 40 µs while every wait spun; `wait.md` has those since.
#[inline]
pub fn spin(ready: impl Fn() -> bool) -> bool {
    if cfg!(loom) {
        return ready();
    }
    patient(|| spin_now(&ready)).unwrap_or_else(&ready)
}

#[cfg(loom)]
fn patient(spin: impl FnOnce() -> bool) -> Option<bool> {
    Some(spin())
}

/// None: not worth it now. The two counters are a heuristic of this process; its threads may blur them.
#[cfg(not(loom))]
fn patient(spin: impl FnOnce() -> bool) -> Option<bool> {
    static SKIPPED: AtomicU32 = AtomicU32::new(0);
    let failures = FAILURES.load(Ordering::Relaxed);
    if failures >= PATIENCE {
        let skipped = SKIPPED.load(Ordering::Relaxed).wrapping_add(1);
        SKIPPED.store(skipped, Ordering::Relaxed);
        if skipped % RETRY != 0 {
            return None;
        }
    }
    let start = Instant::now();
    let done = spin();
    let paid = done && start.elapsed() < WORTHWHILE;
    FAILURES.store(if paid { failures / 2 } else { PATIENCE.min(failures + 1) }, Ordering::Relaxed);
    Some(done)
}

fn spin_now(ready: &impl Fn() -> bool) -> bool {
    let start = Instant::now();
    if sys::cpus() > 1 {
        while start.elapsed() < SPIN {
            for _ in 0..4 {
                if ready() {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
    }
    loop {
        if ready() {
            return true;
        }
        if start.elapsed() > YIELD {
            return false;
        }
        sys::yield_now();
    }
}

/// What is left until `deadline`, at most `longest`; `TimedOut` when nothing is.
pub fn left(deadline: Option<Instant>, longest: Duration) -> Result<Duration, WaitError> {
    match deadline {
        None => Ok(longest),
        Some(deadline) => {
            let now = Instant::now();
            if now >= deadline { Err(WaitError::TimedOut) } else { Ok((deadline - now).min(longest)) }
        }
    }
}

/// A sequence word with a waiting flag. Lives in shared memory; all-zero is a valid fresh one.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Signal {
    /// Moves on with every wake-up; the futex word.
    sequence: AtomicU32,
    /// 1 while somebody may be asleep. A dead sleeper costs one needless wake-up, not one for every change.
    waiting: AtomicU32,
}

impl Signal {
    /// A fresh signal.
    pub fn new() -> Self {
        Self { sequence: AtomicU32::new(0), waiting: AtomicU32::new(0) }
    }

    /// Whether somebody may be asleep.
    pub fn has_sleepers(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Wait until `ready` says so. Spins first, then sleeps at most one slice: `Interrupted` then asks the caller to
    /// look after signals and call again.
    pub fn wait(&self, ready: impl Fn() -> bool, deadline: Option<Instant>) -> Result<(), WaitError> {
        if ready() || spin(&ready) {
            return Ok(());
        }
        self.sleep(ready, deadline)
    }

    /// Sleep until `ready` says so, at most one slice; never spins.
    pub fn sleep(&self, ready: impl Fn() -> bool, deadline: Option<Instant>) -> Result<(), WaitError> {
        let end = if cfg!(loom) { None } else { Some(Instant::now() + SLICE) };
        loop {
            // SYNC: Acquire pairs with the Release in `lower`: who sees the sequence that came after the flag was taken
            // down raises the flag after that, and it stays up.
            let sequence = self.sequence.load(Ordering::Acquire);
            self.waiting.store(1, Ordering::Relaxed);
            // SYNC: pairs with the fence in `notify`. Either the changer sees our flag, or we see its change: one of
            // two stores (flag, change) comes first in the single order of both fences. Less than SeqCst lets both
            // sides miss.
            fence(Ordering::SeqCst);
            if ready() {
                return Ok(());
            }
            let slice = left(deadline, SLICE)?;
            let woken = sys::futex_wait(&self.sequence, sequence, slice);
            if ready() {
                return Ok(());
            }
            if woken == FutexWait::Interrupted || end.is_some_and(|end| Instant::now() >= end) {
                left(deadline, SLICE)?;
                return Err(WaitError::Interrupted);
            }
        }
    }

    /// Wake up to `count` sleepers after a change. Call it after the change was stored.
    #[inline]
    pub fn notify(&self, count: u32) {
        // SYNC: pairs with the fence in `sleep`, see there.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.wake(count);
        }
    }

    /// The flag stays up as long as the kernel finds as many sleepers as asked for: taking it down first, for the
    /// woken to raise again, would hide the others from every change made before the woken runs (`wait.md`, "Two
    /// releases").
    #[cold]
    fn wake(&self, count: u32) {
        if count != ALL {
            self.sequence.fetch_add(1, Ordering::Release);
            if sys::futex_wake(&self.sequence, count) >= count {
                return;
            }
        }
        self.lower();
    }

    /// Take the flag down and send everybody who may have raised it before to look again.
    fn lower(&self) {
        self.waiting.store(0, Ordering::Relaxed);
        // SYNC: Release pairs with the Acquire in `sleep`.
        self.sequence.fetch_add(1, Ordering::Release);
        sys::futex_wake(&self.sequence, ALL);
    }
}
