//! Lock, `RLock`, Semaphore, Event, Condition, Barrier: each is first tried with the GIL held, and only a call that has
//! to wait releases it. What they share is here; `fast` binds the methods that programs call millions of times.

mod barrier;
mod condition;
mod death;
mod event;
mod fast;
mod lock;
mod recorded;
mod semaphore;

pub use barrier::PyBarrier;
pub use condition::PyCondition;
pub use event::PyEvent;
pub use fast::add_to_module;
pub use lock::{PyLock, PyRLock};
pub use recorded::watch;
pub use semaphore::PySemaphore;

use crate::arena::{Object, PyArena};
use crate::{errors, wait};
use procession_core::arena::Kind;
use procession_core::error::ReleaseError;
use procession_core::owner::Policy;
use procession_core::wait::{pause, spinning_pays};
use pyo3::prelude::*;
use std::time::{Duration, Instant};

/// How long to spin before releasing the GIL: a hand-over across cores takes less, and releasing costs about as much.
const BRIEFLY: Duration = Duration::from_micros(2);

/// Where an object is that exists already.
type Address = Option<(u64, u64)>;

/// Spin for a moment with the GIL held: only for what another process does, as no thread of this one can.
fn briefly(deadline: Option<Instant>, ready: impl Fn() -> bool) -> bool {
    let in_time = deadline.is_none_or(|deadline| deadline >= Instant::now() + BRIEFLY);
    in_time && spinning_pays() && pause(&ready, BRIEFLY)
}

/// multiprocessing's pair of arguments as one deadline: `block=False` is now.
fn deadline(block: bool, timeout: Option<f64>) -> PyResult<Option<Instant>> {
    wait::deadline(if block { timeout } else { Some(0.0) })
}

fn opened<T>(
    arena: &Bound<'_, PyArena>,
    kind: Kind,
    address: Address,
    init: impl FnOnce() -> T,
) -> PyResult<Object<T>> {
    match address {
        None => Object::create(arena, kind, init),
        Some(address) => Object::open(arena, kind, address),
    }
}

#[cold]
fn release_error(py: Python<'_>, error: ReleaseError) -> PyErr {
    match error {
        ReleaseError::TooOften => errors::raise(py, "ReleaseError", ("semaphore or lock released too many times",)),
        ReleaseError::NotOwner => {
            errors::raise(py, "NotOwner", ("attempt to release recursive lock not owned by thread",))
        }
    }
}

/// What a pickled object brings with it is in the arena; for a new one: what finding a dead holder means.
fn policy(raises: bool) -> Policy {
    if raises { Policy::Raise } else { Policy::Warn }
}
