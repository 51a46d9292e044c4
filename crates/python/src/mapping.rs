//! A span of a file, mapped, as Python sees it.

use crate::errors;
use procession_core::mapping::Mapping;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::io::ErrorKind;

/// A span of a file, mapped for reading and writing, with the buffer protocol. Unmapped when neither it nor a view of it is
/// left; until then a file that somebody else cuts off makes every access beyond its end a SIGBUS.
#[pyclass(frozen, subclass, name = "Mapping", module = "procession._native")]
pub struct PyMapping {
    pub mapping: Mapping,
}

#[pymethods]
impl PyMapping {
    /// Of `length` bytes from `offset`, a multiple of 4096, on; the descriptor stays the caller's. Raises: ValueError when
    /// the file ends before that; `OSError`.
    #[new]
    fn new(fd: i32, offset: u64, length: u64) -> PyResult<Self> {
        let mapping = Mapping::of_file(fd, offset, length).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidInput => PyValueError::new_err(error.to_string()),
            _ => errors::system(&error),
        })?;
        Ok(Self { mapping })
    }

    fn __len__(&self) -> usize {
        self.mapping.length()
    }

    /// # Safety
    /// Called by Python through the buffer protocol with a `view` to fill.
    unsafe fn __getbuffer__(
        slf: &Bound<'_, Self>,
        view: *mut pyo3::ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        let mapping = &slf.get().mapping;
        let (base, length) = (mapping.base().cast(), mapping.length() as isize);
        // SAFETY: `view` is Python's to fill; the memory lives as long as `slf`, which the view keeps alive.
        let status = unsafe { pyo3::ffi::PyBuffer_FillInfo(view, slf.as_ptr(), base, length, 0, flags) };
        if status == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
