//! Semaphore between threads.
#![cfg(not(loom))]
#![allow(missing_docs)]

mod common;

use common::{Life, process, soon, until, wait_for};
use procession_core::error::{ReleaseError, WaitError};
use procession_core::owner::{Policy, Taken};
use procession_core::semaphore::{NOTES, Semaphore};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

fn take(semaphore: &Semaphore, place: usize) -> Taken {
    until(|| semaphore.acquire(false, process(place), &Life::default(), None))
}

#[test]
fn never_lets_more_in_than_it_has_permits() {
    let (semaphore, inside) = (Semaphore::new(2, 2, Policy::Warn), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    let _ = take(&semaphore, 0);
                    assert!(inside.fetch_add(1, SeqCst) < 2);
                    inside.fetch_sub(1, SeqCst);
                    semaphore.release(1).unwrap();
                }
            });
        }
    });
    assert_eq!((semaphore.value(), semaphore.waiters()), (2, 0));
}

#[test]
fn refuses_to_pass_its_maximum() {
    let semaphore = Semaphore::new(1, 3, Policy::Warn);
    assert_eq!(semaphore.release(3), Err(ReleaseError::TooOften));
    assert_eq!(semaphore.release(u32::MAX), Err(ReleaseError::TooOften));
    assert_eq!((semaphore.release(2), semaphore.value()), (Ok(()), 3));
}

#[test]
fn a_deadline_ends_the_wait() {
    let semaphore = Semaphore::new(0, 1, Policy::Warn);
    let deadline = soon();
    assert_eq!(semaphore.acquire(false, process(0), &Life::default(), deadline), Err(WaitError::TimedOut));
    assert!(std::time::Instant::now() >= deadline.unwrap());
}

#[test]
fn one_release_of_many_wakes_many() {
    let semaphore = Semaphore::new(0, 9, Policy::Warn);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| take(&semaphore, 0));
        }
        wait_for(|| semaphore.waiters() == 4);
        semaphore.release(4).unwrap();
    });
    assert_eq!(semaphore.value(), 0);
}

#[test]
fn holders_and_takers_share_the_permits() {
    let (semaphore, inside, life) = (Semaphore::new(3, 3, Policy::Warn), AtomicU32::new(0), Life::default());
    thread::scope(|scope| {
        for place in 0..4 {
            let (semaphore, inside, life) = (&semaphore, &inside, &life);
            scope.spawn(move || {
                // Two threads of one process, and two of others.
                let me = process(place / 2 + place % 2);
                for turn in 0..10_000 {
                    let held = (turn + place) % 3 > 0;
                    assert_eq!(until(|| semaphore.acquire(held, me, life, None)), Taken::Free);
                    assert!(inside.fetch_add(1, SeqCst) < 3);
                    inside.fetch_sub(1, SeqCst);
                    if held { semaphore.give_back(me) } else { semaphore.release(1) }.unwrap();
                }
            });
        }
    });
    assert_eq!((semaphore.value(), semaphore.held(), semaphore.waiters()), (3, 0, 0));
}

#[test]
fn the_dead_give_back_what_they_held_and_nothing_else() {
    let (semaphore, life) = (Semaphore::new(4, 4, Policy::Warn), Life::default());
    let (victim, heir) = (process(0), process(1));
    assert!(semaphore.try_hold(victim, &life) && semaphore.try_hold(victim, &life) && semaphore.try_acquire());
    assert!(semaphore.try_hold(heir, &life));
    assert_eq!((semaphore.value(), semaphore.held()), (0, 3));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| until(|| semaphore.acquire(true, heir, &life, None)));
        wait_for(|| semaphore.waiters() == 1);
        life.kill(victim);
        let Taken::Abandoned(dead) = waiter.join().unwrap() else { panic!("was not told") };
        assert_eq!(dead.owner, victim);
    });
    assert_eq!((semaphore.value(), semaphore.held()), (1, 2));
    assert_eq!(take(&semaphore, 2), Taken::Free);
}

#[test]
fn where_the_dead_keep_everybody_out_a_repair_lets_them_in() {
    let (semaphore, life) = (Semaphore::new(2, 2, Policy::Raise), Life::default());
    assert!(semaphore.try_hold(process(0), &life) && semaphore.try_acquire());
    life.kill(process(0));
    let me = process(1);
    for _ in 0..2 {
        assert!(matches!(until(|| semaphore.acquire(true, me, &life, None)), Taken::Refused(_)));
        assert!(!semaphore.try_acquire() && !semaphore.try_hold(me, &life));
    }
    let (taken, burials) = until(|| semaphore.inherit(me, &life, None));
    assert!(matches!(taken, Taken::Abandoned(_)));
    semaphore.not_repaired();
    semaphore.give_back(me).unwrap();
    assert!(matches!(until(|| semaphore.acquire(true, me, &life, None)), Taken::Refused(_)));
    assert!(matches!(until(|| semaphore.inherit(me, &life, None)).0, Taken::Abandoned(_)));
    semaphore.repaired(burials);
    semaphore.give_back(me).unwrap();
    assert!(semaphore.try_hold(me, &life));
}

#[test]
fn a_death_during_a_repair_has_to_be_repaired_as_well() {
    let (semaphore, life) = (Semaphore::new(2, 2, Policy::Raise), Life::default());
    assert!(semaphore.try_hold(process(0), &life) && semaphore.try_hold(process(1), &life));
    life.kill(process(0));
    let (_, burials) = until(|| semaphore.inherit(process(2), &life, None));
    life.kill(process(1));
    let _ = until(|| semaphore.inherit(process(2), &life, None));
    semaphore.repaired(burials);
    assert!(!semaphore.try_acquire() && semaphore.held() == 2);
}

#[test]
fn one_more_process_than_there_are_notes_holds_what_is_nobodys() {
    let most = NOTES as u32 + 2;
    let (semaphore, life) = (Semaphore::new(most, most, Policy::Warn), Life::default());
    for place in 0..=NOTES {
        assert!(semaphore.try_hold(process(place), &life));
    }
    assert_eq!((semaphore.value(), semaphore.held()), (1, NOTES as u32));
    semaphore.give_back(process(NOTES)).unwrap();
    assert_eq!((semaphore.value(), semaphore.held()), (2, NOTES as u32));
    // The note of one that died with nothing is free for others.
    semaphore.give_back(process(3)).unwrap();
    life.kill(process(3));
    assert!(semaphore.try_hold(process(NOTES), &life));
    assert_eq!((semaphore.value(), semaphore.held()), (2, NOTES as u32));
}

#[test]
fn what_others_released_too_often_is_no_reason_to_keep_a_note() {
    let (semaphore, life, me) = (Semaphore::new(1, 1, Policy::Warn), Life::default(), process(0));
    assert!(semaphore.try_hold(me, &life));
    semaphore.release(1).unwrap();
    assert_eq!(semaphore.give_back(me), Err(ReleaseError::TooOften));
    assert_eq!((semaphore.value(), semaphore.held()), (1, 0));
}
