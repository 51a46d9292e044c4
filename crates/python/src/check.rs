//! What the race detector is told: synchronisation and accesses to shared memory, as records of the recorder.
//!
//! Nothing here runs unless somebody asked for it by `watch::watch`, which puts recording methods in the place of the plain ones
//! on the classes: without it the classes are what they always were. What the records mean is told in
//! `python/procession/check/events.py`.
//!
//! Loops stay cheap because little is written (see [`memory`]), and what is left out can only lead to silence.

mod items;
mod memory;
mod size;

use crate::arena::{Object, PyArena};
use crate::blocks::PyBlock;
use crate::once::name;
use crate::recorder as place;
use crate::site;
pub use items::record_items;
pub use size::is_small;

use memory::{Known, Memory, Site};
use procession_core::arena::Handle;
use procession_core::recorder::{self, CHECK, PRIVATE, TRACE};
use procession_core::sys;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyInt;
use std::cell::{Cell, RefCell};

pub const RELEASE: u16 = 64;
pub const ACQUIRE: u16 = 65;
pub const LOCK: u16 = 66;
pub const UNLOCK: u16 = 67;
pub const READ: u16 = 72;
pub const WRITE: u16 = 73;
pub const UPDATE: u16 = 74;
/// Several items in one step.
pub const SLICE: u16 = 2;
/// Frames to look at for one of the user's.
const DEEPEST: usize = 32;
/// A read that tells only that there was one, see `memory`.
const AGAIN: u16 = 4;

/// What names a shared object in the whole family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Name {
    arena: u32,
    object: u64,
    flags: u16,
}

impl Name {
    /// Of an object by its handle. The serial number is in it: memory that is used again is another object.
    #[inline]
    pub fn of(handle: &Handle) -> Self {
        let (offset, serial) = handle.address();
        Self::new(handle.arena(), offset, serial)
    }

    fn new(arena: &procession_core::arena::Arena, offset: u64, serial: u64) -> Self {
        Self {
            arena: arena.token()[0] as u32,
            object: offset.wrapping_add(serial.wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1),
            flags: if arena.is_shared() { 0 } else { PRIVATE },
        }
    }

    /// The number of the object alone.
    #[inline]
    pub fn object(self) -> u64 {
        self.object
    }
}

impl<T> From<&Object<T>> for Name {
    #[inline]
    fn from(object: &Object<T>) -> Self {
        Self::of(object.handle())
    }
}

/// An access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    pub kind: u16,
    pub flags: u16,
    pub name: Name,
    pub start: u32,
    pub end: u32,
    /// The lock that it took for itself; 0 for none.
    pub guard: u64,
}

thread_local! {
    static MEMORY: RefCell<Memory> = const { RefCell::new(Memory::new()) };
}

#[inline]
fn now() -> u64 {
    // Only the timeline asks when.
    if recorder::is_on(TRACE) { sys::monotonic().as_nanos() as u64 } else { 1 }
}

/// Do something with the calling thread's memory; None while it is in use, when a collection has run a destructor.
#[inline]
fn with_memory<R>(work: impl FnOnce(&mut Memory) -> R) -> Option<R> {
    MEMORY.with(|memory| {
        let mut memory = memory.try_borrow_mut().ok()?;
        memory.renew();
        Some(work(&mut memory))
    })
}

/// Do something with the calling thread's memory and where it is in the user's program.
#[inline]
fn at_site<R>(py: Python<'_>, work: impl FnOnce(&mut Memory, Site) -> R) -> Option<R> {
    // SAFETY: attached; a borrowed reference to the running frame, or null where no Python runs.
    let mut frame = unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) };
    for _ in 0..DEEPEST {
        let Some(at) = frame else { break };
        // SAFETY: a live frame; the code is a new reference.
        let code = unsafe { Bound::from_owned_ptr(py, ffi::PyFrame_GetCode(at.as_ptr().cast()).cast()) };
        let instruction = site::instruction_of(&at).unwrap_or(-1);
        match with_memory(|memory| memory.find(&code, instruction))?.unwrap_or_else(|| meet(&code, &at, instruction)) {
            Known::Users(site) => return with_memory(|memory| work(memory, site)),
            Known::Inner => frame = caller(&at),
        }
    }
    with_memory(|memory| work(memory, Site::default()))
}

