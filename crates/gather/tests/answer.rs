//! An answer against a BTreeMap: what was put in comes out, by key, by number, by order and by rank; and bytes that are
//! no answer give an error or a wrong value, never a panic.

#![allow(clippy::cast_precision_loss)] // small numbers

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use procession_gather::answer::{Answer, BadAnswer, FIRST_PAGE, Shape};
use procession_gather::columns::Array;
use procession_gather::item::{Item, Kind};
use procession_gather::ranking::NoRanking;
use procession_gather::segment::{SegmentRef, SegmentWriter, Value};

/// A file that goes away with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("procession-answer-{}-{n}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn file(&self, name: &str) -> File {
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path(name)).unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// A value that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Int(i64),
    Float(f64),
    Bytes(Vec<u8>),
}

impl Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Int(number) => Value::Int(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}

type Key = (Kind, Vec<u8>);
/// In the order of a segment: by hash, then by key.
type Model = BTreeMap<(u64, Key), Owned>;

fn item(key: &Key) -> Item<'_> {
    Item { kind: key.0, bytes: &key.1 }
}

fn packed(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Item { kind, bytes }.pack(&mut out);
    out
}

fn random_key(random: &mut Random, kinds: &[Kind]) -> Key {
    let kind = kinds[random.below(kinds.len() as u64) as usize];
    let number = random.below(100_000);
    let bytes = match kind {
        Kind::None => Vec::new(),
        Kind::Bool => vec![(number % 2) as u8],
        Kind::Int => (number as i64 - 50_000).to_le_bytes().to_vec(),
        Kind::BigInt => (i128::from(number) << 70).to_le_bytes().to_vec(),
        Kind::Float => (number as f64 / 8.0).to_le_bytes().to_vec(),
        Kind::Str => format!("{}{number}", "k".repeat(random.below(12) as usize)).into_bytes(),
        Kind::Bytes => number.to_le_bytes()[..random.below(5) as usize].to_vec(),
        Kind::Tuple => [packed(Kind::Str, b"t"), packed(Kind::Int, &number.to_le_bytes())].concat(),
        Kind::Object => unreachable!("never a key"),
    };
    (kind, bytes)
}

/// Write the model in segments of up to `most` entries each, with scraps between, last segment first.
fn write(file: &File, shape: Shape, model: &Model, most: usize) -> Vec<SegmentRef> {
    let (mut writer, mut blocks) = (SegmentWriter::new(), Vec::new());
    for ((hash, key), value) in model {
        writer.push(*hash, item(key), value.value());
        if writer.len() >= most {
            blocks.extend(writer.take());
        }
    }
    blocks.extend(writer.take());
    let (mut refs, mut end) = (Vec::new(), FIRST_PAGE);
    for (bytes, place) in blocks.into_iter().rev() {
        assert_eq!(bytes.len() % 8, 0);
        file.write_all_at(&[0xee; 24], end).unwrap(); // a scrap
        file.write_all_at(&bytes, end + 24).unwrap();
        refs.push(SegmentRef { offset: end + 24, ..place });
        end += 24 + bytes.len() as u64;
    }
    file.write_all_at(&[0xee; 1000], end).unwrap();
    Answer::seal(file, shape, b"meta", &refs, &[]).unwrap();
    refs
}

fn check(answer: &Answer, model: &Model) {
    assert_eq!(answer.len(), model.len() as u64);
    assert_eq!(answer.meta(), b"meta");
    // Where a hash is shared by several segments, it is not said which of them comes first: so not by number.
    let by_key: BTreeMap<_, _> = (0..answer.len())
        .map(|i| {
            let (key, value) = answer.entry(i).unwrap();
            assert_eq!(answer.key(i), Some(key));
            ((key.kind, key.bytes.to_vec()), value)
        })
        .collect();
    for ((hash, key), value) in model {
        let found = answer.get_hashed(*hash, &item(key));
        assert_eq!(found.as_ref(), by_key.get(key));
        let as_packed = match value {
            Owned::Int(number) => packed(Kind::Int, &number.to_le_bytes()),
            Owned::Float(number) => packed(Kind::Float, &number.to_le_bytes()),
            Owned::Bytes(bytes) => bytes.clone(),
        };
        assert!(found == Some(value.value()) || found == Some(Value::Bytes(&as_packed)), "{found:?} {value:?}");
        let absent = Item { kind: key.0, bytes: &[&key.1[..], b"none has this"].concat() };
        assert_eq!(answer.get_hashed(*hash, &absent), None);
        assert_eq!(answer.get_hashed(hash ^ (1 << 63), &item(key)), None);
    }
    assert_eq!(answer.entry(model.len() as u64), None);
    assert_eq!(answer.key(u64::MAX), None);
}

