//! The recorder: several threads and forks, deaths at any instruction, a bound that is reached.
//!
//! What a process records to is its own business and the same for all its threads, so each scenario is a child's.
#![allow(clippy::pedantic)] // of a test one asks less
#![cfg(not(loom))]

mod support;

use procession_core::recorder::{self, CHECK, Event, TRACE, kind};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{alone, fork, kill, wait};

const NUMBERED: u16 = 200; // a kind that nobody else writes

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("procession-recorder-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Every place of every file: thread, kind, a, b. Places that are not finished are left out.
    fn records(&self) -> Vec<(u32, u16, u64, u64)> {
        self.files("records").iter().flat_map(|path| of_file(path)).collect()
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    }

    fn counters(&self) -> (u64, u64, u32) {
        let header = std::fs::read(self.0.join("header")).unwrap();
        (word(&header, 128), word(&header, 136), word(&header, 144) as u32)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn of_file(path: &Path) -> Vec<(u32, u16, u64, u64)> {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes.len() % 64, 0);
    let places = bytes.chunks_exact(64).skip(1).map(|place| (word(place, 16), word(place, 32), word(place, 40)));
    places
        .filter(|(third, ..)| third >> 32 != 0)
        .map(|(third, a, b)| (third as u32, (third >> 32) as u16, a, b))
        .collect()
}

fn numbered(a: u64) {
    recorder::record(&Event { kind: NUMBERED, a, b: !a, ..Event::default() });
}

/// Numbers that were written whole, each with its complement.
fn numbers(records: &[(u32, u16, u64, u64)]) -> Vec<u64> {
    let ours = records.iter().filter(|record| record.1 == NUMBERED);
    ours.map(|&(_, _, a, b)| if a == !b { a } else { panic!("a torn record") }).collect()
}

#[test]
fn is_off_unless_somebody_joins() {
    let _alone = alone();
    let child = fork(|| {
        assert!(!recorder::is_on(TRACE | CHECK));
        numbered(1);
        assert_eq!((recorder::ticket(), recorder::label("x"), recorder::label_stack(&[1])), (0, 0, 0));
    });
    assert_eq!(wait(child), 0);
}

#[test]
fn threads_and_forks_lose_nothing_and_take_tickets_once() {
    let (_alone, directory) = (alone(), Directory::new("threads"));
    let child = fork(|| {
        recorder::create(&directory.0, TRACE, 0).unwrap();
        assert_eq!(recorder::join(&directory.0).unwrap(), TRACE);
        assert!(recorder::is_on(TRACE) && !recorder::is_on(CHECK));
        numbered(0);
        let work = |from: u64| {
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    scope.spawn(move || {
                        for number in 0..5000 {
                            let ticket = recorder::ticket();
                            let a = from + 5000 * thread + number;
                            recorder::record(&Event { kind: NUMBERED, a, b: !a, ticket, ..Event::default() });
                        }
                    });
                }
            });
        };
        let grandchild = fork(|| work(100_001));
        work(1);
        assert_eq!(wait(grandchild), 0);
    });
    assert_eq!(wait(child), 0);
    let files = directory.files("records");
    assert_eq!(files.len(), 2);
    let records = directory.records();
    let seen: HashSet<u64> = numbers(&records).into_iter().collect();
    assert_eq!(seen.len(), 40_001);
    let threads: HashSet<u32> = records.iter().map(|record| record.0).collect();
    assert_eq!(threads.len(), 9, "the first's main thread, and four of each");
    assert_eq!(records.iter().filter(|record| record.1 == kind::PROCESS).count(), 2);
    let mut tickets = Vec::new();
    for path in files {
        let bytes = std::fs::read(path).unwrap();
        tickets.extend(bytes.chunks_exact(64).skip(1).map(|place| word(place, 8)).filter(|&ticket| ticket != 0));
    }
    tickets.sort_unstable();
    assert_eq!(tickets, (1..=40_000).collect::<Vec<_>>());
    assert_eq!(directory.counters().1, 0);
}

