//! Every interleaving of writers and a reader of the table of waits: a reader sees a whole entry or none.

#![cfg(loom)]
#![allow(missing_docs)]

use loom::sync::Arc;
use loom::thread;
use procession_core::owner::{Liveness, OwnerId};
use procession_core::waits::{Action, Entry, Waits};

struct Alive;

impl Liveness for Alive {
    fn is_alive(&self, _owner: OwnerId) -> bool {
        true
    }
}

/// All of its numbers are `number`, so that a mixture shows.
fn entry(number: u32) -> Entry {
    Entry {
        owner: OwnerId::new(number as usize, 0),
        native: number,
        ident: u64::from(number),
        action: Action::Get,
        flags: 0,
        object: u64::from(number),
        detail: u64::from(number),
        since: u64::from(number),
        site: number,
    }
}

fn bounded(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

#[test]
fn a_reader_sees_whole_entries() {
    bounded(|| {
        let waits = Arc::new(Waits::default());
        let theirs = Arc::clone(&waits);
        let writer = thread::spawn(move || {
            for number in [1, 2] {
                let slot = theirs.enter(&entry(number), 0, &Alive).unwrap();
                theirs.leave(slot, entry(number).owner);
            }
        });
        for (_, _, found) in waits.entries() {
            assert!(found == entry(1) || found == entry(2), "{found:?}");
        }
        writer.join().unwrap();
        assert_eq!(waits.entries().count(), 0);
    });
}

#[test]
fn two_writers_have_a_slot_each() {
    bounded(|| {
        let waits = Arc::new(Waits::default());
        let theirs = Arc::clone(&waits);
        let writer = thread::spawn(move || theirs.enter(&entry(1), 0, &Alive).unwrap());
        let mine = waits.enter(&entry(2), 0, &Alive).unwrap();
        let other = writer.join().unwrap();
        assert_ne!(mine, other);
        let mut found: Vec<_> = waits.entries().map(|(_, _, entry)| entry.native).collect();
        found.sort_unstable();
        assert_eq!(found, [1, 2]);
    });
}
