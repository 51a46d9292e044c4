//! The class `Answer`: an answer's file for Python, read in place. `procession.gather.result` makes a Mapping of it.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use procession_gather::answer::{Answer, BadAnswer, Shape};
use procession_gather::columns::Array;
use procession_gather::item::{Item, Kind};
use procession_gather::ranking::NoRanking;
use procession_gather::segment::SegmentRef;
use pyo3::exceptions::{PyKeyError, PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::buffer::Column;
use super::build::build;
use super::items::{self, As};
use super::reading::{Reading, key_to_python};
use crate::errors;

/// Signals are looked for after so many entries.
const BETWEEN_SIGNALS: u64 = 1 << 16;

/// A mapped answer, and its file, by which relatives find it.
pub struct Opened {
    pub answer: Answer,
    file: File,
}

/// An answer's file, mapped. Look-ups and iteration make objects on demand; nothing else is copied.
///
/// Blocks on nothing but, for a file on disk, the disk. Raises `ValueError` after `close`.
#[pyclass(frozen, subclass, name = "Answer", module = "procession._native")]
pub struct PyAnswer {
    opened: RwLock<Option<Arc<Opened>>>,
}

/// Entries in an order of their own: numbers of entries, for `_keys` and the like.
#[pyclass(frozen, name = "Order", module = "procession._native")]
pub struct Order(Vec<u64>);

/// The error of a file that cannot be read as an answer.
fn bad(error: BadAnswer) -> PyErr {
    match error {
        BadAnswer::Io(error) => errors::system(&error),
        other => PyValueError::new_err(other.to_string()),
    }
}

fn damaged() -> PyErr {
    PyValueError::new_err("the result's file is damaged")
}

impl PyAnswer {
    #[inline]
    fn opened(&self) -> PyResult<Arc<Opened>> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        opened.clone().ok_or_else(|| PyValueError::new_err("the result is closed"))
    }

    /// The value of a key, made into an object by `found`; None: there is no such key.
    #[inline]
    fn look_up(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        let opened = self.opened()?;
        let answer = &opened.answer;
        let value = with_key(key, |item| answer.get(&item))?;
        value.flatten().map(|value| Reading::new(answer).value(py, value)).transpose()
    }

    fn chunk<T>(
        &self,
        start: u64,
        stop: u64,
        order: Option<&Order>,
        mut take: impl FnMut(&mut Reading<'_>, u64) -> PyResult<T>,
    ) -> PyResult<Vec<T>> {
        let opened = self.opened()?;
        let length = order.map_or(opened.answer.len(), |order| order.0.len() as u64);
        let mut reading = Reading::new(&opened.answer);
        let numbers = start..stop.min(length);
        numbers.map(|i| take(&mut reading, order.map_or(i, |order| order.0[i as usize]))).collect()
    }
}

/// Call `with` with a key to look for. None: no key could be equal to this object.
///
/// Raises what hashing it raises, as a dict would.
#[inline]
fn with_key<R>(object: &Bound<'_, PyAny>, with: impl FnOnce(Item<'_>) -> R) -> PyResult<Option<R>> {
    if let Some(bytes) = object.cast_exact::<PyString>().ok().and_then(items::utf8) {
        return Ok(Some(with(Item { kind: Kind::Str, bytes })));
    }
    let mut bytes = Vec::new();
    if let Some(kind) = items::payload(object, As::Key, &mut bytes)? {
        return Ok(Some(with(Item { kind, bytes: &bytes })));
    }
    object.hash()?;
    Ok(None)
}

fn entry(py: Python<'_>, reading: &mut Reading<'_>, i: u64) -> PyResult<Py<PyTuple>> {
    let (key, value) = reading.answer.entry(i).ok_or_else(damaged)?;
    Ok(PyTuple::new(py, [key_to_python(py, key)?, reading.value(py, value)?])?.unbind())
}

