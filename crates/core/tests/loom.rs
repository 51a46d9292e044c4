//! Every interleaving of two or three threads over each primitive. Time does not pass here (see `sys/model.rs`), so a
//! lost wake-up shows as a deadlock.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p procession-core --test loom`
#![cfg(loom)]
#![allow(missing_docs)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use procession_core::barrier::{Arrival, Barrier, Outcome, Party};
use procession_core::condition::Condition;
use procession_core::error::WaitError;
use procession_core::event::Event;
use procession_core::lock::{Acquired, OwnerLock};
use procession_core::mutex::Mutex;
use procession_core::owner::{Liveness, OwnerId, Policy, Taken};
use procession_core::semaphore::Semaphore;
use procession_core::wait::Signal;

/// Places below 8 live, the others are dead.
struct Life;

impl Liveness for Life {
    fn is_alive(&self, owner: OwnerId) -> bool {
        owner.place() < 8
    }
}

fn living(place: usize) -> OwnerId {
    OwnerId::new(place, 0)
}

fn dead() -> OwnerId {
    OwnerId::new(9, 0)
}

/// Bounded preemption keeps a model of three threads within seconds; bugs that need more than three are rare.
fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

fn until<T>(mut attempt: impl FnMut() -> Result<T, WaitError>) -> T {
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(WaitError::Interrupted) => {}
            Err(WaitError::TimedOut) => panic!("there was no deadline"),
        }
    }
}

/// An addition that is only right if nothing else adds meanwhile; it stands for the data that a lock guards.
fn add_one(counter: &AtomicU32) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

#[test]
fn signal_wakes_who_waits_for_a_change() {
    model(3, || {
        let shared = Arc::new((Signal::new(), AtomicU32::new(0)));
        let waiter = {
            let shared = shared.clone();
            thread::spawn(move || until(|| shared.0.sleep(|| shared.1.load(Relaxed) == 1, None)))
        };
        shared.1.store(1, Relaxed);
        shared.0.notify(1);
        waiter.join().unwrap();
    });
}

#[test]
fn two_releases_wake_two_sleepers() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::new(0, 2, Policy::Warn));
        let sleeper = |semaphore: Arc<Semaphore>| {
            thread::spawn(move || until(|| semaphore.acquire(false, living(0), &Life, None)))
        };
        let sleepers = [sleeper(semaphore.clone()), sleeper(semaphore.clone())];
        semaphore.release(1).unwrap();
        semaphore.release(1).unwrap();
        sleepers.into_iter().for_each(|sleeper| assert_eq!(sleeper.join().unwrap(), Taken::Free));
        assert_eq!(semaphore.value(), 0);
    });
}

#[test]
fn a_semaphore_hands_its_permit_on() {
    fn work(shared: &(Semaphore, AtomicU32)) {
        let _ = until(|| shared.0.acquire(false, living(0), &Life, None));
        add_one(&shared.1);
        shared.0.release(1).unwrap();
    }
    model(2, || {
        let shared = Arc::new((Semaphore::new(1, 1, Policy::Warn), AtomicU32::new(0)));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || work(&shared))
        };
        work(&shared);
        other.join().unwrap();
        assert_eq!(shared.1.load(Relaxed), 2);
    });
}

/// Holders, one of whom the others have to complete, and a taker: no permit is lost, and each note is written once.
#[test]
fn a_hold_changes_value_and_note_as_one() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::new(2, 2, Policy::Warn));
        let other = {
            let semaphore = semaphore.clone();
            thread::spawn(move || {
                if semaphore.try_hold(living(0), &Life) {
                    semaphore.give_back(living(0)).unwrap();
                }
            })
        };
        let third = {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.try_hold(living(1), &Life))
        };
        if semaphore.try_acquire() {
            semaphore.release(1).unwrap();
        }
        other.join().unwrap();
        let held = u32::from(third.join().unwrap());
        assert_eq!((semaphore.value(), semaphore.held()), (2 - held, held));
    });
}

#[test]
fn two_threads_of_a_process_hold_in_one_note() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::new(2, 2, Policy::Warn));
        assert!(semaphore.try_hold(living(0), &Life));
        let other = {
            let semaphore = semaphore.clone();
            thread::spawn(move || {
                assert!(semaphore.try_hold(living(0), &Life));
                semaphore.give_back(living(0)).unwrap();
            })
        };
        semaphore.give_back(living(0)).unwrap();
        other.join().unwrap();
        assert_eq!((semaphore.value(), semaphore.held()), (2, 0));
    });
}

