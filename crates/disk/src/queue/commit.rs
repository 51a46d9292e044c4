//! What is safe from a power cut: one syncs for all.
//!
//! Every change (a record put, or done) has a number. Who wants to know that his is on the disk and finds nobody at it
//! syncs for all who changed something before, and tells them; the others sleep meanwhile. Two segments are synced as
//! a rule, the head's and the tail's, or one that is both. A leader that dies leaves its lock, which the next one
//! takes over.

use super::{Process, Queue, Ticket};
use crate::error::Error;
use crate::storage::Storage;
use procession_core::lock::Held;
use procession_core::wait::{self, ALL};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Instant;

impl<P: Process, S: Storage> Queue<P, S> {
    /// Number a change that was made.
    #[inline]
    pub(super) fn changed(&self) -> Ticket {
        if !self.is_power() {
            return Ticket(0);
        }
        // SYNC: pairs with the Acquire in `sync_held`: whoever syncs for this number syncs what was written before.
        Ticket(self.state.commit.changes.fetch_add(1, AcqRel) + 1)
    }

    /// Wait until a change, and all before it, are on the disk; returns at once without `power`. Until it has returned
    /// they may be lost to a power cut (to nothing else). `Interrupted`: call again; the change was made.
    #[inline]
    pub fn settle(&self, ticket: Ticket, deadline: Option<Instant>) -> Result<(), Error> {
        if ticket.0 == 0 { Ok(()) } else { self.settle_slow(ticket, deadline) }
    }

    fn settle_slow(&self, ticket: Ticket, deadline: Option<Instant>) -> Result<(), Error> {
        let commit = &self.state.commit;
        // SYNC: Acquire pairs with the Release in `sync_held`.
        let ready = || commit.synced.load(Acquire) >= ticket.0;
        loop {
            if ready() {
                return Ok(());
            }
            self.poisoned()?;
            // Only a try: but a dead leader's lock is taken over.
            if commit.lock.acquire(self.process.me(), &self.process, Some(Instant::now())).is_ok() {
                let _held = Held { lock: &commit.lock, abandoned: false };
                self.storage.step();
                if !ready() {
                    self.sync_held()?;
                }
                continue;
            }
            let look = || wait::LOOK;
            commit.done.sleep_and_look(|| ready() || commit.lock.owner().is_none(), look, deadline)?;
        }
    }

    /// Sync what was changed. With the commit lock held.
    fn sync_held(&self) -> Result<(), Error> {
        let commit = &self.state.commit;
        let upto = commit.changes.load(Acquire);
        let (low, head) = (self.low(), self.state.get.head.load());
        let tail = self.state.put.tail.load(); // last: all that was put before `upto` is before it
        // Marks were written between what was the low then and what is the head now.
        let mut segment = commit.low.load(Relaxed);
        while segment <= head.segment {
            segment += self.storage.sync(segment).map_err(|error| self.poison(error))?;
            self.storage.step();
        }
        if tail.segment >= segment {
            self.storage.sync(tail.segment).map_err(|error| self.poison(error))?;
            self.storage.step();
        }
        commit.place.fetch_max(tail.place, Relaxed);
        commit.low.store(low.segment, Relaxed);
        self.storage.step();
        // SYNC: pairs with the Acquire in `settle`.
        commit.synced.store(upto, Release);
        self.storage.step();
        commit.done.notify(ALL);
        // What was done there is on the disk: a segment that comes back for want of a synced name has nothing to give.
        let _ = self.remove_before(low.segment);
        Ok(())
    }

    /// It is not known what is on the disk.
    #[cold]
    pub(super) fn poison(&self, error: Error) -> Error {
        let code = match &error {
            Error::System { error, .. } => error.raw_os_error().unwrap_or(libc::EIO),
            _ => libc::EIO,
        };
        self.state.commit.poisoned.store(code as u32, Relaxed);
        self.state.commit.done.notify(ALL);
        error
    }

    /// All that was put and done so far is on the disk when this returns, with or without `power`.
    pub fn flush(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.poisoned()?;
        let commit = &self.state.commit;
        let _held = self.hold(&commit.lock, deadline)?;
        if self.is_power() {
            return self.sync_held();
        }
        let tail = self.state.put.tail.load();
        for segment in self.storage.segments()?.into_iter().filter(|&segment| segment <= tail.segment) {
            match self.storage.sync(segment) {
                Err(error) if !error.is_not_found() => return Err(self.poison(error)),
                _ => {} // removed meanwhile
            }
        }
        self.storage.sync_names()?;
        commit.place.fetch_max(tail.place, Relaxed);
        Ok(())
    }
}
