//! The getters' side of a queue: read, mark, move the head.

use super::walk::{Found, Here};
use super::{Got, Process, Queue, Ticket};
use crate::error::Error;
use crate::record::DONE;
use crate::state::At;
use crate::storage::Storage;
use procession_core::wait::ALL;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

impl From<At> for Here {
    fn from(at: At) -> Self {
        Self { place: at.place, segment: at.segment }
    }
}

impl<P: Process, S: Storage> Queue<P, S> {
    /// Take one record and append its bytes to `out`; waits for one until the deadline (None: for ever; one that has
    /// passed: not at all). Killed inside, the caller has taken nothing, or has it.
    pub fn get(&self, deadline: Option<Instant>, out: &mut Vec<u8>) -> Result<(Got, Ticket), Error> {
        let mut told = Got { position: 0, deliveries: 0 };
        let (_, ticket) = self.get_many(1, deadline, |got, bytes| {
            told = got;
            out.extend_from_slice(bytes);
            true
        })?;
        Ok((told, ticket))
    }

    /// Take up to `most` records: waits only for the first. `sink` sees each with the get lock held, before it is
    /// gone, and says whether it wants another. An error is about the first.
    pub fn get_many(
        &self,
        most: usize,
        deadline: Option<Instant>,
        mut sink: impl FnMut(Got, &[u8]) -> bool,
    ) -> Result<(usize, Ticket), Error> {
        loop {
            self.poisoned()?;
            self.look_after_takers();
            let held = self.hold_getters(deadline).map_err(not_got)?;
            let is_last = self.is_shut_down(); // before the tail: nothing is put after it
            let mut taken = 0;
            while taken < most {
                match self.take(&mut sink) {
                    Err(error) if taken == 0 => return Err(error),
                    Ok(None) | Err(_) => break,
                    Ok(Some(more)) => {
                        taken += 1;
                        if !more {
                            break;
                        }
                    }
                }
            }
            if taken > 0 {
                self.make_room();
            }
            drop(held);
            if taken > 0 || most == 0 {
                self.storage.step();
                self.notify_space(taken as u64);
                // What is only lent is no change that anybody counts on.
                let ticket = if self.is_joinable() { Ticket(0) } else { self.changed() };
                return Ok((taken, ticket));
            }
            if is_last {
                return Err(Error::ShutDown);
            }
            let ready = || self.is_shut_down() || !self.is_empty();
            self.wait_and_look(&self.state.items, ready, deadline).map_err(not_got)?;
        }
    }

    /// Take one, with the get lock held: whether the sink wants another, or None when there is none.
    #[inline]
    fn take(&self, sink: &mut impl FnMut(Got, &[u8]) -> bool) -> Result<Option<bool>, Error> {
        if self.state.get.returned.load(Relaxed) != 0
            && let Some(more) = self.take_returned(sink)?
        {
            return Ok(Some(more));
        }
        let head = self.state.get.head.mine();
        let tail = self.state.put.tail.load();
        let Some(found) = self.find_fresh(head.into(), tail.place)? else {
            if head.count != tail.count {
                // It was said that there are some: nobody may ask for them for ever.
                self.state.get.head.store(tail);
            }
            return Ok(None);
        };
        self.check(&found)?;
        let joinable = self.is_joinable();
        let deliveries = if joinable { found.record.deliveries() + 1 } else { 1 };
        let more = sink(Got { position: found.record.words.number, deliveries }, found.record.bytes());
        self.storage.step();
        if joinable {
            self.lend(&found)?;
        } else {
            self.state.get.taking.store(found.here.place + 1, Relaxed);
            self.storage.step();
            found.record.set_mark(DONE);
        }
        self.storage.step();
        self.pass(head, &found);
        Ok(Some(more))
    }

    /// The first record from the head on that is not done. (There are such that are after a power cut.)
    #[inline]
    pub(super) fn find_fresh<'a>(&self, here: Here, until: u64) -> Result<Option<Found<'a>>, Error> {
        match self.find(here, until)? {
            Some(found) if found.record.is_done() => {
                self.find_which(found.behind(), until, |found| !found.record.is_done())
            }
            other => Ok(other),
        }
    }

    /// Move the head behind a record.
    #[inline]
    pub(super) fn pass(&self, head: At, found: &Found<'_>) {
        let Here { place, segment } = found.behind();
        let bytes = head.bytes + found.record.words.size();
        self.state.get.head.store(At { place, segment, count: head.count + 1, bytes });
        self.storage.step();
    }

    /// The taking that a dead getter had begun has not taken place. With the get lock held.
    pub(super) fn undo_taking(&self) -> Result<(), Error> {
        let (head, tail) = (self.state.get.head.mine(), self.state.put.tail.load());
        if self.is_joinable() {
            if let Some(found) = self.find_fresh(head.into(), tail.place)? {
                found.record.set_taker(0);
            }
            return Ok(());
        }
        let taking = self.state.get.taking.load(Relaxed);
        match self.find_which(head.into(), tail.place, |found| found.here.place + 1 >= taking)? {
            Some(found) if found.here.place + 1 == taking => found.record.set_mark(0),
            _ => {} // the head has passed it
        }
        Ok(())
    }

    /// Records were taken. By bytes there may be room for another than the one who sleeps longest, so that all look.
    fn notify_space(&self, taken: u64) {
        if self.state.max_bytes.load(Relaxed) != 0 {
            self.state.space.notify(ALL);
        } else if self.state.max_items.load(Relaxed) != 0 {
            self.state.space.notify(taken as u32);
        }
    }

    /// Wait until there is a record or the queue is shut down, taking nothing.
    pub fn wait_nonempty(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.wait_and_look(&self.state.items, || self.is_shut_down() || !self.is_empty(), deadline)
    }
}

fn not_got(error: Error) -> Error {
    if matches!(error, Error::TimedOut) { Error::Empty } else { error }
}
