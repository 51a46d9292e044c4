//! The answer of a keyed map-reduce: a file of segments that is mapped and read in place.
//!
//! While it is made, it is an anonymous file: workers append segments to it, in any order and perhaps with scraps
//! between them of what a death interrupted. `seal` adds a directory and the header. `save` copies it without the
//! scraps to a file with a name, in the very same format. All numbers are little endian.
//!
//! | Offset | Bytes | What |
//! | --- | --- | --- |
//! | 0 | 8 | magic, `procansw`; stored when all else is |
//! | 8 | 8 | 0 |
//! | 16 | 4 | version: 1 |
//! | 20 | 4 | shape: what the bytes of a value are, see [`Shape`] |
//! | 24 | 8 | where the directory starts |
//! | 32 | 8 | number of segments with entries |
//! | 40 | 8 | number of segments with the members of sets |
//! | 48 | 8 | number of entries |
//! | 56 | 8 | number of members |
//! | 64 | 8 | where the description starts: bytes for whoever made the answer (JSON with the reducer's name) |
//! | 72 | 8 | its length |
//! | 80 | 8 | length of the file |
//! | 88 | 8 | XXH3 (64 bits) of the bytes 16..88 and of the directory |
//! | 4096 | | segments ([`segment`](crate::segment)), then directory and description |
//!
//! Directory: for each segment with entries, then for each with members, 40 bytes: first hash, last hash, offset,
//! length, entries (u64 each); ascending by hash. A hash may be the last of one segment and the first of the next.
//!
//! Nothing in a file is trusted: a file cut short or with a damaged header or directory is refused, damage elsewhere is
//! found when it is met, or gives a wrong value. One thing cannot be guarded against: a file that someone *shortens*
//! while it is mapped kills its reader with SIGBUS. Replace a saved answer by renaming, as `save` does; never rewrite
//! it.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memmap2::Mmap;
use xxhash_rust::xxh3::Xxh3;

use crate::item::Item;
use crate::segment::{SegmentRef, Value};
use crate::view::View;

/// The first bytes of an answer.
pub const MAGIC: [u8; 8] = *b"procansw";

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// Segments start here at the earliest.
pub const FIRST_PAGE: u64 = 4096;

/// Bytes of the header.
const HEADER: usize = 96;

/// What the bytes of a value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Shape {
    /// One packed item.
    Scalar = 0,
    /// Packed items, one after another.
    List = 1,
    /// Hashes of members, u64, ascending. The members are the keys of the second group of segments.
    Set = 2,
}

impl Shape {
    /// The shape with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Scalar,
            1 => Self::List,
            2 => Self::Set,
            _ => return None,
        })
    }
}

/// A file that is no answer.
#[derive(Debug)]
pub enum BadAnswer {
    /// It could not be mapped.
    Io(io::Error),
    /// It is something else, or was never finished.
    NotAnAnswer,
    /// It was written by a later version of this library.
    Version(u32),
    /// Its end is missing.
    Truncated {
        /// Bytes it has.
        have: u64,
        /// Bytes it should have.
        need: u64,
    },
    /// It contradicts itself; the text says where.
    Damaged(&'static str),
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the file cannot be mapped: {error}"),
            Self::NotAnAnswer => write!(f, "not a saved result (or one that was never finished)"),
            Self::Version(version) => {
                write!(f, "a saved result in version {version} of the format; this version reads {VERSION}")
            }
            Self::Truncated { have, need } => write!(f, "cut short: the file has {have} bytes of {need}"),
            Self::Damaged(what) => write!(f, "damaged: {what}"),
        }
    }
}

impl std::error::Error for BadAnswer {}

/// A group of segments, ascending by hash.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) views: Vec<View>,
    /// The last hash of each: what a look-up searches first.
    last: Vec<u64>,
    /// The number of the first entry of each, then of all.
    starts: Vec<u64>,
}

impl Group {
    fn open(file: &[u8], places: &[SegmentRef]) -> Result<Self, BadAnswer> {
        let mut group = Self { starts: vec![0], ..Self::default() };
        for place in places {
            let view = View::open(file, place).map_err(BadAnswer::Damaged)?;
            if group.last.last().is_some_and(|last| *last > place.first_hash) {
                return Err(BadAnswer::Damaged("segments overlap"));
            }
            group.last.push(place.last_hash);
            let start = group.starts.last().expect("never empty");
            group.starts.push(start.checked_add(place.entries).ok_or(BadAnswer::Damaged("too many entries"))?);
            group.views.push(view);
        }
        Ok(group)
    }

