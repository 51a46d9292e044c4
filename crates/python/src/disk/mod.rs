//! A queue of Python objects on disk: the codec around `procession-disk`.
//!
//! As with a ring, objects are encoded before the queue's lock is taken and decoded after it is released, and a call
//! first tries with the GIL held; one that has to wait, or to flush, releases it. What is different: a message is one
//! run of bytes (`frame`) and may mention nothing that lives in memory (`putting`); what was changed is settled before
//! the call returns, on a queue that survives power cuts by a flush; what was taken cannot be put back (`getting`).

mod frame;
mod getting;
mod putting;

use crate::arena::{Object, PyArena};
use crate::errors;
use crate::wait::{self, Waiting};
use getting::Spare;
use procession_core::arena::{Arena, Kind};
use procession_core::error::WaitError;
use procession_core::waits::Action;
use procession_disk::{Error, Options, Queue, State, Ticket};
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

/// Messages and bytes that `put_many` and `get_many` move in one go.
const BATCH_ITEMS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// `block` and `timeout` of a call.
type How = (bool, Option<f64>);

/// A deadline that has passed.
static PAST: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A queue whose items lie in the files of a directory.
#[pyclass(frozen, subclass, name = "DiskQueue", module = "procession._native")]
pub struct PyDiskQueue {
    /// Before the state that it refers to, so that it is dropped first.
    queue: Queue<&'static Arena>,
    state: Object<State>,
    options: Options,
    /// As people know the directory.
    path: String,
    spare: Spare,
    /// `close()` was called on this handle; a matter of this process alone.
    closed: AtomicBool,
    /// Calls that are at work on it.
    users: AtomicU32,
}

/// A call at work on a handle.
struct Using<'a>(&'a PyDiskQueue);

impl Drop for Using<'_> {
    fn drop(&mut self) {
        // SYNC: Release pairs with the load in `close`: what the call did comes before what whoever closes does.
        self.0.users.fetch_sub(1, Ordering::Release);
    }
}

