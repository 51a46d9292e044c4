//! What shared memory says is checked where it is used: damage gives errors, never a wild access, a panic or a hang.
//! DAMAGE_SEED=N repeats one of the random runs; `make fuzz` looks for others.
#![allow(clippy::pedantic)] // of a test one asks less
#![cfg(not(loom))]

#[path = "support/damage.rs"]
mod damage;
mod support;

use procession_core::arena::{Arena, Handle, Kind};
use procession_core::error::{ArenaError, Corrupted, GetError, PutError};
use procession_core::heap::{BLOCK_HEADER, START};
use procession_core::ring::{Message, Ring, Wait};
use support::{Random, alone, block, payload, put, ring_at};

/// Some half a second.
const RUNS: u64 = 2000;

#[test]
fn operations_on_a_damaged_arena_end() {
    let _alone = alone();
    let scene = damage::Scene::new();
    let (runs, seed) = match std::env::var("DAMAGE_SEED") {
        Ok(text) => (1, text.parse().unwrap()),
        Err(_) => (RUNS, 1),
    };
    for seed in seed..seed + runs {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let input: Vec<u8> = (0..4 + random.below(60)).flat_map(|_| random.next().to_le_bytes()).collect();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scene.run(&input)));
        assert!(outcome.is_ok(), "DAMAGE_SEED={seed}");
    }
}

/// A word of an arena, `bytes` from where `handle`'s contents start.
fn word(handle: &Handle, bytes: i64) -> *mut u64 {
    handle.contents().wrapping_offset(bytes as isize).cast()
}

fn set(word: *mut u64, value: u64) {
    // SAFETY: a word of a private arena that only this thread uses.
    unsafe { word.write(value) };
}

fn what(found: Result<(), Corrupted>) -> &'static str {
    found.err().map_or("nothing", |found| found.what)
}

struct Scene {
    arena: &'static Arena,
    handle: Handle,
    ring: &'static Ring,
    block: Handle,
}

/// A ring with two messages, the second with a block.
fn scene() -> Scene {
    let arena = Arena::private().unwrap();
    let (handle, ring) = ring_at(arena, Ring::new(0, 0));
    let block = block(arena, 300, 2);
    put(arena, ring, &payload(1, 100), &[]);
    put(arena, ring, &payload(2, 100), &[&block]);
    Scene { arena, handle, ring, block }
}

