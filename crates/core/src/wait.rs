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
#[cfg(not(loom))]
use crate::loom::AtomicU64;
use crate::loom::{AtomicU32, Ordering, fence};
use crate::sys::{self, FutexWait};
#[cfg(not(loom))]
use std::cell::Cell;
#[cfg(not(loom))]
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// The longest sleep at a stretch. A lost wake-up costs at most this.
pub const SLICE: Duration = Duration::from_millis(100);

/// The longest sleep at a stretch in a process that looks for deadlocks.
pub const EAGER_SLICE: Duration = Duration::from_millis(20);

/// 1: see [`be_eager`].
#[cfg(not(loom))]
static EAGER: AtomicU32 = AtomicU32::new(0);

/// How often a sleeper looks whether they still live for whom it waits: who dies is noticed after half of this, on the
/// average. A look is a wake-up and a file read (8 µs when nothing else runs), so a waiter takes 0.2 to 0.6 % of a CPU
/// (busy machine).
pub const LOOK: Duration = Duration::from_millis(8);

/// How long to spin with the CPU's pause instruction: about the time of one hand-over across cores, several times over.
const SPIN: Duration = Duration::from_micros(3);

/// How long to spin where that does not pay: a lock held for the fraction of a microsecond may still come free.
const GLANCE: Duration = Duration::from_micros(1);

/// How long to go on offering the CPU to others before sleeping. A wake-up across cores costs 50 to 90 µs on a virtual
/// machine, so waiting this long costs at most what sleeping would have.
const YIELD: Duration = Duration::from_micros(40);

/// Wakes every sleeper when given to [`Signal::notify`].
pub const ALL: u32 = u32::MAX;

/// A yield that took longer than this gave the CPU to somebody with work of their own: there are more of those than CPUs.
#[cfg(not(loom))]
const CROWDED: Duration = Duration::from_micros(200);

/// For how long not to spin after the first such yield, and at most, as they go on (milliseconds).
#[cfg(not(loom))]
const FIRST_PAUSE: u64 = 10;
#[cfg(not(loom))]
const LONGEST_PAUSE: u64 = 1000;

/// What this process knows of the crowd: no spinning before `UNTIL` (milliseconds of the monotonic clock), and how long the
/// last pause was. A heuristic that threads may blur.
#[cfg(not(loom))]
static UNTIL: AtomicU64 = AtomicU64::new(0);
#[cfg(not(loom))]
static PAUSE: AtomicU64 = AtomicU64::new(0);

/// Whether spinning can pay now: there is more than one CPU, and nobody else was found wanting ours lately.
#[cfg(not(loom))]
pub fn spinning_pays() -> bool {
    sys::cpus() > 1 && UNTIL.load(Ordering::Relaxed) <= sys::monotonic().as_millis() as u64
}

#[cfg(loom)]
fn spinning_pays() -> bool {
    true
}

/// Spin until `ready` says so or the spinning no longer pays. True: ready.
///
/// First with the pause instruction, for a peer on another CPU; then offering the CPU, for a peer that waits for this one.
/// Where others with work of their own take it, spinning only holds everybody up: a sleeper is woken sooner than a spinner is
/// scheduled. That is noticed by a yield that took long, and nobody spins here for a while. (Giving up after spins in
/// vain, as tried before, locks in: two that sleep wake each other too late for either to find that spinning pays.)
#[inline]
pub fn spin(ready: impl Fn() -> bool) -> bool {
    if cfg!(loom) {
        return ready();
    }
    let pays = spinning_pays();
    pause(&ready, if pays { SPIN } else { GLANCE }) || (pays && offer(&ready))
}

/// Look again and again for so long, and keep the CPU meanwhile. True: ready.
pub fn pause(ready: &impl Fn() -> bool, longest: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < longest {
        for _ in 0..4 {
            if ready() {
                return true;
            }
            std::hint::spin_loop();
        }
    }
    false
}

#[cfg(loom)]
fn offer(_ready: &impl Fn() -> bool) -> bool {
    false
}

/// Spin no more for a while: twice as long as the last time, unless that is long past.
#[cfg(not(loom))]
#[cold]
fn crowded() {
    let now = sys::monotonic().as_millis() as u64;
    let calm = now.saturating_sub(UNTIL.load(Ordering::Relaxed)) > LONGEST_PAUSE;
    let last = if calm { 0 } else { PAUSE.load(Ordering::Relaxed) };
    let pause = (last * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    PAUSE.store(pause, Ordering::Relaxed);
    UNTIL.store(now + pause, Ordering::Relaxed);
}

/// Look again and again, and let others have the CPU in between.
#[cfg(not(loom))]
fn offer(ready: &impl Fn() -> bool) -> bool {
    let start = Instant::now();
    let mut before = start;
    loop {
        sys::yield_now();
        let now = Instant::now();
        if now - before > CROWDED {
            crowded();
            return ready();
        }
        if ready() {
            return true;
        }
        if now - start > YIELD {
            return false;
        }
        before = now;
    }
}

#[cfg(not(loom))]
thread_local! {
    /// What wants to know that this thread is about to sleep, while it waits; see `telling`.
    static TOLD: Cell<Option<NonNull<dyn Fn()>>> = const { Cell::new(None) };
}

/// Run `attempt`; before each sleep in it, `told` is called.
#[cfg(not(loom))]
pub fn telling<R>(told: &(dyn Fn() + '_), attempt: impl FnOnce() -> R) -> R {
    struct Reset(Option<NonNull<dyn Fn()>>);
    impl Drop for Reset {
        fn drop(&mut self) {
            TOLD.set(self.0);
        }
    }
    // SAFETY: only the lifetime changes, and nobody finds the reference after `attempt`, when it is reset.
    let told = unsafe { std::mem::transmute::<NonNull<dyn Fn() + '_>, NonNull<dyn Fn()>>(NonNull::from(told)) };
    let _reset = Reset(TOLD.replace(Some(told)));
    attempt()
}

/// This thread is about to sleep.
#[cfg(not(loom))]
pub(crate) fn about_to_sleep() {
    if let Some(told) = TOLD.get() {
        // SAFETY: `telling` has put it there and is still running, in this thread.
        unsafe { told.as_ref()() }
    }
}

#[cfg(loom)]
pub(crate) fn about_to_sleep() {}

/// How long a sleep lasts at most, before its caller is asked to look after what it has to. Shorter in a process that looks for deadlocks.
pub fn slice() -> Duration {
    #[cfg(not(loom))]
    if EAGER.load(Ordering::Relaxed) != 0 {
        return EAGER_SLICE;
    }
    SLICE
}

/// Whether sleeps last [`EAGER_SLICE`] at most, in this process.
#[cfg(not(loom))]
pub fn be_eager(eager: bool) {
    EAGER.store(u32::from(eager), Ordering::Relaxed);
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
        self.sleep_and_look(ready, || SLICE, deadline)
    }

    /// The same, but before each sleep `look` sees after what cannot wake anybody, a death, and says when to look again.
    pub fn sleep_and_look(
        &self,
        ready: impl Fn() -> bool,
        look: impl Fn() -> Duration,
        deadline: Option<Instant>,
    ) -> Result<(), WaitError> {
        let end = if cfg!(loom) { None } else { Some(Instant::now() + slice()) };
        loop {
            let longest = look().min(slice());
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
            let slice = left(deadline, longest)?;
            about_to_sleep();
            let woken = sys::futex_wait(&self.sequence, sequence, slice);
            if ready() {
                return Ok(());
            }
            if woken == FutexWait::Interrupted || end.is_some_and(|end| Instant::now() >= end) {
                left(deadline, longest)?;
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
