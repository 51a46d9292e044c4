//! What a thread remembers of what it has recorded, so that it need not record it again.
//!
//! **Accesses.** One that the thread has made before, at the same place, to the same bytes, with the same locks held, and
//! with nothing written that synchronises since then (in the same *round*), tells nothing new. In later rounds it is written
//! a few times more, and then ever more seldom. The table's entries push each other out, and what was pushed out is written
//! once more.
//!
//! **Reads** that are left out are written as `AGAIN` before the thread writes anything else: they may have waited for a
//! change that somebody else made (then what follows comes after that), and a write that follows must not be taken for one
//! that writes back what an earlier read gave.
//!
//! **Locks** are written when something is written while they are held. A thread that takes and gives back one lock again
//! and again, with nothing to be written in between, has nothing to tell others but what they have from that lock already;
//! that it may have learnt something itself is written before what it writes next, as an acquisition.

use super::{ACQUIRE, AGAIN, Access, LOCK, Name, READ, UNLOCK, now};
use procession_core::recorder::{self, Event};
use pyo3::prelude::*;

/// Accesses that a thread remembers, in pairs of which an access can be either.
const REMEMBERED: usize = 2048;
/// Places in the program that a thread knows by code object and instruction.
const KNOWN: usize = 512;
/// Reads that wait to be written; beyond it they are written at once.
const PENDING: usize = 64;
/// Rounds in which an access is written in any case; then in those whose number is a power of two.
const ALWAYS: u32 = 12;

/// A place in the user's program.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Site {
    pub label: u32,
    /// The stack with which the thread first came there.
    pub stack: u32,
    /// A read there may be one that waits for a change.
    pub waits: bool,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    round: u32,
    /// In how many rounds it was made.
    times: u32,
    site: u32,
    held: u64,
    access: Access,
    is_pending: bool,
}

/// What is known of a place in a code object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Known {
    Users(Site),
    /// Ours, or the standard library's part of the same business.
    Inner,
}

struct Place {
    code: Py<PyAny>,
    instruction: i32,
    known: Known,
}

struct Lock {
    name: Name,
    site: Site,
    depth: u64,
    is_written: bool,
}

pub(super) struct Memory {
    generation: u32,
    /// Moves on at each synchronisation that is written.
    round: u32,
    entries: Vec<Entry>,
    pending: Vec<u16>,
    /// One of those may have waited for a change.
    may_have_waited: bool,
    known: Vec<Option<Place>>,
    locks: Vec<Lock>,
    /// Sum of the names of the locks held.
    held: u64,
    /// The last thing written was that this lock was given back.
    given_back: Option<Name>,
    /// It was taken since, and that is not written.
    was_taken: bool,
}

fn spread(number: u64, size: usize) -> usize {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % size
}

impl Memory {
    pub const fn new() -> Self {
        Self {
            generation: 0,
            round: 1,
            entries: Vec::new(),
            pending: Vec::new(),
            may_have_waited: false,
            known: Vec::new(),
            locks: Vec::new(),
            held: 0,
            given_back: None,
            was_taken: false,
        }
    }

    /// Forget everything at a fork: labels are others there, and locks nobody's.
    #[inline]
    pub fn renew(&mut self) {
        if self.generation != recorder::generation() {
            let known = std::mem::replace(self, Self::new()).known;
            self.generation = recorder::generation();
            self.entries.resize(REMEMBERED, Entry::default());
            self.known.resize_with(KNOWN, || None);
            std::mem::forget(known); // to drop a code object could run Python code here; a few in each child
        }
    }

    #[inline]
    fn place(code: &Bound<'_, PyAny>, instruction: i32) -> usize {
        spread((code.as_ptr() as u64 >> 4).wrapping_add((instruction as u64) << 32), KNOWN)
    }

    /// A place that was met before.
    #[inline]
    pub fn find(&self, code: &Bound<'_, PyAny>, instruction: i32) -> Option<Known> {
        let place = self.known[Self::place(code, instruction)].as_ref()?;
        (place.code.as_ptr() == code.as_ptr() && place.instruction == instruction).then_some(place.known)
    }

    /// Keep a place, and give back what was in its place, to be dropped elsewhere.
    pub fn keep(&mut self, code: &Bound<'_, PyAny>, instruction: i32, known: Known) -> Option<Py<PyAny>> {
        let place = Place { code: code.clone().unbind(), instruction, known };
        self.known[Self::place(code, instruction)].replace(place).map(|place| place.code)
    }

