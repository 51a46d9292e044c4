//! Lock, RLock, Semaphore, Event, Condition, Barrier: each is first tried with the GIL held, and only a call that has to wait
//! releases it. The methods that programs call millions of times are bound in `synchronize_fast.rs`.

use crate::arena::{Object, PyArena};
use crate::{errors, wait};
use procession_core::arena::Kind;
use procession_core::barrier::{self, Arrival, Barrier, Outcome, Party};
use procession_core::condition::{self, Condition};
use procession_core::error::ReleaseError;
use procession_core::event::Event;
use procession_core::mutex::{Mutex, Taken};
use procession_core::semaphore::{self, Semaphore};
use procession_core::sys;
use pyo3::exceptions::{PyRuntimeWarning, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::ffi::CString;
use std::time::{Duration, Instant};

/// How long to spin before releasing the GIL: a hand-over across cores takes less, and releasing costs about as much.
const BRIEFLY: Duration = Duration::from_micros(2);

type Address = Option<(u64, u64)>;

/// Spin for a moment with the GIL held: only for what another process does, as no thread of this one can.
fn briefly(deadline: Option<Instant>, ready: impl Fn() -> bool) -> bool {
    let end = Instant::now() + BRIEFLY;
    if sys::cpus() < 2 || deadline.is_some_and(|deadline| deadline < end) {
        return false;
    }
    loop {
        for _ in 0..8 {
            if ready() {
                return true;
            }
            std::hint::spin_loop();
        }
        if Instant::now() >= end {
            return false;
        }
    }
}

/// multiprocessing's pair of arguments as one deadline: `block=False` is now.
pub(crate) fn deadline(block: bool, timeout: Option<f64>) -> PyResult<Option<Instant>> {
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

/// A lock of either kind.
pub(crate) trait AnyLock {
    /// Whether its holder may acquire it again, and only its holder may release it.
    const RECURSIVE: bool;
    const NAME: &'static str;
    fn object(&self) -> &Object<Mutex>;

    #[inline]
    fn try_take(&self, thread: u64) -> bool {
        let object = self.object();
        if Self::RECURSIVE {
            object.try_acquire_again(object.me(), thread)
        } else {
            object.try_acquire(object.me(), thread)
        }
    }

    /// Wait for it.
    #[cold]
    fn take(&self, py: Python<'_>, thread: u64, deadline: Option<Instant>) -> PyResult<bool> {
        let object = self.object();
        let (mutex, me, life) = (object.get(), object.me(), object.life());
        let elsewhere = mutex.owner().is_some_and(|(pid, _)| pid != sys::pid());
        if elsewhere && briefly(deadline, || !mutex.is_locked() && mutex.try_acquire(me, thread)) {
            return Ok(true);
        }
        match wait::until(py, deadline, |deadline| mutex.acquire(me, thread, life, deadline))? {
            None => Ok(false),
            Some(Taken::Free) => Ok(true),
            Some(Taken::Abandoned { pid }) => {
                // A warning that a filter made an error: the caller will not know that it holds the lock, so give it back.
                warn_abandoned(py, Self::NAME, pid).inspect_err(|_| _ = mutex.release())?;
                Ok(true)
            }
        }
    }

    #[inline]
    fn try_give(&self, thread: u64) -> Result<(), ReleaseError> {
        let object = self.object();
        if Self::RECURSIVE { object.release_once(object.me(), thread) } else { object.release() }
    }
}

#[cold]
pub(crate) fn release_error(py: Python<'_>, error: ReleaseError) -> PyErr {
    match error {
        ReleaseError::TooOften => errors::raise(py, "ReleaseError", ("semaphore or lock released too many times",)),
        ReleaseError::NotOwner => {
            errors::raise(py, "NotOwner", ("attempt to release recursive lock not owned by thread",))
        }
    }
}

fn warn_abandoned(py: Python<'_>, name: &str, pid: u32) -> PyResult<()> {
    let text = format!("process {pid} ended while it held this {name}: what the {name} guards may be half-done");
    let category = PyModule::import(py, "procession.errors").and_then(|module| module.getattr("AbandonedLockWarning"));
    let category = category.unwrap_or_else(|_| py.get_type::<PyRuntimeWarning>().into_any());
    PyErr::warn(py, &category, &CString::new(text).unwrap_or_default(), 1)
}

fn lock_statistics<'py>(py: Python<'py>, mutex: &Mutex) -> PyResult<Bound<'py, PyDict>> {
    let statistics = mutex.statistics();
    let dict = PyDict::new(py);
    dict.set_item("owner", mutex.owner())?;
    dict.set_item("count", if mutex.is_locked() { mutex.depth() } else { 0 })?;
    dict.set_item("acquired", statistics.acquired)?;
    dict.set_item("contended", statistics.contended)?;
    dict.set_item("abandoned", statistics.abandoned)?;
    dict.set_item("waiters", statistics.waiters)?;
    Ok(dict)
}

