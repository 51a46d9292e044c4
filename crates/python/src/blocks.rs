//! What of an arena has no meaning of its own: a block of bytes, a hold on any object, the cells of claims.

use crate::arena::{Object, PyArena};
use crate::errors;
use procession_core::arena::{Handle, Kind};
use pyo3::prelude::*;

/// A span of shared memory with the buffer protocol: a large payload, or a raw array. Freed with its last holder.
#[pyclass(frozen, subclass, name = "Block", module = "procession._native")]
pub struct PyBlock {
    pub object: Object<u8>,
    readonly: bool,
}

impl PyBlock {
    /// Around a block that came with a message.
    pub fn received(arena: Py<PyArena>, handle: Handle) -> Self {
        Self { object: Object::from_handle(arena, handle), readonly: false }
    }
}

#[pymethods]
impl PyBlock {
    #[new]
    #[pyo3(signature = (arena, size = 0, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, size: u64, address: Option<(u64, u64)>) -> PyResult<Self> {
        let object = match address {
            None => Object::create_sized(arena, Kind::Block, size.max(1))?,
            Some(address) => Object::open(arena, Kind::Block, address)?,
        };
        Ok(Self { object, readonly: false })
    }

    /// The memory that it lies in.
    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    /// Where it lies in the arena: offset and serial number. What is pickled of it.
    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    fn __len__(&self) -> usize {
        self.object.handle().size() as usize
    }

    /// # Safety
    /// Called by Python through the buffer protocol with a `view` to fill.
    unsafe fn __getbuffer__(
        slf: &Bound<'_, Self>,
        view: *mut pyo3::ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        let block = slf.get();
        let handle = block.object.handle();
        // SAFETY: `view` is Python's to fill; the memory lives as long as `slf`, which the view keeps alive.
        let status = unsafe {
            pyo3::ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                handle.contents().cast(),
                handle.size() as isize,
                i32::from(block.readonly),
                flags,
            )
        };
        if status == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// A hold on a shared object of any kind: it lives as long.
#[pyclass(frozen, name = "Hold", module = "procession._native")]
pub struct PyHold {
    object: Object<u8>,
}

#[pymethods]
impl PyHold {
    /// On what lives at an address. Raises: `ObjectGone`.
    #[new]
    fn new(arena: &Bound<'_, PyArena>, address: (u64, u64)) -> PyResult<Self> {
        let handle = arena.get().arena.open(address.0, address.1, None);
        let handle = handle.map_err(|error| errors::arena(arena.py(), &error))?;
        Ok(Self { object: Object::from_handle(arena.clone().unbind(), handle) })
    }

    /// The memory that it lies in.
    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    /// Where it lies in the arena: offset and serial number. What is pickled of it.
    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }
}

/// Cells of 64 bits in shared memory: cell `i` tells what worker `i` has taken from a ring (its number + 1), 0 for nothing.
#[pyclass(frozen, name = "Claim", subclass, module = "procession._native")]
pub struct PyClaim {
    pub object: Object<procession_core::ring::ClaimCell>,
}

impl PyClaim {
    /// Cell `index`, or an `IndexError`.
    pub fn cell(&self, index: usize) -> PyResult<&procession_core::ring::ClaimCell> {
        let count = self.object.handle().size() as usize / size_of::<procession_core::ring::ClaimCell>();
        if index >= count {
            return Err(pyo3::exceptions::PyIndexError::new_err(format!("claim {index} of {count}")));
        }
        // SAFETY: the object has `count` cells, one after another, all atomics of which zero is valid.
        Ok(unsafe { &*std::ptr::from_ref(self.object.get()).add(index) })
    }
}

#[pymethods]
impl PyClaim {
    #[new]
    #[pyo3(signature = (arena, count = 1, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, count: u64, address: Option<(u64, u64)>) -> PyResult<Self> {
        let size = count.max(1) * size_of::<procession_core::ring::ClaimCell>() as u64;
        let object = match address {
            None => Object::create_sized(arena, Kind::Claim, size)?,
            Some(address) => Object::open(arena, Kind::Claim, address)?,
        };
        Ok(Self { object })
    }

    /// The memory that it lies in.
    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    /// Where it lies in the arena: offset and serial number. What is pickled of it.
    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    fn __getitem__(&self, index: usize) -> PyResult<u64> {
        Ok(self.cell(index)?.get())
    }

    fn __setitem__(&self, index: usize, value: u64) -> PyResult<()> {
        self.cell(index)?.set(value);
        Ok(())
    }
}
