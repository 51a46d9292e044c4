//! Lock and `RLock`. Their acquire, release, `__enter__` and `__exit__` are in `fast.rs`.

use super::{Address, briefly, opened, warn_abandoned};
use crate::arena::{Object, PyArena};
use crate::wait;
use procession_core::arena::Kind;
use procession_core::error::ReleaseError;
use procession_core::mutex::{Mutex, Taken};
use procession_core::sys;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::time::Instant;

/// A lock of either kind.
pub trait AnyLock {
    /// Whether its holder may acquire it again, and only its holder may release it.
    const RECURSIVE: bool;
    const NAME: &'static str;
    fn object(&self) -> &Object<Mutex>;

    #[inline]
    fn try_take(&self, thread: u64) -> bool {
        let object = self.object();
        if Self::RECURSIVE {
            object.try_acquire_again(object.me(), thread)
        } else {
            object.try_acquire(object.me(), thread)
        }
    }

    /// Wait for it.
    #[cold]
    fn take(&self, py: Python<'_>, thread: u64, deadline: Option<Instant>) -> PyResult<bool> {
        let object = self.object();
        let (mutex, me, life) = (object.get(), object.me(), object.life());
        let elsewhere = mutex.owner().is_some_and(|(pid, _)| pid != sys::pid());
        if elsewhere && briefly(deadline, || !mutex.is_locked() && mutex.try_acquire(me, thread)) {
            return Ok(true);
        }
        match wait::until(py, deadline, |deadline| mutex.acquire(me, thread, life, deadline))? {
            None => Ok(false),
            Some(Taken::Free) => Ok(true),
            Some(Taken::Abandoned { pid }) => {
                // A warning that a filter made an error: the caller will not know that it holds the lock, so give it
                // back.
                warn_abandoned(py, Self::NAME, pid).inspect_err(|_| _ = mutex.release())?;
                Ok(true)
            }
        }
    }

    #[inline]
    fn try_give(&self, thread: u64) -> Result<(), ReleaseError> {
        let object = self.object();
        if Self::RECURSIVE { object.release_once(object.me(), thread) } else { object.release() }
    }
}

fn lock_statistics<'py>(py: Python<'py>, mutex: &Mutex) -> PyResult<Bound<'py, PyDict>> {
    let statistics = mutex.statistics();
    let dict = PyDict::new(py);
    dict.set_item("owner", mutex.owner())?;
    dict.set_item("count", if mutex.is_locked() { mutex.depth() } else { 0 })?;
    dict.set_item("acquired", statistics.acquired)?;
    dict.set_item("contended", statistics.contended)?;
    dict.set_item("abandoned", statistics.abandoned)?;
    dict.set_item("waiters", statistics.waiters)?;
    Ok(dict)
}

/// A lock that any thread of any process may release, as in multiprocessing.
#[pyclass(frozen, subclass, name = "Lock", module = "procession._native")]
pub struct PyLock {
    object: Object<Mutex>,
}

impl AnyLock for PyLock {
    const RECURSIVE: bool = false;
    const NAME: &'static str = "Lock";
    #[inline]
    fn object(&self) -> &Object<Mutex> {
        &self.object
    }
}

#[pymethods]
impl PyLock {
    #[new]
    #[pyo3(signature = (arena, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, address: Address) -> PyResult<Self> {
        Ok(Self { object: opened(arena, Kind::Lock, address, Mutex::new)? })
    }

    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    /// (process id, thread ident) of the holder, None while it is free.
    #[getter]
    fn owner(&self) -> Option<(u32, u64)> {
        self.object.owner()
    }

    /// How often it was taken over from a holder that had died.
    #[getter]
    fn abandoned(&self) -> u32 {
        self.object.statistics().abandoned
    }

    fn locked(&self) -> bool {
        self.object.is_locked()
    }

    fn _is_mine(&self) -> bool {
        self.object.is_mine(self.object.me(), sys::thread_ident())
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        lock_statistics(py, &self.object)
    }
}

/// A lock that its holder may acquire again, and that only its holder may release.
#[pyclass(frozen, subclass, name = "RLock", module = "procession._native")]
pub struct PyRLock {
    object: Object<Mutex>,
}

impl AnyLock for PyRLock {
    const RECURSIVE: bool = true;
    const NAME: &'static str = "RLock";
    #[inline]
    fn object(&self) -> &Object<Mutex> {
        &self.object
    }
}

#[pymethods]
impl PyRLock {
    #[new]
    #[pyo3(signature = (arena, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, address: Address) -> PyResult<Self> {
        Ok(Self { object: opened(arena, Kind::RLock, address, Mutex::new)? })
    }

    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    /// (process id, thread ident) of the holder, None while it is free.
    #[getter]
    fn owner(&self) -> Option<(u32, u64)> {
        self.object.owner()
    }

    /// How often the holder has acquired it and not released it.
    #[getter]
    fn count(&self) -> u64 {
        if self.object.is_locked() { self.object.depth() } else { 0 }
    }

    /// How often it was taken over from a holder that had died.
    #[getter]
    fn abandoned(&self) -> u32 {
        self.object.statistics().abandoned
    }

    fn locked(&self) -> bool {
        self.object.is_locked()
    }

    fn _is_mine(&self) -> bool {
        self.object.is_mine(self.object.me(), sys::thread_ident())
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        lock_statistics(py, &self.object)
    }
}