/// A lock that any thread of any process may release, as in multiprocessing.
#[pyclass(frozen, subclass, name = "Lock", module = "procession._native")]
pub struct PyLock {
    object: Object<Mutex>,
}

impl AnyLock for PyLock {
    const RECURSIVE: bool = false;
    const NAME: &'static str = "Lock";
    #[inline]
    fn object(&self) -> &Object<Mutex> {
        &self.object
    }
}

#[pymethods]
impl PyLock {
    #[new]
    #[pyo3(signature = (arena, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, address: Address) -> PyResult<Self> {
        Ok(Self { object: opened(arena, Kind::Lock, address, Mutex::new)? })
    }

    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    /// (process id, thread ident) of the holder, None while it is free.
    #[getter]
    fn owner(&self) -> Option<(u32, u64)> {
        self.object.owner()
    }

    /// How often it was taken over from a holder that had died.
    #[getter]
    fn abandoned(&self) -> u32 {
        self.object.statistics().abandoned
    }

    fn locked(&self) -> bool {
        self.object.is_locked()
    }

    fn _is_mine(&self) -> bool {
        self.object.is_mine(self.object.me(), sys::thread_ident())
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        lock_statistics(py, &self.object)
    }
}

/// A lock that its holder may acquire again, and that only its holder may release.
#[pyclass(frozen, subclass, name = "RLock", module = "procession._native")]
pub struct PyRLock {
    object: Object<Mutex>,
}

impl AnyLock for PyRLock {
    const RECURSIVE: bool = true;
    const NAME: &'static str = "RLock";
    #[inline]
    fn object(&self) -> &Object<Mutex> {
        &self.object
    }
}

#[pymethods]
impl PyRLock {
    #[new]
    #[pyo3(signature = (arena, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, address: Address) -> PyResult<Self> {
        Ok(Self { object: opened(arena, Kind::RLock, address, Mutex::new)? })
    }

    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    /// (process id, thread ident) of the holder, None while it is free.
    #[getter]
    fn owner(&self) -> Option<(u32, u64)> {
        self.object.owner()
    }

    /// How often the holder has acquired it and not released it.
    #[getter]
    fn count(&self) -> u64 {
        if self.object.is_locked() { self.object.depth() } else { 0 }
    }

    /// How often it was taken over from a holder that had died.
    #[getter]
    fn abandoned(&self) -> u32 {
        self.object.statistics().abandoned
    }

    fn locked(&self) -> bool {
        self.object.is_locked()
    }

    fn _is_mine(&self) -> bool {
        self.object.is_mine(self.object.me(), sys::thread_ident())
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        lock_statistics(py, &self.object)
    }
}

/// A counting semaphore with a maximum.
#[pyclass(frozen, subclass, name = "Semaphore", module = "procession._native")]
pub struct PySemaphore {
    object: Object<Semaphore>,
}

