//! `Value.value` and `Value.get_lock`, bound without `PyO3`'s trampolines, which cost more than the access itself.
//!
//! What is done here needs no more of Python than its C functions; whatever waits or raises goes through
//! [`Python::attach`], so that `PyO3` knows that it is attached. Nothing here panics outside of that.

use pyo3::exceptions::{PyAttributeError, PySystemError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::cells::Code;
use super::value::PyValue;

const VALUE: &std::ffi::CStr =
    c"What it holds. Stored as ctypes does: integers wrap around. Waits while another holds the lock.";
const GET_LOCK: &std::ffi::CStr = c"get_lock($self)\n--\n\nIts lock.";

/// Put the accessors on the class.
pub fn add_to_module(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let class = py.get_type::<PyValue>();
    // Never freed: a descriptor refers to its definition for as long as the class lives, which is as long as the process.
    let method = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"get_lock".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: get_lock },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: GET_LOCK.as_ptr(),
    }));
    // SAFETY: `class` is a live type; the definition lives for ever, as its texts do; the function has the signature that
    // the definition promises; the result is a new reference or null with an exception set.
    let method = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class.as_type_ptr(), method))? };
    put_value_on(&class, get, set)?;
    class.setattr("get_lock", method)
}

/// Put the accessor `value` on the class, in the place of what it has.
pub(super) fn put_value_on(class: &Bound<'_, PyType>, get: ffi::getter, set: ffi::setter) -> PyResult<()> {
    // Never freed, as above.
    let attribute = Box::leak(Box::new(ffi::PyGetSetDef {
        name: c"value".as_ptr(),
        get: Some(get),
        set: Some(set),
        doc: VALUE.as_ptr(),
        closure: std::ptr::null_mut(),
    }));
    // SAFETY: as above.
    let attribute = unsafe {
        let descriptor = ffi::PyDescr_NewGetSet(class.as_type_ptr(), attribute);
        Bound::from_owned_ptr_or_err(class.py(), descriptor)?
    };
    class.setattr("value", attribute)
}

/// The value behind `self`.
///
/// # Safety
/// `object` is a live instance of the class or a subclass, as the descriptor has checked, and outlives `'a`; the thread
/// is attached.
#[inline(always)]
pub(super) unsafe fn value_of<'a>(object: *mut ffi::PyObject) -> &'a PyValue {
    // SAFETY: by contract.
    unsafe {
        let object = Borrowed::from_ptr(Python::assume_attached(), object);
        &*std::ptr::from_ref(object.cast_unchecked::<PyValue>().get())
    }
}

/// Run what may wait or raise; on an error set it and return None.
#[cold]
fn with_python<R>(work: impl FnOnce(Python<'_>) -> PyResult<R>) -> Option<R> {
    Python::attach(|py| {
        let done = catch_unwind(AssertUnwindSafe(|| work(py)));
        let done = done.unwrap_or_else(|_| Err(PySystemError::new_err("procession: internal error, please report it")));
        done.map_err(|error| error.restore(py)).ok()
    })
}

pub(super) unsafe extern "C" fn get(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: called through a descriptor of the class.
    let value = unsafe { value_of(object) };
    match value.guard.try_read(|| value.cells.load(0)) {
        // SAFETY: attached, as the caller is Python.
        Some(bits) => unsafe { value.cells.code.object(bits) },
        None => with_python(|py| value.get(py).map(Bound::into_ptr)).unwrap_or(std::ptr::null_mut()),
    }
}

pub(super) unsafe extern "C" fn set(object: *mut ffi::PyObject, new: *mut ffi::PyObject, _: *mut c_void) -> c_int {
    // SAFETY: called through a descriptor of the class; `new` is null or a live object.
    let (value, bits) = unsafe { (value_of(object), plain_bits(value_of(object).cells.code, new)) };
    if let Some(bits) = bits
        && value.guard.try_write(|| value.cells.store(0, bits)).is_some()
    {
        return 0;
    }
    let stored = with_python(|py| {
        // SAFETY: `new` is null or a live object.
        match unsafe { Bound::from_borrowed_ptr_or_opt(py, new) } {
            Some(new) => value.set(&new),
            None => Err(PyAttributeError::new_err("the value of a Value cannot be deleted")),
        }
    });
    if stored.is_some() { 0 } else { -1 }
}

/// The bits of the object if it is exactly what the type takes.
///
/// # Safety
/// `new` is null or a live object, and the thread is attached.
#[inline(always)]
unsafe fn plain_bits(code: Code, new: *mut ffi::PyObject) -> Option<u64> {
    // SAFETY: `new` is alive and of the exact type asked for: neither function can fail or run Python code.
    unsafe {
        if new.is_null() {
            None
        } else if code == Code::F64 && ffi::Py_TYPE(new) == &raw mut ffi::PyFloat_Type {
            Some(ffi::PyFloat_AsDouble(new).to_bits())
        } else if code.is_integer() && ffi::Py_TYPE(new) == &raw mut ffi::PyLong_Type {
            Some(ffi::PyLong_AsUnsignedLongLongMask(new))
        } else {
            None
        }
    }
}

unsafe extern "C" fn get_lock(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called through a descriptor of the class; the guard's reference keeps the lock alive, a new one is made.
    unsafe { ffi::Py_NewRef(value_of(object).guard.as_ptr()) }
}
