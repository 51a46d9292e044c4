//! The methods of `fast`, for the race detector: each records that the lock was taken, or is about to be given back.

use super::fast::{self, Fast, Methods};
use super::lock::{PyLock, PyRLock};
use crate::check::{self, LOCK, Name, UNLOCK};
use procession_core::sys;
use pyo3::ffi;
use pyo3::prelude::*;

/// Put the recording methods on Lock and `RLock`.
pub fn watch(py: Python<'_>) -> PyResult<()> {
    put_on::<PyLock>(py)?;
    put_on::<PyRLock>(py)
}

fn put_on<L: Fast>(py: Python<'_>) -> PyResult<()> {
    let methods = Methods { acquire: acquire::<L>, release: release::<L>, enter: enter::<L>, exit: exit::<L> };
    fast::put_on::<L>(py, &methods)
}

/// Record that `object` was taken, if it was.
///
/// # Safety
/// As for `fast::lock`; `result` is what `acquire` or `enter` gave.
unsafe fn taken<L: Fast>(object: *mut ffi::PyObject, result: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: by contract; the caller is Python, so this thread is attached.
    unsafe {
        if result == ffi::Py_True() {
            let name = Name::from(fast::lock::<L>(object).object());
            check::synchronised(Python::assume_attached(), LOCK, name, 0);
        }
    }
    result
}

/// Record that `object` is about to be given back, if it is the caller's to give back.
///
/// # Safety
/// As for `fast::lock`.
unsafe fn giving<L: Fast>(object: *mut ffi::PyObject) {
    // SAFETY: by contract; the caller is Python, so this thread is attached.
    unsafe {
        let object = fast::lock::<L>(object).object();
        let is_allowed =
            if L::RECURSIVE { object.is_mine(object.me(), sys::thread_ident()) } else { object.is_locked() };
        if is_allowed {
            check::synchronised(Python::assume_attached(), UNLOCK, Name::from(object), 0);
        }
    }
}

unsafe extern "C" fn enter<L: Fast>(object: *mut ffi::PyObject, unused: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called through a method descriptor of `L`.
    unsafe { taken::<L>(object, fast::enter::<L>(object, unused)) }
}

unsafe extern "C" fn acquire<L: Fast>(
    object: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called through a method descriptor of `L`, with the arguments of this very call.
    unsafe { taken::<L>(object, fast::acquire::<L>(object, arguments, count, names)) }
}

unsafe extern "C" fn release<L: Fast>(object: *mut ffi::PyObject, unused: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called through a method descriptor of `L`.
    unsafe {
        giving::<L>(object);
        fast::release::<L>(object, unused)
    }
}

unsafe extern "C" fn exit<L: Fast>(
    object: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: called through a method descriptor of `L`.
    unsafe {
        giving::<L>(object);
        fast::exit::<L>(object, arguments, count)
    }
}