#[pymethods]
impl PySemaphore {
    #[new]
    #[pyo3(signature = (arena, value = 1, maximum = semaphore::VALUE_MAX as i64, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, value: i64, maximum: i64, address: Address) -> PyResult<Self> {
        if address.is_none() && !(0..=maximum.min(semaphore::VALUE_MAX as i64)).contains(&value) {
            let most = maximum.min(semaphore::VALUE_MAX as i64);
            return Err(PyValueError::new_err(format!("semaphore value must be from 0 to {most}, not {value}")));
        }
        let maximum = maximum.clamp(0, semaphore::VALUE_MAX as i64) as u32;
        Ok(Self { object: opened(arena, Kind::Semaphore, address, || Semaphore::new(value as u32, maximum))? })
    }

    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    /// As many permits as there can be.
    #[getter]
    fn maximum(&self) -> u32 {
        self.object.maximum()
    }

    fn get_value(&self) -> u32 {
        self.object.value()
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("value", self.object.value())?;
        dict.set_item("maximum", self.object.maximum())?;
        dict.set_item("waiters", self.object.waiters())?;
        Ok(dict)
    }

    #[pyo3(signature = (block = None, timeout = None))]
    fn acquire(&self, py: Python<'_>, block: Option<&Bound<'_, PyAny>>, timeout: Option<f64>) -> PyResult<bool> {
        if self.object.try_acquire() {
            return Ok(true);
        }
        self.take(py, deadline(block.map_or(Ok(true), |block| block.is_truthy())?, timeout)?)
    }

    #[pyo3(signature = (n = 1))]
    fn release(&self, py: Python<'_>, n: i64) -> PyResult<()> {
        if n < 1 {
            return Err(PyValueError::new_err(format!("n must be one or more, not {n}")));
        }
        let count = u32::try_from(n).unwrap_or(u32::MAX);
        self.object.release(count).map_err(|error| release_error(py, error))
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        if self.object.try_acquire() { Ok(true) } else { self.take(py, None) }
    }

    #[pyo3(signature = (_class = None, _error = None, _traceback = None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _class: Option<&Bound<'_, PyAny>>,
        _error: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.object.release(1).map_err(|error| release_error(py, error))
    }
}

impl PySemaphore {
    #[cold]
    fn take(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<bool> {
        let semaphore = self.object.get();
        if briefly(deadline, || semaphore.try_acquire()) {
            return Ok(true);
        }
        Ok(wait::until(py, deadline, |deadline| semaphore.acquire(deadline))?.is_some())
    }
}

/// A flag to wait for.
#[pyclass(frozen, subclass, name = "Event", module = "procession._native")]
pub struct PyEvent {
    object: Object<Event>,
}

#[pymethods]
impl PyEvent {
    #[new]
    #[pyo3(signature = (arena, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, address: Address) -> PyResult<Self> {
        Ok(Self { object: opened(arena, Kind::Event, address, Event::new)? })
    }

    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    fn is_set(&self) -> bool {
        self.object.is_set()
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("is_set", self.object.is_set())?;
        dict.set_item("times_set", self.object.times_set())?;
        dict.set_item("waiters", self.object.waiters())?;
        Ok(dict)
    }

    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let event = self.object.get();
        let since = event.since();
        if event.is_set() {
            return Ok(true);
        }
        let deadline = wait::deadline(timeout)?;
        if briefly(deadline, || event.has_happened(since)) {
            return Ok(true);
        }
        Ok(wait::until(py, deadline, |deadline| event.wait(since, deadline))?.is_some())
    }

    fn set(&self) {
        self.object.set();
    }

    fn clear(&self) {
        self.object.clear();
    }
}

/// The lock of a condition.
enum Guard {
    Lock(Py<PyLock>),
    RLock(Py<PyRLock>),
}

impl Guard {
    fn new(lock: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(lock) = lock.cast::<PyRLock>() {
            return Ok(Self::RLock(lock.clone().unbind()));
        }
        let lock = lock.cast::<PyLock>().map_err(|_| {
            let class = lock.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
            PyTypeError::new_err(format!("a Condition needs a Lock or an RLock of procession, not {class}"))
        })?;
        Ok(Self::Lock(lock.clone().unbind()))
    }

    fn object(&self) -> &Object<Mutex> {
        match self {
            Self::Lock(lock) => lock.get().object(),
            Self::RLock(lock) => lock.get().object(),
        }
    }

    fn take(&self, py: Python<'_>, deadline: impl FnOnce() -> PyResult<Option<Instant>>) -> PyResult<bool> {
        let thread = sys::thread_ident();
        match self {
            Self::Lock(lock) => Ok(lock.get().try_take(thread) || lock.get().take(py, thread, deadline()?)?),
            Self::RLock(lock) => Ok(lock.get().try_take(thread) || lock.get().take(py, thread, deadline()?)?),
        }
    }

