//! What happens to arenas around a fork, in whichever thread and by whatever code it is done.
//!
//! *Before*, in the parent: the child gets a place in each shared arena, and a hold on all that this process has
//! open. The local locks are held across the fork, so that counts, holds and handles are copied in agreement. A
//! private arena is copied itself: its heap lock is held across the fork too, or the copy might be of a heap that
//! another thread was changing.
//!
//! *After*, in the child: it enters its place before anything else can be done in it. In its copies of private
//! arenas it is what its parent was; the locks of rings that other threads had taken there are freed, for these
//! threads do not exist.
//!
//! Nothing here allocates memory in the child.

#![allow(clippy::cast_ptr_alignment)] // blocks are aligned to 64 bytes, their headers asserted to be

use super::{Arena, Kind, Ring, all};
use crate::failpoint::{self, step};
use crate::loom::{AtomicU32, Ordering};
use crate::owner::OwnerId;
use std::sync::Once;

static AT_FORK: Once = Once::new();

/// How often this process and those before it were forked.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Moves on in the child of a fork: to know what a copy of something is a copy of, without a system call.
pub fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// See to it that forks are noticed.
pub(super) fn prepare() {
    // SAFETY: the three handlers are plain functions that live as long as the program; this library is never
    // unloaded.
    AT_FORK.call_once(|| unsafe {
        libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child));
    });
}

extern "C" fn before_fork() {
    for arena in all() {
        if !arena.is_shared() {
            arena.local.acquire();
            arena.heap.freeze(arena.me());
            continue;
        }
        let child = arena.processes().reserve().or_else(|| {
            arena.reap_all(); // not with the local lock held: burying drops handles
            arena.processes().reserve()
        });
        step();
        arena.local.acquire();
        // SAFETY: the local lock is held until the fork is over.
        let handles = unsafe {
            *arena.local.child.get() = child;
            &*arena.local.handles.get()
        };
        if let Some(child) = child {
            arena.heap.hold_for(arena.me(), child, handles.keys().copied());
        }
        step();
    }
}

extern "C" fn after_fork_in_parent() {
    step();
    for arena in all() {
        if !arena.is_shared() {
            arena.heap.thaw();
        }
        arena.local.lock.release();
    }
}

extern "C" fn after_fork_in_child() {
    failpoint::spare();
    FORKS.fetch_add(1, Ordering::Relaxed);
    step();
    for arena in all() {
        if arena.is_shared() {
            // SAFETY: the local lock was taken before the fork by this thread, the only one there is.
            let child = unsafe { (*arena.local.child.get()).take() };
            let me = child.filter(|&child| arena.processes().claim(child));
            arena.me.store(me.map_or(0, OwnerId::bits), Ordering::Relaxed);
            // Of several arenas the oldest, which is the last here, says what the child's rank is.
            me.inspect(|&me| failpoint::enter(arena.processes().rank(me)));
        } else {
            arena.processes().claim(arena.me());
            arena.heap.thaw();
            arena.forget_threads();
        }
        step();
        arena.local.lock.release();
    }
}

impl Arena {
    fn forget_threads(&self) {
        self.waits().forget(self.me());
        self.heap.each_of(Kind::Ring, |contents| {
            // SAFETY: a block of this kind contains a ring (of zeroes at least).
            unsafe { &*contents.cast::<Ring>() }.forget_threads();
        });
    }
}
