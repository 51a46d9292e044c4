//! How fast: nanoseconds for a put and a get of small records, and per commit. `cargo run --release -p procession-disk
//! --example speed [DIRECTORY]`.
#![allow(clippy::pedantic)] // of a tool one asks less

#[path = "../tests/support/mod.rs"]
mod support;

use procession_disk::{Options, Queue};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::{Played, state};

fn open(directory: &std::path::Path, options: &Options) -> Queue<Played> {
    let _ = std::fs::remove_dir_all(directory);
    std::fs::create_dir_all(directory).unwrap();
    Queue::make(directory, options, state(), Played(1)).unwrap()
}

fn ns(duration: Duration, count: usize) -> f64 {
    duration.as_nanos() as f64 / count as f64
}

fn main() {
    let directory = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from).join("procession-speed");
    let mut out = Vec::new();
    for size in [16, 100, 1000, 64 << 10] {
        let count = if size > 10_000 { 10_000 } else { 1_000_000 };
        let bytes = vec![7u8; size];
        for joinable in [false, true] {
            let queue = open(&directory, &Options { joinable, ..Options::default() });
            let start = Instant::now();
            for _ in 0..count {
                let _ = queue.put(&[&bytes], None).unwrap();
                out.clear();
                let _ = queue.get(None, &mut out).unwrap();
                if joinable {
                    let _ = queue.done(None).unwrap().unwrap();
                }
            }
            let turns = start.elapsed();
            let start = Instant::now();
            for _ in 0..count {
                let _ = queue.put(&[&bytes], None).unwrap();
            }
            let puts = start.elapsed();
            let start = Instant::now();
            for _ in 0..count {
                out.clear();
                let _ = queue.get(None, &mut out).unwrap();
                if joinable {
                    let _ = queue.done(None).unwrap().unwrap();
                }
            }
            let gets = start.elapsed();
            println!(
                "{size:6} bytes, joinable {joinable:5}: put and get in turn {:7.0} ns; all puts {:7.0} ns, then all gets {:7.0} ns",
                ns(turns, count),
                ns(puts, count),
                ns(gets, count)
            );
        }
    }
    let bytes = vec![7u8; 100];
    for batch in [1, 64] {
        let queue = open(&directory, &Options { power: true, ..Options::default() });
        let count = 300;
        let records: Vec<[&[u8]; 1]> = vec![[&bytes[..]]; batch];
        let records: Vec<&[&[u8]]> = records.iter().map(|parts| &parts[..]).collect();
        let start = Instant::now();
        for _ in 0..count {
            let (_, ticket) = queue.put_many(&records, None).unwrap();
            queue.settle(ticket, None).unwrap();
        }
        println!("power, {batch} a commit: {:.0} us a commit", ns(start.elapsed(), count) / 1000.0);
    }
    for threads in [1, 8] {
        let queue = open(&directory, &Options { power: true, ..Options::default() });
        let (count, start) = (300, Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..count {
                        let ticket = queue.put(&[&bytes], None).unwrap();
                        while queue.settle(ticket, None).is_err() {}
                    }
                });
            }
        });
        println!(
            "power, {threads} putters: {:.0} puts a second",
            (count * threads) as f64 / start.elapsed().as_secs_f64()
        );
    }
    let _ = std::fs::remove_dir_all(&directory);
}
