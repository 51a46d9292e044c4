//! The ledger of a ring: messages that were taken and are not acknowledged, and messages that came back.
//!
//! A ring that keeps what is taken (a `JoinableQueue`'s) copies each message into an entry of the ledger before it
//! lets the getter have it. Acknowledged, the entry is free again; when its taker dies first, the message is
//! *returned*: it goes to the next getter, before all that is in the ring, in the old order. A ring that keeps
//! nothing has a ledger only after a getter gave a message back that it could not use ([`Ring::put_back`]).
//!
//! Everything here is changed with the get lock held. What an entry is, is one word, so every transition is one store:
//!
//! | `claim` | the message | who changes it next |
//! | --- | --- | --- |
//! | 0 | none: unused | a getter writes a message down |
//! | number, owner; the number at or beyond `head` | still in the ring | the getter stores `head`; its death undoes it |
//! | number, owner; before `head` | taken by the owner | an acknowledgement; whoever finds the owner dead |
//! | number, `RETURNED` | waits for its next taker | a getter |
//!
//! So the store of `head` takes the message out of the ring *and* makes the claim on it, however many entries it
//! concerns. Order, the list of the unused and the counters follow from the claims: whoever finds the lock abandoned
//! makes them anew (`repair`). The entry holds the message's attachments (as the ring did), its taker holds them
//! besides; that a message must not be changed by its taker before it is acknowledged is for the caller to see to.
//!
//! Considered and dropped: leaving messages in the ring's storage until they are acknowledged. Nothing would be copied,
//! but one slow consumer would pin all that was put after its message, a ring of any size.

#![allow(clippy::cast_ptr_alignment)] // blocks are aligned to 64 bytes, and bodies count words

use super::entry::{Entry, WITHIN, at, body, claim_of, message, words};
use super::record::Cursor;
use super::{Ring, Storage};
use crate::error::{ArenaError, Corrupted};
use crate::failpoint::step;
use crate::loom::{AtomicU32, AtomicU64, Ordering};
use Ordering::Relaxed;

/// Entries that the first table has; then twice as many each time.
const FIRST: u64 = 32;
/// So many entries keep their buffers while unused, and no larger ones: a peak must not stay for ever.
const KEPT: usize = 64;
const LARGEST_KEPT: u64 = 128 << 10;
const LEAST_BUFFER: u64 = 256;

/// What a ring knows of messages outside its storage. Lives in the ring's head; all-zero is an empty one.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct Ledger {
    /// Offset of the entries | log2(how many); 0 before the first.
    pub(super) entries: AtomicU64,
    /// Entries in use, taken or returned. Never too low, so that nobody believes that all is done.
    pub(super) open: AtomicU32,
    pub(super) returned: AtomicU32,
    /// Entry + 1 with the lowest number and with the highest, and the first unused one; 0: none.
    oldest: AtomicU32,
    newest: AtomicU32,
    unused: AtomicU32,
    /// 1: somebody may have died while changing all this.
    pub(super) torn: AtomicU32,
    /// When the owners were looked after last: milliseconds of the monotonic clock, mod 2^32.
    pub(super) looked: AtomicU32,
    pub(super) most_deliveries: AtomicU32,
}

impl Ledger {
    pub(super) fn new() -> Self {
        let zero = || AtomicU32::new(0);
        Self {
            entries: AtomicU64::new(0),
            open: zero(),
            returned: zero(),
            oldest: zero(),
            newest: zero(),
            unused: zero(),
            torn: zero(),
            looked: zero(),
            most_deliveries: zero(),
        }
    }
}

/// Only holders of the get lock write counters.
fn count(counter: &AtomicU32, change: i32) {
    // SYNC: Release pairs with the Acquire in `unfinished`.
    counter.store(counter.load(Relaxed).wrapping_add_signed(change), Ordering::Release);
    step();
}

