//! acquire, release, `__enter__` and `__exit__` of Lock and `RLock`, bound without `PyO3`'s trampolines.
//!
//! Programs call these millions of times, and `PyO3`'s argument parsing and bookkeeping cost about a third more than
//! the lock itself (46 ns against 34 for an acquire and a release, machine not idle). The functions here do the
//! uncontended case with nothing but the lock; whatever needs Python (waiting, raising) goes through
//! [`Python::attach`], so `PyO3` knows that it is attached.

use super::lock::{AnyLock, PyLock, PyRLock};
use super::{deadline, release_error};
use procession_core::sys;
use procession_core::waits::is_watching;
use pyo3::PyClass;
use pyo3::exceptions::{PySystemError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

pub(super) trait Fast: AnyLock + PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Sync {}
impl Fast for PyLock {}
impl Fast for PyRLock {}

/// Put the methods on the classes.
pub fn add_to_module(module: &Bound<'_, PyModule>) -> PyResult<()> {
    add::<PyLock>(module.py())?;
    add::<PyRLock>(module.py())
}

const ACQUIRE: &CStr = c"acquire($self, block=True, timeout=None)\n--\n\n\
Take it; True then. Waits while another holds it, `timeout` seconds at most (None: for ever), then False.\n\n\
With `block` false it does not wait. If the holder's process dies, one who waits takes it over within a few\n\
milliseconds, with an AbandonedLockWarning; of one made with on_abandoned=\"raise\" it raises LockAbandoned.\n\
Where deadlocks are looked for, DeadlockError may end the wait.";
const RELEASE: &CStr = c"release($self)\n--\n\n\
Give it back, and wake one who waits. Never blocks.\n\n\
Raises: ReleaseError, a ValueError, when it is free; of an RLock NotOwner, an AssertionError, in another thread.";
const ENTER: &CStr = c"__enter__($self)\n--\n\nTake it, however long that takes.";
const EXIT: &CStr = c"__exit__($self, *args)\n--\n\nGive it back.";

/// The four, with the signatures that Python calls them by.
pub(super) struct Methods {
    pub acquire: ffi::PyCFunctionFastWithKeywords,
    pub release: ffi::PyCFunction,
    pub enter: ffi::PyCFunction,
    pub exit: ffi::PyCFunctionFast,
}

fn add<L: Fast>(py: Python<'_>) -> PyResult<()> {
    put_on::<L>(py, &Methods { acquire: acquire::<L>, release: release::<L>, enter: enter::<L>, exit: exit::<L> })
}

/// Put these methods on the class, in the place of what it has.
pub(super) fn put_on<L: Fast>(py: Python<'_>, methods: &Methods) -> PyResult<()> {
    let method = |name: &'static CStr, function, flags, doc: &'static CStr| ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: function,
        ml_flags: flags,
        ml_doc: doc.as_ptr(),
    };
    let keywords = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
    let (acquired, exited) = (
        ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: methods.acquire },
        ffi::PyMethodDefPointer { PyCFunctionFast: methods.exit },
    );
    let (entered, released) = (
        ffi::PyMethodDefPointer { PyCFunction: methods.enter },
        ffi::PyMethodDefPointer { PyCFunction: methods.release },
    );
    // Never freed: a descriptor refers to its definition for as long as the class lives, which is as long as the
    // process.
    let methods = Box::leak(Box::new([
        method(c"acquire", acquired, keywords, ACQUIRE),
        method(c"release", released, ffi::METH_NOARGS, RELEASE),
        method(c"__enter__", entered, ffi::METH_NOARGS, ENTER),
        method(c"__exit__", exited, ffi::METH_FASTCALL, EXIT),
    ]));
    let class = py.get_type::<L>();
    for method in methods {
        // SAFETY:
        // - `class` is a live type and `method` lives for ever, as its name and text do (literals);
        // - each flag is the calling convention of its function;
        // - the result is a new reference or NULL with an exception set, which is what `from_owned_ptr_or_err` takes;
        // - `ml_name` is a literal with its NUL.
        let (descriptor, name) = unsafe {
            let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), method);
            (Bound::from_owned_ptr_or_err(py, descriptor)?, CStr::from_ptr(method.ml_name))
        };
        class.setattr(name.to_string_lossy().as_ref(), descriptor)?;
    }
    Ok(())
}

/// The lock behind `self`.
///
/// # Safety
/// `object` must be a live instance of `L` or of a subclass, as the method descriptor has checked, and outlive `'a`.
#[inline(always)]
pub(super) unsafe fn lock<'a, L: Fast>(object: *mut ffi::PyObject) -> &'a L {
    // SAFETY: the caller is Python, so this thread is attached; the type was checked (see above).
    unsafe {
        let object = Borrowed::from_ptr(Python::assume_attached(), object);
        &*std::ptr::from_ref(object.cast_unchecked::<L>().get())
    }
}

