//! Keys and values of an answer as Python objects.

use std::collections::HashMap;

use procession_gather::answer::{Answer, Shape};
use procession_gather::item::{Item, Kind};
use procession_gather::segment::Value;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyFrozenSet, PyList};

use super::items::{item_to_python, items_to_python};
use crate::codec::ints;

/// The object of a key.
#[inline]
pub fn key_to_python(py: Python<'_>, key: Item<'_>) -> PyResult<Py<PyAny>> {
    if key.kind == Kind::Str {
        // SAFETY: attached; the bytes are read during the call only; a new reference, or null with an exception set.
        let text =
            unsafe { ffi::PyUnicode_DecodeUTF8(key.bytes.as_ptr().cast(), key.bytes.len() as isize, std::ptr::null()) };
        if !text.is_null() {
            // SAFETY: a new reference.
            return Ok(unsafe { Bound::from_owned_ptr(py, text) }.unbind());
        }
        drop(PyErr::take(py)); // lone surrogates: the slow way knows them
    }
    item_to_python(py, key)
}

/// One call that makes objects; it remembers the members of sets, of which there are few kinds and many mentions.
pub struct Reading<'a> {
    pub answer: &'a Answer,
    members: HashMap<u64, Py<PyAny>>,
}

impl<'a> Reading<'a> {
    #[inline]
    pub fn new(answer: &'a Answer) -> Self {
        Self { answer, members: HashMap::new() }
    }

    /// The object of a value.
    #[inline]
    pub fn value(&mut self, py: Python<'_>, value: Value<'_>) -> PyResult<Py<PyAny>> {
        let damaged = || PyValueError::new_err("the result's file is damaged");
        let mut bytes = match value {
            Value::Int(number) => {
                // SAFETY: attached; a new reference, or null with an exception set.
                return unsafe { Bound::from_owned_ptr_or_err(py, ints::int(number)) }.map(Bound::unbind);
            }
            Value::Float(number) => return Ok(PyFloat::new(py, number).into_any().unbind()),
            Value::Bytes(bytes) => bytes,
        };
        match self.answer.shape() {
            Shape::Scalar => item_to_python(py, Item::unpack(&mut bytes).ok_or_else(damaged)?),
            Shape::List => Ok(PyList::new(py, items_to_python(py, bytes)?)?.into_any().unbind()),
            Shape::Set => {
                let mut members = Vec::with_capacity(bytes.len() / 8);
                for fingerprint in bytes.chunks_exact(8) {
                    let fingerprint = u64::from_le_bytes(fingerprint.try_into().map_err(|_| damaged())?);
                    members.push(self.member(py, fingerprint)?.ok_or_else(damaged)?);
                }
                Ok(PyFrozenSet::new(py, members)?.into_any().unbind())
            }
        }
    }

    fn member(&mut self, py: Python<'_>, fingerprint: u64) -> PyResult<Option<Py<PyAny>>> {
        if let Some(known) = self.members.get(&fingerprint) {
            return Ok(Some(known.clone_ref(py)));
        }
        let Some(item) = self.answer.value_of(fingerprint) else { return Ok(None) };
        let object = item_to_python(py, item)?;
        self.members.insert(fingerprint, object.clone_ref(py));
        Ok(Some(object))
    }
}