impl Ring {
    /// The entries. Valid while the get lock is held and the table does not grow.
    pub(super) fn entries<'a, S: Storage>(&self, storage: &S) -> &'a [Entry] {
        let word = self.ledger.entries.load(Relaxed);
        if word == 0 {
            return &[];
        }
        let (table, count) = (word & !63, 1u64 << (word & 63));
        let bytes = count.saturating_mul(size_of::<Entry>() as u64);
        match storage.bytes(table, bytes) {
            // SAFETY: within the table's block, which was written before the store; only holders of the get lock are here,
            // and change it.
            Ok(place) if bytes <= storage.room(table) => unsafe {
                std::slice::from_raw_parts(place.cast(), count as usize)
            },
            _ => &[], // damaged: what was in it is kept
        }
    }

    /// The entries in use, those with the lowest numbers first.
    pub(super) fn in_order<'a>(&self, entries: &'a [Entry]) -> impl Iterator<Item = (u32, &'a Entry)> + use<'a> {
        let mut link = self.ledger.oldest.load(Relaxed);
        let mut left = entries.len(); // links that lead in a circle, in memory that somebody has spoilt, end
        std::iter::from_fn(move || {
            let entry = at(entries, link)?;
            left = left.checked_sub(1)?;
            let here = link;
            link = entry.next.load(Relaxed);
            Some((here, entry))
        })
    }

    fn damaged(&self) -> Corrupted {
        Corrupted { what: "what a queue keeps", offset: self.ledger.entries.load(Relaxed) }
    }

    /// Write a message down in the first unused entry, as nobody's yet.
    fn write_down<S: Storage>(&self, storage: &S, payload: &[u8], attached: &[u64]) -> Result<u32, ArenaError> {
        if self.ledger.unused.load(Relaxed) == 0 {
            self.grow_ledger(storage)?;
        }
        let link = self.ledger.unused.load(Relaxed);
        let found = self.damaged();
        let entry = at(self.entries(storage), link).ok_or(found)?;
        let need = words(payload.len(), attached.len()) as u64 * 8;
        let buffer = entry.buffer.load(Relaxed);
        if need > 8 * WITHIN as u64 && (buffer == 0 || 1 << (buffer & 63) < need) {
            let capacity = need.next_power_of_two().max(LEAST_BUFFER);
            let fresh = storage.allocate(capacity)?;
            step();
            let word = fresh | u64::from(capacity.trailing_zeros());
            storage.exchange(&entry.buffer, word, fresh, buffer & !63)?;
            step();
        }
        entry.size.store(payload.len() as u32, Relaxed);
        entry.attachments.store(attached.len() as u32, Relaxed);
        let (body, room) = body(storage, entry)?;
        // Written over itself, a message would be neither; only damage lets the two lie in one place.
        let apart = |from: usize, bytes: usize| from + bytes <= body as usize || body as usize + need as usize <= from;
        let are_apart =
            apart(payload.as_ptr() as usize, payload.len()) && apart(attached.as_ptr() as usize, size_of_val(attached));
        if need > room as u64 * 8 || !are_apart {
            return Err(found.into());
        }
        // SAFETY: the body has room for `need` bytes apart from what is copied, and the entry is unused: nobody reads it.
        unsafe {
            std::ptr::copy_nonoverlapping(attached.as_ptr(), body.cast::<u64>(), attached.len());
            std::ptr::copy_nonoverlapping(payload.as_ptr(), body.add(attached.len() * 8), payload.len());
        }
        step();
        Ok(link)
    }

    /// Note that the caller is about to take a message: its store of `head` makes that true.
    #[inline(never)]
    pub(super) fn note_taken<S: Storage>(
        &self,
        storage: &S,
        number: u32,
        payload: &[u8],
        attached: &[u64],
    ) -> Result<(), ArenaError> {
        let link = self.write_down(storage, payload, attached)?;
        let entries = self.entries(storage);
        let entry = at(entries, link).ok_or(self.damaged())?;
        entry.deliveries.store(1, Relaxed);
        self.line_up(entries, link, number);
        self.lend(storage, attached)?;
        entry.pass_to(number, Some(storage.me()));
        Ok(())
    }

    /// Write down a message that the caller took and cannot use, for the next getter. It holds the attachments itself.
    pub(super) fn note_returned<S: Storage>(
        &self,
        storage: &S,
        number: u32,
        payload: &[u8],
        attached: &[u64],
    ) -> Result<(), ArenaError> {
        let link = self.write_down(storage, payload, attached)?;
        let entries = self.entries(storage);
        let entry = at(entries, link).ok_or(self.damaged())?;
        entry.deliveries.store(0, Relaxed);
        self.line_up(entries, link, number);
        let (_, attached) = message(storage, entry)?;
        storage.commit_put(&entry.claim, claim_of(number, None), attached)?;
        step();
        count(&self.ledger.returned, 1);
        Ok(())
    }

    /// How long ago a number was taken, in messages; up to `entries.len()` it is about to be. (Not half the numbers are
    /// "before" and half "behind": a message may be in hand while billions pass.)
    fn age(&self, entries: &[Entry], number: u32) -> u32 {
        let head = Cursor(self.get.head.load(Relaxed)).count();
        head.wrapping_add(entries.len() as u32).wrapping_sub(number)
    }

    /// Take the first unused entry out of its list and into the order of numbers.
    fn line_up(&self, entries: &[Entry], link: u32, number: u32) {
        let Some(entry) = at(entries, link) else { return };
        self.ledger.unused.store(entry.next.load(Relaxed), Relaxed);
        step();
        let mut before = self.ledger.newest.load(Relaxed);
        let mut next = 0;
        // What is taken is the newest; only what is put back may belong further ahead.
        let age = self.age(entries, number);
        let mut left = entries.len(); // as in `in_order`
        while let Some(other) = at(entries, before).filter(|other| left > 0 && self.age(entries, other.number()) < age)
        {
            left -= 1;
            (next, before) = (before, other.before.load(Relaxed));
        }
        entry.before.store(before, Relaxed);
        entry.next.store(next, Relaxed);
        at(entries, before).map_or(&self.ledger.oldest, |other| &other.next).store(link, Relaxed);
        step();
        at(entries, next).map_or(&self.ledger.newest, |other| &other.before).store(link, Relaxed);
        count(&self.ledger.open, 1);
    }

    /// A returned message becomes the caller's.
    pub(super) fn retake<S: Storage>(&self, storage: &S, entry: &Entry) -> Result<(), Corrupted> {
        let (number, (_, attached)) = (entry.number(), message(storage, entry)?);
        entry.deliveries.store(entry.deliveries.load(Relaxed).saturating_add(1), Relaxed);
        step();
        self.lend(storage, attached)?;
        entry.pass_to(number, Some(storage.me()));
        count(&self.ledger.returned, -1);
        Ok(())
    }

    /// Let the caller hold what a message that it is about to take refers to. Without that the lists are to be made anew.
    fn lend<S: Storage>(&self, storage: &S, attached: &[u64]) -> Result<(), Corrupted> {
        storage.lend(attached).inspect_err(|_| self.ledger.torn.store(1, Relaxed))
    }

    /// A taken message is anybody's again.
    pub(super) fn give_back(&self, entry: &Entry) {
        entry.pass_to(entry.number(), None);
        count(&self.ledger.returned, 1);
    }

    /// The message is no more; `let_go` clears the claim and sees to the attachments.
    pub(super) fn free<S: Storage>(
        &self,
        storage: &S,
        link: u32,
        entry: &Entry,
        let_go: impl FnOnce(&AtomicU64, &[u64]) -> Result<(), Corrupted>,
    ) {
        // What a damaged one refers to is kept.
        let (_, attached) = message(storage, entry).unwrap_or_default();
        let was_returned = entry.is_returned();
        if attached.is_empty() || let_go(&entry.claim, attached).is_err() {
            entry.claim.store(0, Ordering::Release);
        }
        step();
        let entries = self.entries(storage);
        let (before, next) = (entry.before.load(Relaxed), entry.next.load(Relaxed));
        at(entries, before).map_or(&self.ledger.oldest, |other| &other.next).store(next, Relaxed);
        step();
        at(entries, next).map_or(&self.ledger.newest, |other| &other.before).store(before, Relaxed);
        step();
        if was_returned {
            count(&self.ledger.returned, -1);
        }
        count(&self.ledger.open, -1);
        let buffer = entry.buffer.load(Relaxed);
        if buffer != 0 && (link as usize > KEPT || 1 << (buffer & 63) > LARGEST_KEPT) {
            let _ = storage.exchange(&entry.buffer, 0, 0, buffer & !63); // damaged: it is kept
            step();
        }
        entry.next.store(self.ledger.unused.load(Relaxed), Relaxed);
        step();
        self.ledger.unused.store(link, Relaxed);
        step();
    }

    #[cold]
    fn grow_ledger<S: Storage>(&self, storage: &S) -> Result<(), ArenaError> {
        let word = self.ledger.entries.load(Relaxed);
        let (old, had) = (word & !63, self.entries(storage).len() as u64);
        if (word == 0) != (had == 0) {
            return Err(self.damaged().into());
        }
        let have = (had * 2).max(FIRST);
        let bytes = |entries: u64| entries as usize * size_of::<Entry>();
        let fresh = storage.allocate(bytes(have) as u64)?;
        step();
        let to = storage.bytes(fresh, bytes(have) as u64)?;
        // SAFETY: both tables have these sizes, the new one is the caller's alone, and the lock guards the old one.
        unsafe {
            if old != 0 {
                std::ptr::copy(storage.bytes(old, bytes(had) as u64)?, to, bytes(had));
            }
            for index in had..have {
                to.add(bytes(index)).cast::<Entry>().write(Entry::new());
            }
        }
        step();
        storage.exchange(&self.ledger.entries, fresh | u64::from(have.trailing_zeros()), fresh, old)?;
        step();
        // A death before this is over tears the lists, and they are made anew.
        for link in (had as u32 + 1..=have as u32).rev() {
            let Some(entry) = at(self.entries(storage), link) else { break };
            entry.next.store(self.ledger.unused.load(Relaxed), Relaxed);
            self.ledger.unused.store(link, Relaxed);
        }
        step();
        Ok(())
    }

    /// After a death under the get lock: undo claims that were not committed, and make lists and counters anew.
    #[cold]
    pub(super) fn repair<S: Storage>(&self, storage: &S) {
        let entries = self.entries(storage);
        let (mut used, mut unused) = (Vec::new(), 0);
        for (entry, link) in entries.iter().zip(1..) {
            let age = self.age(entries, entry.number());
            if entry.owner().is_some() && (1..=entries.len()).contains(&(age as usize)) {
                entry.claim.store(0, Ordering::Release); // it is still in the ring
                step();
            }
            if entry.is_used() {
                used.push(link);
            }
        }
        for (index, entry) in entries.iter().enumerate().rev().filter(|(_, entry)| !entry.is_used()) {
            entry.next.store(unused, Relaxed);
            unused = index as u32 + 1;
        }
        used.sort_unstable_by_key(|&link| std::cmp::Reverse(self.age(entries, entries[link as usize - 1].number())));
        let neighbour = |index: usize| used.get(index).copied().unwrap_or(0);
        for (index, &link) in used.iter().enumerate() {
            entries[link as usize - 1].before.store(neighbour(index.wrapping_sub(1)), Relaxed);
            entries[link as usize - 1].next.store(neighbour(index + 1), Relaxed);
        }
        step();
        let returned = entries.iter().filter(|entry| entry.is_returned()).count();
        let ledger = &self.ledger;
        ledger.oldest.store(neighbour(0), Relaxed);
        ledger.newest.store(neighbour(used.len().wrapping_sub(1)), Relaxed);
        ledger.unused.store(unused, Relaxed);
        ledger.returned.store(returned as u32, Ordering::Release);
        ledger.open.store(used.len() as u32, Ordering::Release);
        step();
        ledger.torn.store(0, Relaxed);
    }

    /// Part with all of it, for whoever takes the ring apart. The get lock is held.
    pub(super) fn forget_ledger<S: Storage>(&self, storage: &S) {
        let entries = self.entries(storage);
        for (_, entry) in self.in_order(entries) {
            let _ = message(storage, entry).and_then(|(_, attached)| storage.forget(&entry.claim, 0, attached));
            step();
        }
        for entry in entries.iter().filter(|entry| entry.buffer.load(Relaxed) != 0) {
            let _ = storage.exchange(&entry.buffer, 0, 0, entry.buffer.load(Relaxed) & !63);
            step();
        }
        let table = self.ledger.entries.load(Relaxed);
        if table != 0 {
            let _ = storage.exchange(&self.ledger.entries, 0, 0, table & !63);
            step();
        }
        self.repair(storage);
    }
}
