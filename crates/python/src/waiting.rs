//! The table of who waits for what, as Python reads it, and the waits that Python does itself.

use crate::arena::PyArena;
use crate::deadlocks;
use crate::wait::{Entered, Waiting};
use procession_core::arena::{Arena, Kind, State};
use procession_core::orders::Order;
use procession_core::owner::Liveness;
use procession_core::sys;
use procession_core::waits::{Action, Entry, LOOKS, TIMED};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// An entry of the table, for Python.
type Waiter = ((usize, u32), u32, (u32, u64), (&'static str, u64, u64), f64, u32, bool, bool);

/// Who waits for what in an arena, of the living: (slot and sequence, pid, the kernel's id and ident of the thread, action
/// with offset of the object and detail, since when on the monotonic clock in seconds, label of the line, whether it has
/// a deadline, whether it looks for deadlocks).
#[pyfunction]
pub fn waits(arena: &PyArena) -> Vec<Waiter> {
    let (waits, life) = (arena.arena.waits(), arena.arena.processes());
    let told = |(slot, sequence, entry): (usize, u32, Entry)| {
        let (pid, _) = life.identity(entry.owner).filter(|_| life.is_alive(entry.owner))?;
        let what = (entry.action.name(), entry.object, entry.detail);
        let (timed, looks) = (entry.flags & TIMED != 0, entry.flags & LOOKS != 0);
        let thread = (entry.native, entry.ident);
        Some(((slot, sequence), pid, thread, what, entry.since as f64 / 1e9, entry.site, timed, looks))
    };
    waits.entries().filter_map(told).collect()
}

/// The object at an offset, for those who wait for it: kind, serial number and what its kind has. None: there is none.
///
/// Of a lock (pid of the holder, his thread) or None, and whether it is a signal; of a semaphore the free permits, and
/// the same; of a queue whether it is empty, is full, is closed, and how many items are not done with.
#[pyfunction]
pub fn obstacle<'py>(py: Python<'py>, arena: &PyArena, offset: u64) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let Some((kind, serial, state)) = arena.arena.obstacle(offset) else { return Ok(None) };
    let kind = Kind::name(kind);
    let told = match state {
        State::Lock { holder, is_signal } => {
            (kind, serial, holder.map(|holder| (holder.pid, holder.thread)), is_signal).into_pyobject(py)?
        }
        State::Semaphore { value, is_signal } => (kind, serial, value, is_signal).into_pyobject(py)?,
        State::Ring { is_empty, is_full, unfinished, is_closed } => {
            (kind, serial, is_empty, is_full, is_closed, unfinished).into_pyobject(py)?
        }
        State::Other => (kind, serial).into_pyobject(py)?,
    };
    Ok(Some(told))
}

/// What the living processes that share an arena are called, by pid; None: it never said.
#[pyfunction]
pub fn process_names(arena: &PyArena) -> HashMap<u32, Option<String>> {
    let life = arena.arena.processes();
    let alive = life.owners().filter(|&owner| life.is_alive(owner));
    let named = |owner| life.identity(owner).map(|(pid, _)| (pid, life.name(owner, pid)));
    alive.filter_map(named).filter(|(pid, _)| *pid != 0).collect()
}

/// Labels of the line that made the object at an offset, and of its name; 0: not known.
#[pyfunction]
pub fn labels_at(arena: &PyArena, offset: u64) -> (u32, u32) {
    arena.arena.labels_at(offset)
}

/// A row of the table of orders, for Python.
type Row = (usize, (u32, u64), (u64, u64), (u32, u32), u64, u64, (u64, u32));

/// In which order locks are taken: (number, (pid, ident), serial numbers of the lock held and of the one taken, labels of
/// their lines, gates, last seen (ns), (when joined (ns, 0: not), by which thread, the kernel's id)).
#[pyfunction]
pub fn orders(arena: &PyArena) -> Vec<Row> {
    let told = |(number, order): (usize, Order)| {
        let [held, taken] = order.sites;
        let (thread, locks) = ((order.pid, order.ident), (order.held, order.taken));
        (number, thread, locks, (held, taken), order.gates, order.last, (order.joined, order.joined_by))
    };
    arena.arena.orders().rows().map(told).collect()
}

/// The calling thread has waited for the end of a thread, or (`ident` 0) of a process.
#[pyfunction]
pub fn joined(pid: u32, ident: u64) {
    let now = sys::monotonic().as_nanos() as u64;
    Arena::everywhere().for_each(|arena| arena.orders().join(pid, ident, sys::native_thread(), now));
}

/// The text of a label; None for 0.
#[pyfunction]
pub fn label_text(arena: &PyArena, label: u32) -> Option<String> {
    arena.arena.label_text(label)
}

/// Whether the processes that share an arena look for deadlocks.
#[pyfunction]
pub fn detecting(arena: &PyArena) -> bool {
    arena.arena.waits().detecting()
}

/// Have them do so, or not; this one at once, others when they next wait.
#[pyfunction]
pub fn detect(arena: &PyArena, on: bool) {
    arena.arena.waits().set_detecting(on);
    deadlocks::notice(arena.arena);
}

/// A wait that Python does: for `with`. It stands in the table from the entering on.
#[pyclass(frozen, name = "Waiting", module = "procession._native")]
pub struct PyWaiting {
    what: Waiting,
    timed: bool,
    entered: Mutex<Option<Entered>>,
}

#[pymethods]
impl PyWaiting {
    #[new]
    #[pyo3(signature = (arena, action, object, detail = 0, *, timed = false))]
    fn new(arena: &Bound<'_, PyArena>, action: &str, object: u64, detail: u64, timed: bool) -> PyResult<Self> {
        let action = Action::named(action).ok_or_else(|| PyValueError::new_err(format!("no action {action:?}")))?;
        let what = Waiting { arena: arena.get().arena, action, object, detail };
        Ok(Self { what, timed, entered: Mutex::new(None) })
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        let entered = Entered::new(slf.py(), slf.get().what, slf.get().timed.then(Instant::now));
        entered.enter();
        entered.locate(slf.py());
        entered.record(slf.py());
        *slf.get().lock() = Some(entered);
        slf
    }

    #[pyo3(signature = (*error))]
    fn __exit__(&self, error: &Bound<'_, PyTuple>) {
        let entered = self.lock().take();
        if let Some(entered) = entered {
            entered.record_end(error.py(), false);
        }
    }

    /// Whether this wait is to look for deadlocks: `look` is to be called every 20 ms.
    #[getter]
    fn looks(&self) -> bool {
        self.lock().as_ref().is_some_and(Entered::looks)
    }

    /// Called for the `slices`th time. Raises: DeadlockError.
    fn look(&self, py: Python<'_>, slices: u32) -> PyResult<()> {
        // Not behind the lock: looking runs Python.
        let entered = self.lock().take();
        let looked = entered.as_ref().map_or(Ok(()), |entered| entered.last(py, slices));
        *self.lock() = entered;
        looked
    }
}

impl PyWaiting {
    fn lock(&self) -> MutexGuard<'_, Option<Entered>> {
        self.entered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