#[test]
fn a_dead_holders_permit_comes_back_once() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::new(1, 1, Policy::Warn));
        assert!(semaphore.try_hold(dead(), &Life));
        let other = {
            let semaphore = semaphore.clone();
            thread::spawn(move || {
                let taken = until(|| semaphore.acquire(true, living(0), &Life, None));
                semaphore.give_back(living(0)).unwrap();
                u32::from(taken != Taken::Free)
            })
        };
        let taken = until(|| semaphore.acquire(false, living(1), &Life, None));
        semaphore.release(1).unwrap();
        assert_eq!(other.join().unwrap() + u32::from(taken != Taken::Free), 1);
        assert_eq!((semaphore.value(), semaphore.held()), (1, 0));
    });
}

#[test]
fn the_lock_excludes_and_forgets_no_sleeper() {
    fn work(shared: &(OwnerLock, AtomicU32), place: usize) {
        assert_eq!(until(|| shared.0.acquire(living(place), &Life, None)), Acquired::Free);
        add_one(&shared.1);
        assert!(shared.0.release());
    }
    model(2, || {
        let shared = Arc::new((OwnerLock::new(), AtomicU32::new(0)));
        let others = [0, 1].map(|place| {
            let shared = shared.clone();
            thread::spawn(move || work(&shared, place))
        });
        work(&shared, 2);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(shared.1.load(Relaxed), 3);
        assert_eq!(shared.0.owner(), None);
    });
}

/// A lock, how often it was held, and how often it came from the dead.
type Inherited = (OwnerLock, AtomicU32, AtomicU32);

fn hold(shared: &Inherited, acquired: Acquired) {
    if acquired == Acquired::Abandoned(dead()) {
        add_one(&shared.2);
    }
    add_one(&shared.1);
    assert!(shared.0.release());
}

#[test]
fn a_dead_owners_lock_is_taken_over_once() {
    model(2, || {
        let shared = Arc::new((OwnerLock::new(), AtomicU32::new(0), AtomicU32::new(0)));
        assert!(shared.0.try_acquire(dead()));
        let other = {
            let shared: Arc<Inherited> = shared.clone();
            thread::spawn(move || {
                let acquired = until(|| shared.0.acquire(living(0), &Life, None));
                hold(&shared, acquired);
            })
        };
        // This one's deadline has passed: it looks after the owner at once, and may find the lock the other's already.
        let now = Some(std::time::Instant::now());
        let acquired = match shared.0.acquire(living(1), &Life, now) {
            Ok(acquired) => acquired,
            Err(_) => until(|| shared.0.acquire(living(1), &Life, None)),
        };
        hold(&shared, acquired);
        other.join().unwrap();
        assert_eq!((shared.1.load(Relaxed), shared.2.load(Relaxed)), (2, 1));
    });
}

#[test]
fn a_mutex_knows_its_holder() {
    // Both are threads 7 of different processes, as the main threads of two forks are.
    fn work(shared: &(Mutex, AtomicU32), place: usize) {
        let me = living(place);
        assert!(!shared.0.is_mine(me, 7));
        assert_eq!(until(|| shared.0.acquire(me, 7, &Life, None)), Taken::Free);
        assert!(shared.0.is_mine(me, 7) && shared.0.depth() == 1);
        assert!(shared.0.try_acquire_again(me, 7));
        add_one(&shared.1);
        shared.0.release_once(me, 7).unwrap();
        shared.0.release_once(me, 7).unwrap();
        assert!(!shared.0.is_mine(me, 7));
    }
    model(2, || {
        let shared = Arc::new((Mutex::new(Policy::Warn), AtomicU32::new(0)));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || work(&shared, 0))
        };
        work(&shared, 1);
        other.join().unwrap();
        assert_eq!(shared.1.load(Relaxed), 2);
    });
}

#[test]
fn set_then_clear_lets_a_waiter_go() {
    model(3, || {
        let event = Arc::new(Event::new());
        let since = event.since();
        let waiter = {
            let event = event.clone();
            thread::spawn(move || until(|| event.wait(since, None)))
        };
        event.set();
        event.clear();
        waiter.join().unwrap();
        assert!(!event.is_set());
    });
}

