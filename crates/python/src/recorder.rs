//! The recorder as Python sees it, and where in the user's program a thread is.
//!
//! A **site** is the innermost frame that is neither ours nor the standard library's part of the same business. Frames are
//! told by their code objects, whose verdict and text are kept: a site that was met before costs a walk of a few frames
//! and two look-ups. What is kept holds the code objects, so that none of them is freed and its address used again.

use crate::once::{Kept, name};
use procession_core::recorder::{self, Event};
use procession_core::sys;
use pyo3::exceptions::PyOSError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyModule, PyString};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Names the directory of a recording to every process that inherits it.
pub const VARIABLE: &str = "PROCESSION_RECORD";
/// Frames of a stack that are recorded, at most.
const MOST_FRAMES: usize = 32;
/// Code objects and sites that a thread remembers; beyond it all are forgotten.
const MOST_KEPT: usize = 4096;

/// What a thread remembers of code objects, by address, and of sites, by code object and line.
#[derive(Default)]
struct Memory {
    /// The recorder's generation that the labels are of.
    generation: u32,
    codes: HashMap<usize, (Py<PyAny>, bool)>,
    sites: HashMap<(usize, i32), u32>,
    stacks: HashMap<Vec<u32>, u32>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// Whether a file is ours, or of the standard library's that stand between the user and us.
fn is_inner(py: Python<'_>, file: &str) -> PyResult<bool> {
    static PREFIXES: Kept<PyString> = Kept::new();
    let prefixes = PREFIXES.get_or_make(|| {
        let path = |module: &str| -> PyResult<String> { PyModule::import(py, module)?.getattr("__file__")?.extract() };
        let directory = |file: String| Path::new(&file).parent().map(|path| format!("{}/", path.display()));
        let library = directory(path("os")?).unwrap_or_default();
        let own = directory(path("procession")?).unwrap_or_default();
        let names = ["threading.py", "queue.py", "runpy.py", "multiprocessing/", "concurrent/futures/", "importlib/"];
        let all: Vec<_> = names.iter().map(|name| format!("{library}{name}")).chain([own]).collect();
        Ok(PyString::new(py, &all.join("\n")).unbind())
    })?;
    let prefixes = prefixes.bind(py).to_cow()?.into_owned();
    Ok(file.starts_with("<frozen") || prefixes.split('\n').any(|prefix| file.starts_with(prefix)))
}

/// The innermost frame of the calling thread, if it runs Python.
fn innermost(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    // SAFETY: attached; the result is a borrowed reference or NULL.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) }
}

impl Memory {
    fn renew(&mut self) {
        let generation = recorder::generation();
        if self.generation != generation {
            self.generation = generation;
            self.sites.clear();
            self.stacks.clear();
        }
        if self.codes.len() > MOST_KEPT || self.sites.len() > MOST_KEPT {
            self.codes.clear();
            self.sites.clear();
        }
        if self.stacks.len() > MOST_KEPT {
            self.stacks.clear();
        }
    }

    /// The label of a frame, None for one that is not the user's.
    fn label(&mut self, frame: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
        let py = frame.py();
        let pointer = frame.as_ptr().cast::<ffi::PyFrameObject>();
        // SAFETY: a live frame; the result is a new reference.
        let code: Bound<'_, PyAny> = unsafe { Bound::from_owned_ptr(py, ffi::PyFrame_GetCode(pointer).cast()) };
        let key = code.as_ptr() as usize;
        let is_inner = if let Some((_, verdict)) = self.codes.get(&key) {
            *verdict
        } else {
            let file: String = code.getattr(name!(py, "co_filename"))?.extract()?;
            let verdict = is_inner(py, &file)?;
            self.codes.insert(key, (code.clone().unbind(), verdict));
            verdict
        };
        if is_inner {
            return Ok(None);
        }
        // SAFETY: a live frame.
        let line = unsafe { ffi::PyFrame_GetLineNumber(pointer) };
        if let Some(&label) = self.sites.get(&(key, line)) {
            return Ok(Some(label));
        }
        let file: String = code.getattr(name!(py, "co_filename"))?.extract()?;
        let file = if file.starts_with('<') { file } else { absolute(&file) };
        let name: String = code.getattr(name!(py, "co_name"))?.extract()?;
        let label = recorder::label(&format!("{file}:{line} in {name}"));
        self.sites.insert((key, line), label);
        Ok(Some(label))
    }
}

fn absolute(file: &str) -> String {
    std::path::absolute(file).map_or_else(|_| file.to_owned(), |path| path.display().to_string())
}

/// Whether to go on with the frame that called this one.
fn walk(py: Python<'_>, mut each: impl FnMut(&mut Memory, &Bound<'_, PyAny>) -> PyResult<bool>) -> PyResult<()> {
    let mut next = innermost(py);
    while let Some(frame) = next {
        // Borrowed already: a collection came in between, and what it ended is recording. Rare, and not worth more.
        let goes_on = MEMORY.with(|memory| {
            memory.try_borrow_mut().map_or(Ok(false), |mut memory| {
                memory.renew();
                each(&mut memory, &frame)
            })
        })?;
        if !goes_on {
            break;
        }
        next = Some(frame.getattr(name!(py, "f_back"))?).filter(|back| !back.is_none());
    }
    Ok(())
}

