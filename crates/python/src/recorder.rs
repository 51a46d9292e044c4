//! The recorder as Python sees it, and where in the user's program a thread is.
//!
//! Whose a frame is, [`site`](crate::site) knows. Labels here are of the process's own table, for those of an arena are
//! gone with the program; they are kept by code object and line, and with a reference to the code, so that its address
//! is not another's later.

use crate::once::name;
use crate::site::{self, Whose};
use procession_core::arena::Arena;
use procession_core::recorder::{self, Event, kind};
use procession_core::sys;
use procession_core::waits::Action;
use pyo3::exceptions::PyOSError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Names the directory of a recording to every process that inherits it.
pub const VARIABLE: &str = "PROCESSION_RECORD";
/// Frames of a stack that are recorded, at most.
const MOST_FRAMES: usize = 32;
/// Frames to look at before giving up.
const DEEPEST: usize = 256;
/// Sites that a thread remembers; beyond it all are forgotten.
const MOST_KEPT: usize = 4096;

/// What a thread remembers: labels of sites, by code object and line, and of stacks.
#[derive(Default)]
struct Memory {
    /// The recorder's generation that the labels are of.
    generation: u32,
    /// The thread's name was recorded.
    is_named: bool,
    sites: HashMap<(usize, i32), (Py<PyAny>, u32)>,
    stacks: HashMap<Vec<u32>, u32>,
    /// What objects are called, by arena and offset: serial number and label.
    objects: HashMap<(usize, u64), (u64, u32)>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
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
            self.is_named = false;
            self.sites.clear();
            self.stacks.clear();
            self.objects.clear();
        }
        if self.sites.len() > MOST_KEPT {
            self.sites.clear();
        }
        if self.stacks.len() > MOST_KEPT {
            self.stacks.clear();
        }
        if self.objects.len() > MOST_KEPT {
            self.objects.clear();
        }
    }

    /// The label of a frame of the user's.
    fn label(&mut self, frame: &Bound<'_, PyAny>, code: &Bound<'_, PyAny>) -> PyResult<u32> {
        // SAFETY: a live frame.
        let line = unsafe { ffi::PyFrame_GetLineNumber(frame.as_ptr().cast()) };
        let key = (code.as_ptr() as usize, line);
        if let Some((_, label)) = self.sites.get(&key) {
            return Ok(*label);
        }
        let label = recorder::label(&site::write_out(frame, code)?);
        self.sites.insert(key, (code.clone().unbind(), label));
        Ok(label)
    }
}

/// Labels of the user's frames, innermost first, `most` of them.
fn frames(py: Python<'_>, most: usize) -> PyResult<Vec<u32>> {
    let mut found = Vec::new();
    let mut next = innermost(py);
    for _ in 0..DEEPEST {
        let Some(frame) = next else { break };
        // SAFETY: a live frame; the result is a new reference, never null.
        let code: Bound<'_, PyAny> = unsafe {
            Bound::from_owned_ptr(py, ffi::PyFrame_GetCode(frame.as_ptr().cast::<ffi::PyFrameObject>()).cast())
        };
        match site::whose(&code)? {
            Whose::Bottom => break,
            Whose::Inside => {}
            Whose::User => found.push(remembered(|memory| memory.label(&frame, &code))?),
        }
        if found.len() >= most {
            break;
        }
        next = Some(frame.getattr(name!(py, "f_back"))?).filter(|back| !back.is_none());
    }
    Ok(found)
}

/// 0 if it is taken already: a collection came in between, and what it ended is recording. Rare, and not worth more.
fn remembered(ask: impl FnOnce(&mut Memory) -> PyResult<u32>) -> PyResult<u32> {
    MEMORY.with(|memory| {
        memory.try_borrow_mut().map_or(Ok(0), |mut memory| {
            memory.renew();
            ask(&mut memory)
        })
    })
}

/// Whether a code object is the user's.
pub fn is_users(code: &Bound<'_, PyAny>) -> bool {
    site::whose(code).is_ok_and(|whose| whose == Whose::User)
}

/// The label of where in the user's program the calling thread is; 0 if that cannot be told.
pub fn site(py: Python<'_>) -> u32 {
    calmly(py, || frames(py, 1)).first().copied().unwrap_or(0)
}

/// The same, and the label of the whole stack of the user's frames.
pub fn site_and_stack(py: Python<'_>) -> (u32, u32) {
    let frames = calmly(py, || frames(py, MOST_FRAMES));
    let Some(&site) = frames.first() else { return (0, 0) };
    let stack = remembered(|memory| {
        Ok(*memory.stacks.entry(frames).or_insert_with_key(|frames| recorder::label_stack(frames)))
    });
    (site, stack.unwrap_or(0))
}

