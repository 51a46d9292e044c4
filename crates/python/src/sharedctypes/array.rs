//! Many cells: `multiprocessing.Array` of a simple C type.

use crate::once::name;
use procession_core::arena::Kind;
use procession_core::failpoint::step;
use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PySlice, PyString};
use std::ffi::{c_int, c_void};

use super::cells::{Cells, Code};
use super::guard::Guard;
use crate::arena::PyArena;
use crate::check::{self, READ, SLICE, WRITE};
use crate::mapping::PyMapping;

/// Numbers or characters in shared memory, with a lock. Every access waits while another thread or process holds the lock
/// (the owner's death ends that). Its buffer is writable: `numpy.asarray(array)` is a view, which knows nothing of the lock.
#[pyclass(frozen, subclass, name = "Array", module = "procession._native")]
pub struct PyArray {
    cells: Cells,
    guard: Guard,
    /// The cells' count and size, where a buffer export can point to them.
    shape: [isize; 1],
    strides: [isize; 1],
}

/// What an index means for an array of `n` cells.
enum Place<'py> {
    One(usize),
    Many(Bound<'py, PySlice>),
}

impl PyArray {
    #[inline]
    fn place<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Place<'py>> {
        if let Ok(slice) = index.cast_exact::<PySlice>() {
            return Ok(Place::Many(slice.clone()));
        }
        let i = index.extract::<isize>().map_err(|error| {
            if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(index.py()) {
                PyIndexError::new_err("invalid index")
            } else {
                PyTypeError::new_err("indices must be integers")
            }
        })?;
        let n = self.cells.count as isize;
        let i = if i < 0 { i + n } else { i };
        if (0..n).contains(&i) { Ok(Place::One(i as usize)) } else { Err(PyIndexError::new_err("invalid index")) }
    }

    /// The indices of a slice: first, step, how many.
    fn indices(&self, slice: &Bound<'_, PySlice>) -> PyResult<(isize, isize, usize)> {
        let indices = slice.indices(self.cells.count as isize)?;
        Ok((indices.start, indices.step, indices.slicelength))
    }

    /// The bits of a slice's cells, all as some holder of the lock left them.
    fn bits(&self, py: Python<'_>, start: isize, step: isize, n: usize) -> PyResult<Vec<u64>> {
        // Room first: nothing is allocated with the lock held.
        let mut bits = Vec::with_capacity(n);
        self.guard.write(py, || self.cells.load_many(start, step, n, &mut bits))?;
        self.note_many(py, READ, start, step, n);
        Ok(bits)
    }

    /// Record an access to cells from `first` on, before `end`, if the race detector listens.
    #[inline]
    fn note(&self, py: Python<'_>, kind: u16, flags: u16, first: usize, end: usize) {
        if check::is_on() {
            let (size, guard) = (self.cells.code.size(), self.guard.name().object());
            let (start, end) = ((first * size) as u32, (end * size) as u32);
            let name = (&self.cells.object).into();
            check::access(py, &check::Access { kind, flags, name, start, end, guard });
        }
    }

    /// The same of a slice. With a step it counts as what lies at its first cell: rather miss something than blame cells
    /// in between.
    #[inline]
    fn note_many(&self, py: Python<'_>, kind: u16, start: isize, step: isize, n: usize) {
        match (n, step) {
            (0, _) => {}
            (1, _) => self.note(py, kind, 0, start as usize, start as usize + 1),
            (_, 1) => self.note(py, kind, SLICE, start as usize, start as usize + n),
            (_, -1) => self.note(py, kind, SLICE, start as usize + 1 - n, start as usize + 1),
            _ => self.note(py, kind, SLICE, start as usize, start as usize + 1),
        }
    }

    /// Cells as Python has them: a list, of characters a bytes or str.
    fn objects<'py>(&self, py: Python<'py>, bits: &[u64]) -> PyResult<Bound<'py, PyAny>> {
        if self.cells.code == Code::Char {
            let bytes: Vec<u8> = bits.iter().map(|bits| *bits as u8).collect();
            return Ok(PyBytes::new(py, &bytes).into_any());
        }
        let list = self.list(py, bits)?;
        if self.cells.code == Code::WideChar {
            return PyString::new(py, "").call_method1(name!(py, "join"), (list,));
        }
        Ok(list)
    }

    fn list<'py>(&self, py: Python<'py>, bits: &[u64]) -> PyResult<Bound<'py, PyAny>> {
        // The types that long arrays are made of get a loop of their own.
        match self.cells.code {
            Code::I32 => list_of(py, bits, Code::I32),
            Code::Long => list_of(py, bits, Code::Long),
            Code::U8 => list_of(py, bits, Code::U8),
            Code::F64 => list_of(py, bits, Code::F64),
            code => list_of(py, bits, code),
        }
    }

    /// All values of `items` as bits, converted before anything is stored.
    fn all_bits(&self, items: &Bound<'_, PyAny>) -> PyResult<Vec<u64>> {
        items.try_iter()?.map(|item| self.cells.code.bits(&item?)).collect()
    }

    /// An array of characters, or an `AttributeError` as multiprocessing's.
    fn characters(&self, name: &str) -> PyResult<()> {
        if self.cells.code == Code::Char {
            return Ok(());
        }
        let message = format!("an Array of typecode '{}' has no attribute '{name}'", self.cells.code.text());
        Err(pyo3::exceptions::PyAttributeError::new_err(message))
    }

    fn content(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        Ok(self.bits(py, 0, 1, self.cells.count)?.into_iter().map(|bits| bits as u8).collect())
    }

    /// Store bits into cells, one after the other: a death in between leaves a part, and the next holder is told.
    fn store_many(&self, py: Python<'_>, mut cells: impl Iterator<Item = (usize, u64)>) -> PyResult<()> {
        self.guard.write_many(py, || {
            if let Some((i, bits)) = cells.next() {
                self.cells.store(i, bits);
            }
            step();
            cells.for_each(|(i, bits)| self.cells.store(i, bits));
        })
    }

    /// Store bytes from the start on; what is beyond them stays, save for one closing zero.
    fn fill(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<()> {
        if bytes.len() > self.cells.count {
            return Err(PyValueError::new_err("byte string too long"));
        }
        self.note_many(py, WRITE, 0, 1, (bytes.len() + 1).min(self.cells.count));
        let end = (bytes.len() < self.cells.count).then_some((bytes.len(), 0));
        self.store_many(py, cells_of(bytes).chain(end))
    }
}

