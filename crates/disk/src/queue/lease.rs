//! What becomes of a record that was taken from a queue that is joined: done, put back by its taker, or returned by its
//! taker's death.
//!
//! The record itself says who has it and how often it was handed out. Counters and hints beside that are for speed,
//! and are counted again when somebody died holding the get lock: `open` and `returned`, the first record that is not
//! done (`low`), and for each process how many it has and where to look for the oldest. An acknowledgement names no
//! record: it is for the caller's oldest or, if it has none, for the oldest of anybody, as in memory.

use super::walk::{Found, Here};
use super::{Got, Process, Queue, Ticket};
use crate::error::Error;
use crate::record::{DONE, Record};
use crate::state::Taker;
use crate::storage::Storage;
use procession_core::owner::OwnerId;
use procession_core::sys;
use procession_core::wait::{ALL, Signal};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{Duration, Instant};

/// How often somebody looks whether the takers live, at most: a look costs some 10 µs for each of them.
const LOOK_MS: u32 = 30;
/// Who waits wakes so often in order to look, so that a death is noticed within the sum of the two.
const NAP: Duration = Duration::from_millis(40);

fn add(counter: &AtomicU64, change: i64) {
    // SYNC: Release pairs with the Acquire in `unfinished` and `len`. Only the holder of the get lock writes.
    counter.store(counter.load(Relaxed).wrapping_add_signed(change), Release);
}

