//! The worker's side: the loop that takes tasks, calls, and answers.

use super::tracer::Tracer;
use super::{APART, CALL, HEADER, KIND_BITS, MANY, NEWS, ONE, PART, RAISED, STAR, STREAM, TIMED, UNSENDABLE, VALUE};
use super::{SEVERAL, header_bytes, header_words, put_answer, receive};
use crate::arena::Object;
use crate::blocks::PyClaim;
use crate::codec::{self, Encoder};
use crate::ring::{Incoming, Outgoing, PyRing};
use procession_core::ring::{ClaimCell, Ring};
use procession_core::sys;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The lowest bit of the time at which a worker began: not yet with the item, but with unpickling it, and with importing
/// what its function needs. A fresh worker takes long for that, which is not the item's fault.
const LOADING: u64 = 1;
/// A kind that there is not.
const UNKNOWN: u64 = 3;
/// How often a waiting worker asks whether its parent lives.
const ORPHAN_CHECK: Duration = Duration::from_millis(250);
/// Functions a worker keeps; beyond it all are fetched anew when met.
const MOST_FUNCTIONS: usize = 256;
/// Results of a chunk are told after this; a death costs what is done meanwhile. Telling them costs a hundredth of it.
const PART_TIME: Duration = Duration::from_millis(1);
/// Items between two looks at the clock, at most, while they are quick.
const MOST_UNTIMED: usize = 64;
/// Items told at a time, at most: as many as the answer's word can count.
const MOST_TOLD: usize = 0xffff;

