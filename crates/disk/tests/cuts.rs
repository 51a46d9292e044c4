//! The power is cut at every store, and what the disk had not synced is kept in several ways. Every time the queue
//! must open; what was accepted must be there, once and in order, and nothing that was acknowledged; and it must go
//! on.
#![allow(clippy::pedantic)] // of a test one asks less

mod support;

use procession_disk::{Options, Queue, State};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use support::model::{Kept, Model};
use support::{Played, Random, drain, get, now, number_of, payload, put, small, state, wipe};

/// What became of the records, by number.
#[derive(Debug, Default, Clone)]
struct Facts {
    next: u64,
    /// A call that puts, or takes, them is under way: either may be.
    open: BTreeSet<u64>,
    /// Put, and not taken.
    there: BTreeSet<u64>,
    /// Taken from a queue that is joined, and not done.
    lent: BTreeSet<u64>,
}

struct Trial {
    options: Options,
    facts: Rc<RefCell<Facts>>,
    spare: &'static State,
}

impl Trial {
    fn new(options: Options) -> Self {
        Self { options, facts: Rc::default(), spare: state() }
    }

    /// What a queue holds that was found so, all of it.
    fn contents(&self, disk: &Model, note: &str) -> Vec<u64> {
        let queue = disk.open(&self.options, wipe(self.spare)).unwrap_or_else(|error| panic!("{note}: {error}"));
        let mut found = Vec::new();
        while let Some(number) = get(&queue) {
            if self.options.joinable {
                let ticket = queue.done(now()).unwrap().unwrap();
                queue.settle(ticket, None).unwrap();
            }
            found.push(number);
        }
        assert_eq!((queue.len(), queue.unfinished(), queue.nbytes()), (0, 0, 0), "{note}");
        for number in [1 << 40, (1 << 40) + 1] {
            put(&queue, number, 600);
        }
        drop(queue);
        // It goes on, and what went on is found as well.
        let queue = disk.open(&self.options, wipe(self.spare)).unwrap_or_else(|error| panic!("{note}, then: {error}"));
        assert_eq!(drain(&queue), [1 << 40, (1 << 40) + 1], "{note}");
        found
    }

    /// Whether a disk is as it may be. `is_promised`: nothing accepted is lost, nothing acknowledged is back.
    fn judge(&self, disk: &Model, kept: Kept, is_promised: bool) {
        let facts = self.facts.borrow();
        let note = format!("{kept:?}, {facts:?}");
        let found = self.contents(&disk.after_cut(kept), &note);
        assert!(found.is_sorted_by(|one, other| one < other), "{found:?} after {note}");
        assert!(found.iter().all(|&number| number < facts.next), "{found:?} after {note}");
        if is_promised {
            let must: BTreeSet<u64> = &(&facts.there | &facts.lent) - &facts.open;
            let may: BTreeSet<u64> = &(&facts.there | &facts.lent) | &facts.open;
            let found: BTreeSet<u64> = found.into_iter().collect();
            assert!(must.is_subset(&found), "{:?} lost after {note}", &must - &found);
            assert!(found.is_subset(&may), "{:?} back after {note}", &found - &may);
        }
    }

    fn judge_all(&self, disk: &Model, seed: u64) {
        self.judge(disk, Kept::Everything, true); // which is what is left when all processes are killed
        self.judge(disk, Kept::Nothing, self.options.power);
        for number in 0..3 {
            self.judge(disk, Kept::Some(seed * 3 + number + 1), self.options.power);
        }
    }

    /// Do `work` on a disk, and judge it after each store. How many there were.
    fn watch(self: &Rc<Self>, disk: &Model, work: impl FnOnce()) -> u64 {
        let (steps, trial) = (Rc::new(Cell::new(0)), Rc::clone(self));
        let counted = Rc::clone(&steps);
        disk.on_step(move |disk| {
            counted.set(counted.get() + 1);
            trial.judge_all(disk, counted.get());
        });
        work();
        disk.unwatched();
        steps.get()
    }

