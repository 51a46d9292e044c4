//! The getters' side of a ring: read, commit, give room away.

use super::record::{self, Cursor};
use super::taken::Taken;
use super::{ClaimCell, Ring, Side, Storage, Wait};
use crate::error::{ArenaError, Corrupted, GetError, WaitError};
use crate::failpoint::step;
use crate::loom::Ordering;
use crate::wait;
use std::time::Instant;

fn not_taken(error: WaitError) -> GetError {
    match error {
        WaitError::TimedOut => GetError::Empty,
        WaitError::Interrupted => GetError::Interrupted,
    }
}

impl Ring {
    /// Take up to `most` messages: waits only for the first. `sink` sees each (count of messages before it, payload,
    /// attachments) with the get lock held, before it is gone, and says whether it wants another.
    /// `claim` is set to count + 1 of the first before it is gone, for whoever wants to know what a dead getter held.
    pub fn get<S: Storage>(
        &self,
        storage: &S,
        most: usize,
        wait: Wait,
        claim: Option<&ClaimCell>,
        mut sink: impl FnMut(u32, &[u8], &[u64]) -> bool,
    ) -> Result<usize, GetError> {
        self.take(storage, most, wait, claim, |taken| sink(taken.number, taken.payload, taken.attachments))
    }

    /// The same; `sink` is told how often each was delivered. What came back is taken first, and is not claimed.
    pub fn take<S: Storage>(
        &self,
        storage: &S,
        most: usize,
        wait: Wait,
        claim: Option<&ClaimCell>,
        mut sink: impl FnMut(Taken<'_>) -> bool,
    ) -> Result<usize, GetError> {
        loop {
            self.look_after_takers(storage, wait);
            let locked = self.hold_getters(storage, wait).map_err(not_taken)?;
            let closed = self.is_closed(); // before the tail: nothing is put after it
            let (returned, more) = if self.has_returned() {
                self.take_returned(storage, most, &mut sink).map_err(|found| GetError::Arena(found.into()))?
            } else {
                (0, true)
            };
            let fresh = if more { self.take_fresh(storage, most - returned, claim, &mut sink) } else { Ok(0) };
            let fresh = match fresh {
                Err(_) if returned > 0 => 0,
                fresh => fresh.map_err(GetError::Arena)?,
            };
            drop(locked);
            if returned + fresh > 0 {
                step();
                if fresh > 0 {
                    self.notify_space(storage, fresh as u32);
                }
                return Ok(returned + fresh);
            }
            if closed {
                return Err(GetError::Closed);
            }
            let Wait::Until(deadline) = wait else { return Err(GetError::Empty) };
            let ready = || self.is_closed() || !self.is_empty();
            self.wait_and_look(storage, &self.sleepers.items, ready, deadline).map_err(not_taken)?;
        }
    }

    /// Take up to `most` of the messages in the storage, with the get lock held.
    #[inline]
    fn take_fresh<S: Storage>(
        &self,
        storage: &S,
        most: usize,
        claim: Option<&ClaimCell>,
        sink: &mut impl FnMut(Taken<'_>) -> bool,
    ) -> Result<usize, ArenaError> {
        let mut head = Cursor(self.get.head.load(Ordering::Relaxed));
        let tail = self.tail_for(head, most);
        let (keeps, mut taken) = (self.keeps_taken(), 0);
        if most == 0 || head.count() == tail.count() {
            return Ok(0);
        }
        let (base, capacity) = self.storage_of(storage)?;
        if tail.bytes_since(head) > capacity {
            return Err(Corrupted { what: "a queue's position", offset: tail.0 }.into());
        }
        while taken < most && head.count() != tail.count() {
            // SAFETY: the get lock is held, and the storage has that capacity.
            let read = unsafe { record::read(base, capacity, head, tail) };
            let sound = read.filter(|(_, _, attachments)| attachments.is_empty() || storage.check(attachments).is_ok());
            let Some((next, payload, attachments)) = sound else {
                if taken > 0 {
                    break; // for the call that begins with it
                }
                return Err(Corrupted { what: "a message in a queue", offset: head.0 }.into());
            };
            let number = head.count();
            let keep = keeps && !self.was_done_before(number);
            if keep && let Err(error) = self.note_taken(storage, number, payload, attachments) {
                if taken == 0 {
                    return Err(error);
                }
                break;
            }
            let more = sink(Taken { number, deliveries: 1, payload, attachments });
            step();
            if let (0, Some(claim)) = (taken, claim) {
                claim.set(number as u64 + 1);
                step();
            }
            head = next;
            taken += 1;
            if !attachments.is_empty() && !keep {
                storage.commit_get(&self.get.head, head.0, attachments)?; // and all before it
                step();
            }
            if !more {
                break;
            }
        }
        // SYNC: pairs with the Acquire in `head()`; keeps the reads above before the room is given away,
        // and the claim before the taking.
        self.get.head.store(head.0, Ordering::Release);
        step();
        Ok(taken)
    }

    /// The tail, as far as it matters to who wants so many messages. The get lock is held.
    #[inline]
    fn tail_for(&self, head: Cursor, most: usize) -> Cursor {
        // SYNC: Acquire pairs with the Release below, as for the tail itself: whoever looked may have died since.
        let seen = Cursor(self.get.tail_seen.load(Ordering::Acquire));
        if (seen.messages_since(head) as usize) >= most {
            return seen;
        }
        let tail = self.tail();
        self.get.tail_seen.store(tail.0, Ordering::Release);
        tail
    }

    /// Drop all that is in the storage, with the get lock held; tells how many.
    pub(super) fn discard_fresh<S: Storage>(&self, storage: &S) -> u32 {
        let mut head = Cursor(self.get.head.load(Ordering::Relaxed));
        let tail = self.tail_for(head, usize::MAX);
        let (base, capacity) = self.storage_of(storage).unwrap_or((std::ptr::null_mut(), 0));
        let mut dropped = 0;
        while head.count() != tail.count() && tail.bytes_since(head) <= capacity {
            // SAFETY: as in `take_fresh`.
            let Some((next, _, attachments)) = (unsafe { record::read(base, capacity, head, tail) }) else { break };
            if storage.forget(&self.get.head, next.0, attachments).is_err() {
                break;
            }
            head = next;
            dropped += 1;
            step();
        }
        if head.count() != tail.count() {
            self.get.head.store(tail.0, Ordering::Release); // what is damaged is kept, and in nobody's way
        }
        self.notify_space(storage, dropped);
        dropped
    }

    /// Room was given away. By bytes it may be room for another than the one who sleeps longest, so that all must
    /// look.
    fn notify_space<S: Storage>(&self, storage: &S, taken: u32) {
        if self.is_bounded_by_bytes() {
            self.sleepers.space.notify(wait::ALL);
        } else if self.max_items() != 0 {
            self.sleepers.space.notify(taken);
        } else {
            return;
        }
        self.tell_watchers(storage, Side::Room);
    }

    /// Wait until there is a message or the ring is closed, taking nothing.
    pub fn wait_nonempty<S: Storage>(&self, storage: &S, deadline: Option<Instant>) -> Result<(), WaitError> {
        let ready = || self.is_closed() || !self.is_empty();
        self.wait_and_look(storage, &self.sleepers.items, ready, deadline)
    }
}
