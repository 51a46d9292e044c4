//! Out of a ring: wait, take, decode; and what becomes of a message whose decoding was cut short.
//!
//! Taking is one step of the core, in which no Python runs. Decoding may run any Python code (a pickle's), in which a
//! signal's handler may raise. Nobody has the object then, so its message goes back to the front of the ring. A message
//! that cannot be decoded is spent by the error; in a ring that keeps what is taken it stays taken.

use super::{Incoming, PyRing};
use crate::check;
use crate::codec;
use crate::wait::Waiting;
use crate::{errors, wait};
use procession_core::arena::Handle;
use procession_core::error::{GetError, WaitError};
use procession_core::ring::Wait;
use procession_core::waits::Action;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    /// For the rings whose last message to this thread had been delivered before: how often it was. By address and
    /// serial number. As a rule there is none.
    static REDELIVERED: RefCell<HashMap<(usize, u64), u32>> = RefCell::default();
}

fn key(handle: &Handle) -> (usize, u64) {
    (handle.contents() as usize, handle.address().1)
}

impl PyRing {
    /// Take up to `most` messages; waits for the first.
    fn fetch(
        &self,
        py: Python<'_>,
        incoming: &mut Incoming,
        most: usize,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<usize> {
        self.check_open(py)?;
        let object = &self.object;
        match incoming.receive(object, most, Wait::Never, None) {
            Ok(taken) => {
                check::synchronised(py, check::ACQUIRE, object, 0);
                return Ok(taken);
            }
            Err(GetError::Empty) => {}
            Err(error) => return Err(errors::get(py, &error)),
        }
        let deadline = Self::deadline(block, timeout)?;
        let fetched = wait::until(py, Waiting::on(Action::Get, object), deadline, |deadline| {
            match incoming.receive(object, most, Wait::Until(deadline), None) {
                Ok(count) => Ok(Ok(count)),
                Err(GetError::Interrupted) => Err(WaitError::Interrupted),
                Err(GetError::Empty) => Err(WaitError::TimedOut),
                Err(error) => Ok(Err(error)),
            }
        })?;
        check::synchronised(py, check::ACQUIRE, object, 0);
        fetched.unwrap_or(Err(GetError::Empty)).map_err(|error| errors::get(py, &error))
    }

    /// Take one object.
    pub(super) fn get_one(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let mut incoming = Incoming::take();
        let result = self.fetch(py, &mut incoming, 1, block, timeout).and_then(|_| {
            let object = self.open(py, &mut incoming, 0);
            object.map_err(|error| self.put_back_if_interrupted(py, &incoming, error))
        });
        incoming.give_back();
        result
    }

    /// Take up to `most` objects. One that cannot be decoded is left for the next call, unless it is the first.
    pub(super) fn get_some<'py>(
        &self,
        py: Python<'py>,
        most: usize,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        if most == 0 {
            return Ok(list);
        }
        let mut incoming = Incoming::take();
        let mut take = || -> PyResult<()> {
            let taken = self.fetch(py, &mut incoming, most, block, timeout)?;
            for index in 0..taken {
                let error = match self.open(py, &mut incoming, index).and_then(|object| list.append(object)) {
                    Ok(()) => continue,
                    Err(error) if codec::is_interruption(py, &error) => {
                        return Err(self.put_back(py, &incoming, 0..taken, error));
                    }
                    Err(error) => error,
                };
                let spent = usize::from(index == 0);
                let error = self.put_back(py, &incoming, index + spent..taken, error);
                return if spent == 1 { Err(error) } else { Ok(()) };
            }
            Ok(())
        };
        let result = take();
        incoming.give_back();
        result.map(|()| list)
    }

    /// The object of message `index`, unless that was delivered too often.
    fn open(&self, py: Python<'_>, incoming: &mut Incoming, index: usize) -> PyResult<Py<PyAny>> {
        if self.object.keeps_taken() {
            let deliveries = incoming.messages[index].deliveries;
            self.note_deliveries(deliveries);
            let most = self.object.most_deliveries();
            if most != 0 && deliveries > most {
                return Err(errors::delivered_too_often(py, deliveries, most));
            }
        }
        incoming.decode(py, &self.object, index)
    }

    /// After a failed decoding: a message that is not to blame goes back.
    #[cold]
    fn put_back_if_interrupted(&self, py: Python<'_>, incoming: &Incoming, error: PyErr) -> PyErr {
        if codec::is_interruption(py, &error) { self.put_back(py, incoming, 0..1, error) } else { error }
    }

    /// Put taken messages back to the front; returns the error that is the reason.
    #[cold]
    fn put_back(&self, py: Python<'_>, incoming: &Incoming, messages: std::ops::Range<usize>, error: PyErr) -> PyErr {
        let back = py.detach(|| incoming.put_back(&self.object, messages));
        if let Err(full) = back {
            let note = format!("what had been taken from the queue is lost: it could not be put back: {full}");
            let _ = error.value(py).call_method1("add_note", (note,));
        }
        error
    }

    fn note_deliveries(&self, deliveries: u32) {
        REDELIVERED.with_borrow_mut(|redelivered| {
            if deliveries > 1 {
                redelivered.insert(key(self.object.handle()), deliveries);
            } else if !redelivered.is_empty() {
                redelivered.remove(&key(self.object.handle()));
            }
        });
    }

    /// How often the message that this thread took last was delivered.
    pub(super) fn deliveries(&self) -> u32 {
        REDELIVERED.with_borrow(|redelivered| redelivered.get(&key(self.object.handle())).copied().unwrap_or(1))
    }

    /// In a ring that keeps what is taken: return what the dead had, if it is time to look.
    pub(super) fn look_after_takers(&self, py: Python<'_>) {
        if self.object.keeps_taken() {
            py.detach(|| self.object.look_after_takers(&self.object.home(), Wait::Until(None)));
        }
    }
}