/// What a column is called, its numbers or offsets, and the bytes that offsets point into.
type Named = (&'static str, Py<Column>, Option<Py<Column>>);

fn array(py: Python<'_>, array: Option<Array>) -> PyResult<Option<Named>> {
    Ok(match array {
        None => None,
        Some(Array::Ints(numbers)) => Some(("int", Py::new(py, Column(numbers))?, None)),
        Some(Array::Floats(numbers)) => Some(("float", Py::new(py, Column(numbers))?, None)),
        Some(Array::Packed(offsets, bytes)) => {
            Some(("packed", Py::new(py, Column(offsets))?, Some(Py::new(py, Column(bytes))?)))
        }
    })
}

#[pymethods]
impl PyAnswer {
    /// Map the answer behind a descriptor, which is duplicated. Raises `ValueError` for a file that is none.
    #[new]
    fn new(py: Python<'_>, fd: RawFd) -> PyResult<Self> {
        if fd < 0 {
            return Err(PyValueError::new_err("a descriptor is not negative"));
        }
        py.detach(|| {
            // SAFETY: borrowed for this call only; a number that is no descriptor gives EBADF.
            let file = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned();
            let file = File::from(file.map_err(|error| errors::system(&error))?);
            let answer = Answer::open(&file).map_err(bad)?;
            Ok(Self { opened: RwLock::new(Some(Arc::new(Opened { answer, file }))) })
        })
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.opened()?.answer.len() as usize)
    }

    fn __getitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.look_up(py, key)?.ok_or_else(|| PyKeyError::new_err(key.clone().unbind()))
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let opened = self.opened()?;
        Ok(with_key(key, |item| opened.answer.get(&item).is_some())?.unwrap_or(false))
    }

    /// The value of a key, or `default`.
    #[pyo3(signature = (key, default = None, /))]
    fn get(&self, py: Python<'_>, key: &Bound<'_, PyAny>, default: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        Ok(self.look_up(py, key)?.unwrap_or_else(|| default.unwrap_or_else(|| py.None())))
    }

    /// Keys number `start` to `stop` (excluded), in storage order or that of `order`.
    #[pyo3(name = "_keys", signature = (start, stop, order = None))]
    fn keys(&self, py: Python<'_>, start: u64, stop: u64, order: Option<&Order>) -> PyResult<Vec<Py<PyAny>>> {
        self.chunk(start, stop, order, |reading, i| key_to_python(py, reading.answer.key(i).ok_or_else(damaged)?))
    }

    /// The values of these keys.
    #[pyo3(name = "_values", signature = (start, stop, order = None))]
    fn values(&self, py: Python<'_>, start: u64, stop: u64, order: Option<&Order>) -> PyResult<Vec<Py<PyAny>>> {
        self.chunk(start, stop, order, |reading, i| {
            let (_, value) = reading.answer.entry(i).ok_or_else(damaged)?;
            reading.value(py, value)
        })
    }

    /// Pairs of both.
    #[pyo3(name = "_items", signature = (start, stop, order = None))]
    fn items(&self, py: Python<'_>, start: u64, stop: u64, order: Option<&Order>) -> PyResult<Vec<Py<PyTuple>>> {
        self.chunk(start, stop, order, |reading, i| entry(py, reading, i))
    }

    /// The order of ascending keys. Raises `TypeError` for keys without an order, naming two.
    #[pyo3(name = "_order")]
    fn order(&self, py: Python<'_>) -> PyResult<Order> {
        let opened = self.opened()?;
        py.detach(|| opened.answer.order()).map(Order).map_err(|error| no_ranking(py, &opened.answer, error))
    }

    /// The numbers of the `n` entries with the largest values, the largest first.
    #[pyo3(name = "_top")]
    fn top(&self, py: Python<'_>, n: usize) -> PyResult<Order> {
        let opened = self.opened()?;
        py.detach(|| opened.answer.top(n)).map(Order).map_err(|error| no_ranking(py, &opened.answer, error))
    }

    /// All entries as a dict. The members of sets are shared between the sets.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let opened = self.opened()?;
        let (mut reading, dict) = (Reading::new(&opened.answer), PyDict::new(py));
        for i in 0..opened.answer.len() {
            let (key, value) = opened.answer.entry(i).ok_or_else(damaged)?;
            dict.set_item(key_to_python(py, key)?, reading.value(py, value)?)?;
            if i % BETWEEN_SIGNALS == 0 {
                py.check_signals()?;
            }
        }
        Ok(dict)
    }

    /// All keys in one piece: ("int" | "float", numbers, None), ("str" | "bytes", offsets, bytes), or None where they
    /// are of several types, tuples, or none at all.
    #[pyo3(name = "_keys_array")]
    fn keys_array(&self, py: Python<'_>) -> PyResult<Option<Named>> {
        let opened = self.opened()?;
        let (kind, found) = py.detach(|| (opened.answer.key_kind(), opened.answer.keys_array()));
        let text = if kind == Some(Kind::Str) { "str" } else { "bytes" };
        Ok(array(py, found)?.map(|(name, a, b)| (if name == "packed" { text } else { name }, a, b)))
    }

    /// All values in one piece: ("int" | "float", numbers), or None where they are not all int or all float.
    #[pyo3(name = "_values_array")]
    fn values_array(&self, py: Python<'_>) -> PyResult<Option<(&'static str, Py<Column>)>> {
        let opened = self.opened()?;
        let found = py.detach(|| opened.answer.values_array());
        Ok(array(py, found)?.map(|(name, numbers, _)| (name, numbers)))
    }

    /// Write a copy to `path`, under another name first. Raises `OSError`; nothing is left of a copy that failed.
    #[pyo3(name = "_save")]
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let opened = self.opened()?;
        py.detach(|| opened.answer.save(&path)).map_err(|error| match error.raw_os_error() {
            Some(code) => {
                let text = error.to_string();
                let text = text.split(" (os error").next().unwrap_or_default().to_owned();
                PyOSError::new_err((code, text, path)) // becomes the subclass for that code
            }
            None => PyOSError::new_err(error),
        })
    }

    /// Unmap the file and close the descriptor. What was made of it stays. Calls under way finish first.
    fn close(&self) {
        let taken = self.opened.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(taken);
    }

    /// Whether `close` was called.
    #[getter]
    fn closed(&self) -> bool {
        self.opened().is_err()
    }

    /// Bytes of the file, which is memory if it is an anonymous one.
    #[getter]
    fn nbytes(&self) -> PyResult<usize> {
        Ok(self.opened()?.answer.file().len())
    }

    #[getter(_fd)]
    fn fd(&self) -> PyResult<RawFd> {
        Ok(self.opened()?.file.as_raw_fd())
    }

    #[getter(_meta)]
    fn meta<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.opened()?.answer.meta()))
    }

    #[getter(_shape)]
    fn shape(&self) -> PyResult<u32> {
        Ok(self.opened()?.answer.shape() as u32)
    }
}

