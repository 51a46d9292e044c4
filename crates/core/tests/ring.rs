//! The ring among threads: nothing lost, nothing twice, each producer's order kept; waiting, closing, abandoned
//! locks.
#![allow(clippy::pedantic)] // of a test one asks less
#![cfg(not(loom))]

mod support;

use procession_core::arena::Arena;
use procession_core::error::{ArenaError, Corrupted, GetError, PutError};
use procession_core::owner::{Liveness, OwnerId};
use procession_core::ring::{Message, Ring, Wait};
use std::time::{Duration, Instant};
use support::{Random, alone, block, contents, fork, number_of, payload, put, ring_at, take, wait};

const LONG: Duration = Duration::from_secs(20);
const PRODUCERS: u64 = 3;

/// Producers put `each` messages in batches of random length, consumers take until the ring is closed and empty.
fn stress(max_items: u32, max_bytes: u64, each: u64, blocks: bool) {
    let arena = Arena::private().unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new_at(max_items, max_bytes, u32::MAX - 1000, u32::MAX - 50_000));
    let mut received: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                scope.spawn(move || {
                    let mut random = Random(producer + 1);
                    for sequence in 0..each {
                        let number = producer << 32 | sequence;
                        if blocks && random.below(10) == 0 {
                            put(arena, ring, &payload(number, random.size(500)), &[&block(arena, 100, number as u8)]);
                        } else {
                            put(arena, ring, &payload(number, random.size(500)), &[]);
                        }
                    }
                })
            })
            .collect();
        let consumers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(move || {
                    let mut numbers = Vec::new();
                    while let Some((bytes, handles)) = take(arena, ring, LONG) {
                        let number = number_of(&bytes);
                        assert!(handles.iter().all(|block| contents(block).iter().all(|&byte| byte == number as u8)));
                        numbers.push(number);
                    }
                    numbers
                })
            })
            .collect();
        producers.into_iter().for_each(|thread| thread.join().unwrap());
        ring.close(&arena);
        consumers.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for numbers in &received {
        for producer in 0..PRODUCERS {
            let own: Vec<_> = numbers.iter().filter(|&&number| number >> 32 == producer).collect();
            assert!(own.is_sorted(), "a consumer saw a producer's messages out of order");
        }
    }
    let mut all: Vec<u64> = received.drain(..).flatten().collect();
    all.sort_unstable();
    let expected: Vec<u64> = (0..PRODUCERS).flat_map(|producer| (0..each).map(move |n| producer << 32 | n)).collect();
    assert!(all == expected, "lost or twice: {} of {}", all.len(), expected.len());
    drop(_handle);
    arena.check().unwrap();
    assert_eq!(arena.usage().objects, 0);
}

#[test]
fn every_message_arrives_once_through_a_growing_ring() {
    stress(0, 0, 30_000, false);
}

#[test]
fn every_message_arrives_once_through_a_ring_of_few_items() {
    stress(3, 0, 5_000, true);
}

#[test]
fn every_message_arrives_once_through_a_ring_of_few_bytes() {
    stress(0, 2_000, 5_000, true);
}

#[test]
fn a_ring_grows_for_a_whole_batch_or_none_of_it() {
    let arena = Arena::shared(1 << 20).unwrap();
    for (size, fits) in [(100, true), (4000, false)] {
        let (_handle, ring) = ring_at(arena, Ring::new(0, 0));
        put(arena, ring, b"before", &[]);
        let payloads: Vec<_> = (0..400).map(|number| payload(number, size)).collect();
        let batch: Vec<_> = payloads.iter().map(|payload| Message { payload, attachments: &[] }).collect();
        if fits {
            ring.reserve(&arena, &batch).unwrap();
            assert_eq!(ring.put(&arena, &batch, Wait::Never).unwrap(), (400, 1));
        } else {
            assert!(matches!(ring.reserve(&arena, &batch), Err(PutError::Arena(ArenaError::Full { .. }))));
            assert_eq!(ring.len(), 1);
            assert!(ring.put(&arena, &batch, Wait::Never).unwrap().0 < 400, "without it, a beginning is put");
        }
    }
    arena.check().unwrap();
    assert_eq!(arena.usage().objects, 0);
}