/// The label of where in the user's program the calling thread is; 0 if that cannot be told.
pub fn site(py: Python<'_>) -> u32 {
    let mut found = 0;
    let walked = walk(py, |memory, frame| {
        found = memory.label(frame)?.unwrap_or(0);
        Ok(found == 0)
    });
    if walked.is_err() { 0 } else { found }
}

/// The same, and the label of the whole stack of the user's frames.
pub fn site_and_stack(py: Python<'_>) -> (u32, u32) {
    let mut frames = Vec::new();
    let walked = walk(py, |memory, frame| {
        frames.extend(memory.label(frame)?);
        Ok(frames.len() < MOST_FRAMES)
    });
    let Some(&site) = frames.first().filter(|_| walked.is_ok()) else { return (0, 0) };
    let stack = MEMORY.with_borrow_mut(|memory| {
        *memory.stacks.entry(frames).or_insert_with_key(|frames| recorder::label_stack(frames))
    });
    (site, stack)
}

/// Record what the environment says, from the start; one that cannot be joined is told of, and the program goes on.
pub fn begin_as_told() {
    let Some(directory) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else { return };
    if let Err(error) = recorder::join(Path::new(&directory)) {
        eprintln!("procession: nothing is recorded in {}: {error}", PathBuf::from(directory).display());
    }
}

/// Make a recording in a directory that is there, unless it holds one, and take part in it. `what`: 1 for the timeline,
/// 2 for the race detector, 3 for both; `limit`: bytes of records of the whole family, 0 for a gigabyte.
///
/// Returns what is recorded there. Raises: OSError.
#[pyfunction]
#[pyo3(signature = (directory, what, limit = 0))]
pub fn record_into(directory: OsString, what: u32, limit: u64) -> PyResult<u32> {
    let directory = PathBuf::from(directory);
    let joined = recorder::create(&directory, what, limit).and_then(|()| recorder::join(&directory));
    joined.map_err(|error| PyOSError::new_err(format!("cannot record in {}: {error}", directory.display())))
}

/// What is recorded: 1 for the timeline, 2 for the race detector, 3 for both, 0 for nothing.
#[pyfunction]
pub fn recording() -> u32 {
    recorder::RECORDING.load(std::sync::atomic::Ordering::Relaxed)
}

/// Record no more in this process, nor in children that it forks.
#[pyfunction]
pub fn stop_recording() {
    recorder::leave();
}

/// Write a record, if something is recorded. `label`: a text in the place of the caller's line; `ticket`: take one;
/// `stack`: with the caller's whole stack.
#[pyfunction]
#[pyo3(signature = (kind, object = 0, a = 0, b = 0, *, label = None, flags = 0, ticket = false, stack = false, arena = 0, extra = 0))]
#[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // the fields of a record
pub fn record(
    py: Python<'_>,
    kind: u16,
    object: u64,
    a: i64,
    b: i64,
    label: Option<&str>,
    flags: u16,
    ticket: bool,
    stack: bool,
    arena: u32,
    extra: u32,
) {
    if !recorder::is_on(recorder::TRACE | recorder::CHECK) {
        return;
    }
    let nanos = sys::monotonic().as_nanos() as u64;
    let (site, stack) = match label {
        Some(text) => (recorder::label(text), 0),
        None if stack => site_and_stack(py),
        None => (site(py), 0),
    };
    let ticket = if ticket { recorder::ticket() } else { 0 };
    let (a, b) = (a as u64, b as u64);
    recorder::record_at(nanos, &Event { kind, flags, arena, object, a, b, site, stack, ticket, extra });
}
