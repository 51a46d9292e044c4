//! The looking for deadlocks, as far as it is native: whether it is on, and when who waits is to look.

use crate::arena::PyArena;
use crate::once::name;
use procession_core::arena::Arena;
use procession_core::wait::be_eager;
use procession_core::waits;
use pyo3::prelude::*;

/// Looks come with each of the first slices, then with every fifth.
const EVERY: u32 = 5;

/// Whether deadlocks are looked for in `arena`; if so, this process does from now on.
pub fn notice(arena: &Arena) -> bool {
    let on = arena.waits().detecting();
    if on != waits::is_watching() {
        waits::watch(on);
        be_eager(on);
    }
    on
}

/// The calling thread waits, in `slot`, and has done so for `slices`: look whether that can end.
#[cold]
pub fn look(py: Python<'_>, arena: &'static Arena, slot: usize, slices: u32) -> PyResult<()> {
    if slices > 3 && !slices.is_multiple_of(EVERY) {
        return Ok(());
    }
    let arena = PyArena { arena };
    PyModule::import(py, name!(py, "procession._deadlocks"))?.call_method1("look", (arena, slot)).map(drop)
}
