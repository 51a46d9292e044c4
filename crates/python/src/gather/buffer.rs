//! Bytes of ours that other libraries read as a column.

use pyo3::ffi;
use pyo3::prelude::*;

/// Read-only bytes with the buffer protocol: for `numpy.frombuffer` and `pyarrow.py_buffer`, which keep it alive.
#[pyclass(frozen, name = "Column", module = "procession._native")]
pub struct Column(pub Vec<u8>);

#[pymethods]
impl Column {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// # Safety
    /// Called by Python through the buffer protocol with a `view` to fill.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: std::ffi::c_int) -> PyResult<()> {
        let bytes = &slf.get().0;
        // SAFETY:
        // - `view` is Python's to fill.
        // - The vector is never changed and lives as long as `slf`, which the view keeps alive.
        // - The view is read-only, whatever `flags` ask for: a request to write fails.
        let status = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), bytes.as_ptr().cast_mut().cast(), bytes.len() as isize, 1, flags)
        };
        if status == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