    fn len(&self) -> u64 {
        *self.starts.last().unwrap_or(&0)
    }

    #[inline]
    fn find(&self, file: &[u8], hash: u64, mut matches: impl FnMut(Item) -> bool) -> Option<(&View, usize)> {
        let first = self.last.partition_point(|last| *last < hash);
        for view in &self.views[first..] {
            if view.first_hash > hash {
                break;
            }
            if let Some(i) = view.find(file, hash, &mut matches) {
                return Some((view, i));
            }
        }
        None
    }

    /// The segment of the entry with this number, and its number there.
    #[inline]
    fn locate(&self, i: u64) -> Option<(&View, usize)> {
        let segment = self.starts.partition_point(|start| *start <= i).checked_sub(1)?;
        Some((self.views.get(segment)?, (i - self.starts[segment]) as usize))
    }
}

/// A mapped answer. Reading it blocks on nothing but, for one on disk, the disk.
#[derive(Debug)]
pub struct Answer {
    map: Mmap,
    shape: Shape,
    meta: (usize, usize),
    pub(crate) entries: Group,
    values: Group,
}

impl Answer {
    /// Write directory, description and header, which makes a file of segments an answer. The references may come in
    /// any order. All writers have finished; `file` was not opened for appending, which writes nowhere else.
    pub fn seal(
        file: &File,
        shape: Shape,
        meta: &[u8],
        entries: &[SegmentRef],
        values: &[SegmentRef],
    ) -> io::Result<()> {
        let ascending = |refs: &[SegmentRef]| {
            let mut refs: Vec<_> = refs.iter().copied().filter(|place| place.entries > 0).collect();
            refs.sort_by_key(|place| (place.first_hash, place.last_hash, place.offset));
            refs
        };
        let (entries, values) = (ascending(entries), ascending(values));
        let refs = || entries.iter().chain(&values);
        let end = refs().map(|place| place.offset + place.length).max().unwrap_or(0).max(FIRST_PAGE);
        let directory: Vec<u8> = refs().flat_map(SegmentRef::to_bytes).collect();
        let meta_start = end + directory.len() as u64;
        let length = meta_start + meta.len() as u64;
        let count = |refs: &[SegmentRef]| refs.iter().map(|place| place.entries).sum::<u64>();
        let mut header = [0; HEADER];
        header[16..20].copy_from_slice(&VERSION.to_le_bytes());
        header[20..24].copy_from_slice(&(shape as u32).to_le_bytes());
        let fields = [
            end,
            entries.len() as u64,
            values.len() as u64,
            count(&entries),
            count(&values),
            meta_start,
            meta.len() as u64,
            length,
        ];
        for (place, field) in header[24..88].chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let sum = checksum(&header, &directory);
        header[88..].copy_from_slice(&sum.to_le_bytes());

        file.set_len(length)?; // a scrap at the end goes away
        file.write_all_at(&directory, end)?;
        file.write_all_at(meta, meta_start)?;
        file.write_all_at(&header[8..], 8)?;
        file.write_all_at(&MAGIC, 0)
    }

    /// Map an answer. Reads header and directory only, so it takes as long for a gigabyte as for nothing.
    pub fn open(file: &File) -> Result<Self, BadAnswer> {
        let have = file.metadata().map_err(BadAnswer::Io)?.len();
        if have < HEADER as u64 {
            return Err(BadAnswer::NotAnAnswer);
        }
        // SAFETY: the mapping is sound as long as nobody changes the file.
        // - An anonymous file is sealed once all its writers have finished, and nobody writes to it after that.
        // - A saved one got its name when it was complete, and `save` replaces files without writing to them.
        // - What others do to a file by hand is beyond us. Overwritten bytes are read as numbers and offsets, each of
        //   which is checked against the mapping when used; a shortened file ends the process with SIGBUS. The module's
        //   documentation says so.
        let map = unsafe { Mmap::map(file) }.map_err(BadAnswer::Io)?;
        Self::over(map)
    }

