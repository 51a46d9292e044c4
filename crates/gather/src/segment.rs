//! A segment: the entries of one contiguous range of hashes, packed to be read where it lies.
//!
//! Entries are sorted by (hash, key bytes). A look-up goes from the hash to a bucket (the top bits of its distance from
//! the first hash), from there to the few records of that bucket, and from a record with the right tag to the key and
//! the value. Those two do not wait for each other, so a look-up is two or three cache misses in a row. All numbers are
//! little endian; every column starts at a multiple of 8, counted from the segment's start:
//!
//! | Offset | Bytes | What |
//! | --- | --- | --- |
//! | 0 | 8 | n: number of entries, at least 1, below 2^32 |
//! | 8 | 8 | the first hash |
//! | 16 | 1 | kind of the keys (see `item`); 255: each has its own, in the column of kinds |
//! | 17 | 1 | values: 0 i64, 1 f64, 2 bytes, 3 nothing (each is empty) |
//! | 18 | 1 | record size r: 4, 8 or 16 |
//! | 19 | 1 | size of a value's offset: 4 or 8; 0 unless values are bytes |
//! | 20 | 1 | shift: the bucket of a hash is (hash - first) >> shift |
//! | 21 | 3 | 0 |
//! | 24 | 8 | key width: the length of every key if r is 4, 0 otherwise |
//! | 32 | 8 | b: number of buckets |
//! | 40 | 8 | where the records start |
//! | 48 | 8 | where the kinds start (no bytes unless byte 16 is 255) |
//! | 56 | 8 | where the values start: the numbers, or the offsets of their bytes |
//! | 64 | 8 | where the values' bytes start |
//! | 72 | 8 | where the keys start |
//! | 80 | 8 | where the keys end |
//! | 88 | 8 | length of the segment, a multiple of 8 |
//! | 96 | 4 (b + 1) | buckets: index of the first entry of each, then n |
//!
//! - Record: a tag of 4 bytes, ((hash - first) >> max(shift - 32, 0)) mod 2^32, ascending within a bucket. If r is 8
//!   the offset of the key (4 bytes) follows; if r is 16 that is 8 bytes, at 8. There are n + 1 records then (the last
//!   one for the end of the last key), n if r is 4.
//! - Kind: one byte for each entry.
//! - Values: n numbers, or n + 1 offsets into the values' bytes.
//!
//! A str key of 8 bytes that counts something takes 8 (record) + 8 (value) + 8 (key) + at most 1 (bucket) = 25 bytes;
//! an int key 4 + 8 + 8 + 1 = 21.

use crate::item::{Item, Kind};

/// Bytes of a segment's header.
pub const HEADER: usize = 96;

/// Byte 16 of a segment whose keys are of several kinds.
pub const MIXED: u8 = 255;

/// What a key maps to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// An integer of 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// Something else, packed; what it is, the answer's [`Shape`](crate::answer::Shape) says.
    Bytes(&'a [u8]),
}

/// Where a segment lies in the file of an answer. Forty bytes there: these five, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRef {
    /// The smallest hash in it.
    pub first_hash: u64,
    /// The largest.
    pub last_hash: u64,
    /// Its start in the file, a multiple of 8.
    pub offset: u64,
    /// Its bytes, a multiple of 8.
    pub length: u64,
    /// How many entries.
    pub entries: u64,
}

impl SegmentRef {
    /// Bytes of a packed reference.
    pub const SIZE: usize = 40;

    /// The packed form.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let fields = [self.first_hash, self.last_hash, self.offset, self.length, self.entries];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Read a packed reference.
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let field = |i: usize| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().expect("8 bytes"));
        Self { first_hash: field(0), last_hash: field(1), offset: field(2), length: field(3), entries: field(4) }
    }

    /// Read packed references, one after another. None: it is not a whole number of them.
    pub fn read_all(bytes: &[u8]) -> Option<Vec<Self>> {
        let chunks = bytes.chunks_exact(Self::SIZE);
        chunks
            .remainder()
            .is_empty()
            .then(|| chunks.map(|c| Self::from_bytes(c.try_into().expect("40 bytes"))).collect())
    }
}

/// Values as they come, in the narrowest column that holds them all.
enum Values {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Packed { ends: Vec<u64>, bytes: Vec<u8> },
}

impl Values {
    fn push(&mut self, value: Value) {
        match (&mut *self, value) {
            (Self::Ints(column), Value::Int(number)) => column.push(number),
            (Self::Floats(column), Value::Float(number)) => column.push(number),
            (Self::Packed { ends, bytes }, value) => {
                pack(value, bytes);
                ends.push(bytes.len() as u64);
            }
            (Self::Ints(column), Value::Float(number)) if column.is_empty() => *self = Self::Floats(vec![number]),
            (_, value) => {
                self.widen();
                self.push(value);
            }
        }
    }

    /// From numbers to packed items.
    fn widen(&mut self) {
        let mut packed = Self::Packed { ends: Vec::new(), bytes: Vec::new() };
        match self {
            Self::Ints(column) => column.iter().for_each(|number| packed.push(Value::Int(*number))),
            Self::Floats(column) => column.iter().for_each(|number| packed.push(Value::Float(*number))),
            Self::Packed { .. } => {}
        }
        *self = packed;
    }

