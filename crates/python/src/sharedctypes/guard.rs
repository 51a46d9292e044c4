//! When the lock beside shared data must be taken.
//!
//! multiprocessing takes it for every access. Here a *write* takes it too, in the fast way while it is free, or else it
//! could fall between another process's read and write (`with v.get_lock(): v.value += 1`). A *read* only makes sure
//! that nobody else holds the lock, before and after: then what it saw is what some holder left. Only if somebody does,
//! it waits in the ordinary way.

use crate::once::name;
use procession_core::arena::Kind;
use procession_core::mutex::Mutex;
use procession_core::sys::thread_ident;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use std::sync::atomic::{Ordering, fence};

use crate::arena::{Object, PyArena};
use crate::check::{Name, quietly};

/// A lock of ours: as Python has it, and its state.
pub struct Guard {
    lock: Py<PyAny>,
    mutex: Object<Mutex>,
}

impl Guard {
    /// Around a Lock or an `RLock` of ours. Raises: `TypeError` for any other object.
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

    /// The lock as Python has it; owned by this guard.
    #[inline]
    pub fn as_ptr(&self) -> *mut pyo3::ffi::PyObject {
        self.lock.as_ptr()
    }

    /// The lock as Python has it.
    pub fn lock(&self, py: Python<'_>) -> Py<PyAny> {
        self.lock.clone_ref(py)
    }

    /// The lock as an object that others have too.
    pub fn object(&self, py: Python<'_>) -> Object<u8> {
        Object::from_handle(self.mutex.arena(py), self.mutex.handle().clone())
    }

    /// The lock's name for the race detector.
    pub fn name(&self) -> Name {
        Name::from(&self.mutex)
    }

    /// Whether the calling thread holds it.
    #[inline]
    fn is_mine(&self) -> bool {
        self.mutex.is_mine(self.mutex.me(), thread_ident())
    }

    /// What `look` sees, unless somebody else holds the lock.
    #[inline]
    pub fn try_read<R>(&self, look: impl Fn() -> R) -> Option<R> {
        if self.mutex.is_locked() {
            return self.is_mine().then(look);
        }
        // SYNC: pairs with the release of the lock by its last holder; keeps `look` between the two questions.
        fence(Ordering::Acquire);
        let seen = look();
        fence(Ordering::Acquire);
        (!self.mutex.is_locked()).then_some(seen)
    }

    /// `change` with the lock held, unless somebody else holds it. `change` is short: it must not run Python code, which
    /// could wait for the lock, nor panic.
    #[inline]
    pub fn try_write<R>(&self, change: impl FnOnce() -> R) -> Option<R> {
        if self.mutex.is_locked() {
            return self.is_mine().then(change);
        }
        self.mutex.try_briefly(self.mutex.me(), change)
    }

    /// What `look` sees while nobody else holds the lock. Blocks while somebody does; the owner's death ends that.
    #[inline]
    pub fn read<R>(&self, py: Python<'_>, look: impl Fn() -> R) -> PyResult<R> {
        match self.try_read(&look) {
            Some(seen) => Ok(seen),
            None => self.locked(py, look),
        }
    }

    /// `change` with the lock held, as for `try_write`. Blocks while somebody else holds it; the owner's death ends that.
    #[inline]
    pub fn write<R>(&self, py: Python<'_>, mut change: impl FnMut() -> R) -> PyResult<R> {
        match self.try_write(&mut change) {
            Some(changed) => Ok(changed),
            None => self.locked(py, change),
        }
    }

    /// A `change` of many cells, as for `write`. The holder is entered, so whoever comes after a death in it is told.
    pub fn write_many<R>(&self, py: Python<'_>, change: impl FnOnce() -> R) -> PyResult<R> {
        if self.mutex.is_locked() && self.is_mine() {
            return Ok(change());
        }
        if !self.mutex.try_acquire(self.mutex.me(), thread_ident()) {
            return self.locked(py, change);
        }
        let changed = change();
        self.mutex
            .release()
            .map_err(|_| PyRuntimeError::new_err("the lock was released by somebody else meanwhile"))?;
        Ok(changed)
    }

    /// The ordinary way: through the lock's own methods, which wait without the GIL and let signals in.
    #[cold]
    fn locked<R>(&self, py: Python<'_>, work: impl FnOnce() -> R) -> PyResult<R> {
        let lock = self.lock.bind(py);
        quietly(|| {
            lock.call_method0(name!(py, "acquire"))?;
            let result = work();
            lock.call_method0(name!(py, "release"))?;
            Ok(result)
        })
    }
}