const KINDS: [Kind; 8] =
    [Kind::None, Kind::Bool, Kind::Int, Kind::BigInt, Kind::Float, Kind::Str, Kind::Bytes, Kind::Tuple];

#[test]
fn random_entries_are_found() {
    let folder = Temporary::new();
    let mut random = Random(1);
    for round in 0..120u64 {
        let file = folder.file("answer");
        let n = [0, 1, 2, 7, 40, 300, 3000][random.below(7) as usize];
        let one = [KINDS[random.below(8) as usize]];
        let kinds = if round % 3 == 0 { &one[..] } else { &KINDS[..] };
        let narrow = [u64::MAX, 50, 1][random.below(3) as usize]; // many keys with one hash, or all
        let mut model = Model::new();
        for i in 0..n {
            let key = random_key(&mut random, kinds);
            let hash = if narrow == u64::MAX { item(&key).hash() } else { item(&key).hash() % narrow };
            let value = match round % 4 {
                0 => Owned::Int(i - 5),
                1 => Owned::Float(i as f64 / 3.0),
                2 => Owned::Bytes(packed(Kind::Str, "v".repeat(random.below(9) as usize).as_bytes())),
                _ => [Owned::Int(i), Owned::Float(0.5), Owned::Bytes(packed(Kind::None, b""))][i as usize % 3].clone(),
            };
            model.insert((hash, key), value);
        }
        write(&file, Shape::Scalar, &model, [1, 5, 64, usize::MAX][random.below(4) as usize]);
        let answer = Answer::open(&file).unwrap();
        check(&answer, &model);

        answer.save(&folder.path("saved")).unwrap(); // over the one of the round before
        let saved = Answer::open(&File::open(folder.path("saved")).unwrap()).unwrap();
        check(&saved, &model);
        assert!(saved.file().len() as u64 <= FIRST_PAGE + answer.size() + 40 * n.max(0) as u64 + 4);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2, "no draft is left");
    }
}

#[test]
fn members_are_found_by_fingerprint() {
    let folder = Temporary::new();
    let file = folder.file("answer");
    let mut random = Random(2);
    let keys: BTreeMap<u64, Key> =
        (0..2000).map(|_| random_key(&mut random, &KINDS)).map(|key| (item(&key).hash(), key)).collect();
    let mut writer = SegmentWriter::new();
    for (hash, key) in &keys {
        writer.push(*hash, item(key), Value::Bytes(&[]));
    }
    let (bytes, place) = writer.take().unwrap();
    file.write_all_at(&bytes, FIRST_PAGE).unwrap();
    Answer::seal(&file, Shape::Set, b"", &[], &[SegmentRef { offset: FIRST_PAGE, ..place }]).unwrap();
    let answer = Answer::open(&file).unwrap();
    assert_eq!((answer.len(), answer.members()), (0, keys.len() as u64));
    for (hash, key) in &keys {
        assert_eq!(answer.value_of(*hash), Some(item(key)));
        assert_eq!(answer.value_of(hash ^ 1), None);
    }
}

/// An answer of these keys, with the values 0, 1, 2, ...
fn answer_of(folder: &Temporary, keys: &[Key]) -> Answer {
    let numbered = keys.iter().enumerate();
    let model = numbered.map(|(i, key)| ((item(key).hash(), key.clone()), Owned::Int(i as i64))).collect();
    let file = folder.file("ordered");
    write(&file, Shape::Scalar, &model, 100);
    Answer::open(&file).unwrap()
}

