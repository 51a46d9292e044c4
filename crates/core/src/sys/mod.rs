//! The only system calls. This file states the contract, `linux.rs` keeps it, `model.rs` fakes it for loom.
//!
//! - [`futex_wait`] sleeps while `word` holds `expected`, at most `timeout`; it may return early for no reason at all.
//!   It never loses a wake-up that came after the caller last saw `expected`.
//! - [`futex_wake`] wakes at most `count` sleepers and tells how many: fewer than asked means that none is left. Both are the *shared* kind (never the private flag): the sleepers live
//!   in different processes and may see the word at different addresses.
//! - [`start_time`] tells when a process started, so that a reused pid is not taken for the old one; [`has_ended`] is true
//!   only when the process has certainly ended, whatever else goes wrong.
//! - A [`Bell`] is a descriptor that is readable while it rings; `pipe.rs` has the one for other processes to ring.
//! - [`lifeline`] lets a process end with its parent, [`drain`] a worker when it has done what it is at.

#[cfg(not(loom))]
pub mod drain;
#[cfg(not(loom))]
pub mod lifeline;
#[cfg(not(loom))]
mod linux;
#[cfg(not(loom))]
mod pipe;
#[cfg(not(loom))]
pub use linux::*;
#[cfg(not(loom))]
pub use pipe::{Pipe, Reopened};

#[cfg(loom)]
mod model;
#[cfg(loom)]
pub use model::*;

/// How a [`futex_wait`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FutexWait {
    /// Woken, or the word no longer held the expected value.
    Woken,
    /// The time was over.
    TimedOut,
    /// A signal arrived.
    Interrupted,
}

/// What its owner waits for beside other things: a descriptor that is readable while it rings. None of this blocks.
pub trait Bell {
    /// Let it ring. Ringing twice is ringing once.
    fn ring(&self);
    /// Whether it rings.
    fn rings(&self) -> bool;
    /// Let it ring no longer.
    fn silence(&self);
}
