//! Semaphore.

use super::death::Thing;
use super::{Address, briefly, deadline, opened, policy, release_error};
use crate::arena::{Object, PyArena};
use crate::holds;
use crate::wait::{self, Waiting};
use procession_core::arena::Kind;
use procession_core::owner::Policy;
use procession_core::semaphore::{self, Semaphore};
use procession_core::waits::{Action, is_watching};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::time::Instant;

/// A counting semaphore with a maximum.
#[pyclass(frozen, subclass, name = "Semaphore", module = "procession._native")]
pub struct PySemaphore {
    object: Object<Semaphore>,
}

#[pymethods]
impl PySemaphore {
    #[new]
    #[pyo3(signature = (arena, value = 1, maximum = semaphore::VALUE_MAX as i64, *, raises = false, address = None))]
    fn new(arena: &Bound<'_, PyArena>, value: i64, maximum: i64, raises: bool, address: Address) -> PyResult<Self> {
        let most = u32::try_from(maximum.min(semaphore::VALUE_MAX as i64)).unwrap_or(0);
        let known = u32::try_from(value).ok().filter(|&value| value <= most);
        let refuse = || PyValueError::new_err(format!("semaphore value must be from 0 to {most}, not {value}"));
        let value = if address.is_some() { 0 } else { known.ok_or_else(refuse)? };
        let init = || Semaphore::new(value, most, policy(raises));
        Ok(Self { object: opened(arena, Kind::Semaphore, address, init)? })
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

    /// As many permits as there can be.
    #[getter]
    fn maximum(&self) -> u32 {
        self.object.maximum()
    }

    /// Permits that are free now.
    fn get_value(&self) -> u32 {
        self.object.value()
    }

    /// Value, maximum and waiters, as a dict.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("value", self.object.value())?;
        dict.set_item("maximum", self.object.maximum())?;
        dict.set_item("held", self.object.held())?;
        dict.set_item("waiters", self.object.waiters())?;
        Ok(dict)
    }

    /// Take a permit; True then. Waits while there is none, `timeout` seconds at most (None: for ever), then False.
    ///
    /// With `block` false it does not wait. The permit is nobody's: it stays taken if this process dies (one of a `with` block
    /// does not). Who gets one that a dead process held is told as by a Lock.
    #[pyo3(signature = (block = None, timeout = None))]
    fn acquire(&self, py: Python<'_>, block: Option<&Bound<'_, PyAny>>, timeout: Option<f64>) -> PyResult<bool> {
        if self.object.try_acquire() {
            return self.noted(py, false);
        }
        self.take(py, false, deadline(block.map_or(Ok(true), Bound::is_truthy)?, timeout)?)
    }

    /// Give `n` permits back, and wake as many who wait. Never blocks.
    ///
    /// Raises: `ValueError` for less than one; `ReleaseError`, a `ValueError`, beyond a bounded semaphore's first value.
    #[pyo3(signature = (n = 1))]
    fn release(&self, py: Python<'_>, n: i64) -> PyResult<()> {
        if n < 1 {
            return Err(PyValueError::new_err(format!("n must be one or more, not {n}")));
        }
        let count = u32::try_from(n).unwrap_or(u32::MAX);
        if is_watching() {
            (0..count.min(64)).for_each(|_| self.given());
        }
        self.object.release(count).map_err(|error| release_error(py, error))
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        let object = &self.object;
        if object.try_hold(object.me(), object.life()) { self.noted(py, true) } else { self.take(py, true, None) }
    }

    #[pyo3(signature = (_class = None, _error = None, _traceback = None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _class: Option<&Bound<'_, PyAny>>,
        _error: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if is_watching() {
            self.given();
        }
        self.object.give_back(self.object.me()).map_err(|error| release_error(py, error))
    }

    /// Whether a permit of the dead raises.
    #[getter]
    fn _raises(&self) -> bool {
        self.object.policy() == Policy::Raise
    }

    /// The beginning of a repair: what there is to repair, if anything, and what `_end_repair` wants to know.
    fn _begin_repair<'py>(&self, py: Python<'py>) -> PyResult<(Option<Bound<'py, PyAny>>, u32)> {
        let (semaphore, me, life) = (self.object.get(), self.object.me(), self.object.life());
        let held = wait::until(py, Waiting::on(Action::Acquire, &self.object), None, |deadline| {
            semaphore.inherit(me, life, deadline)
        })?;
        let (taken, burials) = held.map_or((None, 0), |(taken, burials)| (Some(taken), burials));
        Ok((self.thing().found(py, taken)?, burials))
    }

    /// The end of a repair. `whole`: what the semaphore guards is as it should be again. Releases the permit.
    fn _end_repair(&self, py: Python<'_>, token: u32, whole: bool) -> PyResult<()> {
        if whole {
            self.object.repaired(token);
        } else {
            self.object.not_repaired();
        }
        self.__exit__(py, None, None, None)
    }
}

impl PySemaphore {
    fn thing(&self) -> Thing {
        Thing { name: "Semaphore", life: self.object.life() }
    }

    /// Wait for a permit: one of `with`, which is `held`, or one that will be nobody's.
    #[cold]
    fn take(&self, py: Python<'_>, held: bool, deadline: Option<Instant>) -> PyResult<bool> {
        let (semaphore, me, life) = (self.object.get(), self.object.me(), self.object.life());
        let at_once = || if held { semaphore.try_hold(me, life) } else { semaphore.try_acquire() };
        if briefly(deadline, at_once) {
            return self.noted(py, held);
        }
        let taken = wait::until(py, Waiting::on(Action::Acquire, &self.object), deadline, |deadline| {
            semaphore.acquire(held, me, life, deadline)
        })?;
        let give_back = || _ = if held { semaphore.give_back(me) } else { semaphore.release(1) };
        if self.thing().answer(py, taken, give_back)? { self.noted(py, held) } else { Ok(false) }
    }

    /// A permit was taken: where deadlocks are looked for, that is noted.
    #[inline]
    fn noted(&self, py: Python<'_>, held: bool) -> PyResult<bool> {
        if is_watching() {
            holds::taken(py, &self.object, false, false).inspect_err(|_| {
                self.given();
                let _ = if held { self.object.give_back(self.object.me()) } else { self.object.release(1) };
            })?;
        }
        Ok(true)
    }

    /// One is about to be given back, and that is noted.
    #[cold]
    fn given(&self) {
        if !holds::given(&self.object) {
            self.object.note_signal();
        }
    }
}