    /// After a cut, what is there is what was found: nothing is under way, or lent, any more.
    fn begin_again(&self, disk: &Model) {
        let there = self.contents(&disk.after_cut(Kept::Nothing), "found again");
        let mut facts = self.facts.borrow_mut();
        *facts = Facts { next: facts.next, there: there.into_iter().collect(), ..Facts::default() };
    }

    // --- what is done ----------------------------------------------------------------------------------------------

    fn put(&self, queue: &Queue<Played, Model>, sizes: &[usize]) {
        let numbers: Vec<u64> = (self.facts.borrow().next..).take(sizes.len()).collect();
        {
            let mut facts = self.facts.borrow_mut();
            facts.next += sizes.len() as u64;
            facts.open.extend(&numbers);
        }
        let bytes: Vec<_> = numbers.iter().zip(sizes).map(|(&number, &size)| payload(number, size)).collect();
        let parts: Vec<[&[u8]; 2]> = bytes.iter().map(|bytes| [&bytes[..5], &bytes[5..]]).collect();
        let records: Vec<&[&[u8]]> = parts.iter().map(|parts| &parts[..]).collect();
        let (count, ticket) = queue.put_many(&records, now()).unwrap();
        assert_eq!(count, records.len());
        queue.settle(ticket, None).unwrap();
        let mut facts = self.facts.borrow_mut();
        facts.there.extend(&numbers);
        facts.open.clear();
    }

    fn get(&self, queue: &Queue<Played, Model>, most: usize) {
        {
            let mut facts = self.facts.borrow_mut();
            if !self.options.joinable {
                let next: Vec<u64> = facts.there.iter().take(most).copied().collect();
                facts.open.extend(next);
            }
        }
        let mut taken = Vec::new();
        let got = queue.get_many(most, now(), |_, bytes| {
            taken.push(number_of(bytes));
            true
        });
        let Ok((_, ticket)) = got else { return };
        queue.settle(ticket, None).unwrap();
        let mut facts = self.facts.borrow_mut();
        facts.open.clear();
        for number in taken {
            assert!(facts.there.remove(&number), "{number} was not there");
            if self.options.joinable {
                facts.lent.insert(number);
            }
        }
    }

    fn done(&self, queue: &Queue<Played, Model>) {
        let Some(oldest) = self.facts.borrow().lent.first().copied() else { return };
        self.facts.borrow_mut().open.insert(oldest);
        let ticket = queue.done(now()).unwrap().unwrap();
        queue.settle(ticket, None).unwrap();
        let mut facts = self.facts.borrow_mut();
        facts.open.clear();
        facts.lent.remove(&oldest);
    }

    fn put_back(&self, queue: &Queue<Played, Model>) {
        let Some(last) = self.facts.borrow().lent.last().copied() else { return };
        let mut facts = self.facts.borrow_mut();
        facts.lent.remove(&last);
        facts.there.insert(last);
        drop(facts);
        // Its position is its number: they are given out in order, from 0. (Unless a cut has lost some.)
        if !queue.put_back(last).unwrap() {
            let mut facts = self.facts.borrow_mut();
            facts.there.remove(&last);
            facts.lent.insert(last);
        }
    }

    fn something(&self, queue: &Queue<Played, Model>, random: &mut Random) {
        let size = |random: &mut Random| match random.below(8) {
            0 => 700 + random.below(6000) as usize,
            1..=3 => random.below(700) as usize,
            _ => random.below(60) as usize,
        };
        match random.below(8) {
            0..=2 => self.put(queue, &[size(random)]),
            3 => {
                let sizes: Vec<_> = (0..1 + random.below(4)).map(|_| size(random)).collect();
                self.put(queue, &sizes);
            }
            4 | 5 => self.get(queue, 1),
            6 if self.options.joinable => {
                if random.below(4) == 0 {
                    self.put_back(queue)
                } else {
                    self.done(queue)
                }
            }
            6 => self.get(queue, 3),
            _ if self.options.joinable => self.done(queue),
            _ => self.get(queue, 2),
        }
    }
}