/// Attributes are read, which an exception that is already set would confuse.
fn calmly(py: Python<'_>, work: impl FnOnce() -> PyResult<Vec<u32>>) -> Vec<u32> {
    let pending = PyErr::take(py);
    let found = work().unwrap_or_default();
    if let Some(error) = pending {
        error.restore(py);
    }
    found
}

/// Write a record; before a thread's first one its name, and before a process's first one that of the process.
pub fn write(py: Python<'_>, nanos: u64, event: &Event) {
    let is_new = MEMORY.with(|memory| {
        memory.try_borrow_mut().is_ok_and(|mut memory| {
            memory.renew();
            !std::mem::replace(&mut memory.is_named, true)
        })
    });
    if is_new {
        calmly(py, || introduce(py, nanos).map(|()| Vec::new()));
    }
    recorder::record_at(nanos, event);
}

/// The same of now.
pub fn note(py: Python<'_>, event: &Event) {
    write(py, now(), event);
}

/// What a thread waits for: where the object is, what is to be done with it, its offset, and the action's detail.
pub type Wanted = (&'static Arena, Action, u64, u64);

/// The calling thread waits, since `nanos`.
pub fn wait_begun(py: Python<'_>, nanos: u64, what: Wanted) {
    let event = Event { kind: kind::WAIT, site: site(py), extra: called(what), ..of(what) };
    write(py, nanos, &event);
}

/// It waits no longer.
pub fn wait_over(py: Python<'_>, what: Wanted, timed_out: bool) {
    note(py, &Event { kind: kind::WAIT_DONE, extra: u32::from(timed_out), ..of(what) });
}

fn of((arena, action, object, b): Wanted) -> Event {
    let flags = if arena.is_shared() { 0 } else { recorder::PRIVATE };
    Event { flags, arena: arena.token()[0] as u32, object, a: action as u64, b, ..Event::default() }
}

/// The label of what an object is called, 0 for one that is in no arena.
fn called((arena, action, object, detail): Wanted) -> u32 {
    if action == Action::Join || detail != 0 {
        return 0;
    }
    let place = (std::ptr::from_ref(arena) as usize, object);
    let serial = arena.serial(object);
    let known = |memory: &mut Memory| memory.objects.get(&place).filter(|it| it.0 == serial).map_or(0, |it| it.1);
    if let Ok(label @ 1..) = remembered(|memory| Ok(known(memory))) {
        return label;
    }
    let Some((serial, name)) = arena.called(object) else { return 0 };
    let label = recorder::label(&name);
    let _ = remembered(|memory| {
        memory.objects.insert(place, (serial, label));
        Ok(0)
    });
    label
}

/// Nanoseconds of the machine's clock.
pub fn now() -> u64 {
    sys::monotonic().as_nanos() as u64
}

/// What the calling thread is called, and if it is the main one, its process. Asks for no thread's object that there is not.
fn introduce(py: Python<'_>, nanos: u64) -> PyResult<()> {
    let threading = PyModule::import(py, "threading")?;
    let thread = threading.getattr("_active")?.call_method1("get", (sys::thread_ident(),))?;
    let named = |flags, name: &str| {
        let site = recorder::label(name);
        recorder::record_at(nanos, &Event { kind: kind::NAME, flags, site, ..Event::default() });
    };
    if sys::native_thread() == sys::pid() {
        let process = PyModule::import(py, "multiprocessing.process")?.call_method0("current_process")?;
        named(0, &process.getattr("name")?.extract::<String>()?);
    }
    if !thread.is_none() {
        named(1, &thread.getattr("name")?.extract::<String>()?);
    }
    Ok(())
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

/// Write a record, if something is recorded. `label`: a text in the place of the caller's line, which may be empty; `ticket`: take one;
/// `stack`: with the caller's whole stack; `name`: a text whose label goes into `extra`.
#[pyfunction]
#[pyo3(signature = (kind, object = 0, a = 0, b = 0, *, label = None, flags = 0, ticket = false, stack = false, arena = 0,
                    extra = 0, name = None))]
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
    name: Option<&str>,
) {
    if !recorder::is_on(recorder::TRACE | recorder::CHECK) {
        return;
    }
    let nanos = now();
    let (site, stack) = match label {
        Some("") => (0, 0),
        Some(text) => (recorder::label(text), 0),
        None if stack => site_and_stack(py),
        None => (site(py), 0),
    };
    let extra = name.map_or(extra, recorder::label);
    let ticket = if ticket { recorder::ticket() } else { 0 };
    let (a, b) = (a as u64, b as u64);
    write(py, nanos, &Event { kind, flags, arena, object, a, b, site, stack, ticket, extra });
}
