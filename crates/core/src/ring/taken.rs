//! What becomes of a message that was taken: acknowledged, returned by its taker, or by the taker's death.
//!
//! A ring that keeps what is taken (`keep_taken`) holds each message until it is acknowledged. Who takes, or waits for
//! messages or for the end of the work, looks now and then whether the takers live, and returns what the dead had. An
//! acknowledgement names no message: it is for the caller's oldest, or, if it has none (multiprocessing lets one process
//! take and another acknowledge), for the oldest of anybody; with nothing taken at all, for what is taken next.
//!
//! Other rings count acknowledgements only.

use super::entry::message;
use super::record::Cursor;
use super::{Held, Ring, Side, Storage, Wait, hold, hold_long};
use crate::error::{ArenaError, Corrupted, WaitError};
use crate::failpoint::step;
use crate::loom::Ordering;
use crate::owner::OwnerId;
use crate::sys;
use crate::wait::{ALL, Signal};
use Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Nothing is kept, and nothing came back so far.
pub(super) const NOTHING: u32 = 0;
/// Something came back, once at least.
pub(super) const RETURNED: u32 = 1;
/// Messages are kept until they are acknowledged.
pub(super) const TAKEN: u32 = 2;

/// How often somebody looks whether the takers live, at most: a look costs some 10 µs for each of them.
const LOOK_MS: u32 = 30;
/// Who waits wakes so often in order to look, so that a death is noticed within the sum of the two.
const NAP: Duration = Duration::from_millis(40);

/// One message as its getter sees it, with the get lock held and before it is gone from the ring.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// Messages put before it, mod 2^32.
    pub number: u32,
    /// How often it was handed to a getter, this time included.
    pub deliveries: u32,
    /// What was put.
    pub payload: &'a [u8],
    /// Words that go with it.
    pub attachments: &'a [u64],
}

impl Ring {
    /// Keep what is taken until it is acknowledged. `most_deliveries` (0: no bound) is noted for the getters, who see
    /// to it. For a ring that nobody uses yet.
    pub fn keep_taken(&self, most_deliveries: u32) {
        self.ledger.most_deliveries.store(most_deliveries, Relaxed);
        self.keeping.store(TAKEN, Relaxed);
    }

    /// How often a message should be delivered at most, 0 for no bound.
    pub fn most_deliveries(&self) -> u32 {
        self.ledger.most_deliveries.load(Relaxed)
    }

    /// Whether what is taken is kept until it is acknowledged.
    #[inline]
    pub fn keeps_taken(&self) -> bool {
        self.keeping.load(Relaxed) == TAKEN
    }

    /// Messages that came back and wait for their next taker. A snapshot.
    #[inline]
    pub(super) fn returned(&self) -> u32 {
        if self.keeping.load(Relaxed) == NOTHING {
            return 0; // also when damage says otherwise: who waits for what nobody can take would not stop
        }
        // SYNC: Acquire pairs with the Release in `count`.
        self.ledger.returned.load(Ordering::Acquire)
    }

    /// Whether there is a ledger, and something in it to take; with the get lock held.
    #[inline]
    pub(super) fn has_returned(&self) -> bool {
        self.returned() != 0
    }

