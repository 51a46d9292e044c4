//! The heap of a segment: what it lays, what it refuses to open, and that a dead process's half-done change is
//! repaired.
#![allow(clippy::pedantic)] // of a test one asks less
#![cfg(not(loom))]

use procession_core::error::ArenaError;
use procession_core::heap::{Duty, Heap, Kind};
use procession_core::owner::OwnerId;
use procession_core::segment::Segment;

const LENGTH: u64 = 1 << 30;

fn heap() -> (Heap, OwnerId) {
    let heap = Heap::create(Segment::private(LENGTH).unwrap(), LENGTH / 2, [1, 2]);
    let me = heap.processes().enter().unwrap();
    (heap, me)
}

fn free(heap: &Heap, me: OwnerId, offset: u64) {
    assert_eq!(heap.drop_hold(me, offset), Duty::TakeApart);
    heap.bury(me, offset);
}

#[test]
fn freed_space_is_used_again_and_counted() {
    let (heap, me) = heap();
    let sizes = [1, 64, 65, 1000, 5000, 70_000, 1 << 20, 3 << 20];
    let first: Vec<u64> = sizes.iter().map(|&size| heap.allocate(me, Kind::Block, size).unwrap()).collect();
    let used = heap.usage().used;
    assert!(used >= sizes.iter().sum::<u64>());
    first.iter().for_each(|&offset| free(&heap, me, offset));
    assert_eq!((heap.usage().used, heap.usage().objects), (0, 0));
    let mut again: Vec<u64> = sizes.iter().map(|&size| heap.allocate(me, Kind::Block, size).unwrap()).collect();
    again.sort_unstable(); // lists give back last what came first
    assert_eq!(first, again);
    assert_eq!(heap.usage().used, used);
    heap.check(me).unwrap();
}

#[test]
fn what_is_filled_is_there_whatever_its_size_and_temperature_and_its_neighbours_stay() {
    let heap = Heap::create(Segment::shared(LENGTH).unwrap(), LENGTH / 2, [1, 2]);
    let me = heap.processes().enter().unwrap();
    for size in [1usize, 131_071, 131_072, (1 << 20) - 192, 1 << 20, (1 << 20) + 3905, (3 << 20) + 7] {
        for round in 0..3 {
            // Cold in the first round, warm from then on.
            let offsets: Vec<_> = (0..3).map(|_| heap.allocate(me, Kind::Block, size as u64).unwrap()).collect();
            let bytes: Vec<u8> = (0..size).map(|at| (at / 251 + at + round) as u8).collect();
            for &offset in &offsets {
                heap.fill(me, offset, &bytes);
            }
            for &offset in &offsets {
                // SAFETY: the block has `size` bytes, all written.
                let found = unsafe { std::slice::from_raw_parts(heap.contents(offset), size) };
                assert!(found == bytes, "{size} bytes, round {round}");
                assert_eq!(heap.describe(offset).2, size as u64);
            }
            offsets.iter().for_each(|&offset| free(&heap, me, offset));
            heap.check(me).unwrap();
        }
    }
}

#[test]
fn many_fill_at_once() {
    let heap = Heap::create(Segment::shared(LENGTH).unwrap(), LENGTH / 2, [1, 2]);
    let me = heap.processes().enter().unwrap();
    std::thread::scope(|scope| {
        for byte in 1..5u8 {
            let heap = &heap;
            // Processes as far as the heap is concerned: each has a place of its own.
            let other = heap.processes().enter().unwrap();
            scope.spawn(move || {
                let bytes = vec![byte; 5 << 20];
                for _ in 0..4 {
                    let offset = heap.allocate(other, Kind::Block, bytes.len() as u64).unwrap();
                    heap.fill(other, offset, &bytes);
                    // SAFETY: the block has so many bytes, all written.
                    let found = unsafe { std::slice::from_raw_parts(heap.contents(offset), bytes.len()) };
                    assert!(found == bytes);
                }
            });
        }
    });
    heap.check(me).unwrap();
}

#[test]
fn a_new_ring_is_zeroes_whatever_stood_there() {
    let (heap, me) = heap();
    let offset = heap.allocate(me, Kind::Block, 500).unwrap();
    // SAFETY: the block has 500 bytes.
    unsafe { heap.contents(offset).write_bytes(0xff, 500) };
    free(&heap, me, offset);
    assert_eq!(heap.allocate(me, Kind::Ring, 500).unwrap(), offset);
    // SAFETY: as above.
    assert!(unsafe { std::slice::from_raw_parts(heap.contents(offset), 500) }.iter().all(|&byte| byte == 0));
}

#[test]
fn who_does_not_hold_a_block_cannot_be_its_last_holder() {
    let (heap, me) = heap();
    let other = heap.processes().enter().unwrap();
    let offset = heap.allocate(me, Kind::Block, 100).unwrap();
    assert_eq!(heap.drop_hold(other, offset), Duty::None);
    free(&heap, me, offset);
    assert_eq!(heap.drop_hold(other, offset), Duty::None);
    heap.check(me).unwrap();
}

#[test]
fn a_second_reaper_leaves_the_next_user_of_the_place_alone() {
    let (heap, me) = heap();
    let dead = heap.processes().reserve().unwrap();
    assert!(heap.take_back(me, dead).is_empty());
    let next = heap.processes().enter().unwrap();
    assert_eq!(next.place(), dead.place());
    let offset = heap.allocate(next, Kind::Block, 100).unwrap();
    assert!(heap.take_back(me, dead).is_empty());
    assert!(!heap.processes().leave(dead));
    assert!(heap.processes().identity(next).is_some());
    assert_eq!(heap.holders(offset).1, [next.place()]);
}

#[test]
fn more_than_the_limit_is_refused_without_harm() {
    let (heap, me) = heap();
    assert!(matches!(heap.allocate(me, Kind::Block, u64::MAX), Err(ArenaError::Full { .. })));
    assert!(matches!(heap.allocate(me, Kind::Block, LENGTH), Err(ArenaError::Full { .. })));
    let mut held = Vec::new();
    while let Ok(offset) = heap.allocate(me, Kind::Block, 16 << 20) {
        held.push(offset);
    }
    assert!(heap.usage().used <= heap.usage().limit && held.len() > 10);
    held.into_iter().for_each(|offset| free(&heap, me, offset));
    heap.check(me).unwrap();
}

#[test]
fn what_is_no_heap_of_ours_is_not_opened() {
    let lay = || Segment::shared(LENGTH).unwrap();
    assert!(matches!(Heap::open(lay(), [0, 0]), Err(ArenaError::NotAnArena(_))), "zeroes");
    let segment = lay();
    let copy = Segment::attach(segment.fd()).unwrap();
    let _heap = Heap::create(segment, LENGTH, [1, 2]);
    assert!(matches!(Heap::open(Segment::attach(copy.fd()).unwrap(), [1, 3]), Err(ArenaError::NotAnArena(_))));
    assert!(Heap::open(Segment::attach(copy.fd()).unwrap(), [1, 2]).is_ok());
    // SAFETY: the second word of the header is its length; nobody else uses this segment.
    unsafe { copy.base().cast::<u64>().add(1).write(77) };
    assert!(matches!(Heap::open(Segment::attach(copy.fd()).unwrap(), [1, 2]), Err(ArenaError::NotAnArena(_))));
}
