//! Lock and `RLock`. Their acquire, release, `__enter__` and `__exit__` are in `fast.rs`.

use super::death::{self, Thing};
use super::{Address, briefly, opened, policy, release_error};
use crate::arena::{Object, PyArena};
use crate::holds;
use crate::wait::{self, Waiting};
use procession_core::arena::Kind;
use procession_core::error::ReleaseError;
use procession_core::mutex::Mutex;
use procession_core::owner::Policy;
use procession_core::sys;
use procession_core::waits::{Action, is_watching};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::time::Instant;

/// A lock of either kind.
pub trait AnyLock {
    /// Whether its holder may acquire it again, and only its holder may release it.
    const RECURSIVE: bool;
    const NAME: &'static str;
    fn object(&self) -> &Object<Mutex>;

    fn thing(&self) -> Thing {
        Thing { name: Self::NAME, life: self.object().life() }
    }

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
        let elsewhere = mutex.owner().is_some_and(|holder| holder.pid != sys::pid());
        if elsewhere && briefly(deadline, || !mutex.is_locked() && mutex.try_acquire(me, thread)) {
            return self.noted(py, deadline.is_none());
        }
        let taken = wait::until(py, Waiting::on(Action::Acquire, object), deadline, |deadline| {
            mutex.acquire(me, thread, life, deadline)
        })?;
        if self.thing().answer(py, taken, || _ = mutex.release())? {
            self.noted(py, deadline.is_none())
        } else {
            Ok(false)
        }
    }

    /// It was taken: where deadlocks are looked for, that is noted. `surely`: without a deadline.
    #[inline]
    fn noted(&self, py: Python<'_>, surely: bool) -> PyResult<bool> {
        if is_watching() {
            holds::taken(py, self.object(), true, surely).inspect_err(|_| _ = self.give(sys::thread_ident()))?;
        }
        Ok(true)
    }

    #[cold]
    #[inline(never)]
    fn give_watched(&self, thread: u64) -> Result<(), ReleaseError> {
        if !holds::given(self.object()) && !Self::RECURSIVE {
            self.object().note_signal();
        }
        self.try_give(thread)
    }

    /// Give it back, and note that.
    #[inline]
    fn give(&self, thread: u64) -> Result<(), ReleaseError> {
        if is_watching() { self.give_watched(thread) } else { self.try_give(thread) }
    }

    /// Take it whatever a dead holder left. The error that tells of that, if one did.
    fn inherit<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (object, thread) = (self.object(), sys::thread_ident());
        let (mutex, me, life) = (object.get(), object.me(), object.life());
        if Self::RECURSIVE && mutex.try_acquire_again(me, thread) {
            return Ok(None);
        }
        let taken = wait::until(py, Waiting::on(Action::Acquire, object), None, |deadline| {
            mutex.inherit(me, thread, life, deadline)
        })?;
        self.thing().found(py, taken)
    }

    #[inline]
    fn try_give(&self, thread: u64) -> Result<(), ReleaseError> {
        let object = self.object();
        if Self::RECURSIVE { object.release_once(object.me(), thread) } else { object.release() }
    }
}

fn lock_statistics<'py>(py: Python<'py>, object: &Object<Mutex>) -> PyResult<Bound<'py, PyDict>> {
    let mutex = object.get();
    let statistics = mutex.statistics();
    let dict = PyDict::new(py);
    dict.set_item("owner", death::owner(py, object)?)?;
    dict.set_item("count", if mutex.is_locked() { mutex.depth() } else { 0 })?;
    dict.set_item("acquired", statistics.acquired)?;
    dict.set_item("contended", statistics.contended)?;
    dict.set_item("abandoned", statistics.abandoned)?;
    dict.set_item("waiters", waiters(object))?;
    Ok(dict)
}

/// How many wait for it: the lock misses who is between two slices of a wait, the table who has not gone to sleep.
fn waiters(object: &Object<Mutex>) -> usize {
    if !object.may_have_waiters() {
        return 0;
    }
    let asleep = object.home().waits().count(Action::Acquire, object.handle().offset());
    asleep.max(object.waiters() as usize)
}

/// Of a new lock: pid of a process that died holding it before it was made here, and since when it had.
type LeftBy = Option<(u32, u32)>;

