//! Pairs through tables, runs and merging, against the plainest model: a map from key to all its values.

mod common;

use std::collections::BTreeMap;
use std::fs::File;

use common::memory_file;
use procession_gather::answer::Answer;
use procession_gather::error::GatherError;
use procession_gather::item::{DEPTH, Item, Kind, Unorderable};
use procession_gather::merge::{Members, Native, merge};
use procession_gather::num::Num;
use procession_gather::reduce::{Combiner, Reducer, packed};
use procession_gather::run::{Run, SLOTS};
use procession_gather::segment::Value;

/// A generator of Marsaglia's (xorshift), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

fn int(value: i64) -> [u8; 8] {
    value.to_le_bytes()
}

/// Combine random pairs in `tables` tables, each flushed `flushes` times, merge them in `ranges`, open the answer.
fn gathered(how: Reducer, pairs: &[(String, i64, u64)], flushes: usize, ranges: usize) -> (File, Answer) {
    let (_spool_file, spool) = memory_file();
    let mut runs: Vec<(Run, Run)> = Vec::new();
    for part in pairs.chunks(pairs.len().div_ceil(flushes).max(1)) {
        let mut combiner = Combiner::new(how);
        for (key, value, order) in part {
            let (key, bytes) = (Item::str(key), int(*value));
            let value = Item { kind: Kind::Int, bytes: &bytes };
            match how {
                Reducer::Count => combiner.count(key.hash(), &key, 1),
                _ => combiner.add(key.hash(), &key, &value, *order).unwrap(),
            }
        }
        runs.push(combiner.flush(&spool, |_, _, _| Ok::<(), GatherError>(())).unwrap());
        assert_eq!(combiner.len(), 0);
    }
    let runs: Vec<(Run, Run)> = runs
        .iter()
        .map(|(entries, members)| {
            let mut bytes = Vec::new();
            entries.write(&mut bytes);
            members.write(&mut bytes);
            let mut input = &bytes[..];
            (Run::read(&mut input).unwrap(), Run::read(&mut input).unwrap())
        })
        .collect();
    let (answer_file, answer) = memory_file();
    let (mut segments, mut member_segments) = (Vec::new(), Vec::new());
    for range in 0..ranges {
        let (low, high) = (SLOTS * range / ranges, SLOTS * (range + 1) / ranges);
        let entries: Vec<_> = runs.iter().map(|run| (&spool, &run.0)).collect();
        segments.extend(merge(&entries, low, high, &mut Native::new(how), &answer, usize::MAX).unwrap());
        let members: Vec<_> = runs.iter().map(|run| (&spool, &run.1)).collect();
        member_segments.extend(merge(&members, low, high, &mut Members::default(), &answer, usize::MAX).unwrap());
    }
    Answer::seal(&answer_file, how.shape(), b"", &segments, &member_segments).unwrap();
    let opened = Answer::open(&answer_file).unwrap();
    (answer_file, opened)
}

fn random_pairs(seed: u64, count: u64, keys: u64) -> Vec<(String, i64, u64)> {
    let mut random = Random(seed);
    (0..count)
        .map(|order| (format!("key-{}", random.below(keys)), random.below(1000) as i64 - 500, order / 3))
        .collect()
}

fn unpacked(mut bytes: &[u8]) -> Vec<i64> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        values.push(Item::unpack(&mut bytes).unwrap().as_int().unwrap());
    }
    values
}

fn members(answer: &Answer, bytes: &[u8]) -> Vec<i64> {
    let of = |print: &[u8; 8]| answer.value_of(u64::from_le_bytes(*print)).unwrap().as_int().unwrap();
    let mut found: Vec<i64> = bytes.as_chunks::<8>().0.iter().map(of).collect();
    found.sort_unstable();
    found
}

#[test]
fn every_reducer_gives_what_the_plain_model_gives() {
    for (seed, count, keys, flushes, ranges) in [(1, 5000, 300, 4, 3), (2, 20_000, 19_000, 2, 7), (3, 40, 3, 9, 1)] {
        let pairs = random_pairs(seed, count, keys);
        let mut plain: BTreeMap<String, Vec<(u64, i64)>> = BTreeMap::new();
        for (key, value, order) in &pairs {
            plain.entry(key.clone()).or_default().push((*order, *value));
        }
        for how in [
            Reducer::Count,
            Reducer::Sum,
            Reducer::Mean,
            Reducer::Min,
            Reducer::Max,
            Reducer::First,
            Reducer::List,
            Reducer::Set,
            Reducer::Top(3),
        ] {
            let (_file, answer) = gathered(how, &pairs, flushes, ranges);
            assert_eq!(answer.len(), plain.len() as u64, "{how:?}");
            for (key, values) in &plain {
                let found = answer.get(&Item::str(key)).unwrap();
                check(how, &answer, found, &values.iter().map(|pair| pair.1).collect::<Vec<_>>());
            }
            assert_eq!(answer.get(&Item::str("no such key")), None);
        }
    }
}

fn check(how: Reducer, answer: &Answer, found: Value, values: &[i64]) {
    let bytes = if let Value::Bytes(bytes) = found { bytes } else { &[] };
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    match how {
        Reducer::Count => assert_eq!(found, Value::Int(values.len() as i64)),
        Reducer::Sum => assert_eq!(found, Value::Int(values.iter().sum())),
        Reducer::Mean => assert_eq!(found, Value::Float(values.iter().sum::<i64>() as f64 / values.len() as f64)),
        Reducer::Min => assert_eq!(found, Value::Int(sorted[0])),
        Reducer::Max => assert_eq!(found, Value::Int(*sorted.last().unwrap())),
        Reducer::First => assert_eq!(found, Value::Int(values[0])),
        Reducer::List => assert_eq!(unpacked(bytes), values),
        Reducer::Set => {
            sorted.dedup();
            assert_eq!(members(answer, bytes), sorted);
        }
        Reducer::Top(most) => {
            sorted.reverse();
            sorted.truncate(most);
            assert_eq!(unpacked(bytes), sorted);
        }
        Reducer::Foreign => unreachable!(),
    }
}

