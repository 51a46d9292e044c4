//! What one call on a pool waits for.

use super::{VALUE, lock};
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::Mutex;

/// An answer that is no plain value in its place: index, items (0 for a single call), status, object.
pub(super) type Arrival = (usize, usize, u32, Py<PyAny>);

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
    /// Of these, items whose answer is no value.
    failed: u64,
    nanos: u64,
    /// Bytes of its tasks that are out, of all its tasks, and of their answers; blocks included.
    out: u64,
    sent: u64,
    come: u64,
}

/// What one call on a pool waits for: its tasks' results, and how many are still out.
#[pyclass(frozen, subclass, name = "Job", module = "procession._native")]
pub struct PyJob {
    state: Mutex<JobState>,
}

impl PyJob {
    /// One task is answered. True: that was the last.
    pub(super) fn note(&self, py: Python<'_>, arrival: Arrival, nanos: u64) -> PyResult<bool> {
        self.note_part(py, arrival, nanos)?;
        Ok(self.note_nothing())
    }

    /// A task is out no more, and what it had to tell was noted, or is for others to tell. True: that was the last.
    pub(super) fn note_nothing(&self) -> bool {
        let mut state = lock(&self.state);
        state.answered += 1;
        state.sealed && state.answered == state.submitted
    }

    /// Some items of a task are answered.
    pub(super) fn note_part(&self, py: Python<'_>, (index, items, status, value): Arrival, nanos: u64) -> PyResult<()> {
        let mut state = lock(&self.state);
        state.items += items.max(1) as u64;
        if status != VALUE {
            state.failed += items.max(1) as u64;
        }
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
        Ok(())
    }

    /// So many tasks, of so many bytes, are out from now on.
    pub(super) fn submitted(&self, tasks: usize, bytes: u64) {
        let mut state = lock(&self.state);
        state.submitted += tasks;
        state.out += bytes;
        state.sent += bytes;
    }

    /// A task of `bytes` is out no more; its answer had `weight`.
    pub(super) fn weighed(&self, bytes: u64, weight: u64) {
        let mut state = lock(&self.state);
        state.out -= bytes;
        state.come += weight;
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
                failed: 0,
                nanos: 0,
                out: 0,
                sent: 0,
                come: 0,
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

    /// Items answered, and how many of them failed: what a progress bar shows.
    #[getter]
    fn tally(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.items, state.failed)
    }

    /// Bytes of messages, with their blocks: of tasks that are out, of all tasks so far, of all answers so far.
    #[getter]
    fn bytes(&self) -> (u64, u64, u64) {
        let state = lock(&self.state);
        (state.out, state.sent, state.come)
    }

    /// Nothing more will be submitted. True: and everything is answered.
    fn seal(&self) -> bool {
        let mut state = lock(&self.state);
        state.sealed = true;
        state.answered == state.submitted
    }

    /// So many tasks more are out, of so many bytes.
    #[pyo3(signature = (tasks, bytes = 0))]
    fn expect(&self, tasks: usize, bytes: u64) {
        self.submitted(tasks, bytes);
    }

    /// A task of so many bytes is out no more; its answer has so many.
    fn weigh(&self, sent: u64, come: u64) {
        self.weighed(sent, come);
    }

    /// One task is answered by others, put in its place. True: that was the last.
    fn replaced(&self) -> bool {
        self.note_nothing()
    }

    /// One task is answered. True: that was the last.
    fn arrive(
        &self,
        py: Python<'_>,
        index: usize,
        items: usize,
        status: u32,
        value: Py<PyAny>,
        nanos: u64,
    ) -> PyResult<bool> {
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
