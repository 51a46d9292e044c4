//! Condition: a wait is enrol, release the lock, park, leave, take the lock again.

use super::death::Thing;
use super::lock::{AnyLock, PyLock, PyRLock};
use super::{Address, deadline, opened, release_error};
use crate::arena::{Object, PyArena};
use crate::holds;
use crate::wait::Waiting;
use crate::{errors, wait};
use procession_core::arena::Kind;
use procession_core::condition::{self, Condition};
use procession_core::mutex::Mutex;
use procession_core::owner::{Policy, Taken};
use procession_core::sys;
use procession_core::waits::{Action, is_watching};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::time::Instant;

/// The lock of a condition.
enum Guard {
    Lock(Py<PyLock>),
    RLock(Py<PyRLock>),
}

impl Guard {
    fn new(lock: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(lock) = lock.cast::<PyRLock>() {
            return Ok(Self::RLock(lock.clone().unbind()));
        }
        let lock = lock.cast::<PyLock>().map_err(|_| {
            let class = lock.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
            PyTypeError::new_err(format!("a Condition needs a Lock or an RLock of procession, not {class}"))
        })?;
        Ok(Self::Lock(lock.clone().unbind()))
    }

    fn object(&self) -> &Object<Mutex> {
        match self {
            Self::Lock(lock) => lock.get().object(),
            Self::RLock(lock) => lock.get().object(),
        }
    }

    fn take(&self, py: Python<'_>, deadline: impl FnOnce() -> PyResult<Option<Instant>>) -> PyResult<bool> {
        let thread = sys::thread_ident();
        match self {
            Self::Lock(lock) if lock.get().try_take(thread) => lock.get().noted(py, true),
            Self::Lock(lock) => lock.get().take(py, thread, deadline()?),
            Self::RLock(lock) if lock.get().try_take(thread) => lock.get().noted(py, true),
            Self::RLock(lock) => lock.get().take(py, thread, deadline()?),
        }
    }

    fn give(&self, py: Python<'_>) -> PyResult<()> {
        let thread = sys::thread_ident();
        let given = match self {
            Self::Lock(lock) => lock.get().give(thread),
            Self::RLock(lock) => lock.get().give(thread),
        };
        given.map_err(|error| release_error(py, error))
    }
}

/// A condition variable over a Lock or `RLock`.
#[pyclass(frozen, subclass, name = "Condition", module = "procession._native")]
pub struct PyCondition {
    object: Object<Condition>,
    guard: Guard,
}

impl PyCondition {
    fn assert_mine(&self, py: Python<'_>, doing: &str) -> PyResult<()> {
        let mutex = self.guard.object();
        if mutex.is_mine(mutex.me(), sys::thread_ident()) {
            return Ok(());
        }
        Err(errors::raise(py, "NotOwner", (format!("must acquire() condition before using {doing}()"),)))
    }

    /// Take the lock again after a wait. An exception (Ctrl-C) is put off until the lock is held, so that a `with`
    /// block can end; a second one is not. For the same reason the lock is held even if what it guards must be repaired
    /// first; the release by that block leaves it as it was found.
    fn retake(&self, py: Python<'_>, depth: u32) -> PyResult<()> {
        let object = self.guard.object();
        let (mutex, me, life, thread) = (object.get(), object.me(), object.life(), sys::thread_ident());
        let mut put_off = None;
        let taken = loop {
            if mutex.try_acquire(me, thread) {
                break Taken::Free;
            }
            match wait::until(py, Waiting::on(Action::Acquire, object), None, |deadline| {
                mutex.inherit(me, thread, life, deadline)
            }) {
                Ok(taken) => break taken.unwrap_or(Taken::Free),
                Err(error) if put_off.is_some() => return Err(error),
                Err(error) => put_off = Some(error),
            }
        };
        mutex.restore(depth);
        let taken = match taken {
            Taken::Abandoned(dead) if mutex.policy() == Policy::Raise => Taken::Refused(dead),
            taken => taken,
        };
        if mutex.policy() == Policy::Warn {
            mutex.repaired(); // to tell is all there is to do
        }
        if let Some(error) = put_off {
            return Err(error);
        }
        let thing = Thing { name: "Condition", life };
        thing.answer(py, Some(taken), || ()).map(drop)
    }
}

