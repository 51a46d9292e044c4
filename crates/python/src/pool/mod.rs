//! A pool's tasks and answers: the parent's book of what is out, and the loop that a worker runs.
//!
//! Two rings, tasks to the workers and answers back. The parent is the only putter of tasks and does it under one lock,
//! so a task *is* its number in the ring: the book ([`dispatcher`]) is a queue of entries from the oldest outstanding
//! number on, and a worker's claim cell names its task by that number. Everything between taking an answer off the ring
//! and noting it in its [`job`] is native: no signal handler can run in between, so Ctrl-C loses no answer.
//!
//! Both kinds of message are a header of two words and then an encoded object, so that an object which cannot be decoded
//! costs the one task it belongs to:
//!
//! ```text
//! task     offset of the function's block, its low 6 bits the kind | serial of that block
//! answer   number of the task (32 bits) | status (32)              | nanoseconds of work (48 bits) | items it is for (16)
//! ```
//!
//! A chunk whose items stand for themselves (`STREAM`) is answered in parts when it takes long, so that the death of its
//! worker costs what was done in the last millisecond and not the whole chunk. A part's status has the bit `PART`; the
//! last answer of a task never has it. Items are answered in order, so a part needs to say only for how many it is.
//!
//! An item that cannot be unpickled takes its whole chunk with it, for they travel as one message: such a chunk is sent
//! back (`APART`), and its items come again, each by itself.
//!
//! A worker's cells, all but the last written by it: the claim, the item it is at (or `SEVERAL`), when it began with it,
//! whether it is to end after the task it is at.

mod dispatcher;
mod job;
mod tracer;
mod worker;

pub use dispatcher::PyDispatcher;
pub use job::PyJob;
pub use tracer::task_title;
pub use worker::{put_news, serve, signal_main_thread};

use crate::arena::Object;
use crate::check;
use crate::codec::Encoder;
use crate::ring::{Incoming, Outgoing};
use crate::wait::Waiting;
use crate::{errors, wait};
use procession_core::error::{ArenaError, GetError, PutError, WaitError};
use procession_core::ring::{ClaimCell, Ring, Wait};
use procession_core::waits::Action;
use pyo3::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) const HEADER: usize = 16;

/// What to do with a task's object, in the low bits of its first word: call the function with `(args, kwargs)`, ...
pub(super) const CALL: u64 = 0;
/// ... with the object itself, ...
pub(super) const ONE: u64 = 1;
/// ... or with its items as arguments.
pub(super) const STAR: u64 = 2;
/// Added to the others: the object is a list, and each of its items is a call; the answer is the list of results.
pub(super) const MANY: u64 = 4;
/// Added to `MANY`: each item has an outcome of its own, and they may be told in parts.
pub(super) const STREAM: u64 = 8;
/// Added to the others: the worker notes down when it begins with an item, for somebody limits its time.
pub(super) const TIMED: u64 = 16;
pub(super) const KIND_BITS: u64 = 63;

/// How a task ended. Python knows these numbers from `procession.pool.state`.
pub(super) const VALUE: u32 = 0;
pub(super) const RAISED: u32 = 1;
pub(super) const UNSENDABLE: u32 = 2;
pub(super) const UNREADABLE: u32 = 3;
/// Added to these: the task has more to tell.
pub(super) const PART: u32 = 256;
/// From here on a message is no task's answer but news of a worker, whose number stands in the place of a task's.
pub(super) const NEWS: u32 = 16;

/// News that bears a task's number after all: of a `STREAM` whose items could not be unpickled together.
pub(super) const APART: u32 = 19;

/// In a worker's cell: it is not at one item but at all from this one on: it unpickles them, or pickles their results.
pub(super) const SEVERAL: u64 = 1 << 32;

