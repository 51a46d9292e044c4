//! The ring under loom: every interleaving (within bounded preemption) of putters, getters, growth and closing.
//!
//! The bytes of the storage are plain memory, which loom does not watch. What it does watch is a cell for each
//! message, written before the message is put and read as it is taken: if the commit did not order the two, loom
//! reports a data race. Sleeps do not end by themselves here, so that a lost wake-up is a deadlock.
#![allow(clippy::pedantic)] // of a test one asks less
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use procession_core::error::{ArenaError, Corrupted, GetError};
use procession_core::owner::{Liveness, OwnerId};
use procession_core::ring::{Message, Ring, Side, Storage, Wait, Watcher};
use procession_core::sys::Bell;
use std::sync::Mutex;

/// A storage in this process's memory. Buffer number n has the offset 64 (n + 1). The lock is the standard library's, which
/// loom does not see: with loom's, it would order for the ring what the ring itself must order.
struct Memory(Mutex<Vec<Box<[u64]>>>, Chime);

/// The watcher's bell. Read and changed in one order, as the kernel does it, which orders nothing else.
#[derive(Default)]
struct Chime(loom::sync::atomic::AtomicBool);

impl Bell for Chime {
    fn ring(&self) {
        self.0.swap(true, loom::sync::atomic::Ordering::Relaxed);
    }
    fn rings(&self) -> bool {
        self.0.fetch_or(false, loom::sync::atomic::Ordering::Relaxed)
    }
    fn silence(&self) {
        self.0.swap(false, loom::sync::atomic::Ordering::Relaxed);
    }
}

impl Liveness for Memory {
    fn is_alive(&self, _owner: OwnerId) -> bool {
        true
    }
}

impl Storage for Memory {
    fn me(&self) -> OwnerId {
        OwnerId::new(0, 0)
    }

    fn bytes(&self, buffer: u64, _length: u64) -> Result<*mut u8, Corrupted> {
        Ok(self.0.lock().unwrap()[buffer as usize / 64 - 1].as_mut_ptr().cast())
    }

    fn allocate(&self, capacity: u64) -> Result<u64, ArenaError> {
        let mut buffers = self.0.lock().unwrap();
        buffers.push(vec![0; capacity as usize / 8].into_boxed_slice());
        Ok(buffers.len() as u64 * 64)
    }

    fn reach(&self, _ring: &Ring, _watcher: Watcher) -> bool {
        self.1.ring();
        true
    }

    fn exchange(&self, word: &loom::sync::atomic::AtomicU64, value: u64, _new: u64, old: u64) -> Result<(), Corrupted> {
        word.store(value, loom::sync::atomic::Ordering::Release);
        if old != 0 {
            // Poisoned, so that whoever still reads it sees a wrong message.
            self.0.lock().unwrap()[old as usize / 64 - 1].fill(u64::MAX);
        }
        Ok(())
    }
}

struct Scene {
    ring: Ring,
    memory: Memory,
    /// What each message stands for.
    cells: Vec<UnsafeCell<u8>>,
}

fn model(max_items: u32, work: impl Fn(Arc<Scene>) + Send + Sync + 'static) {
    model_with(2, max_items, work);
}

fn model_with(preemptions: usize, max_items: u32, work: impl Fn(Arc<Scene>) + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        work(Arc::new(Scene {
            ring: Ring::new_at(max_items, 0, u32::MAX, u32::MAX - 3),
            memory: Memory(Mutex::new(Vec::new()), Chime::default()),
            cells: (0..4).map(|_| UnsafeCell::new(0)).collect(),
        }))
    });
}

impl Scene {
    fn put(&self, number: u8, size: usize) {
        self.cells[number as usize].with_mut(|cell| {
            // SAFETY: only the putter of this message writes the cell, before the message exists.
            unsafe { *cell = number }
        });
        let payload = vec![number; size];
        let message = [Message { payload: &payload, attachments: &[] }];
        while self.ring.put(&self.memory, &message, Wait::Until(None)).is_err() {}
    }

