//! Python objects as packed items, and back.
//!
//! Keys and values differ in one thing. A key of a subclass (an `IntEnum`, a numpy scalar, a `Text`) becomes what it is
//! equal to, because look-ups go by value. A value is packed only if it is exactly of a plain type; everything else is a
//! message of the codec, so that it comes back as it was.

use procession_gather::item::{DEPTH, Item, Kind, canonical, read_length, write_length};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple};

use crate::codec::{self, Encoder};

/// What an object is packed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// To be found again by what it equals.
    Key,
    /// To be given back as it was.
    Value,
}

/// The UTF-8 of a str, without a copy. None: it has lone surrogates.
#[inline]
pub fn utf8<'a>(text: &'a Bound<'_, PyString>) -> Option<&'a [u8]> {
    let mut length: ffi::Py_ssize_t = 0;
    // SAFETY: `text` is a live str and we are attached; the result is null with an exception set, or that many bytes
    // that live as long as the str.
    unsafe {
        let start = ffi::PyUnicode_AsUTF8AndSize(text.as_ptr(), &raw mut length);
        if start.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(std::slice::from_raw_parts(start.cast(), length as usize))
    }
}

/// Append the payload of an object; its kind. None: it is no plain object, or tuples within tuples go too deep.
///
/// Raises what the object's own methods raise (a numpy scalar's `item`).
pub fn payload(object: &Bound<'_, PyAny>, purpose: As, out: &mut Vec<u8>) -> PyResult<Option<Kind>> {
    payload_within(object, purpose, out, DEPTH)
}

fn payload_within(object: &Bound<'_, PyAny>, purpose: As, out: &mut Vec<u8>, depth: usize) -> PyResult<Option<Kind>> {
    let exactly = purpose == As::Value;
    if let Ok(text) = object.cast::<PyString>() {
        if exactly && !object.is_exact_instance_of::<PyString>() {
            return Ok(None);
        }
        if let Some(bytes) = utf8(text) {
            out.extend_from_slice(bytes);
        } else {
            let bytes = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
            out.extend_from_slice(bytes.cast::<PyBytes>()?.as_bytes());
        }
        return Ok(Some(Kind::Str));
    }
    if let Ok(flag) = object.cast::<PyBool>() {
        out.push(u8::from(flag.is_true()));
        return Ok(Some(Kind::Bool));
    }
    if let Ok(int) = object.cast::<PyInt>() {
        return if exactly && !object.is_exact_instance_of::<PyInt>() { Ok(None) } else { int_payload(int, out) };
    }
    if let Ok(float) = object.cast::<PyFloat>() {
        if exactly && !object.is_exact_instance_of::<PyFloat>() {
            return Ok(None);
        }
        let value = if exactly { float.value() } else { canonical(float.value()) };
        out.extend_from_slice(&value.to_le_bytes());
        return Ok(Some(Kind::Float));
    }
    if object.is_none() {
        return Ok(Some(Kind::None));
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        out.extend_from_slice(bytes.as_bytes());
        return Ok((!exactly || object.is_exact_instance_of::<PyBytes>()).then_some(Kind::Bytes));
    }
    if let Ok(tuple) = object.cast::<PyTuple>() {
        return if depth == 0 || exactly && !object.is_exact_instance_of::<PyTuple>() {
            Ok(None)
        } else {
            tuple_payload(tuple, purpose, out, depth - 1)
        };
    }
    if !exactly && depth > 0 && of_numpy(object)? {
        // What item() gives may be of numpy again: a longdouble is its own
        return payload_within(&object.call_method0("item")?, purpose, out, 0);
    }
    Ok(None)
}

/// A numpy scalar: it knows the plain object it equals.
fn of_numpy(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let module = object.get_type().module()?;
    Ok(module == "numpy" && object.hasattr("dtype")? && object.getattr("ndim")?.extract::<usize>()? == 0)
}

fn int_payload(int: &Bound<'_, PyInt>, out: &mut Vec<u8>) -> PyResult<Option<Kind>> {
    let mut overflow = 0;
    // SAFETY: a live int, attached; an int cannot fail to convert but by overflow.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(int.as_ptr(), &raw mut overflow) };
    if overflow == 0 {
        out.extend_from_slice(&value.to_le_bytes());
        return Ok(Some(Kind::Int));
    }
    let bits: usize = int.call_method0("bit_length")?.extract()?;
    let keywords = pyo3::types::PyDict::new(int.py());
    keywords.set_item("signed", true)?;
    let bytes = int.call_method("to_bytes", (bits / 8 + 1, "little"), Some(&keywords))?;
    let start = out.len();
    out.extend_from_slice(bytes.cast::<PyBytes>()?.as_bytes());
    let mut shortened = out.split_off(start);
    procession_gather::item::shorten(&mut shortened);
    out.append(&mut shortened);
    Ok(Some(Kind::BigInt))
}