    fn over(map: Mmap) -> Result<Self, BadAnswer> {
        let file = &map[..];
        if file[..8] != MAGIC {
            return Err(BadAnswer::NotAnAnswer);
        }
        let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().expect("8 bytes"));
        if u32_at(16) != VERSION {
            return Err(BadAnswer::Version(u32_at(16)));
        }
        let (have, need) = (file.len() as u64, u64_at(80));
        if have < need {
            return Err(BadAnswer::Truncated { have, need });
        }
        let damaged = BadAnswer::Damaged("the header makes no sense");
        let part = |start: u64, length: u64| {
            let start = usize::try_from(start).ok()?;
            file.get(start..)?.get(..usize::try_from(length).ok()?).map(|_| (start, length as usize))
        };
        let segments = u64_at(32).checked_add(u64_at(40)).and_then(|n| n.checked_mul(SegmentRef::SIZE as u64));
        let directory = segments.and_then(|length| part(u64_at(24), length));
        let (Some(shape), Some((start, length)), Some(meta)) =
            (Shape::from_number(u32_at(20)), directory, part(u64_at(64), u64_at(72)))
        else {
            return Err(damaged);
        };
        let directory = &file[start..start + length];
        if checksum(&file[..HEADER], directory) != u64_at(88) {
            return Err(BadAnswer::Damaged("the directory's checksum is wrong"));
        }
        let refs = SegmentRef::read_all(directory).unwrap_or_default();
        let (entries, values) = refs.split_at(u64_at(32) as usize);
        let (entries, values) = (Group::open(file, entries)?, Group::open(file, values)?);
        if (entries.len(), values.len()) != (u64_at(48), u64_at(56)) {
            return Err(damaged);
        }
        Ok(Self { map, shape, meta, entries, values })
    }

    /// The whole file.
    #[inline]
    pub fn file(&self) -> &[u8] {
        &self.map
    }

    /// What the bytes of values are.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The description given to `seal`.
    pub fn meta(&self) -> &[u8] {
        &self.map[self.meta.0..self.meta.0 + self.meta.1]
    }

    /// How many entries.
    pub fn len(&self) -> u64 {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many distinct members all sets have.
    pub fn members(&self) -> u64 {
        self.values.len()
    }

    /// Bytes of all segments, scraps not counted.
    pub fn size(&self) -> u64 {
        self.entries.views.iter().chain(&self.values.views).map(|view| view.span.1 as u64).sum()
    }

    /// The value of a key.
    #[inline]
    pub fn get(&self, key: &Item) -> Option<Value<'_>> {
        self.get_hashed(key.hash(), key)
    }

    /// The value of a key that was stored under this hash.
    #[inline]
    pub fn get_hashed(&self, hash: u64, key: &Item) -> Option<Value<'_>> {
        let (view, i) = self.entries.find(&self.map, hash, |found| found == *key)?;
        view.value(&self.map, i)
    }

    /// The member of sets with this hash.
    #[inline]
    pub fn value_of(&self, fingerprint: u64) -> Option<Item<'_>> {
        let (view, i) = self.values.find(&self.map, fingerprint, |found| found.hash() == fingerprint)?;
        view.key(&self.map, i)
    }

    /// The key with this number, in storage order. None: there is none, or the file is damaged.
    #[inline]
    pub fn key(&self, i: u64) -> Option<Item<'_>> {
        let (view, i) = self.entries.locate(i)?;
        view.key(&self.map, i)
    }

    /// The entry with this number, in storage order. None: there is none, or the file is damaged.
    #[inline]
    pub fn entry(&self, i: u64) -> Option<(Item<'_>, Value<'_>)> {
        let (view, i) = self.entries.locate(i)?;
        Some((view.key(&self.map, i)?, view.value(&self.map, i)?))
    }

    /// The segments, for copying them.
    pub(crate) fn segments(&self) -> (impl Iterator<Item = SegmentRef>, impl Iterator<Item = SegmentRef>) {
        fn of(group: &Group) -> impl Iterator<Item = SegmentRef> {
            group.views.iter().zip(&group.last).map(|(view, last)| SegmentRef {
                first_hash: view.first_hash,
                last_hash: *last,
                offset: view.span.0 as u64,
                length: view.span.1 as u64,
                entries: view.entries as u64,
            })
        }
        (of(&self.entries), of(&self.values))
    }
}

fn checksum(header: &[u8], directory: &[u8]) -> u64 {
    let mut sum = Xxh3::new();
    sum.update(&header[16..88]);
    sum.update(directory);
    sum.digest()
}