    /// The get lock, with the ledger in order.
    #[inline]
    pub(super) fn hold_getters<'a, S: Storage>(&'a self, storage: &S, wait: Wait) -> Result<Held<'a>, WaitError> {
        let held = hold(&self.get.lock, storage, wait)?;
        self.put_in_order(storage, &held);
        Ok(held)
    }

    /// The same, however long that takes.
    pub(super) fn hold_getters_long<'a, S: Storage>(&'a self, storage: &S) -> Held<'a> {
        let held = hold_long(&self.get.lock, storage);
        self.put_in_order(storage, &held);
        held
    }

    #[inline]
    fn put_in_order<S: Storage>(&self, storage: &S, held: &Held<'_>) {
        if self.keeping.load(Relaxed) != NOTHING && (held.abandoned || self.ledger.torn.load(Relaxed) != 0) {
            self.repair(storage);
        }
    }

    /// Hand out up to `most` of the messages that came back, with the get lock held. How many, and whether the sink
    /// wants another.
    #[cold]
    pub(super) fn take_returned<S: Storage>(
        &self,
        storage: &S,
        most: usize,
        sink: &mut impl FnMut(Taken<'_>) -> bool,
    ) -> Result<(usize, bool), Corrupted> {
        let (mut taken, mut more) = (0, true);
        for (link, entry) in self.in_order(self.entries(storage)) {
            if taken == most || !more || self.ledger.returned.load(Relaxed) == 0 {
                break;
            }
            if !entry.is_returned() {
                continue;
            }
            let (payload, attachments) = match message(storage, entry) {
                Ok(message) => message,
                Err(_) if taken > 0 => return Ok((taken, false)), // for the call that begins with it
                Err(found) => return Err(found),
            };
            let deliveries = entry.deliveries.load(Relaxed).saturating_add(1);
            more = sink(Taken { number: entry.number(), deliveries, payload, attachments });
            step();
            if self.keeps_taken() {
                self.retake(storage, entry)?;
            } else {
                self.free(storage, link, entry, |claim, attachments| storage.commit_get(claim, 0, attachments));
            }
            taken += 1;
        }
        if (taken, more) == (0, true) && most > 0 {
            self.repair(storage); // it was said that there are some: nobody may ask for them for ever
        }
        Ok((taken, more))
    }

    /// Whether a message needs no acknowledgement, because it had one before it was taken.
    pub(super) fn was_done_before(&self, number: u32) -> bool {
        let ahead = self.sleepers.done.load(Relaxed).wrapping_sub(number) as i32;
        ahead > 0
    }

    /// Give back a message that the caller has taken and could not use: it is the next to be taken. In a ring that keeps
    /// what is taken this delivery does not count, and payload and attachments are not looked at.
    pub fn put_back<S: Storage>(
        &self,
        storage: &S,
        number: u32,
        payload: &[u8],
        attachments: &[u64],
    ) -> Result<(), ArenaError> {
        let held = self.hold_getters_long(storage);
        let me = Some(storage.me());
        let mut kept = self.in_order(self.entries(storage)).map(|(_, entry)| entry);
        if let Some(entry) = kept.find(|entry| entry.number() == number && entry.owner() == me) {
            entry.deliveries.store(entry.deliveries.load(Relaxed).saturating_sub(1), Relaxed);
            self.give_back(entry);
        } else {
            if !self.keeps_taken() {
                self.keeping.store(RETURNED, Relaxed);
            }
            self.note_returned(storage, number, payload, attachments)?;
        }
        drop(held);
        self.tell_of_returned(storage, 1);
        Ok(())
    }

    fn tell_of_returned<S: Storage>(&self, storage: &S, count: u32) {
        self.sleepers.items.notify(count);
        self.tell_watchers(storage, Side::Items);
    }

    // --- the dead --------------------------------------------------------------------------------------------------

    /// Return what dead takers had, if it is time to look again. With `Never` only if the get lock is free.
    #[inline]
    pub fn look_after_takers<S: Storage>(&self, storage: &S, wait: Wait) {
        // A lock that is held may be a dead one's, and the counters wrong.
        if self.keeps_taken()
            && (self.ledger.open.load(Relaxed) != self.returned() || self.get.lock.owner().is_some())
            && self.is_time_to_look()
        {
            self.look(storage, wait);
        }
    }

    fn is_time_to_look(&self) -> bool {
        let now = (sys::coarse_time().as_millis() as u32).max(1);
        let last = self.ledger.looked.load(Relaxed);
        // (Time stands still in a model.)
        let is_time = cfg!(loom) || last == 0 || now.wrapping_sub(last) >= LOOK_MS;
        is_time && self.ledger.looked.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }

    /// As if it were time to look again, for tests.
    #[doc(hidden)]
    pub fn let_time_pass(&self) {
        self.ledger.looked.store(0, Relaxed);
    }

    #[cold]
    fn look<S: Storage>(&self, storage: &S, wait: Wait) {
        let wait = match wait {
            Wait::Never => Wait::Never,
            Wait::Until(_) => Wait::Until(Some(Instant::now())), // patient enough for an inner lock
        };
        // Who cannot have the lock need not look: its holder is at work here, and the next time comes soon.
        let Ok(held) = self.hold_getters(storage, wait) else { return };
        let returned = self.return_from_the_dead(storage);
        drop(held);
        if returned > 0 {
            self.tell_of_returned(storage, returned);
        }
        if self.unfinished() == 0 {
            self.sleepers.finished.notify(ALL); // what a dead acknowledger did not say
        }
    }

    /// With the get lock held: how many messages came back.
    #[cold]
    fn return_from_the_dead<S: Storage>(&self, storage: &S) -> u32 {
        let (me, mut known, mut returned) = (storage.me(), Vec::<(OwnerId, bool)>::new(), 0);
        for (_, entry) in self.in_order(self.entries(storage)) {
            let Some(owner) = entry.owner().filter(|&owner| owner != me) else { continue };
            let is_alive = known.iter().find(|(other, _)| *other == owner).map(|&(_, is_alive)| is_alive);
            let is_alive = is_alive.unwrap_or_else(|| {
                known.push((owner, storage.is_alive(owner)));
                known[known.len() - 1].1
            });
            if !is_alive {
                self.give_back(entry);
                returned += 1;
            }
        }
        returned
    }

    /// Wait as `signal` does, but wake (`Interrupted`) in time to look after the takers.
    pub(super) fn wait_and_look<S: Storage>(
        &self,
        storage: &S,
        signal: &Signal,
        ready: impl Fn() -> bool,
        deadline: Option<Instant>,
    ) -> Result<(), WaitError> {
        if !self.keeps_taken() {
            return signal.wait(ready, deadline);
        }
        self.look_after_takers(storage, Wait::Until(deadline));
        let look = Instant::now() + NAP;
        match signal.wait(ready, Some(deadline.map_or(look, |deadline| deadline.min(look)))) {
            Err(WaitError::TimedOut) if deadline.is_none_or(|deadline| deadline > look) => Err(WaitError::Interrupted),
            ended => ended,
        }
    }

    // --- acknowledging ---------------------------------------------------------------------------------------------

    /// One taken message is done with. False when none is unfinished. `Never` may fail with `TimedOut`, in a ring that
    /// keeps what is taken.
    pub fn task_done<S: Storage>(&self, storage: &S, wait: Wait) -> Result<bool, WaitError> {
        if !self.keeps_taken() {
            return Ok(self.count_done());
        }
        let held = self.hold_getters(storage, wait)?;
        let (me, entries) = (storage.me(), self.entries(storage));
        let mine = self.in_order(entries).find(|(_, entry)| entry.owner() == Some(me));
        let done = match mine.or_else(|| self.in_order(entries).next()) {
            Some((link, entry)) => {
                self.free(storage, link, entry, |claim, attachments| storage.forget(claim, 0, attachments));
                true
            }
            None => self.is_done_before_taken(),
        };
        drop(held);
        step();
        if done && self.unfinished() == 0 {
            self.sleepers.finished.notify(ALL);
        }
        Ok(done)
    }

    /// The first message that has no acknowledgement, of those that nobody has taken, has one now. False: there is none.
    fn is_done_before_taken(&self) -> bool {
        let (next, tail) = (self.first_not_done(Cursor(self.get.head.load(Relaxed)).count()), self.tail().count());
        if next == tail {
            return false;
        }
        self.sleepers.done.store(next.wrapping_add(1), Ordering::Release);
        step();
        true
    }

    fn first_not_done(&self, head: u32) -> u32 {
        let done = self.sleepers.done.load(Ordering::Acquire);
        if done.wrapping_sub(head) as i32 > 0 { done } else { head }
    }

    fn count_done(&self) -> bool {
        let done = &self.sleepers.done;
        let mut seen = done.load(Relaxed);
        loop {
            let put = self.tail().count();
            if seen == put {
                return false;
            }
            // SYNC: Release pairs with the Acquire in `unfinished`: a joiner sees what was done.
            match done.compare_exchange(seen, seen.wrapping_add(1), Ordering::AcqRel, Relaxed) {
                Ok(_) => {
                    if seen.wrapping_add(1) == put {
                        self.sleepers.finished.notify(ALL);
                    }
                    return true;
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Messages put and not yet done with. 0 only if there was a moment at which it was 0.
    pub fn unfinished(&self) -> u32 {
        if !self.keeps_taken() {
            let done = self.sleepers.done.load(Ordering::Acquire);
            return self.tail().count().wrapping_sub(done);
        }
        // In this order: a message is counted as open before it leaves the ring, and put before another is done with.
        // With nothing between head and tail, none was put or taken since the first look, so that nothing open at the
        // second was the truth.
        let head = self.head().count();
        // SYNC: Acquire pairs with the Release in `count`, and keeps the look at the tail behind.
        let open = self.ledger.open.load(Ordering::Acquire);
        let next = self.first_not_done(head);
        self.tail().count().wrapping_sub(next).saturating_add(open)
    }

    /// Wait until every message is done with.
    pub fn join<S: Storage>(&self, storage: &S, deadline: Option<Instant>) -> Result<(), WaitError> {
        self.wait_and_look(storage, &self.sleepers.finished, || self.unfinished() == 0, deadline)
    }

    // --- the end ---------------------------------------------------------------------------------------------------

    /// Drop every message that can be taken, as done with; tells how many. What is in somebody's hands stays there.
    pub fn discard<S: Storage>(&self, storage: &S) -> u32 {
        let mut dropped = 0;
        let held = self.hold_getters_long(storage);
        for (link, entry) in self.in_order(self.entries(storage)).filter(|(_, entry)| entry.is_returned()) {
            self.free(storage, link, entry, |claim, attachments| storage.forget(claim, 0, attachments));
            dropped += 1;
        }
        dropped += self.discard_fresh(storage);
        drop(held);
        if !self.keeps_taken() {
            (0..dropped).for_each(|_| {
                self.count_done();
            });
        }
        if self.unfinished() == 0 {
            self.sleepers.finished.notify(ALL);
        }
        dropped
    }

    /// From here on nothing is kept, nor was anything. For a ring that nobody uses any more.
    pub(super) fn keep_nothing<S: Storage>(&self, storage: &S) {
        if self.keeping.load(Relaxed) != NOTHING {
            let _held = self.hold_getters_long(storage);
            self.forget_ledger(storage);
            self.keeping.store(NOTHING, Relaxed);
        }
    }
}