/// One worker's ends of the rings, and what it has learnt.
struct Worker<'a, 'py> {
    py: Python<'py>,
    tasks: &'a Object<Ring>,
    answers: &'a Object<Ring>,
    /// Which item of its task it is at.
    progress: &'a ClaimCell,
    /// When it began with that (nanoseconds of the machine's clock); 0 while nobody wants to know.
    started: &'a ClaimCell,
    /// For who looks on: since when it is at a task (nanoseconds of the machine's clock; 0: it has none).
    busy: &'a ClaimCell,
    /// Likewise, how many calls raised.
    failed: &'a ClaimCell,
    load: Bound<'py, PyAny>,
    explain: Bound<'py, PyAny>,
    functions: HashMap<u64, Bound<'py, PyAny>>,
    /// The one of the task before, found without hashing.
    last: Option<(u64, Bound<'py, PyAny>)>,
    outgoing: Outgoing,
    tracer: Tracer,
}

impl<'py> Worker<'_, 'py> {
    fn function(&mut self, offset: u64, serial: u64) -> PyResult<Bound<'py, PyAny>> {
        if let Some((last, function)) = &self.last
            && *last == serial
        {
            return Ok(function.clone());
        }
        let function = self.known(offset, serial)?;
        self.last = Some((serial, function.clone()));
        Ok(function)
    }

    fn known(&mut self, offset: u64, serial: u64) -> PyResult<Bound<'py, PyAny>> {
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

    fn run(&mut self, kind: u64, function: &Bound<'py, PyAny>, payload: Bound<'py, PyAny>) -> PyResult<Py<PyAny>> {
        if kind & MANY == 0 {
            return call(function, kind, payload).map(Bound::unbind);
        }
        let results = PyList::empty(self.py);
        for (offset, item) in payload.cast_into::<PyList>()?.iter().enumerate() {
            self.progress.set(offset as u64);
            results.append(call(function, kind & !MANY, item)?)?;
        }
        Ok(results.into_any().unbind())
    }

    /// Do a task and answer it. Raises what ends the worker.
    fn execute(&mut self, number: u32, kind: u64, function: (u64, u64), payload: PyResult<Py<PyAny>>) -> PyResult<()> {
        let began = sys::monotonic();
        self.busy.set(began.as_nanos() as u64);
        let loaded = payload.and_then(|payload| Ok((self.function(function.0, function.1)?, payload)));
        if let Ok((loaded, payload)) = &loaded {
            self.tracer.begin(self.tasks, (number, kind), (function.1, loaded), payload.bind(self.py));
        }
        let outcome = match loaded {
            Ok((function, payload)) if kind & STREAM != 0 => {
                let items = payload.into_bound(self.py).cast_into::<PyList>()?;
                return self.run_stream(number, kind, &function, items);
            }
            Ok((function, payload)) => {
                self.begin(kind);
                self.run(kind & !TIMED, &function, payload.into_bound(self.py))
            }
            Err(error) if kind & STREAM != 0 => {
                let why = self.explained(error, RAISED)?;
                return self.send(number, APART, &why, 0, 0);
            }
            Err(error) => Err(error),
        };
        self.answer(number, outcome, sys::monotonic().saturating_sub(began).as_nanos() as u64)
    }

    /// The items of a chunk, each for itself; tells of what is done every millisecond or so.
    fn run_stream(
        &mut self,
        number: u32,
        kind: u64,
        function: &Bound<'py, PyAny>,
        items: Bound<'py, PyList>,
    ) -> PyResult<()> {
        let Some(last) = items.len().checked_sub(1) else {
            return self.answer(number, Err(PyValueError::new_err("a chunk without items")), 0);
        };
        let results = PyList::empty(self.py);
        let mut part = Part { number, began: Instant::now(), results, told: 0, quick: 1, untimed: 0 };
        let mut last_failed = None;
        for (offset, item) in items.iter().enumerate() {
            self.progress.set(offset as u64);
            self.begin(kind);
            match call(function, kind & !(MANY | STREAM | TIMED), item) {
                Ok(value) => part.results.append(value)?,
                Err(error) if offset == last => last_failed = Some(error),
                Err(error) => {
                    self.tell_failure(&mut part, offset, error, PART)?;
                    continue;
                }
            }
            if offset < last && part.is_due() {
                self.tell(&mut part, false)?;
            }
        }
        drop(items); // upon the last answer others come, and the blocks of these are to be free by then
        match last_failed {
            None => self.tell(&mut part, true),
            Some(error) => self.tell_failure(&mut part, last, error, 0),
        }
    }

    /// Put what is done of a chunk, and that the next item failed.
    fn tell_failure(&mut self, part: &mut Part<'py>, offset: usize, error: PyErr, bit: u32) -> PyResult<()> {
        self.tell(part, false)?;
        self.progress.set(offset as u64);
        self.failed.set(self.failed.get().wrapping_add(1));
        let told = self.explained(error, RAISED)?;
        self.send(part.number, RAISED | bit, &told, part.lap(), 1)?;
        part.told += 1;
        Ok(())
    }

    /// Put what is done of a chunk; where that cannot be encoded, item by item.
    fn tell(&mut self, part: &mut Part<'py>, is_last: bool) -> PyResult<()> {
        let results = std::mem::replace(&mut part.results, PyList::empty(self.py));
        let (number, count, nanos) = (part.number, results.len(), part.lap());
        if count == 0 {
            return Ok(());
        }
        // Whoever dies of pickling these dies of one of them, and nobody knows of which
        self.progress.set(part.told as u64 | if count == 1 { 0 } else { SEVERAL });
        let bit = if is_last { 0 } else { PART };
        let Err(error) = self.send(number, VALUE | bit, results.as_any(), nanos, count) else {
            part.told += count;
            return Ok(());
        };
        if count == 1 {
            part.told += 1;
            let why = self.explained(error, UNSENDABLE)?;
            return self.send(number, UNSENDABLE | bit, &why, nanos, 1);
        }
        for (place, value) in results.iter().enumerate() {
            part.results.append(value)?;
            self.tell(part, is_last && place + 1 == count)?;
        }
        Ok(())
    }

    /// Somebody limits an item's time: note down that it begins.
    #[inline]
    fn begin(&self, kind: u64) {
        if kind & TIMED != 0 {
            self.started.set(sys::monotonic().as_nanos() as u64 & !LOADING);
        }
    }

    /// Put the answer; if it cannot be encoded, one that says so.
    fn answer(&mut self, number: u32, outcome: PyResult<Py<PyAny>>, nanos: u64) -> PyResult<()> {
        let (status, value) = match outcome {
            Ok(value) => (VALUE, value.into_bound(self.py)),
            Err(error) => {
                self.failed.set(self.failed.get().wrapping_add(1));
                (RAISED, self.explained(error, RAISED)?)
            }
        };
        let Err(error) = self.send(number, status, &value, nanos, 0) else { return Ok(()) };
        let why = self.explained(error, UNSENDABLE)?;
        self.send(number, UNSENDABLE, &why, nanos, 0)
    }

    /// What can be told of an exception, as plain values. `explain` may raise what ends a process (SystemExit, ...): it
    /// then ends this one.
    fn explained(&mut self, error: PyErr, status: u32) -> PyResult<Bound<'py, PyAny>> {
        self.tracer.failed += 1;
        self.explain.call1((error.into_value(self.py), status))
    }

    fn send(&mut self, number: u32, status: u32, value: &Bound<'py, PyAny>, nanos: u64, items: usize) -> PyResult<()> {
        let second = nanos.min((1 << 48) - 1) | (items as u64) << 48;
        let header = header_bytes(u64::from(number) | u64::from(status) << 32, second);
        let mut encoder = Encoder::take();
        let sent = codec::encode(self.py, value, &mut encoder).and_then(|()| {
            if status & PART == 0 {
                self.tracer.end(self.py, self.tasks, number); // before anybody knows, and may end this process
            }
            put_answer(self.py, self.answers, &mut self.outgoing, &encoder, &header)
        });
        encoder.give_back();
        self.outgoing.clear();
        sent
    }
}

