//! Waiting without the GIL, in slices; between them Python handles signals, then the wait goes on for what is left.
//!
//! A thread that goes to sleep in here is entered in the arena's table of who waits for what (`waits.rs` of the core). The
//! line of the program that waits is found out after the first slice, when the GIL is taken anyway, so that a short wait
//! does not pay for it; where deadlocks are looked for, before.

use crate::arena::Object;
use crate::recorder as binding;
use crate::{deadlocks, site};
use procession_core::arena::{Arena, forks};
use procession_core::error::WaitError;
use procession_core::recorder::{self, TRACE};
use procession_core::sys;
use procession_core::wait::telling;
use procession_core::waits::{Action, Entry, LOOKS, TIMED};
use pyo3::prelude::*;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The moment `timeout` seconds from now; None is for ever, as is more than a century. Negative is now, NaN is an error.
pub fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(timeout) = timeout else { return Ok(None) };
    if timeout.is_nan() {
        return Err(pyo3::exceptions::PyValueError::new_err("timeout must be a number of seconds, not NaN"));
    }
    if timeout > 3.2e9 {
        return Ok(None);
    }
    Ok(Some(Instant::now() + Duration::from_secs_f64(timeout.max(0.0))))
}

thread_local! {
    /// Which slot this thread had last: most likely it is free again.
    static HINT: Cell<usize> = const { Cell::new(0) };
    /// The kernel's id of the thread, and at which count of forks that was asked for.
    static NATIVE: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
    /// What it waits for stands in the table already: a wait within another is part of it.
    static ENTERED: Cell<bool> = const { Cell::new(false) };
}

/// The kernel's id of the calling thread, for most times without a system call.
pub fn native_thread() -> u32 {
    let (at, known) = NATIVE.get();
    if known != 0 && at == forks() {
        return known;
    }
    let native = sys::native_thread();
    NATIVE.set((forks(), native));
    native
}

/// What a wait is for, as others see it.
#[derive(Clone, Copy)]
pub struct Waiting {
    pub arena: &'static Arena,
    pub action: Action,
    pub object: u64,
    pub detail: u64,
}

impl Waiting {
    /// For an object of an arena.
    pub fn on<T>(action: Action, object: &Object<T>) -> Self {
        Self { arena: object.home(), action, object: object.handle().offset(), detail: 0 }
    }
}

impl Waiting {
    fn wanted(&self) -> binding::Wanted {
        (self.arena, self.action, self.object, self.detail)
    }
}

/// A wait, and where it stands in the table.
pub struct Entered {
    what: Waiting,
    flags: u32,
    /// Slot + 1; 0: it is not in the table (yet).
    slot: AtomicU32,
    site: AtomicU32,
    /// For the timeline, when the thread went to sleep; 0: it did not, or that is recorded.
    since: AtomicU64,
    is_recorded: AtomicBool,
}

impl Entered {
    /// Not in the table yet.
    pub fn new(py: Python<'_>, what: Waiting, deadline: Option<Instant>) -> Self {
        let looks = deadlocks::notice(what.arena);
        let flags = if deadline.is_some() { TIMED } else { 0 } | if looks { LOOKS } else { 0 };
        let site = if looks { site::here(py, what.arena) } else { 0 };
        let (slot, site) = (AtomicU32::new(0), AtomicU32::new(site));
        Self { what, flags, slot, site, since: AtomicU64::new(0), is_recorded: AtomicBool::new(false) }
    }

    /// This thread is about to sleep.
    pub fn enter(&self) {
        if self.slot.load(Ordering::Relaxed) != 0 || ENTERED.get() {
            return;
        }
        let Waiting { arena, action, object, detail } = self.what;
        let entry = Entry {
            owner: arena.me(),
            native: native_thread(),
            ident: sys::thread_ident(),
            action,
            flags: self.flags,
            object,
            detail,
            since: binding::now(),
            site: self.site.load(Ordering::Relaxed),
        };
        if let Some(slot) = arena.waits().enter(&entry, HINT.get(), arena.processes()) {
            HINT.set(slot);
            ENTERED.set(true);
            self.slot.store(slot as u32 + 1, Ordering::Relaxed);
            if recorder::is_on(TRACE) && action != Action::Serve {
                self.since.store(entry.since, Ordering::Relaxed);
            }
        }
    }

    /// Record that the wait has begun: once, when it has lasted for a slice or is over.
    pub fn record(&self, py: Python<'_>) {
        let since = self.since.swap(0, Ordering::Relaxed);
        if since != 0 {
            self.is_recorded.store(true, Ordering::Relaxed);
            binding::wait_begun(py, since, self.what.wanted());
        }
    }

    /// Record that it is over.
    pub fn record_end(&self, py: Python<'_>, timed_out: bool) {
        self.record(py);
        if self.is_recorded.swap(false, Ordering::Relaxed) {
            binding::wait_over(py, self.what.wanted(), timed_out);
        }
    }

    /// Whether who waits here is to look for deadlocks.
    pub fn looks(&self) -> bool {
        self.flags == LOOKS
    }

    /// The line of the program, for a wait that will surely last.
    pub fn locate(&self, py: Python<'_>) {
        let Some(slot) = self.slot.load(Ordering::Relaxed).checked_sub(1) else { return };
        if self.site.load(Ordering::Relaxed) == 0 {
            let site = site::here(py, self.what.arena);
            self.site.store(site, Ordering::Relaxed);
            self.what.arena.waits().locate(slot as usize, site);
        }
    }

    /// It has lasted for `slices` by now.
    pub fn last(&self, py: Python<'_>, slices: u32) -> PyResult<()> {
        let Some(slot) = self.slot.load(Ordering::Relaxed).checked_sub(1) else { return Ok(()) };
        self.locate(py);
        self.record(py);
        if self.looks() { deadlocks::look(py, self.what.arena, slot as usize, slices) } else { Ok(()) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.load(Ordering::Relaxed).checked_sub(1) {
            ENTERED.set(false);
            self.what.arena.waits().leave(slot as usize, self.what.arena.me());
        }
    }
}

/// Run `attempt` without the GIL until it gives something other than `Interrupted`. None: the deadline passed.
pub fn until<R: Send>(
    py: Python<'_>,
    what: Waiting,
    deadline: Option<Instant>,
    mut attempt: impl FnMut(Option<Instant>) -> Result<R, WaitError> + Send,
) -> PyResult<Option<R>> {
    let entered = Entered::new(py, what, deadline);
    let mut slices = 0;
    let outcome = loop {
        match py.detach(|| telling(&|| entered.enter(), || attempt(deadline))) {
            Ok(result) => break Ok(Some(result)),
            Err(WaitError::TimedOut) => break Ok(None),
            Err(WaitError::Interrupted) => {
                slices += 1;
                if let Err(error) = py.check_signals().and_then(|()| entered.last(py, slices)) {
                    break Err(error);
                }
            }
        }
    };
    if recorder::is_on(TRACE) {
        entered.record_end(py, matches!(outcome, Ok(None)));
    }
    outcome
}

/// The same with a timeout in seconds.
pub fn blocking<R: Send>(
    py: Python<'_>,
    what: Waiting,
    timeout: Option<f64>,
    attempt: impl FnMut(Option<Instant>) -> Result<R, WaitError> + Send,
) -> PyResult<Option<R>> {
    until(py, what, deadline(timeout)?, attempt)
}
