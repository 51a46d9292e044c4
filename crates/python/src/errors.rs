//! Every error of the core becomes one Python exception, here and nowhere else. The classes live in `procession.errors`.

use crate::once::Kept;
use procession_core::error::{ArenaError, Corrupted, GetError, PutError};
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::types::PyModule;

/// The class `procession.errors.<name>`.
pub fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: Kept<PyModule> = Kept::new();
    MODULE.get_or_make(|| PyModule::import(py, "procession.errors").map(Bound::unbind))?.bind(py).getattr(name)
}

/// Whether an error is exactly a `procession.errors.<name>`.
pub fn is(py: Python<'_>, error: &PyErr, name: &str) -> bool {
    class(py, name).is_ok_and(|class| error.get_type(py).is(&class))
}

/// An instance of `procession.errors.<name>(*args)`.
pub fn raise<'py>(py: Python<'py>, name: &str, args: impl PyCallArgs<'py>) -> PyErr {
    class(py, name).and_then(|class| class.call1(args)).map_or_else(|error| error, PyErr::from_value)
}

/// An arena gave nothing.
pub fn arena(py: Python<'_>, error: &ArenaError) -> PyErr {
    let class = match error {
        ArenaError::System { error, .. } => {
            return error.raw_os_error().map_or_else(
                || pyo3::exceptions::PyOSError::new_err(error.to_string()),
                |code| pyo3::exceptions::PyOSError::new_err((code, error.to_string())),
            );
        }
        ArenaError::Full { .. } => "ArenaFull",
        ArenaError::TooManyProcesses { .. } => "TooManyProcesses",
        ArenaError::NotAnArena(_) => return pyo3::exceptions::PyValueError::new_err(error.to_string()),
        ArenaError::Gone { .. } => "ObjectGone",
        ArenaError::Corrupted(found) => return corrupted(py, *found),
    };
    raise(py, class, (error.to_string(),))
}

/// Something in shared memory cannot be as it stands there.
pub fn corrupted(py: Python<'_>, found: Corrupted) -> PyErr {
    let error = raise(py, "Corrupted", (found.to_string(),));
    let facts = error.value(py);
    let told = facts.setattr("what", found.what).and_then(|()| facts.setattr("offset", found.offset));
    told.err().unwrap_or(error)
}

/// A ring took nothing.
pub fn put(py: Python<'_>, error: &PutError) -> PyErr {
    match error {
        PutError::Full | PutError::Interrupted => raise(py, "Full", ("the queue is full",)),
        PutError::TooLarge { size, limit } => raise(
            py,
            "ItemTooLarge",
            (format!(
                "the item takes {size} bytes, and the queue may hold {limit}: raise max_bytes or send less at once"
            ),),
        ),
        PutError::Closed => raise(py, "ShutDown", ("the queue was shut down: nothing more can be put",)),
        PutError::Arena(error) => arena(py, error),
    }
}

/// A ring gave nothing.
pub fn get(py: Python<'_>, error: &GetError) -> PyErr {
    match error {
        GetError::Empty | GetError::Interrupted => raise(py, "Empty", ("the queue is empty",)),
        GetError::Closed => raise(py, "ShutDown", ("the queue was shut down and is empty",)),
        GetError::Arena(error) => arena(py, error),
    }
}
