//! Death at every numbered step: each scenario runs in a child that dies at its first step, then at its second, and
//! so on until it gets through. After each death the others must be able to go on at once, and nothing of the dead
//! may remain.
#![allow(clippy::pedantic)] // of a test one asks less
#![cfg(not(loom))]

mod support;

use procession_core::arena::{Arena, Handle, Kind, Watching};
use procession_core::failpoint;
use procession_core::lock::{Acquired, OwnerLock};
use procession_core::ring::{Message, Ring, Side, Wait};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use support::{alone, block, contents, fork, kill, number_of, payload, place, put, readable, ring_at, take, wait};

const SOON: Duration = Duration::from_secs(2);

fn arena() -> &'static Arena {
    static ARENA: OnceLock<&'static Arena> = OnceLock::new();
    ARENA.get_or_init(|| Arena::shared(0).unwrap())
}

/// What a scenario starts with: a ring with two messages in it, one with a block.
struct Scene {
    arena: &'static Arena,
    handle: Handle,
    ring: &'static Ring,
}

fn scene() -> Scene {
    scene_with(Ring::new(0, 0))
}

fn scene_with(ring: Ring) -> Scene {
    let arena = arena();
    let (handle, ring) = ring_at(arena, ring);
    put(arena, ring, &payload(1, 100), &[]);
    put(arena, ring, &payload(2, 100), &[&block(arena, 300, 2)]);
    Scene { arena, handle, ring }
}

fn check_blocks(handles: &[Handle], number: u64) {
    for handle in handles {
        assert!(contents(handle).iter().all(|&byte| byte == number as u8), "block of message {number}");
    }
}

/// Everything in the ring, checked to be whole.
fn drain(scene: &Scene) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some((bytes, handles)) = take(scene.arena, scene.ring, Duration::ZERO) {
        let number = number_of(&bytes);
        check_blocks(&handles, number);
        numbers.push(number);
    }
    numbers
}

/// Run `work` in children that die at step 1, 2, ... until one gets through; after each, `judge` sees what is left
/// in the ring.
fn at_every_step(least: u64, work: impl Fn(&Scene), judge: impl Fn(&[u64])) {
    // What a dead child leaves behind is ours to wait for.
    // SAFETY: a plain flag of this process.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let mut step = 0;
    loop {
        let arena = arena();
        let before = arena.usage().objects;
        let scene = scene();
        step += 1;
        let child = fork(|| {
            failpoint::arm(step);
            work(&scene);
            failpoint::disarm();
        });
        let status = wait(child);
        // SAFETY: waits for whatever grandchild is left, if any.
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
        // Before anybody has reaped: the others go on at once.
        let start = Instant::now();
        put(arena, scene.ring, &payload(99, 5000), &[&block(arena, 700, 99)]);
        let numbers = drain(&scene);
        assert!(start.elapsed() < SOON, "step {step}: {:?} until the others went on", start.elapsed());
        assert_eq!(numbers.last(), Some(&99), "step {step}");
        judge(&numbers[..numbers.len() - 1]);
        arena.processes().expire_reservations(); // a place kept for a child that never came would stay for a minute
        arena.reap_all();
        arena.check().unwrap_or_else(|problem| panic!("step {step}: {problem}"));
        drop(scene);
        arena.check().unwrap_or_else(|problem| panic!("step {step}: {problem}"));
        let left: Vec<_> = arena.objects().into_iter().map(|object| (object, arena.holders(object.0))).collect();
        assert_eq!(arena.usage().objects, before, "step {step}: {left:?}");
        match status {
            0 => break,
            other => assert_eq!(other, -libc::SIGKILL, "step {step}"),
        }
    }
    assert!(step > least, "only {step} steps");
    println!("{step} steps");
}

fn starts_with(numbers: &[u64], expected: &[u64]) {
    assert!(expected.starts_with(numbers) && numbers.len() >= 2, "{numbers:?}");
}

#[test]
fn a_putter() {
    let _alone = alone();
    at_every_step(
        5,
        |scene| {
            let bytes = [payload(3, 10), payload(4, 10), payload(5, 10)];
            let messages = bytes.each_ref().map(|payload| Message { payload, attachments: &[] });
            scene.arena.put(scene.ring, &messages, Wait::Until(None)).unwrap();
        },
        |numbers| assert!([vec![1, 2], vec![1, 2, 3, 4, 5]].contains(&numbers.to_vec()), "{numbers:?}"),
    );
}