#[test]
fn what_was_written_survives_a_kill_at_any_instruction() {
    let (_alone, directory) = (alone(), Directory::new("kill"));
    recorder::create(&directory.0, CHECK, 0).unwrap();
    for round in 0..40u64 {
        let child = fork(|| {
            recorder::join(&directory.0).unwrap();
            let mut number = 0;
            loop {
                numbered(number);
                recorder::label(&format!("line {number}"));
                number += 1;
            }
        });
        let file = || {
            directory
                .files("records")
                .into_iter()
                .find(|path| path.display().to_string().contains(&format!("/{child}-")))
        };
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(300 * round) || file().is_none_or(|path| of_file(&path).len() < 2)
        {
            std::hint::spin_loop();
        }
        kill(child);
        assert_eq!(wait(child), -libc::SIGKILL);
        let path = file().unwrap();
        let seen = numbers(&of_file(&path));
        assert_eq!(seen, (0..seen.len() as u64).collect::<Vec<_>>(), "one thread leaves no gap");
        let labels = std::fs::read_to_string(path.with_extension("labels")).unwrap();
        let whole: Vec<_> = labels.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        assert!(
            whole.len() + 1 >= seen.len() - 1
                && whole.iter().enumerate().all(|(at, line)| *line == format!("=line {at}\n"))
        );
    }
}

#[test]
fn a_bound_is_kept_by_the_family_and_told() {
    let (_alone, directory) = (alone(), Directory::new("bound"));
    recorder::create(&directory.0, TRACE, 1 << 20).unwrap();
    let children: Vec<_> = (0..3u64)
        .map(|child| {
            fork(|| {
                recorder::join(&directory.0).unwrap();
                (0..20_000).for_each(|number| numbered(20_000 * child + number));
            })
        })
        .collect();
    assert_eq!(children.into_iter().map(wait).sum::<i32>(), 0);
    let bytes: u64 = directory.files("records").iter().map(|path| path.metadata().unwrap().len()).sum();
    let (reserved, dropped, stopped) = directory.counters();
    assert_eq!((bytes, stopped), (reserved, u32::MAX));
    assert!(reserved <= 1 << 20 && reserved > 1 << 19, "{reserved}");
    assert_eq!(numbers(&directory.records()).len() as u64 + dropped, 60_000);
}

#[test]
fn a_file_that_may_not_grow_stops_the_recording_and_nothing_else() {
    let (_alone, directory) = (alone(), Directory::new("fsize"));
    recorder::create(&directory.0, TRACE, 0).unwrap();
    let child = fork(|| {
        let limit = libc::rlimit { rlim_cur: 1 << 17, rlim_max: 1 << 17 };
        // SAFETY: reads `limit` only.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
        recorder::join(&directory.0).unwrap();
        (0..10_000).for_each(numbered);
    });
    assert_eq!(wait(child), 0, "not SIGXFSZ");
    let (_, dropped, stopped) = directory.counters();
    assert_eq!(stopped, libc::EFBIG as u32);
    assert_eq!(numbers(&directory.records()).len() as u64 + dropped, 10_000);
}

#[test]
fn labels_are_numbered_once_and_stand_on_one_line() {
    let (_alone, directory) = (alone(), Directory::new("labels"));
    let child = fork(|| {
        recorder::create(&directory.0, TRACE, 0).unwrap();
        recorder::join(&directory.0).unwrap();
        let (first, second) = (recorder::label("a\nb\\n"), recorder::label("@c"));
        assert_eq!((first, second, recorder::label("a\nb\\n")), (1, 2, 1));
        assert_eq!((recorder::label_stack(&[second, first]), recorder::label_stack(&[])), (3, 0));
        let before = recorder::generation();
        let grandchild = fork(|| {
            assert_ne!(recorder::generation(), before);
            assert_eq!(recorder::label("@c"), 1);
        });
        assert_eq!((wait(grandchild), recorder::generation()), (0, before));
    });
    assert_eq!(wait(child), 0);
    let mut texts: Vec<_> =
        directory.files("labels").iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    texts.sort();
    assert_eq!(texts, ["=@c\n", "=a\\nb\\\\n\n=@c\n@2 1\n"]);
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let (_alone, directory) = (alone(), Directory::new("other"));
    assert_eq!(recorder::join(&directory.0).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    std::fs::write(directory.0.join("header"), [7; 4096]).unwrap();
    assert!(recorder::join(&directory.0).unwrap_err().to_string().contains("damaged"));
    std::fs::remove_file(directory.0.join("header")).unwrap();
    recorder::create(&directory.0, TRACE, 0).unwrap();
    recorder::create(&directory.0, CHECK, 0).unwrap(); // there is one: it stays
    let mut header = std::fs::read(directory.0.join("header")).unwrap();
    assert_eq!(header[12], 1);
    header[8] = 9;
    std::fs::write(directory.0.join("header"), header).unwrap();
    assert!(recorder::join(&directory.0).unwrap_err().to_string().contains("version 9"));
}
