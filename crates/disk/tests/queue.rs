//! One queue in its files: what is put is taken, in order, now and after everybody has gone.
#![allow(clippy::pedantic)] // of a test one asks less

mod support;

use procession_disk::{Error, Options, Queue};
use support::{Played, Scratch, drain, get, now, payload, put, small, state};

fn open(scratch: &Scratch, options: Options) -> Queue<Played> {
    Queue::make(scratch.path(), &options, state(), Played(1)).unwrap()
}

#[test]
fn what_is_put_is_taken_in_order() {
    for power in [false, true] {
        let scratch = Scratch::new(if power { "order-power" } else { "order" });
        let queue = open(&scratch, Options { power, ..small() });
        assert_eq!(get(&queue), None);
        let sizes = [0, 1, 7, 8, 100, 3000, 5000, 40_000];
        for number in 0..100 {
            put(&queue, number, sizes[number as usize % sizes.len()]);
        }
        assert_eq!(queue.len(), 100);
        assert_eq!((0..40).map(|_| get(&queue).unwrap()).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
        drop(queue);
        let queue = open(&scratch, Options { power, ..small() });
        assert_eq!((queue.len(), queue.position()), (60, (40, 100)));
        put(&queue, 100, 10);
        assert_eq!(drain(&queue), (40..101).collect::<Vec<_>>());
        assert_eq!((queue.len(), queue.nbytes(), queue.unfinished()), (0, 0, 0));
    }
}

#[test]
fn an_emptied_queue_takes_next_to_nothing() {
    let scratch = Scratch::new("emptied");
    let queue = open(&scratch, Options::default());
    for number in 0..20_000 {
        put(&queue, number, 500);
    }
    assert!(scratch.files().len() > 3);
    assert_eq!(drain(&queue).len(), 20_000);
    let files = scratch.files();
    assert!(files.iter().map(|file| file.1).sum::<u64>() <= 1 << 20, "{files:?}");
    put(&queue, 1, 1);
    assert_eq!(drain(&queue), [1]);
}

#[test]
fn bounds_hold() {
    let scratch = Scratch::new("bounds");
    let queue = open(&scratch, Options { max_items: 2, max_bytes: 1000, ..small() });
    put(&queue, 0, 0);
    put(&queue, 1, 0);
    assert!(matches!(queue.put(&[b"x"], now()), Err(Error::Full)));
    assert!(matches!(queue.put(&[&[0; 2000]], now()), Err(Error::TooLarge { .. })));
    assert_eq!(get(&queue), Some(0));
    assert!(matches!(queue.put(&[&[0; 930]], now()), Err(Error::Full)));
    put(&queue, 2, 0);
    assert_eq!(drain(&queue), [1, 2]);
    let _ = payload(0, 0);
}