#[test]
fn a_putter_of_blocks_while_the_ring_grows() {
    let _alone = alone();
    at_every_step(
        40,
        |scene| {
            let blocks: Vec<_> =
                (3..6).map(|number| [block(scene.arena, 300, number), block(scene.arena, 90, number)]).collect();
            let offsets: Vec<_> = blocks.iter().map(|pair| pair.each_ref().map(Handle::offset)).collect();
            let bytes: Vec<_> = (3..6).map(|number| payload(number, 5000)).collect();
            let messages: Vec<_> =
                bytes.iter().zip(&offsets).map(|(payload, attachments)| Message { payload, attachments }).collect();
            scene.arena.put(scene.ring, &messages, Wait::Until(None)).unwrap();
        },
        |numbers| starts_with(numbers, &[1, 2, 3, 4, 5]),
    );
}

#[test]
fn a_putter_with_a_large_block_half_written() {
    let _alone = alone();
    const LARGE: usize = 5 << 19; // three pieces
    // Blocks of the size that were in use before are warm: in turn with cold ones, which are written with the pen.
    let kept: Vec<_> = (0..2).map(|_| block(arena(), LARGE, 9)).collect();
    at_every_step(
        20,
        |scene| {
            let blocks = [block(scene.arena, LARGE, 3), block(scene.arena, LARGE / 2, 3)];
            put(scene.arena, scene.ring, &payload(3, 10), &[&blocks[0], &blocks[1]]);
        },
        |numbers| starts_with(numbers, &[1, 2, 3]),
    );
    assert!(kept.iter().all(|block| contents(block).iter().all(|&byte| byte == 9)), "written beyond its block");
}

#[test]
fn a_pen_of_the_dead_is_taken_over() {
    let _alone = alone();
    let arena = arena();
    // The third step of a cold block's filling is within the pen; whoever fills next must not be kept waiting.
    for step in 1..12 {
        let child = fork(|| {
            failpoint::arm(step);
            block(arena, (4 << 20) + step as usize, 1);
            failpoint::disarm();
        });
        wait(child);
        let start = Instant::now();
        let handle = block(arena, (6 << 20) + (step as usize) * (2 << 20), 2);
        assert!(contents(&handle).iter().all(|&byte| byte == 2));
        assert!(start.elapsed() < SOON);
        drop(handle);
        arena.reap_all();
        arena.check().unwrap();
    }
}

#[test]
fn a_getter() {
    let _alone = alone();
    at_every_step(
        20,
        |scene| {
            let (first, none) = take(scene.arena, scene.ring, SOON).unwrap();
            assert_eq!((number_of(&first), none.len()), (1, 0));
            let (second, handles) = take(scene.arena, scene.ring, SOON).unwrap();
            check_blocks(&handles, number_of(&second));
        },
        |numbers| assert!([&[1, 2][..], &[2], &[]].contains(&numbers), "{numbers:?}"),
    );
}

#[test]
fn a_getter_of_a_batch_with_a_claim() {
    let _alone = alone();
    let claims = place(arena(), Kind::Claim, procession_core::ring::ClaimCell::default());
    at_every_step(
        10,
        |scene| {
            claims.1.set(0);
            let mut handles = Vec::new();
            let taken = scene.ring.get(&scene.arena, 2, Wait::Until(None), Some(claims.1), |_, _, attachments| {
                scene.arena.receive(attachments, &mut handles);
                true
            });
            assert_eq!(taken.unwrap(), 2);
        },
        |numbers| {
            // One commit takes both here, because the second has the block: who took anything has claimed it before.
            assert!([&[1, 2][..], &[]].contains(&numbers), "{numbers:?}");
            assert!(!numbers.is_empty() || claims.1.get() == 1);
        },
    );
}

#[test]
fn who_opens_allocates_and_drops() {
    let _alone = alone();
    at_every_step(
        40,
        |scene| {
            let (offset, serial) = scene.handle.address();
            let again = scene.arena.open(offset, serial, Some(Kind::Ring)).unwrap();
            let many: Vec<_> = [10, 10, 70_000, 3_000_000].iter().map(|&size| block(scene.arena, size, 7)).collect();
            drop(again.clone());
            drop(many);
            drop(again);
        },
        |numbers| assert_eq!(numbers, [1, 2]),
    );
}

