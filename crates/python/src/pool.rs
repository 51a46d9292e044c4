//! A pool's tasks and answers: the parent's book of what is out, and the loop that a worker runs.
//!
//! Two rings, tasks to the workers and answers back. The parent is the only putter of tasks and does it under one lock,
//! so a task *is* its number in the ring: the book ([`PyDispatcher`]) is a queue of entries from the oldest outstanding
//! number on, and a worker's claim cell names its task by that number. Everything between taking an answer off the ring
//! and noting it in its [`PyJob`] is native: no signal handler can run in between, so Ctrl-C loses no answer.
//!
//! Both kinds of message are a header of two words and then an encoded object, so that an object which cannot be decoded
//! costs the one task it belongs to:
//!
//! ```text
//! task     offset of the function's block, its low 6 bits the kind | serial of that block
//! answer   number of the task (32 bits) | status (32)              | nanoseconds of work
//! ```

use crate::arena::{Object, PyClaim};
use crate::codec::{self, Encoder};
use crate::ring::{Incoming, Outgoing, PyRing};
use crate::{errors, wait};
use procession_core::error::{GetError, PutError, WaitError};
use procession_core::ring::{ClaimCell, Ring, Wait};
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const HEADER: usize = 16;

/// What to do with a task's object, in the low bits of its first word: call the function with `(args, kwargs)`, ...
const CALL: u64 = 0;
/// ... with the object itself, ...
const ONE: u64 = 1;
/// ... or with its items as arguments.
const STAR: u64 = 2;
/// Added to the others: the object is a list, and each of its items is a call; the answer is the list of results.
const MANY: u64 = 4;
const KIND_BITS: u64 = 63;

/// How a task ended. Python knows these numbers from `procession.pool.state`.
const VALUE: u32 = 0;
const RAISED: u32 = 1;
const UNSENDABLE: u32 = 2;
const UNREADABLE: u32 = 3;
/// From here on a message is no task's answer but news of a worker, whose number stands in the place of a task's.
const NEWS: u32 = 16;

/// How often a waiting worker asks whether its parent lives.
const ORPHAN_CHECK: Duration = Duration::from_millis(250);
/// Functions a worker keeps; beyond it all are fetched anew when met.
const MOST_FUNCTIONS: usize = 256;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn header_bytes(first: u64, second: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    bytes
}

fn header_words(incoming: &Incoming, index: usize) -> Option<(u64, u64)> {
    let bytes: [u8; HEADER] = incoming.header(index, HEADER)?.try_into().ok()?;
    let number = u128::from_le_bytes(bytes);
    Some((number as u64, (number >> 64) as u64))
}

/// Put messages into a ring without bounds. All of them or none: the only failures are the arena's and a closed ring.
fn put(py: Python<'_>, ring: &Object<Ring>, outgoing: &Outgoing) -> PyResult<u32> {
    let messages = outgoing.messages();
    loop {
        match ring.home().put(ring.get(), &messages, Wait::Until(None)) {
            Ok((_, first)) => return Ok(first),
            Err(PutError::Interrupted | PutError::Full) => {}
            Err(error) => return Err(errors::put(py, &error)),
        }
    }
}

/// Wait until `deadline` for up to `most` messages. None: the ring is closed and empty. 0: the deadline passed.
fn receive(
    py: Python<'_>,
    incoming: &mut Incoming,
    ring: &Object<Ring>,
    most: usize,
    deadline: impl FnOnce() -> Option<Instant>,
    claim: Option<&ClaimCell>,
) -> PyResult<Option<usize>> {
    match incoming.receive(ring, most, Wait::Never, claim) {
        Ok(taken) => return Ok(Some(taken)),
        Err(GetError::Closed) => return Ok(None),
        Err(_) => {}
    }
    let taken = wait::until(py, deadline(), |deadline| {
        match incoming.receive(ring, most, Wait::Until(deadline), claim) {
            Ok(taken) => Ok(Some(taken)),
            Err(GetError::Closed) => Ok(None),
            Err(GetError::Interrupted) => Err(WaitError::Interrupted),
            Err(GetError::Empty) => Err(WaitError::TimedOut),
        }
    })?;
    Ok(taken.unwrap_or(Some(0)))
}