#[test]
fn order_is_pythons() {
    let folder = Temporary::new();
    let mut random = Random(3);
    let numbers = [Kind::Int, Kind::BigInt, Kind::Float, Kind::Bool];
    for kinds in [&[Kind::Str][..], &[Kind::Bytes], &[Kind::Int], &[Kind::Float], &[Kind::Tuple], &numbers] {
        let keys: Vec<Key> = (0..1000).map(|_| random_key(&mut random, kinds)).collect();
        let answer = answer_of(&folder, &keys);
        let order = answer.order().unwrap();
        assert_eq!(order.len() as u64, answer.len());
        for pair in order.windows(2) {
            let (a, b) = (answer.key(pair[0]).unwrap(), answer.key(pair[1]).unwrap());
            assert!(a.compare(&b).unwrap().is_le(), "{a:?} {b:?}");
        }
        let mut all = order;
        all.sort_unstable();
        assert!(all.into_iter().eq(0..answer.len()));
    }
    let mixed = answer_of(&folder, &[(Kind::Str, b"a".to_vec()), (Kind::Bytes, b"a".to_vec())]);
    assert!(matches!(mixed.order(), Err(NoRanking::Keys(0, 1) | NoRanking::Keys(1, 0))));
    assert_eq!(answer_of(&folder, &[(Kind::None, Vec::new())]).order(), Ok(vec![0]));
    assert_eq!(answer_of(&folder, &[]).order(), Ok(vec![]));
}

#[test]
fn the_largest_come_first_and_ties_go_by_key() {
    let folder = Temporary::new();
    let mut random = Random(4);
    for shape in [Shape::Scalar, Shape::List, Shape::Set] {
        let mut model = Model::new();
        for _ in 0..2000 {
            let key = random_key(&mut random, &[Kind::Str]);
            let size = random.below(40);
            let value = match shape {
                Shape::Scalar => Owned::Int(size as i64),
                Shape::List => Owned::Bytes(packed(Kind::Str, b"member").repeat(size as usize)),
                Shape::Set => Owned::Bytes(vec![7; 8 * size as usize]),
            };
            model.insert((item(&key).hash(), key), value);
        }
        let file = folder.file("answer");
        write(&file, shape, &model, 333);
        let answer = Answer::open(&file).unwrap();
        let mut expected: Vec<_> = model
            .iter()
            .enumerate()
            .map(|(i, ((_, key), value))| match value {
                Owned::Int(number) => (-number, key.1.clone(), i as u64),
                Owned::Bytes(bytes) => (-((bytes.len() / 8) as i64), key.1.clone(), i as u64),
                Owned::Float(_) => unreachable!(),
            })
            .collect();
        expected.sort();
        for n in [0, 1, 20, 500, 10_000] {
            let top = answer.top(n).unwrap();
            assert!(top.iter().eq(expected.iter().take(n).map(|entry| &entry.2)), "{shape:?} {n}");
        }
    }
    let file = folder.file("answer");
    let text = Owned::Bytes(packed(Kind::Str, b"text"));
    write(&file, Shape::Scalar, &Model::from([((1, (Kind::Str, b"a".to_vec())), text)]), 1);
    assert_eq!(Answer::open(&file).unwrap().top(1), Err(NoRanking::Value(0)));
}

#[test]
fn columns_hold_every_row() {
    let folder = Temporary::new();
    let mut random = Random(5);
    for kind in [Kind::Str, Kind::Bytes, Kind::Int, Kind::Float, Kind::Tuple] {
        let keys: Vec<Key> = (0..500).map(|_| random_key(&mut random, &[kind])).collect();
        let answer = answer_of(&folder, &keys);
        let Some(Array::Ints(values)) = answer.values_array() else { panic!("values are int") };
        let column = answer.keys_array();
        for i in 0..answer.len() {
            let (key, value) = answer.entry(i).unwrap();
            let row = |bytes: &[u8], i: u64| bytes[8 * i as usize..][..8].to_vec();
            assert_eq!(Value::Int(i64::from_le_bytes(row(&values, i).try_into().unwrap())), value);
            match &column {
                Some(Array::Ints(bytes) | Array::Floats(bytes)) => assert_eq!(row(bytes, i), key.bytes),
                Some(Array::Packed(offsets, bytes)) => {
                    let at = |i| u64::from_le_bytes(row(offsets, i).try_into().unwrap()) as usize;
                    assert_eq!(&bytes[at(i)..at(i + 1)], key.bytes);
                }
                None => assert_eq!(kind, Kind::Tuple),
            }
        }
    }
    assert_eq!(answer_of(&folder, &[]).values_array(), None);
}