#[test]
fn the_last_user_of_a_ring_full_of_blocks_and_rings() {
    let _alone = alone();
    at_every_step(
        60,
        |scene| {
            let (inner_handle, inner) = ring_at(scene.arena, Ring::new(0, 0));
            put(scene.arena, inner, &payload(7, 6000), &[&block(scene.arena, 100, 7)]);
            let (outer_handle, outer) = ring_at(scene.arena, Ring::new(0, 0));
            put(scene.arena, outer, &payload(8, 10), &[&inner_handle]);
            drop(inner_handle);
            drop(outer_handle);
        },
        |numbers| assert_eq!(numbers, [1, 2]),
    );
}

#[test]
fn who_forks_and_who_is_forked() {
    let _alone = alone();
    at_every_step(
        6,
        |scene| {
            let own = block(scene.arena, 400, 1);
            let grandchild = fork(|| {
                take(scene.arena, scene.ring, SOON).unwrap();
            });
            // One side's counted death must not be the other's: whichever comes first ends here.
            let status = wait(grandchild);
            if status == -libc::SIGKILL {
                kill(std::process::id());
            }
            drop(own);
        },
        |numbers| {
            assert!([&[1, 2][..], &[2]].contains(&numbers), "{numbers:?}");
        },
    );
}

#[test]
fn who_watches() {
    let _alone = alone();
    at_every_step(
        30,
        |scene| {
            let watching = Watching::default();
            scene.arena.watch(scene.ring, Side::Items, &watching).unwrap().unwrap();
            scene.arena.watch(scene.ring, Side::Room, &watching).unwrap().unwrap();
            put(scene.arena, scene.ring, &payload(3, 10), &[]);
            take(scene.arena, scene.ring, SOON).unwrap();
            scene.arena.unwatch(scene.ring, Side::Items, &watching);
        },
        |numbers| assert!([&[1, 2][..], &[1, 2, 3], &[2, 3]].contains(&numbers), "{numbers:?}"),
    );
}

/// A putter that dies between its commit and the bell: whoever looks again finds the message, and the next putter rings.
#[test]
fn who_tells_a_watcher() {
    let _alone = alone();
    let (_handle, ring) = ring_at(arena(), Ring::new(0, 0));
    let watching = Watching::default();
    let watch = || arena().watch(ring, Side::Items, &watching).unwrap().unwrap();
    for step in 1.. {
        let child = fork(|| {
            failpoint::arm(step);
            put(arena(), ring, &payload(3, 10), &[]);
            failpoint::disarm();
        });
        let status = wait(child);
        assert_eq!(readable(watch()), !ring.is_empty(), "step {step}");
        while take(arena(), ring, Duration::ZERO).is_some() {}
        assert!(!readable(watch()), "step {step}");
        assert_eq!(wait(fork(|| put(arena(), ring, &payload(4, 10), &[]))), 0);
        assert!(readable(watch()), "step {step}: the next one does not ring");
        take(arena(), ring, Duration::ZERO).unwrap();
        watch();
        if status == 0 {
            assert!(step > 6, "only {step} steps");
            break;
        }
    }
    arena().unwatch(ring, Side::Items, &watching);
    arena().reap_all();
}

fn die_with_a_ring(scene: &Scene) {
    let (_handle, ring) = ring_at(scene.arena, Ring::new(0, 0));
    take(scene.arena, scene.ring, SOON).unwrap();
    let (_, blocks) = take(scene.arena, scene.ring, SOON).unwrap();
    put(scene.arena, ring, &payload(5, 10), &blocks.iter().collect::<Vec<_>>());
    kill(std::process::id());
}

#[test]
fn who_reaps_the_dead() {
    let _alone = alone();
    at_every_step(
        30,
        |scene| {
            let corpse = failpoint::paused(|| fork(|| die_with_a_ring(scene)));
            wait(corpse);
            assert!(scene.arena.reap(corpse));
        },
        |numbers| assert!(numbers.len() <= 2, "{numbers:?}"),
    );
}

