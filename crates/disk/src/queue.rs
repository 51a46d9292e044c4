//! One queue, as this process has it: a log and two locks.
//!
//! Putters append with the put lock held, and move the tail. Getters read at the head with the get lock held, write
//! into the record's mark that it is done, and move the head. No byte of a segment is looked at but between the two
//! and with a lock held, so that segments behind can be removed while others have them mapped. A queue that is joined
//! leaves a record that was taken as it is, but for its taker, until it is done; what lies between `low` and the head
//! is then a mixture (`lease.rs`).
//!
//! Lock order: commit, get, put.

mod commit;
mod get;
mod lease;
mod put;
mod recover;
mod space;
mod walk;

use crate::error::Error;
use crate::record::Record;
use crate::segment::View;
use crate::state::{At, State};
use crate::storage::{Files, Storage};
use crate::window::Window;
use procession_core::arena::Arena;
use procession_core::lock::{Acquired, Held, OwnerLock};
use procession_core::owner::{Liveness, OwnerId};
use procession_core::wait::ALL;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Who calls, and who else lives. An arena knows both.
pub trait Process: Liveness {
    /// The calling process.
    fn me(&self) -> OwnerId;
}

impl Process for &'static Arena {
    fn me(&self) -> OwnerId {
        Arena::me(self)
    }
}

/// What a queue is to be. Whoever makes the state says it for all.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // set by name
pub struct Options {
    /// What is taken stays until it is done.
    pub joinable: bool,
    /// What was put, and what was done, survives a power cut once it is settled.
    pub power: bool,
    /// Records at most; 0: no bound.
    pub max_items: u64,
    /// Bytes of records at most; 0: no bound.
    pub max_bytes: u64,
    /// How often a record should be handed out at most; 0: no bound. Kept for the getters, who see to it.
    pub max_deliveries: u32,
    /// Pass over damage when the queue is opened, instead of refusing: what is whole behind it is kept, what is not is
    /// lost. For who has been told of the damage and has copied the directory.
    pub salvage: bool,
    /// The power did not fail since the log was last made or opened: all that was put since is there, or was damaged.
    pub intact: bool,
    /// Least and most bytes of a segment, multiples of 4096. (A longer record has a segment of its own size.)
    pub segments: (u64, u64),
}

impl Default for Options {
    fn default() -> Self {
        let segments = (256 << 10, 16 << 20);
        let (joinable, power, salvage, intact) = (false, false, false, false);
        Self { joinable, power, max_items: 0, max_bytes: 0, max_deliveries: 0, salvage, intact, segments }
    }
}

/// What a getter is told about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Got {
    /// Records put before it, ever.
    pub position: u64,
    /// How often it was handed out, this time included. A queue that is not joined hands out once.
    pub deliveries: u32,
}

/// A change that may not be on the disk yet: see [`Queue::settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "without `settle` it may be lost to a power cut"]
pub struct Ticket(u64);

/// How long a call that may not wait still waits for an inner lock: it is held for less than a microsecond, while a
/// segment is made for a few milliseconds, or by the dead.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// A queue in this process. Shared by its threads, and by a forked child.
#[derive(Debug)]
pub struct Queue<P, S = Files> {
    process: P,
    storage: S,
    state: &'static State,
    /// The tail's segment.
    putting: Window<1>,
    /// The head's segment, that of an old lease, and one more.
    getting: Window<3>,
}

impl<P: Process> Queue<P> {
    /// Make the state of the queue in a directory that exists, from what is in there. For who has it alone: no other
    /// process has it open, nor opens it meanwhile. `state` is all zeros, and lives as long as anybody uses the queue.
    /// Reads the whole log once. Being killed here changes nothing.
    pub fn make(directory: &Path, options: &Options, state: &'static State, process: P) -> Result<Self, Error> {
        Self::make_in(Files::new(directory), options, state, process)
    }

    /// Open a queue whose state somebody has made and somebody still has open.
    pub fn attach(directory: &Path, state: &'static State, process: P) -> Self {
        Self::attach_in(Files::new(directory), state, process)
    }
}

impl<P: Process, S: Storage> Queue<P, S> {
    /// As [`Queue::make`], with a storage of one's own.
    pub fn make_in(storage: S, options: &Options, state: &'static State, process: P) -> Result<Self, Error> {
        let queue = Self::attach_in(storage, state, process);
        queue.recover(options)?;
        Ok(queue)
    }

    /// As [`Queue::attach`].
    pub fn attach_in(storage: S, state: &'static State, process: P) -> Self {
        Self { process, storage, state, putting: Window::new(), getting: Window::new() }
    }

    // --- locks -----------------------------------------------------------------------------------------------------

