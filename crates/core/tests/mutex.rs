//! Mutex between threads that stand for processes.
#![cfg(not(loom))]
#![allow(missing_docs)]

mod common;

use common::{Life, process, soon, until, wait_for};
use procession_core::error::{ReleaseError, WaitError};
use procession_core::mutex::Mutex;
use procession_core::owner::{Liveness, OwnerId, Policy, Taken};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

#[test]
fn excludes_under_contention() {
    let (mutex, life, counter) = (Mutex::new(Policy::Warn), Life::default(), AtomicU64::new(0));
    thread::scope(|scope| {
        for place in 0..4 {
            let (mutex, life, counter) = (&mutex, &life, &counter);
            scope.spawn(move || {
                for _ in 0..20_000 {
                    let _ = until(|| mutex.acquire(process(place), 1, life, None));
                    counter.store(counter.load(Relaxed) + 1, Relaxed);
                    mutex.release().unwrap();
                }
            });
        }
    });
    assert_eq!(counter.load(Relaxed), 80_000);
    assert_eq!(mutex.statistics().acquired, 80_000);
    assert_eq!((mutex.owner(), mutex.waiters()), (None, 0));
}

#[test]
fn counts_for_its_holder_only() {
    let (mutex, me) = (Mutex::new(Policy::Warn), process(3));
    assert!(mutex.try_acquire_again(me, 7) && mutex.try_acquire_again(me, 7));
    assert_eq!((mutex.depth(), mutex.owner().map(|owner| owner.thread)), (2, Some(7)));
    assert!(!mutex.try_acquire_again(me, 8) && !mutex.try_acquire_again(process(4), 7));
    assert_eq!(mutex.release_once(me, 8), Err(ReleaseError::NotOwner));
    assert_eq!(mutex.release_fully(me, 7), Ok(2));
    assert!(mutex.try_acquire(me, 7));
    mutex.restore(2);
    assert_eq!((mutex.release_once(me, 7), mutex.is_locked()), (Ok(()), true));
    assert_eq!((mutex.release_once(me, 7), mutex.is_locked()), (Ok(()), false));
    assert_eq!(mutex.release_once(me, 7), Err(ReleaseError::NotOwner));
    assert_eq!(mutex.release(), Err(ReleaseError::TooOften));
}

#[test]
fn a_deadline_ends_the_wait() {
    let (mutex, life) = (Mutex::new(Policy::Warn), Life::default());
    assert!(mutex.try_acquire(process(0), 1));
    let (begin, deadline) = (Instant::now(), soon());
    assert_eq!(mutex.acquire(process(1), 1, &life, deadline), Err(WaitError::TimedOut));
    assert!(Instant::now() >= deadline.unwrap() && deadline.unwrap() > begin);
    assert_eq!(mutex.acquire(process(1), 1, &life, None), Err(WaitError::Interrupted));
}

#[test]
fn nobody_waits_when_the_only_waiter_got_it() {
    let (mutex, life) = (Mutex::new(Policy::Warn), Life::default());
    assert!(mutex.try_acquire(process(0), 1));
    thread::scope(|scope| {
        scope.spawn(|| _ = until(|| mutex.acquire(process(1), 1, &life, None)));
        wait_for(|| mutex.waiters() == 1);
        mutex.release().unwrap();
    });
    assert_eq!((mutex.is_locked(), mutex.statistics().contended, mutex.waiters()), (true, 1, 0));
    assert!(mutex.may_have_waiters(), "as its word has it");
}

#[test]
fn a_dead_holders_lock_is_abandoned_to_one() {
    let (mutex, life, heirs) = (Mutex::new(Policy::Warn), Life::default(), AtomicU64::new(0));
    assert!(mutex.try_acquire(process(0), 1));
    thread::scope(|scope| {
        for place in 1..4 {
            let (mutex, life, heirs) = (&mutex, &life, &heirs);
            scope.spawn(move || {
                if until(|| mutex.acquire(process(place), 1, life, None)) != Taken::Free {
                    heirs.fetch_add(1, Relaxed);
                }
                mutex.release().unwrap();
            });
        }
        wait_for(|| mutex.waiters() == 3);
        life.kill(process(0));
    });
    assert_eq!((heirs.load(Relaxed), mutex.statistics().abandoned), (1, 1));
}

#[test]
fn where_the_dead_keep_everybody_out_only_an_heir_gets_in() {
    let (mutex, life) = (Mutex::new(Policy::Raise), Life::default());
    assert!(mutex.try_acquire(process(0), 1));
    let holder = mutex.owner().unwrap();
    life.kill(process(0));
    for place in 1..3 {
        assert_eq!(until(|| mutex.acquire(process(place), 1, &life, None)), Taken::Refused(holder));
        assert_eq!(mutex.owner(), Some(holder));
    }
    let heir = process(3);
    assert_eq!(until(|| mutex.inherit(heir, 1, &life, None)), Taken::Abandoned(holder));
    assert!(mutex.is_mine(heir, 1) && mutex.try_acquire_again(heir, 1));
    assert_eq!(mutex.depth(), 2);
    mutex.release_once(heir, 1).unwrap();
    mutex.release_once(heir, 1).unwrap();
    let Taken::Refused(left) = until(|| mutex.acquire(process(4), 1, &life, None)) else { panic!("not repaired") };
    assert_eq!((left.owner, left.pid, left.since, left.thread), (holder.owner, holder.pid, holder.since, 0));
    let _ = until(|| mutex.inherit(heir, 1, &life, None));
    mutex.repaired();
    mutex.release().unwrap();
    assert_eq!(until(|| mutex.acquire(process(4), 1, &life, None)), Taken::Free);
    assert_eq!(mutex.statistics().abandoned, 2);
}

#[test]
fn an_heir_that_dies_is_named_instead() {
    let (mutex, life) = (Mutex::new(Policy::Raise), Life::default());
    assert!(mutex.try_acquire(process(0), 1));
    life.kill(process(0));
    let _ = until(|| mutex.inherit(process(1), 7, &life, None));
    life.kill(process(1));
    let Taken::Refused(dead) = until(|| mutex.acquire(process(2), 1, &life, None)) else { panic!("let in") };
    assert_eq!((dead.owner, dead.thread), (process(1), 7));
}

#[test]
fn one_that_was_left_by_a_process_without_a_place_is_abandoned() {
    struct Placed;
    impl Liveness for Placed {
        fn is_alive(&self, owner: OwnerId) -> bool {
            owner != OwnerId::of_nobody()
        }
    }
    let (life, me) = (Placed, process(3));
    let mutex = Mutex::left_by(Policy::Raise, 77, 5);
    for _ in 0..2 {
        let Taken::Refused(dead) = until(|| mutex.acquire(me, 1, &life, None)) else { panic!("not refused") };
        assert_eq!((dead.pid, dead.thread, dead.since), (77, 0, 5));
    }
    let Taken::Abandoned(dead) = until(|| mutex.inherit(me, 1, &life, None)) else { panic!("not abandoned") };
    assert_eq!(dead.pid, 77);
    mutex.repaired();
    mutex.release().unwrap();
    assert_eq!(until(|| mutex.acquire(me, 1, &life, None)), Taken::Free);
}