#[test]
fn who_holds_a_lock() {
    let _alone = alone();
    let (_handle, lock) = place(arena(), Kind::Lock, (OwnerLock::new(), AtomicU64::new(0), AtomicU64::new(0)));
    let life = arena().processes();
    at_every_step(
        2,
        |scene| {
            failpoint::step();
            let _ = lock.0.acquire_inner(scene.arena.me(), life);
            failpoint::step();
            lock.1.fetch_add(1, SeqCst);
            failpoint::step();
            lock.2.fetch_add(1, SeqCst);
            failpoint::step();
            lock.0.release();
            failpoint::step();
        },
        |_| {
            let start = Instant::now();
            if let Acquired::Abandoned(_) = lock.0.acquire_inner(arena().me(), life) {
                lock.2.store(lock.1.load(SeqCst), SeqCst);
            }
            assert!(start.elapsed() < SOON);
            assert_eq!(lock.1.load(SeqCst), lock.2.load(SeqCst), "an unfinished change was not announced");
            lock.0.release();
        },
    );
}

// --- a ring that keeps what is taken ------------------------------------------------------------------------------

fn done(scene: &Scene) -> bool {
    scene.ring.task_done(&scene.arena, Wait::Until(None)).unwrap()
}

/// Number and deliveries of all that can be taken, whole; what a dead process had is among it after a moment. In the
/// end nothing is left to do.
fn finish(scene: &Scene) -> Vec<(u64, u32)> {
    let mut found = Vec::new();
    let start = Instant::now();
    while scene.ring.unfinished() > 0 {
        assert!(start.elapsed() < SOON, "{} are unfinished, after {found:?}", scene.ring.unfinished());
        let mut handles = Vec::new();
        scene.ring.let_time_pass();
        let wait = Wait::Until(Some(Instant::now() + Duration::from_millis(100)));
        let taken = scene.ring.take(&scene.arena, 1, wait, None, |message| {
            scene.arena.receive(message.attachments, &mut handles);
            found.push((number_of(message.payload), message.deliveries));
            true
        });
        if taken.is_ok() {
            check_blocks(&handles, found[found.len() - 1].0);
            assert!(done(scene));
        }
    }
    assert!(!done(scene));
    assert!(scene.ring.join(&scene.arena, Some(Instant::now())).is_ok());
    found
}

/// As `at_every_step`, over a ring that keeps what is taken; `judge` sees what the others still had to do.
fn at_every_kept_step(least: u64, prepare: impl Fn(&Scene), work: impl Fn(&Scene), judge: impl Fn(&[(u64, u32)])) {
    let mut step = 0;
    loop {
        let arena = arena();
        let before = arena.usage().objects;
        let ring = Ring::new_at(0, 0, u32::MAX - 1, 0);
        ring.keep_taken(0);
        let scene = scene_with(ring);
        prepare(&scene);
        step += 1;
        let child = fork(|| {
            failpoint::arm(step);
            work(&scene);
            failpoint::disarm();
            kill(std::process::id());
        });
        assert_eq!(wait(child), -libc::SIGKILL, "step {step}");
        let through = scene.ring.max_items() == 1;
        judge(&finish(&scene));
        arena.reap_all();
        arena.check().unwrap_or_else(|problem| panic!("step {step}: {problem}"));
        drop(scene);
        arena.check().unwrap_or_else(|problem| panic!("step {step}: {problem}"));
        let left: Vec<_> = arena.objects().into_iter().map(|object| (object, arena.holders(object.0))).collect();
        assert_eq!(arena.usage().objects, before, "step {step}: {left:?}");
        if through {
            break;
        }
    }
    assert!(step > least, "only {step} steps");
    println!("{step} steps");
}

/// The last of the work: the child got through.
fn through(scene: &Scene) {
    failpoint::disarm();
    scene.ring.set_bounds(1, 0);
}

/// What was put once: each number is there as often, in this order, and was delivered so often or once more.
fn assert_left(found: &[(u64, u32)], expected: &[(u64, u32)]) {
    let numbers = |pairs: &[(u64, u32)]| pairs.iter().map(|pair| pair.0).collect::<Vec<_>>();
    assert_eq!(numbers(found), numbers(expected));
    let deliveries =
        found.iter().zip(expected).all(|(found, least)| (0..=1).contains(&(found.1 as i32 - least.1 as i32)));
    assert!(deliveries, "{found:?}, and not {expected:?}");
}