impl<P: Process, S: Storage> Queue<P, S> {
    fn taker(&self, owner: OwnerId) -> &'static Taker {
        &self.state.takers[owner.place()]
    }

    /// Where to look from, as a hint says. What is before the first that is not done may have been removed.
    fn hint(&self, words: &[AtomicU64; 2]) -> Here {
        let (hint, low) = (Here::load(words), self.state.get.low.mine());
        if hint.place < low.place { low.into() } else { hint }
    }

    // --- taking, with the get lock held ----------------------------------------------------------------------------

    /// The caller has this one now, which nobody had.
    fn note_taker(&self, found: &Found<'_>) -> Result<(), Error> {
        let me = self.process.me();
        let taker = self.taker(me);
        if taker.owner.load(Relaxed) != me.bits() {
            // The place was somebody else's, who is dead.
            self.give_back(taker)?;
            taker.owner.store(me.bits(), Relaxed);
        }
        if taker.count.load(Relaxed) == 0 || found.here.place < taker.oldest[0].load(Relaxed) {
            found.here.store(&taker.oldest);
        }
        taker.count.store(taker.count.load(Relaxed) + 1, Relaxed);
        found.record.set_mark((found.record.deliveries() + 1).min(DONE - 1));
        self.storage.step();
        found.record.set_taker(me.bits());
        Ok(())
    }

    /// Lend a fresh one to the caller.
    pub(super) fn lend(&self, found: &Found<'_>) -> Result<(), Error> {
        self.note_taker(found)?;
        self.storage.step();
        add(&self.state.get.open, 1);
        Ok(())
    }

    /// Hand out the first that came back; None: there is none.
    #[cold]
    pub(super) fn take_returned(&self, sink: &mut impl FnMut(Got, &[u8]) -> bool) -> Result<Option<bool>, Error> {
        let (get, head) = (&self.state.get, self.state.get.head.mine());
        let from = self.hint(&get.returned_from);
        let Some(found) = self.find_which(from, head.place, |found| is_returned(&found.record))? else {
            self.count_again()?; // it was said that there are some: nobody may ask for them for ever
            return Ok(None);
        };
        self.check(&found)?;
        let deliveries = found.record.deliveries() + 1;
        let more = sink(Got { position: found.record.words.number, deliveries }, found.record.bytes());
        self.storage.step();
        self.note_taker(&found)?;
        self.storage.step();
        found.behind().store(&get.returned_from);
        add(&get.returned, -1);
        Ok(Some(more))
    }

    // --- back ------------------------------------------------------------------------------------------------------

    /// Nobody has it any more: it is taken next, before all behind it.
    fn note_returned(&self, found: &Found<'_>) {
        let get = &self.state.get;
        found.record.set_taker(0);
        self.storage.step();
        if get.returned.load(Relaxed) == 0 || found.here.place < get.returned_from[0].load(Relaxed) {
            found.here.store(&get.returned_from);
        }
        add(&get.returned, 1);
    }

    /// All that a dead taker had comes back; how many.
    fn give_back(&self, taker: &Taker) -> Result<u64, Error> {
        let (owner, mut left) = (taker.owner.load(Relaxed), taker.count.load(Relaxed));
        let (mut here, mut returned, until) = (self.hint(&taker.oldest), 0, self.state.get.head.mine().place);
        while left > 0 {
            let Some(found) = self.find_which(here, until, |found| is_with(&found.record, owner))? else { break };
            self.note_returned(&found);
            here = found.behind();
            left -= 1;
            taker.count.store(left, Relaxed);
            returned += 1;
        }
        taker.count.store(0, Relaxed);
        Ok(returned)
    }

    /// Give back a record that the caller has taken and could not use; this delivery does not count. False: it has no
    /// such record.
    pub fn put_back(&self, position: u64) -> Result<bool, Error> {
        let held = self.hold_getters(None)?;
        let me = self.process.me();
        let taker = self.taker(me);
        if taker.owner.load(Relaxed) != me.bits() || taker.count.load(Relaxed) == 0 {
            return Ok(false);
        }
        let until = self.state.get.head.mine().place;
        let wanted = |found: &Found<'_>| is_with(&found.record, me.bits()) && found.record.words.number == position;
        let Some(found) = self.find_which(self.hint(&taker.oldest), until, wanted)? else { return Ok(false) };
        found.record.set_mark(found.record.deliveries().saturating_sub(1));
        taker.count.store(taker.count.load(Relaxed) - 1, Relaxed);
        self.note_returned(&found);
        drop(held);
        self.state.items.notify(1);
        Ok(true)
    }

    /// Return what dead takers had; how many. Getters and joiners do it while they wait.
    pub fn give_back_of_the_dead(&self) -> Result<u64, Error> {
        let held = self.hold_getters(Some(Instant::now()))?;
        let (me, mut returned) = (self.process.me(), 0);
        for taker in &self.state.takers {
            let owner = OwnerId::from_bits(taker.owner.load(Relaxed));
            if let Some(owner) = owner
                && owner != me
                && taker.count.load(Relaxed) > 0
                && !self.process.is_alive(owner)
            {
                returned += self.give_back(taker)?;
            }
        }
        drop(held);
        if returned > 0 {
            self.state.items.notify(returned as u32);
        }
        if self.unfinished() == 0 {
            self.state.finished.notify(ALL); // what a dead acknowledger did not say
        }
        Ok(returned)
    }

    /// The same, if it is time to look again.
    #[inline]
    pub(super) fn look_after_takers(&self) {
        let get = &self.state.get;
        // A lock that is held may be a dead one's, and the counters wrong.
        if self.is_joinable()
            && (get.open.load(Relaxed) != get.returned.load(Relaxed) || get.lock.owner().is_some())
            && self.is_time_to_look()
        {
            let _ = self.give_back_of_the_dead(); // who cannot have the lock need not look: its holder is at work here
        }
    }

    fn is_time_to_look(&self) -> bool {
        let looked = &self.state.get.looked;
        let now = (sys::coarse_time().as_millis() as u32).max(1);
        let last = looked.load(Relaxed);
        (last == 0 || now.wrapping_sub(last) >= LOOK_MS) && looked.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }

    /// Wait as `signal` does, but wake (`Interrupted`) in time to look after the takers.
    pub(super) fn wait_and_look(
        &self,
        signal: &Signal,
        ready: impl Fn() -> bool,
        deadline: Option<Instant>,
    ) -> Result<(), Error> {
        if !self.is_joinable() {
            return Ok(signal.wait(ready, deadline)?);
        }
        self.look_after_takers();
        let look = Instant::now() + NAP;
        match signal.wait(ready, Some(deadline.map_or(look, |deadline| deadline.min(look)))) {
            Err(_) if deadline.is_none_or(|deadline| deadline > look) => Err(Error::Interrupted),
            ended => Ok(ended?),
        }
    }

    // --- done ------------------------------------------------------------------------------------------------------

    /// One record that was taken is done with: the caller's oldest or, if it has none, the oldest of anybody. None:
    /// there is none.
    pub fn done(&self, deadline: Option<Instant>) -> Result<Option<Ticket>, Error> {
        self.poisoned()?;
        let held = self.hold_getters(deadline)?;
        let me = self.process.me();
        let (taker, until) = (self.taker(me), self.state.get.head.mine().place);
        let has_any = taker.owner.load(Relaxed) == me.bits() && taker.count.load(Relaxed) > 0;
        let mine = if has_any {
            self.find_which(self.hint(&taker.oldest), until, |found| is_with(&found.record, me.bits()))?
        } else {
            None
        };
        let low = self.state.get.low.mine();
        let anybodys = || self.find_which(low.into(), until, |found| !found.record.is_done());
        let Some(found) = (if mine.is_some() { mine } else { anybodys()? }) else { return Ok(None) };
        self.finish(&found)?;
        self.make_room();
        drop(held);
        self.storage.step();
        if self.unfinished() == 0 {
            self.state.finished.notify(ALL);
        }
        Ok(Some(self.changed()))
    }

    /// Mark one as done that lies before the head. With the get lock held.
    fn finish(&self, found: &Found<'_>) -> Result<(), Error> {
        let get = &self.state.get;
        found.record.set_mark(DONE);
        self.storage.step();
        if let Some(owner) = OwnerId::from_bits(found.record.taker()) {
            let taker = self.taker(owner);
            taker.count.store(taker.count.load(Relaxed).saturating_sub(1), Relaxed);
            found.behind().store(&taker.oldest);
        } else {
            add(&get.returned, -1);
        }
        add(&get.open, -1);
        self.storage.step();
        self.raise_low()
    }

    /// The first that is not done may be further on.
    fn raise_low(&self) -> Result<(), Error> {
        let (get, head) = (&self.state.get, self.state.get.head.mine());
        let from = get.low.mine();
        let first = self.find_which(from.into(), head.place, |found| !found.record.is_done())?;
        let Here { place, segment } = first.map_or(head.into(), |found| found.here);
        if place != from.place {
            get.low.store(crate::state::At { place, segment, ..head });
        }
        Ok(())
    }

    /// Wait until every record is done with.
    pub fn join(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.wait_and_look(&self.state.finished, || self.unfinished() == 0, deadline)
    }

    /// Drop every record that can be taken, as done with; how many.
    pub(super) fn discard(&self) -> Result<u64, Error> {
        let mut dropped = 0;
        if !self.is_joinable() {
            loop {
                match self.get_many(usize::MAX, Some(Instant::now()), |_, _| true) {
                    Ok((count, _)) => dropped += count as u64,
                    Err(Error::Empty | Error::ShutDown) => return Ok(dropped),
                    Err(error) => return Err(error),
                }
            }
        }
        let _held = self.hold_getters(None)?;
        let (head, tail) = (self.state.get.head.mine(), self.state.put.tail.load());
        let mut here = self.state.get.low.mine().into();
        while let Some(found) = self.find_which(here, head.place, |found| is_returned(&found.record))? {
            self.finish(&found)?;
            here = found.behind();
            dropped += 1;
        }
        while let Some(found) = self.find_fresh(self.state.get.head.mine().into(), tail.place)? {
            found.record.set_mark(DONE);
            self.pass(self.state.get.head.mine(), &found);
            dropped += 1;
        }
        self.raise_low()?;
        self.make_room();
        let _ = self.changed();
        Ok(dropped)
    }

    // --- repair ----------------------------------------------------------------------------------------------------

    /// Count again what is counted beside the records. With the get lock held, whose last holder died or failed.
    #[cold]
    pub(super) fn count_again(&self) -> Result<(), Error> {
        let get = &self.state.get;
        self.undo_taking()?;
        if self.is_joinable() {
            for counter in [&get.open, &get.returned] {
                counter.store(0, Relaxed);
            }
            for taker in &self.state.takers {
                taker.count.store(0, Relaxed);
            }
            let (mut here, until) = (get.low.mine().into(), get.head.mine().place);
            while let Some(found) = self.find_which(here, until, |found| !found.record.is_done())? {
                add(&get.open, 1);
                match OwnerId::from_bits(found.record.taker()) {
                    None => self.note_returned(&found),
                    Some(owner) => self.count_taker(owner, &found)?,
                }
                here = found.behind();
            }
            self.raise_low()?;
        }
        get.torn.store(0, Relaxed);
        Ok(())
    }

    fn count_taker(&self, owner: OwnerId, found: &Found<'_>) -> Result<(), Error> {
        let taker = self.taker(owner);
        let other = OwnerId::from_bits(taker.owner.load(Relaxed)).filter(|&other| other != owner);
        if taker.count.load(Relaxed) > 0 && other.is_some() {
            // Two of one place, of which one has had it before and is dead.
            if !self.process.is_alive(owner) {
                self.note_returned(found);
                return Ok(());
            }
            self.give_back(taker)?;
        }
        if taker.count.load(Relaxed) == 0 {
            taker.owner.store(owner.bits(), Relaxed);
            found.here.store(&taker.oldest);
        }
        taker.count.store(taker.count.load(Relaxed) + 1, Relaxed);
        Ok(())
    }
}

fn is_returned(record: &Record<'_>) -> bool {
    !record.is_done() && record.taker() == 0
}

fn is_with(record: &Record<'_>, owner: u32) -> bool {
    !record.is_done() && record.taker() == owner
}
