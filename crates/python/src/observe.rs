//! Arenas of other programs, seen from outside: pictures as plain tuples, of which `procession._registry` makes its
//! dataclasses.

use crate::errors;
use crate::sharedctypes::Code;
use procession_core::heap::{Block, Kind, Role};
use procession_core::observe::{Member, Observer, Picture, State};
use procession_core::owner::{Holder, PLACES};
use procession_core::semaphore::VALUE_MAX;
use procession_core::source::Source;
use procession_core::waits::TIMED;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

/// Someone who looks at one arena of another program, and has no part in it.
#[pyclass(frozen, name = "Observer", module = "procession._native")]
pub struct PyObserver {
    /// One picture at a time; never held while Python runs.
    observer: Mutex<Observer>,
}

/// Place, pid, start time in clock ticks since boot, name, rank, whether it lives.
type MemberTold = (usize, u32, u64, Option<String>, u32, bool);

fn told(member: Member) -> MemberTold {
    (member.owner.place(), member.pid, member.start_time, member.name, member.rank, member.alive)
}

impl PyObserver {
    fn over(py: Python<'_>, source: std::io::Result<Source>) -> PyResult<Self> {
        let source = source.map_err(|error| errors::system(&error))?;
        let observer = Observer::new(source).map_err(|error| errors::arena(py, &error))?;
        Ok(Self { observer: Mutex::new(observer) })
    }

    fn with<R: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut Observer) -> R + Send) -> R {
        py.detach(|| work(&mut self.observer.lock().unwrap_or_else(std::sync::PoisonError::into_inner)))
    }
}

#[pymethods]
impl PyObserver {
    /// Of the arena behind a descriptor, `/proc/PID/fd/N`. Raises: OSError, ValueError when it is none.
    #[staticmethod]
    fn of_file(py: Python<'_>, path: &str) -> PyResult<Self> {
        Self::over(py, Source::of_file(Path::new(path)))
    }

    /// Of the arena in a span of a process's own memory. Raises: as `of_file`; PermissionError where the system does
    /// not let this process look.
    #[staticmethod]
    fn of_memory(py: Python<'_>, pid: u32, start: u64, length: u64) -> PyResult<Self> {
        Self::over(py, Source::of_memory(pid, start, length))
    }

    #[getter]
    fn token<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let [low, high] = self.with(py, |observer| observer.token());
        PyBytes::new(py, &(u128::from(high) << 64 | u128::from(low)).to_le_bytes())
    }

    /// Who shares it: (place, pid, start time, name, rank, alive).
    fn members(&self, py: Python<'_>) -> Vec<MemberTold> {
        self.with(py, |observer| observer.members()).into_iter().map(told).collect()
    }

    /// The texts of labels that stand in objects' contents; None for what is none.
    fn texts(&self, py: Python<'_>, labels: Vec<u32>) -> Vec<Option<String>> {
        self.with(py, move |observer| observer.texts(&labels))
    }

    /// Everything: (used, limit) in bytes; the members; the objects; who waits; (what, offset) of damage that ended the
    /// reading.
    ///
    /// An object: ((offset, serial), kind, name, site, bytes, creator's pid, pids of its holders, offset of what it is
    /// a part of or 0, messages in flight that refer to it, what it is at or None).
    ///
    /// A wait: (pid, the thread's native id, its ident, action, offset of the object or a pid, detail, since when on the
    /// monotonic clock, site, whether it ends by itself).
    fn look<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let picture = self.with(py, Observer::look);
        let mut teller = Teller { py, picture: &picture, labels: HashMap::new(), holders: HashMap::new() };
        let objects = PyList::empty(py);
        for (block, state) in &picture.objects {
            objects.append(teller.object(block, state)?)?;
        }
        let usage = (picture.usage.used, picture.usage.limit);
        let members: Vec<_> = picture.members.iter().cloned().map(told).collect();
        let damaged = picture.damaged.map(|found| (found.what, found.offset));
        let waits = teller.waits()?;
        (usage, members, objects, waits, damaged).into_pyobject(py)
    }
}

/// Tells of one picture; what occurs often is made once.
struct Teller<'a, 'py> {
    py: Python<'py>,
    picture: &'a Picture,
    labels: HashMap<u32, Option<Bound<'py, PyString>>>,
    holders: HashMap<[u64; PLACES / 64], Bound<'py, PyTuple>>,
}