impl PyDiskQueue {
    /// Begin a call. Raises: Closed.
    fn enter(&self, py: Python<'_>) -> PyResult<Using<'_>> {
        // SYNC: SeqCst here and in `close`: of a call that begins and a close, one at least sees the other.
        self.users.fetch_add(1, Ordering::SeqCst);
        let using = Using(self);
        if self.closed.load(Ordering::SeqCst) {
            let message = "this queue is closed: close() was called on it in this process";
            return Err(errors::raise(py, "Closed", (message,)));
        }
        Ok(using)
    }

    fn failed(&self, py: Python<'_>, error: &Error) -> PyErr {
        errors::disk(py, error, &self.path)
    }

    /// Try at once; then without the GIL until the deadline, if there is one to wait for.
    fn attempt<R: Send>(
        &self,
        py: Python<'_>,
        action: Action,
        (block, timeout): How,
        mut attempt: impl FnMut(Option<Instant>) -> Result<R, Error> + Send,
    ) -> PyResult<R> {
        let error = match attempt(Some(*PAST)) {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        if !block || !may_pass(&error) {
            return Err(self.failed(py, &error));
        }
        let deadline = wait::deadline(timeout)?;
        let done = wait::until(py, Waiting::on(action, &self.state), deadline, |deadline| match attempt(deadline) {
            Ok(result) => Ok(Ok(result)),
            Err(Error::Interrupted) => Err(WaitError::Interrupted),
            Err(error) if may_pass(&error) => Err(WaitError::TimedOut),
            Err(error) => Ok(Err(error)),
        })?;
        done.unwrap_or(Err(error)).map_err(|error| self.failed(py, &error))
    }

    /// Return when a change is as safe as this queue promises. An exception of a signal's handler leaves it made.
    fn settle(&self, py: Python<'_>, ticket: Ticket) -> PyResult<()> {
        if !self.options.power {
            let _ = ticket;
            return Ok(());
        }
        self.persist(py, || self.queue.settle(ticket, None))
    }

    /// Do, without the GIL, what takes as long as it takes; between its slices signals are handled.
    fn persist<R: Send>(&self, py: Python<'_>, attempt: impl Fn() -> Result<R, Error> + Sync) -> PyResult<R> {
        loop {
            match py.detach(&attempt) {
                Err(Error::Interrupted) => py.check_signals()?,
                result => return result.map_err(|error| self.failed(py, &error)),
            }
        }
    }
}

/// Whether an error is one that waiting may mend.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Full | Error::Empty | Error::TimedOut | Error::Interrupted)
}

#[pymethods]
impl PyDiskQueue {
    /// The queue in a directory that exists. Without an address its state is made in the arena, from the files: for who
    /// has the queue alone. `directory` is what is opened, `path` what people call it.
    #[new]
    #[pyo3(signature = (arena, directory, path, *, joinable = false, power = false, max_items = 0, max_bytes = 0,
        max_deliveries = 0, salvage = false, intact = false, address = None))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // by name, from one place
    fn new(
        arena: &Bound<'_, PyArena>,
        directory: &str,
        path: &str,
        joinable: bool,
        power: bool,
        max_items: u64,
        max_bytes: u64,
        max_deliveries: u32,
        salvage: bool,
        intact: bool,
        address: Option<(u64, u64)>,
    ) -> PyResult<Self> {
        LazyLock::force(&PAST);
        let (py, home) = (arena.py(), arena.get().arena);
        let object: Object<State> = match address {
            Some(address) => Object::open(arena, Kind::DiskQueue, address)?,
            None => Object::create_sized(arena, Kind::DiskQueue, size_of::<State>() as u64)?,
        };
        // SAFETY: arenas are never unmapped, and the object is kept as long as the queue (see the order of the fields).
        let state: &'static State = unsafe { &*std::ptr::from_ref(object.get()) };
        let segments = Options::default().segments;
        let options = Options { joinable, power, max_items, max_bytes, max_deliveries, salvage, intact, segments };
        let directory = Path::new(directory);
        let queue = match address {
            Some(_) => Queue::attach(directory, state, home),
            None => py
                .detach(|| Queue::make(directory, &options, state, home))
                .map_err(|error| errors::disk(py, &error, path))?,
        };
        let (options, closed, users) = (queue.options(), AtomicBool::new(false), AtomicU32::new(0));
        Ok(Self { queue, state: object, options, path: path.to_owned(), spare: Spare::default(), closed, users })
    }

    /// The memory that it lies in.
    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.state.arena(py)
    }

    /// Where it lies in the arena: offset and serial number. What is pickled of it.
    #[getter]
    fn address(&self) -> (u64, u64) {
        self.state.address()
    }

    /// The directory, as people know it.
    #[getter]
    fn path(&self) -> &str {
        &self.path
    }

    /// Put an object. It is encoded at once; when this returns it is in the file.
    #[pyo3(signature = (obj, block = true, timeout = None))]
    fn put(&self, py: Python<'_>, obj: &Bound<'_, PyAny>, block: bool, timeout: Option<f64>) -> PyResult<()> {
        let _using = self.enter(py)?;
        self.put_object(py, obj, (block, timeout))
    }

    /// Put every object of a sequence; returns how many were put before the deadline. Raises Full when none was.
    #[pyo3(signature = (objects, block = true, timeout = None))]
    fn put_many(
        &self,
        py: Python<'_>,
        objects: &Bound<'_, PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<usize> {
        let _using = self.enter(py)?;
        self.put_objects(py, objects, (block, timeout))
    }

    /// Take an object.
    #[pyo3(signature = (block = true, timeout = None))]
    fn get(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let _using = self.enter(py)?;
        self.get_object(py, (block, timeout))
    }

    /// Take up to `max_items` objects; waits only for the first.
    #[pyo3(signature = (max_items = 1024, block = true, timeout = None))]
    fn get_many<'py>(
        &self,
        py: Python<'py>,
        max_items: usize,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let _using = self.enter(py)?;
        self.get_objects(py, max_items, (block, timeout))
    }

    /// Wait until there is something to take, or the queue is shut down. False: the timeout passed.
    #[pyo3(signature = (timeout = None))]
    fn poll(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let _using = self.enter(py)?;
        let how = (true, timeout);
        match self.attempt(py, Action::Poll, how, |deadline| self.queue.wait_nonempty(deadline)) {
            Err(error) if errors::is(py, &error, "Empty") => Ok(false),
            found => found.map(|()| true),
        }
    }

    /// One taken item is done with. False when there was none; of a queue that is not joined there never is.
    fn task_done(&self, py: Python<'_>) -> PyResult<bool> {
        let _using = self.enter(py)?;
        if !self.options.joinable {
            return Ok(false);
        }
        let ticket = self.attempt(py, Action::Finish, (true, None), |deadline| self.queue.done(deadline))?;
        ticket.map_or(Ok(false), |ticket| self.settle(py, ticket).map(|()| true))
    }

    /// Wait until all items are done with. False: the timeout passed.
    #[pyo3(signature = (timeout = None))]
    fn join(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let _using = self.enter(py)?;
        match self.attempt(py, Action::Finish, (true, timeout), |deadline| self.queue.join(deadline)) {
            Err(error) if errors::is(py, &error, "TimeoutError") => Ok(false),
            joined => joined.map(|()| true),
        }
    }

    /// All that was put and taken so far is on the disk when this returns.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let _using = self.enter(py)?;
        self.persist(py, || self.queue.flush(None))
    }

    /// Let nothing more be put; `immediate` also drops what is there, as done.
    #[pyo3(signature = (immediate = false))]
    fn shutdown(&self, py: Python<'_>, immediate: bool) -> PyResult<()> {
        let _using = self.enter(py)?;
        self.persist(py, || self.queue.shut_down(immediate)).map(|_| ())
    }

    /// This handle is used no more; others are not affected. False: a call of another thread is still at work on it.
    fn close(&self) -> bool {
        // SYNC: see `enter`. The load also pairs with the Release of a call's end.
        self.closed.store(true, Ordering::SeqCst);
        self.users.load(Ordering::SeqCst) == 0
    }

    /// Whether `close()` was called on this handle.
    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Items that can be taken now.
    fn qsize(&self, py: Python<'_>) -> PyResult<u64> {
        let _using = self.enter(py)?; // also because who is not present may not give back what others have
        py.detach(|| self.queue.look_after_takers());
        Ok(self.queue.len())
    }

    /// Whether there was nothing to take a moment ago.
    fn empty(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.qsize(py)? == 0)
    }

    /// Whether one more item would have been refused a moment ago, as far as the bound on items tells.
    fn full(&self, py: Python<'_>) -> PyResult<bool> {
        let _using = self.enter(py)?;
        Ok(self.queue.is_full())
    }

    /// Bytes of items in the files that nobody has taken.
    fn nbytes(&self, py: Python<'_>) -> PyResult<u64> {
        let _using = self.enter(py)?;
        Ok(self.queue.nbytes())
    }

    /// Items ever taken and ever put.
    #[getter]
    fn position(&self) -> (u64, u64) {
        self.queue.position()
    }

    /// Items put and not yet done with.
    fn unfinished(&self, py: Python<'_>) -> PyResult<u64> {
        let _using = self.enter(py)?;
        Ok(self.queue.unfinished())
    }

    /// The bound on items; 0 for none.
    #[getter]
    fn max_items(&self) -> u64 {
        self.options.max_items
    }

    /// Whether `shutdown` was called, by any process.
    #[getter]
    fn is_shutdown(&self) -> bool {
        self.queue.is_shut_down()
    }

    /// How often the item that this thread took last was delivered, 1 for the first time.
    #[getter]
    fn delivery_count(&self) -> u32 {
        self.deliveries()
    }

    /// Whether getters, putters, joiners may be asleep.
    fn sleepers(&self) -> (bool, bool, bool) {
        self.queue.has_sleepers()
    }
}