    /// One message, or None when the ring is closed.
    fn take(&self) -> Option<u8> {
        loop {
            let mut found = 0;
            let taken = self.ring.get(&self.memory, 1, Wait::Until(None), None, |_, payload, _| {
                found = payload[0];
                assert!(payload.iter().all(|&byte| byte == found), "torn");
                self.cells[found as usize].with(|cell| {
                    // SAFETY: written before the message was put, by the commit's ordering; loom checks that.
                    assert_eq!(unsafe { *cell }, found);
                });
                true
            });
            match taken {
                Ok(_) => return Some(found),
                Err(GetError::Closed) => return None,
                Err(_) => {}
            }
        }
    }
}

#[test]
fn a_getter_sees_what_its_putter_wrote() {
    model(0, |scene| {
        let putter = thread::spawn({
            let scene = scene.clone();
            move || {
                scene.put(1, 8);
                scene.put(2, 8);
            }
        });
        assert_eq!([scene.take(), scene.take()], [Some(1), Some(2)]);
        putter.join().unwrap();
    });
}

#[test]
fn two_putters_and_one_place() {
    model(1, |scene| {
        let putters = [1, 2].map(|number| {
            let scene = scene.clone();
            thread::spawn(move || scene.put(number, 8))
        });
        let (first, second) = (scene.take(), scene.take());
        assert_eq!(first.max(second), Some(2));
        assert_ne!(first, second);
        putters.into_iter().for_each(|putter| putter.join().unwrap());
    });
}

#[test]
fn two_getters_share_two_messages() {
    model(0, |scene| {
        let getters = [(); 2].map(|()| {
            let scene = scene.clone();
            thread::spawn(move || scene.take().unwrap())
        });
        scene.put(1, 8);
        scene.put(2, 8);
        let taken: u8 = getters.into_iter().map(|getter| getter.join().unwrap()).sum();
        assert_eq!(taken, 3);
    });
}

#[test]
fn the_ring_grows_while_it_is_read() {
    model(0, |scene| {
        scene.put(1, 3000);
        let putter = thread::spawn({
            let scene = scene.clone();
            move || scene.put(2, 3000)
        });
        assert_eq!([scene.take(), scene.take()], [Some(1), Some(2)]);
        putter.join().unwrap();
    });
}

#[test]
fn closing_wakes_the_getter_and_loses_nothing() {
    model(0, |scene| {
        let getter = thread::spawn({
            let scene = scene.clone();
            move || (scene.take(), scene.take())
        });
        scene.put(1, 8);
        scene.ring.close(&scene.memory);
        assert_eq!(getter.join().unwrap(), (Some(1), None));
    });
}

#[test]
fn a_joiner_sees_what_was_done() {
    model(0, |scene| {
        scene.put(1, 8);
        let worker = thread::spawn({
            let scene = scene.clone();
            move || {
                scene.take();
                scene.cells[3].with_mut(|cell| {
                    // SAFETY: the joiner reads it only after `task_done`.
                    unsafe { *cell = 7 }
                });
                assert!(scene.ring.task_done(&scene.memory, Wait::Never).unwrap());
            }
        });
        while scene.ring.join(&scene.memory, None).is_err() {}
        // SAFETY: the work is done, by the ordering that loom checks.
        scene.cells[3].with(|cell| assert_eq!(unsafe { *cell }, 7));
        worker.join().unwrap();
    });
}

/// As `model`, over a ring that keeps what is taken. (With two preemptions a joiner that looks at the tail first passes.)
fn kept(preemptions: usize, work: impl Fn(Arc<Scene>) + Send + Sync + 'static) {
    model_with(preemptions, 0, move |scene| {
        scene.ring.keep_taken(0);
        work(scene);
    });
}

#[test]
fn a_joiner_misses_no_work_that_work_has_put() {
    kept(4, |scene| {
        scene.put(1, 8);
        let worker = thread::spawn({
            let scene = scene.clone();
            move || {
                scene.take();
                scene.put(2, 8); // before the first is done
                scene.done();
                scene.take();
                scene.cells[3].with_mut(|cell| {
                    // SAFETY: the joiner reads it only after the last acknowledgement.
                    unsafe { *cell = 7 }
                });
                scene.done();
            }
        });
        while scene.ring.join(&scene.memory, None).is_err() {}
        // SAFETY: the work is done, by the ordering that loom checks.
        scene.cells[3].with(|cell| assert_eq!(unsafe { *cell }, 7));
        worker.join().unwrap();
    });
}

