//! The parent's side: submits tasks, collects answers, knows what is out.

use super::job::PyJob;
use super::tracer;
use super::{HEADER, MANY, NEWS, PART, UNREADABLE, header_bytes, header_words, lock, put, receive};
use crate::codec::{self, Encoder};
use crate::ring::{Incoming, Outgoing, PyRing};
use crate::wait;
use procession_core::recorder::{self, TRACE};
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::collections::VecDeque;
use std::sync::Mutex;

/// The bits of an answer's second word that tell the time.
const MOST_NANOS: u64 = (1 << 48) - 1;

/// A task that is out.
struct Entry {
    job: Py<PyJob>,
    /// Where its results go, and how many items it has; 0 for a call. Items that were answered do not count.
    index: usize,
    items: usize,
    /// How many those are.
    answered: usize,
    /// Bytes of its message, blocks included.
    bytes: u64,
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

    /// Put one task for each of `payloads`, or for the first of them: none is begun once `most_bytes` are reached.
    /// Returns how many; after an error none was put. `function` is the address of the block that holds it; the results
    /// go to `job` from `index` on, one place for each item.
    ///
    /// Raises: PicklingError, ShutDown, ArenaFull.
    #[allow(clippy::too_many_arguments)] // as Python calls it
    #[pyo3(signature = (job, function, kind, index, payloads, most_bytes = u64::MAX))]
    fn submit(
        &self,
        py: Python<'_>,
        job: &Bound<'_, PyJob>,
        function: (u64, u64),
        kind: u64,
        index: usize,
        payloads: &Bound<'_, PyAny>,
        most_bytes: u64,
    ) -> PyResult<usize> {
        let tasks = &self.tasks.get().object;
        let header = header_bytes(function.0 | kind, function.1);
        let mut outgoing = Outgoing::default();
        let mut entries = Vec::new();
        let mut encoder = Encoder::take();
        let (mut next, mut total) = (index, 0);
        let mut payloads = payloads.try_iter()?;
        let mut encode_all = || -> PyResult<()> {
            while total < most_bytes {
                let Some(payload) = payloads.next().transpose()? else { break };
                codec::encode(py, &payload, &mut encoder)?;
                let bytes = outgoing.add_with_header(py, tasks, &encoder, &header)?;
                encoder.clear();
                let items = if kind & MANY == 0 { 0 } else { payload.len()? };
                entries.push(Some(Entry { job: job.clone().unbind(), index: next, items, answered: 0, bytes }));
                next += items.max(1);
                total += bytes;
            }
            Ok(())
        };
        let made = encode_all();
        encoder.give_back();
        made?;
        let count = entries.len();
        if count > 0 {
            self.publish(py, job, &outgoing, entries.into_iter(), count, total)?;
        }
        Ok(count)
    }

    /// The same for one task whose result goes to place 0. Returns its number: the count of tasks before it, mod 2^32.
    fn submit_one(
        &self,
        py: Python<'_>,
        job: &Bound<'_, PyJob>,
        function: (u64, u64),
        kind: u64,
        payload: &Bound<'_, PyAny>,
    ) -> PyResult<u32> {
        let tasks = &self.tasks.get().object;
        let header = header_bytes(function.0 | kind, function.1);
        let mut encoder = Encoder::take();
        let mut outgoing = Outgoing::default();
        let made = codec::encode(py, payload, &mut encoder)
            .and_then(|()| outgoing.add_with_header(py, tasks, &encoder, &header));
        encoder.give_back();
        let bytes = made?;
        let entry = Entry { job: job.clone().unbind(), index: 0, items: 0, answered: 0, bytes };
        self.publish(py, job, &outgoing, std::iter::once(Some(entry)), 1, bytes)
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
            let Some((first, second)) = header_words(&incoming, place) else { continue };
            let (number, status, is_part) =
                (first as u32, (first >> 32) as u32 & !PART, first >> 32 & u64::from(PART) != 0);
            let (nanos, items) = (second & MOST_NANOS, (second >> 48) as usize);
            let weight = incoming.weight(place);
            let decoded = incoming.decode_behind(py, answers, place, HEADER);
            let (status, value) = match decoded {
                Ok(value) => (status, value),
                Err(error) => (if status >= NEWS { status } else { UNREADABLE }, error.into_value(py).into_any()),
            };
            if status >= NEWS {
                finished.append((status, number, value))?;
            } else if is_part {
                self.settle_part(py, number, items, (status, value), (nanos, weight))?;
            } else if let Some(job) = self.settle(py, number, status, value, (nanos, weight))? {
                finished.append(job)?;
            }
        }
        incoming.give_back();
        Ok(Some(finished))
    }

    /// A task ended otherwise than by an answer. Returns its job if that was the last one it waited for.
    fn fail(&self, py: Python<'_>, number: u32, status: u32, value: Py<PyAny>) -> PyResult<Option<Py<PyJob>>> {
        self.settle(py, number, status, value, (0, 0))
    }

    /// A task is out no more: what was left of it was submitted anew, or failed item by item. Returns its job if it waits
    /// for nothing else.
    fn retire(&self, number: u32) -> Option<Py<PyJob>> {
        let Entry { job, bytes, .. } = lock(&self.book).remove(number)?;
        job.get().weighed(bytes, 0);
        job.get().note_nothing().then_some(job)
    }

    /// The job of a task that is out, with the index and the number of the items left, and how many of it were answered;
    /// None for an answered one.
    fn owner(&self, py: Python<'_>, number: u32) -> Option<(Py<PyJob>, usize, usize, usize)> {
        let book = lock(&self.book);
        let entry = book.entries[book.place(number)?].as_ref()?;
        Some((entry.job.clone_ref(py), entry.index, entry.items, entry.answered))
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
        bytes: u64,
    ) -> PyResult<u32> {
        let tasks = &self.tasks.get().object;
        let traced = if recorder::is_on(TRACE) { Some(crate::recorder::now()) } else { None };
        let mut book = lock(&self.book);
        let first = put(py, tasks, outgoing)?;
        if book.entries.is_empty() {
            book.base = first;
        }
        book.entries.extend(entries);
        book.outstanding += count;
        job.get().submitted(count, bytes);
        drop(book);
        if let Some(nanos) = traced {
            tracer::submitted(py, tasks, nanos, first, count);
        }
        Ok(first)
    }

    /// So many items of a task are answered: all at once, or one that failed.
    fn settle_part(
        &self,
        py: Python<'_>,
        number: u32,
        items: usize,
        (status, value): (u32, Py<PyAny>),
        (nanos, weight): (u64, u64),
    ) -> PyResult<()> {
        let (job, index) = {
            let mut book = lock(&self.book);
            let Some(entry) = book.place(number).and_then(|place| book.entries[place].as_mut()) else { return Ok(()) };
            let index = entry.index;
            (entry.index, entry.items, entry.answered) = (index + items, entry.items - items, entry.answered + items);
            (entry.job.clone_ref(py), index)
        };
        job.get().weighed(0, weight);
        job.get().note_part(py, (index, items, status, value), nanos)
    }

    fn settle(
        &self,
        py: Python<'_>,
        number: u32,
        status: u32,
        value: Py<PyAny>,
        (nanos, weight): (u64, u64),
    ) -> PyResult<Option<Py<PyJob>>> {
        let entry = lock(&self.book).remove(number);
        let Some(Entry { job, index, items, bytes, .. }) = entry else { return Ok(None) };
        job.get().weighed(bytes, weight);
        let last = job.get().note(py, (index, items, status, value), nanos)?;
        Ok(last.then_some(job))
    }
}
