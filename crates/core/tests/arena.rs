//! An arena among processes: what a fork does to holds, what the dead leave, and that private copies are whole.
#![allow(clippy::pedantic)] // of a test one asks less
#![cfg(not(loom))]

mod support;

use procession_core::arena::{Arena, Kind};
use procession_core::error::ArenaError;
use procession_core::ring::Ring;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use support::{alone, block, contents, fork, kill, number_of, payload, place, put, ring_at, take, wait};

const SOON: Duration = Duration::from_secs(2);

#[test]
fn a_child_keeps_what_its_parent_drops() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (_go_handle, go) = place(arena, Kind::Value, AtomicBool::new(false));
    let shared = block(arena, 5000, 9);
    let address = shared.address();
    let child = fork(|| {
        while !go.load(SeqCst) {
            std::thread::yield_now();
        }
        assert!(contents(&shared).iter().all(|&byte| byte == 9));
    });
    drop(shared);
    assert!(arena.open(address.0, address.1, None).is_ok(), "held by the child");
    go.store(true, SeqCst);
    assert_eq!(wait(child), 0);
    assert!(arena.reap(child));
    assert!(matches!(arena.open(address.0, address.1, None), Err(ArenaError::Gone { .. })));
    arena.check().unwrap();
}

#[test]
fn the_dead_are_taken_back_once_however_many_see_them() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    for _ in 0..20 {
        let corpse = fork(|| {
            let (handle, ring) = ring_at(arena, Ring::new(0, 0));
            put(arena, ring, b"x", &[&block(arena, 100, 1)]);
            std::mem::forget(handle);
            kill(std::process::id());
        });
        wait(corpse);
        // Many reap at once while new processes enter the place that becomes free: none may lose what it holds.
        let others: Vec<u32> = (0..4)
            .map(|_| {
                fork(|| {
                    arena.reap(corpse);
                    let own = block(arena, 64, 5);
                    arena.reap_all();
                    assert_eq!(arena.holders(own.offset()).1, [arena.me().place()]);
                })
            })
            .collect();
        others.into_iter().for_each(|pid| assert_eq!(wait(pid), 0));
        arena.reap_all();
        arena.check().unwrap();
        assert_eq!((arena.usage().objects, arena.processes().owners().count()), (0, 1));
    }
}

#[test]
fn a_table_full_of_the_dead_is_no_obstacle() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let keep = block(arena, 64, 3);
    for _ in 0..procession_core::owner::PLACES + 50 {
        assert_eq!(wait(fork(|| assert_eq!(contents(&keep)[0], 3))), 0);
    }
    assert_eq!(arena.usage().objects, 1);
    arena.check().unwrap();
}

#[test]
fn an_address_of_what_is_gone_is_told_from_what_came_after() {
    let arena = Arena::private().unwrap();
    let first = block(arena, 100, 1);
    let (offset, serial) = first.address();
    assert!(matches!(arena.open(offset, serial, Some(Kind::Ring)), Err(ArenaError::Gone { .. })));
    drop(first);
    assert!(arena.open(offset, serial, None).is_err());
    let second = block(arena, 100, 1);
    assert_eq!(second.offset(), offset, "the space is used again");
    assert!(arena.open(offset, serial, None).is_err());
    for wrong in [0, 1, 64, offset + 64, u64::MAX - 63] {
        assert!(arena.open(wrong, serial, None).is_err(), "{wrong}");
    }
}