#[test]
fn set_publishes_what_came_before() {
    model(3, || {
        let shared = Arc::new((Event::new(), AtomicU32::new(0)));
        let waiter = {
            let shared = shared.clone();
            thread::spawn(move || {
                let since = shared.0.since();
                until(|| shared.0.wait(since, None));
                assert_eq!(shared.1.load(Relaxed), 5);
            })
        };
        shared.1.store(5, Relaxed);
        shared.0.set();
        waiter.join().unwrap();
    });
}

#[test]
fn a_condition_wakes_by_name() {
    model(2, || {
        let condition = Arc::new(Condition::new());
        // Enrolled in this order, as the user's lock would have it.
        let first = condition.enrol(living(0), &Life).unwrap();
        let second = condition.enrol(living(1), &Life).unwrap();
        let waiter = {
            let condition = condition.clone();
            thread::spawn(move || {
                until(|| condition.park(&first, &Life, None));
                assert!(condition.leave(first));
            })
        };
        assert_eq!(condition.notify(1), 1);
        waiter.join().unwrap();
        assert!(!condition.leave(second));
        assert_eq!(condition.waiters(), 0);
    });
}

#[test]
fn a_timeout_and_a_notification_agree_on_who_came_first() {
    model(3, || {
        let condition = Arc::new(Condition::new());
        let enrolment = condition.enrol(living(0), &Life).unwrap();
        let waiter = {
            let condition = condition.clone();
            thread::spawn(move || u32::from(condition.leave(enrolment)))
        };
        let notified = condition.notify(1);
        assert_eq!(waiter.join().unwrap(), notified);
    });
}

#[test]
fn what_a_dead_waiter_was_given_passes_on_once() {
    model(2, || {
        let condition = Arc::new(Condition::new());
        let _lost = condition.enrol(dead(), &Life).unwrap();
        let first = condition.enrol(living(0), &Life).unwrap();
        let second = condition.enrol(living(1), &Life).unwrap();
        let waiter = {
            let condition = condition.clone();
            thread::spawn(move || {
                until(|| condition.park(&first, &Life, None));
                assert!(condition.leave(first));
            })
        };
        assert_eq!(condition.notify(1), 1);
        // The slices of two sleepers end at once: both look, one finds.
        let looker = {
            let condition = condition.clone();
            thread::spawn(move || condition.repair(living(2), &Life))
        };
        condition.repair(living(1), &Life);
        looker.join().unwrap();
        waiter.join().unwrap();
        assert!(!condition.leave(second));
    });
}

fn meet(barrier: &Barrier, place: usize) -> Outcome {
    match until(|| barrier.arrive(living(place), &Life, None)) {
        Arrival::Last(party) => barrier.release(party),
        Arrival::Waiting(party) => wait_at(barrier, place, &party),
        Arrival::Broken => Outcome::Broken,
    }
}

fn wait_at(barrier: &Barrier, place: usize, party: &Party) -> Outcome {
    until(|| barrier.park(party, living(place), &Life, None))
}

#[test]
fn all_parties_meet_twice() {
    model(2, || {
        let shared = Arc::new((Barrier::new(2), AtomicU32::new(0)));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.store(1, Relaxed);
                assert_eq!(meet(&shared.0, 0), Outcome::Released);
                assert_eq!(meet(&shared.0, 0), Outcome::Released);
            })
        };
        assert_eq!(meet(&shared.0, 1), Outcome::Released);
        assert_eq!(shared.1.load(Relaxed), 1);
        assert_eq!(meet(&shared.0, 1), Outcome::Released);
        other.join().unwrap();
    });
}

#[test]
fn a_break_and_the_last_arrival_agree() {
    model(2, || {
        let barrier = Arc::new(Barrier::new(2));
        let Arrival::Waiting(party) = until(|| barrier.arrive(living(0), &Life, None)) else { panic!() };
        let other = {
            let barrier = barrier.clone();
            thread::spawn(move || meet(&barrier, 1))
        };
        let mine = barrier.break_up(party);
        assert_eq!(other.join().unwrap(), mine);
    });
}
