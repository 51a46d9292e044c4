//! Out of a queue on disk: take, settle, decode; and what becomes of a message whose decoding was cut short.
//!
//! What is taken is marked in the file and cannot be put back for others. So a message that a signal's handler took from
//! the hands of its decoder (or of a flush), and those taken with one that could not be decoded, are kept in the handle:
//! the next call of this process gets them first. If the process ends before, they were lost with it, as what it had
//! taken and not finished is.

use super::{BATCH_BYTES, BATCH_ITEMS, How, PyDiskQueue, frame};
use crate::codec::{self, FRAMED};
use crate::{check, errors};
use procession_core::waits::Action;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

thread_local! {
    /// For the next message that comes; it keeps its room.
    static INCOMING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Of which queue that hands out again this thread took something last, and how often that had been handed out.
    static DELIVERED: Cell<(usize, u32)> = const { Cell::new((0, 1)) };
}

/// A message that was taken.
pub struct Taken {
    bytes: Vec<u8>,
    deliveries: u32,
}

/// Messages that were taken and not decoded, as a rule none.
#[derive(Default)]
pub struct Spare {
    has_some: AtomicBool,
    /// In the process of that id; a forked child's copies are its parent's.
    kept: Mutex<(u32, VecDeque<Taken>)>,
}

impl Spare {
    fn lock(&self) -> MutexGuard<'_, (u32, VecDeque<Taken>)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn take(&self) -> Option<Taken> {
        if !self.has_some.load(Ordering::Relaxed) {
            return None;
        }
        let mut kept = self.lock();
        let taken = if kept.0 == std::process::id() { kept.1.pop_front() } else { None };
        self.has_some.store(taken.is_some(), Ordering::Relaxed);
        taken
    }

    /// Keep some for the next call, before what is kept.
    #[cold]
    fn keep(&self, some: impl DoubleEndedIterator<Item = Taken>) {
        let mut kept = self.lock();
        if kept.0 != std::process::id() {
            *kept = (std::process::id(), VecDeque::new());
        }
        some.rev().for_each(|taken| kept.1.push_front(taken));
        self.has_some.store(!kept.1.is_empty(), Ordering::Relaxed);
    }
}

impl PyDiskQueue {
    pub(super) fn get_object(&self, py: Python<'_>, how: How) -> PyResult<Py<PyAny>> {
        let taken = self.take_one(py, how)?;
        self.open(py, taken).map_err(|(error, taken)| self.keep_if_interrupted(py, error, taken))
    }

    /// Keep what was taken when `error` cut the call short; returns it.
    #[cold]
    fn keep_if_interrupted<I>(&self, py: Python<'_>, error: PyErr, taken: I) -> PyErr
    where
        I: IntoIterator<Item = Taken, IntoIter: DoubleEndedIterator>,
    {
        if codec::is_interruption(py, &error) {
            self.spare.keep(taken.into_iter());
        }
        error
    }

    /// Up to `most` objects. One that cannot be decoded is left for the next call, unless it is the first.
    pub(super) fn get_objects<'py>(&self, py: Python<'py>, most: usize, how: How) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        if most == 0 {
            return Ok(list);
        }
        let mut rest = self.take_many(py, most, how)?.into_iter();
        while let Some(taken) = rest.next() {
            match self.open(py, taken) {
                Ok(object) => list.append(object)?,
                Err((error, taken)) => {
                    let is_interruption = codec::is_interruption(py, &error);
                    let is_spent = list.is_empty() && !is_interruption;
                    self.spare.keep(taken.filter(|_| !is_spent).into_iter().chain(rest));
                    return if list.is_empty() || is_interruption { Err(error) } else { Ok(list) };
                }
            }
        }
        Ok(list)
    }

    fn take_one(&self, py: Python<'_>, how: How) -> PyResult<Taken> {
        if let Some(taken) = self.spare.take() {
            return Ok(taken);
        }
        let mut bytes = INCOMING.take();
        let (got, ticket) = self.attempt(py, Action::Get, how, |deadline| {
            bytes.clear();
            self.queue.get(deadline, &mut bytes)
        })?;
        check::synchronised(py, check::ACQUIRE, &self.state, 0);
        let taken = Taken { bytes, deliveries: got.deliveries };
        match self.settle(py, ticket) {
            Ok(()) => Ok(taken),
            Err(error) => Err(self.keep_if_interrupted(py, error, [taken])),
        }
    }

    fn take_many(&self, py: Python<'_>, most: usize, how: How) -> PyResult<Vec<Taken>> {
        let mut taken: Vec<Taken> = std::iter::from_fn(|| self.spare.take()).take(most).collect();
        if taken.is_empty() {
            let (_, ticket) = self.attempt(py, Action::Get, how, |deadline| {
                let mut size = 0;
                self.queue.get_many(most.min(BATCH_ITEMS), deadline, |got, bytes| {
                    taken.push(Taken { bytes: bytes.to_vec(), deliveries: got.deliveries });
                    size += bytes.len();
                    size < BATCH_BYTES
                })
            })?;
            check::synchronised(py, check::ACQUIRE, &self.state, 0);
            if let Err(error) = self.settle(py, ticket) {
                return Err(self.keep_if_interrupted(py, error, taken));
            }
        }
        Ok(taken)
    }

    /// The object of a message, unless that was delivered too often. With an error goes the message, if it may be tried again.
    fn open(&self, py: Python<'_>, taken: Taken) -> Result<Py<PyAny>, (PyErr, Option<Taken>)> {
        if self.options.joinable {
            DELIVERED.set((self.id(), taken.deliveries));
            let most = self.options.max_deliveries;
            if most != 0 && taken.deliveries > most {
                return Err((errors::delivered_too_often(py, taken.deliveries, most), None));
            }
        }
        if taken.bytes.first() == Some(&FRAMED) {
            return open_framed(py, taken);
        }
        match codec::decode(py, &taken.bytes, &[]) {
            Ok(object) => {
                if taken.bytes.capacity() <= 2 * BATCH_BYTES {
                    INCOMING.set(taken.bytes);
                }
                Ok(object)
            }
            Err(error) => Err((error, Some(taken))),
        }
    }

    /// How often what this thread took last was delivered.
    pub(super) fn deliveries(&self) -> u32 {
        let (queue, deliveries) = DELIVERED.get();
        if queue == self.id() { deliveries } else { 1 }
    }

    fn id(&self) -> usize {
        std::ptr::from_ref(self.state.get()) as usize
    }
}

/// A message with buffers, which become views on its bytes: these cannot be had back, since whoever was shown them may
/// have written there.
#[inline(never)]
fn open_framed(py: Python<'_>, taken: Taken) -> Result<Py<PyAny>, (PyErr, Option<Taken>)> {
    let decoded = match frame::split(py, taken.bytes) {
        Ok((message, buffers)) => codec::decode(py, &message, &buffers),
        Err(error) => Err(error),
    };
    decoded.map_err(|error| (error, None))
}
