//! Reading a segment where it lies: the other half of [`segment`](crate::segment), which has the table of its bytes.
//!
//! What `open` has checked: every column lies within the segment. What the columns contain is not looked at before it
//! is used, or opening would read the whole file; so each index and each offset is checked when it is used, and bytes
//! that make no sense are None, a miss at worst, and never a panic.

use crate::item::{Item, Kind};
use crate::segment::{HEADER, MIXED, SegmentRef, Value};

/// Where the columns of one segment are in the file. Positions count from the file's start.
#[derive(Debug)]
pub struct View {
    /// How many entries.
    pub entries: usize,
    /// The smallest hash in it.
    pub first_hash: u64,
    /// The kind of all keys; None: they have several.
    pub key_kind: Option<Kind>,
    /// What the values are.
    pub values: Column,
    /// Where the segment starts, and its length.
    pub span: (usize, usize),
    shift: u32,
    stride: usize,
    key_width: usize,
    bucket_count: u64,
    buckets: usize,
    records: usize,
    kinds: usize,
    value_start: usize,
    value_bytes: (usize, usize),
    keys: (usize, usize),
}

/// How the values of a segment are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// i64, eight bytes each.
    Ints,
    /// f64, eight bytes each.
    Floats,
    /// Bytes, with offsets of this many bytes.
    Bytes(usize),
    /// Every value is empty.
    Nothing,
}

