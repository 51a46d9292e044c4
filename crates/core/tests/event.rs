//! Event between threads.
#![cfg(not(loom))]
#![allow(missing_docs)]

mod common;

use common::{soon, until, wait_for};
use procession_core::error::WaitError;
use procession_core::event::Event;
use std::thread;

#[test]
fn set_then_clear_lets_every_waiter_go() {
    let event = Event::new();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let since = event.since();
                until(|| event.wait(since, None));
            });
        }
        wait_for(|| event.waiters() == 3);
        event.set();
        event.clear();
    });
    assert_eq!((event.is_set(), event.times_set(), event.waiters()), (false, 1, 0));
}

#[test]
fn setting_twice_counts_once() {
    let event = Event::new();
    event.set();
    event.set();
    assert_eq!((event.is_set(), event.times_set()), (true, 1));
    assert_eq!(event.wait(event.since(), soon()), Ok(()));
}

#[test]
fn a_deadline_ends_the_wait() {
    let event = Event::new();
    let deadline = soon();
    assert_eq!(event.wait(event.since(), deadline), Err(WaitError::TimedOut));
    assert!(std::time::Instant::now() >= deadline.unwrap());
}
