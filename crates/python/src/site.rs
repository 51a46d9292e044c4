//! Where in the user's program something happens: the innermost frame that is neither ours nor part of the standard
//! library's own concurrency, as a label of an arena: `/home/u/bank.py:12 in deposit`.
//!
//! This is asked when an object is made and when somebody is about to sleep, so it must be quick: each frame's code is
//! looked up by its address in a small table that says whose it is, and a place, which is a code and the instruction it
//! is at, in another one that has its label. Only a new place is written out. The tables keep the code objects they
//! know alive (an address may be another's later), a few thousand at most: who comes to an occupied place takes it.
//!
//! It never fails, never waits, and leaves an exception that is under way alone. Frames of a bootstrap, where a process
//! or a thread begins, are the end: what a forked child has below that is its parent's.
//!
//! Only functions of the stable interface; the frame's caller and its instruction are attributes, since the functions
//! for them are not in it.

use crate::once::name;
use procession_core::arena::Arena;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::sync::Mutex;

/// Places in the table of codes, and in that of labels.
const CODES: usize = 1024;
const LABELS: usize = 4096;
/// What of the standard library is passed over.
const STANDARD: [&str; 4] = ["threading.py", "queue.py", "multiprocessing/", "concurrent/futures/"];
/// Frames to look at before giving up.
const DEEPEST: usize = 64;

/// Whose a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    User,
    /// Ours or the standard library's: look at its caller.
    Inside,
    /// The first of a process or a thread.
    Bottom,
}

#[derive(Default)]
struct Tables {
    codes: Vec<Option<(Py<PyAny>, Whose)>>,
    labels: Vec<Option<Known>>,
    /// Beginnings of the names of files whose frames are passed over.
    inside: Option<&'static [String]>,
}

struct Known {
    code: Py<PyAny>,
    instruction: i32,
    arena: *const Arena,
    label: u32,
}

// SAFETY: the pointer is compared only.
unsafe impl Send for Known {}

/// Only ever tried: who finds it taken (by another thread, or in the child of a fork by one that is not there) does
/// without.
static TABLES: Mutex<Tables> = Mutex::new(Tables { codes: Vec::new(), labels: Vec::new(), inside: None });

/// Where the calling thread is in the user's program, as a label of `arena`; 0 when that is not known.
pub fn here(py: Python<'_>, arena: &'static Arena) -> u32 {
    // Attributes are read below, which an exception that is already set would confuse.
    let pending = PyErr::take(py);
    let label = find(py, arena).unwrap_or(0);
    if let Some(error) = pending {
        error.restore(py);
    }
    label
}

fn find(py: Python<'_>, arena: &'static Arena) -> PyResult<u32> {
    // SAFETY: a borrowed reference to the running frame, or null where no Python runs.
    let Some(mut frame) = (unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) }) else {
        return Ok(0);
    };
    for _ in 0..DEEPEST {
        // SAFETY: `frame` is a frame; the code is a new reference, never null.
        let code = unsafe { Bound::from_owned_ptr(py, ffi::PyFrame_GetCode(frame.as_ptr().cast()).cast()) };
        match whose(&code)? {
            Whose::User => return label(&frame, &code, arena),
            Whose::Bottom => break,
            Whose::Inside => {
                let caller = frame.getattr(name!(py, "f_back"))?;
                if caller.is_none() {
                    break;
                }
                frame = caller;
            }
        }
    }
    Ok(0)
}

/// Spread addresses over a table.
fn place(address: usize, more: i32, size: usize) -> usize {
    ((address >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).wrapping_add(more as usize) % size
}

/// Whose a frame with this code is.
pub fn whose(code: &Bound<'_, PyAny>) -> PyResult<Whose> {
    let at = place(code.as_ptr() as usize, 0, CODES);
    if let Ok(tables) = TABLES.try_lock()
        && let Some(Some((known, whose))) = tables.codes.get(at)
        && known.as_ptr() == code.as_ptr()
    {
        return Ok(*whose);
    }
    let whose = look_at(code)?;
    let replaced = TABLES.try_lock().ok().and_then(|mut tables| {
        if tables.codes.is_empty() {
            tables.codes.resize_with(CODES, || None);
        }
        tables.codes[at].replace((code.clone().unbind(), whose))
    });
    drop(replaced); // without the tables: it may run whatever waits for the end of a code object
    Ok(whose)
}

fn inside(py: Python<'_>) -> PyResult<&'static [String]> {
    if let Some(known) = TABLES.try_lock().ok().and_then(|tables| tables.inside) {
        return Ok(known);
    }
    let folder = |module: &str| -> PyResult<String> {
        let file: String = PyModule::import(py, module)?.getattr("__file__")?.extract()?;
        Ok(file.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned()))
    };
    let (ours, standard) = (folder("procession")?, folder("os")?);
    let mut found = vec![format!("{ours}/"), "<frozen ".to_owned()];
    found.extend(STANDARD.map(|part| format!("{standard}/{part}")));
    let found: &'static [String] = found.leak();
    if let Ok(mut tables) = TABLES.try_lock() {
        tables.inside = Some(found);
    }
    Ok(found)
}

fn look_at(code: &Bound<'_, PyAny>) -> PyResult<Whose> {
    let py = code.py();
    let file = code.getattr(name!(py, "co_filename"))?;
    let file = file.cast::<PyString>()?.to_string_lossy();
    if !inside(py)?.iter().any(|inside| file.starts_with(inside.as_str())) {
        return Ok(Whose::User);
    }
    let function: String = code.getattr(name!(py, "co_name"))?.extract()?;
    Ok(if function == "_bootstrap" { Whose::Bottom } else { Whose::Inside })
}

fn label(frame: &Bound<'_, PyAny>, code: &Bound<'_, PyAny>, arena: &'static Arena) -> PyResult<u32> {
    let py = frame.py();
    let instruction: i32 = frame.getattr(name!(py, "f_lasti"))?.extract()?;
    let at = place(code.as_ptr() as usize, instruction, LABELS);
    if let Ok(tables) = TABLES.try_lock()
        && let Some(Some(known)) = tables.labels.get(at)
        && (known.code.as_ptr(), known.instruction) == (code.as_ptr(), instruction)
        && std::ptr::eq(known.arena, arena)
    {
        return Ok(known.label);
    }
    let label = arena.label(&write_out(frame, code)?);
    let new = Known { code: code.clone().unbind(), instruction, arena, label };
    let replaced = TABLES.try_lock().ok().and_then(|mut tables| {
        if tables.labels.is_empty() {
            tables.labels.resize_with(LABELS, || None);
        }
        tables.labels[at].replace(new)
    });
    drop(replaced); // as above
    Ok(label)
}

/// A place in words: `/home/u/bank.py:12 in deposit`.
pub fn write_out(frame: &Bound<'_, PyAny>, code: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = frame.py();
    let text = |name: &Bound<'_, PyString>| -> PyResult<String> {
        Ok(code.getattr(name)?.cast::<PyString>()?.to_string_lossy().into_owned())
    };
    let (file, function) = (text(name!(py, "co_filename").bind(py))?, text(name!(py, "co_name").bind(py))?);
    // SAFETY: `frame` is a frame.
    let line = unsafe { ffi::PyFrame_GetLineNumber(frame.as_ptr().cast()) };
    Ok(format!("{file}:{line} in {function}"))
}