/// A process of its own.
struct Mortal<'a>(&'a Memory, OwnerId, &'a loom::sync::atomic::AtomicBool);

impl Liveness for Mortal<'_> {
    fn is_alive(&self, owner: OwnerId) -> bool {
        owner != OwnerId::new(1, 0) || !self.2.load(loom::sync::atomic::Ordering::Acquire)
    }
}

impl Storage for Mortal<'_> {
    fn me(&self) -> OwnerId {
        self.1
    }
    fn bytes(&self, buffer: u64, length: u64) -> Result<*mut u8, Corrupted> {
        self.0.bytes(buffer, length)
    }
    fn allocate(&self, capacity: u64) -> Result<u64, ArenaError> {
        self.0.allocate(capacity)
    }
    fn exchange(&self, word: &loom::sync::atomic::AtomicU64, value: u64, new: u64, old: u64) -> Result<(), Corrupted> {
        self.0.exchange(word, value, new, old)
    }
}

#[test]
fn what_a_dead_getter_had_is_taken_once_more() {
    kept(2, |scene| {
        let dead = Arc::new(loom::sync::atomic::AtomicBool::new(false));
        scene.put(1, 8);
        scene.put(2, 8);
        let take = |scene: &Scene, place, dead: &loom::sync::atomic::AtomicBool| {
            let mut found = None;
            let storage = Mortal(&scene.memory, OwnerId::new(place, 0), dead);
            let _ = scene.ring.take(&storage, 1, Wait::Never, None, |message| {
                found = Some((message.payload[0], message.deliveries));
                false
            });
            found
        };
        let mortal = thread::spawn({
            let (scene, dead) = (scene.clone(), dead.clone());
            move || {
                let found = take(&scene, 1, &dead);
                dead.store(true, loom::sync::atomic::Ordering::Release);
                found
            }
        });
        let mut found = vec![take(&scene, 2, &dead)];
        let lost = mortal.join().unwrap();
        while let Some(message) = take(&scene, 2, &dead) {
            found.push(Some(message));
        }
        let mut found: Vec<_> = found.into_iter().flatten().collect();
        found.sort_unstable();
        let times = |number| 1 + u32::from(lost.is_some_and(|(taken, _)| taken == number));
        assert_eq!(found, [(1, times(1)), (2, times(2))]);
        assert_eq!(scene.ring.unfinished(), 2);
    });
}

impl Scene {
    fn done(&self) {
        while self.ring.task_done(&self.memory, Wait::Until(None)).is_err() {}
    }

    fn attune(&self, slot: usize) {
        while self.ring.attune(&self.memory, Side::Items, slot, &self.memory.1).is_err() {
            thread::yield_now();
        }
    }

    fn watch(&self) -> usize {
        self.ring.prepare(&self.memory).unwrap();
        self.ring.enrol(&self.memory, Side::Items, 0, 0).unwrap()
    }

    /// One message, if there is one now.
    fn try_take(&self) -> bool {
        self.ring.get(&self.memory, 1, Wait::Never, None, |_, _, _| false).is_ok()
    }
}

#[test]
fn a_bell_misses_no_message() {
    model(0, |scene| {
        let slot = scene.watch();
        let putter = thread::spawn({
            let scene = scene.clone();
            move || scene.put(1, 8)
        });
        scene.attune(slot);
        putter.join().unwrap();
        assert!(scene.memory.1.rings());
    });
}

#[test]
fn of_two_putters_one_rings() {
    model(0, |scene| {
        let slot = scene.watch();
        scene.attune(slot);
        let putter = thread::spawn({
            let scene = scene.clone();
            move || scene.put(1, 8)
        });
        scene.put(2, 8);
        putter.join().unwrap();
        assert!(scene.memory.1.rings());
    });
}

#[test]
fn a_bell_does_not_ring_for_what_was_taken() {
    model(0, |scene| {
        let slot = scene.watch();
        scene.attune(slot);
        let putter = thread::spawn({
            let scene = scene.clone();
            move || scene.put(1, 8)
        });
        let taken = scene.try_take();
        if taken {
            scene.attune(slot); // as after every get that leaves the ring empty
        }
        putter.join().unwrap();
        assert_eq!(scene.memory.1.rings(), !taken);
    });
}