// --- the parent's side ---------------------------------------------------------------------------------------------

/// An answer that is no plain value in its place: index, items (0 for a single call), status, object.
type Arrival = (usize, usize, u32, Py<PyAny>);

struct JobState {
    /// Results in their places; None for a job of one result, or whose results are taken as they come.
    values: Option<Py<PyList>>,
    /// The result of a job of one.
    value: Option<Py<PyAny>>,
    is_single: bool,
    /// Answers to be taken: all of a stream's, the failures of others.
    arrived: Vec<Arrival>,
    submitted: usize,
    answered: usize,
    /// Nothing more will be submitted.
    sealed: bool,
    items: u64,
    nanos: u64,
}

/// What one call on a pool waits for: its tasks' results, and how many are still out.
#[pyclass(frozen, subclass, name = "Job", module = "procession._native")]
pub struct PyJob {
    state: Mutex<JobState>,
}

impl PyJob {
    fn note(&self, py: Python<'_>, (index, items, status, value): Arrival, nanos: u64) -> PyResult<bool> {
        let mut state = lock(&self.state);
        state.answered += 1;
        state.items += items.max(1) as u64;
        state.nanos += nanos;
        match &state.values {
            Some(values) if status == VALUE && items == 0 => values.bind(py).set_item(index, value)?,
            Some(values) if status == VALUE => {
                let values = values.bind(py);
                for (offset, value) in value.bind(py).cast::<PyList>()?.iter().enumerate() {
                    values.set_item(index + offset, value)?;
                }
            }
            None if status == VALUE && state.is_single => state.value = Some(value),
            _ => state.arrived.push((index, items, status, value)),
        }
        Ok(state.sealed && state.answered == state.submitted)
    }
}

#[pymethods]
impl PyJob {
    /// With a size, results are kept in a list of that size; without, they are taken as they come. -1: one result, kept.
    #[new]
    #[pyo3(signature = (size = None))]
    fn new(py: Python<'_>, size: Option<isize>) -> PyResult<Self> {
        let list = |size| PyList::new(py, (0..size).map(|_| py.None())).map(Bound::unbind);
        Ok(Self {
            state: Mutex::new(JobState {
                values: size.and_then(|size| usize::try_from(size).ok()).map(list).transpose()?,
                value: None,
                is_single: size.is_some_and(isize::is_negative),
                arrived: Vec::new(),
                submitted: 0,
                answered: 0,
                sealed: false,
                items: 0,
                nanos: 0,
            }),
        })
    }

    /// Whether everything was submitted and answered.
    #[getter]
    fn done(&self) -> bool {
        let state = lock(&self.state);
        state.sealed && state.answered == state.submitted
    }

    /// Tasks submitted and not answered.
    #[getter]
    fn outstanding(&self) -> usize {
        let state = lock(&self.state);
        state.submitted - state.answered
    }

    /// The list of results.
    #[getter]
    fn values(&self, py: Python<'_>) -> Option<Py<PyList>> {
        lock(&self.state).values.as_ref().map(|values| values.clone_ref(py))
    }

    /// The one result.
    #[getter]
    fn value(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        lock(&self.state).value.as_ref().map(|value| value.clone_ref(py))
    }

