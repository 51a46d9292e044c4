//! `Value.value` for the race detector: as in `fast`, and each access is recorded. The other methods ask for themselves.

use super::fast::{self, value_of};
use super::value::PyValue;
use crate::check::{self, READ, WRITE};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{c_int, c_void};

/// Put the recording accessor on the class.
pub fn watch(py: Python<'_>) -> PyResult<()> {
    fast::put_value_on(&py.get_type::<PyValue>(), get, set)
}

unsafe extern "C" fn get(object: *mut ffi::PyObject, unused: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: called through a descriptor of the class, by Python: this thread is attached.
    unsafe {
        let result = fast::get(object, unused);
        if !result.is_null() {
            value_of(object).note(Python::assume_attached(), READ);
        }
        result
    }
}

unsafe extern "C" fn set(object: *mut ffi::PyObject, new: *mut ffi::PyObject, unused: *mut c_void) -> c_int {
    // SAFETY: called through a descriptor of the class, by Python: this thread is attached; `new` is null or alive.
    unsafe {
        if !new.is_null() {
            value_of(object).note(Python::assume_attached(), WRITE);
        }
        fast::set(object, new, unused)
    }
}

impl PyValue {
    /// Record an access, if the race detector listens.
    #[inline]
    pub(super) fn note(&self, py: Python<'_>, kind: u16) {
        if check::is_on() {
            let (end, guard) = (self.cells.size() as u32, self.guard.name().object());
            let name = (&self.cells.object).into();
            check::access(py, &check::Access { kind, flags: 0, name, start: 0, end, guard });
        }
    }
}
