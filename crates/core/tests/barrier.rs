//! Barrier between threads that stand for processes.
#![cfg(not(loom))]
#![allow(missing_docs)]

mod common;

use common::{Life, process, soon, until, wait_for};
use procession_core::barrier::{Arrival, Barrier, Outcome, Party};
use procession_core::error::WaitError;
use procession_core::owner::{Liveness, OwnerId};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

fn meet(barrier: &Barrier, place: usize, life: &Life) -> Outcome {
    match until(|| barrier.arrive(process(place), life, None)) {
        Arrival::Last(party) => barrier.release(party),
        Arrival::Waiting(party) => until(|| barrier.park(&party, process(place), life, None)),
        Arrival::Broken => Outcome::Broken,
    }
}

fn arrive(barrier: &Barrier, place: usize, life: &Life) -> Party {
    match until(|| barrier.arrive(process(place), life, None)) {
        Arrival::Waiting(party) => party,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_runs_ahead() {
    let (barrier, life, arrived) = (Barrier::new(3), Life::default(), AtomicU32::new(0));
    thread::scope(|scope| {
        for place in 0..3 {
            let (barrier, life, arrived) = (&barrier, &life, &arrived);
            scope.spawn(move || {
                for turn in 1..=2_000 {
                    arrived.fetch_add(1, SeqCst);
                    assert_eq!(meet(barrier, place, life), Outcome::Released);
                    assert!(arrived.load(SeqCst) >= 3 * turn);
                }
            });
        }
    });
    assert_eq!((barrier.times_released(), barrier.waiting(), barrier.is_broken()), (2_000, 0, false));
}

#[test]
fn a_timeout_breaks_it_until_reset() {
    let (barrier, life) = (Barrier::new(2), Life::default());
    let party = arrive(&barrier, 0, &life);
    let deadline = soon();
    assert_eq!(barrier.park(&party, process(0), &life, deadline), Err(WaitError::TimedOut));
    assert_eq!((barrier.break_up(party), barrier.is_broken()), (Outcome::Broken, true));
    assert_eq!(meet(&barrier, 1, &life), Outcome::Broken);
    barrier.reset();
    let party = arrive(&barrier, 0, &life);
    assert_eq!(meet(&barrier, 1, &life), Outcome::Released);
    assert_eq!(barrier.break_up(party), Outcome::Released);
}

#[test]
fn a_late_party_learns_how_its_generation_ended() {
    let (barrier, life) = (Barrier::new(2), Life::default());
    let released = arrive(&barrier, 0, &life);
    assert_eq!(meet(&barrier, 1, &life), Outcome::Released);
    let reset = arrive(&barrier, 2, &life);
    barrier.reset();
    for _ in 0..5 {
        let party = arrive(&barrier, 3, &life);
        assert_eq!(meet(&barrier, 4, &life), Outcome::Released);
        assert_eq!(barrier.break_up(party), Outcome::Released);
    }
    assert_eq!(barrier.park(&released, process(0), &life, None), Ok(Outcome::Released));
    assert_eq!(barrier.park(&reset, process(2), &life, None), Ok(Outcome::Broken));
}

#[test]
fn who_withdraws_is_not_counted() {
    let (barrier, life) = (Barrier::new(2), Life::default());
    barrier.withdraw(arrive(&barrier, 0, &life));
    assert_eq!(barrier.waiting(), 0);
    let _party = arrive(&barrier, 1, &life);
    assert_eq!((meet(&barrier, 0, &life), barrier.is_broken()), (Outcome::Released, false));
}

#[test]
fn a_death_breaks_it_and_is_named() {
    let (barrier, life) = (Barrier::new(3), Life::default());
    let _victim = arrive(&barrier, 0, &life);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| meet(&barrier, 1, &life));
        wait_for(|| barrier.waiting() == 2);
        life.kill(process(0));
        assert_eq!(waiter.join().unwrap(), Outcome::Broken);
    });
    assert_eq!(barrier.killed().map(|dead| dead.owner), Some(process(0)));
    barrier.reset();
    assert_eq!(barrier.killed(), None);
}

#[test]
fn abort_during_the_action_wins() {
    let (barrier, life) = (Barrier::new(1), Life::default());
    let Arrival::Last(party) = until(|| barrier.arrive(process(0), &life, None)) else { panic!() };
    barrier.abort();
    assert_eq!(barrier.release(party), Outcome::Broken);
}

#[test]
fn the_death_of_one_who_withdrew_breaks_nothing() {
    let (barrier, life) = (Barrier::new(3), Life::default());
    let early = arrive(&barrier, 0, &life);
    let _staying = arrive(&barrier, 1, &life);
    barrier.withdraw(early);
    // Takes the number of the one that stays, and must not take its place.
    let late = arrive(&barrier, 2, &life);
    life.kill(process(0));
    assert_eq!(barrier.park(&late, process(2), &life, soon()), Err(WaitError::TimedOut));
    assert!(!barrier.is_broken());
    life.kill(process(1));
    assert_eq!(until(|| barrier.park(&late, process(2), &life, None)), Outcome::Broken);
    assert_eq!(barrier.killed().map(|dead| dead.owner), Some(process(1)));
}

/// Place 0 leaves the barrier, and dies, while another looks whether it lives.
struct Leaving<'barrier> {
    barrier: &'barrier Barrier,
    party: Mutex<Option<Party>>,
    leave: fn(&Barrier, Party),
}

impl Liveness for Leaving<'_> {
    fn is_alive(&self, owner: OwnerId) -> bool {
        if let Some(party) = self.party.lock().unwrap().take_if(|_| owner == process(0)) {
            (self.leave)(self.barrier, party);
        }
        owner != process(0)
    }
}

/// What the others are told when place 0 leaves like this.
fn left_by(leave: fn(&Barrier, Party)) -> (Barrier, Result<Outcome, WaitError>) {
    let (barrier, life) = (Barrier::new(3), Life::default());
    let leaving = Mutex::new(Some(arrive(&barrier, 0, &life)));
    let party = arrive(&barrier, 1, &life);
    let leaving = Leaving { barrier: &barrier, party: leaving, leave };
    let told = loop {
        match barrier.park(&party, process(1), &leaving, soon()) {
            Err(WaitError::Interrupted) => {}
            told => break told,
        }
    };
    (barrier, told)
}

#[test]
fn the_death_of_one_whose_time_was_over_is_not_the_reason() {
    let (barrier, told) = left_by(|barrier, party| assert_eq!(barrier.break_up(party), Outcome::Broken));
    assert_eq!((told, barrier.killed()), (Ok(Outcome::Broken), None));
}

#[test]
fn one_that_withdraws_while_looked_at_breaks_nothing() {
    let (barrier, told) = left_by(Barrier::withdraw);
    assert_eq!((told, barrier.is_broken()), (Err(WaitError::TimedOut), false));
}
