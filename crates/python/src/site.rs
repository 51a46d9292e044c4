//! Where in the user's program something happens: the innermost frame that is neither ours nor part of the standard
//! library's own concurrency, as a label of an arena: `/home/u/bank.py:12 in deposit`.
//!
//! This is asked when an object is made and when somebody is about to sleep, so it must be quick: each frame's code is
//! looked up by its address in a small table that says whose it is, and a place, which is a code and the instruction it
//! is at, in another one that has its label. Only a new place is written out. The tables keep the code objects they
//! know alive (an address may be another's later), a few thousand at most: who comes to an occupied place takes it.
//!
//! Before all that each thread has the places it was at last, as numbers: they mean what they meant for as long as nothing
//! was pushed out of the tables (`PUSHED_OUT`), which keep the code objects alive.
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
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// Places of a thread's own table.
const RECENT: usize = 8;
/// Moves on when something is pushed out of the tables: only then a code object's address can be another's.
static PUSHED_OUT: AtomicU32 = AtomicU32::new(0);

/// A place of which the innermost frame is the user's.
#[derive(Debug, Clone, Copy)]
struct Recent {
    code: usize,
    instruction: i32,
    arena: *const Arena,
    label: u32,
    pushed_out: u32,
}

thread_local! {
    static RECENTLY: [Cell<Recent>; RECENT] = const { [const { Cell::new(Recent::NONE) }; RECENT] };
    /// Code objects whose frames are passed over, each with the count of what was pushed out.
    static INSIDE: [Cell<(usize, u32)>; RECENT] = const { [const { Cell::new((0, 0)) }; RECENT] };
}

impl Recent {
    const NONE: Self = Self { code: 0, instruction: 0, arena: std::ptr::null(), label: 0, pushed_out: 0 };
}

/// Where the calling thread is in the user's program, as a label of `arena`; 0 when that is not known.
pub fn here(py: Python<'_>, arena: &'static Arena) -> u32 {
    // SAFETY: a borrowed reference to the running frame, or null where no Python runs.
    let Some(frame) = (unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) }) else { return 0 };
    let code = code_of(&frame);
    if is_surely_inside(&code) {
        return looked_for(py, arena);
    }
    let Some(instruction) = instruction_of(&frame) else { return looked_for(py, arena) };
    let at = place(code.as_ptr() as usize, instruction, RECENT);
    let known = RECENTLY.with(|table| table[at].get());
    let pushed_out = PUSHED_OUT.load(Ordering::Relaxed);
    if (known.code, known.instruction, known.pushed_out) == (code.as_ptr() as usize, instruction, pushed_out)
        && std::ptr::eq(known.arena, arena)
    {
        return known.label;
    }
    let label = looked_for(py, arena);
    // What that may have pushed out counts from the next time on.
    if label != 0 && pushed_out == PUSHED_OUT.load(Ordering::Relaxed) && is_kept(&code, instruction) {
        let code = code.as_ptr() as usize;
        RECENTLY.with(|table| table[at].set(Recent { code, instruction, arena, label, pushed_out }));
    }
    label
}

/// Whether frames of this code are to be passed over, if the thread has come by lately.
#[inline]
fn is_surely_inside(code: &Bound<'_, PyAny>) -> bool {
    let address = code.as_ptr() as usize;
    let known = INSIDE.with(|table| table[place(address, 0, RECENT)].get());
    known == (address, PUSHED_OUT.load(Ordering::Relaxed))
}

/// Whether the table of labels holds this place, and so its code.
fn is_kept(code: &Bound<'_, PyAny>, instruction: i32) -> bool {
    let at = place(code.as_ptr() as usize, instruction, LABELS);
    TABLES.try_lock().is_ok_and(|tables| {
        let known = tables.labels.get(at).and_then(Option::as_ref);
        known.is_some_and(|known| (known.code.as_ptr(), known.instruction) == (code.as_ptr(), instruction))
    })
}

fn code_of<'py>(frame: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    // SAFETY: `frame` is a frame; the code is a new reference, never null.
    unsafe { Bound::from_owned_ptr(frame.py(), ffi::PyFrame_GetCode(frame.as_ptr().cast()).cast()) }
}

/// At which of its code's instructions a frame is; None if that cannot be told. An exception that is under way stays.
#[inline]
pub fn instruction_of(frame: &Bound<'_, PyAny>) -> Option<i32> {
    let py = frame.py();
    let name = || -> PyResult<*mut ffi::PyObject> { Ok(name!(py, "f_lasti").as_ptr()) };
    let name = name().ok()?;
    // SAFETY: a live frame, which has this attribute, a small int; nothing is raised.
    unsafe {
        let number = ffi::PyObject_GetAttr(frame.as_ptr(), name);
        if number.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        let instruction = ffi::PyLong_AsLong(number) as i32;
        ffi::Py_DECREF(number);
        Some(instruction)
    }
}

#[cold]
fn looked_for(py: Python<'_>, arena: &'static Arena) -> u32 {
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
        let code = code_of(&frame);
        match if is_surely_inside(&code) { Whose::Inside } else { whose(&code)? } {
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
        if *whose == Whose::Inside {
            let now = (code.as_ptr() as usize, PUSHED_OUT.load(Ordering::Relaxed));
            INSIDE.with(|table| table[place(now.0, 0, RECENT)].set(now));
        }
        return Ok(*whose);
    }
    let whose = look_at(code)?;
    let replaced = TABLES.try_lock().ok().and_then(|mut tables| {
        if tables.codes.is_empty() {
            tables.codes.resize_with(CODES, || None);
        }
        tables.codes[at].replace((code.clone().unbind(), whose))
    });
    if replaced.is_some() {
        PUSHED_OUT.fetch_add(1, Ordering::Relaxed);
    }
    drop(replaced); // without the tables: it may run whatever waits for the end of a code object
    Ok(whose)
}

fn inside(py: Python<'_>) -> PyResult<&'static [String]> {
    if let Some(known) = TABLES.try_lock().ok().and_then(|tables| tables.inside) {
        return Ok(known);
    }
    let folder = |module: &str| -> PyResult<String> {
        // Not by an import: that of a package runs Python, so a signal's handler, whose KeyboardInterrupt would be lost.
        let file: String =
            PyModule::import(py, "sys")?.getattr("modules")?.get_item(module)?.getattr("__file__")?.extract()?;
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
    let instruction = instruction_of(frame).unwrap_or(-1);
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
    if replaced.is_some() {
        PUSHED_OUT.fetch_add(1, Ordering::Relaxed);
    }
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
