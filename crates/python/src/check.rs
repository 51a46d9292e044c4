//! What the race detector is told: synchronisation and accesses to shared memory, as records of the recorder.
//!
//! Nothing here runs unless somebody asked for it by [`watch`], which puts recording methods in the place of the plain ones
//! on the classes: without it the classes are what they always were. What the records mean is told in
//! `python/procession/check/events.py`.
//!
//! Loops stay cheap by writing an access once: one that the calling thread has made before, at the same place, to the same
//! bytes, with nothing recorded that synchronises since then, tells nothing new. Those are remembered in a small table
//! whose entries push each other out; an access that was pushed out is written once more. A read that is repeated is
//! written again before the thread's next other record: it may have waited for a change, and then it is the last one that
//! saw it.

use crate::arena::{Object, PyArena};
use crate::once::name;
use crate::recorder as place;
use procession_core::arena::Handle;
use procession_core::recorder::{self, CHECK, Event, PRIVATE, TRACE};
use procession_core::sys;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
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

/// Accesses that a thread remembers.
const REMEMBERED: usize = 256;
/// Places in the program that a thread knows by code object and line.
const KNOWN: usize = 512;
/// Repeated reads that wait to be written; beyond it the oldest is written at once.
const PENDING: usize = 8;

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

#[derive(Clone, Copy, Default)]
struct Entry {
    round: u32,
    site: u32,
    access: Access,
    is_pending: bool,
}

struct Known {
    code: Py<PyAny>,
    line: i32,
    site: u32,
    /// The stack it was first met with.
    stack: u32,
}

/// What a thread remembers.
struct Memory {
    generation: u32,
    /// Moves on at each synchronisation: entries of earlier rounds do not count.
    round: u32,
    entries: Vec<Entry>,
    pending: Vec<u16>,
    known: Vec<Option<Known>>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = const {
        RefCell::new(Memory { generation: 0, round: 1, entries: Vec::new(), pending: Vec::new(), known: Vec::new() })
    };
}

#[inline]
fn now() -> u64 {
    // Only the timeline asks when.
    if recorder::is_on(TRACE) { sys::monotonic().as_nanos() as u64 } else { 1 }
}

fn spread(number: u64, size: usize) -> usize {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % size
}

impl Memory {
    fn renew(&mut self) {
        let generation = recorder::generation();
        if self.generation != generation {
            self.generation = generation;
            self.round = 1;
            self.entries.clear();
            self.entries.resize(REMEMBERED, Entry::default());
            self.pending.clear();
            self.known.clear();
            self.known.resize_with(KNOWN, || None);
        }
    }

    /// Write the repeated reads, which come before whatever is recorded next.
    fn flush(&mut self) {
        while let Some(at) = self.pending.pop() {
            let entry = &mut self.entries[at as usize];
            if entry.is_pending {
                entry.is_pending = false;
                write(&entry.access, entry.site, 0);
            }
        }
    }

    /// Whether the access is to be written.
    fn is_new(&mut self, access: &Access, site: u32) -> bool {
        let mixed = access.name.object ^ u64::from(access.start) << 20 ^ u64::from(site) << 3 ^ u64::from(access.kind);
        let at = spread(mixed, REMEMBERED);
        let round = self.round;
        let entry = &mut self.entries[at];
        if entry.round == round && entry.site == site && entry.access == *access {
            if access.kind == READ && !entry.is_pending {
                entry.is_pending = true;
                self.pending.push(at as u16);
                if self.pending.len() > PENDING {
                    self.flush();
                }
            }
            return false;
        }
        self.flush();
        self.entries[at] = Entry { round, site, access: *access, is_pending: false };
        true
    }

    fn find(&self, at: usize, code: *mut ffi::PyObject, line: i32) -> Option<(u32, u32)> {
        let known = self.known[at].as_ref()?;
        (known.code.as_ptr() == code && known.line == line).then_some((known.site, known.stack))
    }
}

