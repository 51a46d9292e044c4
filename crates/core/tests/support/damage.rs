//! Operations on an arena and damage to it, in whatever order bytes say: each operation may give anything or an error, but
//! must end, and must not touch what lies outside the arena. For `tests/damage.rs` and the fuzz target of that name.
//!
//! One arena serves all runs: what stands in it is put back before each. Lock words are damaged, but never so that
//! they name the only process there is, nor is the table of processes: a lock whose owner lives is waited for.

use procession_core::arena::{Arena, Handle, Kind, Watching};
use procession_core::heap::{BLOCK_HEADER, START};
use procession_core::ring::{Message, Ring, Side, Wait};
use std::time::Instant;

/// Bytes at the start of the arena that are put back: header, tables, and the blocks of a run.
const EXTENT: usize = START as usize + (1 << 20);
const TABLE: std::ops::Range<usize> = 4096..69696;

/// The arena with one ring in it, and how it looked.
pub struct Scene {
    arena: &'static Arena,
    ring: &'static Ring,
    ring_handle: Handle,
    /// One that keeps what is taken.
    kept: &'static Ring,
    kept_handle: Handle,
    block: Handle,
    before: Vec<u8>,
}

fn now() -> Wait {
    Wait::Until(Some(Instant::now()))
}

fn ring_in(arena: &'static Arena) -> Option<(Handle, &'static Ring)> {
    let handle = arena.allocate(Kind::Ring, size_of::<Ring>() as u64).ok()?;
    let place = handle.contents().cast::<Ring>();
    // SAFETY: fresh and large enough; the handle is kept as long as the reference is used.
    unsafe {
        place.write(Ring::new(0, 0));
        Some((handle, &*place))
    }
}

impl Scene {
    /// An arena with a ring of a few messages, some with blocks.
    pub fn new() -> Self {
        let arena = Arena::shared(0).expect("an arena");
        let (ring_handle, ring) = ring_in(arena).expect("room");
        let (kept_handle, kept) = ring_in(arena).expect("room");
        kept.keep_taken(0);
        let block = arena.allocate(Kind::Block, 300).expect("room");
        let mut scene = Self { arena, ring, ring_handle, kept, kept_handle, block, before: Vec::new() };
        for size in [0, 8, 100, 3000] {
            for ring in [ring, kept] {
                scene.put(ring, size, None);
                scene.put(ring, size, Some(&scene.block));
            }
        }
        scene.get(kept, 5);
        drop(arena.allocate(Kind::Block, 1000).expect("room")); // something on a list of free blocks
        // SAFETY: the start of the arena, which is larger.
        scene.before = unsafe { std::slice::from_raw_parts(scene.base(), EXTENT) }.to_vec();
        scene
    }

    fn base(&self) -> *mut u8 {
        // SAFETY: the arena starts so many bytes before the contents of a block.
        unsafe { self.ring_handle.contents().sub((self.ring_handle.offset() + BLOCK_HEADER) as usize) }
    }

    fn restore(&self) {
        // SAFETY: as in `new`; only this thread uses the arena.
        unsafe { std::ptr::copy_nonoverlapping(self.before.as_ptr(), self.base(), EXTENT) };
    }

    fn put(&self, ring: &Ring, size: usize, attached: Option<&Handle>) {
        let (payload, offset) = (vec![7; size], attached.map(Handle::offset));
        let attachments = offset.as_slice();
        let _ = self.arena.put(ring, &[Message { payload: &payload, attachments }], now());
    }

    fn get(&self, ring: &Ring, most: usize) -> usize {
        let (mut handles, mut total) = (Vec::new(), 0);
        let _ = ring.get(&self.arena, most, now(), None, |_, payload, attachments| {
            total += payload.iter().map(|&byte| usize::from(byte)).sum::<usize>();
            self.arena.receive(attachments, &mut handles);
            total < 1 << 20
        });
        total
    }

