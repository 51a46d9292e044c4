//! What this process knows of an arena: the handles that it has on objects, counted, and the bells of watched rings.

use super::watches::Bells;
use crate::lock::OwnerLock;
use crate::owner::{Liveness, OwnerId};
use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Offsets come from the arena and not from an attacker, so one multiplication spreads them well enough.
#[derive(Debug, Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0.rotate_left(8) ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ spread >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Counts by offset.
pub(super) type Handles = HashMap<u64, u32, BuildHasherDefault<Spread>>;

/// How many handles this process has on each object. Behind a lock that can be held across a fork.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) lock: OwnerLock,
    pub(super) handles: UnsafeCell<Handles>,
    pub(super) bells: UnsafeCell<Bells>,
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
        Self {
            lock: OwnerLock::new(),
            handles: UnsafeCell::new(Handles::default()),
            bells: UnsafeCell::new(Bells::default()),
            child: UnsafeCell::new(None),
        }
    }

    pub(super) fn acquire(&self) {
        let _ = self.lock.acquire_inner(OwnerId::new(0, 0), &Alive);
    }

    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Handles) -> R) -> R {
        let _locked = self.locked();
        // SAFETY: the lock is held, and `work` cannot get at the map by another way.
        work(unsafe { &mut *self.handles.get() })
    }

    pub(super) fn with_bells<R>(&self, work: impl FnOnce(&mut Bells) -> R) -> R {
        let _locked = self.locked();
        // SAFETY: the lock is held, and `work` cannot get at the bells by another way.
        work(unsafe { &mut *self.bells.get() })
    }

    /// A panic of who has it must not stop all other threads.
    fn locked(&self) -> impl Drop + '_ {
        struct Locked<'a>(&'a OwnerLock);
        impl Drop for Locked<'_> {
            fn drop(&mut self) {
                self.0.release();
            }
        }
        self.acquire();
        Locked(&self.lock)
    }
}
