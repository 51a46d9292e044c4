//! A counting semaphore: a value that never goes below zero nor above its maximum, and a [`Signal`] to sleep on.
//!
//! `acquire` takes one permit by compare-exchange; `release` adds permits and wakes as many sleepers. Who runs may
//! take a permit before who sleeps (barging). A permit is not bound to a process: it may be released by another one,
//! so a death returns none (multiprocessing's semantics).

use crate::error::{ReleaseError, WaitError};
use crate::loom::{AtomicU32, Ordering};
use crate::wait::Signal;
use std::time::Instant;

/// The greatest maximum, and the one of a semaphore without a bound.
pub const VALUE_MAX: u32 = i32::MAX as u32;

/// A semaphore: 20 bytes of shared memory. Made by [`Semaphore::new`] (all-zero has a maximum of 0: nothing can be
/// released).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Semaphore {
    /// Permits that are free.
    value: AtomicU32,
    /// Never changes.
    maximum: AtomicU32,
    /// How many are in the waiting half of `acquire`; one killed there stays counted.
    waiting: AtomicU32,
    signal: Signal,
}

impl Semaphore {
    /// With `value` free permits out of at most `maximum`.
    pub fn new(value: u32, maximum: u32) -> Self {
        debug_assert!(value <= maximum && maximum <= VALUE_MAX);
        Self { value: AtomicU32::new(value), maximum: AtomicU32::new(maximum), ..Self::default() }
    }

    /// Free permits at this moment.
    pub fn value(&self) -> u32 {
        self.value.load(Ordering::Relaxed)
    }

    /// As many permits as there can be.
    pub fn maximum(&self) -> u32 {
        self.maximum.load(Ordering::Relaxed)
    }

    /// How many wait. A waiter that was killed stays counted until the semaphore is seen without any.
    pub fn waiters(&self) -> u32 {
        if self.signal.has_sleepers() { self.waiting.load(Ordering::Relaxed) } else { 0 }
    }

    /// Take a permit if there is one.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        let mut value = self.value.load(Ordering::Relaxed);
        while value > 0 {
            // SYNC: Acquire pairs with the Release in `release`: what was done before the release is seen after this.
            match self.value.compare_exchange_weak(value, value - 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => value = now,
            }
        }
        false
    }

    /// Take a permit, waiting at most until `deadline` and at most about one slice (then `Interrupted`: call again).
    pub fn acquire(&self, deadline: Option<Instant>) -> Result<(), WaitError> {
        if self.try_acquire() {
            return Ok(());
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let result = self.signal.wait(|| self.try_acquire(), deadline);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// Add `count` permits and wake as many. `TooOften`, and nothing changes, if that would pass the maximum.
    #[inline]
    pub fn release(&self, count: u32) -> Result<(), ReleaseError> {
        let mut value = self.value.load(Ordering::Relaxed);
        loop {
            let more = value.checked_add(count).filter(|&more| more <= self.maximum()).ok_or(ReleaseError::TooOften)?;
            // SYNC: Release pairs with the Acquire in `try_acquire`.
            match self.value.compare_exchange_weak(value, more, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => value = now,
            }
        }
        self.signal.notify(count);
        Ok(())
    }
}
