//! What a ring keeps of what was taken: order, counts, acknowledgements by others, growth, and blocks; against the
//! plainest model.
#![allow(clippy::pedantic)] // of a test one asks less
#![cfg(not(loom))]

mod support;

use procession_core::arena::{Arena, Handle, Kind};
use procession_core::error::{ArenaError, GetError};
use procession_core::ring::{Ring, Wait};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use support::{Random, alone, block, contents, fork, kill, number_of, payload, put, ring_at, take, wait};

const SOON: Duration = Duration::from_secs(5);

fn kept(arena: &'static Arena) -> (Handle, &'static Ring) {
    let (handle, ring) = ring_at(arena, Ring::new_at(0, 0, u32::MAX - 2, u32::MAX - 7));
    ring.keep_taken(0);
    (handle, ring)
}

fn done(arena: &'static Arena, ring: &Ring) -> bool {
    ring.task_done(&arena, Wait::Until(None)).unwrap()
}

/// Number and deliveries of everything that can be taken within a moment.
fn drain(arena: &'static Arena, ring: &Ring, most: usize) -> Vec<(u64, u32)> {
    let mut found = Vec::new();
    let mut handles = Vec::new();
    let end = Some(Instant::now() + Duration::from_millis(300));
    while found.len() < most {
        let taken = ring.take(&arena, most - found.len(), Wait::Until(end), None, |message| {
            arena.receive(message.attachments, &mut handles);
            found.push((number_of(message.payload), message.deliveries));
            true
        });
        match taken {
            Ok(_) | Err(GetError::Interrupted) => {}
            Err(_) => break,
        }
    }
    found
}

/// A child that takes `count` messages, acknowledges the oldest `acknowledged` of them and dies; somebody notices.
fn die_with(arena: &'static Arena, ring: &Ring, count: usize, acknowledged: usize) {
    let left = ring.len() as usize - acknowledged;
    let child = fork(|| {
        let taken: Vec<_> = (0..count).map(|_| take(arena, ring, SOON).unwrap()).collect();
        (0..acknowledged).for_each(|_| assert!(done(arena, ring)));
        std::mem::forget(taken);
        kill(std::process::id());
    });
    assert_eq!(wait(child), -libc::SIGKILL);
    ring.let_time_pass();
    ring.look_after_takers(&arena, Wait::Until(None));
    assert_eq!(ring.len() as usize, left);
}

#[test]
fn what_the_dead_had_comes_first_and_in_order() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (handle, ring) = kept(arena);
    // Small, beyond an entry's own room, and with blocks; more than the first table of entries holds.
    for number in 0..100 {
        put(arena, ring, &payload(number, 2000 * (number as usize % 3)), &[&block(arena, 300, number as u8)]);
    }
    die_with(arena, ring, 10, 0);
    die_with(arena, ring, 70, 5); // takes the ten of the first, and acknowledges five of them
    assert_eq!((ring.unfinished(), ring.len()), (95, 95));
    let expected: Vec<_> =
        (5..100).map(|number| (number, if number < 10 { 3 } else { 1 + u32::from(number < 70) })).collect();
    assert_eq!(drain(arena, ring, 100), expected);
    assert_eq!((ring.unfinished(), ring.len()), (95, 0));
    (0..95).for_each(|_| assert!(done(arena, ring)));
    assert!(!done(arena, ring) && ring.join(&arena, Some(Instant::now())).is_ok());
    arena.reap_all();
    arena.check().unwrap();
    drop(handle);
    assert_eq!(arena.usage().objects, 0);
}

#[test]
fn who_waits_notices_a_death() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (_handle, ring) = kept(arena);
    put(arena, ring, &payload(1, 10), &[]);
    let child = fork(|| {
        take(arena, ring, SOON).unwrap();
        while !ring.has_sleepers().0 {
            std::thread::yield_now();
        }
        kill(std::process::id());
    });
    while !ring.is_empty() {
        std::thread::yield_now();
    }
    let (bytes, _) = take(arena, ring, SOON).unwrap();
    assert_eq!(number_of(&bytes), 1);
    assert_eq!(wait(child), -libc::SIGKILL);
}

#[test]
fn a_joiner_waits_for_what_comes_back() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (_handle, ring) = kept(arena);
    put(arena, ring, &payload(1, 10), &[]);
    let child = fork(|| {
        take(arena, ring, SOON).unwrap();
        kill(std::process::id());
    });
    wait(child);
    let end = Instant::now() + SOON;
    // Nobody but the joiner looks.
    while ring.is_empty() {
        assert!(ring.join(&arena, Some(end)).is_err());
    }
    assert_eq!(drain(arena, ring, 1), [(1, 2)]);
    assert!(done(arena, ring));
    assert!(ring.join(&arena, Some(end)).is_ok());
}

#[test]
fn anybody_may_acknowledge() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (_handle, ring) = kept(arena);
    (1..=4).for_each(|number| put(arena, ring, &payload(number, 10), &[]));
    assert_eq!(drain(arena, ring, 2), [(1, 1), (2, 1)]);
    // A process that has taken nothing: the oldest of anybody, which is number 1.
    assert_eq!(wait(fork(|| assert!(done(arena, ring)))), 0);
    // One that has: its own, though ours is older.
    let child = fork(|| {
        take(arena, ring, SOON).unwrap();
        assert!(done(arena, ring));
    });
    assert_eq!(wait(child), 0);
    assert_eq!((ring.unfinished(), ring.len()), (2, 1));
    // With nothing taken: what is taken next.
    assert!(done(arena, ring) && done(arena, ring) && !done(arena, ring));
    assert_eq!((ring.unfinished(), ring.len()), (0, 1));
    assert_eq!(drain(arena, ring, 1), [(4, 1)]);
    put(arena, ring, &payload(5, 10), &[]);
    assert_eq!(ring.unfinished(), 1);
}