impl<'py> Teller<'_, 'py> {
    fn label(&mut self, label: u32) -> Option<Bound<'py, PyString>> {
        let text = || self.picture.label(label).map(|text| PyString::new(self.py, &text));
        self.labels.entry(label).or_insert_with(text).clone()
    }

    fn holders(&mut self, bits: &[u64; PLACES / 64]) -> PyResult<Bound<'py, PyTuple>> {
        if let Some(known) = self.holders.get(bits) {
            return Ok(known.clone());
        }
        let held = (0..PLACES).filter(|place| bits[place / 64] >> (place % 64) & 1 != 0);
        let pids: Vec<u32> = held.filter_map(|place| self.picture.member(place)).map(|member| member.pid).collect();
        let pids = PyTuple::new(self.py, pids)?;
        self.holders.insert(*bits, pids.clone());
        Ok(pids)
    }

    fn object(&mut self, block: &Block, state: &State) -> PyResult<Bound<'py, PyTuple>> {
        let (name, site) = (self.label(block.name), self.label(block.site));
        let kind = PyString::intern(self.py, kind_name(block, state));
        let holders = self.holders(&block.holders)?;
        let nbytes = block.size + if let State::Ring { storage, .. } = state { *storage } else { 0 };
        let state = self.state(state)?;
        let address = (block.offset, block.serial);
        (address, kind, name, site, nbytes, block.creator, holders, block.part_of, block.in_flight, state)
            .into_pyobject(self.py)
    }

    fn waits(&mut self) -> PyResult<Bound<'py, PyList>> {
        let told = PyList::empty(self.py);
        for entry in &self.picture.waits {
            let Some(member) = self.picture.member(entry.owner.place()).filter(|member| member.owner == entry.owner)
            else {
                continue; // he has died, and another has his place
            };
            let (pid, action, since) = (member.pid, entry.action.name(), entry.since as f64 / 1e9);
            let (site, timed) = (self.label(entry.site), entry.flags & TIMED != 0);
            told.append((pid, entry.native, entry.ident, action, entry.object, entry.detail, since, site, timed))?;
        }
        Ok(told)
    }

    /// (pid, thread ident, name, since).
    fn owner(&self, holder: &Holder) -> (u32, u64, Option<String>, Option<f64>) {
        let name = self.picture.member(holder.owner.place()).filter(|member| member.pid == holder.pid);
        let since = (holder.since != 0).then(|| f64::from(holder.since));
        (holder.pid, holder.thread, name.and_then(|member| member.name.clone()), since)
    }

    /// The fields of one of `procession.statistics`' classes, in their order, behind its name.
    fn state(&self, state: &State) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let told = match state {
            State::Mutex { owner, count, statistics } => {
                let owner = owner.as_ref().map(|holder| self.owner(holder));
                let counters = (statistics.acquired, statistics.contended, statistics.abandoned, statistics.waiters);
                ("Lock", owner, *count, counters.0, counters.1, counters.2, counters.3).into_pyobject(py)?
            }
            State::Semaphore { value, maximum, held, waiters } => {
                ("Semaphore", *value, *maximum, *held, *waiters).into_pyobject(py)?
            }
            State::Event { is_set, times_set, waiters } => {
                ("Event", *is_set, *times_set, *waiters).into_pyobject(py)?
            }
            State::Condition { waiters, notified } => ("Condition", *waiters, *notified).into_pyobject(py)?,
            State::Barrier { parties, waiters, broken, released } => {
                ("Barrier", *parties, *waiters, *broken, *released).into_pyobject(py)?
            }
            State::Ring { depth, bytes, put, taken, waiters, closed, .. } => {
                ("Queue", *depth, *bytes, *put, *taken, *waiters, *closed).into_pyobject(py)?
            }
            State::Log { depth, bytes, put, taken, waiters, closed, .. } => {
                ("Queue", *depth, *bytes, *put, *taken, *waiters, *closed).into_pyobject(py)?
            }
            State::Cells { code, count, first } => return self.cells(*code, *count, *first),
            State::Claims(claims) => ("Claim", claims.clone()).into_pyobject(py)?,
            State::Memory => return Ok(py.None().into_bound(py)),
        };
        Ok(told.into_any())
    }

    fn cells(&self, code: u32, count: u64, first: u64) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let Some(code) = u8::try_from(code).ok().and_then(Code::of) else { return Ok(py.None().into_bound(py)) };
        let bits = if code.size() < 8 { first & ((1 << (8 * code.size())) - 1) } else { first };
        // SAFETY: a new reference, or null with an exception set (no character has that number).
        let first = unsafe { Bound::from_owned_ptr_or_err(py, code.object(bits)) }.ok();
        Ok(("Cells", code.text(), count, first).into_pyobject(py)?.into_any())
    }
}

fn kind_name(block: &Block, state: &State) -> &'static str {
    const NAMES: [&str; 14] = [
        "nothing",
        "Lock",
        "RLock",
        "Semaphore",
        "Event",
        "Condition",
        "Barrier",
        "Ring",
        "Buffer",
        "Memory",
        "Value",
        "Array",
        "Claim",
        "DiskQueue",
    ];
    match (block.role, state) {
        (Role::Queue, _) | (_, State::Log { joinable: false, .. }) => "Queue",
        (Role::JoinableQueue, _) | (_, State::Log { joinable: true, .. }) => "JoinableQueue",
        (Role::SimpleQueue, _) => "SimpleQueue",
        (Role::PipeBack | Role::PipeForth, _) => "Pipe",
        (Role::PipeFlags, _) => "PipeFlags",
        (Role::Pool, _) => "Pool",
        (_, State::Semaphore { maximum, .. }) if *maximum < VALUE_MAX => "BoundedSemaphore",
        _ if block.kind == Kind::Block as u32 && block.site == 0 => "Payload",
        _ => NAMES.get(block.kind as usize).copied().unwrap_or("damaged"),
    }
}
