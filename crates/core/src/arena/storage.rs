//! An arena as the place where rings have their bytes.

use super::Arena;
use crate::error::{ArenaError, Corrupted};
use crate::failpoint::step;
use crate::heap::{Direction, Kind};
use crate::loom::{AtomicU64, Ordering};
use crate::owner::{Liveness, OwnerId};
use crate::ring::{Ring, Storage, Watcher};

impl Liveness for Arena {
    fn is_alive(&self, owner: OwnerId) -> bool {
        self.processes().is_alive(owner)
    }
}

impl Storage for &'static Arena {
    fn me(&self) -> OwnerId {
        Arena::me(self)
    }

    fn bytes(&self, buffer: u64, length: u64) -> Result<*mut u8, Corrupted> {
        self.heap.bytes(buffer, length)
    }

    fn room(&self, buffer: u64) -> u64 {
        self.heap.room(buffer)
    }

    fn check(&self, attachments: &[u64]) -> Result<(), Corrupted> {
        self.heap.check_blocks(attachments)
    }

    fn allocate(&self, capacity: u64) -> Result<u64, ArenaError> {
        let handle = Arena::allocate(self, Kind::Buffer, capacity)?;
        let offset = handle.offset;
        std::mem::forget(handle); // until `exchange`
        Ok(offset)
    }

    fn exchange(&self, word: &AtomicU64, value: u64, new: u64, old: u64) -> Result<(), Corrupted> {
        let exchanged = self.local.with(|handles| {
            let count = handles.entry(old).or_insert(0); // allocates first, as `take_out`
            let exchanged = self.heap.exchange(self.me(), word, value, new, old);
            *count += u32::from(exchanged.is_ok() && old != 0);
            if *count == 0 {
                handles.remove(&old);
            }
            exchanged
        });
        // What `allocate` forgot, and what the ring held.
        let old = if exchanged.is_ok() { old } else { 0 };
        for offset in [new, old].into_iter().filter(|&offset| offset != 0) {
            step();
            drop(self.adopt(offset));
        }
        exchanged
    }

    fn commit_put(&self, word: &AtomicU64, tail: u64, attachments: &[u64]) -> Result<(), Corrupted> {
        self.heap.transfer(self.me(), Direction::IntoMessage, word, tail, attachments)
    }

    fn commit_get(&self, word: &AtomicU64, head: u64, attachments: &[u64]) -> Result<(), Corrupted> {
        self.take_out(word, head, attachments)
    }

    fn lend(&self, attachments: &[u64]) -> Result<(), Corrupted> {
        if attachments.is_empty() {
            return Ok(());
        }
        self.local.with(|handles| {
            self.heap.hold_again(self.me(), attachments)?;
            for &offset in attachments {
                *handles.entry(offset).or_insert(0) += 1;
            }
            Ok(())
        })
    }

    fn forget(&self, word: &AtomicU64, value: u64, attachments: &[u64]) -> Result<(), Corrupted> {
        if attachments.is_empty() {
            word.store(value, Ordering::Release);
            return Ok(());
        }
        // What is in the message's memory may be written over as soon as the message is gone.
        let mut handles = Vec::with_capacity(attachments.len());
        self.receive(attachments, &mut handles);
        self.take_out(word, value, attachments)
    }

    fn reach(&self, ring: &Ring, watcher: Watcher) -> bool {
        Arena::reach(self, ring, &watcher)
    }

    fn settle(&self) {
        self.heap.settle(self.me());
    }
}

impl Liveness for &'static Arena {
    fn is_alive(&self, owner: OwnerId) -> bool {
        self.processes().is_alive(owner)
    }
}
