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

/// The kernel refused: an `OSError` with its `errno`, as Python's own have. (`PyO3`'s conversion keeps only the text.)
pub fn system(error: &std::io::Error) -> PyErr {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_owned();
    match error.raw_os_error() {
        Some(code) => pyo3::exceptions::PyOSError::new_err((code, text)),
        None => std::io::Error::new(error.kind(), text).into(), // of our own making: its kind says which class
    }
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

/// A queue took nothing.
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

/// A queue gave nothing.
pub fn get(py: Python<'_>, error: &GetError) -> PyErr {
    match error {
        GetError::Empty | GetError::Interrupted => raise(py, "Empty", ("the queue is empty",)),
        GetError::Closed => raise(py, "ShutDown", ("the queue was shut down and is empty",)),
        GetError::Arena(error) => arena(py, error),
    }
}

/// An item that was handed out more often than its queue allows.
#[cold]
pub fn delivered_too_often(py: Python<'_>, deliveries: u32, most: u32) -> PyErr {
    let message = format!(
        "this item was delivered {deliveries} times, and max_deliveries is {most}: {} consumers died with it or \
         could not use it; task_done() drops it",
        deliveries - 1
    );
    let error = raise(py, "DeliveredTooOften", (message,));
    let _ = error.value(py).setattr("deliveries", deliveries);
    error
}

/// A queue on disk did not do it. `path`: what people call it.
pub fn disk(py: Python<'_>, error: &procession_disk::Error, path: &str) -> PyErr {
    use procession_disk::Error;
    let file_of = |file: &std::path::Path| match file.file_name() {
        Some(name) => format!("{path}/{}", name.to_string_lossy()),
        None => path.to_owned(),
    };
    match error {
        Error::Full | Error::Interrupted => put(py, &PutError::Full),
        Error::Empty => get(py, &GetError::Empty),
        Error::TimedOut => raise(py, "TimeoutError", (error.to_string(),)),
        Error::ShutDown => raise(py, "ShutDown", ("the queue was shut down",)),
        &Error::TooLarge { size, limit } => put(py, &PutError::TooLarge { size, limit }),
        Error::Damaged { what, file, at } => {
            let text = format!(
                "{} is damaged at byte {at}: {what}; restore it from a copy, or copy {path} and open it once \
                 with salvage=True, which keeps all that is whole",
                file_of(file)
            );
            with_path(py, raise(py, "HomeDamaged", (text,)), path)
        }
        Error::System { call, file, error } => {
            let (file, code) = (file_of(file), error.raw_os_error().unwrap_or(libc::EIO));
            if code == libc::ENOSPC || code == libc::EDQUOT {
                let text = format!("no room is left on the disk for {file}: free some, or take items from the queue");
                return with_path(py, raise(py, "HomeFull", (code, text)), path);
            }
            let text = if code == libc::ENOENT {
                "the queue, or this file of it, was removed: close it, and open the path again".to_owned()
            } else {
                format!("{call}: {error}")
            };
            pyo3::exceptions::PyOSError::new_err((code, text, file))
        }
        Error::Poisoned => {
            let text = format!(
                "the disk failed to take what was written to {path}, and it is not known what of it is there: close the \
                 queue in every process, see to the disk, and open it again"
            );
            with_path(py, raise(py, "HomeFailed", (text,)), path)
        }
    }
}

fn with_path(py: Python<'_>, error: PyErr, path: &str) -> PyErr {
    let told = error.value(py).setattr("path", path);
    told.err().unwrap_or(error)
}
