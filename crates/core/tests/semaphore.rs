//! Semaphore between threads.
#![cfg(not(loom))]
#![allow(missing_docs)]

mod common;

use common::{soon, until, wait_for};
use procession_core::error::{ReleaseError, WaitError};
use procession_core::semaphore::Semaphore;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

#[test]
fn never_lets_more_in_than_it_has_permits() {
    let (semaphore, inside) = (Semaphore::new(2, 2), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    until(|| semaphore.acquire(None));
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
    let semaphore = Semaphore::new(1, 3);
    assert_eq!(semaphore.release(3), Err(ReleaseError::TooOften));
    assert_eq!(semaphore.release(u32::MAX), Err(ReleaseError::TooOften));
    assert_eq!((semaphore.release(2), semaphore.value()), (Ok(()), 3));
}

#[test]
fn a_deadline_ends_the_wait() {
    let semaphore = Semaphore::new(0, 1);
    let deadline = soon();
    assert_eq!(semaphore.acquire(deadline), Err(WaitError::TimedOut));
    assert!(std::time::Instant::now() >= deadline.unwrap());
}

#[test]
fn one_release_of_many_wakes_many() {
    let semaphore = Semaphore::new(0, 9);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| until(|| semaphore.acquire(None)));
        }
        wait_for(|| semaphore.waiters() == 4);
        semaphore.release(4).unwrap();
    });
    assert_eq!(semaphore.value(), 0);
}