#[pymethods]
impl PyCondition {
    #[new]
    #[pyo3(signature = (arena, lock, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, lock: &Bound<'_, PyAny>, address: Address) -> PyResult<Self> {
        let guard = Guard::new(lock)?;
        Ok(Self { object: opened(arena, Kind::Condition, address, Condition::new)?, guard })
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

    /// The Lock or `RLock` that it is on.
    #[getter]
    fn lock(&self, py: Python<'_>) -> Py<PyAny> {
        match &self.guard {
            Guard::Lock(lock) => lock.clone_ref(py).into_any(),
            Guard::RLock(lock) => lock.clone_ref(py).into_any(),
        }
    }

    /// Waiters and counter, as a dict.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("waiters", self.object.waiters())?;
        dict.set_item("notified", self.object.notified())?;
        Ok(dict)
    }

    /// Take the lock. Blocks as the lock's own `acquire`, for `timeout` seconds at most (None: for ever).
    #[pyo3(signature = (block = None, timeout = None))]
    fn acquire(&self, py: Python<'_>, block: Option<&Bound<'_, PyAny>>, timeout: Option<f64>) -> PyResult<bool> {
        self.guard.take(py, || deadline(block.map_or(Ok(true), Bound::is_truthy)?, timeout))
    }

    /// Give the lock back. Raises: as the lock's own `release`.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.guard.give(py)
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.guard.take(py, || Ok(None))
    }

    #[pyo3(signature = (_class = None, _error = None, _traceback = None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _class: Option<&Bound<'_, PyAny>>,
        _error: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.guard.give(py)
    }

    /// Release the lock, sleep until notified, and take the lock again. False if `timeout` seconds passed first.
    ///
    /// The lock is held again when this ends, however it ends: that may take longer than the timeout.
    ///
    /// Raises: `NotOwner`, an `AssertionError`, unless the calling thread holds the lock; `TooManyWaiters`;
    /// `LockAbandoned`, with the lock held, where its holder died and it was made with `on_abandoned="raise"`.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        self.assert_mine(py, "wait")?;
        let deadline = wait::deadline(timeout)?;
        let (condition, me, life) = (self.object.get(), self.object.me(), self.object.life());
        let enrolment = condition.enrol(me, life).map_err(|condition::TooManyWaiters| {
            let text = format!("{} already wait on this Condition, and no more can", condition::CELLS);
            errors::raise(py, "TooManyWaiters", (text,))
        })?;
        let mutex = self.guard.object();
        // Cannot fail: the lock is the calling thread's.
        let held = if is_watching() { holds::suspended(mutex) } else { None };
        let depth = mutex.release_fully(mutex.me(), sys::thread_ident()).unwrap_or(1);
        let waited = wait::until(py, Waiting::on(Action::Wait, &self.object), deadline, |deadline| {
            condition.park(&enrolment, life, deadline)
        });
        let notified = match waited {
            Ok(_) => Ok(condition.leave(enrolment)),
            Err(error) => {
                condition.abandon(enrolment);
                Err(error)
            }
        };
        let retaken = self.retake(py, depth);
        holds::resumed(held);
        retaken?;
        notified
    }

    /// End the wait of the `n` threads that have waited longest. Never blocks.
    ///
    /// They go on once the caller releases the lock. A waiter that has died passes its notification on.
    ///
    /// Raises: `NotOwner`, an `AssertionError`, unless the calling thread holds the lock.
    #[pyo3(signature = (n = 1))]
    fn notify(&self, py: Python<'_>, n: i64) -> PyResult<()> {
        self.assert_mine(py, "notify")?;
        self.object.notify(u32::try_from(n.max(0)).unwrap_or(u32::MAX));
        Ok(())
    }

    /// End every wait. Never blocks. Raises: as `notify`.
    fn notify_all(&self, py: Python<'_>) -> PyResult<()> {
        self.assert_mine(py, "notify_all")?;
        self.object.notify(u32::MAX);
        Ok(())
    }
}