/// The cells that bytes go to, from the first one on.
fn cells_of(bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    bytes.iter().map(|byte| u64::from(*byte)).enumerate()
}

#[inline(always)]
fn list_of<'py>(py: Python<'py>, bits: &[u64], code: Code) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a new list is filled at each index once, stealing a new reference; it may be dropped half-filled.
    unsafe {
        let list = Bound::from_owned_ptr_or_err(py, ffi::PyList_New(bits.len() as isize))?;
        for (i, bits) in bits.iter().enumerate() {
            let item = code.object(*bits);
            if item.is_null() {
                return Err(PyErr::fetch(py));
            }
            ffi::PyList_SetItem(list.as_ptr(), i as isize, item);
        }
        Ok(list)
    }
}

#[pymethods]
impl PyArray {
    #[new]
    #[pyo3(signature = (arena, typecode = "i", count = 0, lock = None, *, address = None, memory = None))]
    fn new(
        arena: &Bound<'_, PyArena>,
        typecode: &str,
        count: isize,
        lock: Option<&Bound<'_, PyAny>>,
        address: Option<(u64, u64)>,
        memory: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<Self> {
        let lock = lock.ok_or_else(|| PyTypeError::new_err("an Array needs its lock"))?;
        let guard = Guard::new(lock)?;
        let cells = match (memory, address) {
            (Some(memory), _) => Cells::over(memory, Code::parse(typecode)?, guard.object(lock.py())),
            (None, None) => {
                let count = usize::try_from(count);
                let count = count.map_err(|_| PyValueError::new_err("Array length must be >= 0"))?;
                Cells::create(arena, Kind::Array, Code::parse(typecode)?, count)?
            }
            (None, Some(address)) => Cells::open(arena, Kind::Array, address)?,
        };
        let (shape, strides) = ([cells.count as isize], [cells.code.size() as isize]);
        Ok(Self { cells, guard, shape, strides })
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

    fn __len__(&self) -> usize {
        self.cells.count
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        match self.place(index)? {
            Place::One(i) => {
                let bits = self.guard.read(py, || self.cells.load(i))?;
                self.note(py, READ, 0, i, i + 1);
                // SAFETY: attached; a new reference or null with an exception set.
                unsafe { Bound::from_owned_ptr_or_err(py, self.cells.code.object(bits)) }
            }
            Place::Many(slice) => {
                let (start, step, n) = self.indices(&slice)?;
                self.objects(py, &self.bits(py, start, step, n)?)
            }
        }
    }

    fn __setitem__(&self, index: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = index.py();
        match self.place(index)? {
            Place::One(i) => {
                let bits = self.cells.code.bits(value)?;
                self.note(py, WRITE, 0, i, i + 1);
                self.guard.write(py, || self.cells.store(i, bits))
            }
            Place::Many(slice) => {
                let (start, step, n) = self.indices(&slice)?;
                let bits = self.all_bits(value)?;
                if bits.len() != n {
                    return Err(PyValueError::new_err("Can only assign sequence of same size"));
                }
                self.note_many(py, WRITE, start, step, n);
                let places = (0..).map(|i| (start + step * i) as usize);
                self.store_many(py, places.zip(bits))
            }
        }
    }

    #[allow(clippy::unused_self)] // Python's signature
    fn __delitem__(&self, _index: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err("the items of an Array cannot be deleted"))
    }

    /// Over the values of this moment.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let bits = self.bits(py, 0, 1, self.cells.count)?;
        Ok(self.list(py, &bits)?.try_iter()?.into_any())
    }

