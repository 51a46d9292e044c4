//! Segments made and given back.
//!
//! A new one is as large as what the queue holds, within bounds: a small queue lives in small files, a long one is not
//! thousands of them. One whose records are all done is removed; and when a queue is found empty in a large one, it
//! moves on into a small one, so that what is empty takes next to nothing.

use super::{Process, Queue};
use crate::error::Error;
use crate::record::{FILLER, HEADER};
use crate::segment::{START, Start, View};
use crate::state::At;
use crate::storage::Storage;
use procession_core::lock::Held;
use std::sync::atomic::Ordering::Relaxed;

impl<P: Process, S: Storage> Queue<P, S> {
    /// The first position that is not done. A moment's view.
    #[inline]
    pub(super) fn low(&self) -> At {
        if self.is_joinable() { self.state.get.low.load() } else { self.state.get.head.load() }
    }

    /// Bytes of a segment for a queue that holds as much as this one does now.
    fn usual_length(&self) -> u64 {
        let (least, most) = (self.state.segments[0].load(Relaxed), self.state.segments[1].load(Relaxed));
        let held = self.state.put.tail.load().place.saturating_sub(self.low().place);
        held.checked_next_power_of_two().unwrap_or(most).clamp(least, most)
    }

    /// A segment behind the tail's for a record of `size` bytes; the tail is moved into it. With the put lock held.
    ///
    /// Killed on the way, one leaves a segment that the tail does not lead to: the next one makes it anew. With `power`
    /// all is on the disk that is in segments before the tail's, so that what is lost there was damaged.
    #[cold]
    pub(super) fn next_segment(&self, tail: At, view: View, size: u64) -> Result<(At, View), Error> {
        let state = self.state;
        let length = self.usual_length().max((START + size).next_multiple_of(4096));
        let start = Start::new(view.end, length, tail.count, state.put.epoch.load(Relaxed));
        self.storage.create(&start)?;
        self.storage.step();
        if view.has_room(tail.place, HEADER) {
            let gap = FILLER | (view.end - tail.place) as u32;
            view.write_header(tail.place, self.words(tail, gap));
            self.storage.step();
        }
        if self.is_power() {
            self.storage.sync_names()?;
            self.storage.sync(view.first).map_err(|error| self.poison(error))?;
        }
        let tail = At { place: view.end + START, segment: view.end, ..tail };
        state.put.tail.store(tail);
        self.storage.step();
        let view = self.putting.view(&self.storage, tail.segment)?;
        state.put.length.store(view.end - view.first, Relaxed);
        Ok((tail, view))
    }

    /// Something was done with: what need not be kept is given back. With the get lock held. An error is for the next
    /// one to meet; what is left over is removed at the next opening at the latest.
    #[inline]
    pub(super) fn make_room(&self) {
        let (low, tail) = (self.low(), self.state.put.tail.load());
        if low.place == tail.place && self.state.put.length.load(Relaxed) > 2 * self.state.segments[0].load(Relaxed) {
            let _ = self.leave_large();
        }
        let low = self.low();
        if self.state.get.oldest.load(Relaxed) != low.segment && !self.is_power() {
            let _ = self.remove_before(low.segment);
        }
    }

    /// The queue is empty, in a large segment: let it go on in a small one. Not if somebody is putting.
    #[cold]
    fn leave_large(&self) -> Result<(), Error> {
        let state = self.state;
        if !state.put.lock.try_acquire(self.process.me()) {
            return Ok(());
        }
        let _held = Held { lock: &state.put.lock, abandoned: false };
        let tail = state.put.tail.mine();
        if self.low().place != tail.place {
            return Ok(());
        }
        let view = self.putting.view(&self.storage, tail.segment)?;
        let (tail, _) = self.next_segment(tail, view, 0)?;
        let counted = state.get.head.mine();
        let head = At { place: tail.place, segment: tail.segment, ..counted };
        state.get.head.store(head);
        state.get.low.store(head);
        Ok(())
    }

    /// Remove the segments before one, oldest first. With the get lock held or, with `power`, the commit lock.
    #[cold]
    pub(super) fn remove_before(&self, segment: u64) -> Result<(), Error> {
        let (oldest, keep) = (&self.state.get.oldest, self.usual_length() * 2);
        let mut first = oldest.load(Relaxed);
        while first < segment {
            first = match self.storage.remove(first, keep) {
                Ok(length) => first + length,
                // Somebody died here before saying so.
                Err(error) if error.is_not_found() => {
                    let left = self.storage.segments()?;
                    left.into_iter().find(|&other| other > first).unwrap_or(segment)
                }
                Err(error) => return Err(error),
            };
            oldest.store(first, Relaxed);
        }
        Ok(())
    }
}
