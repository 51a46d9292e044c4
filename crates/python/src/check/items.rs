//! Items of ctypes arrays of simple values, for the race detector: read and written as ctypes does, and recorded.
//!
//! A Python method in the place of `__setitem__` would cost ten times what ctypes takes; these are descriptors of C functions.
//! What is not a plain index from 0 on goes to the class's `_check_getitem` and `_check_setitem`, which Python gives it.

use super::{Access, READ, WRITE, access, name_of};
use crate::once::name;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;
use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

type Object = *mut ffi::PyObject;

/// What ctypes does for an item; the same functions for all arrays. Null until `record_items`.
static GET: AtomicPtr<()> = AtomicPtr::new(null_mut());
static SET: AtomicPtr<()> = AtomicPtr::new(null_mut());

/// Put recording methods for items on `cls`, a subclass of an array of ctypes; it has `_check_size`, the bytes of an item,
/// and the two methods for what is unusual. `base` is `ctypes.Array`.
#[pyfunction]
pub fn record_items(cls: &Bound<'_, PyType>, base: &Bound<'_, PyType>) -> PyResult<()> {
    // SAFETY: a live type; what a slot holds is a function of that slot's type, or null.
    unsafe {
        GET.store(ffi::PyType_GetSlot(base.as_type_ptr(), ffi::Py_mp_subscript).cast(), Ordering::Relaxed);
        SET.store(ffi::PyType_GetSlot(base.as_type_ptr(), ffi::Py_mp_ass_subscript).cast(), Ordering::Relaxed);
    }
    put(cls, c"__getitem__", ffi::PyMethodDefPointer { PyCFunctionFast: getitem })?;
    put(cls, c"__setitem__", ffi::PyMethodDefPointer { PyCFunctionFast: setitem })
}

fn put(cls: &Bound<'_, PyType>, name: &'static CStr, function: ffi::PyMethodDefPointer) -> PyResult<()> {
    let (flags, doc) = (ffi::METH_FASTCALL, c"As of ctypes, and recorded.".as_ptr());
    // Never freed, as in `synchronize/fast.rs`: a descriptor refers to its definition.
    let method = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: function,
        ml_flags: flags,
        ml_doc: doc,
    }));
    // SAFETY: a live type, a definition that lives for ever, and a new reference or NULL with an exception set.
    let descriptor =
        unsafe { Bound::from_owned_ptr_or_err(cls.py(), ffi::PyDescr_NewMethod(cls.as_type_ptr(), method))? };
    cls.setattr(name.to_string_lossy().as_ref(), descriptor)
}

/// A usual index.
///
/// # Safety
/// `index` is a live object, and the thread attached.
unsafe fn usual(index: Object) -> Option<u32> {
    // SAFETY: an exact int; what does not fit raises, which is taken back.
    unsafe {
        if ffi::Py_TYPE(index) != &raw mut ffi::PyLong_Type {
            return None;
        }
        let number = ffi::PyLong_AsSsize_t(index);
        if number == -1 && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
        }
        u32::try_from(number).ok()
    }
}

/// Record that item `index` of `array` was touched. That it fails means silence.
///
/// # Safety
/// `array` is a live object of a class that `record_items` was told of, and the thread attached.
unsafe fn note(array: Object, kind: u16, index: u32) {
    // SAFETY: by contract.
    let array = unsafe { Bound::from_borrowed_ptr(Python::assume_attached(), array) };
    let py = array.py();
    let noted = || -> PyResult<()> {
        let size: u32 = array.getattr(name!(py, "_check_size"))?.extract()?;
        let name = name_of(&array.getattr(name!(py, "_wrapper"))?)?;
        let start = index.saturating_mul(size);
        access(py, &Access { kind, flags: 1, name, start, end: start.saturating_add(size), guard: 0 });
        Ok(())
    };
    let _ = noted();
}

/// # Safety
/// As `note`; `arguments` holds `count` live objects.
unsafe fn by_python(array: Object, name: &CStr, arguments: *mut Object, count: ffi::Py_ssize_t) -> Object {
    // SAFETY: by contract; new references are given up, and the result is one or NULL with an exception set.
    unsafe {
        let method = ffi::PyObject_GetAttrString(array, name.as_ptr());
        if method.is_null() {
            return null_mut();
        }
        let tuple = ffi::PyTuple_New(count);
        for place in 0..count {
            let argument = *arguments.offset(place);
            ffi::Py_INCREF(argument);
            ffi::PyTuple_SetItem(tuple, place, argument);
        }
        let result = ffi::PyObject_CallObject(method, tuple);
        ffi::Py_DECREF(tuple);
        ffi::Py_DECREF(method);
        result
    }
}

unsafe extern "C" fn getitem(array: Object, arguments: *mut Object, count: ffi::Py_ssize_t) -> Object {
    // SAFETY: called through a descriptor of such a class, by the convention METH_FASTCALL; the slot is a `binaryfunc`.
    unsafe {
        let get = GET.load(Ordering::Relaxed);
        let index = if count == 1 && !get.is_null() { usual(*arguments) } else { None };
        let Some(index) = index else { return by_python(array, c"_check_getitem", arguments, count) };
        let get: ffi::binaryfunc = std::mem::transmute::<*mut (), ffi::binaryfunc>(get);
        let value = get(array, *arguments);
        if !value.is_null() {
            note(array, READ, index);
        }
        value
    }
}

unsafe extern "C" fn setitem(array: Object, arguments: *mut Object, count: ffi::Py_ssize_t) -> Object {
    // SAFETY: as in `getitem`; the slot is an `objobjargproc`.
    unsafe {
        let set = SET.load(Ordering::Relaxed);
        let index = if count == 2 && !set.is_null() { usual(*arguments) } else { None };
        let Some(index) = index else { return by_python(array, c"_check_setitem", arguments, count) };
        let set: ffi::objobjargproc = std::mem::transmute::<*mut (), ffi::objobjargproc>(set);
        if set(array, *arguments, *arguments.add(1)) != 0 {
            return null_mut();
        }
        note(array, WRITE, index);
        ffi::Py_INCREF(ffi::Py_None());
        ffi::Py_None()
    }
}
