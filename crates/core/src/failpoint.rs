//! Numbered steps at which a test may kill the process.
//!
//! [`step`] stands between any two stores of which a death must not separate what belongs together. In a normal
//! build it is a fence for the compiler and nothing else: a process killed between two instructions has done all
//! the stores before in program order and none after, provided that the compiler kept that order. (The processor
//! does: a killed process's stores are all seen by whoever learns of its death through the kernel.)
//!
//! With the feature `failpoints` a test counts the steps of a scenario in one run, then runs it once for each and
//! dies there by SIGKILL, so that nothing is cleaned up. Only the thread that armed its steps counts.

#[cfg(not(all(feature = "failpoints", not(loom))))]
mod off {
    /// A step.
    #[inline]
    pub fn step() {
        std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(not(all(feature = "failpoints", not(loom))))]
pub use off::step;

#[cfg(all(feature = "failpoints", not(loom)))]
mod on {
    use std::cell::Cell;
    use std::panic::Location;

    thread_local! {
        /// Steps taken since `arm`, and the one to die at (`None`: not counting, 0: count only).
        static STEPS: Cell<(u64, Option<u64>)> = const { Cell::new((0, None)) };
    }

    /// Count the calling thread's steps from now on, and die at step `at` (from 1; 0: never).
    pub fn arm(at: u64) {
        STEPS.set((0, Some(at)));
    }

    /// Stop counting; tells how many steps there were.
    pub fn disarm() -> u64 {
        STEPS.replace((0, None)).0
    }

    /// Do something whose steps do not count.
    pub fn paused<R>(work: impl FnOnce() -> R) -> R {
        let steps = STEPS.replace((0, None));
        let result = work();
        STEPS.set(steps);
        result
    }

    /// A step.
    #[track_caller]
    pub fn step() {
        let (taken, Some(at)) = STEPS.get() else { return };
        STEPS.set((taken + 1, Some(at)));
        if taken + 1 == at {
            if std::env::var_os("PROCESSION_FAILPOINTS").is_some() {
                eprintln!("dies at step {at}: {}", Location::caller());
            }
            // SAFETY: plain calls; the process ends in the second.
            unsafe {
                libc::kill(libc::getpid(), libc::SIGKILL);
                libc::pause();
            }
        }
    }
}

#[cfg(all(feature = "failpoints", not(loom)))]
pub use on::{arm, disarm, paused, step};