fn mutex(raises: bool, left_by: LeftBy) -> Mutex {
    match left_by {
        None => Mutex::new(policy(raises)),
        Some((pid, since)) => Mutex::left_by(policy(raises), pid, since),
    }
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
    #[pyo3(signature = (arena, *, raises = false, address = None, left_by = None))]
    fn new(arena: &Bound<'_, PyArena>, raises: bool, address: Address, left_by: LeftBy) -> PyResult<Self> {
        Ok(Self { object: opened(arena, Kind::Lock, address, || mutex(raises, left_by))? })
    }

    /// The memory that it lies in.
    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    /// Where it lies in the arena: offset and serial number. What is pickled of it.
    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    /// Who holds it, or died holding it; None while it is free.
    #[getter]
    fn owner<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        death::owner(py, &self.object)
    }

    /// Whether finding a dead holder raises.
    #[getter]
    fn _raises(&self) -> bool {
        self.object.policy() == Policy::Raise
    }

    /// The beginning of a repair: what there is to repair, if anything, and what `_end_repair` wants to know.
    fn _begin_repair<'py>(&self, py: Python<'py>) -> PyResult<(Option<Bound<'py, PyAny>>, u32)> {
        Ok((self.inherit(py)?, 0))
    }

    /// The end of a repair. `whole`: what the lock guards is as it should be again. Releases it.
    fn _end_repair(&self, py: Python<'_>, _token: u32, whole: bool) -> PyResult<()> {
        if whole {
            self.object.repaired();
        }
        self.try_give(sys::thread_ident()).map_err(|error| release_error(py, error))
    }

    /// How often it was taken over from a holder that had died.
    #[getter]
    fn abandoned(&self) -> u32 {
        self.object.statistics().abandoned
    }

    /// Whether anybody holds it now.
    fn locked(&self) -> bool {
        self.object.is_locked()
    }

    /// Whether the calling thread holds it.
    fn _is_mine(&self) -> bool {
        self.object.is_mine(self.object.me(), sys::thread_ident())
    }

    /// Holder, waiters and counters, as a dict.
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
    #[pyo3(signature = (arena, *, raises = false, address = None, left_by = None))]
    fn new(arena: &Bound<'_, PyArena>, raises: bool, address: Address, left_by: LeftBy) -> PyResult<Self> {
        Ok(Self { object: opened(arena, Kind::RLock, address, || mutex(raises, left_by))? })
    }

    /// The memory that it lies in.
    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    /// Where it lies in the arena: offset and serial number. What is pickled of it.
    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    /// Who holds it, or died holding it; None while it is free.
    #[getter]
    fn owner<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        death::owner(py, &self.object)
    }

    /// Whether finding a dead holder raises.
    #[getter]
    fn _raises(&self) -> bool {
        self.object.policy() == Policy::Raise
    }

    /// The beginning of a repair: what there is to repair, if anything, and what `_end_repair` wants to know.
    fn _begin_repair<'py>(&self, py: Python<'py>) -> PyResult<(Option<Bound<'py, PyAny>>, u32)> {
        Ok((self.inherit(py)?, 0))
    }

    /// The end of a repair. `whole`: what the lock guards is as it should be again. Releases it.
    fn _end_repair(&self, py: Python<'_>, _token: u32, whole: bool) -> PyResult<()> {
        if whole {
            self.object.repaired();
        }
        self.try_give(sys::thread_ident()).map_err(|error| release_error(py, error))
    }

    /// How often the holder has acquired it and not released it.
    #[getter]
    fn count(&self) -> u32 {
        if self.object.is_locked() { self.object.depth() } else { 0 }
    }

    /// How often it was taken over from a holder that had died.
    #[getter]
    fn abandoned(&self) -> u32 {
        self.object.statistics().abandoned
    }

    /// Whether anybody holds it now.
    fn locked(&self) -> bool {
        self.object.is_locked()
    }

    /// Whether the calling thread holds it.
    fn _is_mine(&self) -> bool {
        self.object.is_mine(self.object.me(), sys::thread_ident())
    }

    /// Holder, waiters and counters, as a dict.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        lock_statistics(py, &self.object)
    }
}
