//! What is damaged, a disk that is full or fails, many putters to a commit, who waits, and who has taken what.
#![allow(clippy::pedantic)] // of a test one asks less

mod support;

use procession_disk::{Error, Options, Queue, State};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::model::{Kept, Model};
use support::{Played, Scratch, drain, get, now, payload, put, small, state};

fn power() -> Options {
    Options { power: true, ..small() }
}

/// Ten records of 200 bytes, all on the disk; a record takes 232, the first is at 64.
fn ten(options: &Options) -> Model {
    let disk = Model::default();
    let queue = disk.open(options, state()).unwrap();
    (0..10).for_each(|number| put(&queue, number, 192));
    queue.flush(None).unwrap();
    put(&queue, 10, 192); // one that knows
    disk
}

#[test]
fn damage_in_the_middle_is_told_with_file_and_place_and_changes_nothing() {
    for options in [power(), small()] {
        let disk = ten(&options);
        disk.damage(64 + 232 * 4 + 100);
        for _ in 0..2 {
            match disk.open(&options, state()) {
                Err(Error::Damaged { file, at, .. }) => {
                    assert_eq!((file.to_str(), at), (Some("00000000000000000000.log"), 64 + 232 * 4));
                }
                other => panic!("{other:?}"),
            }
        }
        disk.damage(64 + 232 * 4 + 100); // the same bit again: as it was
        assert_eq!(drain(&disk.open(&options, state()).unwrap()).len(), 11);
    }
}

#[test]
fn what_is_whole_behind_damage_can_be_saved() {
    let disk = ten(&power());
    let again = state();
    for record in [2, 3, 7] {
        disk.damage(64 + 232 * record + 100);
    }
    disk.damage(64 + 232 * 7 + 12); // and a length
    assert!(matches!(disk.open(&power(), again), Err(Error::Damaged { .. })));
    let queue = disk.open(&Options { salvage: true, ..power() }, support::wipe(again)).unwrap();
    assert_eq!(queue.len(), 8);
    assert_eq!((get(&queue), get(&queue), get(&queue)), (Some(0), Some(1), Some(4)));
    put(&queue, 11, 500);
    drop(queue);
    // It was written down, once and for all.
    let queue = disk.open(&power(), support::wipe(again)).unwrap();
    assert_eq!((queue.len(), drain(&queue)), (6, vec![5, 6, 8, 9, 10, 11]));
}