    fn give(&self, py: Python<'_>) -> PyResult<()> {
        let thread = sys::thread_ident();
        let given = match self {
            Self::Lock(lock) => lock.get().try_give(thread),
            Self::RLock(lock) => lock.get().try_give(thread),
        };
        given.map_err(|error| release_error(py, error))
    }
}

/// A condition variable over a Lock or RLock.
#[pyclass(frozen, subclass, name = "Condition", module = "procession._native")]
pub struct PyCondition {
    object: Object<Condition>,
    guard: Guard,
}

impl PyCondition {
    fn assert_mine(&self, py: Python<'_>, doing: &str) -> PyResult<()> {
        let mutex = self.guard.object();
        if mutex.is_mine(mutex.me(), sys::thread_ident()) {
            return Ok(());
        }
        Err(errors::raise(py, "NotOwner", (format!("must acquire() condition before using {doing}()"),)))
    }

    /// Take the lock again after a wait. An exception (Ctrl-C) is put off until the lock is held, so that a `with` block
    /// can end; a second one is not.
    fn retake(&self, py: Python<'_>, depth: u64) -> PyResult<()> {
        let object = self.guard.object();
        let (mutex, me, life, thread) = (object.get(), object.me(), object.life(), sys::thread_ident());
        let mut put_off = None;
        let taken = loop {
            if mutex.try_acquire(me, thread) {
                break Taken::Free;
            }
            match wait::until(py, None, |deadline| mutex.acquire(me, thread, life, deadline)) {
                Ok(taken) => break taken.unwrap_or(Taken::Free),
                Err(error) if put_off.is_some() => return Err(error),
                Err(error) => put_off = Some(error),
            }
        };
        mutex.restore(depth);
        if let Some(error) = put_off {
            return Err(error);
        }
        match taken {
            Taken::Free => Ok(()),
            Taken::Abandoned { pid } => warn_abandoned(py, "Condition", pid),
        }
    }
}

#[pymethods]
impl PyCondition {
    #[new]
    #[pyo3(signature = (arena, lock, *, address = None))]
    fn new(arena: &Bound<'_, PyArena>, lock: &Bound<'_, PyAny>, address: Address) -> PyResult<Self> {
        let guard = Guard::new(lock)?;
        Ok(Self { object: opened(arena, Kind::Condition, address, Condition::new)?, guard })
    }

    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    #[getter]
    fn lock(&self, py: Python<'_>) -> Py<PyAny> {
        match &self.guard {
            Guard::Lock(lock) => lock.clone_ref(py).into_any(),
            Guard::RLock(lock) => lock.clone_ref(py).into_any(),
        }
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("waiters", self.object.waiters())?;
        dict.set_item("notified", self.object.notified())?;
        Ok(dict)
    }

    #[pyo3(signature = (block = None, timeout = None))]
    fn acquire(&self, py: Python<'_>, block: Option<&Bound<'_, PyAny>>, timeout: Option<f64>) -> PyResult<bool> {
        self.guard.take(py, || deadline(block.map_or(Ok(true), |block| block.is_truthy())?, timeout))
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.guard.give(py)
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.guard.take(py, || Ok(None))
    }

    #[pyo3(signature = (_class = None, _error = None, _traceback = None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _class: Option<&Bound<'_, PyAny>>,
        _error: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.guard.give(py)
    }

    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        self.assert_mine(py, "wait")?;
        let deadline = wait::deadline(timeout)?;
        let (condition, me, life) = (self.object.get(), self.object.me(), self.object.life());
        let enrolment = condition.enrol(me, life).map_err(|condition::TooManyWaiters| {
            let text = format!("{} already wait on this Condition, and no more can", condition::CELLS);
            errors::raise(py, "TooManyWaiters", (text,))
        })?;
        let mutex = self.guard.object();
        // Cannot fail: the lock is the calling thread's.
        let depth = mutex.release_fully(mutex.me(), sys::thread_ident()).unwrap_or(1);
        let waited = wait::until(py, deadline, |deadline| condition.park(&enrolment, life, deadline));
        let notified = match waited {
            Ok(_) => Ok(condition.leave(enrolment)),
            Err(error) => {
                condition.abandon(enrolment);
                Err(error)
            }
        };
        self.retake(py, depth)?;
        notified
    }

    #[pyo3(signature = (n = 1))]
    fn notify(&self, py: Python<'_>, n: i64) -> PyResult<()> {
        self.assert_mine(py, "notify")?;
        self.object.notify(n.clamp(0, u32::MAX as i64) as u32);
        Ok(())
    }

    fn notify_all(&self, py: Python<'_>) -> PyResult<()> {
        self.assert_mine(py, "notify_all")?;
        self.object.notify(u32::MAX);
        Ok(())
    }
}