fn kinds() -> impl Iterator<Item = Options> {
    [false, true]
        .into_iter()
        .flat_map(|power| [false, true].into_iter().map(move |joinable| Options { power, joinable, ..small() }))
}

#[test]
fn at_every_store_of_puts_and_gets_over_several_segments() {
    for options in kinds() {
        let (trial, disk) = (Rc::new(Trial::new(options)), Model::default());
        let steps = trial.watch(&disk, || {
            let queue = disk.open(&options, state()).unwrap();
            for size in [10, 3000, 900, 0, 7000, 30, 2000] {
                trial.put(&queue, &[size]);
            }
            trial.put(&queue, &[1500, 40, 1500, 40]);
            for _ in 0..13 {
                trial.get(&queue, 1);
                trial.done(&queue);
            }
            trial.put(&queue, &[50]);
        });
        assert!(steps > 100, "{steps} stores");
        assert!(disk.syncs() > 0 || !options.power);
    }
}

#[test]
fn at_every_store_of_random_work_and_of_what_follows_a_cut() {
    let mut random = Random(0x5eed_0001);
    for options in kinds() {
        let trial = Rc::new(Trial::new(options));
        let mut disk = Model::default();
        for _ in 0..4 {
            let work = Rc::clone(&trial);
            let steps = trial.watch(&disk.clone(), || {
                // Recovery as well, from what the last cut has left.
                let queue = disk.open(&options, state()).unwrap();
                for _ in 0..12 {
                    work.something(&queue, &mut random);
                }
            });
            assert!(steps > 5, "{steps} stores");
            let kept = if options.power { Kept::Some(random.next()) } else { Kept::Everything };
            disk = disk.after_cut(kept);
            trial.begin_again(&disk);
        }
    }
}

/// Work in rounds, each cut somewhere and begun again from what that has left: what is lost, or comes back, because of
/// something that a cut before has left. Records are of one size, so that what follows fits where something was lost.
#[test]
fn in_many_rounds() {
    let mut random = Random(0x5eed_0002);
    for joinable in [false, true] {
        let options = Options { power: true, joinable, ..small() };
        let trial = Rc::new(Trial::new(options));
        let mut disk = Model::default();
        for round in 0..1500 {
            let (at, kept) = (1 + random.below(if round % 2 == 0 { 12 } else { 60 }), Kept::Some(random.next()));
            let found = Rc::new(RefCell::new(None));
            let (steps, result, watched) = (Cell::new(0), Rc::clone(&found), Rc::clone(&trial));
            disk.on_step(move |disk| {
                steps.set(steps.get() + 1);
                if steps.get() == at {
                    *result.borrow_mut() = Some((disk.after_cut(kept), watched.facts.borrow().clone()));
                }
            });
            let queue = disk.open(&options, wipe(trial.spare)).unwrap();
            let size = [472, 72, 984][round / 20 % 3];
            for _ in 0..6 {
                let crowded = if trial.facts.borrow().there.len() > 8 { 5 } else { 0 };
                match crowded + random.below(8 - crowded) {
                    0..=2 => trial.put(&queue, &[size; 3]),
                    3 | 4 => trial.put(&queue, &[size]),
                    5 => trial.done(&queue),
                    _ => trial.get(&queue, 2),
                }
            }
            disk.unwatched();
            drop(queue);
            let cut = found.borrow_mut().take();
            let (after, facts) = cut.unwrap_or_else(|| (disk.after_cut(kept), trial.facts.borrow().clone()));
            *trial.facts.borrow_mut() = facts;
            disk = after;
            trial.judge(&disk, Kept::Nothing, true);
            trial.begin_again(&disk);
        }
    }
}