/// Everything that reads.
fn exercise(answer: &Answer, keys: &[Key]) {
    for key in keys {
        let _ = answer.get(&item(key));
        let _ = answer.value_of(item(key).hash());
    }
    for i in 0..answer.len().min(200) {
        let _ = answer.entry(i);
    }
    let _ = (answer.order(), answer.top(5), answer.keys_array(), answer.values_array(), answer.meta());
}

#[test]
fn damaged_files_never_panic() {
    let folder = Temporary::new();
    let mut random = Random(6);
    let mut refused = 0;
    for round in 0..40 {
        let kinds = if round % 2 == 0 { &KINDS[..] } else { &[Kind::Str][..] };
        let keys: Vec<Key> = (0..60).map(|_| random_key(&mut random, kinds)).collect();
        let number =
            |i: usize| if round % 4 < 2 { Owned::Int(i as i64) } else { Owned::Bytes(packed(Kind::Str, b"value")) };
        let model = keys.iter().enumerate().map(|(i, key)| ((item(key).hash(), key.clone()), number(i))).collect();
        let file = folder.file("answer");
        write(&file, Shape::from_number(round % 3).unwrap(), &model, 20);
        let whole = fs::read(folder.path("answer")).unwrap();
        for _ in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(4) {
                // headers of file and segments are hit as often as all the rest
                let place = if random.below(2) == 0 {
                    random.below(96)
                } else {
                    4096 + random.below(whole.len() as u64 - 4096)
                };
                bytes[place as usize] = [0, 1, 0xff, random.below(256) as u8][random.below(4) as usize];
            }
            if random.below(4) == 0 {
                bytes.truncate(random.below(whole.len() as u64) as usize);
            }
            fs::write(folder.path("damaged"), &bytes).unwrap();
            match Answer::open(&File::open(folder.path("damaged")).unwrap()) {
                Ok(answer) => exercise(&answer, &keys),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn what_is_no_answer_is_refused_with_the_reason() {
    let folder = Temporary::new();
    let open = |bytes: &[u8]| {
        fs::write(folder.path("other"), bytes).unwrap();
        Answer::open(&File::open(folder.path("other")).unwrap()).map(|answer| answer.len())
    };
    assert!(matches!(open(b""), Err(BadAnswer::NotAnAnswer)));
    assert!(matches!(open(&[0; 5000]), Err(BadAnswer::NotAnAnswer)), "not sealed");
    let file = folder.file("answer");
    write(&file, Shape::Scalar, &Model::from([((1, (Kind::Str, b"a".to_vec())), Owned::Int(1))]), 1);
    let whole = fs::read(folder.path("answer")).unwrap();
    assert_eq!(open(&whole).unwrap(), 1);
    assert!(matches!(open(&whole[..whole.len() - 1]), Err(BadAnswer::Truncated { .. })));
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    assert!(matches!(open(&with(16, 2)), Err(BadAnswer::Version(2))));
    assert!(matches!(open(&with(48, 2)), Err(BadAnswer::Damaged(_))), "the checksum holds the header");
}

#[test]
fn a_save_that_fails_leaves_nothing() {
    let folder = Temporary::new();
    let answer = answer_of(&folder, &[(Kind::Str, b"a".to_vec())]);
    fs::create_dir(folder.path("taken")).unwrap();
    assert!(answer.save(&folder.path("taken")).is_err(), "a folder has the name");
    assert!(answer.save(&folder.path("missing/name")).is_err());
    let mut names: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["ordered", "taken"]);
}