impl Scene {
    fn get(&self) -> Result<(), Corrupted> {
        let mut handles = Vec::new();
        let sink = |_: u32, _: &[u8], attachments: &[u64]| {
            self.arena.receive(attachments, &mut handles);
            true
        };
        match self.ring.get(&self.arena, 1, Wait::Never, None, sink) {
            Ok(_) => Ok(()),
            Err(GetError::Arena(ArenaError::Corrupted(found))) => Err(found),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn put(&self, size: usize) -> Result<(), Corrupted> {
        let payload = vec![1; size];
        match self.arena.put(self.ring, &[Message { payload: &payload, attachments: &[] }], Wait::Never) {
            Ok(_) => Ok(()),
            Err(PutError::Arena(ArenaError::Corrupted(found))) => Err(found),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn open(&self) -> Result<(), Corrupted> {
        let (offset, serial) = self.block.address();
        match self.arena.open(offset, serial, Some(Kind::Block)) {
            Ok(_) => Ok(()),
            Err(ArenaError::Corrupted(found)) => Err(found),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// The ring's word that names its storage.
    fn storage(&self) -> *mut u64 {
        word(&self.handle, 16)
    }

    /// The first record.
    fn record(&self) -> *mut u64 {
        // SAFETY: as in `set`.
        let buffer = unsafe { self.storage().read() } & !63;
        word(&self.block, buffer as i64 - self.block.offset() as i64)
    }
}

#[test]
fn a_ring_without_its_storage_says_so() {
    let _alone = alone();
    for wrong in [u64::MAX, 1 << 63 | 12, 63, 1 << 40 | 12] {
        let scene = scene();
        set(scene.storage(), wrong);
        assert_ne!(what(scene.get()), "nothing", "{wrong:x}");
        assert_ne!((what(scene.put(8)), what(scene.put(9000))), ("nothing", "nothing"), "{wrong:x}");
    }
}

#[test]
fn a_record_that_leads_out_of_its_storage_is_none() {
    let _alone = alone();
    for wrong in [u64::MAX, 0xffff_ffff, 1 << 31, 0xffff << 32, 1 << 48 | 0xffff_fff8, 1 << 48 | 4000, 4096] {
        let scene = scene();
        set(scene.record(), wrong);
        assert_eq!(what(scene.get()), "a message in a queue", "{wrong:x}");
        assert_eq!(what(scene.put(8)), "nothing", "{wrong:x}: what can go on goes on");
    }
}

#[test]
fn an_attachment_that_is_no_block_is_none() {
    let _alone = alone();
    for wrong in [0, 64, 1, !63, 1 << 46, 4096] {
        let scene = scene();
        assert_eq!(what(scene.get()), "nothing");
        set(word(&scene.block, scene.record() as i64 - scene.block.contents() as i64 + 8 * 15 + 8), wrong);
        assert_eq!(what(scene.get()), "a message in a queue", "{wrong:x}");
    }
}

#[test]
fn a_position_beyond_what_was_put_is_found_before_anything_is_copied() {
    let _alone = alone();
    for wrong in [u64::MAX, 1 << 63 | 1 << 31, 5 << 32 | 4096] {
        let scene = scene();
        set(word(&scene.handle, 64 + 16), wrong); // the tail
        assert_ne!(what(scene.put(9000)), "nothing", "{wrong:x}");
    }
}

#[test]
fn a_block_whose_header_makes_no_sense_cannot_be_opened() {
    let _alone = alone();
    let header = -(BLOCK_HEADER as i64);
    let scene = scene();
    assert_eq!(what(scene.open()), "nothing");
    // SAFETY: as in `set`.
    let class = unsafe { word(&scene.block, header).read() };
    set(word(&scene.block, header), class | 0xffff << 32);
    assert_eq!(what(scene.open()), "the class of a block");
    assert!(scene.arena.check().is_err());
    set(word(&scene.block, header), class);
    set(word(&scene.block, header + 16), 1 << 40);
    assert_eq!(what(scene.open()), "the size of a block");
    assert!(scene.block.size() < 1 << 46, "not beyond the segment");
}

#[test]
fn a_list_of_free_blocks_that_leads_elsewhere_gives_no_block() {
    let _alone = alone();
    for wrong in [1, 64, u64::MAX, 1 << 46, START] {
        let scene = scene();
        let freed = block(scene.arena, 5000, 3);
        let start = word(&scene.block, -(scene.block.offset() as i64 + BLOCK_HEADER as i64));
        drop(freed);
        for place in (152..4096).step_by(8) {
            let head = start.wrapping_byte_add(place);
            // SAFETY: as in `set`, within the header.
            if unsafe { head.read() } != 0 {
                set(head, wrong);
            }
        }
        let found = scene.arena.allocate(Kind::Block, 5000);
        assert!(matches!(found, Err(ArenaError::Corrupted(_))), "{wrong:x}: {found:?}");
        scene.arena.allocate(Kind::Block, 60_000).expect("of another size");
    }
}

#[test]
fn a_lock_word_that_names_nobody_is_taken_over() {
    let _alone = alone();
    for wrong in [1u64 << 31, 0xffff, 0x7fff_ffff, 0x1234_5678] {
        let scene = scene();
        let lock = word(&scene.block, 48 - (scene.block.offset() as i64 + BLOCK_HEADER as i64));
        set(lock, wrong);
        assert_eq!(what(scene.open()), "nothing", "{wrong:x}");
        scene.arena.check().unwrap();
    }
}

/// Found by fuzzing: sums of what the header says must not wrap around.
#[test]
fn counters_that_make_no_sense_make_the_arena_full() {
    let _alone = alone();
    let scene = scene();
    let start = word(&scene.block, -(scene.block.offset() as i64 + BLOCK_HEADER as i64));
    set(start.wrapping_byte_add(64), u64::MAX); // bytes in use
    let full = |size| matches!(scene.arena.allocate(Kind::Block, size), Err(ArenaError::Full { .. }));
    assert!(full(100));
    set(start.wrapping_byte_add(64), 0);
    set(start.wrapping_byte_add(32), u64::MAX); // the limit
    assert!(full(u64::MAX) && full(u64::MAX - 100));
    scene.arena.allocate(Kind::Block, 100).expect("room");
}
