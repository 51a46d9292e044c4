//! Watched rings: bells that ring while there is something, across processes, deaths and forks.
#![allow(clippy::pedantic)] // of a test one asks less
#![cfg(not(loom))]

mod support;

use procession_core::arena::{Arena, Watching};
use procession_core::ring::{Ring, Side, WATCHERS, Wait};
use procession_core::sys::{Bell, Pipe};
use std::os::fd::RawFd;
use std::time::Duration;
use support::{alone, fork, kill, put, readable, ring_at, take, wait};

const LONG: Duration = Duration::from_secs(20);

/// What the binding does after each `get`.
fn take_one(arena: &'static Arena, ring: &Ring) -> Option<Vec<u8>> {
    let taken = take(arena, ring, Duration::ZERO);
    arena.settle_watch(ring, Side::Items);
    taken.map(|(bytes, _)| bytes)
}

fn watch(arena: &'static Arena, ring: &Ring, watching: &Watching) -> RawFd {
    arena.watch(ring, Side::Items, watching).unwrap().expect("there is a place")
}

#[test]
fn a_bell_rings_while_there_are_items_and_when_the_ring_is_closed() {
    let _alone = alone();
    let arena = Arena::private().unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(0, 0));
    let watching = Watching::default();
    put(arena, ring, b"early", &[]);
    let fd = watch(arena, ring, &watching);
    assert!(readable(fd));
    put(arena, ring, b"late", &[]);
    assert_eq!(take_one(arena, ring).unwrap(), b"early");
    assert!(readable(fd));
    assert_eq!(take_one(arena, ring).unwrap(), b"late");
    assert!(!readable(fd));
    put(arena, ring, b"again", &[]);
    assert!(readable(fd) && take_one(arena, ring).is_some() && !readable(fd));
    ring.close(&arena);
    assert!(readable(fd) && take_one(arena, ring).is_none() && readable(fd));
    arena.unwatch(ring, Side::Items, &watching);
}

#[test]
fn a_bell_for_room_rings_while_there_is_some() {
    let _alone = alone();
    let arena = Arena::private().unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(2, 0));
    let watching = Watching::default();
    let fd = arena.watch(ring, Side::Room, &watching).unwrap().unwrap();
    for full in [false, true] {
        assert!(readable(fd));
        put(arena, ring, b"item", &[]);
        arena.settle_watch(ring, Side::Room);
        assert_eq!(readable(fd), !full);
    }
    take_one(arena, ring);
    assert!(readable(fd));
}

#[test]
fn another_process_rings_and_wakes_who_waits() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(0, 0));
    let watching = Watching::default();
    let fd = watch(arena, ring, &watching);
    for _ in 0..20 {
        let child = fork(|| put(arena, ring, b"from the child", &[]));
        assert!(support::readable_within(fd, LONG));
        assert_eq!(take_one(arena, ring).unwrap(), b"from the child");
        assert!(!readable(fd));
        assert_eq!(wait(child), 0);
    }
}

/// One process that takes: its bell never rings for nothing, and never fails to.
#[test]
fn a_bell_is_exact_while_others_put() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(0, 0));
    let watching = Watching::default();
    let fd = watch(arena, ring, &watching);
    const EACH: usize = 3000;
    let children = [(); 2].map(|()| {
        fork(|| {
            for _ in 0..EACH {
                put(arena, ring, b"item", &[]);
                std::thread::yield_now();
            }
        })
    });
    for left in (1..=2 * EACH).rev() {
        assert!(support::readable_within(fd, LONG), "{left} items never came");
        assert!(take_one(arena, ring).is_some(), "rang for nothing, {left} items before the end");
    }
    assert!(!readable(fd));
    children.into_iter().for_each(|child| assert_eq!(wait(child), 0));
}

#[test]
fn a_killed_watcher_leaves_its_place_and_no_descriptor_behind() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(0, 0));
    for _ in 0..2 * WATCHERS {
        let child = fork(|| {
            watch(arena, ring, &Watching::default());
            kill(std::process::id());
        });
        assert_eq!(wait(child), -libc::SIGKILL);
    }
    let before = descriptors();
    put(arena, ring, b"to the dead", &[]);
    assert_eq!(descriptors(), before);
    let watching = Watching::default();
    assert!(readable(watch(arena, ring, &watching)));
}

