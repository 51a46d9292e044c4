//! The getters' side of a ring: read, commit, give room away.

use super::record::{self, Cursor};
use super::{ClaimCell, Ring, Side, Storage, Wait, hold};
use crate::error::{GetError, WaitError};
use crate::failpoint::step;
use crate::loom::Ordering;
use crate::wait;
use std::time::Instant;

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
        loop {
            let locked = hold(&self.get.lock, storage, wait).map_err(|error| match error {
                WaitError::TimedOut => GetError::Empty,
                WaitError::Interrupted => GetError::Interrupted,
            })?;
            let mut head = Cursor(self.get.head.load(Ordering::Relaxed));
            let closed = self.is_closed(); // before the tail: nothing is put after it
            // SYNC: Acquire pairs with the Release below, as for the tail itself: whoever looked may have died since.
            let mut tail = Cursor(self.get.tail_seen.load(Ordering::Acquire));
            if (tail.messages_since(head) as usize) < most {
                tail = self.tail();
                self.get.tail_seen.store(tail.0, Ordering::Release);
            }
            if head.count() != tail.count() {
                let (base, capacity) = self.storage_of(storage);
                let mut taken = 0;
                while taken < most && head.count() != tail.count() {
                    // SAFETY: the get lock is held and `head` is before `tail`, so a whole record stands there.
                    let (next, payload, attachments) = unsafe { record::read(base, capacity, head) };
                    let more = sink(head.count(), payload, attachments);
                    step();
                    if let (0, Some(claim)) = (taken, claim) {
                        claim.set(head.count() as u64 + 1);
                        step();
                    }
                    head = next;
                    taken += 1;
                    if !attachments.is_empty() {
                        storage.commit_get(&self.get.head, head.0, attachments); // and all before it
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
                drop(locked);
                step();
                self.notify_space(storage, taken as u32);
                return Ok(taken);
            }
            drop(locked);
            if closed {
                return Err(GetError::Closed);
            }
            let Wait::Until(deadline) = wait else { return Err(GetError::Empty) };
            let ready = || self.is_closed() || self.tail().count() != self.head().count();
            self.sleepers.items.wait(ready, deadline).map_err(|error| match error {
                WaitError::TimedOut => GetError::Empty,
                WaitError::Interrupted => GetError::Interrupted,
            })?;
        }
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
    pub fn wait_nonempty(&self, deadline: Option<Instant>) -> Result<(), WaitError> {
        self.sleepers.items.wait(|| self.is_closed() || !self.is_empty(), deadline)
    }
}
