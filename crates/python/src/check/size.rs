//! Whether what is sent may be large: most is a number, a short text or a few of these, and then nobody need look closer.

use crate::codec::FREE_THREADED;
use pyo3::ffi;
use pyo3::prelude::*;

/// Of a container so many parts are looked at, and so many containers within one another (as `check/sending.py` does).
const MOST_PARTS: isize = 64;
const MOST_DEPTH: u32 = 4;

/// Whether `value` surely contains nothing of `large` bytes or more, as far as `check/sending.py` would look for it. False: not
/// known.
#[pyfunction]
pub fn is_small(value: &Bound<'_, PyAny>, large: isize) -> bool {
    // SAFETY: a live object, and attached.
    unsafe { small(value.as_ptr(), large, 0) }
}

/// # Safety
/// `value` is a live object, and stays so; the thread is attached.
unsafe fn small(value: *mut ffi::PyObject, large: isize, depth: u32) -> bool {
    // SAFETY: each function is called for an object of its type; what a container holds is looked at without running any
    // Python code in between (types are compared by address).
    unsafe {
        let kind = ffi::Py_TYPE(value);
        if kind == &raw mut ffi::PyLong_Type
            || kind == &raw mut ffi::PyFloat_Type
            || kind == &raw mut ffi::PyBool_Type
            || value == ffi::Py_None()
        {
            return true;
        }
        if kind == &raw mut ffi::PyUnicode_Type {
            return ffi::PyUnicode_GetLength(value) < large;
        }
        if kind == &raw mut ffi::PyBytes_Type {
            return ffi::PyBytes_Size(value) < large;
        }
        if kind == &raw mut ffi::PyTuple_Type {
            let count = ffi::PyTuple_Size(value);
            return is_short(count, large, depth)
                && (0..count.min(MOST_PARTS)).all(|index| small(ffi::PyTuple_GetItem(value, index), large, depth + 1));
        }
        if FREE_THREADED {
            return false; // somebody may change it meanwhile
        }
        if kind == &raw mut ffi::PyList_Type {
            let count = ffi::PyList_Size(value);
            return is_short(count, large, depth)
                && (0..count.min(MOST_PARTS)).all(|index| small(ffi::PyList_GetItem(value, index), large, depth + 1));
        }
        if kind == &raw mut ffi::PyDict_Type && is_short(ffi::PyDict_Size(value), large, depth) {
            let (mut position, mut part) = (0, std::ptr::null_mut());
            for _ in 0..MOST_PARTS {
                if ffi::PyDict_Next(value, &raw mut position, std::ptr::null_mut(), &raw mut part) == 0 {
                    return true;
                }
                if !small(part, large, depth + 1) {
                    return false;
                }
            }
            return true;
        }
        false
    }
}

/// Many small things are large together.
fn is_short(count: isize, large: isize, depth: u32) -> bool {
    count < large / 64 && depth < MOST_DEPTH
}
