//! Barrier: arrive, run the action or park, leave.

use super::{Address, opened};
use crate::arena::{Object, PyArena};
use crate::wait::Waiting;
use crate::{errors, wait};
use procession_core::arena::Kind;
use procession_core::barrier::{self, Arrival, Barrier, Outcome, Party};
use procession_core::waits::Action;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::time::Instant;

/// A barrier for a fixed number of parties.
#[pyclass(frozen, subclass, name = "Barrier", module = "procession._native")]
pub struct PyBarrier {
    object: Object<Barrier>,
}

impl PyBarrier {
    #[cold]
    fn broken_error(&self, py: Python<'_>) -> PyErr {
        let Some(dead) = self.object.killed() else {
            let text = "the barrier is broken: a timeout, abort(), reset(), a failed action or a death";
            return errors::raise(py, "BrokenBarrierError", (text,));
        };
        let name = if dead.pid == 0 { None } else { self.object.life().name(dead.owner, dead.pid) };
        let facts = (dead.pid, name);
        let error = errors::class(py, "BrokenBarrierError").and_then(|class| class.call_method1("of", facts));
        error.map_or_else(|error| error, PyErr::from_value)
    }

    fn outcome(&self, py: Python<'_>, outcome: Outcome, index: u32) -> PyResult<u32> {
        match outcome {
            Outcome::Released => Ok(index),
            Outcome::Broken => Err(self.broken_error(py)),
        }
    }

    fn close(&self, py: Python<'_>, party: Party, action: Option<&Bound<'_, PyAny>>) -> PyResult<u32> {
        let index = party.index();
        if let Some(Err(error)) = action.map(Bound::call0) {
            self.object.break_up(party);
            return Err(error);
        }
        let outcome = self.object.release(party);
        self.outcome(py, outcome, index)
    }

    fn park(&self, py: Python<'_>, party: Party, deadline: Option<Instant>) -> PyResult<u32> {
        let (barrier, me, life, index) = (self.object.get(), self.object.me(), self.object.life(), party.index());
        match wait::until(py, Waiting::on(Action::Wait, &self.object), deadline, |deadline| {
            barrier.park(&party, me, life, deadline)
        }) {
            Ok(Some(outcome)) => self.outcome(py, outcome, index),
            Ok(None) => self.outcome(py, barrier.break_up(party), index),
            Err(error) => {
                barrier.withdraw(party);
                Err(error)
            }
        }
    }
}

#[pymethods]
impl PyBarrier {
    #[new]
    #[pyo3(signature = (arena, parties = 1, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, parties: i64, address: Address) -> PyResult<Self> {
        let most = barrier::PARTIES_MAX;
        let known = u32::try_from(parties).ok().filter(|parties| (1..=most).contains(parties));
        let refuse = || PyValueError::new_err(format!("parties must be from 1 to {most}, not {parties}"));
        let parties = known.ok_or_else(refuse)?;
        Ok(Self { object: opened(arena, Kind::Barrier, address, || Barrier::new(parties))? })
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

    /// How many have to arrive.
    #[getter]
    fn parties(&self) -> u32 {
        self.object.parties()
    }

    /// How many have arrived and wait, at this moment.
    #[getter]
    fn n_waiting(&self) -> u32 {
        self.object.waiting()
    }

    /// Whether it is broken: `wait` raises `BrokenBarrierError` until `reset`.
    #[getter]
    fn broken(&self) -> bool {
        self.object.is_broken()
    }

    /// Parties, waiters and state, as a dict.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("parties", self.object.parties())?;
        dict.set_item("waiters", self.object.waiting())?;
        dict.set_item("broken", self.object.is_broken())?;
        dict.set_item("released", self.object.times_released())?;
        Ok(dict)
    }

    /// Arrive, wait for the others (`timeout` seconds at most), and tell as which one; the last one calls `action` before the
    /// others go on.
    #[pyo3(signature = (action = None, timeout = None))]
    fn pass_through(&self, py: Python<'_>, action: Option<&Bound<'_, PyAny>>, timeout: Option<f64>) -> PyResult<u32> {
        let (barrier, me, life) = (self.object.get(), self.object.me(), self.object.life());
        let deadline = wait::deadline(timeout)?;
        match wait::until(py, Waiting::on(Action::Wait, &self.object), deadline, |deadline| {
            barrier.arrive(me, life, deadline)
        })? {
            Some(Arrival::Last(party)) => self.close(py, party, action),
            Some(Arrival::Waiting(party)) => self.park(py, party, deadline),
            Some(Arrival::Broken) | None => Err(self.broken_error(py)),
        }
    }

    /// Break the barrier: all who wait, and all who come, get `BrokenBarrierError` until `reset`. Never blocks.
    fn abort(&self) {
        self.object.abort();
    }

    /// Make the barrier whole again. Whoever waits there gets `BrokenBarrierError`. Never blocks.
    fn reset(&self) {
        self.object.reset();
    }
}
