//! How a process ends: with its parent (`procession_core::sys::lifeline`), or after its task (`drain`); and how large one
//! is that may have to.

use crate::errors;
use procession_core::sys::lifeline as core;
use procession_core::sys::{self, drain};
use pyo3::prelude::*;

/// The reading end of this process's lifeline, for one child; the caller closes it when the child has it.
/// Raises: OSError when descriptors run out.
#[pyfunction]
pub fn lifeline() -> PyResult<i32> {
    core::lifeline().map_err(|error| errors::system(&error))
}

/// Both ends of this process's lifeline; -1 where there is none.
#[pyfunction]
pub fn lifeline_ends() -> [i32; 2] {
    core::lifeline_ends()
}

/// Let this process end when the parent whose lifeline this is does: SIGTERM after a fifth of a second, SIGKILL after
/// half a second. Keeps the descriptor. False: it will not.
#[pyfunction]
pub fn end_with_parent(lifeline: i32) -> bool {
    core::end_with_parent(lifeline)
}

/// The same by SIGKILL and at once, from here on.
#[pyfunction]
pub fn end_at_once() -> bool {
    core::end_at_once()
}

/// Let SIGTERM from any process but `master` end the loop of `serve` after the task it is at. A second one ends this
/// process at once.
#[pyfunction]
pub fn drain_on_sigterm(master: u32) {
    drain::drain_on_sigterm(master);
}

/// Bytes that a process has in memory and shares with nobody by design; None where nobody knows.
///
/// Native, since a signal's handler that raises could leave a file of Python's open.
#[pyfunction]
pub fn own_memory(pid: u32) -> Option<u64> {
    sys::own_memory(pid)
}