#[inline]
fn u64_at(file: &[u8], at: usize) -> Option<u64> {
    file.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[inline]
fn u32_at(file: &[u8], at: usize) -> Option<u32> {
    file.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

impl View {
    /// The segment at `place`. An `Err` says what is wrong with it.
    pub fn open(file: &[u8], place: &SegmentRef) -> Result<Self, &'static str> {
        const SHORT: &str = "a segment lies beyond the end of the file";
        let start = usize::try_from(place.offset).map_err(|_| SHORT)?;
        let length = usize::try_from(place.length).map_err(|_| SHORT)?;
        let bytes = file.get(start..).and_then(|rest| rest.get(..length)).ok_or(SHORT)?;
        let field = |at| u64_at(bytes, at).ok_or("a segment is shorter than its header");
        let entries = usize::try_from(field(0)?).unwrap_or(0);
        if entries == 0 || u32::try_from(entries).is_err() || place.entries != entries as u64 {
            return Err("a segment has not as many entries as it should");
        }
        if field(8)? != place.first_hash || field(88)? != place.length || place.last_hash < place.first_hash {
            return Err("a segment is not the one that the directory means");
        }
        let [key_kind, values, stride, value_offset, shift] = *bytes[16..].first_chunk().expect("a whole header");
        let key_kind = match key_kind {
            MIXED => None,
            kind => Some(Kind::from_byte(kind).ok_or("keys are of an unknown kind")?),
        };
        let values = match (values, value_offset) {
            (0, 0) => Column::Ints,
            (1, 0) => Column::Floats,
            (2, 4 | 8) => Column::Bytes(value_offset.into()),
            (3, 0) => Column::Nothing,
            _ => return Err("values are of an unknown kind"),
        };
        if !matches!(stride, 4 | 8 | 16) || shift > 63 {
            return Err("a segment's header makes no sense");
        }
        let view = Self {
            entries,
            first_hash: place.first_hash,
            key_kind,
            values,
            span: (start, length),
            shift: shift.into(),
            stride: stride.into(),
            key_width: usize::try_from(field(24)?).map_err(|_| SHORT)?,
            bucket_count: field(32)?,
            buckets: start + HEADER,
            records: 0,
            kinds: 0,
            value_start: 0,
            value_bytes: (0, 0),
            keys: (0, 0),
        };
        let mut columns = [0; 6]; // records, kinds, values, values' bytes, keys, end of keys
        for (i, column) in columns.iter_mut().enumerate() {
            *column = usize::try_from(field(40 + 8 * i)?).map_err(|_| SHORT)?;
        }
        view.with_columns(columns, length).ok_or("the columns of a segment do not fit into it")
    }

    /// Check that each column has room before the next one starts.
    fn with_columns(mut self, columns: [usize; 6], length: usize) -> Option<Self> {
        let [records, kinds, values, value_bytes, keys, end] = columns;
        let rows = self.entries + 1;
        let buckets = usize::try_from(self.bucket_count).ok()?.checked_add(1)?.checked_mul(4)?;
        let of_values = match self.values {
            Column::Ints | Column::Floats => self.entries * 8,
            Column::Bytes(size) => rows * size,
            Column::Nothing => 0,
        };
        let of_kinds = if self.key_kind.is_none() { self.entries } else { 0 };
        let of_keys = self.key_width.checked_mul(self.entries)?;
        let of_records = if self.stride == 4 { self.entries * 4 } else { rows * self.stride };
        let fits = |start: usize, size: usize, end: usize| {
            start.is_multiple_of(8) && start.checked_add(size).is_some_and(|used| used <= end)
        };
        let all = fits(HEADER, buckets, records)
            && fits(records, of_records, kinds)
            && fits(kinds, of_kinds, values)
            && fits(values, of_values, value_bytes)
            && fits(value_bytes, 0, keys)
            && fits(keys, of_keys, end)
            && end <= length;
        let at = |column: usize| self.span.0 + column;
        self.records = at(records);
        self.kinds = at(kinds);
        self.value_start = at(values);
        self.value_bytes = (at(value_bytes), at(keys));
        self.keys = (at(keys), at(end));
        all.then_some(self)
    }

    /// The entry with this hash that `matches`, by its number. The hash is not below the segment's first.
    #[inline]
    pub fn find(&self, file: &[u8], hash: u64, mut matches: impl FnMut(Item) -> bool) -> Option<usize> {
        let distance = hash.checked_sub(self.first_hash)?;
        let bucket = distance >> self.shift;
        if bucket >= self.bucket_count {
            return None;
        }
        let place = self.buckets + bucket as usize * 4;
        let start = u32_at(file, place)? as usize;
        let end = (u32_at(file, place + 4)? as usize).min(self.entries);
        let tag = (distance >> self.shift.saturating_sub(32)) as u32;
        for i in start..end {
            let found = u32_at(file, self.records + i * self.stride)?;
            if found < tag {
                continue;
            }
            if found > tag {
                break;
            }
            if matches(self.key(file, i)?) {
                return Some(i);
            }
        }
        None
    }

    /// The key of an entry. None: the bytes make no sense.
    #[inline]
    pub fn key<'a>(&self, file: &'a [u8], i: usize) -> Option<Item<'a>> {
        let all = file.get(self.keys.0..self.keys.1)?;
        let bytes = match self.stride {
            4 => all.get(i * self.key_width..)?.get(..self.key_width)?,
            8 => {
                let record = self.records + i * 8;
                all.get(u32_at(file, record + 4)? as usize..u32_at(file, record + 12)? as usize)?
            }
            _ => {
                let record = self.records + i * 16;
                all.get(u64_at(file, record + 8)? as usize..u64_at(file, record + 24)? as usize)?
            }
        };
        let kind = match self.key_kind {
            Some(kind) => kind,
            None => Kind::from_byte(*file.get(self.kinds + i)?)?,
        };
        Some(Item { kind, bytes })
    }

    /// The value of an entry. None: the bytes make no sense.
    #[inline]
    pub fn value<'a>(&self, file: &'a [u8], i: usize) -> Option<Value<'a>> {
        Some(match self.values {
            Column::Ints => Value::Int(u64_at(file, self.value_start + i * 8)? as i64),
            Column::Floats => Value::Float(f64::from_bits(u64_at(file, self.value_start + i * 8)?)),
            Column::Nothing => Value::Bytes(&[]),
            Column::Bytes(size) => {
                let offset = |i: usize| match size {
                    4 => u32_at(file, self.value_start + i * 4).map(u64::from),
                    _ => u64_at(file, self.value_start + i * 8),
                };
                let all = file.get(self.value_bytes.0..self.value_bytes.1)?;
                Value::Bytes(all.get(usize::try_from(offset(i)?).ok()?..usize::try_from(offset(i + 1)?).ok()?)?)
            }
        })
    }

    /// The bytes of a column of numbers; none if values are something else.
    pub fn numbers<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        match self.values {
            Column::Ints | Column::Floats => &file[self.value_start..self.value_start + 8 * self.entries],
            _ => &[],
        }
    }

    /// The bytes of all keys, one after another.
    pub fn key_bytes<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        &file[self.keys.0..self.keys.1]
    }
}