    fn size(&self) -> usize {
        match self {
            Self::Ints(column) => column.len() * 8,
            Self::Floats(column) => column.len() * 8,
            Self::Packed { ends, bytes } => ends.len() * 4 + bytes.len(),
        }
    }
}

fn pack(value: Value, out: &mut Vec<u8>) {
    match value {
        Value::Int(number) => Item { kind: Kind::Int, bytes: &number.to_le_bytes() }.pack(out),
        Value::Float(number) => Item { kind: Kind::Float, bytes: &number.to_le_bytes() }.pack(out),
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
    }
}

/// Takes entries in order and makes the bytes of a segment.
///
/// It holds about 17 bytes an entry besides keys and values; cut segments at some megabytes, by
/// [`SegmentWriter::size`].
pub struct SegmentWriter {
    hashes: Vec<u64>,
    kinds: Vec<u8>,
    key_ends: Vec<u64>,
    keys: Vec<u8>,
    values: Values,
}

impl Default for SegmentWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl SegmentWriter {
    /// Nothing in it yet.
    pub fn new() -> Self {
        Self {
            hashes: Vec::new(),
            kinds: Vec::new(),
            key_ends: Vec::new(),
            keys: Vec::new(),
            values: Values::Ints(Vec::new()),
        }
    }

    /// Add an entry; they come in ascending order of (hash, key bytes). A member of sets, which has no value, comes
    /// with `Value::Bytes(&[])`: a segment of those has no column for values at all.
    #[inline]
    pub fn push(&mut self, hash: u64, key: Item, value: Value) {
        debug_assert!(self.hashes.last().is_none_or(|last| *last <= hash), "entries come by ascending hash");
        self.hashes.push(hash);
        self.kinds.push(key.kind as u8);
        self.keys.extend_from_slice(key.bytes);
        self.key_ends.push(self.keys.len() as u64);
        self.values.push(value);
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// About how many bytes the segment would have.
    pub fn size(&self) -> usize {
        HEADER + 10 * self.hashes.len() + self.keys.len() + self.values.size()
    }

    /// The reference of what `finish` will give next, once it is written at `offset`. None: there are no entries.
    pub fn reference(&self, offset: u64, length: usize) -> Option<SegmentRef> {
        let (first_hash, last_hash) = (*self.hashes.first()?, *self.hashes.last()?);
        Some(SegmentRef { first_hash, last_hash, offset, length: length as u64, entries: self.hashes.len() as u64 })
    }

    /// The bytes of the segment and its reference, whose `offset` is for the caller to fill in; the writer is empty
    /// again. None: there were no entries.
    pub fn take(&mut self) -> Option<(Vec<u8>, SegmentRef)> {
        let mut reference = self.reference(0, 0)?;
        let bytes = self.finish();
        reference.length = bytes.len() as u64;
        Some((bytes, reference))
    }

    /// The bytes of the segment, a multiple of 8; the writer is empty again. No entries: no bytes.
    pub fn finish(&mut self) -> Vec<u8> {
        let n = self.hashes.len();
        assert!(u32::try_from(n).is_ok(), "a segment holds fewer than 2^32 entries");
        let (Some(&first), Some(&last)) = (self.hashes.first(), self.hashes.last()) else { return Vec::new() };
        let mut out = vec![0; HEADER];
        out.reserve_exact(self.size() + n / 2 + 64);
        let shift = shift_for(n, last - first);
        let buckets = ((last - first) >> shift) + 1;
        self.write_buckets(&mut out, first, shift, buckets);

        let records = align(&mut out);
        let (stride, width) = self.write_records(&mut out, first, shift);
        let kinds = align(&mut out);
        let kind = self.write_kinds(&mut out);
        let values = align(&mut out);
        let (value_kind, value_offset, value_bytes) = self.write_values(&mut out);
        let keys = align(&mut out);
        out.extend_from_slice(&self.keys);
        let end = out.len() as u64;
        let length = align(&mut out);

        let columns = [buckets, records, kinds, values, value_bytes, keys, end, length];
        out[16..21].copy_from_slice(&[kind, value_kind, stride, value_offset, shift as u8]);
        for (place, field) in [(0, n as u64), (8, first), (24, width)]
            .into_iter()
            .chain(columns.into_iter().enumerate().map(|(i, field)| (32 + 8 * i, field)))
        {
            out[place..place + 8].copy_from_slice(&field.to_le_bytes());
        }
        self.clear();
        out
    }

    fn clear(&mut self) {
        self.hashes.clear();
        self.kinds.clear();
        self.key_ends.clear();
        self.keys.clear();
        self.values = Values::Ints(Vec::new());
    }

    fn write_buckets(&self, out: &mut Vec<u8>, first: u64, shift: u32, buckets: u64) {
        let mut next = 0; // the first bucket that has no start yet
        for (i, hash) in self.hashes.iter().enumerate() {
            let bucket = (hash - first) >> shift;
            while next <= bucket {
                out.extend_from_slice(&(i as u32).to_le_bytes());
                next += 1;
            }
        }
        debug_assert_eq!(next, buckets, "the last hash is in the last bucket");
        out.extend_from_slice(&(self.hashes.len() as u32).to_le_bytes());
    }

    /// Gives the size of a record and the width of a key.
    fn write_records(&self, out: &mut Vec<u8>, first: u64, shift: u32) -> (u8, u64) {
        let drop = shift.saturating_sub(32);
        let tags = self.hashes.iter().map(|hash| ((hash - first) >> drop) as u32);
        let width = self.key_ends[0];
        if self.key_ends.iter().zip(1..).all(|(end, i)| *end == width * i) {
            tags.for_each(|tag| out.extend_from_slice(&tag.to_le_bytes()));
            return (4, width);
        }
        let starts = std::iter::once(0).chain(self.key_ends.iter().copied());
        let narrow = u32::try_from(self.keys.len()).is_ok();
        for (tag, start) in tags.chain([0]).zip(starts) {
            out.extend_from_slice(&tag.to_le_bytes());
            if narrow {
                out.extend_from_slice(&(start as u32).to_le_bytes());
            } else {
                out.extend_from_slice(&[0; 4]);
                out.extend_from_slice(&start.to_le_bytes());
            }
        }
        (if narrow { 8 } else { 16 }, 0)
    }

    /// Gives the one kind, or that there are several.
    fn write_kinds(&self, out: &mut Vec<u8>) -> u8 {
        let kind = self.kinds[0];
        if self.kinds.iter().all(|other| *other == kind) {
            return kind;
        }
        out.extend_from_slice(&self.kinds);
        MIXED
    }

    /// Gives the kind of the values, the size of an offset, and where the bytes start.
    fn write_values(&self, out: &mut Vec<u8>) -> (u8, u8, u64) {
        match &self.values {
            Values::Ints(column) => column.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes())),
            Values::Floats(column) => column.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes())),
            Values::Packed { bytes, .. } if bytes.is_empty() => {}
            Values::Packed { ends, bytes } => {
                let narrow = u32::try_from(bytes.len()).is_ok();
                for end in std::iter::once(&0).chain(ends) {
                    out.extend_from_slice(&end.to_le_bytes()[..if narrow { 4 } else { 8 }]);
                }
                let start = align(out);
                out.extend_from_slice(bytes);
                return (2, if narrow { 4 } else { 8 }, start);
            }
        }
        let kind = match &self.values {
            Values::Ints(_) => 0,
            Values::Floats(_) => 1,
            Values::Packed { .. } => 3,
        };
        (kind, 0, align(out))
    }
}

