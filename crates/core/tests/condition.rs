//! Condition: the cells, without a lock around them, as one thread may call what the lock would put in order.
#![cfg(not(loom))]
#![allow(missing_docs)]

mod common;

use common::{Life, process, soon, until};
use procession_core::condition::{CELLS, Condition, TooManyWaiters};
use procession_core::error::WaitError;
use std::thread;

#[test]
fn notifies_in_the_order_of_enrolment() {
    let (condition, life) = (Condition::new(), Life::default());
    let early = condition.enrol(process(0), &life).unwrap();
    let first = condition.enrol(process(1), &life).unwrap();
    // Its cell is used again, by one that comes last.
    assert!(!condition.leave(early));
    let second = condition.enrol(process(2), &life).unwrap();
    assert_eq!(condition.notify(1), 1);
    assert_eq!(condition.park(&first, &life, None), Ok(()));
    assert_eq!(condition.park(&second, &life, soon()), Err(WaitError::TimedOut));
    assert_eq!((condition.leave(first), condition.leave(second)), (true, false));
    assert_eq!((condition.notify(9), condition.waiters(), condition.notified()), (0, 0, 1));
}

#[test]
fn wakes_sleepers() {
    let (condition, life) = (Condition::new(), Life::default());
    thread::scope(|scope| {
        for place in 0..4 {
            let enrolment = condition.enrol(process(place), &life).unwrap();
            let (condition, life) = (&condition, &life);
            scope.spawn(move || {
                until(|| condition.park(&enrolment, life, None));
                assert!(condition.leave(enrolment));
            });
        }
        assert_eq!(condition.notify(u32::MAX), 4);
    });
}

#[test]
fn an_abandoned_notification_goes_to_who_was_there() {
    let (condition, life) = (Condition::new(), Life::default());
    let first = condition.enrol(process(0), &life).unwrap();
    let second = condition.enrol(process(1), &life).unwrap();
    assert_eq!(condition.notify(1), 1);
    let late = condition.enrol(process(2), &life).unwrap();
    condition.abandon(first);
    assert!(condition.leave(second));
    assert!(!condition.leave(late));
}

#[test]
fn a_notification_nobody_was_there_to_inherit_is_void() {
    let (condition, life) = (Condition::new(), Life::default());
    let first = condition.enrol(process(0), &life).unwrap();
    assert_eq!(condition.notify(1), 1);
    let late = condition.enrol(process(1), &life).unwrap();
    condition.abandon(first);
    assert!(!condition.leave(late));
}

#[test]
fn the_dead_make_room() {
    let (condition, life) = (Condition::new(), Life::default());
    let enrolments: Vec<_> = (0..CELLS).map(|_| condition.enrol(process(5), &life).unwrap()).collect();
    assert_eq!(condition.enrol(process(6), &life).err(), Some(TooManyWaiters));
    assert_eq!(condition.notify(1), 1);
    life.kill(process(5));
    drop(enrolments);
    let living = condition.enrol(process(6), &life).unwrap();
    assert_eq!(condition.waiters(), 1);
    // It came after the notification, so what the dead one was given is not for it.
    assert!(!condition.leave(living));
}