#[test]
fn a_full_arena_says_so_and_goes_on() {
    let _alone = alone();
    let arena = Arena::shared(1 << 20).unwrap();
    let ring = ring_at(arena, Ring::new(0, 0));
    let bytes = vec![7; 200_000];
    let message = procession_core::ring::Message { payload: &bytes, attachments: &[] };
    let wait = procession_core::ring::Wait::Never;
    let mut fitted = 0;
    while arena.put(ring.1, &[message], wait).is_ok() {
        fitted += 1;
    }
    assert!(matches!(arena.put(ring.1, &[message], wait), Err(procession_core::error::PutError::Arena(_))));
    assert!(matches!(arena.allocate(Kind::Block, 1 << 21), Err(ArenaError::Full { .. })));
    // A batch of which a part fits is put in part.
    let small = procession_core::ring::Message { payload: b"small", attachments: &[] };
    let (put, _) = arena.put(ring.1, &[small, message, message, message], wait).unwrap();
    assert_eq!(put, 1);
    for _ in 0..fitted {
        assert_eq!(take(arena, ring.1, SOON).unwrap().0, bytes);
    }
    assert_eq!(take(arena, ring.1, SOON).unwrap().0, b"small");
    arena.check().unwrap();
}

#[test]
fn a_message_with_too_many_blocks_is_refused_whole() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let ring = ring_at(arena, Ring::new(0, 0));
    let one = block(arena, 64, 1);
    let offsets = vec![one.offset(); 1 << 16];
    let attempt = |offsets: &[u64]| {
        let message = procession_core::ring::Message { payload: b"x", attachments: offsets };
        arena.put(ring.1, &[message], procession_core::ring::Wait::Never)
    };
    assert!(matches!(attempt(&offsets), Err(procession_core::error::PutError::TooLarge { .. })));
    assert!(attempt(&offsets[1..]).is_ok());
    assert_eq!(arena.holders(one.offset()).0, 0xffff);
    let (_, handles) = take(arena, ring.1, SOON).unwrap();
    assert_eq!((handles.len(), arena.holders(one.offset()).0), (0xffff, 0));
}

/// Threads hammer `arena` while this one forks; each child uses the same ring and heap at once.
fn fork_among_threads(arena: &'static Arena, rounds: usize) {
    let (_handle, ring) = ring_at(arena, Ring::new(100, 0));
    let stop = AtomicBool::new(false);
    let worst = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for number in 0..3 {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    let blocks = [block(arena, 3000, number as u8)];
                    put(arena, ring, &payload(number, 50), &[&blocks[0].clone()]);
                    drop(blocks);
                    take(arena, ring, SOON).map(|(bytes, _)| number_of(&bytes));
                }
            });
        }
        for _ in 0..rounds {
            let start = Instant::now();
            let child = fork(|| {
                for _ in 0..3 {
                    put(arena, ring, &payload(77, 20), &[&block(arena, 3000, 77)]);
                    assert!(take(arena, ring, SOON).is_some());
                }
                arena.check().unwrap();
            });
            assert_eq!(wait(child), 0);
            worst.fetch_max(start.elapsed().as_millis() as u64, SeqCst);
            arena.reap(child);
        }
        stop.store(true, SeqCst);
    });
    println!("worst: {} ms", worst.load(SeqCst));
    while take(arena, ring, Duration::ZERO).is_some() {}
    drop(_handle);
    arena.reap_all();
    arena.check().unwrap();
    assert_eq!(arena.usage().objects, 0);
}

#[test]
fn a_fork_while_threads_use_a_shared_arena() {
    let _alone = alone();
    fork_among_threads(Arena::shared(0).unwrap(), 150);
}

#[test]
fn a_fork_while_threads_use_a_private_arena() {
    let _alone = alone();
    fork_among_threads(Arena::private().unwrap(), 150);
}

#[test]
fn one_segment_is_one_arena_however_often_it_is_attached() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let again = Arena::attach(arena.fd(), arena.token()).unwrap();
    assert!(std::ptr::eq(arena, again));
    assert!(matches!(Arena::attach(arena.fd(), [1, 2]), Err(ArenaError::NotAnArena(_))));
    let text = std::fs::File::open("/proc/self/stat").unwrap();
    assert!(Arena::attach(std::os::fd::AsRawFd::as_raw_fd(&text), [1, 2]).is_err());
}
