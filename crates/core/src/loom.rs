//! The only door to atomics: the standard library's in a build, loom's in a model.
//!
//! Everything else in this crate imports its atomics from here (`clippy.toml` bans the direct path), so that no
//! model can be bypassed by accident.

#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
