//! The putters' side of a queue: append, move the tail.

use super::{Process, Queue, Ticket};
use crate::error::Error;
use crate::record::{self, MEMORY, UNKNOWN, Words};
use crate::state::At;
use crate::storage::Storage;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl<P: Process, S: Storage> Queue<P, S> {
    /// Put one record, the parts one after another; waits for room until the deadline (None: for ever; one that has
    /// passed: not at all). When this returns the record is in the queue, whoever dies. [`Error::Full`] and all
    /// others: it is not.
    #[inline]
    pub fn put(&self, parts: &[&[u8]], deadline: Option<Instant>) -> Result<Ticket, Error> {
        self.put_many(&[parts], deadline).map(|(_, ticket)| ticket)
    }

    /// Put the records, or as many of them as there is room for: waits only for room for the first. How many were put.
    /// An error is about the first: what goes wrong with a later one is left for the call that begins with it.
    pub fn put_many(&self, records: &[&[&[u8]]], deadline: Option<Instant>) -> Result<(usize, Ticket), Error> {
        let Some(first) = records.first() else { return Ok((0, Ticket(0))) };
        let size = self.checked_size(first)?;
        loop {
            self.poisoned()?;
            let held = self.hold_putters(deadline).map_err(not_put)?;
            if self.is_shut_down() {
                return Err(Error::ShutDown);
            }
            let put = self.append(records)?;
            drop(held);
            if put > 0 {
                self.storage.step();
                self.state.items.notify(put as u32);
                return Ok((put, self.changed()));
            }
            let ready = || self.is_shut_down() || self.has_room(self.state.put.tail.load(), size);
            self.state.space.wait(ready, deadline).map_err(|error| not_put(error.into()))?;
        }
    }

    /// Bytes of a record, or that it can never be put.
    #[inline]
    fn checked_size(&self, parts: &[&[u8]]) -> Result<u64, Error> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let size = record::size(length as u64);
        let limit = match self.state.max_bytes.load(Ordering::Relaxed) {
            0 => record::MOST,
            limit => limit.min(record::MOST),
        };
        if size > limit { Err(Error::TooLarge { size, limit }) } else { Ok(size) }
    }

    /// Append as many records as there is room for, with the put lock held, and move the tail behind them.
    #[inline]
    fn append(&self, records: &[&[&[u8]]]) -> Result<usize, Error> {
        let spot = &self.state.put.tail;
        let (mut tail, mut put) = (spot.mine(), 0);
        for parts in records {
            match self.append_one(tail, parts) {
                Ok(Some(behind)) => tail = behind,
                Err(error) if put == 0 => return Err(error),
                Ok(None) | Err(_) => break,
            }
            put += 1;
        }
        // (A new segment has moved it already; if that was all that went well, it stands further on than ours.)
        if tail.place > spot.mine().place {
            spot.store(tail);
            self.storage.step();
        }
        Ok(put)
    }

    #[inline]
    fn append_one(&self, tail: At, parts: &[&[u8]]) -> Result<Option<At>, Error> {
        let size = self.checked_size(parts)?;
        if !self.has_room(tail, size) {
            return Ok(None);
        }
        let (mut tail, mut view) = (tail, self.putting.view(&self.storage, tail.segment)?);
        if !view.has_room(tail.place, size) {
            (tail, view) = self.next_segment(tail, view, size)?;
        }
        view.write_bytes(tail.place, parts);
        self.storage.step();
        let length = parts.iter().map(|part| part.len() as u32).sum();
        view.write_header(tail.place, self.words(tail, length));
        self.storage.step();
        Ok(Some(At { place: tail.place + size, count: tail.count + 1, bytes: tail.bytes + size, ..tail }))
    }

    /// What a record at the tail says.
    #[inline]
    pub(super) fn words(&self, tail: At, length: u32) -> Words {
        // (Of a group of records none is put before the last was written: see `append`.)
        let (synced, put) = (self.state.commit.place.load(Ordering::Relaxed), self.state.put.tail.mine().place);
        let (safe, memory) = if self.is_power() || synced >= put { (synced, 0) } else { (put, MEMORY) };
        let behind = (tail.place - safe.min(tail.place)) / 8;
        Words {
            length,
            number: tail.count,
            epoch: self.state.put.epoch.load(Ordering::Relaxed),
            behind: if behind < MEMORY.into() { behind as u32 | memory } else { UNKNOWN },
        }
    }
}

fn not_put(error: Error) -> Error {
    if matches!(error, Error::TimedOut) { Error::Full } else { error }
}
