//! What the threads of this process hold, where deadlocks are looked for: entered in the table of waits beside these.
//!
//! Each thread keeps a list of its own, and struck from it is what it gives back itself. A lock that somebody else
//! releases stays in the list; what the lock says of its holder decides.
//!
//! A lock that is kept while one that was taken before it is given back (readers take the room under a mutex, and give it
//! back later, under another hold of that) has *outlived* it: it is handed over or guards a state, and counts in no order.

use crate::arena::{Object, PyArena};
use crate::once::name;
use crate::site;
use procession_core::arena::{Arena, State, forks};
use procession_core::orders::Order;
use procession_core::sys;
use procession_core::waits::{Action, Entry};
use pyo3::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Something that the thread holds.
pub struct Held {
    arena: &'static Arena,
    object: u64,
    serial: u64,
    site: u32,
    /// How often it took it and has not given it back.
    times: u32,
    /// Where it stands in the table, if there was room.
    slot: Option<usize>,
    /// Whether nobody else can have it meanwhile: a lock, not a permit.
    is_exclusive: bool,
    /// Whether one that was taken before it was given back before it.
    has_outlived: bool,
}

impl Held {
    /// Whether it counts in the orders of locks.
    fn counts(&self) -> bool {
        self.is_exclusive && !self.has_outlived
    }
}

#[derive(Default)]
struct List {
    /// Whose list (`forks`): a forked child begins with a copy of its parent's.
    forks: u32,
    /// The kernel's id of the thread; 0: not asked for yet.
    native: u32,
    /// Where its next entry may find a free slot: where one was given up last.
    hint: usize,
    held: Vec<Held>,
    /// The orders in which this thread took locks: by a hash of what it held and took, their rows, and how many rows there
    /// were when they were looked at.
    known: HashMap<u64, (Vec<usize>, usize)>,
}

thread_local! {
    static LIST: RefCell<List> = RefCell::default();
}

fn with_list<R>(work: impl FnOnce(&mut List) -> R) -> R {
    LIST.with_borrow_mut(|list| {
        if list.forks != forks() || list.native == 0 {
            *list = List { forks: forks(), native: sys::native_thread(), ..List::default() };
        }
        work(list)
    })
}

fn enter(list: &List, arena: &'static Arena, object: u64, serial: u64, site: u32) -> Option<usize> {
    let entry = Entry {
        owner: arena.me(),
        native: list.native,
        ident: sys::thread_ident(),
        action: Action::Hold,
        flags: 0,
        object,
        detail: serial,
        since: sys::coarse_time().as_nanos() as u64,
        site,
    };
    arena.waits().enter(&entry, list.hint, arena.processes())
}

fn is_same<T>(held: &Held, object: &Object<T>) -> bool {
    std::ptr::eq(held.arena, object.home()) && (held.object, held.serial) == object.address()
}

/// The calling thread has taken this; `surely`: it would have waited for ever. Raises: what a filter makes of a warning.
#[cold]
pub fn taken<T>(py: Python<'_>, object: &Object<T>, is_exclusive: bool, surely: bool) -> PyResult<()> {
    let again = with_list(|list| {
        let known = list.held.iter_mut().find(|held| is_same(held, object));
        known.map(|held| held.times += 1).is_some()
    });
    if again {
        return Ok(());
    }
    let (arena, (offset, serial)) = (object.home(), object.address());
    let site = site::here(py, arena); // runs Python: not within the list
    with_list(|list| {
        let slot = enter(list, arena, offset, serial, site);
        list.held.push(Held { arena, object: offset, serial, site, times: 1, slot, is_exclusive, has_outlived: false });
    });
    if is_exclusive && surely { order(py) } else { Ok(()) }
}

