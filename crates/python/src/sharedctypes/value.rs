//! One cell: `multiprocessing.Value` of a simple C type. `value` and `get_lock` are bound in `fast`.

#![allow(clippy::useless_conversion)] // `on_cell` is written once for four widths, one of which needs no conversion

use crate::once::name;
use procession_core::arena::Kind;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::cells::{Cells, Code};
use super::guard::Guard;
use crate::arena::PyArena;
use crate::check::UPDATE;
use crate::mapping::PyMapping;

/// A number or character in shared memory, with a lock. Every access waits while another thread or process holds the lock
/// (the owner's death ends that); a reading or writing that meets it free costs no system call.
#[pyclass(frozen, subclass, name = "Value", module = "procession._native")]
pub struct PyValue {
    pub(super) cells: Cells,
    pub(super) guard: Guard,
}

/// Apply an atomic operation to a cell of any integer width.
macro_rules! on_cell {
    ($start:expr, $size:expr, |$cell:ident, $Int:ident| $operation:expr) => {
        // SAFETY: the start of a live object's cells: aligned, inside the object, and accessed as atomics only.
        unsafe {
            match $size {
                1 => {
                    type $Int = u8;
                    let $cell = &*$start.cast::<AtomicU8>();
                    $operation
                }
                2 => {
                    type $Int = u16;
                    let $cell = &*$start.cast::<AtomicU16>();
                    $operation
                }
                4 => {
                    type $Int = u32;
                    let $cell = &*$start.cast::<AtomicU32>();
                    $operation
                }
                _ => {
                    type $Int = u64;
                    let $cell = &*$start.cast::<AtomicU64>();
                    $operation
                }
            }
        }
    };
}

impl PyValue {
    /// The bits of an operand, for integers only.
    fn operand(&self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        if self.cells.code.is_integer() {
            return self.cells.code.bits(value);
        }
        Err(PyTypeError::new_err(format!("{name}() needs an integer Value, not typecode '{}'", self.cells.code.text())))
    }

    /// Wait for the lock if need be, and read.
    pub(super) fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let bits = self.guard.read(py, || self.cells.load(0))?;
        self.old(py, bits)
    }

    /// Wait for the lock if need be, and write.
    pub(super) fn set(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let bits = self.cells.code.bits(value)?;
        self.guard.write(value.py(), || self.cells.store(0, bits))
    }

    fn old<'py>(&self, py: Python<'py>, bits: u64) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: attached; a new reference or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(py, self.cells.code.object(bits)) }
    }
}

#[pymethods]
impl PyValue {
    #[new]
    #[pyo3(signature = (arena, typecode = "i", lock = None, *, address = None, memory = None))]
    fn new(
        arena: &Bound<'_, PyArena>,
        typecode: &str,
        lock: Option<&Bound<'_, PyAny>>,
        address: Option<(u64, u64)>,
        memory: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<Self> {
        let lock = lock.ok_or_else(|| PyTypeError::new_err("a Value needs its lock"))?;
        let guard = Guard::new(lock)?;
        let cells = match (memory, address) {
            (Some(memory), _) => Cells::over(memory, Code::parse(typecode)?, guard.object(lock.py())),
            (None, None) => Cells::create(arena, Kind::Value, Code::parse(typecode)?, 1)?,
            (None, Some(address)) => Cells::open(arena, Kind::Value, address)?,
        };
        if cells.count == 0 {
            return Err(PyTypeError::new_err("the memory is too small for a Value of that type"));
        }
        Ok(Self { cells, guard })
    }

    /// The memory that it lies in.
    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.cells.object.arena(py)
    }

    /// Where it lies in the arena: offset and serial number. What is pickled of it.
    #[getter]
    fn address(&self) -> (u64, u64) {
        self.cells.object.address()
    }

    /// The typecode it was made with.
    #[getter]
    fn typecode(&self) -> String {
        self.cells.code.text()
    }

    /// Add to an integer in one step and return what it held before. Wraps around.
    fn add<'py>(&self, py: Python<'py>, n: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let bits = self.operand("add", n)?;
        let change = || {
            on_cell!(self.cells.start(), self.cells.code.size(), |cell, Int| {
                u64::from(cell.fetch_add(bits as Int, Ordering::AcqRel))
            })
        };
        self.note(py, UPDATE);
        self.old(py, self.guard.write(py, change)?)
    }

    /// Store into an integer in one step and return what it held before.
    fn exchange<'py>(&self, py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let bits = self.operand("exchange", value)?;
        let change = || {
            on_cell!(self.cells.start(), self.cells.code.size(), |cell, Int| {
                u64::from(cell.swap(bits as Int, Ordering::AcqRel))
            })
        };
        self.note(py, UPDATE);
        self.old(py, self.guard.write(py, change)?)
    }

    /// Store `new` if the integer is `expected`, in one step. True if it was.
    fn compare_exchange(&self, expected: &Bound<'_, PyAny>, new: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = expected.py();
        let old = self.operand("compare_exchange", expected)?;
        let new = self.operand("compare_exchange", new)?;
        self.note(py, UPDATE);
        self.guard.write(py, || {
            on_cell!(self.cells.start(), self.cells.code.size(), |cell, Int| {
                cell.compare_exchange(old as Int, new as Int, Ordering::AcqRel, Ordering::Acquire).is_ok()
            })
        })
    }

    /// The lock's `acquire`.
    #[getter]
    fn acquire<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.guard.lock(py).bind(py).getattr(name!(py, "acquire"))
    }

    /// The lock's `release`.
    #[getter]
    fn release<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.guard.lock(py).bind(py).getattr(name!(py, "release"))
    }

    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.guard.lock(py).bind(py).call_method0(name!(py, "__enter__"))
    }

    #[pyo3(signature = (*exception))]
    fn __exit__<'py>(&self, exception: &Bound<'py, pyo3::types::PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let py = exception.py();
        self.guard.lock(py).bind(py).call_method1(name!(py, "__exit__"), exception)
    }

    /// # Safety
    /// Called by Python through the buffer protocol with a `view` to fill.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let cells = &slf.get().cells;
        // SAFETY: `view` is Python's to fill; the memory lives as long as `slf`, which the view keeps alive.
        let status = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), cells.start().cast(), cells.size() as isize, 0, flags)
        };
        if status == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Value('{}', {})>", self.cells.code.text(), self.old(py, self.cells.load(0))?.repr()?))
    }
}
