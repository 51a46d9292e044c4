//! When the lock beside shared data must be taken.
//!
//! multiprocessing takes it for every access. Here a *write* takes it too, in the fast way while it is free, or else it
//! could fall between another process's read and write (`with v.get_lock(): v.value += 1`). A *read* only makes sure
//! that nobody else holds the lock, before and after: then what it saw is what some holder left. Only if somebody does,
//! it waits in the ordinary way.

use procession_core::arena::Kind;
use procession_core::mutex::Mutex;
use procession_core::owner::OwnerId;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::atomic::{fence, Ordering};

use crate::arena::{Object, PyArena};

/// A lock of ours: as Python has it, and its state.
pub struct Guard {
    lock: Py<PyAny>,
    mutex: Object<Mutex>,
}

/// The calling thread, as lock words name it.
#[inline]
fn thread() -> u64 {
    // SAFETY: always succeeds.
    unsafe { libc::pthread_self() }
}

impl Guard {
    /// Around a Lock or an RLock of ours. Raises: `TypeError` for any other object.
    pub fn new(lock: &Bound<'_, PyAny>) -> PyResult<Self> {
        let state = || -> PyResult<Object<Mutex>> {
            let address: (u64, u64) = lock.getattr("address")?.extract()?;
            let arena = lock.getattr("arena")?.cast_into::<PyArena>()?;
            Object::open(&arena, Kind::RLock, address).or_else(|_| Object::open(&arena, Kind::Lock, address))
        };
        let mutex = state().map_err(|error| {
            let refused = PyTypeError::new_err("the lock must be a Lock or an RLock of this package");
            refused.set_cause(lock.py(), Some(error));
            refused
        })?;
        Ok(Self { lock: lock.clone().unbind(), mutex })
    }

    /// The lock as Python has it.
    #[inline]
    pub fn lock(&self, py: Python<'_>) -> Py<PyAny> {
        self.lock.clone_ref(py)
    }

    #[inline]
    fn held_by_another(&self, me: OwnerId) -> bool {
        self.mutex.is_locked() && !self.mutex.is_mine(me, thread())
    }

    /// What `look` sees while nobody else holds the lock. Blocks while somebody does; the owner's death ends that.
    #[inline]
    pub fn read<R>(&self, py: Python<'_>, look: impl Fn() -> PyResult<R>) -> PyResult<R> {
        let me = self.mutex.me();
        if !self.held_by_another(me) {
            // SYNC: pairs with the release of the lock by its last holder; keeps `look` between the two questions.
            fence(Ordering::Acquire);
            let seen = look()?;
            fence(Ordering::Acquire);
            if !self.held_by_another(me) {
                return Ok(seen);
            }
        }
        self.locked(py, look)
    }

    /// `change` with the lock held. Blocks while somebody else holds it; the owner's death ends that. `change` must not
    /// run Python code that could wait for the lock.
    #[inline]
    pub fn write<R>(&self, py: Python<'_>, change: impl Fn() -> PyResult<R>) -> PyResult<R> {
        let me = self.mutex.me();
        if self.mutex.is_mine(me, thread()) {
            return change();
        }
        if !self.mutex.try_acquire(me, thread()) {
            return self.locked(py, change);
        }
        let changed = change();
        let _ = self.mutex.release();
        changed
    }

    /// The ordinary way: through the lock's own methods, which wait without the GIL and let signals in.
    #[cold]
    fn locked<R>(&self, py: Python<'_>, work: impl Fn() -> PyResult<R>) -> PyResult<R> {
        let lock = self.lock.bind(py);
        lock.call_method0(intern!(py, "acquire"))?;
        let result = work();
        lock.call_method0(intern!(py, "release"))?;
        result
    }
}