/// Between two looks whether answers before a worker's own have been read, where shared memory is full.
const PAUSE: Duration = Duration::from_millis(2);
/// Looks in a row at an empty ring before it gives up: what has been taken out still takes room until it is decoded.
const LOOKS: u32 = 25;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn header_bytes(first: u64, second: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    bytes
}

pub(super) fn header_words(incoming: &Incoming, index: usize) -> Option<(u64, u64)> {
    let bytes: [u8; HEADER] = incoming.header(index, HEADER)?.try_into().ok()?;
    let number = u128::from_le_bytes(bytes);
    Some((number as u64, (number >> 64) as u64))
}

/// Put messages into a ring without bounds that, if they are several, nobody else puts into. All of them or none: the
/// only failures are the arena's and a closed ring.
pub(super) fn put(py: Python<'_>, ring: &Object<Ring>, outgoing: &Outgoing) -> PyResult<u32> {
    let messages = outgoing.messages();
    check::synchronised(py, check::RELEASE, ring, 0);
    if messages.len() > 1 {
        ring.get().reserve(&ring.home(), &messages).map_err(|error| errors::put(py, &error))?;
    }
    loop {
        match ring.home().put(ring.get(), &messages, Wait::Until(None)) {
            Ok((_, first)) => return Ok(first),
            Err(PutError::Interrupted | PutError::Full) => {}
            Err(error) => return Err(errors::put(py, &error)),
        }
    }
}

/// Put an answer made of what was encoded into the ring that all workers share. Where shared memory is full it waits for
/// as long as answers before it are unread, and a moment more, since reading them makes room: what has been worked out is
/// not lost for want of that.
pub(super) fn put_answer(
    py: Python<'_>,
    ring: &Object<Ring>,
    outgoing: &mut Outgoing,
    encoder: &Encoder,
    header: &[u8],
) -> PyResult<()> {
    let mut looks_left = LOOKS;
    loop {
        outgoing.clear();
        let put = outgoing.add_with_header(py, ring, encoder, header).and_then(|_| put(py, ring, outgoing));
        let Err(error) = put else { return Ok(()) };
        if looks_left == 0 || !errors::is(py, &error, "ArenaFull") {
            return Err(error);
        }
        looks_left = if ring.get().is_empty() { looks_left - 1 } else { LOOKS };
        py.detach(|| std::thread::sleep(PAUSE));
        py.check_signals()?;
    }
}

/// Wait until `deadline` for up to `most` messages. None: the ring is closed and empty. 0: the deadline passed.
pub(super) fn receive(
    py: Python<'_>,
    incoming: &mut Incoming,
    ring: &Object<Ring>,
    most: usize,
    deadline: impl FnOnce() -> Option<Instant>,
    claim: Option<&ClaimCell>,
) -> PyResult<Option<usize>> {
    match incoming.receive(ring, most, Wait::Never, claim) {
        Ok(taken) => {
            check::synchronised(py, check::ACQUIRE, ring, 0);
            return Ok(Some(taken));
        }
        Err(GetError::Closed) => return Ok(None),
        Err(_) => {}
    }
    let action = if claim.is_some() { Action::Serve } else { Action::Result };
    let what = Waiting::on(action, ring);
    let taken = wait::until(py, what, deadline(), |deadline| {
        match incoming.receive(ring, most, Wait::Until(deadline), claim) {
            Ok(taken) => Ok(Some(Ok(taken))),
            Err(GetError::Closed) => Ok(None),
            Err(GetError::Interrupted) => Err(WaitError::Interrupted),
            Err(GetError::Arena(ArenaError::Corrupted(found))) => Ok(Some(Err(found))),
            // (A pool's ring keeps nothing of what is taken, so it needs no room in the arena for that.)
            Err(GetError::Empty | GetError::Arena(_)) => Err(WaitError::TimedOut),
        }
    })?;
    check::synchronised(py, check::ACQUIRE, ring, 0);
    taken.unwrap_or(Some(Ok(0))).transpose().map_err(|found| errors::corrupted(py, found))
}