#[test]
fn so_can_what_is_in_later_segments() {
    let disk = Model::default();
    let queue = disk.open(&power(), state()).unwrap();
    (0..12).for_each(|number| put(&queue, number, 992)); // three to a segment
    assert!(disk.names().len() > 2);
    disk.damage(64 + 1032 * 2 + 500);
    assert!(matches!(disk.open(&power(), state()), Err(Error::Damaged { at: 2128, .. })));
    let queue = disk.open(&Options { salvage: true, ..power() }, state()).unwrap();
    assert_eq!(drain(&queue), [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
}

#[test]
fn what_was_not_known_to_be_on_the_disk_is_cut_off() {
    // Without a sync one cannot tell damage from what a power cut left, and that must not keep the queue shut.
    let disk = Model::default();
    let queue = disk.open(&small(), state()).unwrap();
    (0..5).for_each(|number| put(&queue, number, 192));
    disk.damage(64 + 232 * 3 + 100);
    let queue = disk.open(&small(), state()).unwrap();
    put(&queue, 5, 192);
    assert_eq!(drain(&queue), [0, 1, 2, 5]);
}

#[test]
fn what_was_put_and_is_not_there_is_told_unless_the_power_failed() {
    let intact = Options { intact: true, ..small() };
    let disk = Model::default();
    let queue = disk.open(&small(), state()).unwrap();
    (0..5).for_each(|number| put(&queue, number, 192));
    disk.damage(64 + 232 * 3 + 100);
    assert!(matches!(disk.open(&intact, state()), Err(Error::Damaged { at, .. }) if at == 64 + 232 * 3));
    // The last one may be half of a record whose putter was killed.
    disk.damage(64 + 232 * 3 + 100);
    disk.damage(64 + 232 * 4 + 100);
    assert_eq!(drain(&disk.open(&intact, state()).unwrap()), [0, 1, 2, 3]);
}

#[test]
fn what_is_damaged_while_it_is_open_is_not_handed_out() {
    let disk = ten(&power());
    let queue = disk.open(&power(), state()).unwrap();
    disk.damage(64 + 100);
    let mut bytes = Vec::new();
    for _ in 0..2 {
        assert!(matches!(queue.get(now(), &mut bytes), Err(Error::Damaged { at: 64, .. })));
    }
    assert!(bytes.is_empty());
    disk.damage(64 + 100);
    assert_eq!(drain(&queue).len(), 11);
}

#[test]
fn a_lost_segment_is_told_unless_all_before_it_is_done() {
    let disk = Model::default();
    let queue = disk.open(&power(), state()).unwrap();
    (0..20).for_each(|number| put(&queue, number, 1000));
    let names = disk.names();
    assert!(names.len() > 3);
    let cut = disk.after_cut(Kept::Everything);
    cut.lose(names[1]);
    let opened = cut.open(&power(), state());
    assert!(matches!(&opened, Err(Error::Damaged { file, .. }) if *file == cut_path(names[2])), "{opened:?}");
    // Removed oldest first, but the disk may remember it otherwise.
    let first: Vec<u64> = (0..4).map(|_| get(&queue).unwrap()).collect();
    assert_eq!(first, [0, 1, 2, 3]);
    let cut = disk.after_cut(Kept::Nothing);
    let names = cut.names();
    let left = drain(&cut.open(&power(), state()).unwrap());
    assert_eq!(left, (4..20).collect::<Vec<_>>(), "{names:?}");
}

fn cut_path(name: u64) -> std::path::PathBuf {
    format!("{name:020}.log").into()
}

#[test]
fn a_file_that_is_not_ours_is_refused() {
    let scratch = Scratch::new("foreign");
    let path = scratch.path().join("00000000000000000000.log");
    for contents in
        [&b"somebody's diary, and long enough to be taken for the start of a segment of a log"[..], b"short"]
    {
        std::fs::write(&path, contents).unwrap();
        let opened = Queue::make(scratch.path(), &small(), state(), Played(1));
        assert!(matches!(&opened, Err(Error::Damaged { file, at: 0, .. }) if *file == path), "{opened:?}");
        assert_eq!(std::fs::read(&path).unwrap(), contents);
    }
    let opened = Queue::make(&scratch.path().join("nowhere"), &small(), state(), Played(1));
    assert!(matches!(opened, Err(Error::System { .. })));
}

#[test]
fn a_truncated_segment_is_refused() {
    let scratch = Scratch::new("truncated");
    let queue = Queue::make(scratch.path(), &small(), state(), Played(1)).unwrap();
    put(&queue, 0, 100);
    drop(queue);
    let path = scratch.path().join("00000000000000000000.log");
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1000).unwrap();
    assert!(matches!(Queue::make(scratch.path(), &small(), state(), Played(1)), Err(Error::Damaged { .. })));
}

#[test]
fn a_full_disk_fails_the_put_and_nothing_else() {
    for options in [power(), small()] {
        let disk = Model::default();
        let queue = disk.open(&options, state()).unwrap();
        disk.set_room(Some(1));
        let mut put_so_far = 0;
        let error = loop {
            let bytes = payload(put_so_far, 1000);
            match queue.put(&[&bytes], now()) {
                Ok(ticket) => queue.settle(ticket, None).unwrap(),
                Err(error) => break error,
            }
            put_so_far += 1;
        };
        assert!(matches!(&error, Error::System { error, .. } if error.raw_os_error() == Some(libc::ENOSPC)));
        assert!(put_so_far > 3);
        assert_eq!(get(&queue), Some(0)); // which needs no room
        disk.set_room(None);
        put(&queue, put_so_far, 1000);
        let after = disk.after_cut(Kept::Everything);
        for queue in [queue, after.open(&options, state()).unwrap()] {
            assert_eq!(drain(&queue), (1..=put_so_far).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_disk_that_failed_to_sync_is_not_believed_again() {
    let disk = ten(&power());
    let queue = disk.open(&power(), state()).unwrap();
    disk.set_failing(true);
    let ticket = queue.put(&[b"x"], now()).unwrap();
    assert!(matches!(queue.settle(ticket, None), Err(Error::System { .. })));
    disk.set_failing(false);
    assert!(matches!(queue.settle(ticket, None), Err(Error::Poisoned)));
    assert!(matches!(queue.put(&[b"x"], now()), Err(Error::Poisoned)));
    assert!(matches!(queue.get(now(), &mut Vec::new()), Err(Error::Poisoned)));
    assert_eq!(disk.open(&power(), state()).unwrap().len(), 12);
}

#[test]
fn one_sync_serves_many_putters() {
    let scratch = Scratch::new("commit");
    let queue =
        Queue::make(scratch.path(), &Options { power: true, ..Options::default() }, state(), Played(1)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let queue = &queue;
            scope.spawn(move || (0..20).for_each(|number| settled(queue, thread * 100 + number)));
        }
    });
    let mut numbers = drain(&queue);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..4).flat_map(|thread| (0..20).map(move |number| thread * 100 + number)).collect::<Vec<_>>());
}

fn settled(queue: &Queue<Played>, number: u64) {
    let ticket = queue.put(&[&payload(number, 50)], None).unwrap();
    while let Err(error) = queue.settle(ticket, None) {
        assert!(matches!(error, Error::Interrupted), "{error}");
    }
}

#[test]
fn what_needs_no_sync_gets_none() {
    let disk = Model::default();
    let queue = disk.open(&power(), state()).unwrap();
    let before = disk.syncs();
    let tickets: Vec<_> = (0..3).map(|number| queue.put(&[&payload(number, 0)], now()).unwrap()).collect();
    tickets.iter().rev().for_each(|&ticket| queue.settle(ticket, None).unwrap());
    assert_eq!(disk.syncs() - before, 1);
    let (count, ticket) = queue.get_many(3, now(), |_, _| true).unwrap();
    queue.settle(ticket, None).unwrap();
    assert_eq!((count, disk.syncs() - before), (3, 2));
}

#[test]
fn who_waits_is_woken_by_room_by_records_by_the_end_and_by_shutting_down() {
    let scratch = Scratch::new("waiting");
    let options = Options { max_items: 1, joinable: true, ..small() };
    let queue = Queue::make(scratch.path(), &options, state(), Played(1)).unwrap();
    let patiently = |call: &mut dyn FnMut() -> Result<(), Error>| loop {
        match call() {
            Err(Error::Interrupted) => {}
            other => return other,
        }
    };
    let joined = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..50).for_each(|number| {
                patiently(&mut || queue.put(&[&payload(number, 1)], None).map(|_| ())).unwrap();
            });
            patiently(&mut || queue.join(None)).unwrap();
            joined.store(true, Ordering::SeqCst);
            queue.shut_down(false).unwrap();
        });
        for number in 0..50 {
            let mut bytes = Vec::new();
            patiently(&mut || queue.get(None, &mut bytes).map(|_| ())).unwrap();
            assert_eq!(bytes, payload(number, 1));
            assert!(!joined.load(Ordering::SeqCst));
            let _ = queue.done(None).unwrap().unwrap();
        }
        let ended = patiently(&mut || queue.get(None, &mut Vec::new()).map(|_| ()));
        assert!(matches!(ended, Err(Error::ShutDown)), "{ended:?}");
    });
    assert!(matches!(queue.put(&[b"x"], now()), Err(Error::ShutDown)));
    let start = Instant::now();
    let soon = Some(Instant::now() + Duration::from_millis(20));
    assert!(matches!(queue.get(soon, &mut Vec::new()), Err(Error::ShutDown)));
    let _ = start;
}