fn tuple_payload(tuple: &Bound<'_, PyTuple>, purpose: As, out: &mut Vec<u8>, depth: usize) -> PyResult<Option<Kind>> {
    let (start, mut element) = (out.len(), Vec::new());
    for object in tuple {
        element.clear();
        let Some(kind) = payload_within(&object, purpose, &mut element, depth)? else {
            out.truncate(start);
            return Ok(None);
        };
        Item { kind, bytes: &element }.pack(out);
    }
    Ok(Some(Kind::Tuple))
}

/// The error for an object that cannot be a key.
pub fn no_key(object: &Bound<'_, PyAny>) -> PyErr {
    let kind = object.get_type().fully_qualified_name().map_or_else(|_| "?".into(), |name| name.to_string());
    let shown = shown(object);
    PyTypeError::new_err(format!(
        "keys must be str, bytes, int, float, bool, None or tuples of these, not {kind} ({shown}): convert it, with \
         str() or .isoformat() say"
    ))
}

/// An object in an error message: its repr, shortened.
pub fn shown(object: &Bound<'_, PyAny>) -> String {
    let whole = object.repr().map_or_else(|_| "?".into(), |text| text.to_string_lossy().into_owned());
    if whole.chars().count() <= 80 { whole } else { whole.chars().take(77).chain("...".chars()).collect() }
}

/// Append an object as a packed item: plain, or as a message of the codec.
///
/// Raises: `PicklingError`.
pub fn pack_value(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    let mut bytes = Vec::new();
    let kind = if let Some(kind) = payload(object, As::Value, &mut bytes)? {
        kind
    } else {
        bytes.clear();
        message(object, &mut bytes)?;
        Kind::Object
    };
    Item { kind, bytes: &bytes }.pack(out);
    Ok(())
}

/// A message and the buffers it refers to, in one stretch of bytes.
fn message(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    let mut encoder = Encoder::take();
    let made = codec::encode(object.py(), object, &mut encoder);
    write_length(encoder.buffers.len(), out);
    for buffer in &encoder.buffers {
        write_length(buffer.len(), out);
        out.extend_from_slice(buffer.as_slice());
    }
    out.extend_from_slice(&encoder.bytes);
    encoder.give_back();
    made
}

fn damaged() -> PyErr {
    PyValueError::new_err("a packed item is damaged")
}

/// The object of a packed item. Raises: `UnpicklingError`, `ValueError`.
pub fn item_to_python(py: Python<'_>, item: Item<'_>) -> PyResult<Py<PyAny>> {
    item_within(py, item, DEPTH)
}

fn item_within(py: Python<'_>, item: Item<'_>, depth: usize) -> PyResult<Py<PyAny>> {
    Ok(match item.kind {
        Kind::None => py.None(),
        Kind::Bool => PyBool::new(py, item.bytes.first().is_some_and(|byte| *byte != 0)).to_owned().into_any().unbind(),
        Kind::Int => {
            let value = item.as_int().ok_or_else(damaged)?;
            // SAFETY: attached; a new reference, or null with an exception set.
            unsafe { Bound::from_owned_ptr_or_err(py, codec::ints::int(value))? }.unbind()
        }
        Kind::BigInt => {
            let keywords = pyo3::types::PyDict::new(py);
            keywords.set_item("signed", true)?;
            let bytes = PyBytes::new(py, item.bytes);
            py.get_type::<PyInt>().call_method("from_bytes", (bytes, "little"), Some(&keywords))?.unbind()
        }
        Kind::Float => PyFloat::new(py, item.as_float().ok_or_else(damaged)?).into_any().unbind(),
        Kind::Str => match std::str::from_utf8(item.bytes) {
            Ok(text) => PyString::new(py, text).into_any().unbind(),
            Err(_) => PyBytes::new(py, item.bytes).call_method1("decode", ("utf-8", "surrogatepass"))?.unbind(),
        },
        Kind::Bytes => PyBytes::new(py, item.bytes).into_any().unbind(),
        Kind::Tuple if depth == 0 => return Err(damaged()),
        Kind::Tuple => PyTuple::new(py, items_within(py, item.bytes, depth - 1)?)?.into_any().unbind(),
        Kind::Object => {
            let mut input = item.bytes;
            let count = read_length(&mut input).ok_or_else(damaged)?;
            let mut buffers = Vec::new();
            for _ in 0..count {
                let length = read_length(&mut input).ok_or_else(damaged)?;
                let (bytes, rest) = input.split_at_checked(length).ok_or_else(damaged)?;
                buffers.push(PyBytes::new(py, bytes).into_any().unbind());
                input = rest;
            }
            codec::decode(py, input, &buffers)?
        }
    })
}

/// The objects of packed items that lie one after another.
pub fn items_to_python(py: Python<'_>, packed: &[u8]) -> PyResult<Vec<Py<PyAny>>> {
    items_within(py, packed, DEPTH)
}

fn items_within(py: Python<'_>, mut packed: &[u8], depth: usize) -> PyResult<Vec<Py<PyAny>>> {
    let mut objects = Vec::new();
    while !packed.is_empty() {
        let item = Item::unpack(&mut packed).ok_or_else(damaged)?;
        objects.push(item_within(py, item, depth)?);
    }
    Ok(objects)
}
