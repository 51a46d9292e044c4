//! A saved result from anywhere, written over where the input says, its checksum made right again: refused, or read with
//! wrong values; never a wild access or a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procession_gather::answer::{Answer, FIRST_PAGE, Shape};
use procession_gather::item::{Item, Kind};
use procession_gather::segment::{SegmentRef, SegmentWriter, Value};
use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use xxhash_rust::xxh3::Xxh3;

const CHECKED: std::ops::Range<usize> = 16..88;

unsafe extern "C" {
    fn memfd_create(name: *const std::ffi::c_char, flags: u32) -> i32;
}

fn anonymous() -> File {
    // SAFETY: the name ends in a zero byte; the descriptor is fresh and nobody else's.
    unsafe {
        let fd = memfd_create(c"fuzz".as_ptr(), 1);
        assert!(fd >= 0);
        File::from_raw_fd(fd)
    }
}

fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().expect("a file").len() as usize];
    file.read_exact_at(&mut bytes, 0).expect("its bytes");
    bytes
}

/// A sound answer of that shape: words and numbers as keys, in several segments.
fn sound(shape: Shape) -> Vec<u8> {
    let file = anonymous();
    let mut pairs: Vec<(u64, Kind, Vec<u8>)> = (0u64..40)
        .map(|n| if n % 3 == 0 { (Kind::Int, n.to_le_bytes().to_vec()) } else { (Kind::Str, vec![b'a'; n as usize]) })
        .map(|(kind, bytes)| (Item { kind, bytes: &bytes }.hash(), kind, bytes))
        .collect();
    pairs.sort();
    let (mut refs, mut end) = (Vec::new(), FIRST_PAGE);
    for part in pairs.chunks(15) {
        let mut writer = SegmentWriter::new();
        for (hash, kind, bytes) in part {
            let value = if shape == Shape::Scalar { Value::Int(3) } else { Value::Bytes(&[2, 8, 1, 0, 0, 0, 0, 0, 0, 0]) };
            writer.push(*hash, Item { kind: *kind, bytes }, value);
        }
        if let Some((bytes, place)) = writer.take() {
            file.write_all_at(&bytes, end).expect("room");
            refs.push(SegmentRef { offset: end, ..place });
            end += bytes.len() as u64;
        }
    }
    Answer::seal(&file, shape, b"{}", &refs, &[]).expect("room");
    content(&file)
}

fn number(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 8).map_or(0, |word| u64::from_le_bytes(word.try_into().expect("eight bytes")) as usize)
}

/// What a forger would do.
fn make_right(bytes: &mut [u8]) {
    let (start, count) = (number(bytes, 24), number(bytes, 32).saturating_add(number(bytes, 40)));
    let end = start.saturating_add(count.saturating_mul(SegmentRef::SIZE));
    let mut sum = Xxh3::new();
    sum.update(&bytes[CHECKED]);
    sum.update(bytes.get(start..end).unwrap_or_default());
    let sum = sum.digest().to_le_bytes();
    bytes[88..96].copy_from_slice(&sum);
}

fuzz_target!(|input: &[u8]| {
    static SOUND: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    let sound = SOUND.get_or_init(|| [Shape::Scalar, Shape::List, Shape::Set].map(sound));
    let Some((&which, changes)) = input.split_first() else { return };
    let mut bytes = sound[usize::from(which % 3)].clone();
    for change in changes.chunks_exact(6) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]]));
        // The header, the directory and the start of a segment as often as all the rest.
        let (header, directory) = (number(&bytes, 24), bytes.len());
        let at = match change[2] % 4 {
            0 => 16 + place % 72,
            1 if header < directory => header + place % (directory - header),
            2 => FIRST_PAGE as usize + place % 128,
            _ => FIRST_PAGE as usize + place % (bytes.len() - FIRST_PAGE as usize),
        };
        if let Some(target) = bytes.get_mut(at..at + 1 + usize::from(change[2] >> 6)) {
            let length = target.len().min(3);
            target[..length].copy_from_slice(&change[3..3 + length]);
        }
    }
    make_right(&mut bytes);
    let file = anonymous();
    file.write_all_at(&bytes, 0).expect("room");
    let Ok(answer) = Answer::open(&file) else { return };
    for n in 0..40u64 {
        let key = n.to_le_bytes();
        let key = Item { kind: Kind::Int, bytes: &key };
        let _ = (answer.get(&key), answer.value_of(key.hash()), answer.entry(n));
    }
    if answer.len() < 10_000 {
        let _ = (answer.order(), answer.top(5), answer.keys_array(), answer.values_array(), answer.size());
    }
});
