//! What goes wrong in `procession-gather`, as Python exceptions that name the key.

use procession_gather::error::GatherError;
use procession_gather::item::Item;
use procession_gather::spool::Spool;
use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

use super::items::{item_to_python, shown};
use crate::errors;

/// An error of the combining or merging, or one that Python code raised meanwhile.
pub enum Failure {
    /// Ours.
    Gather(GatherError),
    /// Python's.
    Raised(PyErr),
}

impl From<GatherError> for Failure {
    fn from(error: GatherError) -> Self {
        Self::Gather(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

/// The spool behind a descriptor. Raises: `OSError`.
pub fn opened(spool: i32) -> PyResult<Spool> {
    Spool::open(spool).map_err(|error| errors::system(&error))
}

/// The exception for a failure: of the reducer `how`, at the key if one is to blame.
pub fn raised(py: Python<'_>, failure: Failure, how: &str, key: Option<&Item>) -> PyErr {
    let key = key.map(|item| show(py, *item));
    let at = key.as_ref().map_or(String::new(), |key| format!(" (at key {key})"));
    let packed = |bytes: &[u8]| Item::unpack(&mut &*bytes).map_or("?".into(), |item| show(py, item));
    match failure {
        Failure::Raised(error) => {
            if let Some(key) = key {
                let note = format!("while values of the key {key} were reduced");
                let _ = error.value(py).call_method1("add_note", (note,));
            }
            error
        }
        Failure::Gather(GatherError::Io(error)) => errors::system(&error),
        Failure::Gather(GatherError::NotANumber(value)) => PyTypeError::new_err(format!(
            "{how} takes int and float, not {}{at}: give numbers, or combine= a function",
            packed(&value)
        )),
        Failure::Gather(GatherError::Unorderable(left, right)) => PyTypeError::new_err(format!(
            "{how} needs values that can be ordered, not both {} and {}{at}",
            packed(&left),
            if right.is_empty() { "a value of another type".into() } else { packed(&right) },
        )),
        Failure::Gather(GatherError::Overflow) => {
            let bits = if how == "count" { 63 } else { 127 };
            PyOverflowError::new_err(format!("an int of {how} is beyond {bits} bits{at}: give combine= a function"))
        }
        Failure::Gather(error @ (GatherError::Corrupt(_) | GatherError::Collision)) => {
            PyRuntimeError::new_err(format!("{error}{at}"))
        }
    }
}

fn show(py: Python<'_>, item: Item) -> String {
    item_to_python(py, item).map_or_else(|_| "?".into(), |object| shown(object.bind(py)))
}