    /// Of an array of characters: the bytes up to the first zero.
    #[getter]
    fn get_value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.characters("value")?;
        let content = self.content(py)?;
        let end = content.iter().position(|byte| *byte == 0).unwrap_or(content.len());
        Ok(PyBytes::new(py, &content[..end]))
    }

    /// Store bytes and, if there is room, a closing zero. Raises: `ValueError` if they are too long.
    #[setter]
    fn set_value(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.characters("value")?;
        let bytes = value.cast::<PyBytes>().map_err(|_| {
            let name = value.get_type().name().map_or_else(|_| "object".into(), |name| name.to_string());
            PyTypeError::new_err(format!("bytes expected instead of {name} instance"))
        })?;
        self.fill(value.py(), bytes.as_bytes())
    }

    /// Of an array of characters: all its bytes.
    #[getter]
    fn get_raw<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.characters("raw")?;
        Ok(PyBytes::new(py, &self.content(py)?))
    }

    /// Store bytes from the start on. Raises: `ValueError` if they are too long.
    #[setter]
    fn set_raw(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.characters("raw")?;
        let bytes = crate::codec::OutOfBand::of(value)?;
        let bytes = bytes.as_slice();
        if bytes.len() > self.cells.count {
            return Err(PyValueError::new_err("byte string too long"));
        }
        self.note_many(value.py(), WRITE, 0, 1, bytes.len());
        self.store_many(value.py(), cells_of(bytes))
    }

    /// Its lock.
    fn get_lock(&self, py: Python<'_>) -> Py<PyAny> {
        self.guard.lock(py)
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
        let array = slf.get();
        let cells = &array.cells;
        // SAFETY: `view` is Python's to fill; memory, shape and strides live as long as `slf` (a frozen object that does
        // not move), which the view keeps alive; format is static.
        unsafe {
            let start = cells.start().cast::<c_void>();
            if ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, cells.size() as isize, 0, flags) != 0 {
                return Err(PyErr::fetch(slf.py()));
            }
            (*view).itemsize = array.strides[0];
            if flags & ffi::PyBUF_FORMAT == ffi::PyBUF_FORMAT {
                (*view).format = cells.code.format().as_ptr().cast_mut();
            }
            if flags & ffi::PyBUF_ND == ffi::PyBUF_ND {
                (*view).shape = array.shape.as_ptr().cast_mut();
            }
            if flags & ffi::PyBUF_STRIDES == ffi::PyBUF_STRIDES {
                (*view).strides = array.strides.as_ptr().cast_mut();
            }
        }
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("<Array('{}', {})>", self.cells.code.text(), self.cells.count)
    }
}