/// The error for entries that could not be put in order, naming them.
fn no_ranking(py: Python<'_>, answer: &Answer, error: NoRanking) -> PyErr {
    let shown = |object: Option<Py<PyAny>>| object.map_or_else(|| "?".into(), |object| items::shown(object.bind(py)));
    let key = |i| shown(answer.key(i).and_then(|key| key_to_python(py, key).ok()));
    match error {
        NoRanking::Damaged(_) => damaged(),
        NoRanking::Keys(a, b) => {
            PyTypeError::new_err(format!("keys cannot be sorted: {} and {} have no order in Python", key(a), key(b)))
        }
        NoRanking::Value(i) => {
            let value = answer.entry(i).and_then(|(_, value)| Reading::new(answer).value(py, value).ok());
            PyTypeError::new_err(format!(
                "top() ranks numbers, lists and sets; the value of {} is {}",
                key(i),
                shown(value)
            ))
        }
    }
}

#[pymethods]
impl Order {
    fn __len__(&self) -> usize {
        self.0.len()
    }
}

/// The file behind a descriptor, opened anew: for writing at places, which one opened for appending would not do.
fn reopen(fd: RawFd) -> PyResult<File> {
    let opened = OpenOptions::new().read(true).write(true).open(format!("/proc/self/fd/{fd}"));
    opened.map_err(|error| errors::system(&error))
}

/// Make the file an answer: references of segments, packed, as `merge` gave them. All writers have finished.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // PyO3 makes them
pub fn seal_answer(
    py: Python<'_>,
    fd: RawFd,
    shape: u32,
    meta: Vec<u8>,
    entries: Vec<Vec<u8>>,
    values: Vec<Vec<u8>>,
) -> PyResult<()> {
    let shape = Shape::from_number(shape).ok_or_else(|| PyValueError::new_err("no such shape"))?;
    let read = |packed: Vec<Vec<u8>>| {
        SegmentRef::read_all(&packed.concat()).ok_or_else(|| PyValueError::new_err("not references of segments"))
    };
    let (entries, values) = (read(entries)?, read(values)?);
    let file = reopen(fd)?;
    py.detach(|| Answer::seal(&file, shape, &meta, &entries, &values)).map_err(|error| errors::system(&error))
}

/// Write the pairs of a mapping to an empty file as an answer. The keys are different ones; `shape` says what values are.
///
/// Raises `TypeError` for what cannot be a key, `ValueError` for two keys that are stored alike, `PicklingError`,
/// `OSError`.
#[pyfunction]
pub fn build_answer(fd: RawFd, shape: u32, meta: &[u8], pairs: &Bound<'_, PyAny>) -> PyResult<()> {
    let shape = Shape::from_number(shape).ok_or_else(|| PyValueError::new_err("no such shape"))?;
    build(&reopen(fd)?, shape, meta, pairs)
}
