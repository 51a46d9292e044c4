//! Pickle, for everything that is not a plain value.
//!
//! A pickler is kept and reused (making one costs as much as a small pickle); it writes into a [`Sink`] of ours. Its
//! `dispatch_table` is a [`DispatchTable`]: the reducers that programs register with multiprocessing's `ForkingPickler`,
//! then those of `copyreg`, looked up live, so that a later registration counts. A program that puts a pickler class of
//! its own in the place of `multiprocessing.reduction.ForkingPickler` gets that one.

use std::cell::RefCell;
use std::sync::Mutex;

use crate::once::{Kept, name};
use pyo3::exceptions::{PyBufferError, PyException, PyKeyError, PyMemoryError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use super::{Carried, Encoder, OUT_OF_BAND, OutOfBand, tags};

/// A pickler that wrote more than this is dropped: its memo would be cleared slowly each time.
const KEEP_BELOW: usize = 256 * 1024;

/// Spare picklers kept for the next messages.
const MAX_SPARE: usize = 8;

/// What may be done for a function that has no importable name (a lambda, a closure).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Functions {
    /// Functions travel by name, as in multiprocessing; others are an error. For values on queues: what can be put then
    /// does not depend on which packages are installed.
    ByName,
    /// Where cloudpickle is installed it gets a second try. For the function of a task.
    ByValue,
}

/// Receives what a pickler writes.
#[pyclass(frozen, module = "procession._native")]
pub struct Sink {
    state: Mutex<SinkState>,
}

#[derive(Default)]
struct SinkState {
    bytes: Vec<u8>,
    buffers: Vec<OutOfBand>,
}

#[pymethods]
impl Sink {
    /// Append bytes; called by the pickler.
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        if let Ok(bytes) = data.cast_exact::<PyBytes>() {
            let bytes = bytes.as_bytes();
            self.lock().bytes.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let content = OutOfBand::of(data)?;
        self.lock().bytes.extend_from_slice(content.as_slice());
        Ok(content.len())
    }

    /// Take a buffer out of band if it is large: false. True leaves it in the pickle; called by the pickler.
    fn collect(&self, buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
        match OutOfBand::of(buffer) {
            Ok(content) if content.len() >= OUT_OF_BAND => {
                self.lock().buffers.push(content);
                Ok(false)
            }
            Ok(_) => Ok(true),
            // The pickler has a clearer message for a buffer with gaps.
            Err(error) if error.is_instance_of::<PyBufferError>(buffer.py()) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

impl Sink {
    fn lock(&self) -> std::sync::MutexGuard<'_, SinkState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The reducers in force: several dicts, looked up in order at the time of asking.
#[pyclass(frozen, module = "procession._native")]
pub struct DispatchTable {
    tables: Vec<Py<PyDict>>,
}

#[pymethods]
impl DispatchTable {
    #[new]
    #[pyo3(signature = (*tables))]
    fn new(tables: Vec<Py<PyDict>>) -> Self {
        Self { tables }
    }

    fn __getitem__<'py>(&self, kind: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        for table in &self.tables {
            if let Some(reducer) = table.bind(kind.py()).get_item(kind)? {
                return Ok(reducer);
            }
        }
        Err(PyKeyError::new_err(kind.clone().unbind()))
    }
}

/// A pickler with its sink, and the class it was made for.
struct Session {
    sink: Py<Sink>,
    pickler: Py<PyAny>,
    class: Py<PyAny>,
}

/// Spare sessions. Only ever tried, never waited for, so a fork at the wrong moment costs no more than a new pickler.
static SPARE: Mutex<Vec<Session>> = Mutex::new(Vec::new());

thread_local! {
    /// Shared objects met by the encodings under way on this thread, the innermost last.
    static CARRIED: RefCell<Vec<Vec<Carried>>> = const { RefCell::new(Vec::new()) };
}

/// Note that the message being made on this thread mentions `handle`, which the encoder then keeps alive. False when no
/// message is being made (a plain `pickle.dumps`): then nothing keeps it.
pub fn carry(handle: Carried) -> bool {
    CARRIED.with_borrow_mut(|frames| match frames.last_mut() {
        Some(frame) => {
            frame.push(handle);
            true
        }
        None => false,
    })
}

/// The module `procession._codec`.
fn helpers(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static MODULE: Kept<PyAny> = Kept::new();
    let module = MODULE.get_or_make(|| py.import("procession._codec").map(|module| module.into_any().unbind()));
    module.map(|module| module.bind(py))
}

/// The pickler class in force.
fn pickler_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static REDUCTION: Kept<PyAny> = Kept::new();
    let import = || py.import("multiprocessing.reduction").map(|module| module.into_any().unbind());
    let module = REDUCTION.get_or_make(import)?;
    module.bind(py).getattr(name!(py, "ForkingPickler"))
}

fn session(py: Python<'_>) -> PyResult<Session> {
    let class = pickler_class(py)?;
    if let Ok(mut spare) = SPARE.try_lock() {
        while let Some(session) = spare.pop() {
            if session.class.is(&class) {
                return Ok(session);
            }
        }
    }
    let sink = Py::new(py, Sink { state: Mutex::default() })?;
    let pickler = helpers(py)?.call_method1(name!(py, "new_pickler"), (&class, &sink))?.unbind();
    Ok(Session { sink, pickler, class: class.unbind() })
}

/// Like `encode`, for the function of a task: lambdas and closures too, where cloudpickle is installed.
pub fn encode_function(py: Python<'_>, obj: &Bound<'_, PyAny>, encoder: &mut Encoder) -> PyResult<()> {
    encode(py, obj, encoder, Functions::ByValue)
}

/// Make `encoder` the pickle of `obj`.
pub(super) fn encode(
    py: Python<'_>,
    obj: &Bound<'_, PyAny>,
    encoder: &mut Encoder,
    functions: Functions,
) -> PyResult<()> {
    let session = session(py)?;
    CARRIED.with_borrow_mut(|frames| frames.push(Vec::new()));
    let mut result = session.pickler.bind(py).call_method1(name!(py, "dump"), (obj,));
    if functions == Functions::ByValue && result.as_ref().is_err_and(|error| is_ordinary(py, error)) {
        result = by_value(py, obj, &session, result);
    }
    let carried = CARRIED.with_borrow_mut(|frames| frames.pop().unwrap_or_default());
    if let Err(error) = result {
        return Err(encoding_failed(py, obj, error, functions));
    }
    let state = std::mem::take(&mut *session.sink.get().lock());
    encoder.bytes.reserve(1 + state.bytes.len());
    encoder.bytes.push(tags::PICKLE);
    encoder.bytes.extend_from_slice(&state.bytes);
    encoder.buffers = state.buffers;
    encoder.carried = carried;
    keep(py, session, state.bytes)
}

/// Ready the session for the next message. `bytes` is its buffer, given back to keep its room.
fn keep(py: Python<'_>, session: Session, mut bytes: Vec<u8>) -> PyResult<()> {
    if bytes.len() > KEEP_BELOW {
        return Ok(());
    }
    session.pickler.bind(py).call_method0(name!(py, "clear_memo"))?;
    bytes.clear();
    session.sink.get().lock().bytes = bytes;
    if let Ok(mut spare) = SPARE.try_lock()
        && spare.len() < MAX_SPARE
    {
        spare.push(session);
    }
    Ok(())
}

/// Try again with cloudpickle, if it is there; else the failure of before.
fn by_value<'py>(
    py: Python<'py>,
    obj: &Bound<'py, PyAny>,
    session: &Session,
    failed: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    *session.sink.get().lock() = SinkState::default();
    let pickler = helpers(py)?.call_method1(name!(py, "new_pickler_by_value"), (&session.sink,))?;
    if pickler.is_none() {
        return failed;
    }
    pickler.call_method1(name!(py, "dump"), (obj,))
}