#[test]
fn a_getter_whose_messages_are_kept() {
    let _alone = alone();
    at_every_kept_step(
        20,
        |scene| (3..40).for_each(|number| put(scene.arena, scene.ring, &payload(number, 200), &[])),
        |scene| {
            // The first table of entries has 32.
            let mut handles = Vec::new();
            let mut take = |most| {
                let taken = scene.ring.take(&scene.arena, most, Wait::Until(None), None, |message| {
                    scene.arena.receive(message.attachments, &mut handles);
                    true
                });
                assert_eq!(taken.unwrap(), most);
            };
            take(3);
            failpoint::paused(|| take(28));
            take(4);
            through(scene);
        },
        |found| {
            // They come back in order, though some of those behind may be taken before that.
            let mut found = found.to_vec();
            assert!(found.iter().filter(|&&(number, _)| number <= 31).is_sorted(), "{found:?}");
            found.sort_unstable();
            let expected: Vec<_> = (1..40).map(|number| (number, 1)).collect();
            assert_left(&found, &expected);
        },
    );
}

#[test]
fn who_acknowledges() {
    let _alone = alone();
    at_every_kept_step(
        30,
        |_| {},
        |scene| {
            let taken = failpoint::paused(|| [(); 2].map(|()| take(scene.arena, scene.ring, SOON).unwrap()));
            assert!(done(scene) && done(scene));
            drop(taken);
            through(scene);
        },
        |found| assert!([&[(1, 2), (2, 2)][..], &[(2, 2)], &[]].contains(&found), "{found:?}"),
    );
}

#[test]
fn who_acknowledges_what_is_not_taken() {
    let _alone = alone();
    at_every_kept_step(
        2,
        |_| {},
        |scene| {
            assert!(done(scene));
            through(scene);
        },
        // What is done already is not unfinished, so that the first may remain in the ring.
        |found| assert!([&[(1, 1), (2, 1)][..], &[(1, 1)]].contains(&found), "{found:?}"),
    );
}

#[test]
fn who_returns_what_the_dead_had_and_takes_it() {
    let _alone = alone();
    at_every_kept_step(
        15,
        |scene| {
            let corpse = fork(|| {
                drop([(); 2].map(|()| take(scene.arena, scene.ring, SOON).unwrap()));
                kill(std::process::id());
            });
            wait(corpse);
        },
        |scene| {
            while scene.ring.is_empty() {
                scene.ring.let_time_pass();
                scene.ring.look_after_takers(&scene.arena, Wait::Until(None));
            }
            drop([(); 2].map(|()| take(scene.arena, scene.ring, SOON).unwrap()));
            through(scene);
        },
        |found| {
            // When one of them died with 1, it may come back after 2 was taken.
            let mut found = found.to_vec();
            found.sort_unstable();
            assert_left(&found, &[(1, 2), (2, 2)]);
        },
    );
}

#[test]
fn who_gives_a_message_back() {
    let _alone = alone();
    at_every_step(
        20,
        |scene| {
            let taken = [(); 2].map(|()| take(scene.arena, scene.ring, SOON).unwrap());
            for (number, (bytes, handles)) in taken.iter().enumerate() {
                let attachments: Vec<_> = handles.iter().map(Handle::offset).collect();
                scene.ring.put_back(&scene.arena, number as u32, bytes, &attachments).unwrap();
            }
            drop(taken);
            let again = [(); 2].map(|()| take(scene.arena, scene.ring, SOON).unwrap());
            assert_eq!(again.map(|(bytes, _)| number_of(&bytes)), [1, 2]);
        },
        |numbers| assert!([&[1, 2][..], &[1], &[2], &[]].contains(&numbers), "{numbers:?}"),
    );
}

#[test]
fn the_last_user_of_a_ring_that_keeps_what_is_taken() {
    let _alone = alone();
    at_every_step(
        60,
        |scene| {
            let (handle, ring) = ring_at(scene.arena, Ring::new(0, 0));
            ring.keep_taken(0);
            for number in 5..8 {
                put(scene.arena, ring, &payload(number, 500), &[&block(scene.arena, 100, number as u8)]);
            }
            drop([(); 2].map(|()| take(scene.arena, ring, SOON).unwrap()));
            ring.put_back(&scene.arena, 0, &[], &[]).unwrap();
            drop(handle);
        },
        |numbers| assert_eq!(numbers, [1, 2]),
    );
}
