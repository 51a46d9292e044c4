//! A queue of Python objects: the codec around the core's ring of bytes.
//!
//! Objects are encoded before the ring's lock is taken and decoded after it is released. What is large goes into a
//! block of its own and the ring carries the reference. The ring is first tried with the GIL held; only a call that has
//! to wait releases it.

mod messages;
mod receiving;
mod watching;

pub use messages::{Incoming, Outgoing};

use crate::arena::{Object, PyArena};
use crate::check;
use crate::codec::{self, Encoder, OUT_OF_BAND};
use crate::wait::Waiting;
use crate::{errors, wait};
use messages::BATCH_BYTES;
use procession_core::arena::{Kind, Watching};
use procession_core::error::{PutError, WaitError};
use procession_core::ring::{Message, Ring, Side, Wait};
use procession_core::waits::Action;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Messages that `put_many` encodes in one go.
const BATCH_ITEMS: usize = 256;

/// Many producers, many consumers, any objects; bounded by items and by bytes, or growing.
#[pyclass(frozen, subclass, name = "Ring", module = "procession._native")]
pub struct PyRing {
    pub object: Object<Ring>,
    /// `close()` was called on this handle; a matter of this process alone.
    closed: AtomicBool,
    watching: Watching,
}

impl Drop for PyRing {
    fn drop(&mut self) {
        self.unwatch_both();
    }
}

impl PyRing {
    fn around(object: Object<Ring>) -> Self {
        Self { object, closed: AtomicBool::new(false), watching: Watching::default() }
    }

    /// The class decides what becomes of an object that cannot be encoded; the error is raised where it does not.
    #[cold]
    fn unsendable(slf: &Bound<'_, Self>, error: PyErr, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        match slf.getattr_opt("_unsendable")? {
            Some(decide) => decide.call1((error, obj)).map(|_| ()),
            None => Err(error),
        }
    }

    fn send(&self, py: Python<'_>, outgoing: &Outgoing, deadline: Option<Instant>, all: bool) -> PyResult<usize> {
        let (ring, home) = (self.object.get(), self.object.home());
        let what = Waiting::on(Action::Put, &self.object);
        let messages = outgoing.messages();
        check::synchronised(py, check::RELEASE, &self.object, 0);
        let mut sent = 0;
        while sent < messages.len() {
            let put = wait::until(py, what, deadline, |deadline| {
                match home.put(ring, &messages[sent..], Wait::Until(deadline)) {
                    Ok((count, _)) => Ok(Ok(count)),
                    Err(PutError::Interrupted) => Err(WaitError::Interrupted),
                    Err(PutError::Full) => Err(WaitError::TimedOut),
                    Err(error) => Ok(Err(error)),
                }
            });
            self.settle_room();
            match put {
                Ok(Some(Ok(count))) => sent += count,
                Ok(None) if sent > 0 => break,
                Ok(None) => return Err(errors::put(py, &PutError::Full)),
                Ok(Some(Err(error))) => return Err(errors::put(py, &error)),
                Err(interrupt) => return Err(interrupt),
            }
            if !all {
                break;
            }
        }
        Ok(sent)
    }

    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if self.closed.load(Ordering::Relaxed) {
            let message = "this queue is closed: close() was called on it in this process";
            return Err(errors::raise(py, "Closed", (message,)));
        }
        Ok(())
    }

    /// What a call with `block` and `timeout` may wait for.
    fn deadline(block: bool, timeout: Option<f64>) -> PyResult<Option<Instant>> {
        if block { wait::deadline(timeout) } else { Ok(Some(Instant::now())) }
    }

    /// Returns the bytes of the message and its blocks.
    fn put_message(&self, py: Python<'_>, encoder: &mut Encoder, block: bool, timeout: Option<f64>) -> PyResult<u64> {
        self.check_open(py)?;
        if encoder.bytes.len() < OUT_OF_BAND && encoder.buffers.is_empty() && encoder.carried.is_empty() {
            let message = Message { payload: &encoder.bytes, attachments: &[] };
            match self.object.home().put(self.object.get(), &[message], Wait::Never) {
                Ok(_) => {
                    self.settle_room();
                    return Ok(encoder.bytes.len() as u64);
                }
                Err(PutError::Full) => {}
                Err(error) => return Err(errors::put(py, &error)),
            }
        }
        let mut outgoing = Outgoing::default();
        let bytes = outgoing.add_with_header(py, &self.object, encoder, &[])?;
        self.send(py, &outgoing, Self::deadline(block, timeout)?, true)?;
        Ok(bytes)
    }
}