#[test]
fn what_must_not_wait_does_not_and_what_waits_ends_at_its_deadline() {
    let arena = Arena::private().unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(1, 0));
    let message = [Message { payload: b"x", attachments: &[] }];
    let nothing = |_: u32, _: &[u8], _: &[u64]| true;
    assert!(matches!(ring.get(&arena, 1, Wait::Never, None, nothing), Err(GetError::Empty)));
    let start = Instant::now();
    let soon = Wait::Until(Some(start + Duration::from_millis(20)));
    assert!(matches!(ring.get(&arena, 1, soon, None, nothing), Err(GetError::Empty)));
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(ring.put(&arena, &message, Wait::Never).unwrap(), (1, 0));
    assert!(matches!(ring.put(&arena, &message, Wait::Never), Err(PutError::Full)));
    let start = Instant::now();
    let soon = Wait::Until(Some(start + Duration::from_millis(20)));
    assert!(matches!(ring.put(&arena, &message, soon), Err(PutError::Full)));
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[test]
fn a_closed_ring_takes_no_more_but_gives_what_it_has() {
    let arena = Arena::private().unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(0, 0));
    put(arena, ring, b"last", &[]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            assert_eq!(take(arena, ring, LONG).unwrap().0, b"last");
            take(arena, ring, LONG)
        });
        while !(ring.is_empty() && ring.has_sleepers().0) {
            std::thread::yield_now();
        }
        ring.close(&arena);
        assert!(waiting.join().unwrap().is_none());
    });
    let message = [Message { payload: b"x", attachments: &[] }];
    assert!(matches!(ring.put(&arena, &message, Wait::Never), Err(PutError::Closed)));
}

#[test]
fn a_small_message_passes_a_large_one_that_waits_for_room_in_bytes() {
    let arena = Arena::private().unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(0, 1000));
    put(arena, ring, &[1; 400], &[]);
    put(arena, ring, &[2; 400], &[]);
    std::thread::scope(|scope| {
        let large = scope.spawn(|| put(arena, ring, &[3; 900], &[]));
        while !ring.has_sleepers().1 {
            std::thread::yield_now();
        }
        let small = scope.spawn(|| put(arena, ring, &[4; 300], &[]));
        assert_eq!(take(arena, ring, LONG).unwrap().0, [1; 400]);
        small.join().unwrap();
        assert!(!large.is_finished());
        let rest: Vec<u8> = (0..3).map(|_| take(arena, ring, LONG).unwrap().0[0]).collect();
        large.join().unwrap();
        assert_eq!(rest, [2, 4, 3]);
    });
}

#[test]
fn batches_and_counts_of_what_is_done() {
    let arena = Arena::private().unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(5, 0));
    let messages = [Message { payload: b"abc", attachments: &[] }; 8];
    assert_eq!(ring.put(&arena, &messages, Wait::Never).unwrap(), (5, 0));
    assert_eq!((ring.len(), ring.is_full(), ring.unfinished()), (5, true, 5));
    assert_eq!(ring.get(&arena, 100, Wait::Never, None, |count, _, _| count < 2).unwrap(), 3);
    assert_eq!(ring.position(), (3, 5));
    let done = || ring.task_done(&arena, Wait::Never).unwrap();
    assert!((0..5).all(|_| done()) && !done());
    assert!(ring.join(&arena, None).is_ok());
}

/// A process that died between two stores, as the table of processes would tell.
#[test]
fn locks_of_the_dead_are_taken_over_on_both_sides() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (_handle, ring) = ring_at(arena, Ring::new(0, 0));
    for side in 0..2 {
        put(arena, ring, b"one", &[]);
        // The child dies inside, holding the side's lock: in a sink, or where the process has no memory to grow into.
        let child = fork(|| {
            let die = || -> bool {
                support::kill(std::process::id());
                unreachable!()
            };
            if side == 0 {
                let _ = ring.get(&arena, 1, Wait::Until(None), None, |_, _, _| die());
            } else {
                let _ =
                    ring.put(&Dying(arena), &[Message { payload: &[0; 300_000], attachments: &[] }], Wait::Until(None));
            }
        });
        assert_eq!(wait(child), -libc::SIGKILL);
        let start = Instant::now();
        put(arena, ring, &[2; 9000], &[]);
        assert_eq!(take(arena, ring, LONG).unwrap().0, b"one");
        assert_eq!(take(arena, ring, LONG).unwrap().0, [2; 9000]);
        assert!(start.elapsed() < Duration::from_secs(1));
        assert!(take(arena, ring, Duration::ZERO).is_none());
    }
}

/// Dies where the ring asks for a larger storage, both locks held.
struct Dying(&'static Arena);

impl Liveness for Dying {
    fn is_alive(&self, owner: OwnerId) -> bool {
        self.0.is_alive(owner)
    }
}

impl procession_core::ring::Storage for Dying {
    fn me(&self) -> OwnerId {
        self.0.me()
    }
    fn bytes(&self, buffer: u64, length: u64) -> Result<*mut u8, Corrupted> {
        procession_core::ring::Storage::bytes(&self.0, buffer, length)
    }
    fn allocate(&self, _capacity: u64) -> Result<u64, procession_core::error::ArenaError> {
        support::kill(std::process::id());
        unreachable!()
    }
    fn exchange(
        &self,
        _word: &std::sync::atomic::AtomicU64,
        _value: u64,
        _new: u64,
        _old: u64,
    ) -> Result<(), Corrupted> {
        Ok(())
    }
}