#[test]
fn what_cannot_be_used_goes_back_to_its_place() {
    let arena = Arena::private().unwrap();
    let (handle, ring) = ring_at(arena, Ring::new(0, 0));
    let blocks: Vec<_> = (1..=3).map(|number| block(arena, 300, number)).collect();
    (1..=4).for_each(|number| put(arena, ring, &payload(number, 500), blocks.get(number as usize - 1).as_slice()));
    let taken: Vec<_> = (0..3).map(|_| take(arena, ring, SOON).unwrap()).collect();
    for number in [2, 0] {
        let (bytes, handles) = &taken[number];
        let attachments: Vec<_> = handles.iter().map(Handle::offset).collect();
        ring.put_back(&arena, number as u32, bytes, &attachments).unwrap();
    }
    drop((taken, blocks));
    assert_eq!(ring.len(), 3);
    for expected in [1, 3, 4] {
        let (bytes, handles) = take(arena, ring, Duration::ZERO).unwrap();
        assert_eq!(number_of(&bytes), expected);
        assert!(handles.iter().all(|handle| contents(handle).iter().all(|&byte| byte == expected as u8)));
    }
    assert!(ring.is_empty());
    drop(handle);
    arena.check().unwrap();
    assert_eq!(arena.usage().objects, 0);
}

#[test]
fn without_room_to_keep_it_nothing_is_taken() {
    let arena = Arena::shared(1 << 20).unwrap();
    let (_handle, ring) = kept(arena);
    (1..=2).for_each(|number| put(arena, ring, &payload(number, 1000), &[]));
    let mut filling = Vec::new();
    for size in [100_000, 5_000, 300, 1] {
        filling.extend(std::iter::from_fn(|| arena.allocate(Kind::Block, size).ok()));
    }
    let full = ring.take(&arena, 2, Wait::Never, None, |_| panic!("taken"));
    assert!(matches!(full, Err(GetError::Arena(ArenaError::Full { .. }))), "{full:?}");
    assert_eq!((ring.len(), ring.unfinished()), (2, 2));
    filling.clear();
    assert_eq!(drain(arena, ring, 2), [(1, 1), (2, 1)]);
}

#[test]
fn a_ring_goes_with_all_that_it_keeps() {
    let _alone = alone();
    let arena = Arena::shared(0).unwrap();
    let (handle, ring) = kept(arena);
    (0..200).for_each(|number| put(arena, ring, &payload(number, 3000), &[&block(arena, 300, 1)]));
    die_with(arena, ring, 50, 1);
    assert_eq!(drain(arena, ring, 30).len(), 30);
    assert_eq!(ring.discard(&arena), 19 + 150);
    assert_eq!(ring.unfinished(), 30);
    drop(handle);
    arena.reap_all();
    arena.check().unwrap();
    assert_eq!(arena.usage().objects, 0);
}

/// Takers that live and die at random, against a deque: returned messages in order, then the rest.
#[test]
fn a_kept_ring_is_a_queue_with_claims() {
    let _alone = alone();
    let mut random = Random(support::seed());
    let arena = Arena::shared(0).unwrap();
    for _ in 0..20 {
        let words = random.next() as u32;
        let (handle, ring) = ring_at(arena, Ring::new_at(0, 0, words >> 3, words));
        ring.keep_taken(0);
        let (mut queue, mut mine) = (VecDeque::new(), VecDeque::new()); // (number, deliveries so far)
        let mut next = 0;
        for _ in 0..40 {
            match random.below(5) {
                0 | 1 => {
                    for _ in 0..=random.below(20) {
                        next += 1;
                        put(arena, ring, &payload(next, random.size(3000)), &[&block(arena, 80, next as u8)]);
                        queue.push_back((next, 0));
                    }
                }
                2 => {
                    let most = random.below(10) as usize;
                    let most = most.min(queue.len());
                    let expected: Vec<_> = queue.drain(..most).map(|(number, before)| (number, before + 1)).collect();
                    assert_eq!(drain(arena, ring, most), expected);
                    mine.extend(expected);
                }
                3 => {
                    for _ in 0..random.below(10) {
                        // One's own oldest; without one nobody has any, so that it is the next to be taken.
                        mine.make_contiguous().sort_unstable();
                        let Some(_) = mine.pop_front() else { break };
                        assert!(done(arena, ring));
                    }
                }
                _ => {
                    let count = (random.below(12) as usize).min(queue.len());
                    let acknowledged = (random.below(6) as usize).min(count);
                    die_with(arena, ring, count, acknowledged);
                    queue.drain(..acknowledged);
                    queue.iter_mut().take(count - acknowledged).for_each(|(_, deliveries)| *deliveries += 1);
                }
            }
            assert_eq!(ring.len() as usize, queue.len());
            assert_eq!(ring.unfinished() as usize, queue.len() + mine.len());
        }
        let expected: Vec<_> = queue.drain(..).map(|(number, before)| (number, before + 1)).collect();
        assert_eq!(drain(arena, ring, expected.len()), expected);
        drop(handle);
        arena.reap_all();
        arena.check().unwrap();
        assert_eq!(arena.usage().objects, 0);
    }
}
