//! Semaphore.

use super::{Address, briefly, deadline, opened, release_error};
use crate::arena::{Object, PyArena};
use crate::wait;
use procession_core::arena::Kind;
use procession_core::semaphore::{self, Semaphore};
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
    #[pyo3(signature = (arena, value = 1, maximum = semaphore::VALUE_MAX as i64, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, value: i64, maximum: i64, address: Address) -> PyResult<Self> {
        let most = u32::try_from(maximum.min(semaphore::VALUE_MAX as i64)).unwrap_or(0);
        let known = u32::try_from(value).ok().filter(|&value| value <= most);
        let refuse = || PyValueError::new_err(format!("semaphore value must be from 0 to {most}, not {value}"));
        let value = if address.is_some() { 0 } else { known.ok_or_else(refuse)? };
        Ok(Self { object: opened(arena, Kind::Semaphore, address, || Semaphore::new(value, most))? })
    }

    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    /// As many permits as there can be.
    #[getter]
    fn maximum(&self) -> u32 {
        self.object.maximum()
    }

    fn get_value(&self) -> u32 {
        self.object.value()
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("value", self.object.value())?;
        dict.set_item("maximum", self.object.maximum())?;
        dict.set_item("waiters", self.object.waiters())?;
        Ok(dict)
    }

    #[pyo3(signature = (block = None, timeout = None))]
    fn acquire(&self, py: Python<'_>, block: Option<&Bound<'_, PyAny>>, timeout: Option<f64>) -> PyResult<bool> {
        if self.object.try_acquire() {
            return Ok(true);
        }
        self.take(py, deadline(block.map_or(Ok(true), Bound::is_truthy)?, timeout)?)
    }

    #[pyo3(signature = (n = 1))]
    fn release(&self, py: Python<'_>, n: i64) -> PyResult<()> {
        if n < 1 {
            return Err(PyValueError::new_err(format!("n must be one or more, not {n}")));
        }
        let count = u32::try_from(n).unwrap_or(u32::MAX);
        self.object.release(count).map_err(|error| release_error(py, error))
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        if self.object.try_acquire() { Ok(true) } else { self.take(py, None) }
    }

    #[pyo3(signature = (_class = None, _error = None, _traceback = None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _class: Option<&Bound<'_, PyAny>>,
        _error: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.object.release(1).map_err(|error| release_error(py, error))
    }
}

impl PySemaphore {
    #[cold]
    fn take(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<bool> {
        let semaphore = self.object.get();
        if briefly(deadline, || semaphore.try_acquire()) {
            return Ok(true);
        }
        Ok(wait::until(py, deadline, |deadline| semaphore.acquire(deadline))?.is_some())
    }
}