#[test]
fn there_are_so_many_places_for_the_living() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(0, 0));
    let (here, there) = (Pipe::new().unwrap(), Pipe::new().unwrap());
    let children: Vec<_> = (0..WATCHERS)
        .map(|_| {
            let child = fork(|| {
                let fd = watch(arena, ring, &Watching::default());
                here.ring();
                assert!(support::readable_within(fd, LONG), "not told");
                assert!(support::readable_within(there.fd(), LONG));
            });
            assert!(support::readable_within(here.fd(), LONG));
            here.silence();
            child
        })
        .collect();
    let watching = Watching::default();
    assert!(arena.watch(ring, Side::Items, &watching).unwrap().is_none());
    put(arena, ring, b"for all", &[]);
    there.ring();
    children.into_iter().for_each(|child| assert_eq!(wait(child), 0));
    assert!(readable(watch(arena, ring, &watching)), "the places of those that left are free");
}

#[test]
fn a_forked_child_has_no_part_in_its_parents_bell() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(0, 0));
    let watching = Watching::default();
    let fd = watch(arena, ring, &watching);
    let child = fork(|| {
        put(arena, ring, b"one", &[]);
        arena.settle_watch(ring, Side::Items);
        arena.unwatch(ring, Side::Items, &watching); // what the child's copy of the handle does when it is dropped
        let own = watch(arena, ring, &watching);
        assert!(readable(own));
        assert!(take_one(arena, ring).is_some() && !readable(own));
        put(arena, ring, b"two", &[]);
    });
    assert_eq!(wait(child), 0);
    assert!(readable(fd));
    assert_eq!(take_one(arena, ring).unwrap(), b"two");
    assert!(!readable(fd));
}

#[test]
fn handles_share_a_bell_and_the_last_one_closes_it() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (handle, ring) = ring_at(arena, Ring::new(0, 0));
    let before = descriptors();
    let (one, other) = (Watching::default(), Watching::default());
    assert_eq!(watch(arena, ring, &one), watch(arena, ring, &other));
    assert_eq!(watch(arena, ring, &one), watch(arena, ring, &one));
    arena.unwatch(ring, Side::Items, &one);
    arena.unwatch(ring, Side::Items, &one);
    assert_eq!(descriptors(), before + 2);
    put(arena, ring, b"item", &[]);
    assert!(readable(watch(arena, ring, &other)));
    arena.unwatch(ring, Side::Items, &other);
    assert_eq!(descriptors(), before);
    // A bell that was reached, or forgotten to be given back, goes with the last handle on the ring.
    watch(arena, ring, &one);
    let (heard, stop) = (Pipe::new().unwrap(), Pipe::new().unwrap());
    let child = fork(|| {
        watch(arena, ring, &Watching::default());
        take_one(arena, ring);
        heard.ring();
        assert!(support::readable_within(stop.fd(), LONG));
    });
    assert!(support::readable_within(heard.fd(), LONG));
    put(arena, ring, b"item", &[]);
    assert_eq!(descriptors(), before + 2 + 1 + 4);
    stop.ring();
    wait(child);
    drop((heard, stop, handle));
    assert_eq!(descriptors(), before);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Threads that take side by side may find nothing, but nobody sleeps while there is something.
#[test]
fn threads_of_one_process_share_the_work() {
    let _alone = alone();
    let arena = Arena::private().unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(0, 0));
    const ITEMS: usize = 2000;
    let taken = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let watching = Watching::default();
                let fd = watch(arena, ring, &watching);
                while !(ring.is_closed() && ring.is_empty()) {
                    assert!(support::readable_within(fd, LONG));
                    let got = ring.get(&arena, 1, Wait::Never, None, |_, _, _| false).unwrap_or(0);
                    arena.settle_watch(ring, Side::Items);
                    taken.fetch_add(got, std::sync::atomic::Ordering::Relaxed);
                }
                arena.unwatch(ring, Side::Items, &watching);
            });
        }
        (0..ITEMS).for_each(|_| put(arena, ring, b"item", &[]));
        ring.close(&arena);
    });
    assert_eq!(taken.into_inner(), ITEMS);
}
