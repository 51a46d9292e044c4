//! Beginning to record for the race detector (see `check`).

use pyo3::prelude::*;

/// Put recording methods on Lock, `RLock` and Value, for the life of this process and of those it forks.
#[pyfunction]
pub fn watch(py: Python<'_>) -> PyResult<()> {
    crate::synchronize::watch(py)?;
    crate::sharedctypes::watch(py)
}