    /// The thread makes an access.
    pub fn accessed(&mut self, access: &Access, site: Site) {
        let mixed =
            access.name.object ^ u64::from(access.start) << 20 ^ u64::from(site.label) << 3 ^ u64::from(access.kind);
        let at = spread(mixed, REMEMBERED / 2) * 2;
        let (round, held) = (self.round, self.held);
        let is_it = |entry: &Entry| entry.site == site.label && entry.held == held && entry.access == *access;
        let Some(at) = [at, at + 1].into_iter().find(|&at| is_it(&self.entries[at])) else {
            self.write_what_waits();
            let at = if self.entries[at].round <= self.entries[at + 1].round { at } else { at + 1 };
            let new = Entry { round, times: 1, site: site.label, held, access: *access, is_pending: false };
            self.entries[at] = new;
            return self.write(access, site);
        };
        let entry = &mut self.entries[at];
        if entry.round != round {
            (entry.round, entry.times) = (round, entry.times.saturating_add(1));
            if entry.times <= ALWAYS || entry.times.is_power_of_two() {
                self.write_what_waits();
                return self.write(access, site);
            }
        }
        if access.kind == READ {
            self.may_have_waited |= site.waits;
            if !entry.is_pending {
                entry.is_pending = true;
                self.pending.push(at as u16);
                if self.pending.len() > PENDING {
                    self.write_what_waits();
                }
            }
        }
    }

    /// The thread has taken a lock.
    pub fn locked(&mut self, name: Name, site: Site, depth: u64) {
        self.held = self.held.wrapping_add(name.object);
        self.locks.push(Lock { name, site, depth, is_written: false });
    }

    /// The thread is about to give back a lock.
    pub fn unlocking(&mut self, name: Name, depth: u64) {
        let place = self.locks.iter().rposition(|lock| lock.name == name);
        let is_known = place.is_some_and(|place| !self.locks[place].is_written && self.locks[place].depth == depth);
        if is_known && self.given_back == Some(name) && !self.may_have_waited {
            self.was_taken = true;
        } else {
            self.synchronised(UNLOCK, name, depth);
            self.given_back = Some(name);
        }
        if let Some(place) = place {
            self.locks.remove(place);
            self.held = self.held.wrapping_sub(name.object);
        }
    }

    /// Write that the thread synchronises.
    pub fn synchronised(&mut self, kind: u16, name: Name, b: u64) {
        self.write_what_waits();
        self.round = self.round.wrapping_add(1);
        write_synchronised(kind, name, b, Site::default());
    }

    /// Write what must stand before the next record.
    fn write_what_waits(&mut self) {
        if let Some(name) = self.given_back.take()
            && std::mem::take(&mut self.was_taken)
        {
            write_synchronised(ACQUIRE, name, 0, Site::default());
        }
        for lock in self.locks.iter_mut().filter(|lock| !lock.is_written) {
            lock.is_written = true;
            write_synchronised(LOCK, lock.name, lock.depth, lock.site);
        }
        self.may_have_waited = false;
        for at in self.pending.drain(..) {
            let entry = &mut self.entries[at as usize];
            if std::mem::take(&mut entry.is_pending) {
                let access = Access { flags: entry.access.flags | AGAIN, ..entry.access };
                write_access(&access, Site { label: entry.site, stack: 0, waits: true });
            }
        }
    }

    fn write(&mut self, access: &Access, site: Site) {
        self.given_back = None;
        write_access(access, site);
    }
}

fn write_access(access: &Access, site: Site) {
    let Access { kind, flags, name, start, end, guard } = *access;
    let event = Event {
        kind,
        flags: flags | name.flags,
        arena: name.arena,
        object: name.object,
        a: u64::from(start) << 32 | u64::from(end),
        b: guard,
        site: site.label,
        stack: site.stack,
        ticket: if kind == READ && site.waits { recorder::ticket() } else { 0 },
        extra: 0,
    };
    recorder::record_at(now(), &event);
}

fn write_synchronised(kind: u16, name: Name, b: u64, site: Site) {
    let Name { arena, object, flags } = name;
    let (site, ticket) = (site.label, recorder::ticket());
    recorder::record_at(now(), &Event { kind, flags, arena, object, a: 0, b, site, stack: 0, ticket, extra: 0 });
}
