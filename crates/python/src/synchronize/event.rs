//! Event.

use super::{Address, briefly, opened};
use crate::arena::{Object, PyArena};
use crate::wait::{self, Waiting};
use procession_core::arena::Kind;
use procession_core::event::Event;
use procession_core::waits::Action;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A flag to wait for.
#[pyclass(frozen, subclass, name = "Event", module = "procession._native")]
pub struct PyEvent {
    object: Object<Event>,
}

#[pymethods]
impl PyEvent {
    #[new]
    #[pyo3(signature = (arena, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, address: Address) -> PyResult<Self> {
        Ok(Self { object: opened(arena, Kind::Event, address, Event::new)? })
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

    /// Whether it is set now.
    fn is_set(&self) -> bool {
        self.object.is_set()
    }

    /// Flag, count and waiters, as a dict.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("is_set", self.object.is_set())?;
        dict.set_item("times_set", self.object.times_set())?;
        dict.set_item("waiters", self.object.waiters())?;
        Ok(dict)
    }

    /// Block until it is set; True then. False if `timeout` seconds passed first (None: for ever).
    ///
    /// Who was waiting when it was set goes on, even if it is cleared at once. The death of whoever should set it wakes
    /// nobody.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let event = self.object.get();
        let since = event.since();
        if event.is_set() {
            return Ok(true);
        }
        let deadline = wait::deadline(timeout)?;
        if briefly(deadline, || event.has_happened(since)) {
            return Ok(true);
        }
        Ok(wait::until(py, Waiting::on(Action::Wait, &self.object), deadline, |deadline| event.wait(since, deadline))?
            .is_some())
    }

    /// Set it, and let all go on who wait. Never blocks.
    fn set(&self) {
        self.object.set();
    }

    /// Make it unset: who comes from now on waits. Never blocks.
    fn clear(&self) {
        self.object.clear();
    }
}
