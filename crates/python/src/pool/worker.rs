//! The worker's side: the loop that takes tasks, calls, and answers.

use super::{CALL, HEADER, KIND_BITS, MANY, NEWS, ONE, RAISED, STAR, UNSENDABLE, VALUE};
use super::{header_bytes, header_words, put, receive};
use crate::arena::{Object, PyClaim};
use crate::codec::{self, Encoder};
use crate::ring::{Incoming, Outgoing, PyRing};
use procession_core::ring::{ClaimCell, Ring};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often a waiting worker asks whether its parent lives.
const ORPHAN_CHECK: Duration = Duration::from_millis(250);
/// Functions a worker keeps; beyond it all are fetched anew when met.
const MOST_FUNCTIONS: usize = 256;

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

    /// What can be told of an exception, as plain values. `explain` may raise what ends a process (SystemExit, ...): it
    /// then ends this one.
    fn explained(&self, error: PyErr, status: u32) -> PyResult<Py<PyAny>> {
        Ok(self.explain.call1((error.into_value(self.py), status))?.unbind())
    }

    fn send(&mut self, number: u32, status: u32, value: &Py<PyAny>, nanos: u64) -> PyResult<()> {
        let header = header_bytes(u64::from(number) | u64::from(status) << 32, nanos);
        let mut encoder = Encoder::take();
        self.outgoing.clear();
        let sent = codec::encode(self.py, value.bind(self.py), &mut encoder)
            .and_then(|()| self.outgoing.add_with_header(self.py, self.answers, &encoder, &header))
            .and_then(|_| put(self.py, self.answers, &self.outgoing));
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
        .and_then(|_| put(py, answers, &outgoing));
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