#[test]
fn keys_of_equal_hash_stay_apart_through_runs_and_merging() {
    let (_file, spool) = memory_file();
    let mut runs = Vec::new();
    for times in 1..4 {
        let mut combiner = Combiner::new(Reducer::Count);
        for word in ["a", "b", "c"] {
            combiner.count(42 << 56, &Item::str(word), times);
        }
        combiner.count(42 << 56, &Item { kind: Kind::Bytes, bytes: b"a" }, 10 * times);
        runs.push(combiner.flush(&spool, |_, _, _| Ok::<(), GatherError>(())).unwrap().0);
    }
    let (_answer_file, answer) = memory_file();
    let runs: Vec<_> = runs.iter().map(|run| (&spool, run)).collect();
    let segments = merge(&runs, 0, SLOTS, &mut Native::new(Reducer::Count), &answer, usize::MAX).unwrap();
    assert_eq!(segments.iter().map(|segment| segment.entries).sum::<u64>(), 4);
}

#[test]
fn a_record_longer_than_every_buffer_travels() {
    let (_file, spool) = memory_file();
    let long = "x".repeat(3 << 20);
    let mut combiner = Combiner::new(Reducer::Sum);
    for (key, value) in [(&long[..], 1), (&long[1..], 2), ("short", 3)] {
        let key = Item::str(key);
        combiner.number(key.hash(), &key, Num::Int(value)).unwrap();
    }
    let runs = combiner.flush(&spool, |_, _, _| Ok::<(), GatherError>(())).unwrap();
    let (file, answer) = memory_file();
    let segments = merge(&[(&spool, &runs.0)], 0, SLOTS, &mut Native::new(Reducer::Sum), &answer, usize::MAX).unwrap();
    Answer::seal(&file, Reducer::Sum.shape(), b"", &segments, &[]).unwrap();
    let opened = Answer::open(&file).unwrap();
    assert_eq!(opened.get(&Item::str(&long)), Some(Value::Int(1)));
    assert_eq!(opened.get(&Item::str(&long[1..])), Some(Value::Int(2)));
}

#[test]
fn what_cannot_be_summed_or_ordered_is_an_error() {
    let (one, key) = (int(1), Item::str("k"));
    let (one, text) = (Item { kind: Kind::Int, bytes: &one }, Item::str("text"));
    let mut sums = Combiner::new(Reducer::Sum);
    assert!(matches!(sums.add(1, &key, &text, 0), Err(GatherError::NotANumber(_))));
    for how in [Reducer::Min, Reducer::Max, Reducer::Top(2)] {
        for (a, b) in [(&one, &text), (&text, &one)] {
            let mut combiner = Combiner::new(how);
            combiner.add(1, &key, a, 0).unwrap();
            assert!(matches!(combiner.add(1, &key, b, 0), Err(GatherError::Unorderable(..))), "{how:?}");
        }
    }
    let mut texts = Combiner::new(Reducer::Min);
    for word in ["pear", "apple", "plum"] {
        texts.add(1, &key, &Item::str(word), 0).unwrap();
    }
    let (_file, spool) = memory_file();
    let run = texts.flush(&spool, |_, _, _| Ok::<(), GatherError>(())).unwrap().0;
    let (file, answer) = memory_file();
    let segments = merge(&[(&spool, &run)], 0, SLOTS, &mut Native::new(Reducer::Min), &answer, usize::MAX).unwrap();
    Answer::seal(&file, Reducer::Min.shape(), b"", &segments, &[]).unwrap();
    let mut packed = Vec::new();
    Item::str("apple").pack(&mut packed);
    assert_eq!(Answer::open(&file).unwrap().entry(0), Some((key, Value::Bytes(&packed))));
}

#[test]
fn tuples_compare_down_to_a_depth_that_no_stack_minds() {
    let nested = |text: &str, depth: usize| {
        (0..=depth).fold(packed(&Item::str(text)), |bytes, _| packed(&Item { kind: Kind::Tuple, bytes: &bytes }))
    };
    let compare = |depth| {
        let (less, more) = (nested("a", depth), nested("b", depth));
        Item::unpack(&mut &less[..]).unwrap().compare(&Item::unpack(&mut &more[..]).unwrap())
    };
    assert_eq!(compare(DEPTH - 1), Ok(std::cmp::Ordering::Less));
    assert_eq!(compare(DEPTH), Err(Unorderable));
    assert_eq!(compare(20_000), Err(Unorderable));
}

#[test]
fn the_best_that_were_dropped_count_no_more() {
    let mut combiner = Combiner::new(Reducer::Top(3));
    let key = Item::str("k");
    let mut sizes = Vec::new();
    for number in 0..10_000 {
        let value = int(number);
        combiner.add(key.hash(), &key, &Item { kind: Kind::Int, bytes: &value }, 0).unwrap();
        sizes.push(combiner.size());
    }
    assert_eq!(sizes[3], sizes[9_999]);
}

#[test]
fn the_size_of_a_value_kept_instead_of_another_counts() {
    for how in [Reducer::Min, Reducer::First] {
        let (mut combiner, key) = (Combiner::new(how), Item::str("k"));
        combiner.add(key.hash(), &key, &Item::str("b"), 1).unwrap();
        let before = combiner.size();
        combiner.add(key.hash(), &key, &Item::str(&"a".repeat(1000)), 0).unwrap();
        assert!(combiner.size() >= before + 999, "{how:?}");
    }
}