    /// Items answered, and nanoseconds of work they took.
    #[getter]
    fn measured(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.items, state.nanos)
    }

    /// Nothing more will be submitted. True: and everything is answered.
    fn seal(&self) -> bool {
        let mut state = lock(&self.state);
        state.sealed = true;
        state.answered == state.submitted
    }

    /// So many tasks more are out.
    fn expect(&self, tasks: usize) {
        lock(&self.state).submitted += tasks;
    }

    /// One task is answered. True: that was the last.
    fn arrive(&self, py: Python<'_>, index: usize, items: usize, status: u32, value: Py<PyAny>, nanos: u64) -> PyResult<bool> {
        self.note(py, (index, items, status, value), nanos)
    }

    /// Whether `take` would give something.
    #[getter]
    fn has_arrived(&self) -> bool {
        !lock(&self.state).arrived.is_empty()
    }

    /// What arrived since the last time: (index, items, status, object) each.
    fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut lock(&self.state).arrived)
    }
}

/// A task that is out.
struct Entry {
    job: Py<PyJob>,
    index: usize,
    items: usize,
}

/// Entries of the tasks from number `base` on; None where the answer came.
#[derive(Default)]
struct Book {
    base: u32,
    entries: VecDeque<Option<Entry>>,
    outstanding: usize,
}

impl Book {
    fn place(&self, number: u32) -> Option<usize> {
        let place = number.wrapping_sub(self.base) as usize;
        (place < self.entries.len()).then_some(place)
    }

    fn remove(&mut self, number: u32) -> Option<Entry> {
        let place = self.place(number)?;
        let entry = self.entries[place].take()?;
        self.outstanding -= 1;
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.base = self.base.wrapping_add(1);
        }
        Some(entry)
    }
}

/// Submits tasks, collects answers, knows what is out.
#[pyclass(frozen, name = "Dispatcher", module = "procession._native")]
pub struct PyDispatcher {
    tasks: Py<PyRing>,
    answers: Py<PyRing>,
    /// Never held while Python code may run or while the GIL is released.
    book: Mutex<Book>,
}

#[pymethods]
impl PyDispatcher {
    #[new]
    fn new(tasks: Py<PyRing>, answers: Py<PyRing>) -> Self {
        Self { tasks, answers, book: Mutex::default() }
    }

    /// Put one task for each of `payloads`; returns how many. All of them or none. `function` is the address of the
    /// block that holds it; the results go to `job` from `index` on, one place for each item.
    ///
    /// Raises: PicklingError, ShutDown, ArenaFull.
    fn submit(
        &self,
        py: Python<'_>,
        job: &Bound<'_, PyJob>,
        function: (u64, u64),
        kind: u64,
        index: usize,
        payloads: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        let tasks = &self.tasks.get().object;
        let header = header_bytes(function.0 | kind, function.1);
        let mut outgoing = Outgoing::default();
        let mut entries = Vec::new();
        let mut encoder = Encoder::take();
        let mut next = index;
        let encoded = payloads.try_iter()?.try_for_each(|payload| -> PyResult<()> {
            let payload = payload?;
            codec::encode(py, &payload, &mut encoder)?;
            outgoing.add_with_header(py, tasks, &encoder, &header)?;
            encoder.clear();
            let items = if kind & MANY == 0 { 0 } else { payload.len()? };
            entries.push(Some(Entry { job: job.clone().unbind(), index: next, items }));
            next += items.max(1);
            Ok(())
        });
        encoder.give_back();
        encoded?;
        let count = entries.len();
        if count > 0 {
            self.publish(py, job, &outgoing, entries.into_iter(), count)?;
        }
        Ok(count)
    }

    /// The same for one task whose result goes to place 0.
    fn submit_one(
        &self,
        py: Python<'_>,
        job: &Bound<'_, PyJob>,
        function: (u64, u64),
        kind: u64,
        payload: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let tasks = &self.tasks.get().object;
        let header = header_bytes(function.0 | kind, function.1);
        let mut encoder = Encoder::take();
        let mut outgoing = Outgoing::default();
        let encoded = codec::encode(py, payload, &mut encoder)
            .and_then(|()| outgoing.add_with_header(py, tasks, &encoder, &header));
        encoder.give_back();
        encoded?;
        let entry = Entry { job: job.clone().unbind(), index: 0, items: 0 };
        self.publish(py, job, &outgoing, std::iter::once(Some(entry)), 1)
    }

