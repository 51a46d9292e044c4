//! Neither the files nor this process's memory grow with what has passed. A test of its own process: it looks at all
//! of that's memory.
#![allow(clippy::pedantic)] // of a test one asks less

mod support;

use procession_disk::{Options, Queue};
use support::{Played, Scratch, drain, now, payload, state};

/// Bytes of this process's memory that are in use, of files too.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn neither_files_nor_memory_grow_with_what_passes() {
    let scratch = Scratch::fast("flat");
    let options = Options { segments: (64 << 10, 1 << 20), ..Options::default() };
    let queue = Queue::make(scratch.path(), &options, state(), Played(1)).unwrap();
    let bytes = payload(7, 1000);
    let mut after_one = 0;
    for round in 0..4 {
        for _ in 0..30_000 {
            let _ = queue.put(&[&bytes], now()).unwrap();
        }
        assert!(scratch.files().iter().map(|file| file.1).sum::<u64>() > 25 << 20);
        assert_eq!(drain(&queue).len(), 30_000);
        let left: u64 = scratch.files().iter().map(|file| file.1).sum();
        assert!(left <= 4 * (64 << 10), "{:?}", scratch.files());
        if round == 0 {
            after_one = resident();
        }
    }
    // What the process has in memory is bounded by a few segments.
    assert!(resident() < after_one + (24 << 20), "{} and then {}", after_one, resident());
}