/// Fill up to a multiple of 8; gives the position reached.
fn align(out: &mut Vec<u8>) -> u64 {
    out.resize(out.len().next_multiple_of(8), 0);
    out.len() as u64
}

/// How far to shift for four to eight entries in a bucket, hashes being even.
fn shift_for(n: usize, range: u64) -> u32 {
    let bits = (n / 4).max(1).next_power_of_two().trailing_zeros();
    (u64::BITS - range.leading_zeros()).saturating_sub(bits).min(63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_takes_no_more_than_it_says() {
        let mut writer = SegmentWriter::new();
        for i in 0..10_000u64 {
            writer.push(i << 40, Item::str(&format!("{i:04}x{}", "y".repeat((i % 7) as usize))), Value::Int(1));
        }
        let keys = writer.keys.len();
        let size = writer.finish().len() - keys;
        assert!(size < 10_000 * 17 + 200, "{size}");
        assert!(writer.is_empty());
        for i in 0..10_000u64 {
            writer.push(i << 40, Item { kind: Kind::Int, bytes: &i.to_le_bytes() }, Value::Float(1.5));
        }
        assert!(writer.finish().len() < 10_000 * 21 + 200);
        for i in 0..10_000u64 {
            writer.push(i << 40, Item { kind: Kind::Int, bytes: &i.to_le_bytes() }, Value::Bytes(&[]));
        }
        assert!(writer.finish().len() < 10_000 * 13 + 200, "members of sets have no values");
    }

    #[test]
    fn shifts_leave_few_entries_in_a_bucket() {
        for n in [1usize, 2, 3, 100, 4097, 1 << 20] {
            for range in [0, 1, n as u64, 1 << 56, (1 << 56) + 1, u64::MAX] {
                let shift = shift_for(n, range);
                assert!(shift < 64, "{n} {range}");
                let buckets = u128::from(range >> shift) + 1;
                assert!(buckets <= (n as u128 / 4).next_power_of_two().max(2), "{n} {range}: {buckets}");
            }
        }
    }

    #[test]
    fn references_survive_packing() {
        let one = SegmentRef { first_hash: 1, last_hash: u64::MAX, offset: 4096, length: 16, entries: 5 };
        let bytes = [one.to_bytes(), one.to_bytes()].concat();
        assert_eq!(SegmentRef::read_all(&bytes), Some(vec![one, one]));
        assert_eq!(SegmentRef::read_all(&bytes[1..]), None);
    }
}
