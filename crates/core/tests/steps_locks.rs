//! Death at every numbered step of what takes, gives back and repairs: as in `steps.rs`, for what is no ring.
#![allow(clippy::pedantic)] // of a test one asks less
#![cfg(not(loom))]

mod support;

use procession_core::arena::{Arena, Kind};
use procession_core::barrier::{Arrival, Barrier, Outcome};
use procession_core::error::WaitError;
use procession_core::failpoint;
use procession_core::mutex::Mutex;
use procession_core::owner::{Policy, Taken};
use procession_core::semaphore::Semaphore;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use support::{alone, fork, kill, place, wait};

const SOON: Duration = Duration::from_secs(2);

fn arena() -> &'static Arena {
    static ARENA: OnceLock<&'static Arena> = OnceLock::new();
    ARENA.get_or_init(|| Arena::shared(0).unwrap())
}

fn until<T>(mut attempt: impl FnMut() -> Result<T, WaitError>) -> T {
    let end = Instant::now() + SOON;
    loop {
        if let Ok(done) = attempt() {
            return done;
        }
        assert!(Instant::now() < end, "still waiting");
    }
}

/// Run `work` in children that die at step 1, 2, ... until one gets through; after each, `judge` looks at what is left.
fn dying_at_every_step(least: u64, work: impl Fn(), judge: impl Fn(u64)) {
    for step in 1.. {
        let child = fork(|| {
            failpoint::arm(step);
            work();
            failpoint::disarm();
        });
        let status = wait(child);
        judge(step);
        arena().reap_all();
        if status == 0 {
            assert!(step > least, "only {step} steps");
            return println!("{step} steps");
        }
        assert_eq!(status, -libc::SIGKILL, "step {step}");
    }
}

#[test]
fn who_holds_a_permit() {
    let _alone = alone();
    let (_handle, semaphore) = place(arena(), Kind::Semaphore, Semaphore::new(2, 2, Policy::Warn));
    let life = arena().processes();
    assert!(semaphore.try_acquire());
    dying_at_every_step(
        9,
        || {
            let me = arena().me();
            assert!(semaphore.try_hold(me, life));
            failpoint::step();
            semaphore.give_back(me).unwrap();
            assert!(semaphore.try_hold(me, life));
            failpoint::step();
            semaphore.give_back(me).unwrap();
        },
        |step| {
            let _ = until(|| semaphore.acquire(true, arena().me(), life, None));
            assert_eq!((semaphore.value(), semaphore.held()), (0, 1), "step {step}");
            semaphore.give_back(arena().me()).unwrap();
        },
    );
}

#[test]
fn who_gives_back_for_the_dead() {
    let _alone = alone();
    let (_handle, semaphore) = place(arena(), Kind::Semaphore, Semaphore::new(1, 1, Policy::Warn));
    let life = arena().processes();
    dying_at_every_step(
        6,
        || {
            let corpse = failpoint::paused(|| {
                fork(|| {
                    assert!(semaphore.try_hold(arena().me(), life));
                    kill(std::process::id());
                })
            });
            wait(corpse);
            let _ = until(|| semaphore.acquire(true, arena().me(), life, None));
            failpoint::step();
            semaphore.give_back(arena().me()).unwrap();
        },
        |step| {
            let _ = until(|| semaphore.acquire(true, arena().me(), life, None));
            assert_eq!((semaphore.value(), semaphore.held()), (0, 1), "step {step}");
            semaphore.give_back(arena().me()).unwrap();
        },
    );
}

#[test]
fn who_repairs_what_a_lock_guards() {
    let _alone = alone();
    let (_handle, mutex) = place(arena(), Kind::Lock, Mutex::new(Policy::Raise));
    let life = arena().processes();
    let (_done, repaired) = place(arena(), Kind::Value, AtomicU64::new(0));
    dying_at_every_step(
        7,
        || {
            let corpse = failpoint::paused(|| {
                fork(|| {
                    assert!(mutex.try_acquire(arena().me(), 1));
                    kill(std::process::id());
                })
            });
            wait(corpse);
            // First in vain, then well.
            for well in [false, true] {
                let taken = until(|| mutex.inherit(arena().me(), 1, life, None));
                assert!(matches!(taken, Taken::Abandoned(_)), "{taken:?}");
                if well {
                    repaired.store(1, SeqCst);
                    mutex.repaired();
                }
                mutex.release().unwrap();
            }
        },
        |step| {
            let done = repaired.swap(0, SeqCst) == 1;
            match until(|| mutex.acquire(arena().me(), 1, life, None)) {
                Taken::Free => {
                    assert!(done, "step {step}: nobody has repaired it");
                    return mutex.release().unwrap();
                }
                Taken::Refused(dead) => assert_ne!(dead.pid, 0, "step {step}"),
                taken @ Taken::Abandoned(_) => panic!("step {step}: {taken:?}"),
            }
            let _ = until(|| mutex.inherit(arena().me(), 1, life, None));
            mutex.repaired();
            mutex.release().unwrap();
        },
    );
}

#[test]
fn who_comes_to_a_barrier() {
    let _alone = alone();
    let (_handle, barrier) = place(arena(), Kind::Barrier, Barrier::new(2));
    let life = arena().processes();
    let Arrival::Waiting(party) = until(|| barrier.arrive(arena().me(), life, None)) else { panic!() };
    barrier.withdraw(party); // this process is not here any more when the first one dies in its place
    dying_at_every_step(
        3,
        || {
            if let Arrival::Waiting(party) = until(|| barrier.arrive(arena().me(), life, None)) {
                failpoint::step();
                barrier.withdraw(party);
            }
        },
        |step| {
            // Alone, or with one that died: broken by that, unless it had withdrawn or was not counted.
            let Arrival::Waiting(party) = until(|| barrier.arrive(arena().me(), life, None)) else {
                return barrier.reset(); // two had arrived: it died as the first
            };
            let soon = Some(Instant::now() + Duration::from_millis(30));
            let outcome = loop {
                match barrier.park(&party, arena().me(), life, soon) {
                    Err(WaitError::Interrupted) => {}
                    Err(WaitError::TimedOut) => break None,
                    Ok(outcome) => break Some(outcome),
                }
            };
            assert_ne!(outcome, Some(Outcome::Released), "step {step}");
            assert!(outcome.is_some() || barrier.waiting() == 1, "step {step}: waits for the dead");
            let blamed = barrier.killed().map(|dead| dead.pid);
            assert_ne!(blamed, Some(std::process::id()), "step {step}: the pid of one that was here before");
            barrier.reset();
        },
    );
}
