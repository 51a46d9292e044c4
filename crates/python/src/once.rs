//! What is looked up in Python once and kept.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// What the cell holds, made by `make` if it is empty.
///
/// Made outside the cell: an import lets other threads run, and one of them may fork. With `get_or_try_init` the child
/// would find the cell being filled, by a thread that it has not.
pub fn once<'a, T>(
    py: Python<'_>,
    cell: &'a PyOnceLock<Py<T>>,
    make: impl FnOnce() -> PyResult<Py<T>>,
) -> PyResult<&'a Py<T>> {
    if let Some(kept) = cell.get(py) {
        return Ok(kept);
    }
    let new = make()?;
    Ok(cell.get_or_init(py, || new))
}