    /// Write `value` over the 4 bytes at `at`, which an input chose.
    fn damage(&self, at: u64, value: u32) {
        let (header, blocks) = (4096, self.ring_handle.offset() as usize);
        // Where most of what matters stands: the header, the ring, the first blocks; else anywhere.
        let at = match at % 4 {
            0 => (at >> 2) as usize % header,
            1 => blocks + (at >> 2) as usize % (BLOCK_HEADER as usize + size_of::<Ring>()),
            2 => blocks + (at >> 2) as usize % 16384,
            _ => (at >> 2) as usize % EXTENT,
        } & !3;
        let names_the_living = value & 0x7fff_ffff == self.arena.me().bits();
        if !TABLE.contains(&at) && !names_the_living {
            // SAFETY: within the arena, aligned, and only this thread uses it.
            unsafe { self.base().add(at).cast::<u32>().write(value) };
        }
    }

    /// What was damaged may lead ordinary writes over a lock word, and these write small numbers, such as the only
    /// process there is.
    fn free_what_the_living_hold(&self) {
        let [ring, kept] =
            [&self.ring_handle, &self.kept_handle].map(|at| at.offset() as usize + BLOCK_HEADER as usize);
        for lock in [48, 52, ring + 64, ring + 128, kept + 64, kept + 128] {
            // SAFETY: as in `damage`; none is held between two operations.
            let word = unsafe { &mut *self.base().add(lock).cast::<u32>() };
            if *word & 0x7fff_ffff == self.arena.me().bits() {
                *word = 0;
            }
        }
    }

    /// Do what `input` says, eight bytes at a time.
    pub fn run(&self, input: &[u8]) {
        self.restore();
        let (arena, mut handles) = (self.arena, Vec::new());
        for step in input.chunks_exact(8) {
            let word = u64::from_le_bytes(step.try_into().expect("eight bytes"));
            self.free_what_the_living_hold();
            let ring = if word >> 16 & 1 == 0 { self.ring } else { self.kept };
            let (operation, small, large) = (word & 15, word >> 4 & 0xfff, word >> 16);
            match operation {
                0 => handles.extend(arena.allocate(Kind::Block, small)),
                1 if !handles.is_empty() => drop(handles.swap_remove(small as usize % handles.len())),
                2 => self.put(ring, small as usize, None),
                3 => self.put(ring, small as usize, handles.last().or(Some(&self.block))),
                4 => _ = self.get(ring, 1 + small as usize % 20),
                5 => handles.extend(arena.open(large, small, None)),
                6 => handles.extend(arena.open(self.block.offset(), self.block.address().1, Some(Kind::Block))),
                7 => _ = (arena.check(), arena.objects().len(), arena.usage()),
                8 => {
                    if let Some((_handle, ring)) = ring_in(arena) {
                        let message = Message { payload: &[1; 40], attachments: &[] };
                        let _ = arena.put(ring, &[message; 3], now());
                        self.get(ring, 2);
                    }
                }
                9 => arena.reap_all(),
                10 => {
                    let watching = Watching::default();
                    let _ = arena.watch(self.ring, Side::Items, &watching);
                    arena.settle_watch(self.ring, Side::Items);
                    arena.unwatch(self.ring, Side::Items, &watching);
                }
                11 => {
                    for handle in handles.iter().filter(|handle| handle.size() < 1 << 16) {
                        let size = handle.size().min(small) as usize;
                        handle.fill(&vec![3; size]);
                    }
                }
                12 => {
                    let _ = (ring.len(), ring.is_full(), ring.bytes(), ring.unfinished());
                    ring.let_time_pass();
                    let _ = ring.task_done(&arena, now());
                    let _ = ring.put_back(&arena, large as u32, &[5; 20], &[]);
                }
                // Damage, half of it by values that are something elsewhere: offsets, small numbers, all ones.
                13 => self.damage(large, word as u32),
                14 => self.damage(large, self.block.offset() as u32 ^ (word as u32 & 0xff0)),
                _ => self.damage(large, [0, 2, u32::MAX, 1 << 31, 64, 0xffff][small as usize % 6]),
            }
        }
        self.free_what_the_living_hold();
        drop(handles);
    }
}
