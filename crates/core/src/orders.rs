//! In which order locks are taken, where deadlocks are looked for: a table that a family of processes shares.
//!
//! A row says that a thread took one lock while it held another. Rows are appended, by one counter, and stay when their
//! process is gone: what it did may still be the other half of a mistake. A row is there when its state says so, which
//! is stored last; a death before leaves a row that nobody sees. When the table is full, what is new is not in it.

use crate::loom::{AtomicU32, AtomicU64, Ordering};

/// How many rows there are.
pub const ROWS: usize = 1024;

/// One order, as it is written and read. Locks are named by their serial numbers, which never name a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Who took them.
    pub pid: u32,
    /// Python's ident of the thread.
    pub ident: u64,
    /// What was held.
    pub held: u64,
    /// What was taken then.
    pub taken: u64,
    /// Labels of the lines that took the one and the other.
    pub sites: [u32; 2],
    /// What else was held: bit `serial % 64` of each lock.
    pub gates: u64,
    /// When it was seen last, nanoseconds of the machine's monotonic clock.
    pub last: u64,
    /// When somebody had waited for the end of that thread; 0: nobody has.
    pub joined: u64,
    /// Which thread did: the kernel's id.
    pub joined_by: u32,
}

/// A row: 128 bytes of shared memory; all-zero is none.
#[repr(C, align(128))]
struct Row {
    /// 1: it is there.
    state: AtomicU32,
    pid: AtomicU32,
    ident: AtomicU64,
    held: AtomicU64,
    taken: AtomicU64,
    sites: [AtomicU32; 2],
    gates: AtomicU64,
    last: AtomicU64,
    joined: AtomicU64,
    joined_by: AtomicU32,
}

const _: () = assert!(size_of::<Row>() == 128); // as docs/reference/memory.md has it

/// The table. Lives in shared memory; all-zero is an empty one.
#[repr(C, align(128))]
pub struct Orders {
    /// Rows ever asked for.
    count: AtomicU32,
    rows: [Row; ROWS],
}

impl Orders {
    /// Append a row. Its number; None: there is no room.
    pub fn add(&self, order: &Order) -> Option<usize> {
        if self.count.load(Ordering::Relaxed) as usize >= ROWS {
            return None; // not counted on: it must not wrap around
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed) as usize;
        let row = self.rows.get(number)?;
        row.pid.store(order.pid, Ordering::Relaxed);
        row.ident.store(order.ident, Ordering::Relaxed);
        row.held.store(order.held, Ordering::Relaxed);
        row.taken.store(order.taken, Ordering::Relaxed);
        row.sites[0].store(order.sites[0], Ordering::Relaxed);
        row.sites[1].store(order.sites[1], Ordering::Relaxed);
        row.gates.store(order.gates, Ordering::Relaxed);
        row.last.store(order.last, Ordering::Relaxed);
        // SYNC: Release pairs with the Acquire in `rows`.
        row.state.store(1, Ordering::Release);
        Some(number)
    }

    /// It was seen again.
    pub fn touch(&self, number: usize, now: u64) {
        if let Some(row) = self.rows.get(number) {
            row.last.store(now, Ordering::Relaxed);
        }
    }

    /// Thread `by` has waited for the end of a thread of process `pid`, or (0) of all of them.
    pub fn join(&self, pid: u32, ident: u64, by: u32, now: u64) {
        for row in &self.rows[..self.count()] {
            let his = row.pid.load(Ordering::Relaxed) == pid;
            if his && (ident == 0 || row.ident.load(Ordering::Relaxed) == ident) {
                row.joined_by.store(by, Ordering::Relaxed);
                row.joined.store(now, Ordering::Relaxed);
            }
        }
    }

    /// How many there are, at most.
    pub fn count(&self) -> usize {
        (self.count.load(Ordering::Relaxed) as usize).min(ROWS)
    }

    /// Every row, with its number.
    pub fn rows(&self) -> impl Iterator<Item = (usize, Order)> + '_ {
        // SYNC: Acquire pairs with the Release in `add`.
        let there = |row: &&Row| row.state.load(Ordering::Acquire) == 1;
        let rows = self.rows[..self.count()].iter().enumerate();
        rows.filter(move |(_, row)| there(row)).map(|(number, row)| {
            let order = Order {
                pid: row.pid.load(Ordering::Relaxed),
                ident: row.ident.load(Ordering::Relaxed),
                held: row.held.load(Ordering::Relaxed),
                taken: row.taken.load(Ordering::Relaxed),
                sites: [row.sites[0].load(Ordering::Relaxed), row.sites[1].load(Ordering::Relaxed)],
                gates: row.gates.load(Ordering::Relaxed),
                last: row.last.load(Ordering::Relaxed),
                joined: row.joined.load(Ordering::Relaxed),
                joined_by: row.joined_by.load(Ordering::Relaxed),
            };
            (number, order)
        })
    }
}
