//! The handles that this process has on the objects of an arena, counted.

use crate::lock::OwnerLock;
use crate::owner::{Liveness, OwnerId};
use std::cell::UnsafeCell;
use std::collections::HashMap;

/// How many handles this process has on each object. Behind a lock that can be held across a fork.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) lock: OwnerLock,
    pub(super) handles: UnsafeCell<HashMap<u64, u32>>,
    /// The place reserved for the child while a fork is under way.
    pub(super) child: UnsafeCell<Option<OwnerId>>,
}

// SAFETY: the cells are touched only with `lock` held.
unsafe impl Sync for Local {}

/// Within one process no owner of a local lock is ever dead.
struct Alive;

impl Liveness for Alive {
    fn is_alive(&self, _owner: OwnerId) -> bool {
        true
    }
}

impl Local {
    pub(super) fn new() -> Self {
        Self { lock: OwnerLock::new(), handles: UnsafeCell::new(HashMap::new()), child: UnsafeCell::new(None) }
    }

    pub(super) fn acquire(&self) {
        let _ = self.lock.acquire_inner(OwnerId::new(0, 0), &Alive);
    }

    pub(super) fn with<R>(&self, work: impl FnOnce(&mut HashMap<u64, u32>) -> R) -> R {
        struct Locked<'a>(&'a OwnerLock);
        impl Drop for Locked<'_> {
            fn drop(&mut self) {
                self.0.release();
            }
        }
        self.acquire();
        let _locked = Locked(&self.lock); // a panic in `work` must not stop all other threads
        // SAFETY: the lock is held, and `work` cannot get at the map by another way.
        work(unsafe { &mut *self.handles.get() })
    }
}