/// The calling thread has taken the last of its list while it held the others.
fn order(py: Python<'_>) -> PyResult<()> {
    let mut now = 0;
    let is_known = with_list(|list| {
        let Some((new, held)) = list.held.split_last() else { return true };
        if !held.iter().any(|held| held.counts() && std::ptr::eq(held.arena, new.arena)) {
            return true;
        }
        now = sys::monotonic().as_nanos() as u64;
        let orders = new.arena.orders();
        let known = list.known.get(&key(&list.held));
        known.inspect(|(rows, _)| rows.iter().for_each(|&row| orders.touch(row, now)));
        known.is_some_and(|&(_, count)| count == orders.count())
    });
    if is_known { Ok(()) } else { look_at_order(py, now) }
}

fn key(held: &[Held]) -> u64 {
    let mut hasher = DefaultHasher::new();
    held.iter().filter(|held| held.counts()).for_each(|held| held.serial.hash(&mut hasher));
    hasher.finish()
}

/// A new order, or there are new ones of others: enter it, and have it compared with them.
#[cold]
fn look_at_order(py: Python<'_>, now: u64) -> PyResult<()> {
    let told = with_list(|list| {
        let (new, held) = list.held.split_last()?;
        let arena = new.arena;
        let pid = sys::pid();
        let ident = sys::thread_ident();
        // What another thread released stands in the list still.
        let really = |held: &&Held| {
            let state = arena.obstacle(held.object).map(|(_, serial, state)| (serial, state));
            matches!(state, Some((serial, State::Lock { holder: Some(holder), .. }))
                if serial == held.serial && (holder.pid, holder.thread) == (pid, ident))
        };
        let held: Vec<&Held> =
            held.iter().filter(|held| held.counts() && std::ptr::eq(held.arena, arena)).filter(really).collect();
        let key = key(&list.held);
        let known = list.known.remove(&key);
        let gates =
            |but: u64| held.iter().filter(|one| one.serial != but).fold(0, |all, one| all | 1 << (one.serial % 64));
        let enter = || -> Vec<usize> {
            let order = |one: &&Held| Order {
                pid,
                ident,
                held: one.serial,
                taken: new.serial,
                sites: [one.site, new.site],
                gates: gates(one.serial),
                last: now,
                joined: 0,
                joined_by: 0,
            };
            held.iter().filter_map(|one| arena.orders().add(&order(one))).collect()
        };
        let rows = known.map_or_else(enter, |(rows, _)| rows);
        list.known.insert(key, (rows.clone(), arena.orders().count()));
        Some((arena, rows))
    });
    let Some((arena, rows)) = told else { return Ok(()) };
    let orders = PyModule::import(py, name!(py, "procession._deadlocks.orders"))?;
    orders.call_method1(name!(py, "look"), (PyArena { arena }, rows)).map(drop)
}

/// The calling thread is about to give this back. False: it did not hold it, as far as is known.
#[cold]
pub fn given<T>(object: &Object<T>) -> bool {
    with_list(|list| {
        let Some(place) = list.held.iter().rposition(|held| is_same(held, object)) else { return false };
        list.held[place].times -= 1;
        if list.held[place].times == 0 {
            let held = list.held.remove(place);
            list.hint = held.strike_out();
            list.held[place..].iter_mut().for_each(|later| later.has_outlived = true);
        }
        true
    })
}

/// The calling thread gives this back, however often it took it, for a while.
#[cold]
pub fn suspended<T>(object: &Object<T>) -> Option<Held> {
    with_list(|list| {
        let place = list.held.iter().rposition(|held| is_same(held, object))?;
        let held = list.held.remove(place);
        list.hint = held.strike_out();
        Some(held)
    })
}

/// It has it again.
pub fn resumed(held: Option<Held>) {
    let Some(mut held) = held else { return };
    with_list(|list| {
        held.slot = enter(list, held.arena, held.object, held.serial, held.site);
        list.held.push(held);
    });
}

impl Held {
    /// Gives the slot that is free now.
    fn strike_out(&self) -> usize {
        let Some(slot) = self.slot else { return usize::MAX };
        self.arena.waits().leave(slot, self.arena.me());
        slot
    }
}
