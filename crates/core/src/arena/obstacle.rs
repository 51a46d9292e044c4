//! What stands in the way of somebody who waits for an object: asked by one who need not have it open.
//!
//! The offset comes from the table of waits, so it may be anything, and the object may be gone while it is looked at.
//! All that is read are atomics of memory that stays mapped; the serial number, read before and after, says whether it
//! was one object.

use super::{Arena, Kind};
use crate::mutex::Mutex;
use crate::owner::{Holder, Liveness};
use crate::ring::Ring;
use crate::semaphore::Semaphore;

/// An object as it is for those who wait.
#[derive(Debug, Clone, Copy)]
pub enum State {
    /// A Lock or an `RLock`: its holder, unless he is dead; whether it was released by somebody who did not hold it.
    Lock {
        /// None: it is free, or changing hands, or abandoned.
        holder: Option<Holder>,
        /// Then nobody knows who will release it.
        is_signal: bool,
    },
    /// A semaphore: its free permits; the same.
    Semaphore {
        /// How many can be taken.
        value: u32,
        /// See above.
        is_signal: bool,
    },
    /// A queue, or one direction of a pipe.
    Ring {
        /// Nothing can be taken.
        is_empty: bool,
        /// Nothing can be put.
        is_full: bool,
        /// Items not done with.
        unfinished: u32,
        /// No more can be put.
        is_closed: bool,
    },
    /// Another one.
    Other,
}

impl Arena {
    /// The labels of the line that made the object at `offset`, and of its name; 0: not known.
    pub fn labels_at(&self, offset: u64) -> (u32, u32) {
        if self.heap.identify(offset).is_some() { self.heap.labels_of(offset) } else { (0, 0) }
    }

    /// Kind and serial number of the object at `offset`, and its state. None: there is none.
    pub fn obstacle(&self, offset: u64) -> Option<(u32, u64, State)> {
        let (kind, serial) = self.heap.identify(offset)?;
        let known =
            [Kind::Lock, Kind::RLock, Kind::Semaphore, Kind::Ring].into_iter().find(|&known| known as u32 == kind);
        let state = match known {
            Some(Kind::Lock | Kind::RLock) => {
                // SAFETY: a block of this kind contains a mutex, or did a moment ago; within the segment; all atomics.
                let mutex = unsafe { &*self.heap.bytes(offset, size_of::<Mutex>() as u64).ok()?.cast::<Mutex>() };
                let holder = mutex.owner().filter(|holder| self.processes().is_alive(holder.owner));
                State::Lock { holder, is_signal: mutex.is_signal() }
            }
            Some(Kind::Semaphore) => {
                let size = size_of::<Semaphore>() as u64;
                // SAFETY: as above.
                let semaphore = unsafe { &*self.heap.bytes(offset, size).ok()?.cast::<Semaphore>() };
                State::Semaphore { value: semaphore.value(), is_signal: semaphore.is_signal() }
            }
            Some(Kind::Ring) => {
                // SAFETY: as above.
                let ring = unsafe { &*self.heap.bytes(offset, size_of::<Ring>() as u64).ok()?.cast::<Ring>() };
                State::Ring {
                    is_empty: ring.is_empty(),
                    is_full: ring.is_full(),
                    unfinished: ring.unfinished(),
                    is_closed: ring.is_closed(),
                }
            }
            _ => State::Other,
        };
        (self.heap.identify(offset)? == (kind, serial)).then_some((kind, serial, state))
    }
}
