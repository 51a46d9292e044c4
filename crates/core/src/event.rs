//! A flag to wait for. It also counts how often it was set, so that nobody who waited misses a `set` that is followed
//! by `clear` at once.

use crate::error::WaitError;
use crate::failpoint::step;
use crate::loom::{AtomicU32, Ordering};
use crate::wait::{ALL, Signal};
use std::time::Instant;

/// Bit 0 of the state: set. The other 31 bits count the changes from clear to set (wrapping around).
const SET: u32 = 1;

/// An event: 16 bytes of shared memory; all-zero is a clear one.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Event {
    state: AtomicU32,
    /// How many are in `wait`; one killed there stays counted.
    waiting: AtomicU32,
    signal: Signal,
}

/// The state at the moment somebody began to wait.
#[derive(Debug, Clone, Copy)]
pub struct Since(u32);

impl Event {
    /// A clear event.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        // SYNC: Acquire pairs with the Release in `set`: what was done before `set` is seen.
        self.state.load(Ordering::Acquire) & SET != 0
    }

    /// How often it changed from clear to set (31 bits).
    pub fn times_set(&self) -> u32 {
        self.state.load(Ordering::Relaxed) >> 1
    }

    /// How many wait. A waiter that was killed stays counted until the event is seen without any.
    pub fn waiters(&self) -> u32 {
        if self.signal.has_sleepers() { self.waiting.load(Ordering::Relaxed) } else { 0 }
    }

    /// Begin to wait: any `set` from now on ends the wait, even if `clear` follows.
    pub fn since(&self) -> Since {
        Since(self.state.load(Ordering::Acquire))
    }

    /// Whether it is or was set since then.
    #[inline]
    pub fn has_happened(&self, since: Since) -> bool {
        let state = self.state.load(Ordering::Acquire);
        state & SET != 0 || state >> 1 != since.0 >> 1
    }

    /// Wait until it is or was set `since`, at most until `deadline` and about one slice (then `Interrupted`: call
    /// again).
    pub fn wait(&self, since: Since, deadline: Option<Instant>) -> Result<(), WaitError> {
        if self.has_happened(since) {
            return Ok(());
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        step();
        let result = self.signal.wait(|| self.has_happened(since), deadline);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// Set it and wake everybody.
    pub fn set(&self) {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            // An event that is set stays as it is, but the exchange is made all the same: it carries this thread's
            // writes.
            let next = if state & SET == 0 { state.wrapping_add(2) | SET } else { state };
            match self.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        step();
        self.signal.notify(ALL);
    }

    /// Clear it. Whoever already waits is not affected by a later `clear`.
    pub fn clear(&self) {
        self.state.fetch_and(!SET, Ordering::AcqRel);
    }
}
