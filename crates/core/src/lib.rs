//! procession-core: synchronisation, rings and arenas in shared memory, for any number of processes of which any may be
//! killed at any instruction. No Python in here. A module uses only those above it in this list:
//!
//! - [`error`]: what can go wrong, one enum per family.
//! - [`failpoint`]: numbered steps at which a process may be killed or kept waiting, by a test or by chaos.
//! - `loom`: the only door to atomics.
//! - [`sys`]: the only system calls.
//! - [`recorder`]: what a family of processes did, in files that outlive them.
//! - [`segment`]: a span of mapped memory. The byte tables of what lives in it are in `docs/reference/memory.md`.
//! - [`mapping`]: a span of a file on disk.
//! - [`owner`]: which processes there are, and whether they live. [`labels`]: strings that all of them can read.
//! - [`wait`]: the only spinning and sleeping. [`waits`]: who waits for what, for all to read.
//! - [`orders`]: in which order locks are taken, where that is wanted.
//! - [`lock`]: a lock that knows its owner.
//! - [`heap`]: space within a segment. [`arena`]: a segment with processes, a heap, and counted objects.
//! - [`semaphore`], [`event`], [`condition`], [`barrier`], [`mutex`]: what users synchronise with.
//! - [`ring`]: a queue of byte messages.
//! - [`observe`]: an arena as somebody sees it who has no part in it, read through a [`source`].

mod loom;

pub mod barrier;
pub mod condition;
pub mod error;
pub mod event;
pub mod failpoint;
pub mod lock;
pub mod mutex;
pub mod owner;
pub mod ring;
pub mod semaphore;
pub mod sys;
pub mod wait;
pub mod waits;

// Mapped memory cannot be modelled: loom sees what stands on it, with a storage of its own.
#[cfg(not(loom))]
pub mod arena;
#[cfg(not(loom))]
pub mod heap;
#[cfg(not(loom))]
pub mod labels;
#[cfg(not(loom))]
pub mod mapping;
#[cfg(not(loom))]
pub mod observe;
#[cfg(not(loom))]
pub mod orders;
#[cfg(not(loom))]
pub mod recorder;
#[cfg(not(loom))]
pub mod segment;
#[cfg(not(loom))]
pub mod source;