    #[inline]
    fn hold<'a>(&self, lock: &'a OwnerLock, deadline: Option<Instant>) -> Result<Held<'a>, Error> {
        if lock.try_acquire(self.process.me()) {
            self.storage.step();
            return Ok(Held { lock, abandoned: false });
        }
        self.hold_slow(lock, deadline)
    }

    #[cold]
    fn hold_slow<'a>(&self, lock: &'a OwnerLock, deadline: Option<Instant>) -> Result<Held<'a>, Error> {
        let deadline = deadline.map(|deadline| deadline.max(Instant::now() + LOCK_PATIENCE));
        let acquired = lock.acquire(self.process.me(), &self.process, deadline)?;
        let held = Held { lock, abandoned: matches!(acquired, Acquired::Abandoned(_)) };
        self.storage.step();
        Ok(held)
    }

    /// The put lock; what a dead putter left behind the tail will not pass for records.
    #[inline]
    fn hold_putters(&self, deadline: Option<Instant>) -> Result<Held<'static>, Error> {
        let held = self.hold(&self.state.put.lock, deadline)?;
        if held.abandoned {
            self.state.put.epoch.fetch_add(1, Ordering::Relaxed);
        }
        Ok(held)
    }

    /// The get lock, with what is counted in order.
    #[inline]
    fn hold_getters(&self, deadline: Option<Instant>) -> Result<Held<'static>, Error> {
        let held = self.hold(&self.state.get.lock, deadline)?;
        if held.abandoned {
            self.state.get.torn.store(1, Ordering::Relaxed);
        }
        if self.state.get.torn.load(Ordering::Relaxed) != 0 {
            self.count_again()?;
        }
        Ok(held)
    }

    fn damaged(&self, what: &'static str, segment: u64, place: u64) -> Error {
        Error::Damaged { what, file: self.storage.path(segment), at: place.saturating_sub(segment) }
    }

    /// A record before the tail, with the lock held of the window that the view is from.
    #[inline]
    fn record<'a>(&self, view: &View, place: u64) -> Result<Record<'a>, Error> {
        view.record(place).ok_or_else(|| self.damaged("a record is longer than its segment", view.first, place))
    }

    // --- questions -------------------------------------------------------------------------------------------------

    /// Records that can be taken. A snapshot.
    pub fn len(&self) -> u64 {
        let head = self.state.get.head.load(); // first: the tail seen later is never behind it
        let returned = self.state.get.returned.load(Ordering::Acquire);
        self.state.put.tail.load().count.saturating_sub(head.count) + returned
    }

    /// Whether there is none. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a putter of a small record would wait. A snapshot.
    pub fn is_full(&self) -> bool {
        !self.has_room(self.state.put.tail.load(), crate::record::HEADER)
    }

    /// Bytes of records that nobody has taken, with their headers. A snapshot.
    pub fn nbytes(&self) -> u64 {
        let head = self.state.get.head.load();
        self.state.put.tail.load().bytes.saturating_sub(head.bytes)
    }

    /// Records ever taken and ever put. What was done before the queue was opened counts as taken.
    pub fn position(&self) -> (u64, u64) {
        let head = self.state.get.head.load();
        (head.count, self.state.put.tail.load().count)
    }

    /// Records put and not done. 0 only if there was a moment at which it was 0.
    pub fn unfinished(&self) -> u64 {
        // In this order: a record is counted as open before the head passes it, and put before another is done. With
        // nothing between head and tail, none was put or taken since the first look.
        let head = self.state.get.head.load();
        // SYNC: Acquire pairs with the Releases of `open`, and keeps the look at the tail behind.
        let open = self.state.get.open.load(Ordering::Acquire);
        self.state.put.tail.load().count.saturating_sub(head.count) + open
    }

    /// What it is, as whoever made the state said.
    pub fn options(&self) -> Options {
        let state = self.state;
        Options {
            joinable: self.is_joinable(),
            power: self.is_power(),
            max_items: state.max_items.load(Ordering::Relaxed),
            max_bytes: state.max_bytes.load(Ordering::Relaxed),
            max_deliveries: state.max_deliveries.load(Ordering::Relaxed),
            salvage: false,
            intact: false,
            segments: (state.segments[0].load(Ordering::Relaxed), state.segments[1].load(Ordering::Relaxed)),
        }
    }

    #[inline]
    fn is_joinable(&self) -> bool {
        self.state.joinable.load(Ordering::Relaxed) != 0
    }

    #[inline]
    fn is_power(&self) -> bool {
        self.state.power.load(Ordering::Relaxed) != 0
    }

    /// Whether `shut_down` was called since somebody made the state.
    pub fn is_shut_down(&self) -> bool {
        self.state.shut.load(Ordering::Acquire) != 0
    }

    /// Whether getters, putters or joiners may be asleep.
    pub fn has_sleepers(&self) -> (bool, bool, bool) {
        (self.state.items.has_sleepers(), self.state.space.has_sleepers(), self.state.finished.has_sleepers())
    }

    #[inline]
    fn has_room(&self, tail: At, size: u64) -> bool {
        let (items, limit) =
            (self.state.max_items.load(Ordering::Relaxed), self.state.max_bytes.load(Ordering::Relaxed));
        if items == 0 && limit == 0 {
            return true;
        }
        let head = self.state.get.head.load();
        let (count, bytes) = (tail.count.saturating_sub(head.count), tail.bytes.saturating_sub(head.bytes));
        (items == 0 || count < items) && (limit == 0 || bytes + size <= limit)
    }

    #[inline]
    fn poisoned(&self) -> Result<(), Error> {
        if self.state.commit.poisoned.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err(Error::Poisoned) }
    }

    // --- the end ---------------------------------------------------------------------------------------------------

    /// No more may be put until everybody has closed the queue; who waits is woken. What is in it can be taken.
    /// `discard`: not even that, it is dropped as done; tells how much. May ask to be called again.
    pub fn shut_down(&self, discard: bool) -> Result<u64, Error> {
        {
            let _held = self.hold_putters(None)?;
            self.state.shut.store(1, Ordering::Release);
        }
        let dropped = if discard { self.discard()? } else { 0 };
        for signal in [&self.state.items, &self.state.space, &self.state.finished] {
            signal.notify(ALL);
        }
        Ok(dropped)
    }
}