#[test]
fn deliveries_are_counted_beyond_the_last_process() {
    let disk = Model::default();
    let options = Options { joinable: true, ..small() };
    for expected in 1..4 {
        let queue = disk.open(&options, state()).unwrap();
        if expected == 1 {
            put(&queue, 0, 10);
        }
        let (got, _) = queue.get(now(), &mut Vec::new()).unwrap();
        assert_eq!((got.position, got.deliveries), (0, expected));
    }
}

#[test]
fn an_acknowledgement_is_for_the_oldest_of_ones_own_or_of_anybody() {
    let (disk, state): (Model, &'static State) = (Model::default(), state());
    let options = Options { joinable: true, ..small() };
    let first = disk.open(&options, state).unwrap();
    let second = Queue::attach_in(disk.clone(), state, Played(2));
    let third = Queue::attach_in(disk.clone(), state, Played(3));
    (0..4).for_each(|number| put(&first, number, 10));
    assert!(first.done(now()).unwrap().is_none());
    assert_eq!((get(&first), get(&second), get(&first)), (Some(0), Some(1), Some(2)));
    assert!(second.done(now()).unwrap().is_some()); // 1
    assert!(third.done(now()).unwrap().is_some()); // 0, as it has none
    assert!(first.put_back(2).unwrap());
    assert!(!first.put_back(2).unwrap());
    assert_eq!((second.unfinished(), second.len()), (2, 2));
    assert_eq!((get(&second), get(&third)), (Some(2), Some(3)));
    assert!(second.done(now()).unwrap().is_some() && third.done(now()).unwrap().is_some());
    assert_eq!((first.unfinished(), first.len()), (0, 0));
}

#[test]
fn shutting_down_at_once_drops_what_nobody_has() {
    for joinable in [false, true] {
        let disk = Model::default();
        let options = Options { joinable, ..small() };
        let queue = disk.open(&options, state()).unwrap();
        (0..9).for_each(|number| put(&queue, number, 900));
        assert_eq!(get(&queue), Some(0));
        assert_eq!(queue.shut_down(true).unwrap(), 8);
        assert_eq!((queue.len(), queue.unfinished()), (0, u64::from(joinable)));
        let again = disk.open(&options, support::state()).unwrap();
        assert_eq!(again.len(), u64::from(joinable));
    }
}