/// Where in the user's program the calling thread is, and the stack with which it was first met there.
fn site(py: Python<'_>) -> (u32, u32) {
    // SAFETY: attached; a borrowed reference to the running frame, or null where no Python runs.
    let frame = unsafe { ffi::PyEval_GetFrame() };
    if frame.is_null() {
        return (0, 0);
    }
    // SAFETY: a live frame; the code is a new reference, and stays alive by the frame when that is given back.
    let (code, line) = unsafe {
        let code = Bound::from_owned_ptr(py, ffi::PyFrame_GetCode(frame).cast());
        (code, ffi::PyFrame_GetLineNumber(frame))
    };
    let at = spread((code.as_ptr() as u64 >> 4).wrapping_add(line as u64), KNOWN);
    let found = MEMORY.with(|memory| {
        let mut memory = memory.try_borrow_mut().ok()?;
        memory.renew();
        memory.find(at, code.as_ptr(), line)
    });
    found.unwrap_or_else(|| meet(&code, line, at))
}

#[cold]
fn meet(code: &Bound<'_, PyAny>, line: i32, at: usize) -> (u32, u32) {
    let py = code.py();
    let pending = PyErr::take(py);
    let (site, stack) = place::site_and_stack(py);
    if place::is_users(code) {
        let known = Known { code: code.clone().unbind(), line, site, stack };
        let old =
            MEMORY.with(|memory| memory.try_borrow_mut().ok().and_then(|mut memory| memory.known[at].replace(known)));
        drop(old); // without the borrow: it may run whatever waits for the end of a code object
    }
    if let Some(error) = pending {
        error.restore(py);
    }
    (site, stack)
}

fn write(access: &Access, site: u32, stack: u32) {
    let Access { kind, flags, name, start, end, guard } = *access;
    recorder::record_at(
        now(),
        &Event {
            kind,
            flags: flags | name.flags,
            arena: name.arena,
            object: name.object,
            a: u64::from(start) << 32 | u64::from(end),
            b: guard,
            site,
            stack,
            ticket: if kind == READ { recorder::ticket() } else { 0 },
            extra: 0,
        },
    );
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
    if !is_on() {
        return;
    }
    let (site, stack) = site(py);
    let is_new = MEMORY.with(|memory| {
        memory.try_borrow_mut().is_ok_and(|mut memory| {
            memory.renew();
            memory.is_new(access, site)
        })
    });
    if is_new {
        write(access, site, stack);
    }
}

/// The calling thread is about to release something, or has acquired it.
#[inline]
pub fn synchronised(py: Python<'_>, kind: u16, name: impl Into<Name>, b: u64) {
    if is_on() {
        write_synchronised(py, kind, name.into(), b);
    }
}

#[cold]
fn write_synchronised(py: Python<'_>, kind: u16, name: Name, b: u64) {
    if IS_QUIET.get() {
        return;
    }
    let (site, stack) = if kind == LOCK { site(py) } else { (0, 0) };
    MEMORY.with(|memory| {
        if let Ok(mut memory) = memory.try_borrow_mut() {
            memory.renew();
            memory.flush();
            memory.round = memory.round.wrapping_add(1);
        }
    });
    let ticket = recorder::ticket();
    let Name { arena, object, flags } = name;
    recorder::record_at(now(), &Event { kind, flags, arena, object, a: 0, b, site, stack, ticket, extra: 0 });
}

/// The name of an object of ours, or of a number that names something in the family, a negative one in this process.
fn name_of(object: &Bound<'_, PyAny>) -> PyResult<Name> {
    if let Ok(number) = object.extract::<i64>() {
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

/// Put recording methods on Lock, RLock, Value and Array, for the life of this process and of those it forks.
#[pyfunction]
pub fn watch(py: Python<'_>) -> PyResult<()> {
    crate::synchronize::watch(py)?;
    crate::sharedctypes::watch(py)
}
