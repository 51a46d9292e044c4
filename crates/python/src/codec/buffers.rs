//! Contents that leave the message: held from encoding until they have been copied into a shared block.

use pyo3::ffi;
use pyo3::prelude::*;

/// A contiguous run of bytes owned by a Python object, pinned by a buffer export: while this lives, the object neither
/// moves nor resizes it.
pub struct OutOfBand {
    view: Box<ffi::Py_buffer>,
}

// SAFETY: the export pins the memory whatever thread looks at it, and releasing takes the interpreter first (`drop`).
unsafe impl Send for OutOfBand {}
// SAFETY: shared access only reads fields that never change.
unsafe impl Sync for OutOfBand {}

impl OutOfBand {
    /// Pin the contents of any exporter of one contiguous buffer (C or Fortran order).
    ///
    /// Raises: `TypeError` or `BufferError` as the exporter does; `BufferError` if the buffer has gaps.
    pub fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: `object` is alive, `view` is a writable Py_buffer that does not move (boxed), and we are attached.
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &raw mut *view, ffi::PyBUF_FULL_RO) } != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        let held = Self { view };
        // SAFETY: `view` was filled by a successful PyObject_GetBuffer.
        if unsafe { ffi::PyBuffer_IsContiguous(&raw const *held.view, b'A' as std::ffi::c_char) } == 0 {
            return Err(pyo3::exceptions::PyBufferError::new_err("the buffer is not contiguous"));
        }
        Ok(held)
    }

    /// The contents. Another thread may write to them meanwhile if the owner is mutable: as with any export, a torn
    /// content is the caller's race, so read it by copying only.
    pub fn as_slice(&self) -> &[u8] {
        if self.view.len == 0 {
            return &[];
        }
        // SAFETY: the export guarantees `len` contiguous readable bytes at `buf` until it is released in `drop`.
        unsafe { std::slice::from_raw_parts(self.view.buf.cast::<u8>(), self.view.len as usize) }
    }

    /// Bytes of content.
    pub fn len(&self) -> usize {
        self.view.len as usize
    }

    /// May the receiver not write to its view?
    pub fn readonly(&self) -> bool {
        self.view.readonly != 0
    }
}

impl Drop for OutOfBand {
    fn drop(&mut self) {
        // At interpreter exit nobody can release anything any more, and nothing needs it.
        let _ = Python::try_attach(|_| {
            // SAFETY: filled by a successful PyObject_GetBuffer, released once, and we are attached.
            unsafe { ffi::PyBuffer_Release(&raw mut *self.view) };
        });
    }
}
