//! Random operations on a ring and on the heap, against the plainest model of each.
#![allow(clippy::pedantic)] // of a test one asks less
#![cfg(not(loom))]

mod support;

use procession_core::arena::{Arena, Handle, Kind};
use procession_core::error::{GetError, PutError};
use procession_core::ring::{Message, Ring, Wait};
use std::collections::{HashMap, VecDeque};
use support::{Random, block, payload, ring_at};

struct Model {
    items: VecDeque<(Vec<u8>, Vec<u8>)>, // payload, and the byte that fills each attached block
    most: usize,
    closed: bool,
}

fn put_some(arena: &'static Arena, ring: &Ring, model: &mut Model, random: &mut Random, next: &mut u64) {
    let most = if random.below(4) == 0 { 40 } else { 3 };
    let count = 1 + random.below(most) as usize;
    let largest = if random.below(20) == 0 { 70_000 } else { 2_000 };
    let mut messages = Vec::new();
    for _ in 0..count {
        *next += 1;
        let bytes = payload(*next, random.size(largest));
        let blocks: Vec<Handle> = (0..[0, 0, 0, 1, 3][random.below(5) as usize])
            .map(|index| block(arena, 64 + random.below(5000) as usize, (*next + index) as u8))
            .collect();
        messages.push((bytes, blocks));
    }
    let offsets: Vec<Vec<u64>> =
        messages.iter().map(|(_, blocks)| blocks.iter().map(Handle::offset).collect()).collect();
    let views: Vec<Message<'_>> = messages
        .iter()
        .zip(&offsets)
        .map(|((bytes, _), offsets)| Message { payload: bytes, attachments: offsets })
        .collect();
    let room = if model.most == 0 { count } else { count.min(model.most - model.items.len()) };
    match arena.put(ring, &views, Wait::Never) {
        Ok((put, _)) => {
            assert!(!model.closed && put > 0 && put <= room);
            assert!(put == room || ring.is_bounded_by_bytes(), "{put} of {room}");
            for (bytes, blocks) in messages.into_iter().take(put) {
                // SAFETY: the block was filled and has at least one byte.
                let fill = blocks.iter().map(|block| unsafe { block.contents().read() }).collect();
                model.items.push_back((bytes, fill));
            }
        }
        Err(PutError::Closed) => assert!(model.closed),
        Err(PutError::Full) => assert!(room == 0 || ring.is_bounded_by_bytes()),
        Err(PutError::TooLarge { .. }) => assert!(ring.is_bounded_by_bytes()),
        Err(error) => panic!("{error:?}"),
    }
}

fn get_some(arena: &'static Arena, ring: &Ring, model: &mut Model, random: &mut Random) {
    let most = 1 + random.below(30) as usize;
    let (mut got, mut handles) = (Vec::new(), Vec::new());
    let before = ring.position().0;
    let taken = ring.get(&arena, most, Wait::Never, None, |count, bytes, attachments| {
        assert_eq!(count, before.wrapping_add(got.len() as u32));
        arena.receive(attachments, &mut handles);
        got.push((bytes.to_vec(), attachments.len()));
        true
    });
    match taken {
        Ok(taken) => assert_eq!((taken, taken), (got.len(), most.min(model.items.len()))),
        Err(GetError::Empty) => assert!(model.items.is_empty() && !model.closed),
        Err(GetError::Closed) => assert!(model.items.is_empty() && model.closed),
        Err(error) => panic!("{error:?}"),
    }
    let mut handles = handles.into_iter();
    for (bytes, attached) in got {
        let (expected, fill) = model.items.pop_front().unwrap();
        assert_eq!(bytes, expected);
        assert_eq!(attached, fill.len());
        for (handle, byte) in handles.by_ref().take(attached).zip(fill) {
            // SAFETY: the handle keeps the block, which was filled over its whole size.
            let contents = unsafe { std::slice::from_raw_parts(handle.contents(), handle.size() as usize) };
            assert!(contents.iter().all(|&found| found == byte));
        }
    }
}

/// One life of a ring: made, used, perhaps closed, dropped with what is left in it.
fn live(arena: &'static Arena, random: &mut Random, steps: usize) {
    let most = [0, 1, 5, 100][random.below(4) as usize];
    let bytes = [0, 0, 4096, 100_000][random.below(4) as usize];
    // Close to where positions (in words) and counts of messages wrap around.
    let (messages, words) = match random.below(3) {
        0 => (0, 0),
        1 => (u32::MAX - random.below(300) as u32, u32::MAX - random.below(20_000) as u32),
        _ => (random.next() as u32, random.next() as u32),
    };
    let (handle, ring) = ring_at(arena, Ring::new_at(most, bytes, messages, words));
    let mut model = Model { items: VecDeque::new(), most: most as usize, closed: false };
    let mut next = random.next() >> 20;
    for _ in 0..steps {
        match random.below(400) {
            0 if !model.closed => {
                ring.close(&arena);
                model.closed = true;
            }
            1..=200 => put_some(arena, ring, &mut model, random, &mut next),
            _ => get_some(arena, ring, &mut model, random),
        }
        assert_eq!(ring.len() as usize, model.items.len());
        assert!(bytes == 0 || ring.bytes() <= bytes.next_multiple_of(4096) * 2);
    }
    drop(handle);
}

#[test]
fn a_ring_is_a_queue() {
    let mut random = Random(support::seed());
    let arena = Arena::shared(0).unwrap();
    for _ in 0..150 {
        live(arena, &mut random, 200);
        arena.check().unwrap();
        assert_eq!((arena.usage().objects, arena.usage().used), (0, 0), "all that was in a dropped ring is gone");
    }
}

#[test]
fn blocks_do_not_overlap_and_come_back() {
    let mut random = Random(support::seed());
    let arena = Arena::private().unwrap();
    let mut live: HashMap<u64, (Handle, usize, u8)> = HashMap::new();
    let mut most = 0;
    for step in 0..4000 {
        if live.len() < 300 && random.below(100) < 53 {
            let largest = if random.below(50) == 0 { 3 << 20 } else { 20_000 };
            let size = random.size(largest).max(1);
            let handle = arena.allocate(Kind::Block, size as u64).unwrap();
            // SAFETY: the block has that many bytes.
            unsafe { handle.contents().write_bytes(step as u8, size) };
            assert!(live.insert(handle.offset(), (handle, size, step as u8)).is_none());
        } else if let Some(&offset) = live.keys().nth(random.below(live.len().max(1) as u64) as usize) {
            let (handle, size, byte) = live.remove(&offset).unwrap();
            // SAFETY: the handle keeps the block; it was filled.
            let contents = unsafe { std::slice::from_raw_parts(handle.contents(), size) };
            assert!(contents.iter().all(|&found| found == byte), "somebody else wrote into a block");
        }
        most = most.max(arena.usage().used);
        assert_eq!(arena.usage().objects, live.len() as u64);
        if step % 500 == 0 {
            arena.check().unwrap();
        }
    }
    live.clear();
    arena.check().unwrap();
    let usage = arena.usage();
    assert_eq!((usage.used, usage.objects), (0, 0));
    assert!(usage.warm <= most + (256 << 20));
}