    /// Wait for answers, then note what is there, up to `most`. Returns the jobs that are finished by it and the news of
    /// workers, (status, worker, object) each; None when the timeout passed.
    fn collect<'py>(&self, py: Python<'py>, most: usize, timeout: Option<f64>) -> PyResult<Option<Bound<'py, PyList>>> {
        let answers = &self.answers.get().object;
        let deadline = wait::deadline(timeout)?;
        let mut incoming = Incoming::take();
        let taken = receive(py, &mut incoming, answers, most, || deadline, None)?.unwrap_or(0);
        if taken == 0 {
            incoming.give_back();
            return Ok(None);
        }
        let finished = PyList::empty(py);
        for place in 0..taken {
            let Some((first, nanos)) = header_words(&incoming, place) else { continue };
            let (number, status) = (first as u32, (first >> 32) as u32);
            let decoded = incoming.decode_behind(py, answers, place, HEADER);
            let (status, value) = match decoded {
                Ok(value) => (status, value),
                Err(error) => (if status >= NEWS { status } else { UNREADABLE }, error.into_value(py).into_any()),
            };
            if status >= NEWS {
                finished.append((status, number, value))?;
            } else if let Some(job) = self.settle(py, number, status, value, nanos)? {
                finished.append(job)?;
            }
        }
        incoming.give_back();
        Ok(Some(finished))
    }

    /// A task ended otherwise than by an answer. Returns its job if that was the last one it waited for.
    fn fail(&self, py: Python<'_>, number: u32, status: u32, value: Py<PyAny>) -> PyResult<Option<Py<PyJob>>> {
        self.settle(py, number, status, value, 0)
    }

    /// The job of a task that is out, with index and items; None for an answered one.
    fn owner(&self, py: Python<'_>, number: u32) -> Option<(Py<PyJob>, usize, usize)> {
        let book = lock(&self.book);
        let entry = book.entries[book.place(number)?].as_ref()?;
        Some((entry.job.clone_ref(py), entry.index, entry.items))
    }

    /// Numbers of the tasks that are out: of `job`, or all.
    #[pyo3(signature = (job = None))]
    fn numbers(&self, job: Option<&Bound<'_, PyJob>>) -> Vec<u32> {
        let book = lock(&self.book);
        let of_job = |entry: &Entry| job.is_none_or(|job| entry.job.is(job));
        let numbered = book.entries.iter().zip(0u32..);
        numbered
            .filter(|(entry, _)| entry.as_ref().is_some_and(of_job))
            .map(|(_, place)| book.base.wrapping_add(place))
            .collect()
    }

    /// Answers to these are not wanted any more.
    fn forget(&self, numbers: Vec<u32>) {
        let removed: Vec<_> = {
            let mut book = lock(&self.book);
            numbers.into_iter().map(|number| book.remove(number)).collect()
        };
        drop(removed); // after the lock: a job's end runs Python code
    }

    /// Tasks that are out.
    #[getter]
    fn outstanding(&self) -> usize {
        lock(&self.book).outstanding
    }
}

impl PyDispatcher {
    /// Put the messages and enter them in the book, which is locked meanwhile: no answer can be looked up before.
    fn publish(
        &self,
        py: Python<'_>,
        job: &Bound<'_, PyJob>,
        outgoing: &Outgoing,
        entries: impl Iterator<Item = Option<Entry>>,
        count: usize,
    ) -> PyResult<()> {
        let mut book = lock(&self.book);
        let first = put(py, &self.tasks.get().object, outgoing)?;
        if book.entries.is_empty() {
            book.base = first;
        }
        book.entries.extend(entries);
        book.outstanding += count;
        lock(&job.get().state).submitted += count;
        Ok(())
    }