fn caller<'py>(frame: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let back = || -> PyResult<Bound<'py, PyAny>> { frame.getattr(name!(frame.py(), "f_back")) };
    back().ok().filter(|back| !back.is_none())
}

/// A place that is not known yet.
#[cold]
fn meet(code: &Bound<'_, PyAny>, frame: &Bound<'_, PyAny>, instruction: i32) -> Known {
    let py = code.py();
    let known = if place::is_users(code) {
        // SAFETY: a live frame.
        let line = unsafe { ffi::PyFrame_GetLineNumber(frame.as_ptr().cast()) };
        // What is further in is not the user's: so this is the innermost frame that is.
        let (label, stack) = place::site_and_stack(py);
        Known::Users(Site { label, stack, waits: may_wait(code, line).unwrap_or(true) })
    } else {
        Known::Inner
    };
    let old = with_memory(|memory| memory.keep(code, instruction, known));
    drop(old); // without the borrow: it may run whatever waits for the end of a code object
    known
}

/// Whether a read on this line may be one that waits for a change, as its text says.
fn may_wait(code: &Bound<'_, PyAny>, line: i32) -> PyResult<bool> {
    let module = PyModule::import(code.py(), name!(code.py(), "procession.check.hooks.lines"))?;
    module.call_method1("may_wait", (code.getattr("co_filename")?, line))?.extract()
}

/// Whether accesses are recorded.
#[inline(always)]
pub fn is_on() -> bool {
    recorder::is_on(CHECK)
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Do what a single access does with its own lock, which orders nothing (see `check/races.py`).
pub fn quietly<R>(work: impl FnOnce() -> R) -> R {
    let before = IS_QUIET.replace(true);
    let result = work();
    IS_QUIET.set(before);
    result
}

/// The calling thread made an access (a read), or is about to (a write).
pub fn access(py: Python<'_>, access: &Access) {
    if is_on() {
        at_site(py, |memory, site| memory.accessed(access, site));
    }
}

/// The calling thread is about to release something, or has acquired it.
#[inline]
pub fn synchronised(py: Python<'_>, kind: u16, name: impl Into<Name>, b: u64) {
    if is_on() {
        note(py, kind, name.into(), b);
    }
}

#[cold]
fn note(py: Python<'_>, kind: u16, name: Name, b: u64) {
    if IS_QUIET.get() {
        return;
    }
    match kind {
        LOCK => _ = at_site(py, |memory, site| memory.locked(name, site, b)),
        UNLOCK => _ = with_memory(|memory| memory.unlocking(name, b)),
        _ => _ = with_memory(|memory| memory.synchronised(kind, name, b)),
    }
}

/// The name of an object of ours, or of a number that names something in the family, a negative one in this process.
fn name_of(object: &Bound<'_, PyAny>) -> PyResult<Name> {
    if let Ok(block) = object.cast::<PyBlock>() {
        return Ok(Name::from(&block.get().object));
    }
    if object.is_exact_instance_of::<PyInt>() {
        let number: i64 = object.extract()?;
        let flags = if number < 0 { PRIVATE } else { 0 };
        return Ok(Name { arena: 0, object: number.unsigned_abs(), flags });
    }
    let py = object.py();
    let arena = object.getattr(name!(py, "arena"))?;
    let arena = arena.cast::<PyArena>().map_err(|_| PyTypeError::new_err("no shared object, and no number"))?;
    let (offset, serial): (u64, u64) = object.getattr(name!(py, "address"))?.extract()?;
    Ok(Name::new(arena.get().arena, offset, serial))
}

/// Record that the calling thread synchronises by `object`, one of ours or a number: `kind` as in `check.events`, and `b`
/// its own. Before a release, after an acquisition.
#[pyfunction]
#[pyo3(signature = (kind, object, b = 0))]
pub fn record_synchronised(kind: u16, object: &Bound<'_, PyAny>, b: u64) -> PyResult<()> {
    synchronised(object.py(), kind, name_of(object)?, b);
    Ok(())
}

/// Record an access to bytes `start` to `end` of `object`'s memory, of which the object's own lock knows nothing.
#[pyfunction]
#[pyo3(signature = (kind, object, start, end, flags = 1))]
pub fn record_access(kind: u16, object: &Bound<'_, PyAny>, start: u32, end: u32, flags: u16) -> PyResult<()> {
    let name = name_of(object)?;
    access(object.py(), &Access { kind, flags, name, start, end, guard: 0 });
    Ok(())
}