/// A barrier for a fixed number of parties.
#[pyclass(frozen, subclass, name = "Barrier", module = "procession._native")]
pub struct PyBarrier {
    object: Object<Barrier>,
}

impl PyBarrier {
    #[cold]
    fn broken_error(&self, py: Python<'_>) -> PyErr {
        let killed = self.object.killed().and_then(|owner| self.object.life().identity(owner));
        let text = match killed {
            Some((pid, _)) => format!("the barrier is broken: process {pid} ended while it waited there"),
            None => "the barrier is broken: a timeout, abort(), reset(), a failed action or a death".to_owned(),
        };
        errors::raise(py, "BrokenBarrierError", (text,))
    }

    fn outcome(&self, py: Python<'_>, outcome: Outcome, index: u32) -> PyResult<u32> {
        match outcome {
            Outcome::Released => Ok(index),
            Outcome::Broken => Err(self.broken_error(py)),
        }
    }

    fn close(&self, py: Python<'_>, party: Party, action: Option<&Bound<'_, PyAny>>) -> PyResult<u32> {
        let index = party.index();
        if let Some(Err(error)) = action.map(|action| action.call0()) {
            self.object.break_up(party);
            return Err(error);
        }
        let outcome = self.object.release(party);
        self.outcome(py, outcome, index)
    }

    fn park(&self, py: Python<'_>, party: Party, deadline: Option<Instant>) -> PyResult<u32> {
        let (barrier, me, life, index) = (self.object.get(), self.object.me(), self.object.life(), party.index());
        match wait::until(py, deadline, |deadline| barrier.park(&party, me, life, deadline)) {
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
        if !(1..=barrier::PARTIES_MAX as i64).contains(&parties) {
            let most = barrier::PARTIES_MAX;
            return Err(PyValueError::new_err(format!("parties must be from 1 to {most}, not {parties}")));
        }
        Ok(Self { object: opened(arena, Kind::Barrier, address, || Barrier::new(parties as u32))? })
    }

    #[getter]
    fn arena(&self, py: Python<'_>) -> Py<PyArena> {
        self.object.arena(py)
    }

    #[getter]
    fn address(&self) -> (u64, u64) {
        self.object.address()
    }

    #[getter]
    fn parties(&self) -> u32 {
        self.object.parties()
    }

    #[getter]
    fn n_waiting(&self) -> u32 {
        self.object.waiting()
    }

    #[getter]
    fn broken(&self) -> bool {
        self.object.is_broken()
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("parties", self.object.parties())?;
        dict.set_item("waiters", self.object.waiting())?;
        dict.set_item("broken", self.object.is_broken())?;
        dict.set_item("released", self.object.times_released())?;
        Ok(dict)
    }

    /// Arrive, wait for the others, and tell as which one; the last one calls `action` before the others go on.
    #[pyo3(signature = (action = None, timeout = None))]
    fn pass_through(&self, py: Python<'_>, action: Option<&Bound<'_, PyAny>>, timeout: Option<f64>) -> PyResult<u32> {
        let (barrier, me, life) = (self.object.get(), self.object.me(), self.object.life());
        let deadline = wait::deadline(timeout)?;
        match wait::until(py, deadline, |deadline| barrier.arrive(me, life, deadline))? {
            Some(Arrival::Last(party)) => self.close(py, party, action),
            Some(Arrival::Waiting(party)) => self.park(py, party, deadline),
            Some(Arrival::Broken) | None => Err(self.broken_error(py)),
        }
    }

    fn abort(&self) {
        self.object.abort();
    }

    fn reset(&self) {
        self.object.reset();
    }
}
