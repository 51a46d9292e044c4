//! What Python sees of the codec: for tests, for the pool (functions and results), and for shared objects' `__reduce__`.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::pickling::{self, DispatchTable, Sink};
use super::{Encoder, decode as decode_message, encode as encode_message, encode_function};

/// The message for `obj`: bytes and the list of its out-of-band buffers, each copied into a bytearray or bytes.
///
/// With `functions`, cloudpickle (where installed) gets a second try at what pickle refuses.
/// Raises: `PicklingError` naming the part that cannot be pickled.
#[pyfunction]
#[pyo3(signature = (obj, functions = false))]
fn encode<'py>(
    py: Python<'py>,
    obj: &Bound<'py, PyAny>,
    functions: bool,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyList>)> {
    let mut encoder = Encoder::take();
    let result = if functions { encode_function(py, obj, &mut encoder) } else { encode_message(py, obj, &mut encoder) };
    let message = result.and_then(|()| {
        let buffers = PyList::empty(py);
        for buffer in &encoder.buffers {
            let copy = PyBytes::new(py, buffer.as_slice());
            if buffer.readonly() {
                buffers.append(copy)?;
            } else {
                buffers.append(pyo3::types::PyByteArray::from(&copy)?)?;
            }
        }
        Ok((PyBytes::new(py, &encoder.bytes), buffers))
    });
    encoder.give_back();
    message
}

/// The object of a message. `buffers` are objects that export a buffer; views on them keep them alive.
///
/// Raises: `UnpicklingError` with the cause; also for bytes that are no message at all.
#[pyfunction]
#[pyo3(signature = (data, buffers = Vec::new()))]
#[allow(clippy::needless_pass_by_value)] // PyO3 makes it
fn decode(py: Python<'_>, data: &[u8], buffers: Vec<Py<PyAny>>) -> PyResult<Py<PyAny>> {
    decode_message(py, data, &buffers)
}

/// Keep `handle` alive as long as the message now being made on this thread; see `pickling::carry`.
#[pyfunction]
#[pyo3(name = "carry")]
fn carry_object(handle: Py<PyAny>) -> bool {
    pickling::carry(handle)
}

/// Add the codec to `procession._native`.
pub fn add_to_module(module: &Bound<'_, PyModule>) -> PyResult<()> {
    super::ints::fill(module.py())?;
    module.add_function(wrap_pyfunction!(encode, module)?)?;
    module.add_function(wrap_pyfunction!(decode, module)?)?;
    module.add_function(wrap_pyfunction!(carry_object, module)?)?;
    module.add_class::<Sink>()?;
    module.add_class::<DispatchTable>()
}