/// What is done of a chunk and not told.
struct Part<'py> {
    number: u32,
    /// When the first of it began.
    began: Instant,
    results: Bound<'py, PyList>,
    /// How many items were told before.
    told: usize,
    /// Look at the clock every so many items: twice as many each time, as long as they are quick.
    quick: usize,
    /// Items since the last look.
    untimed: usize,
}

impl Part<'_> {
    /// Nanoseconds since the last time.
    fn lap(&mut self) -> u64 {
        let now = Instant::now();
        let lap = now.duration_since(self.began);
        (self.began, self.untimed) = (now, 0);
        lap.as_nanos() as u64
    }

    /// One more item is done: whether it is time to tell.
    #[inline]
    fn is_due(&mut self) -> bool {
        self.untimed += 1;
        if self.untimed < self.quick {
            return false;
        }
        self.untimed = 0;
        let elapsed = self.began.elapsed();
        self.quick = if elapsed < PART_TIME / 4 { (2 * self.quick).min(MOST_UNTIMED) } else { 1 };
        elapsed >= PART_TIME || self.results.len() + MOST_UNTIMED > MOST_TOLD
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
/// tasks are done (0: no limit), SIGTERM said so, or `is_orphan()`. Returns how many it did.
///
/// The cells from `cell` on of `claim` are the worker's, see the module. `load(offset, serial)` gives a function,
/// `explain(exception, status)` plain values. A task is passed over when cell 0 of `marks` is not 0 and `meets(number)`.
/// Raises what is no `Exception` in a task: SystemExit and such.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // the worker's whole surroundings
#[pyo3(signature = (tasks, answers, claim, cell, load, explain, is_orphan, marks, meets, most = 0))]
pub fn serve<'py>(
    py: Python<'py>,
    tasks: &Bound<'py, PyRing>,
    answers: &Bound<'py, PyRing>,
    claim: &Bound<'py, PyClaim>,
    cell: usize,
    load: Bound<'py, PyAny>,
    explain: Bound<'py, PyAny>,
    is_orphan: &Bound<'py, PyAny>,
    marks: &Bound<'py, PyClaim>,
    meets: &Bound<'py, PyAny>,
    most: u64,
) -> PyResult<u64> {
    let (tasks, claim) = (&tasks.get().object, claim.get());
    let (claimed, progress, started) = (claim.cell(cell)?, claim.cell(cell + 1)?, claim.cell(cell + 2)?);
    let (ends, marked) = (claim.cell(cell + 3)?, marks.get().cell(0)?);
    // How many tasks it and its predecessors did.
    let (busy, did, failed) = (claim.cell(cell + 4)?, claim.cell(cell + 5)?, claim.cell(cell + 6)?);
    let (answers, functions, outgoing) = (&answers.get().object, HashMap::new(), Outgoing::default());
    let tracer = Tracer::serves(py, tasks);
    let mut worker = Worker {
        py,
        tasks,
        answers,
        progress,
        started,
        busy,
        failed,
        load,
        explain,
        functions,
        last: None,
        outgoing,
        tracer,
    };
    let mut done = 0;
    // Also between taking a task and getting to it: the cell must not name an item of the one before
    progress.set(SEVERAL);
    busy.set(0);
    while (most == 0 || done < most) && ends.get() == 0 && !sys::drain::is_draining() {
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
        let number = incoming.first();
        if marked.get() != 0 && meets.call1((number,))?.is_truthy()? {
            incoming.give_back();
            continue;
        }
        let (first, serial) = header_words(&incoming, 0).unwrap_or((UNKNOWN, 0));
        let kind = first & KIND_BITS;
        if kind & TIMED != 0 {
            started.set(sys::monotonic().as_nanos() as u64 | LOADING);
        }
        let payload = incoming.decode_behind(py, tasks, 0, HEADER);
        incoming.give_back();
        worker.execute(number, kind, (first & !KIND_BITS, serial), payload)?;
        worker.busy.set(0);
        did.set(did.get().wrapping_add(1));
        started.set(0);
        progress.set(SEVERAL);
        done += 1;
        py.check_signals()?;
    }
    Ok(done)
}

/// Send a signal to the main thread of a worker, which is where its tasks run. False: it was not sent.
#[pyfunction]
pub fn signal_main_thread(pid: i32, signal: i32) -> bool {
    sys::signal_main_thread(pid, signal)
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
        .and_then(|()| put_answer(py, answers, &mut outgoing, &encoder, &header));
    encoder.give_back();
    sent
}