    fn settle(
        &self,
        py: Python<'_>,
        number: u32,
        status: u32,
        value: Py<PyAny>,
        nanos: u64,
    ) -> PyResult<Option<Py<PyJob>>> {
        let entry = lock(&self.book).remove(number);
        let Some(Entry { job, index, items }) = entry else { return Ok(None) };
        let last = job.get().note(py, (index, items, status, value), nanos)?;
        Ok(last.then_some(job))
    }
}

// --- the worker's side ---------------------------------------------------------------------------------------------

/// One worker's ends of the rings, and what it has learnt.
struct Worker<'a, 'py> {
    py: Python<'py>,
    answers: &'a Object<Ring>,
    progress: &'a ClaimCell,
    load: Bound<'py, PyAny>,
    explain: Bound<'py, PyAny>,
    functions: HashMap<u64, Bound<'py, PyAny>>,
    outgoing: Outgoing,
}

impl<'py> Worker<'_, 'py> {
    fn function(&mut self, offset: u64, serial: u64) -> PyResult<Bound<'py, PyAny>> {
        if let Some(function) = self.functions.get(&serial) {
            return Ok(function.clone());
        }
        let function = self.load.call1((offset, serial))?;
        if self.functions.len() >= MOST_FUNCTIONS {
            self.functions.clear();
        }
        self.functions.insert(serial, function.clone());
        Ok(function)
    }

    fn run(&mut self, first: u64, serial: u64, payload: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let kind = first & KIND_BITS;
        let function = self.function(first & !KIND_BITS, serial)?;
        let payload = payload.into_bound(self.py);
        if kind & MANY == 0 {
            return call(&function, kind, payload).map(Bound::unbind);
        }
        let results = PyList::empty(self.py);
        for (offset, item) in payload.cast_into::<PyList>()?.iter().enumerate() {
            self.progress.set(offset as u64);
            results.append(call(&function, kind & !MANY, item)?)?;
        }
        Ok(results.into_any().unbind())
    }

    /// Put the answer; if it cannot be encoded, one that says so.
    fn answer(&mut self, number: u32, outcome: PyResult<Py<PyAny>>, nanos: u64) -> PyResult<()> {
        let (status, value) = match outcome {
            Ok(value) => (VALUE, value),
            Err(error) => (RAISED, self.explained(error, RAISED)?),
        };
        let Err(error) = self.send(number, status, &value, nanos) else { return Ok(()) };
        let why = self.explained(error, UNSENDABLE)?;
        self.send(number, UNSENDABLE, &why, nanos)
    }

    /// What can be told of an exception, as plain values. What ends a process (SystemExit, ...) ends this one.
    fn explained(&self, error: PyErr, status: u32) -> PyResult<Py<PyAny>> {
        if !error.is_instance_of::<PyException>(self.py) {
            return Err(error);
        }
        Ok(self.explain.call1((error.into_value(self.py), status))?.unbind())
    }

    fn send(&mut self, number: u32, status: u32, value: &Py<PyAny>, nanos: u64) -> PyResult<()> {
        let header = header_bytes(u64::from(number) | u64::from(status) << 32, nanos);
        let mut encoder = Encoder::take();
        self.outgoing.clear();
        let sent = codec::encode(self.py, value.bind(self.py), &mut encoder)
            .and_then(|()| self.outgoing.add_with_header(self.py, self.answers, &encoder, &header))
            .and_then(|()| put(self.py, self.answers, &self.outgoing));
        encoder.give_back();
        self.outgoing.clear();
        sent.map(|_| ())
    }
}