#[pymethods]
impl PyRing {
    #[new]
    #[pyo3(signature = (arena, max_items = 0, max_bytes = 0, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, max_items: u32, max_bytes: u64, address: Option<(u64, u64)>) -> PyResult<Self> {
        if let Some(address) = address {
            let object = Object::open(arena, Kind::Ring, address)?;
            return Ok(Self::around(object));
        }
        let object = Object::create(arena, Kind::Ring, || Ring::new(max_items, max_bytes))?;
        Ok(Self::around(object))
    }

    /// The memory that it lies in.
    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    /// Where it lies in the arena: offset and serial number. What is pickled of it.
    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    /// Put an object. It is encoded at once; when this returns it is in shared memory, whatever becomes of this process.
    ///
    /// Waits while the bounds leave no room: until something is taken, or `timeout` seconds have passed (None: for
    /// ever). With `block` false it does not wait. One that cannot be encoded goes to the class's
    /// `_unsendable(error, obj)`, if it has that.
    ///
    /// Raises: Full; `ItemTooLarge`, which no waiting helps; `PicklingError` naming the part; `ShutDown`; Closed;
    /// `ArenaFull`.
    #[pyo3(signature = (obj, block = true, timeout = None))]
    fn put(slf: &Bound<'_, Self>, obj: &Bound<'_, PyAny>, block: bool, timeout: Option<f64>) -> PyResult<()> {
        Self::put_weighed(slf, obj, block, timeout).map(|_| ())
    }

    /// As `put`, and tell the bytes that it takes in shared memory: encoded, and beside the ring.
    #[pyo3(signature = (obj, block = true, timeout = None))]
    fn put_weighed(slf: &Bound<'_, Self>, obj: &Bound<'_, PyAny>, block: bool, timeout: Option<f64>) -> PyResult<u64> {
        let (py, mut encoder) = (slf.py(), Encoder::take());
        let message = codec::encode(py, obj, &mut encoder);
        let failed = message.is_err();
        check::synchronised(py, check::RELEASE, &slf.get().object, 0);
        let put = message.and_then(|()| slf.get().put_message(py, &mut encoder, block, timeout));
        encoder.give_back();
        match put {
            Err(error) if failed => Self::unsendable(slf, error, obj).map(|()| 0),
            put => put,
        }
    }

    /// Put every object of an iterable, many at a time; returns how many were put before the deadline.
    ///
    /// Raises: Full when none was; else as `put`.
    #[pyo3(signature = (objects, block = true, timeout = None))]
    fn put_many(
        &self,
        py: Python<'_>,
        objects: &Bound<'_, PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<usize> {
        self.check_open(py)?;
        let deadline = Self::deadline(block, timeout)?;
        let mut encoder = Encoder::take();
        let mut put = || -> PyResult<usize> {
            let mut total = 0;
            let mut outgoing = Outgoing::default();
            let mut objects = objects.try_iter()?;
            loop {
                let next = objects.next().transpose()?;
                if let Some(object) = &next {
                    codec::encode(py, object, &mut encoder)?;
                    outgoing.add(py, &self.object, &encoder)?;
                    encoder.clear();
                    if outgoing.ends.len() < BATCH_ITEMS && outgoing.bytes.len() < BATCH_BYTES {
                        continue;
                    }
                }
                let sent = match self.send(py, &outgoing, deadline, true) {
                    Err(error) if total > 0 && errors::is(py, &error, "Full") => 0,
                    sent => sent?,
                };
                total += sent;
                if next.is_none() || sent < outgoing.ends.len() {
                    return Ok(total);
                }
                outgoing = Outgoing::default();
            }
        };
        let result = put();
        encoder.give_back();
        result
    }

    /// Take the oldest object, and make it again in this process.
    ///
    /// Waits while there is none: until one is put, `shutdown` is called, or `timeout` seconds have passed (None: for
    /// ever). With `block` false it does not wait. Getters are not told when all putters have died: more may come.
    ///
    /// Raises: Empty; `ShutDown` when nothing is left; Closed; `UnpicklingError` for an object that cannot be made
    /// again here.
    #[pyo3(signature = (block = true, timeout = None))]
    fn get(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.get_one(py, block, timeout)
    }

    /// Take up to `max_items` objects, oldest first; waits only for the first, as `get`. Raises: as `get`.
    #[pyo3(signature = (max_items = 1024, block = true, timeout = None))]
    fn get_many<'py>(
        &self,
        py: Python<'py>,
        max_items: usize,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.get_some(py, max_items, block, timeout)
    }

    /// Wait until there is something to take, or the ring is closed. False: the timeout passed.
    #[pyo3(signature = (timeout = None))]
    fn poll(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let ring = self.object.get();
        if !ring.is_empty() {
            return Ok(true);
        }
        let home = self.object.home();
        let what = Waiting::on(Action::Poll, &self.object);
        let found = wait::blocking(py, what, timeout, |deadline| ring.wait_nonempty(&home, deadline))?.is_some();
        home.settle_watch(ring, Side::Items);
        Ok(found)
    }

    /// A descriptor of this process that is readable while there is something to take, or the ring is shut down.
    /// Calling it again brings it in line with the ring.
    fn watch(&self, py: Python<'_>) -> PyResult<i32> {
        self.look_after_takers(py);
        self.watch_side(py, Side::Items)
    }

    /// This handle watches no longer; the last one closes the descriptor.
    fn unwatch(&self) {
        self.object.home().unwatch(self.object.get(), Side::Items, &self.watching);
    }

    /// The same for room: readable while an item can be put, as far as the bound on items tells.
    fn watch_room(&self, py: Python<'_>) -> PyResult<i32> {
        self.watch_side(py, Side::Room)
    }

    /// The same for room: this handle watches no longer.
    fn unwatch_room(&self) {
        self.object.home().unwatch(self.object.get(), Side::Room, &self.watching);
    }

    /// Messages in the ring now.
    fn qsize(&self, py: Python<'_>) -> u32 {
        self.look_after_takers(py);
        self.object.len()
    }

    /// Whether there was nothing to take a moment ago.
    fn empty(&self, py: Python<'_>) -> bool {
        self.look_after_takers(py);
        self.object.home().settle_watch(self.object.get(), Side::Items);
        self.object.is_empty()
    }

    /// Whether one more item would have been refused a moment ago, as far as the bound on items tells.
    fn full(&self) -> bool {
        self.object.is_full()
    }

    /// Bytes of messages in the ring now, without their blocks.
    fn nbytes(&self) -> u64 {
        self.object.bytes()
    }

    /// Messages ever taken and ever put, mod 2**32.
    #[getter]
    fn position(&self) -> (u32, u32) {
        self.object.position()
    }

    /// The bound on items; 0 for none.
    #[getter]
    fn max_items(&self) -> u32 {
        self.object.max_items()
    }

    /// Set the bounds of a ring that nobody else has seen yet.
    fn set_bounds(&self, max_items: u32, max_bytes: u64) {
        self.object.set_bounds(max_items, max_bytes);
    }

    /// This handle is used no more; others are not affected.
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.unwatch_both();
    }

    /// Whether `close()` was called on this handle.
    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether `shutdown` was called, by any process.
    #[getter]
    fn is_shutdown(&self) -> bool {
        self.object.is_closed()
    }

    /// Let nothing more be put: `put` raises `ShutDown`, and `get` does once nothing is left. Wakes all who wait.
    ///
    /// `immediate` also drops what is there, as done. For every process that has the queue.
    #[pyo3(signature = (immediate = false))]
    fn shutdown(&self, py: Python<'_>, immediate: bool) {
        let ring = self.object.get();
        let home = self.object.home();
        py.detach(|| {
            ring.close(&home);
            while immediate && ring.discard(&home) > 0 {}
        });
        home.settle_watch(ring, Side::Items);
    }

    /// Keep what is taken until `task_done`, and return what the dead had taken. For a ring that nobody else has seen
    /// yet. `max_deliveries`: `get` does not decode an item that was delivered more often; 0: no bound.
    #[pyo3(signature = (max_deliveries = 0))]
    fn keep_taken(&self, max_deliveries: u32) {
        self.object.keep_taken(max_deliveries);
    }

    /// How often the item that this thread took last was delivered, 1 for the first time.
    #[getter]
    fn delivery_count(&self) -> u32 {
        self.deliveries()
    }

    /// One taken item is done with. False when there was none.
    fn task_done(&self, py: Python<'_>) -> PyResult<bool> {
        check::synchronised(py, check::RELEASE, &self.object, 0);
        let (ring, home) = (self.object.get(), self.object.home());
        if let Ok(done) = ring.task_done(&home, Wait::Never) {
            return Ok(done);
        }
        let what = Waiting::on(Action::Finish, &self.object);
        let done = wait::until(py, what, None, |deadline| ring.task_done(&home, Wait::Until(deadline)))?;
        Ok(done.unwrap_or(false))
    }

    /// Items put and not yet done with.
    fn unfinished(&self) -> u32 {
        self.object.unfinished()
    }

    /// Wait until all items are done with. False: the timeout passed.
    #[pyo3(signature = (timeout = None))]
    fn join(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let ring = self.object.get();
        let home = self.object.home();
        let what = Waiting::on(Action::Finish, &self.object);
        let joined = wait::blocking(py, what, timeout, |deadline| ring.join(&home, deadline))?.is_some();
        check::synchronised(py, check::ACQUIRE, &self.object, 0);
        Ok(joined)
    }

    /// Whether getters, putters, joiners may be asleep.
    fn sleepers(&self) -> (bool, bool, bool) {
        self.object.has_sleepers()
    }
}