/// An error of the object, not of the machine (no memory) or the user (Ctrl-C).
fn is_ordinary(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyException>(py) && !error.is_instance_of::<PyMemoryError>(py)
}

/// The error to raise when `obj` could not be pickled because of `error`.
#[cold]
fn encoding_failed(py: Python<'_>, obj: &Bound<'_, PyAny>, error: PyErr, functions: Functions) -> PyErr {
    if !is_ordinary(py, &error) {
        return error;
    }
    let arguments = (obj, error.value(py), functions == Functions::ByValue);
    let made = helpers(py).and_then(|helpers| helpers.call_method1(name!(py, "encoding_failed"), arguments));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(other) => other,
    }
}

/// The object of a pickle and its buffers. Large bytes of the message are copied once more here; buffers are not.
pub(super) fn decode(py: Python<'_>, pickle: &[u8], blocks: &[Py<PyAny>]) -> PyResult<Py<PyAny>> {
    static LOADS: Kept<PyAny> = Kept::new();
    let loads = LOADS.get_or_make(|| py.import("pickle")?.getattr("loads").map(Bound::unbind))?.bind(py);
    let data = PyBytes::new(py, pickle);
    let result = if blocks.is_empty() {
        loads.call1((data,))
    } else {
        let options = PyDict::new(py);
        options.set_item(name!(py, "buffers"), views(py, blocks)?)?;
        loads.call((data,), Some(&options))
    };
    match result {
        Ok(object) => Ok(object.unbind()),
        Err(error) if is_ordinary(py, &error) => Err(decoding_failed(py, "", Some(error))),
        Err(error) => Err(error),
    }
}

/// A memoryview on each block: what users see of one, whatever type it has.
fn views<'py>(py: Python<'py>, blocks: &[Py<PyAny>]) -> PyResult<Bound<'py, PyList>> {
    let views = PyList::empty(py);
    for block in blocks {
        views.append(pyo3::types::PyMemoryView::from(block.bind(py))?)?;
    }
    Ok(views)
}

/// The error to raise for a message that gave no object: what is wrong with the bytes, or what Python raised.
#[cold]
pub(super) fn decoding_failed(py: Python<'_>, why: &str, cause: Option<PyErr>) -> PyErr {
    let cause = cause.map(|cause| cause.into_value(py));
    let made = helpers(py).and_then(|helpers| helpers.call_method1(name!(py, "decoding_failed"), (why, cause)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(other) => other,
    }
}

/// Whether a decoding failed because a signal's handler raised in it, and not because of the message.
#[cold]
pub fn is_interruption(py: Python<'_>, error: &PyErr) -> bool {
    let asked = helpers(py).and_then(|helpers| helpers.call_method1(name!(py, "is_interruption"), (error.value(py),)));
    asked.is_ok_and(|answer| answer.is_truthy().unwrap_or(false))
}
