//! The putters' side of a ring: write, commit, grow.

use super::record::{self, Cursor};
use super::{LEAST_CAPACITY, MOST_CAPACITY, Message, Ring, Side, Storage, Wait, hold, hold_long};
use crate::error::{Corrupted, PutError, WaitError};
use crate::failpoint::step;
use crate::loom::Ordering;

fn corrupted(found: Corrupted) -> PutError {
    PutError::Arena(found.into())
}

impl Ring {
    /// Put the messages, or as many of them as there is room for: waits only for room for the first. Returns how
    /// many were put and the count of messages before the first of them. An error is about the first message: what
    /// goes wrong with a later one is left for the call that begins with it.
    pub fn put<S: Storage>(&self, storage: &S, messages: &[Message<'_>], wait: Wait) -> Result<(usize, u32), PutError> {
        let Some(first) = messages.first() else { return Ok((0, self.tail().count())) };
        let least = self.checked_size(first)?;
        let not_put = |error| match error {
            WaitError::TimedOut => PutError::Full,
            WaitError::Interrupted => PutError::Interrupted,
        };
        loop {
            let held = hold(&self.put.lock, storage, wait).map_err(not_put)?;
            if self.is_closed() {
                return Err(PutError::Closed);
            }
            let before = Cursor(self.put.tail.load(Ordering::Relaxed));
            let put = self.put_held(storage, before, messages)?;
            drop(held);
            step();
            if put > 0 {
                self.sleepers.items.notify(put as u32);
                self.tell_watchers(storage, Side::Items);
                return Ok((put, before.count()));
            }
            let Wait::Until(deadline) = wait else { return Err(PutError::Full) };
            let ready = || self.is_closed() || self.has_room(self.tail(), self.head(), least);
            self.sleepers.space.wait(ready, deadline).map_err(not_put)?;
        }
    }

    /// Grow until all these messages fit. A ring without bounds that has no other putter then takes all of them in one
    /// `put`; without this, one that cannot grow takes a beginning.
    pub fn reserve<S: Storage>(&self, storage: &S, messages: &[Message<'_>]) -> Result<(), PutError> {
        let (mut total, mut largest) = (0, 0);
        for message in messages {
            let size = self.checked_size(message)?;
            total += size;
            largest = size.max(largest);
        }
        let _held = hold_long(&self.put.lock, storage);
        let tail = Cursor(self.put.tail.load(Ordering::Relaxed));
        let (_, capacity) = self.storage_of(storage).map_err(corrupted)?;
        // What is left before the end of the storage is less than the record that did not fit there.
        let total = total + largest;
        if tail.bytes_since(self.head()) + total > capacity {
            self.grow(storage, tail, capacity, total)?;
        }
        Ok(())
    }

    /// Write and commit as many messages as there is room for, with the put lock held.
    fn put_held<S: Storage>(&self, storage: &S, mut tail: Cursor, messages: &[Message<'_>]) -> Result<usize, PutError> {
        let mut put = 0;
        for message in messages {
            let before = tail;
            let attached = match self.write(storage, tail, message) {
                Ok(Some((next, attached))) => {
                    tail = next;
                    attached
                }
                Err(error) if put == 0 => return Err(error),
                Ok(None) | Err(_) => break,
            };
            put += 1;
            step();
            if !attached.is_empty() {
                // And all before it.
                match storage.commit_put(&self.put.tail, tail.0, attached) {
                    Ok(()) => step(),
                    Err(found) if put == 1 => return Err(corrupted(found)),
                    Err(_) => {
                        (tail, put) = (before, put - 1);
                        break;
                    }
                }
            }
        }
        // SYNC: pairs with the Acquire in `tail()`; the one store that makes the messages exist.
        self.put.tail.store(tail.0, Ordering::Release);
        step();
        Ok(put)
    }

    /// Bytes of a message's record, or that it can never be put.
    fn checked_size(&self, message: &Message<'_>) -> Result<u64, PutError> {
        let (size, count) = (message.payload.len() as u64, message.attachments.len() as u64);
        for (size, limit) in [(size, record::MOST_PAYLOAD), (count, record::MOST_ATTACHMENTS)] {
            if size > limit {
                return Err(PutError::TooLarge { size, limit });
            }
        }
        let size = record::bytes(message.payload.len(), message.attachments.len());
        let limit = self.max_bytes.load(Ordering::Relaxed);
        if limit != 0 && size > limit { Err(PutError::TooLarge { size, limit }) } else { Ok(size) }
    }

    /// Write one record at `tail`, uncommitted; the tail behind it and its attachments as they lie in the storage,
    /// or None without room. Growing may fail.
    fn write<'a, S: Storage>(
        &'a self,
        storage: &S,
        tail: Cursor,
        message: &Message<'_>,
    ) -> Result<Option<(Cursor, &'a [u64])>, PutError> {
        let need = self.checked_size(message)?;
        let (mut base, mut capacity) = self.storage_of(storage).map_err(corrupted)?;
        let mut head = Cursor(self.put.head_seen.load(Ordering::Relaxed));
        loop {
            let (index, gap) = tail.place(capacity, need);
            let total = gap + need;
            if !self.has_room(tail, head, need) || tail.bytes_since(head) + total > capacity {
                let fresh = self.head();
                if fresh != head {
                    head = fresh;
                    self.put.head_seen.store(head.0, Ordering::Relaxed);
                    continue;
                }
                if !self.has_room(tail, head, need) {
                    return Ok(None);
                }
                (base, capacity) = self.grow(storage, tail, capacity, total)?;
                head = Cursor(self.put.head_seen.load(Ordering::Relaxed));
                continue;
            }
            // SAFETY:
            // - `base` points to `capacity` bytes that belong to this ring while the put lock is held.
            // - Positions from `tail` on for `total` bytes are free: that was checked against a head that only
            //   moves on.
            // - `index` and `gap` are what `place` said for this record and capacity.
            let attached = unsafe { record::write(base, index, gap, message) };
            step();
            return Ok(Some((tail.moved((total / 8) as u32, 1), attached)));
        }
    }

    /// Double the storage until `total` more bytes fit behind `tail`. The put lock is held; takes the get lock as
    /// well.
    #[cold]
    fn grow<S: Storage>(
        &self,
        storage: &S,
        tail: Cursor,
        old_capacity: u64,
        total: u64,
    ) -> Result<(*mut u8, u64), PutError> {
        let _getters = self.hold_getters_long(storage);
        let head = self.head();
        let used = tail.bytes_since(head);
        if used > old_capacity {
            return Err(corrupted(Corrupted { what: "a queue's position", offset: tail.0 }));
        }
        let mut capacity = (old_capacity * 2).max(LEAST_CAPACITY);
        // Twice the record: behind any skip there is then room for it, whatever the position.
        while capacity < used + 2 * total {
            capacity *= 2;
        }
        if capacity > MOST_CAPACITY {
            return Err(PutError::TooLarge { size: used + total, limit: MOST_CAPACITY });
        }
        let buffer = storage.allocate(capacity).map_err(PutError::Arena)?;
        step();
        let old = self.buffer();
        let to = storage.bytes(buffer, capacity).map_err(corrupted)?;
        if used > 0 {
            let from = storage.bytes(old, old_capacity).map_err(corrupted)?;
            // SAFETY: both buffers are the ring's and of these sizes; both locks are held, so nobody else touches
            // either.
            unsafe { record::copy((from, old_capacity), (to, capacity), head, used) };
        }
        step();
        self.put.head_seen.store(head.0, Ordering::Relaxed);
        // One store moves the ring. Death before it: the old storage stands. After it: the new one does.
        let word = buffer | capacity.trailing_zeros() as u64;
        storage.exchange(&self.buffer, word, buffer, old).map_err(corrupted)?;
        step();
        Ok((to, capacity))
    }
}