fn call<'py>(function: &Bound<'py, PyAny>, kind: u64, payload: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match kind {
        ONE => function.call1((payload,)),
        STAR => match payload.cast_into::<PyTuple>() {
            Ok(arguments) => function.call1(arguments),
            Err(other) => {
                let items = other.into_inner().try_iter()?.collect::<PyResult<Vec<_>>>()?;
                function.call1(PyTuple::new(function.py(), items)?)
            }
        },
        CALL => {
            let (arguments, keywords): (Bound<'py, PyTuple>, Bound<'py, PyDict>) = payload.extract()?;
            if keywords.is_empty() { function.call1(arguments) } else { function.call(arguments, Some(&keywords)) }
        }
        other => Err(PyValueError::new_err(format!("a task of unknown kind {other}"))),
    }
}

/// A worker's life: tell that it serves, take tasks, answer them, until the ring of tasks is closed and empty, `most`
/// tasks are done (0: no limit), or `is_orphan()`. Returns how many it did.
///
/// Cells `cell` and `cell + 1` of `claim` tell which task it holds, and which item of it. `load(offset, serial)` gives a
/// function, `explain(exception, status)` plain values. Raises what is no `Exception` in a task: SystemExit and such.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // the worker's whole surroundings
#[pyo3(signature = (tasks, answers, claim, cell, load, explain, is_orphan, most = 0))]
pub fn serve<'py>(
    py: Python<'py>,
    tasks: &Bound<'py, PyRing>,
    answers: &Bound<'py, PyRing>,
    claim: &Bound<'py, PyClaim>,
    cell: usize,
    load: Bound<'py, PyAny>,
    explain: Bound<'py, PyAny>,
    is_orphan: &Bound<'py, PyAny>,
    most: u64,
) -> PyResult<u64> {
    let (tasks, claim) = (&tasks.get().object, claim.get());
    let (claimed, progress) = (claim.cell(cell)?, claim.cell(cell + 1)?);
    let (answers, functions) = (&answers.get().object, HashMap::new());
    let mut worker = Worker { py, answers, progress, load, explain, functions, outgoing: Outgoing::default() };
    let mut done = 0;
    while most == 0 || done < most {
        let mut incoming = Incoming::take();
        let deadline = || Some(Instant::now() + ORPHAN_CHECK);
        let Some(taken) = receive(py, &mut incoming, tasks, 1, deadline, Some(claimed))? else { break };
        if taken == 0 {
            incoming.give_back();
            if is_orphan.call0()?.is_truthy()? {
                break;
            }
            continue;
        }
        progress.set(0);
        let number = incoming.first;
        let header = header_words(&incoming, 0);
        let payload = incoming.decode_behind(py, tasks, 0, HEADER);
        incoming.give_back();
        let began = Instant::now();
        let outcome = match (header, payload) {
            (Some((first, serial)), Ok(payload)) => worker.run(first, serial, payload),
            (_, Err(error)) => Err(error),
            (None, _) => Err(PyValueError::new_err("a task without a header")),
        };
        worker.answer(number, outcome, began.elapsed().as_nanos() as u64)?;
        done += 1;
        py.check_signals()?;
    }
    Ok(done)
}

/// Put news of worker `worker` into the ring of answers: a status from 16 on and an object.
#[pyfunction]
pub fn put_news(
    py: Python<'_>,
    answers: &Bound<'_, PyRing>,
    worker: u32,
    status: u32,
    object: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let answers = &answers.get().object;
    let mut encoder = Encoder::take();
    let mut outgoing = Outgoing::default();
    let header = header_bytes(u64::from(worker) | u64::from(status.max(NEWS)) << 32, 0);
    let sent = codec::encode(py, object, &mut encoder)
        .and_then(|()| outgoing.add_with_header(py, answers, &encoder, &header))
        .and_then(|()| put(py, answers, &outgoing));
    encoder.give_back();
    sent.map(|_| ())
}

/// Let the kernel end this process when the thread that forked it ends. Only for a process forked by its parent's main
/// thread, which lives as long as the parent. False: the parent is gone already, or the kernel does not do it.
#[pyfunction]
pub fn die_with_parent(parent: i32) -> bool {
    // SAFETY: both calls take and return plain numbers and touch no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 && libc::getppid() == parent }
}
