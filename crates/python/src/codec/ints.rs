//! Ints that are common in messages and arrays, made once.
//!
//! `CPython` keeps one object for each int up to 256; this table goes on from there. Counts, sizes, indices and ids of a
//! few hundred then cost a reference instead of an allocation and, later, its release: half the time of a decoded int.
//! Without a global lock the table stays empty, because many threads counting references to one object are slower than
//! each making its own.

use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use super::FREE_THREADED;

/// The first int that `CPython` does not keep itself.
const FIRST: i64 = 257;

/// How many are kept: 32 KiB in all. Arbitrary; not measured beyond the first thousand.
const COUNT: usize = 768;

static INTS: [AtomicPtr<ffi::PyObject>; COUNT] = [const { AtomicPtr::new(std::ptr::null_mut()) }; COUNT];

/// Make the ints. Once, before anything is decoded.
pub fn fill(py: Python<'_>) -> PyResult<()> {
    if FREE_THREADED || !INTS[COUNT - 1].load(Ordering::Relaxed).is_null() {
        return Ok(());
    }
    for (value, slot) in (FIRST..).zip(&INTS) {
        // SAFETY: attached; the result is a new reference, which the slot keeps for ever, or null with an exception set.
        let made = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromLongLong(value))? };
        slot.store(made.into_ptr(), Ordering::Release);
    }
    Ok(())
}

/// The int: a new reference, or null with an exception set.
///
/// # Safety
/// The thread is attached.
#[inline(always)]
pub unsafe fn int(value: i64) -> *mut ffi::PyObject {
    // SAFETY: attached; what a slot holds is an int that the slot keeps alive.
    unsafe {
        if let Some(slot) = usize::try_from(value.wrapping_sub(FIRST)).ok().and_then(|i| INTS.get(i)) {
            // SYNC: acquire pairs with the release in `fill`: the object is complete before its pointer is seen.
            let kept = slot.load(Ordering::Acquire);
            if !kept.is_null() {
                ffi::Py_INCREF(kept);
                return kept;
            }
        }
        ffi::PyLong_FromLongLong(value)
    }
}