/// A new reference to None, True or False, or NULL with the error set.
#[cold]
fn with_python<R>(
    work: impl FnOnce(Python<'_>) -> PyResult<R>,
    result: impl FnOnce(R) -> *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    Python::attach(|py| {
        let done = catch_unwind(AssertUnwindSafe(|| work(py)));
        let done = done.unwrap_or_else(|_| Err(PySystemError::new_err("procession: internal error, please report it")));
        match done {
            Ok(value) => result(value),
            Err(error) => {
                error.restore(py);
                std::ptr::null_mut()
            }
        }
    })
}

fn boolean(value: bool) -> *mut ffi::PyObject {
    // SAFETY: the two singletons always exist; a new reference is made.
    unsafe {
        let singleton = if value { ffi::Py_True() } else { ffi::Py_False() };
        ffi::Py_INCREF(singleton);
        singleton
    }
}

fn none(_: ()) -> *mut ffi::PyObject {
    // SAFETY: None always exists; a new reference is made.
    unsafe {
        ffi::Py_INCREF(ffi::Py_None());
        ffi::Py_None()
    }
}

/// It was taken while deadlocks are looked for.
#[cold]
#[inline(never)]
fn watched<L: Fast>(lock: &L) -> *mut ffi::PyObject {
    with_python(|py| lock.noted(py, true), boolean)
}

#[inline(always)]
fn take<L: Fast>(lock: &L, deadline: impl FnOnce(Python<'_>) -> PyResult<Option<Instant>>) -> *mut ffi::PyObject {
    let thread = sys::thread_ident();
    if lock.try_take(thread) {
        return if is_watching() { watched(lock) } else { boolean(true) };
    }
    with_python(|py| lock.take(py, thread, deadline(py)?), boolean)
}

pub(super) unsafe extern "C" fn enter<L: Fast>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called through a method descriptor of `L`.
    take(unsafe { lock::<L>(object) }, |_| Ok(None))
}

pub(super) unsafe extern "C" fn release<L: Fast>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called through a method descriptor of `L`.
    let lock = unsafe { lock::<L>(object) };
    match lock.give(sys::thread_ident()) {
        Ok(()) => none(()),
        Err(error) => with_python(|py| Err(release_error(py, error)), none),
    }
}

pub(super) unsafe extern "C" fn exit<L: Fast>(
    object: *mut ffi::PyObject,
    _: *mut *mut ffi::PyObject,
    _: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: called through a method descriptor of `L`, as `release` would be.
    unsafe { release::<L>(object, std::ptr::null_mut()) }
}

pub(super) unsafe extern "C" fn acquire<L: Fast>(
    object: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called through a method descriptor of `L`.
    let lock = unsafe { lock::<L>(object) };
    if count == 0 && names.is_null() {
        return take(lock, |_| Ok(None));
    }
    let acquire = |py: Python<'_>| {
        // SAFETY: these are the arguments of this very call, by the convention METH_FASTCALL | METH_KEYWORDS.
        let until = unsafe { parse(py, arguments, count.unsigned_abs(), names)? };
        let thread = sys::thread_ident();
        if lock.try_take(thread) { lock.noted(py, until.is_none()) } else { lock.take(py, thread, until) }
    };
    with_python(acquire, boolean)
}

/// The arguments `block` and `timeout` as a deadline.
///
/// # Safety
/// `arguments` holds `count` positional arguments and then one for each of the tuple `names` (or NULL).
unsafe fn parse(
    py: Python<'_>,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> PyResult<Option<Instant>> {
    let mut values: [Option<Bound<'_, PyAny>>; 2] = [None, None];
    if count > 2 {
        return Err(PyTypeError::new_err(format!("acquire() takes at most 2 arguments ({count} given)")));
    }
    // SAFETY: index below the number of arguments, each a live object for the length of the call.
    let argument = |index: usize| unsafe { Bound::from_borrowed_ptr(py, *arguments.add(index)) };
    for (index, value) in values.iter_mut().enumerate().take(count) {
        *value = Some(argument(index));
    }
    // SAFETY: a live tuple or NULL.
    let names = unsafe { Bound::from_borrowed_ptr_or_opt(py, names) };
    for (index, name) in names.iter().flat_map(Bound::<PyAny>::try_iter).flatten().enumerate() {
        let name: String = name?.extract()?;
        let place = match name.as_str() {
            "block" | "blocking" => 0,
            "timeout" => 1,
            _ => return Err(PyTypeError::new_err(format!("acquire() got an unexpected keyword argument '{name}'"))),
        };
        if values[place].is_some() {
            return Err(PyTypeError::new_err(format!("acquire() got multiple values for argument '{name}'")));
        }
        values[place] = Some(argument(count + index));
    }
    let [block, timeout] = values;
    let block = block.map_or(Ok(true), |block| block.is_truthy())?;
    let timeout = timeout.map_or(Ok(None), |timeout| timeout.extract())?;
    deadline(block, timeout)
}
