//! What is looked up in Python once and kept.
//!
//! Not `PyOnceLock`, nor `intern!`, which is one: while a cell is being filled others wait for it, and other threads run in
//! the meantime. If one of them forks, the child has a cell that is being filled for ever, by a thread that it has not.
//! Here two threads may fill a cell at once; the second throws away what it made.

use pyo3::prelude::*;
use std::sync::atomic::{AtomicPtr, Ordering};

/// An object of Python's, once it was asked for.
pub struct Kept<T: 'static>(AtomicPtr<Py<T>>);

impl<T> Kept<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// What is kept, made by `make` if nothing is.
    #[inline]
    pub fn get_or_make(&self, make: impl FnOnce() -> PyResult<Py<T>>) -> PyResult<&'static Py<T>> {
        // SYNC: Acquire pairs with the Release in `keep`: what is pointed to is there.
        let kept = self.0.load(Ordering::Acquire);
        // SAFETY: it is null, or comes from `Box::leak` in `keep` and is never freed.
        match unsafe { kept.as_ref() } {
            Some(kept) => Ok(kept),
            None => Ok(self.keep(make()?)),
        }
    }

    #[cold]
    fn keep(&self, new: Py<T>) -> &'static Py<T> {
        let new = Box::into_raw(Box::new(new));
        match self.0.compare_exchange(std::ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: just leaked, and from now on never freed.
            Ok(_) => unsafe { &*new },
            Err(kept) => {
                // SAFETY: nobody else has seen `new`; `kept` was leaked here by another thread.
                unsafe {
                    drop(Box::from_raw(new));
                    &*kept
                }
            }
        }
    }
}

/// A name, made a Python string once.
macro_rules! name {
    ($py:expr, $text:literal) => {{
        static NAME: $crate::once::Kept<pyo3::types::PyString> = $crate::once::Kept::new();
        NAME.get_or_make(|| Ok(pyo3::types::PyString::intern($py, $text).unbind()))?
    }};
}
pub(crate) use name;
